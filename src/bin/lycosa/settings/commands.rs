//! `--exec`, `--pipe` and `--media-type`: from text to words and types.
//!
//! A command is split into words as a POSIX shell would (quotes and backslashes), and never given to one: `$`, `;`, `|`
//! and `>` are characters like any other. Its program must be there before anything is fetched.

use lycosa::policy::media_types::MediaTypes;
use lycosa::sinks::command::can_be_found;

use super::check::Bad;

/// The words of a command.
///
/// # Errors
/// A quote that is not closed, no word at all, or a program that is not there.
pub fn words(text: &str) -> Result<Vec<String>, Bad> {
    let words = shell_words::split(text).map_err(|_| Bad::new(format!("a quote is not closed in '{text}'")))?;
    let program = words.first().ok_or_else(|| Bad::new("no command"))?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    if !can_be_found(program, &path) {
        return Err(Bad::new(format!("there is no program '{program}'")));
    }
    Ok(words)
}

/// # Errors
/// An entry that is no media type.
pub fn media_types(entries: &[String]) -> Result<MediaTypes, Bad> {
    let entries = entries.iter().flat_map(|entry| entry.split(',')).map(str::trim);
    MediaTypes::parse(entries).map_err(|entry| {
        let mut bad = Bad::new(format!("'{entry}' is not a media type"));
        bad.hint = Some("such as text/html or image/*".to_owned());
        bad
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_split_and_no_shell_is_there() {
        assert_eq!(words("sh -c 'a b' \"c;d\" $x e\\ f").unwrap(), ["sh", "-c", "a b", "c;d", "$x", "e f"]);
        assert!(words("sh 'x").unwrap_err().message.contains("quote"));
        assert!(words(" ").unwrap_err().message.contains("no command"));
        assert!(words("no-such-program-here x").unwrap_err().message.contains("there is no program"));
        assert!(words("/etc/passwd").is_err() && words("/bin/sh").is_ok());
    }

    #[test]
    fn types_come_in_lists() {
        let types = media_types(&["text/html, image/*".to_owned(), "a/b".to_owned()]).unwrap();
        assert!(types.contains("image/png") && types.contains("a/b") && !types.contains("text/css"));
        assert!(media_types(&["text".to_owned()]).unwrap_err().message.contains("'text'"));
    }
}
