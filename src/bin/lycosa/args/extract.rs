//! The command line of `extract`, which runs rules over files on disk.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::{config_file, flag, layer_of, negative_flag, no_config, wanted};
use crate::file::{self, Wanted};
use crate::settings::table::SETTINGS;
use crate::settings::{Kind, Layer, Run, Setting, UsageError, fields};

/// `extract`, as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtractFlags {
    /// What is looked for, and how much is told.
    pub flags: Layer,
    pub paths: Vec<PathBuf>,
    /// Where pages of files came from that do not say it.
    pub base: Option<String>,
    /// Tell what each rule has matched, instead of the data.
    pub explain: bool,
    /// Configuration files.
    pub files: Wanted,
}

fn settings() -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().filter(|setting| fields::NAMES.contains(&setting.name) || setting.name == "quiet")
}

/// Reads what clap has found.
///
/// # Errors
/// A value that cannot be read.
pub fn extract_flags(matches: &ArgMatches) -> Result<ExtractFlags, UsageError> {
    Ok(ExtractFlags {
        flags: layer_of(settings(), matches)?,
        paths: matches.get_many::<PathBuf>("file").map(|files| files.cloned().collect()).unwrap_or_default(),
        base: matches.get_one("base").cloned(),
        explain: matches.get_flag("explain"),
        files: wanted(matches),
    })
}

pub fn extract_command() -> Command {
    let defaults = file::defaults(Run::Fetch);
    Command::new("extract")
        .about("Run rules for fields over files on disk, and write what they find as JSON Lines")
        .after_help(
            "Files may be HTML or JSON, records of lycosa (JSON Lines or JSON; with --with body, or with the files of \
             --save-bodies), or WARC, each also compressed with gzip or zstd; of a directory, its HTML and JSON. Nothing is \
             fetched. Each line has file, url (null if it is not known), and data. Rules for some URLs look at the URL, or at \
             --base, or at the path of the file (file:///…). What gives no line is counted on standard error.\n\n\
             Exit code 2: a rule cannot be used, or a file cannot be read.",
        )
        .args_override_self(true)
        .arg(
            Arg::new("file")
                .value_name("FILE")
                .required(true)
                .num_args(1..)
                .value_parser(value_parser!(PathBuf))
                .help("Files and directories to read; '-' is standard input"),
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
        .args([config_file(), no_config()])
        .args(settings().map(|setting| flag(setting, defaults)))
        .args(settings().filter(|setting| setting.kind == Kind::Switch).map(negative_flag))
}
