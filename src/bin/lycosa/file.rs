//! Configuration files: which are read, and how their keys become settings.
//!
//! The embedded `config.toml` goes through the same reader as a user's file, so it cannot hold a key that does not
//! exist or a value that cannot be read. Every error names the file, the line and the nearest key.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::settings::HostTable;
use crate::settings::check::{self, Bad};
use crate::settings::hosts;
use crate::settings::table::SETTINGS;
use crate::settings::{Layer, Origin, Run, Setting, UsageError, nearest, setting};

#[cfg(any(test, fuzzing))]
pub mod fuzz;

/// The defaults, commented.
pub const EMBEDDED: &str = include_str!("../../../config.toml");

/// The file of the working directory.
pub const LOCAL: &str = "lycosa.toml";

/// The key of tables for some hosts.
const HOST: &str = "host";

/// Which files the command line asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// `--config`: must exist.
    pub file: Option<PathBuf>,
    /// `--no-config`.
    pub none: bool,
}

/// One file's values: for both commands, and for one.
#[derive(Debug, Clone, Default)]
struct Values {
    both: Layer,
    crawl: Layer,
    fetch: Layer,
    hosts: Vec<HostTable>,
}

impl Values {
    /// What holds for a command: its table wins over the top of the file.
    fn of(mut self, run: Run) -> Layer {
        self.both.lay_over(match run {
            Run::Crawl => self.crawl,
            Run::Fetch => self.fetch,
        });
        *self.both.hosts_mut() = self.hosts;
        self.both
    }
}

/// The embedded defaults of a command.
pub fn defaults(run: Run) -> &'static Layer {
    // Read once: the flags of five commands are made from them, and reading takes longer than fetching a page.
    static READ: LazyLock<[Layer; 2]> = LazyLock::new(|| {
        let values = parse(EMBEDDED, None, false).expect("the embedded config.toml is read by a test");
        [values.clone().of(Run::Crawl), values.of(Run::Fetch)]
    });
    match run {
        Run::Crawl => &READ[0],
        Run::Fetch => &READ[1],
    }
}

/// Reads the files in their order, later ones over earlier ones.
///
/// # Errors
/// A file that is there cannot be read, or says something that is not a setting; `--config` names none.
pub fn read(run: Run, wanted: &Wanted) -> Result<Layer, UsageError> {
    let mut layer = Layer::default();
    if !wanted.none {
        for (path, local) in usual_places(std::env::var_os("XDG_CONFIG_HOME"), std::env::var_os("HOME")) {
            match std::fs::read_to_string(&path) {
                Ok(text) => layer.lay_over(parse(&text, Some(&path), local)?.of(run)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                // `lycosa.toml` may be a directory, and $HOME may be a file: neither is a configuration file.
                Err(error)
                    if matches!(error.kind(), std::io::ErrorKind::IsADirectory | std::io::ErrorKind::NotADirectory) => {
                }
                Err(error) => return Err(unreadable(&path, &error)),
            }
        }
    }
    if let Some(path) = &wanted.file {
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
        layer.lay_over(parse(&text, Some(path), false)?.of(run));
    }
    Ok(layer)
}

/// The files that [`read`] looks at.
pub fn places(wanted: &Wanted) -> Vec<PathBuf> {
    let usual = if wanted.none {
        Vec::new()
    } else {
        usual_places(std::env::var_os("XDG_CONFIG_HOME"), std::env::var_os("HOME"))
    };
    usual.into_iter().map(|(path, _)| path).chain(wanted.file.clone()).collect()
}

fn unreadable(path: &Path, error: &std::io::Error) -> UsageError {
    UsageError::new(format!("cannot read the configuration file {}: {error}", path.display()))
}

/// The user's file and the one of the working directory; whether it is the latter.
fn usual_places(xdg: Option<OsString>, home: Option<OsString>) -> Vec<(PathBuf, bool)> {
    // The XDG base directory specification: a relative path is to be ignored.
    let xdg = xdg.map(PathBuf::from).filter(|path| path.is_absolute());
    let base = xdg.or_else(|| home.filter(|home| !home.is_empty()).map(|home| PathBuf::from(home).join(".config")));
    let user = base.map(|base| (base.join("lycosa").join("config.toml"), false));
    user.into_iter().chain([(PathBuf::from(LOCAL), true)]).collect()
}

/// A file being read.
struct File<'a> {
    text: &'a str,
    path: Option<&'a Path>,
    local: bool,
}

fn parse(text: &str, path: Option<&Path>, local: bool) -> Result<Values, UsageError> {
    let file = File { text, path, local };
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        UsageError::new(format!("{}: {}", file.place(at), error.message()))
    })?;
    let mut values = Values::default();
    for (key, value) in by_place(table.get_ref()) {
        let run = Run::ALL.into_iter().find(|run| run.as_str() == key.get_ref().as_ref());
        match (run, value.get_ref()) {
            (Some(run), DeValue::Table(table)) => {
                let layer = match run {
                    Run::Crawl => &mut values.crawl,
                    Run::Fetch => &mut values.fetch,
                };
                for (key, value) in by_place(table) {
                    file.take(layer, Some(run), key, value)?;
                }
            }
            (Some(run), _) => {
                return Err(UsageError::new(format!("{}: {} is a table", file.place(key.span().start), run.as_str()))
                    .with_hint(format!("write [{}] on a line of its own", run.as_str())));
            }
            (None, value) if key.get_ref() == HOST => values.hosts = file.hosts(key, value)?,
            (None, _) => file.take(&mut values.both, None, key, value)?,
        }
    }
    Ok(values)
}

type Key<'a> = Spanned<std::borrow::Cow<'a, str>>;

/// Entries in the order of the file, so that its first error is the one that is told.
fn by_place<'t, 'i>(table: &'t DeTable<'i>) -> Vec<(&'t Key<'i>, &'t Spanned<DeValue<'i>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

impl File<'_> {
    fn line(&self, at: usize) -> usize {
        memchr::memchr_iter(b'\n', &self.text.as_bytes()[..at.min(self.text.len())]).count() + 1
    }

    fn place(&self, at: usize) -> String {
        let path = self.path.unwrap_or(Path::new("config.toml"));
        format!("{}:{}", path.display(), self.line(at))
    }

    /// Takes one entry of the top (`run` is None) or of a command's table.
    fn take(
        &self,
        layer: &mut Layer,
        run: Option<Run>,
        key: &Key<'_>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<(), UsageError> {
        let at = key.span().start;
        let name = key.get_ref().as_ref();
        let Some(setting) = setting(name) else { return Err(self.unknown(at, name, run)) };
        if let Some(run) = run.filter(|run| !setting.on.covers(*run)) {
            let message = format!("{}: {} does not apply to {}", self.place(at), setting.name, run.as_str());
            return Err(UsageError::new(message));
        }
        if self.local && !setting.local {
            return Err(self.not_local(at, setting.name));
        }
        let origin = self.origin(value.span().start);
        let bad = |bad: Bad| UsageError::of_value(setting, &origin, bad);
        let texts = texts(setting, value.get_ref()).map_err(&bad)?;
        texts.iter().try_for_each(|text| check::check(setting.kind, text)).map_err(&bad)?;
        layer.set(setting, texts, origin);
        Ok(())
    }

    /// The tables `[[host]]`.
    fn hosts(&self, key: &Key<'_>, value: &DeValue<'_>) -> Result<Vec<HostTable>, UsageError> {
        let not_tables = || {
            UsageError::new(format!("{}: {HOST} is a list of tables", self.place(key.span().start)))
                .with_hint("write [[host]] on a line of its own, and match = \"example.org\" below it")
        };
        let DeValue::Array(tables) = value else { return Err(not_tables()) };
        let table = |table: &Spanned<DeValue<'_>>| match table.get_ref() {
            DeValue::Table(entries) => self.host(table.span().start, entries),
            _ => Err(not_tables()),
        };
        tables.iter().map(table).collect()
    }

    fn host(&self, at: usize, entries: &DeTable<'_>) -> Result<HostTable, UsageError> {
        let (mut matches, mut layer) = (Vec::new(), Layer::default());
        for (key, value) in by_place(entries) {
            let (at, name) = (key.span().start, key.get_ref().as_ref());
            if name == "match" {
                matches = self.matches(at, value.get_ref())?;
                continue;
            }
            if hosts::key(name).is_none() {
                let error = UsageError::new(match setting(name) {
                    Some(_) => format!("{}: {name} is the same for all hosts", self.place(at)),
                    None => format!("{}: unknown key '{name}' of a host", self.place(at)),
                });
                let near = nearest(name, hosts::KEYS.into_iter().chain(["match"]));
                return Err(match near.filter(|_| setting(name).is_none()) {
                    Some(near) => error.with_hint(format!("did you mean '{near}'?")),
                    None => error.with_hint(format!("a host may have {}", hosts::KEYS.join(", "))),
                });
            }
            self.take(&mut layer, None, key, value)?;
        }
        if matches.is_empty() {
            return Err(UsageError::new(format!("{}: a host without 'match'", self.place(at)))
                .with_hint("match = \"example.org\", or \"*.example.org\", or a list of them"));
        }
        let values = layer.iter().map(|(name, given)| (name, given.clone())).collect();
        Ok(HostTable { matches, values, origin: self.origin(at) })
    }

    fn matches(&self, at: usize, value: &DeValue<'_>) -> Result<Vec<String>, UsageError> {
        let texts = match value {
            DeValue::Array(entries) => entries.iter().map(|entry| scalar(entry.get_ref())).collect(),
            value => scalar(value).map(|text| vec![text]),
        };
        let told = |bad: Bad| UsageError::from(Bad { message: format!("{}: {}", self.place(at), bad.message), ..bad });
        let texts: Vec<String> = texts.map_err(told)?;
        texts.iter().try_for_each(|text| hosts::check_match(text).map(drop)).map_err(told)?;
        Ok(texts)
    }

    fn origin(&self, at: usize) -> Origin {
        match self.path {
            Some(path) => Origin::File { path: path.to_owned(), line: self.line(at) },
            None => Origin::Default,
        }
    }

    fn not_local(&self, at: usize, name: &str) -> UsageError {
        UsageError::new(format!("{}: {name} may not be set in ./{LOCAL}", self.place(at)))
            .with_hint("this file may come with somebody's checkout: use --config FILE, the environment or the flag")
    }

    fn unknown(&self, at: usize, name: &str, run: Option<Run>) -> UsageError {
        let tables = Run::ALL.map(Run::as_str).into_iter().chain([HOST]).filter(|_| run.is_none());
        let known = SETTINGS.iter().filter(|setting| run.is_none_or(|run| setting.on.covers(run)));
        let error = UsageError::new(format!("{}: unknown key '{name}'", self.place(at)));
        match nearest(name, known.map(|setting| setting.name).chain(tables)) {
            Some(near) => error.with_hint(format!("did you mean '{near}'?")),
            None => error,
        }
    }
}

/// The texts of a TOML value: numbers and booleans as they are written on the command line.
fn texts(setting: &Setting, value: &DeValue<'_>) -> Result<Vec<String>, Bad> {
    match value {
        DeValue::Array(entries) if setting.kind.is_list() => {
            entries.iter().map(|entry| scalar(entry.get_ref())).collect()
        }
        DeValue::Array(_) => Err(Bad::new("takes one value, not a list")),
        value => scalar(value).map(|text| vec![text]),
    }
}

fn scalar(value: &DeValue<'_>) -> Result<String, Bad> {
    match value {
        DeValue::String(text) => Ok(text.clone().into_owned()),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().to_owned()),
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        DeValue::Boolean(switch) => Ok(switch.to_string()),
        other => Err(Bad::new(format!("takes no {}", other.type_str()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> UsageError {
        parse(text, Some(Path::new("/etc/my.toml")), false).expect_err("a bad file")
    }

    #[test]
    fn the_embedded_file_sets_every_setting_of_each_command() {
        for run in Run::ALL {
            let defaults = defaults(run);
            for setting in SETTINGS.iter().filter(|setting| setting.on.covers(run)) {
                assert!(defaults.get(setting.name).is_some(), "{} of {}", setting.name, run.as_str());
            }
        }
    }

    #[test]
    fn an_unknown_key_is_named_with_file_line_and_nearest_key() {
        let error = error("rate = \"5/s\"\n\nhost-rat = \"1/s\"\n");
        assert_eq!(error.message, "/etc/my.toml:3: unknown key 'host-rat'");
        assert_eq!(error.hint.as_deref(), Some("did you mean 'host-rate'?"));
        assert_eq!(self::error("[crowl]\n").hint.as_deref(), Some("did you mean 'crawl'?"));
        assert_eq!(self::error("host_rate = 1").hint.as_deref(), Some("did you mean 'host-rate'?"));
        assert_eq!(self::error("[fetch]\nuniqe = true").hint.as_deref(), Some("did you mean 'unique'?"));
    }

    #[test]
    fn the_first_error_of_a_file_is_told() {
        assert!(error("zebra = 1\nalpha = 2\n").message.contains("my.toml:1: unknown key 'zebra'"));
    }

    #[test]
    fn a_bad_value_is_named_with_file_and_line() {
        let error = error("# c\ntimeout = \"5sec\"\n");
        assert!(error.message.starts_with("/etc/my.toml:2: timeout: '5sec' is not a duration"), "{}", error.message);
        assert_eq!(error.hint.as_deref(), Some("did you mean '5s'?"));
        assert!(self::error("concurrency = 0").message.contains("'0' is not a whole number from 1"));
        assert!(self::error("timeout = [1]").message.contains("not a list"));
        assert!(self::error("timeout = 1979-05-27").message.contains("takes no datetime"));
        assert!(self::error("timeout = ").message.starts_with("/etc/my.toml:1: "));
        assert!(self::error("crawl = 1").message.contains("crawl is a table"));
        assert_eq!(self::error("[fetch]\nscope = \"any\"").message, "/etc/my.toml:2: scope does not apply to fetch");
    }

    #[test]
    fn a_checkout_may_not_set_what_could_harm() {
        let keys = ["output = [\"x\"]", "proxy = \"http://p\"", "header = []", "insecure = true", "summary = \"x\""];
        for key in keys.into_iter().chain(["allow-private = true", "[crawl]\nallow-private = true"]) {
            let error = parse(key, Some(Path::new(LOCAL)), true).expect_err(key);
            assert!(error.message.contains("may not be set in ./lycosa.toml"), "{}", error.message);
            assert!(parse(key, Some(Path::new("my.toml")), false).is_ok(), "{key}");
        }
    }

    #[test]
    fn the_file_says_what_a_checkout_may_not_set() {
        let said = include_str!("../../../config.toml").split_once("it may not set: ").unwrap().1;
        let said: Vec<_> = said.split_once('.').unwrap().0.split([',', '#', '\n']).map(str::trim).collect();
        let said: Vec<_> = said.into_iter().filter(|name| !name.is_empty()).collect();
        let mut known: Vec<_> = SETTINGS.iter().filter(|setting| !setting.local).map(|setting| setting.name).collect();
        known.sort_unstable();
        assert_eq!(said, known);
    }

    #[test]
    fn a_command_s_table_wins_over_the_top_of_its_file() {
        let text = "host-concurrency = 2\n[fetch]\nhost-concurrency = 3\n";
        let read = |run| {
            let layer = parse(text, Some(Path::new("f")), false).unwrap().of(run);
            layer.get("host-concurrency").unwrap().texts[0].clone()
        };
        assert_eq!((read(Run::Crawl), read(Run::Fetch)), ("2".to_owned(), "3".to_owned()));
        // … and a later file's top over the defaults' table.
        let mut layer = defaults(Run::Crawl).clone();
        layer.lay_over(parse("host-concurrency = 2", Some(Path::new("f")), false).unwrap().of(Run::Crawl));
        assert_eq!(layer.get("host-concurrency").unwrap().texts, ["2"]);
    }

    #[test]
    fn usual_places_follow_xdg() {
        let places = |xdg: Option<&str>, home: Option<&str>| {
            let places = usual_places(xdg.map(OsString::from), home.map(OsString::from));
            places.into_iter().map(|(path, _)| path.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(places(Some("/x"), Some("/h")), ["/x/lycosa/config.toml", "lycosa.toml"]);
        assert_eq!(places(Some("rel"), Some("/h")), ["/h/.config/lycosa/config.toml", "lycosa.toml"]);
        assert_eq!(places(None, None), ["lycosa.toml"]);
    }
}
