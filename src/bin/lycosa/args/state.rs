//! The command lines of runs that are kept on disk: `--state` of a run, `resume` and `status`.
//!
//! Decides which settings a later process may change, and tells of the others why not.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::{flag, layer_of, negative_flag};
use crate::settings::table::{HEADINGS, INPUT, LIMITS, OUTPUT, POLITENESS, REQUESTS, SCOPE, SETTINGS};
use crate::settings::{Kind, Layer, Setting, UsageError};

/// Where a run is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keep {
    pub dir: PathBuf,
    /// `--continue`: one that is there goes on.
    pub go_on: bool,
    /// `--again`: one that is finished begins anew.
    pub again: bool,
}

/// `resume`, as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResumeFlags {
    pub dir: PathBuf,
    pub flags: Layer,
    pub retry_failed: bool,
}

/// `status`, as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusFlags {
    pub dir: PathBuf,
    pub json: bool,
}

/// Whether a later process may have another value than the first.
pub fn may_change(setting: &Setting) -> bool {
    const FIXED: [&str; 3] = ["max-filesize", "max-ratio", "robots"];
    const FREE: [&str; 10] =
        ["cookie", "durability", "header", "proxy", "retry-all", "summary", "user", "color", "quiet", "verbose"];
    if FREE.contains(&setting.name) {
        return true;
    }
    match setting.heading {
        POLITENESS | LIMITS => !FIXED.contains(&setting.name),
        INPUT | SCOPE | REQUESTS | OUTPUT => false,
        _ => setting.name != "accept",
    }
}

/// Why it may not.
pub fn why_fixed(setting: &Setting) -> &'static str {
    match setting.heading {
        INPUT => "what was read of the input would no longer be what is read on",
        SCOPE => "the links that were accepted so far depend on it",
        OUTPUT => "the records that are written would differ from those to come",
        _ => "the answers that are written would differ from those to come",
    }
}

pub fn resume_flags(matches: &ArgMatches) -> Result<ResumeFlags, UsageError> {
    let flags = layer_of(SETTINGS.iter(), matches)?;
    for (name, _) in flags.iter() {
        if let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name && !may_change(setting)) {
            return Err(UsageError::new(format!("--{name} cannot be changed on resume: {}", why_fixed(setting))));
        }
    }
    Ok(ResumeFlags { dir: dir(matches), flags, retry_failed: matches.get_flag("retry-failed") })
}

pub fn status_flags(matches: &ArgMatches) -> StatusFlags {
    StatusFlags { dir: dir(matches), json: matches.get_one::<String>("format").is_some_and(|format| format == "json") }
}

fn dir(matches: &ArgMatches) -> PathBuf {
    matches.get_one::<PathBuf>("dir").cloned().unwrap_or_default()
}

/// What a run's own command line says.
pub fn keep(matches: &ArgMatches) -> Option<Keep> {
    let dir = matches.get_one::<PathBuf>("state")?.clone();
    let again = matches.try_get_one::<bool>("again").ok().flatten().copied().unwrap_or_default();
    Some(Keep { dir, go_on: matches.get_flag("continue"), again })
}

pub fn keep_args() -> [Arg; 2] {
    [
        Arg::new("state")
            .long("state")
            .value_name("DIR")
            .value_parser(value_parser!(PathBuf))
            .help("Keep the run in DIR: it can be killed at any time, and resumed; records in files are exactly once, on standard output at least once"),
        Arg::new("continue")
            .long("continue")
            .action(ArgAction::SetTrue)
            .requires("state")
            .help("Go on with the run in DIR if there is one; do nothing if it is finished"),
    ]
}

/// Of a crawl alone: a list that is fetched again is fetched again.
pub fn again_arg() -> Arg {
    Arg::new("again")
        .long("again")
        .action(ArgAction::SetTrue)
        .requires("state")
        .help("Visit again what the finished run in DIR knew, as a new run, and say what has changed (change)")
}

pub fn resume_command() -> Command {
    let mut settings: Vec<&'static Setting> = SETTINGS.iter().collect();
    let place = |heading: &str| HEADINGS.iter().position(|known| *known == heading);
    settings.sort_by_key(|setting| (place(setting.heading), setting.name));
    // The defaults here are what the run began with, whatever that was.
    let flags = settings.iter().map(|setting| flag(setting, &Layer::default()).hide(!may_change(setting)));
    let flags = flags.zip(&settings).map(|(flag, setting)| flag.help_heading(setting.heading)).collect::<Vec<_>>();
    let negatives =
        settings.iter().filter(|setting| setting.kind == Kind::Switch).map(|setting| negative_flag(setting));
    Command::new("resume")
        .about("Go on with a run that was stopped or killed, with its settings")
        .after_help("Input that had not ended is given again from its start: what was read is passed over.\nWithout it what was accepted is finished, and the exit code is 4.\nOf a finished run: exit code 0, and no record.")
        .args_override_self(true)
        .arg(state_dir())
        .arg(
            Arg::new("retry-failed")
                .long("retry-failed")
                .action(ArgAction::SetTrue)
                .help("Ask for what has failed once more; the new record names the old one (retry_of)"),
        )
        .args(flags.into_iter().enumerate().map(|(order, flag)| flag.display_order(order + 10)))
        .args(negatives)
}

pub fn status_command() -> Command {
    Command::new("status").about("Tell how a run is getting on, or where it was stopped").arg(state_dir()).arg(
        Arg::new("format")
            .long("format")
            .value_name("FORMAT")
            .value_parser(["text", "json"])
            .default_value("text")
            .help("How to print it"),
    )
}

fn state_dir() -> Arg {
    Arg::new("dir")
        .value_name("DIR")
        .required(true)
        .value_parser(value_parser!(PathBuf))
        .help("The state directory of the run")
}
