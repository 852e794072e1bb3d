//! `lycosa extract`: the same rules over files on disk, so that rules are tried out without fetching a page again.
//!
//! Decides what is written for each page; what a file holds is `pages`' business. Fetches nothing.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use lycosa::engine::clock::Clock;
use lycosa::engine::fields::PAGE_TIME;
use lycosa::model::url::Url;
use lycosa::parse::fields::{Fields, Found, Source};
use serde_json::{Value, json};

use crate::args::extract::ExtractFlags;
use crate::layers;
use crate::settings::{Run, UsageError, fields, one_line};

use super::conduct::quiet;

mod page;
mod pages;
mod records;
mod warc;

use page::Page;

/// Runs the command. Returns the exit code.
pub fn run(flags: &ExtractFlags) -> u8 {
    if crate::standard::output_was_closed() {
        return crate::output_failed(&crate::standard::closed());
    }
    let trial = match Trial::new(flags) {
        Ok(trial) => trial,
        Err(error) => return crate::usage(&error, quiet(&flags.flags)),
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let mut code = 0;
    for path in &flags.paths {
        let mut written = Ok(());
        let read = pages::each(path, &mut |page| {
            written = trial.one(&mut out, path, page);
            written.is_ok()
        });
        match written.and_then(|()| out.flush()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return code,
            Err(error) => return crate::output_failed(&error),
        }
        match read {
            Ok(passed) => {
                if let Some(told) = passed.told() {
                    trial.notice(&format!("{}: {told}", path.display()));
                }
            }
            Err(error) => {
                let error = UsageError::new(format!("cannot read {}: {error}", path.display()));
                code = crate::usage(&error, trial.quiet);
            }
        }
    }
    code
}

/// Rules that are tried out.
struct Trial {
    rules: std::sync::Arc<Fields>,
    base: Option<Url>,
    explain: bool,
    quiet: u32,
    clock: Clock,
}

impl Trial {
    fn new(flags: &ExtractFlags) -> Result<Self, UsageError> {
        let (layers, warnings) = layers::gather(Run::Crawl, &flags.files, std::env::vars_os(), flags.flags.clone())?;
        let base = flags.base.as_deref().map(|base| {
            Url::parse(base).map_err(|error| UsageError::new(format!("--base: '{base}' is no absolute URL: {error}")))
        });
        let rules = fields::resolve(&layers)?.ok_or_else(|| {
            UsageError::new("nothing to extract")
                .with_hint("name a field or rules: --extract 'title=h1', --rules FILE, --metadata, --text, --markdown")
        })?;
        let trial = Self {
            rules,
            base: base.transpose()?,
            explain: flags.explain,
            quiet: quiet(&layers),
            clock: Clock::start(),
        };
        for warning in warnings {
            trial.notice(&format!("warning: {warning}"));
        }
        Ok(trial)
    }

    fn notice(&self, text: &str) {
        if self.quiet == 0 {
            let _ = writeln!(io::stderr(), "{}", one_line(&format!("lycosa: {text}")));
        }
    }

    /// Writes what one page gives.
    fn one(&self, out: &mut impl Write, path: &Path, page: &Page<'_>) -> io::Result<()> {
        let own = page.url.and_then(|url| Url::parse(url).ok());
        let known = own.as_ref().or(self.base.as_ref());
        let url = known.cloned().unwrap_or_else(|| url_of(path));
        let due = self.clock.now().plus(PAGE_TIME);
        let source = Source {
            url: &url,
            media_type: page.media_type,
            header_charset: page.charset,
            body: page.body,
            is_over: &|| self.clock.now() > due,
        };
        let found = self.rules.find(&source, self.explain);
        let shown = path.display().to_string();
        if self.explain {
            return self.explained(out, &shown, &url, &found);
        }
        if let Some(why) = why_no_data(&self.rules, &found) {
            self.notice(&format!("{shown}: {url}: no data: {why}"));
        }
        let data = found.data.map_or(Value::Null, Value::Object);
        writeln!(out, "{}", json!({ "file": shown, "url": known.map(Url::as_str), "data": data }))
    }

    fn explained(&self, out: &mut impl Write, file: &str, url: &Url, found: &Found) -> io::Result<()> {
        writeln!(out, "{}", one_line(&format!("{file} ({url})")))?;
        match self.rules.set_for(url) {
            Some(set) => writeln!(out, "  rules of {}", one_line(set))?,
            None if self.rules.has_sets() => writeln!(out, "  no set of rules is for this URL")?,
            None => {}
        }
        for seen in &found.seen {
            let name = &self.rules.names()[seen.field];
            let text = match (&seen.first, &seen.value) {
                (Some(first), Some(value)) => format!("{name}: {} x {} gives {}", seen.count, cut(first), cut(value)),
                _ => format!("{name}: nothing matches"),
            };
            writeln!(out, "  {}", one_line(&text))?;
        }
        match why_no_data(&self.rules, found) {
            Some(why) => writeln!(out, "  no data: {}", one_line(&why)),
            None if found.data.is_none() => writeln!(out, "  no data"),
            None => Ok(()),
        }
    }
}

/// Why a page that rules are for gave no data.
fn why_no_data(rules: &Fields, found: &Found) -> Option<String> {
    if let Some(why) = found.given_up {
        return Some(format!("the page was given up: {}", why.as_str()));
    }
    let lacking = found.tally.lacking.iter().rposition(|count| *count > 0).filter(|_| found.data.is_none())?;
    Some(format!("{} is required and missing", rules.names()[lacking]))
}

/// Where a file lies, for references in it and rules that look at paths.
fn url_of(path: &Path) -> Url {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    Url::from_file_path(absolute).unwrap_or_else(|()| Url::parse("file:///").expect("a URL"))
}

/// Characters of a start tag, and of a value.
const SHOWN: usize = 100;

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
