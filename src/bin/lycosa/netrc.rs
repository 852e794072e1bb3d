//! Where the netrc of `-n` is: the file that `NETRC` names, else `~/.netrc`.
//!
//! Decides nothing about what stands in it. Called when settings are resolved. A missing file is a warning, as in curl.

use std::ffi::OsString;
use std::path::PathBuf;

use lycosa::policy::netrc::Netrc;

use crate::settings::UsageError;

/// Reads it. Without one: None, and what to warn of.
///
/// # Errors
/// It is there and cannot be read.
pub fn read() -> Result<(Option<Netrc>, Option<String>), UsageError> {
    let Some(path) = place(std::env::var_os("NETRC"), std::env::var_os("HOME")) else {
        return Ok((None, Some("-n: there is neither NETRC nor HOME in the environment".to_owned())));
    };
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok((None, Some(format!("-n: there is no {}", path.display()))));
        }
        Err(error) => return Err(UsageError::new(format!("-n: cannot read {}: {error}", path.display()))),
    };
    let netrc =
        Netrc::parse(&text).map_err(|error| UsageError::new(format!("-n: cannot read {}: {error}", path.display())))?;
    Ok((Some(netrc), None))
}

fn place(named: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let given = |text: Option<OsString>| text.filter(|text| !text.is_empty()).map(PathBuf::from);
    given(named).or_else(|| given(home).map(|home| home.join(".netrc")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_goes_before_the_home() {
        let place = |named: Option<&str>, home: Option<&str>| place(named.map(Into::into), home.map(Into::into));
        assert_eq!(place(Some("n"), Some("/h")), Some("n".into()));
        assert_eq!(place(Some(""), Some("/h")), Some("/h/.netrc".into()));
        assert_eq!(place(None, None), None);
    }
}
