//! `lycosa extract`: the same rules over files on disk, so that rules are tried out without fetching a page again.
//!
//! Decides what is written for each page; what a file holds is `pages`' business. Fetches nothing.

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use lycosa::model::url::Url;
use lycosa::parse::fields::{Fields, Found, Ready, Source};
use serde_json::{Value, json};

use crate::args::extract::ExtractFlags;
use crate::settings::{Layer, UsageError, fields, setting};

mod page;
mod pages;
mod warc;

use page::Page;

/// Runs the command. Returns the exit code.
pub fn run(flags: &ExtractFlags) -> u8 {
    if crate::standard::output_was_closed() {
        return crate::output_failed(&crate::standard::closed());
    }
    let (rules, base) = match read(flags) {
        Ok(read) => read,
        Err(error) => return crate::usage(&error, 0),
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let mut code = 0;
    for path in &flags.files {
        let mut written = Ok(());
        let read = pages::each(path, &mut |page| {
            written = one(&mut out, &rules, path, base.as_ref(), flags.explain, page);
            written.is_ok()
        });
        match written.and_then(|()| out.flush()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return code,
            Err(error) => return crate::output_failed(&error),
        }
        if let Err(error) = read {
            code = crate::usage(&UsageError::new(format!("cannot read {}: {error}", path.display())), 0);
        }
    }
    code
}

fn read(flags: &ExtractFlags) -> Result<(Arc<Fields>, Option<Url>), UsageError> {
    let base = flags.base.as_deref().map(|base| {
        Url::parse(base).map_err(|error| UsageError::new(format!("--base: '{base}' is no absolute URL: {error}")))
    });
    let Layered { extract, rules, ready } = Layered::of(&flags.flags);
    let read = fields::read(extract, rules, ready).map_err(|(name, bad)| {
        let origin = flags.flags.get(name).map(|given| &given.origin);
        match (setting(name), origin) {
            (Some(setting), Some(origin)) => UsageError::of_value(setting, origin, bad),
            _ => UsageError::from(bad),
        }
    })?;
    Ok((read.unwrap_or_default(), base.transpose()?))
}

/// The flags that say what is looked for.
struct Layered<'a> {
    extract: &'a [String],
    rules: Option<&'a str>,
    ready: Ready,
}

impl<'a> Layered<'a> {
    fn of(layer: &'a Layer) -> Self {
        let switch = |name| layer.get(name).is_some();
        Self {
            extract: layer.get("extract").map_or(&[], |given| &given.texts[..]),
            rules: layer.get("rules").and_then(|given| given.texts.last()).map(String::as_str),
            ready: Ready { metadata: switch("metadata"), text: switch("text"), markdown: switch("markdown") },
        }
    }
}

/// Writes what one page gives.
fn one(
    out: &mut impl Write,
    rules: &Fields,
    path: &Path,
    base: Option<&Url>,
    explain: bool,
    page: &Page<'_>,
) -> io::Result<()> {
    let own = page.url.and_then(|url| Url::parse(url).ok());
    let url = own.as_ref().or(base).cloned().unwrap_or_else(|| url_of(path));
    let source = Source {
        url: &url,
        media_type: page.media_type,
        header_charset: page.charset,
        body: page.body,
        is_over: &|| false,
    };
    let found = rules.find(&source, explain);
    let shown = path.display().to_string();
    if explain {
        return explained(out, rules, &shown, &url, &found);
    }
    if let Some(why) = found.given_up {
        let message = format!("lycosa: warning: {shown}: {url}: the page was given up: {}", why.as_str());
        let _ = writeln!(io::stderr(), "{}", crate::settings::one_line(&message));
    }
    let known = own.as_ref().or(base).map(Url::as_str);
    let line = json!({ "file": shown, "url": known, "data": found.data.map_or(Value::Null, Value::Object) });
    writeln!(out, "{line}")
}

/// Where a file lies, for references in it and rules that look at paths.
fn url_of(path: &Path) -> Url {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    Url::from_file_path(absolute).unwrap_or_else(|()| Url::parse("file:///").expect("a URL"))
}

/// Characters of a start tag, and of a value.
const SHOWN: usize = 100;

fn explained(out: &mut impl Write, rules: &Fields, file: &str, url: &Url, found: &Found) -> io::Result<()> {
    let line = |text: String| crate::settings::one_line(&text);
    writeln!(out, "{}", line(format!("{file} ({url})")))?;
    match rules.set_for(url) {
        Some(set) => writeln!(out, "  rules of {}", line(set.to_owned()))?,
        None => writeln!(out, "  no set of rules is for this URL")?,
    }
    for seen in &found.seen {
        let name = &rules.names()[seen.field];
        let text = match (&seen.first, &seen.value) {
            (Some(first), Some(value)) => format!("{name}: {} x {} gives {}", seen.count, cut(first), cut(value)),
            _ => format!("{name}: nothing matches"),
        };
        writeln!(out, "  {}", line(text))?;
    }
    if let Some(why) = found.given_up {
        writeln!(out, "  the page was given up: {}", why.as_str())?;
    } else if found.data.is_none() {
        writeln!(out, "  no data")?;
    }
    Ok(())
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
