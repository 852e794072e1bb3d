//! What a state directory remembers of a command line, so that `lycosa resume` needs none: settings, input, request.
//!
//! Decides what is a secret and is left out, and what of it must be given again. Values stay the texts that they were
//! given as. Called by the commands that run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lycosa::policy::credentials::is_credential;
use serde::{Deserialize, Serialize};

use crate::args::RunFlags;
use crate::file::Wanted;
use crate::settings::HostTable;
use crate::settings::cookies::is_line;
use crate::settings::hosts::KeptTable;
use crate::settings::request::RequestFlags;
use crate::settings::transport::certificate_file;
use crate::settings::{Given, Layer, Origin, Run, UsageError, setting};

/// See the module. As JSON in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memo {
    /// `crawl` or `fetch`.
    command: String,
    /// Where it was typed: relative paths begin there,
    directory: PathBuf,
    /// while the state lies here; else see [`Memo::home`].
    #[serde(default)]
    state: PathBuf,
    /// Those that are not at their default.
    settings: BTreeMap<String, Vec<String>>,
    urls: Vec<String>,
    inputs: Vec<PathBuf>,
    /// Standard input was read because nothing else was named.
    implicit: bool,
    method: Option<String>,
    data: Vec<String>,
    json: Vec<String>,
    head: bool,
    /// What was left out: `user`, `proxy`, or the name of a header.
    missing: Vec<String>,
    /// Tables of hosts, and which files they came from.
    #[serde(default)]
    hosts: Vec<KeptTable>,
    #[serde(default)]
    config: Option<PathBuf>,
    #[serde(default)]
    no_config: bool,
    /// User and password of URLs that were typed were left out.
    #[serde(default)]
    user_in_urls: bool,
}

impl Memo {
    /// What is to be remembered of a command line and the settings it came to.
    ///
    /// # Errors
    /// Something cannot be read again later.
    pub fn of(flags: &RunFlags, layers: &Layer, implicit: bool) -> Result<Self, UsageError> {
        if flags.request.read_stdin() {
            let error = UsageError::new("--state cannot keep a body that comes from standard input");
            return Err(error.with_hint("read it from a file: -d @FILE, or --json @FILE"));
        }
        let mut missing = Vec::new();
        let mut settings = BTreeMap::new();
        for (name, given) in layers.iter().filter(|(_, given)| given.origin != Origin::Default) {
            if let Some(texts) = kept(name, &given.texts, &mut missing) {
                settings.insert(name.to_owned(), texts);
            }
        }
        Ok(Self {
            command: flags.run.as_str().to_owned(),
            directory: std::env::current_dir().unwrap_or_default(),
            state: flags.keep.as_ref().and_then(|keep| std::path::absolute(&keep.dir).ok()).unwrap_or_default(),
            settings,
            urls: flags.urls.iter().map(|url| without_user(url)).collect(),
            inputs: flags.inputs.clone(),
            implicit,
            method: flags.request.method.clone(),
            data: flags.request.data.clone(),
            json: flags.request.json.clone(),
            head: flags.request.head,
            missing,
            hosts: layers.hosts().iter().map(HostTable::kept).collect(),
            config: flags.files.file.as_deref().map(|path| std::path::absolute(path).unwrap_or(path.to_owned())),
            no_config: flags.files.none,
            user_in_urls: flags.urls.iter().any(|url| without_user(url) != *url),
        })
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("texts and lists of them are JSON")
    }

    /// # Errors
    /// It is none: the directory is not of a run of this command.
    pub fn read(json: &str) -> Result<Self, UsageError> {
        serde_json::from_str(json).map_err(|error| {
            UsageError::new(format!("the settings of the run cannot be read: {error}"))
                .with_hint("it was not begun by this command: resume it with the program that began it")
        })
    }

    pub fn run(&self) -> Run {
        Run::ALL.into_iter().find(|run| run.as_str() == self.command).unwrap_or(Run::Fetch)
    }

    /// The same with other settings, for a run that begins anew here.
    pub fn with(&self, layers: &Layer, state: &Path) -> Self {
        let directory = std::env::current_dir().unwrap_or_default();
        let mut memo = Self { directory, state: state.to_owned(), settings: BTreeMap::new(), ..self.clone() };
        for (name, given) in layers.iter().filter(|(_, given)| given.origin != Origin::Default) {
            if let Some(texts) = kept(name, &given.texts, &mut memo.missing) {
                memo.settings.insert(name.to_owned(), texts);
            }
        }
        let mut seen = std::collections::BTreeSet::new();
        memo.missing.retain(|name| seen.insert(name.to_ascii_lowercase()));
        // From now on `--user` stands for them.
        memo.user_in_urls &= !memo.has_user();
        memo
    }

    /// Whether these are the URLs that it was typed with.
    pub fn has_urls(&self, urls: &[String]) -> bool {
        urls.iter().map(|url| without_user(url)).eq(self.urls.iter().cloned())
    }

    /// What was typed to say what is to be fetched, and is not what it began with. What is not typed again is as it was.
    pub fn other_input(&self, flags: &RunFlags, state: &Path) -> Option<String> {
        if !flags.urls.is_empty() && !self.has_urls(&flags.urls) {
            return Some(match flags.urls.iter().find(|url| !self.urls.contains(&without_user(url))) {
                Some(url) => format!("the URL {} is", without_user(url)),
                None => "the URLs are".to_owned(),
            });
        }
        if !flags.inputs.is_empty() {
            let here = std::env::current_dir().unwrap_or_default();
            let inputs = if self.implicit { vec![PathBuf::from("-")] } else { self.inputs.clone() };
            let places = |paths: &[PathBuf], home: &Path| -> Vec<PathBuf> {
                paths.iter().map(|path| if path == Path::new("-") { path.clone() } else { home.join(path) }).collect()
            };
            let (now, then) = (places(&flags.inputs, &here), places(&inputs, &self.home(state)));
            if now != then {
                let other = flags.inputs.iter().zip(&now).find(|(_, place)| !then.contains(place));
                return Some(match other {
                    Some((typed, _)) => format!("-i {} is", typed.display()),
                    None => "the list of -i is".to_owned(),
                });
            }
        }
        let request = &flags.request;
        let named = [
            ("-X", request.method.is_some() && request.method != self.method),
            ("-d", !request.data.is_empty() && request.data != self.data),
            ("--json", !request.json.is_empty() && request.json != self.json),
            ("-I", request.head && !self.head),
        ];
        named.into_iter().find(|(_, differs)| *differs).map(|(flag, _)| format!("{flag} is"))
    }

    /// Whether `--user` of a later process may stand for the credentials of the URLs that were typed.
    pub fn lacks_user(&self) -> bool {
        self.user_in_urls && !self.has_user()
    }

    /// Whether it was begun with `--user`.
    pub fn has_user(&self) -> bool {
        self.missing.iter().any(|name| name == "user")
    }

    /// Its tables of hosts, with secrets out of the files that they came from.
    ///
    /// # Errors
    /// Secrets are not there any more, or a file cannot be read.
    pub fn hosts(&self) -> Result<Vec<HostTable>, UsageError> {
        let mut now = Vec::new();
        if self.hosts.iter().any(KeptTable::lacks_secrets) {
            let files = Wanted { file: self.config.clone(), none: self.no_config };
            now = std::mem::take(crate::file::read(self.run(), &files)?.hosts_mut());
        }
        self.hosts.iter().map(|table| table.restored(&now)).collect()
    }

    /// Where relative paths of its command begin, for a state that lies here now (absolute): in the directory in which
    /// it was typed. Of a state that was copied or moved along with what lay beside it, in the same place as seen from
    /// the state.
    pub fn home(&self, state: &Path) -> PathBuf {
        let beside = self.state.strip_prefix(&self.directory).map(|below| below.components().count());
        let moved = match beside {
            Ok(levels) if levels > 0 && state != self.state => state.ancestors().nth(levels),
            _ => None,
        };
        let files = self.settings.get("output").into_iter().flatten().map(|text| output_path(text));
        let mut files = files.chain(self.inputs.iter().map(PathBuf::as_path)).filter(|path| is_relative(path));
        match moved {
            Some(home) if !self.directory.is_dir() || files.any(|path| home.join(path).exists()) => home.to_owned(),
            _ => self.directory.clone(),
        }
    }

    /// Whether its outputs are other files if its command is typed here.
    pub fn has_other_outputs(&self, here: &Path, state: &Path) -> bool {
        let mut outputs = self.settings.get("output").into_iter().flatten();
        let home = self.home(state);
        let same = home.canonicalize().ok().zip(here.canonicalize().ok()).is_some_and(|(home, here)| home == here);
        !same && outputs.any(|text| is_relative(output_path(text)))
    }

    /// The settings, as if they had been typed.
    pub fn layer(&self) -> Layer {
        let mut layer = Layer::default();
        for (name, texts) in &self.settings {
            // One that this version lacks has no effect in it.
            if let Some(setting) = setting(name) {
                layer.set(setting, texts.clone(), Origin::Flag(format!("--{name}")));
            }
        }
        layer
    }

    /// The command line, without its settings.
    pub fn flags(&self) -> RunFlags {
        let inputs = if self.implicit { vec![PathBuf::from("-")] } else { self.inputs.clone() };
        RunFlags {
            run: self.run(),
            flags: Layer::default(),
            urls: self.urls.clone(),
            inputs,
            request: RequestFlags {
                method: self.method.clone(),
                data: self.data.clone(),
                json: self.json.clone(),
                head: self.head,
            },
            files: Wanted { file: None, none: true },
            keep: None,
        }
    }

    /// Puts in what was left out, from what is given now.
    ///
    /// # Errors
    /// Names what is still missing, or what was typed now and is new to the run: later processes would not know of it.
    pub fn restore(&self, layer: &mut Layer, given: &Layer) -> Result<(), UsageError> {
        let mut wanting = Vec::new();
        let mut lines = layer.get("header").map(|given| given.texts.clone()).unwrap_or_default();
        let mut cookies = layer.get("cookie").map(|given| given.texts.clone()).unwrap_or_default();
        let again = given.get("header").map(|given| given.texts.clone()).unwrap_or_default();
        for name in &self.missing {
            match name.as_str() {
                COOKIE => {
                    match given.get("cookie").map(|given| lines_of(&given.texts)).filter(|lines| !lines.is_empty()) {
                        Some(lines) => cookies.extend(lines),
                        None => wanting.push("-b 'NAME=VALUE' (or LYCOSA_COOKIE)".to_owned()),
                    }
                }
                "user" | "proxy" => match (given.get(name), setting(name)) {
                    (Some(value), Some(setting)) => layer.set(setting, value.texts.clone(), value.origin.clone()),
                    _ => wanting.push(format!("--{name} (or LYCOSA_{})", name.to_uppercase())),
                },
                header => match again.iter().find(|line| header_name(line).eq_ignore_ascii_case(header)) {
                    Some(line) => lines.push(line.clone()),
                    None => wanting.push(format!("-H '{header}: …' (or LYCOSA_HEADER)")),
                },
            }
        }
        if !wanting.is_empty() {
            let message = format!("credentials are not kept in the state; give again: {}", wanting.join(", "));
            return Err(UsageError::new(message));
        }
        self.refuse_new(given)?;
        if self.lacks_user()
            && let (Some(value), Some(setting)) = (typed(given, "user"), setting("user"))
        {
            layer.set(setting, value.texts.clone(), value.origin.clone());
        }
        if let Some(setting) = setting("cookie").filter(|_| !cookies.is_empty()) {
            layer.set(setting, cookies, Origin::Flag("--cookie".to_owned()));
        }
        if let Some(setting) = setting("header").filter(|_| !lines.is_empty()) {
            layer.set(setting, lines, Origin::Flag("--header".to_owned()));
        }
        Ok(())
    }

    /// What was typed now is what was left out, or the same as then.
    fn refuse_new(&self, given: &Layer) -> Result<(), UsageError> {
        let missed = |name: &str| self.missing.iter().any(|missing| missing.eq_ignore_ascii_case(name));
        let refused = |what: &str| {
            let why = "the answers that are written would differ from those to come";
            Err(UsageError::new(format!(
                "{what} is not what the run began with, and cannot be changed on resume: {why}"
            )))
        };
        for name in ["user", "proxy"] {
            let Some(value) = typed(given, name) else { continue };
            let same = self.settings.get(name).is_some_and(|texts| *texts == value.texts);
            let stands_in = name == "user" && self.lacks_user();
            if !(same || missed(name) || stands_in) {
                return refused(&format!("--{name}"));
            }
        }
        let kept = self.settings.get("cookie").map_or(&[][..], Vec::as_slice);
        let typed_cookies = typed(given, "cookie").map_or(&[][..], |given| &given.texts);
        let is_new = |entry: &String| if is_line(entry) { !missed(COOKIE) } else { !kept.contains(entry) };
        if typed_cookies.iter().any(is_new) {
            return refused("--cookie");
        }
        let kept = self.settings.get("header").map_or(&[][..], Vec::as_slice);
        let lines = typed(given, "header").map_or(&[][..], |given| &given.texts);
        match lines.iter().find(|line| !kept.contains(line) && !missed(header_name(line))) {
            // Its value may be a secret.
            Some(line) => refused(&format!("-H '{}: …'", header_name(line))),
            None => Ok(()),
        }
    }
}

/// The file of a `-o`, which may have its format before it.
fn output_path(text: &str) -> &Path {
    let is_format = |prefix: &str| lycosa::sinks::FORMATS.iter().any(|format| format.name == prefix);
    Path::new(text.split_once(':').filter(|(prefix, _)| is_format(prefix)).map_or(text, |(_, path)| path))
}

fn is_relative(path: &Path) -> bool {
    path != Path::new("-") && path.is_relative()
}

/// What stands for the cookies that were left out: no header's name starts with a dash.
const COOKIE: &str = "--cookie";

/// The entries of `-b` that are cookies, and no file.
fn lines_of(entries: &[String]) -> Vec<String> {
    entries.iter().filter(|entry| is_line(entry)).cloned().collect()
}

/// What a flag of this command line says, and no variable.
fn typed<'a>(given: &'a Layer, name: &str) -> Option<&'a Given> {
    given.get(name).filter(|given| matches!(given.origin, Origin::Flag(_)))
}

/// The name that a `-H` line sets.
pub fn header_name(line: &str) -> &str {
    line.split([':', ';']).next().unwrap_or_default().trim()
}

/// The texts of a setting without its secrets; None if nothing of it is left.
fn kept(name: &str, texts: &[String], missing: &mut Vec<String>) -> Option<Vec<String>> {
    match name {
        // How this call looks is no business of the next one.
        "color" | "log-format" | "no-progress" | "quiet" | "verbose" | "strict-input" => None,
        "user" => {
            missing.push(name.to_owned());
            None
        }
        "cert" => Some(texts.iter().map(|text| certificate_file(text).replace(':', "\\:")).collect()),
        "proxy" if texts.iter().any(|text| text.contains('@')) => {
            missing.push(name.to_owned());
            None
        }
        // What is no secret names a file.
        "cookie" => {
            let (secret, files): (Vec<&String>, Vec<&String>) = texts.iter().partition(|entry| is_line(entry));
            if !secret.is_empty() {
                missing.push(COOKIE.to_owned());
            }
            Some(files.into_iter().cloned().collect())
        }
        "header" => {
            let (secret, open): (Vec<&String>, Vec<&String>) =
                texts.iter().partition(|line| !line.starts_with('@') && is_credential(header_name(line)));
            missing.extend(secret.into_iter().map(|line| header_name(line).to_owned()));
            Some(open.into_iter().cloned().collect())
        }
        _ => Some(texts.to_vec()),
    }
}

/// A URL without user and password. They are missed only if it is still to be asked.
fn without_user(text: &str) -> String {
    match lycosa::model::url::parse(text.trim()) {
        Ok(mut url) if !url.username().is_empty() || url.password().is_some() => {
            // Both fail only for URLs without a host, which `parse` refuses.
            let _ = url.set_username("");
            let _ = url.set_password(None);
            url.into()
        }
        _ => text.to_owned(),
    }
}
