//! The command line of `extract`, which runs rules over files on disk.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::{flag, negative_flag};
use crate::file;
use crate::settings::table::SETTINGS;
use crate::settings::{Kind, Layer, Origin, Run, Setting, UsageError};

/// `extract`, as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtractFlags {
    /// What is looked for: `extract`, `rules`, `metadata`, `text`, `markdown`.
    pub flags: Layer,
    pub files: Vec<PathBuf>,
    /// Where pages of files came from that do not say it.
    pub base: Option<String>,
    /// Tell what each rule has matched, instead of the data.
    pub explain: bool,
}

/// What is looked for.
fn settings() -> impl Iterator<Item = &'static Setting> {
    const NAMES: [&str; 5] = ["extract", "markdown", "metadata", "rules", "text"];
    SETTINGS.iter().filter(|setting| NAMES.contains(&setting.name))
}

/// Reads what clap has found.
///
/// # Errors
/// Nothing is looked for.
pub fn extract_flags(matches: &ArgMatches) -> Result<ExtractFlags, UsageError> {
    let mut layer = Layer::default();
    for setting in settings() {
        let given = match matches.try_get_many::<String>(setting.name) {
            Ok(given) => given.map(|texts| texts.cloned().collect::<Vec<_>>()),
            Err(_) => matches.get_flag(setting.name).then(|| vec!["true".to_owned()]),
        };
        if let Some(texts) = given {
            layer.set(setting, texts, Origin::Flag(format!("--{}", setting.name)));
        }
    }
    if layer.iter().next().is_none() {
        return Err(UsageError::new("nothing to extract")
            .with_hint("name a field or rules: --extract 'title=h1', --rules FILE, --metadata, --text, --markdown"));
    }
    Ok(ExtractFlags {
        flags: layer,
        files: matches.get_many::<PathBuf>("file").map(|files| files.cloned().collect()).unwrap_or_default(),
        base: matches.get_one("base").cloned(),
        explain: matches.get_flag("explain"),
    })
}

pub fn extract_command() -> Command {
    let defaults = file::defaults(Run::Fetch);
    Command::new("extract")
        .about("Run rules for fields over files on disk, and write what they find as JSON Lines")
        .after_help(
            "Files may be HTML or JSON, records of lycosa with bodies (--with body, JSON Lines), or WARC, each also \
             compressed with gzip. Nothing is fetched. Each line has file, url (null if it is not known), and data. Rules \
             for some URLs look at the URL, or at --base, or at the path of the file (file:///…).\n\n\
             Exit code 2: a rule cannot be used, or a file cannot be read.",
        )
        .args_override_self(true)
        .arg(
            Arg::new("file")
                .value_name("FILE")
                .required(true)
                .num_args(1..)
                .value_parser(value_parser!(PathBuf))
                .help("Files to read; '-' is standard input"),
        )
        .arg(
            Arg::new("base")
                .long("base")
                .value_name("URL")
                .help("Where the pages came from, if the file does not say it: for links, and rules of some URLs"),
        )
        .arg(
            Arg::new("explain")
                .long("explain")
                .action(ArgAction::SetTrue)
                .help("Tell for each rule how many elements it matched, the first of them and its value, as text"),
        )
        .args(settings().map(|setting| flag(setting, &defaults)))
        .args(settings().filter(|setting| setting.kind == Kind::Switch).map(negative_flag))
}
