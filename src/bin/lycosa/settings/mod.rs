//! Settings: what a user may choose, by flag, environment or file.
//!
//! [`table::SETTINGS`] names each setting once; flags, help, environment, files, `config show` and the JSON Schema are
//! all made from it, and every default comes from the embedded `config.toml`. A value stays the text it was given as,
//! with its [`Origin`], until [`resolve`] turns all of them into the library's settings.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

pub mod bad;
pub mod check;
pub mod commands;
pub mod cookies;
pub mod fields;
pub mod hosts;
pub mod network;
pub mod request;
pub mod resolve;
pub mod table;
pub mod transport;
pub mod values;

/// The commands that have settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    Crawl,
    Fetch,
}

impl Run {
    pub const ALL: [Self; 2] = [Self::Crawl, Self::Fetch];

    /// Name of the command, and of its table in a file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Crawl => "crawl",
            Self::Fetch => "fetch",
        }
    }
}

/// The commands a setting belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    Both,
    Only(Run),
}

impl On {
    pub fn covers(self, run: Run) -> bool {
        self == Self::Both || self == Self::Only(run)
    }
}

/// How the text of a value is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`; on the command line the flag alone.
    Switch,
    /// 0, 1 or 2; on the command line how often the flag stands there.
    Count,
    /// A whole number in a range; `none` too, if it is a limit.
    Whole { least: u32, most: u32, none: bool },
    /// Also `none` and 0, which switch it off.
    Duration,
    /// Bytes, at least so many. Also `none` and 0, which switch it off.
    Size { least: u64 },
    /// Also `none`.
    Rate,
    /// One of these.
    Word(&'static [&'static str]),
    /// `200..299,304`.
    Statuses,
    /// `never`, `seeds`, `any`, a count or a share.
    FailOn,
    /// A duration as above, or `p95`.
    HedgeAfter,
    /// `own`, `system`, or the address of a name server.
    Dns,
    /// Networks (CIDR), in order.
    Networks,
    /// A number of probes, or a duration with its unit; also `none`.
    Patience,
    /// Any text; `none` is no text.
    Text,
    /// Texts, in order.
    Texts,
    /// Regular expressions.
    Patterns,
    /// Some of these, also several in one entry with commas between.
    Words(&'static [&'static str]),
}

impl Kind {
    pub fn is_list(self) -> bool {
        matches!(self, Self::Texts | Self::Patterns | Self::Networks | Self::Words(_))
    }
}

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Long flag without its dashes; key in files; with `LYCOSA_`, upper case and `_` also the variable.
    pub name: &'static str,
    pub short: Option<char>,
    /// Another spelling of the flag, curl's.
    pub alias: Option<&'static str>,
    /// What the value is called in help.
    pub value: &'static str,
    pub kind: Kind,
    pub on: On,
    /// Heading in help.
    pub heading: &'static str,
    pub help: &'static str,
    /// Whether `./lycosa.toml` may set it: that file may come with somebody's checkout.
    pub local: bool,
}

impl Setting {
    pub const fn new(name: &'static str, kind: Kind, value: &'static str, help: &'static str) -> Self {
        Self { name, short: None, alias: None, value, kind, on: On::Both, heading: "", help, local: true }
    }

    pub const fn short(mut self, short: char) -> Self {
        self.short = Some(short);
        self
    }

    pub const fn alias(mut self, alias: &'static str) -> Self {
        self.alias = Some(alias);
        self
    }

    pub const fn only(mut self, run: Run) -> Self {
        self.on = On::Only(run);
        self
    }

    pub const fn under(mut self, heading: &'static str) -> Self {
        self.heading = heading;
        self
    }

    pub const fn not_local(mut self) -> Self {
        self.local = false;
        self
    }

    /// Name of its environment variable.
    pub fn variable(&self) -> String {
        format!("LYCOSA_{}", self.name.to_uppercase().replace('-', "_"))
    }
}

/// The setting of a name.
pub fn setting(name: &str) -> Option<&'static Setting> {
    table::SETTINGS.iter().find(|setting| setting.name == name)
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The embedded `config.toml`.
    Default,
    File {
        path: PathBuf,
        line: usize,
    },
    /// A variable.
    Environment(String),
    /// A flag as it is spelled in full.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(variable) => write!(f, "environment {variable}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// A value as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// One text, or the entries of a list.
    pub texts: Vec<String>,
    pub origin: Origin,
}

/// One table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostTable {
    /// Patterns of hosts, as written; each can be read.
    pub matches: Vec<String>,
    pub values: BTreeMap<&'static str, Given>,
    pub origin: Origin,
}

/// Values by name, of one place or of all of them laid over one another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layer(BTreeMap<&'static str, Given>, Vec<HostTable>);

impl Layer {
    pub fn set(&mut self, setting: &'static Setting, texts: Vec<String>, origin: Origin) {
        self.0.insert(setting.name, Given { texts, origin });
    }

    pub fn get(&self, name: &str) -> Option<&Given> {
        self.0.get(name)
    }

    /// All values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Given)> {
        self.0.iter().map(|(name, given)| (*name, given))
    }

    /// Tables of hosts, the strongest first.
    pub fn hosts(&self) -> &[HostTable] {
        &self.1
    }

    pub fn hosts_mut(&mut self) -> &mut Vec<HostTable> {
        &mut self.1
    }

    /// Leaves out what `is` does not say.
    pub fn keep_only(&mut self, is: impl Fn(&'static Setting) -> bool) {
        self.0.retain(|name, _| setting(name).is_some_and(&is));
    }

    /// Lays a stronger layer over this one. A list is replaced as a whole.
    pub fn lay_over(&mut self, stronger: Self) {
        self.0.extend(stronger.0);
        self.1.splice(0..0, stronger.1);
    }
}

/// What a user has to mend: a message of one line, its details, and perhaps a hint. Exit code 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageError {
    pub message: String,
    /// Further lines that belong to the message: what it counts, one by one.
    pub details: Vec<String>,
    pub hint: Option<String>,
}

impl UsageError {
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), details: Vec::new(), hint: None }
    }

    pub fn with_details(mut self, details: Vec<String>) -> Self {
        self.details = details;
        self
    }

    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A bad value of a setting: says where the value came from.
    pub fn of_value(setting: &Setting, origin: &Origin, bad: check::Bad) -> Self {
        let message = match origin {
            Origin::Default => format!("the default of {}: {}", setting.name, bad.message),
            Origin::File { .. } => format!("{origin}: {}: {}", setting.name, bad.message),
            Origin::Environment(name) | Origin::Flag(name) => format!("{name}: {}", bad.message),
        };
        Self { message, details: Vec::new(), hint: bad.hint }
    }
}

impl UsageError {
    /// The message alone.
    pub fn first_line(&self) -> String {
        format!("lycosa: {}", one_line(&self.message))
    }
}

/// Of what is no setting: the message names its flag.
impl From<check::Bad> for UsageError {
    fn from(bad: check::Bad) -> Self {
        Self { message: bad.message, details: Vec::new(), hint: bad.hint }
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Each part on its line, whatever a file or a server put into it.
        f.write_str(&self.first_line())?;
        self.details.iter().chain(&self.hint).try_for_each(|line| write!(f, "\n  {}", one_line(line)))
    }
}

/// Control characters escaped, so that the text stays on its line and cannot steer a terminal.
pub fn one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// The known name that is most like a wrong one.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = wrong.to_lowercase().replace('_', "-");
    known.into_iter().max_by(|a, b| {
        let likeness = |name: &str| strsim::jaro_winkler(&wrong, name);
        likeness(a).total_cmp(&likeness(b))
    })
}
