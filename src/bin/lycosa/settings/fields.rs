//! `--extract`, `--rules` and what pages give without rules: reads the file, and says which rule cannot be used, where and why.

use std::path::Path;
use std::sync::Arc;

use lycosa::parse::fields::{BadRule, Fields, Ready};

use super::check::Bad;
use super::values::Values;
use super::{Layer, UsageError};

/// The settings that say it.
pub const NAMES: [&str; 5] = ["extract", "markdown", "metadata", "rules", "text"];

/// What the settings say is looked for on pages; None if nothing is.
///
/// # Errors
/// The rule that cannot be used, with the flag, key or variable that it came from.
pub fn resolve(layers: &Layer) -> Result<Option<Arc<Fields>>, UsageError> {
    let values = Values(layers);
    let ready =
        Ready { metadata: values.switch("metadata"), text: values.switch("text"), markdown: values.switch("markdown") };
    read(values.list("extract"), values.text("rules"), ready).map_err(|(name, bad)| values.error(name, bad))
}

/// What is looked for on pages; None if nothing was asked for. Errors name the setting that they are of.
fn read(extract: &[String], rules: Option<&str>, ready: Ready) -> Result<Option<Arc<Fields>>, (&'static str, Bad)> {
    let mut fields = Fields::default();
    if let Some(path) = rules {
        let text = std::fs::read_to_string(Path::new(path))
            .map_err(|error| ("rules", Bad::new(format!("cannot read {path}: {error}"))))?;
        fields.add_file(&text).map_err(|bad| ("rules", Bad::new(format!("{path}:{}", at(&text, &bad, true)))))?;
    }
    for text in extract {
        fields.add(text).map_err(|bad| ("extract", Bad::new(at(text, &bad, false))))?;
    }
    // Which flag it is stands in the message.
    fields
        .add_ready(ready)
        .map_err(|bad| (if rules.is_some() { "rules" } else { "extract" }, Bad::new(bad.to_string())))?;
    Ok((!fields.is_empty()).then(|| Arc::new(fields)))
}

/// Line (of a file) and column in characters, both from 1, and what is wrong there.
fn at(text: &str, bad: &BadRule, of_file: bool) -> String {
    let before = &text[..text.floor_char_boundary(bad.at)];
    let line = before.matches('\n').count() + 1;
    let column = before[before.rfind('\n').map_or(0, |end| end + 1)..].chars().count() + 1;
    if of_file { format!("{line}:{column}: {bad}") } else { format!("column {column}: {bad}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_has_no_name_that_a_flag_has() {
        let ready = Ready { text: true, ..Ready::default() };
        let (name, bad) = read(&["text=p".to_owned()], None, ready).expect_err("taken");
        assert_eq!((name, &*bad.message), ("extract", "rule 'text': the name is taken by --text"));
        assert!(read(&[], None, ready).unwrap().is_some());
    }

    #[test]
    fn what_is_wrong_has_its_place() {
        let bad = |extract: &str| read(&[extract.to_owned()], None, Ready::default()).expect_err(extract).1.message;
        assert_eq!(bad("price=.price["), "column 14: rule 'price': '.price[' is no selector: it ends too soon");
        assert!(read(&[], None, Ready::default()).unwrap().is_none());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[[page]]\n[page.fields]\n\"ä\" = 'p > > b'\n").unwrap();
        let path = file.path().to_str().unwrap();
        let (name, bad) = read(&[], Some(path), Ready::default()).expect_err("a bad selector");
        assert_eq!(name, "rules");
        assert!(
            bad.message.starts_with(&format!("{path}:3:12: rule 'page 1.ä': 'p > > b' is no selector: ")),
            "{}",
            bad.message
        );
        assert!(
            read(&[], Some("/no/such.toml"), Ready::default())
                .expect_err("none")
                .1
                .message
                .contains("cannot read /no/such.toml")
        );
    }
}
