//! `--extract` and `--rules`: reads the file, and says which rule cannot be used, where and why.

use std::path::Path;
use std::sync::Arc;

use lycosa::parse::fields::{BadRule, Fields};

use super::check::Bad;

/// What is looked for on pages; None if nothing was asked for. Errors name the setting that they are of.
pub fn read(extract: &[String], rules: Option<&str>) -> Result<Option<Arc<Fields>>, (&'static str, Bad)> {
    let mut fields = Fields::default();
    if let Some(path) = rules {
        let text = std::fs::read_to_string(Path::new(path))
            .map_err(|error| ("rules", Bad::new(format!("cannot read {path}: {error}"))))?;
        fields.add_file(&text).map_err(|bad| ("rules", Bad::new(format!("{path}:{}", at(&text, &bad, true)))))?;
    }
    for text in extract {
        fields.add(text).map_err(|bad| ("extract", Bad::new(at(text, &bad, false))))?;
    }
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
    fn what_is_wrong_has_its_place() {
        let bad = |extract: &str| read(&[extract.to_owned()], None).expect_err(extract).1.message;
        assert_eq!(bad("price=.price["), "column 14: rule 'price': '.price[' is no selector: it ends too soon");
        assert!(read(&[], None).unwrap().is_none());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[[page]]\n[page.fields]\nä = 'p > > b'\n").unwrap();
        let path = file.path().to_str().unwrap();
        let (name, bad) = read(&[], Some(path)).expect_err("a bad selector");
        assert_eq!(name, "rules");
        assert!(
            bad.message.starts_with(&format!("{path}:3:10: rule 'page 1.ä': 'p > > b' is no selector: ")),
            "{}",
            bad.message
        );
        assert!(read(&[], Some("/no/such.toml")).expect_err("none").1.message.contains("cannot read /no/such.toml"));
    }
}
