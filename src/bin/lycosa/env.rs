//! The environment: `LYCOSA_HOST_RATE` is `--host-rate`. A list has one entry a line; an empty variable is not set.

use std::ffi::OsString;

use crate::settings::check;
use crate::settings::table::SETTINGS;
use crate::settings::{Layer, Origin, UsageError, nearest};

const PREFIX: &str = "LYCOSA_";

/// Reads the variables that are ours.
///
/// Returns their values, and a warning for each that starts with `LYCOSA_` and is no setting.
///
/// # Errors
/// A value that cannot be read.
pub fn read(variables: impl Iterator<Item = (OsString, OsString)>) -> Result<(Layer, Vec<String>), UsageError> {
    let mut layer = Layer::default();
    let mut warnings = Vec::new();
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        let Some(setting) = SETTINGS.iter().find(|setting| setting.variable() == name) else {
            warnings.push(unknown(name));
            continue;
        };
        let Some(value) = value.to_str() else {
            return Err(UsageError::new(format!("{name}: the value is not UTF-8")));
        };
        if value.is_empty() {
            continue;
        }
        let texts: Vec<String> = if setting.kind.is_list() {
            value.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
        } else {
            vec![value.to_owned()]
        };
        let origin = Origin::Environment(name.to_owned());
        for text in &texts {
            check::check(setting.kind, text).map_err(|bad| UsageError::of_value(setting, &origin, bad))?;
        }
        layer.set(setting, texts, origin);
    }
    Ok((layer, warnings))
}

/// How quiet the environment asks to be, for a command line that cannot be read.
pub fn quiet() -> u32 {
    std::env::var("LYCOSA_QUIET").ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// What one command line is for stands in it: its URLs, its request, and where its run is kept. A run that went on, or was
/// visited again, because of a variable that somebody has set long ago would be a surprise.
const NO_SETTINGS: [&str; 5] = ["state", "continue", "again", "retry-failed", "input-file"];

fn unknown(name: &str) -> String {
    let key = name[PREFIX.len()..].to_ascii_lowercase().replace('_', "-");
    if NO_SETTINGS.contains(&&*key) {
        return format!("{name} is no setting: --{key} is given with each command");
    }
    let key = name[PREFIX.len()..].replace('_', "-");
    match nearest(&key, SETTINGS.iter().map(|setting| setting.name)).and_then(crate::settings::setting) {
        Some(near) => format!("{name} is no setting; did you mean {}?", near.variable()),
        None => format!("{name} is no setting"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<(Layer, Vec<String>), UsageError> {
        super::read(variables.iter().map(|(name, value)| (name.into(), value.into())))
    }

    #[test]
    fn every_setting_has_its_variable() {
        for setting in SETTINGS {
            let name = setting.variable();
            assert!(name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'), "{name}");
        }
        let (_, warnings) = read(&[("LYCOSA_STATE", "x")]).unwrap();
        assert_eq!(warnings, ["LYCOSA_STATE is no setting: --state is given with each command"]);
        let (layer, warnings) = read(&[("LYCOSA_HOST_RATE", "5/s"), ("PATH", "/bin")]).unwrap();
        assert_eq!(layer.get("host-rate").unwrap().texts, ["5/s"]);
        assert_eq!(layer.get("host-rate").unwrap().origin.to_string(), "environment LYCOSA_HOST_RATE");
        assert!(warnings.is_empty());
    }

    #[test]
    fn lists_have_one_entry_a_line() {
        let (layer, _) = read(&[("LYCOSA_HEADER", "A: 1\nB: 2, 3\n")]).unwrap();
        assert_eq!(layer.get("header").unwrap().texts, ["A: 1", "B: 2, 3"]);
    }

    #[test]
    fn an_unknown_variable_is_a_warning_and_a_bad_value_an_error() {
        let (_, warnings) = read(&[("LYCOSA_HOST_RAET", "5/s")]).unwrap();
        assert_eq!(warnings, ["LYCOSA_HOST_RAET is no setting; did you mean LYCOSA_HOST_RATE?"]);
        let error = read(&[("LYCOSA_TIMEOUT", "soon")]).expect_err("bad");
        assert!(error.message.starts_with("LYCOSA_TIMEOUT: 'soon' is not a duration"), "{}", error.message);
        assert!(read(&[("LYCOSA_TIMEOUT", "")]).unwrap().0.get("timeout").is_none());
    }
}
