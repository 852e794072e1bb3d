//! Where values come from, laid over one another: flags over environment over files over the embedded defaults.

use std::ffi::OsString;

use crate::env;
use crate::file::{self, Wanted};
use crate::settings::hosts;
use crate::settings::{Layer, Run, UsageError};

/// All values of a command, each with its origin; and what to warn of.
///
/// # Errors
/// A file or a variable that cannot be read.
pub fn gather(
    run: Run,
    files: &Wanted,
    variables: impl Iterator<Item = (OsString, OsString)>,
    flags: Layer,
) -> Result<(Layer, Vec<String>), UsageError> {
    let mut layers = file::defaults(run).clone();
    layers.lay_over(file::read(run, files)?);
    let (environment, warnings) = env::read(variables)?;
    layers.lay_over(environment);
    layers.lay_over(flags);
    hosts::settle(&mut layers);
    Ok((layers, warnings))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Origin, setting};

    #[test]
    fn flag_over_environment_over_file_over_default() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "rate = \"1/s\"\nhost-rate = \"1/s\"\ndelay = \"1s\"\n").unwrap();
        let files = Wanted { file: Some(file.path().to_owned()), none: true };
        let variables = [("LYCOSA_RATE", "2/s"), ("LYCOSA_HOST_RATE", "2/s"), ("LYCOSA_NO_SUCH", "1")];
        let mut flags = Layer::default();
        flags.set(setting("rate").unwrap(), vec!["3/s".to_owned()], Origin::Flag("--rate".to_owned()));
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        let (layers, warnings) = gather(Run::Crawl, &files, variables, flags).unwrap();
        let held =
            |name: &str| layers.get(name).map(|given| (given.texts[0].clone(), given.origin.to_string())).unwrap();
        assert_eq!(held("rate"), ("3/s".to_owned(), "flag --rate".to_owned()));
        assert_eq!(held("host-rate"), ("2/s".to_owned(), "environment LYCOSA_HOST_RATE".to_owned()));
        assert_eq!(held("delay"), ("1s".to_owned(), format!("{}:3", file.path().display())));
        assert_eq!(held("timeout"), ("30s".to_owned(), "default".to_owned()));
        assert_eq!(warnings.len(), 1);
    }

    #[test]
    fn a_file_that_was_asked_for_must_be_there() {
        let files = Wanted { file: Some("/no/such.toml".into()), none: false };
        let error = gather(Run::Crawl, &files, std::iter::empty(), Layer::default()).expect_err("missing");
        assert!(error.message.starts_with("cannot read the configuration file /no/such.toml"), "{}", error.message);
    }
}
