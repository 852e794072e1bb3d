//! What a wrong command line is answered: one line, and the flag that was probably meant.
//!
//! People come from curl and wget. Spellings they know and that we lack are named with ours, so nobody has to guess.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::settings::table::SETTINGS;
use crate::settings::{Origin, Run, UsageError, check};

/// Spellings of curl, wget and others, with what to write here.
const FOREIGN: &[(&[&str], &str)] = &[
    (&["-f", "--fail", "--fail-with-body"], "an HTTP error is a failure already: see --fail-on and --accept"),
    (
        &["-O", "--output-document", "--remote-name", "--remote-name-all"],
        "write -o FILE for records; bodies come into them with --with body",
    ),
    (
        &["-P", "--directory-prefix", "--output-dir"],
        "write -o DIR/FILE for records; bodies come into them with --with body",
    ),
    (&["-r", "--recursive", "--mirror"], "write lycosa crawl URL"),
    (
        &["-w", "--wait", "--random-wait", "--sleep"],
        "write --delay DUR for wget's wait; curl's write-out is in every record",
    ),
    (&["--write-out"], "status, times and sizes are keys of every record"),
    (
        &["-t", "--tries", "--retry", "--max-retries", "--retry-count"],
        "write --retries N, which counts further attempts after the first",
    ),
    (
        &["--waitretry", "--retry-delay", "--retry-max-time"],
        "retries back off by themselves: see --retries and --max-retry-after",
    ),
    (&["--retry-connrefused", "--retry-on-http-error"], "what is retried is fixed: see --retries"),
    (&["-T"], "write --timeout DUR for wget's; -X PUT -d @FILE for curl's upload"),
    (&["--upload-file"], "write fetch -X PUT -d @FILE"),
    (
        &["-Z", "--parallel", "--parallel-max", "--parallel-immediate", "--threads", "--jobs", "--workers"],
        "write -j/--concurrency N",
    ),
    (
        &["--connections", "--max-connections", "--max-threads"],
        "write -j/--concurrency N, and --host-concurrency N for one host",
    ),
    (&["-np", "--no-parent"], "write --scope prefix"),
    (&["-nc", "--no-clobber", "-N", "--timestamping"], "files given with -o are always written anew"),
    (&["-nv", "--no-verbose"], "write -q"),
    (
        &["-nd", "-nH", "--no-directories", "-E", "--adjust-extension", "--page-requisites"],
        "no files are laid out on disk: records go to -o FILE",
    ),
    (&["--spider"], "write lycosa fetch -I/--head"),
    (&["--level", "--depth"], "write -l/--max-depth N"),
    (&["-D", "--domains", "--span-hosts"], "write --scope domain or --scope any, with --include RE and --exclude RE"),
    (&["--accept-regex", "--include-regex"], "write --include RE"),
    (&["-R", "--reject", "--reject-regex", "--exclude-domains", "--exclude-directories"], "write --exclude RE"),
    (&["--no-check-certificate"], "write -k/--insecure"),
    (&["--max-redirect"], "write --max-redirs N"),
    (&["--dns-timeout"], "write --connect-timeout DUR, which covers it"),
    (&["-Q", "--quota"], "write --max-pages N"),
    (&["--ignore-robots", "--no-robots", "--disregard-robots"], "write --robots ignore"),
    (&["--obey-robots", "--respect-robots"], "write --robots obey"),
    (&["--post-data", "--post-file", "--body-data", "--body-file"], "write fetch -d DATA, or -d @FILE"),
    (&["--data-raw", "--data-binary", "--data-ascii", "--data-urlencode"], "write fetch -d DATA"),
    (&["-F", "--form"], "write fetch -d NAME=VALUE; files in forms are not sent"),
    (&["--method"], "write fetch -X METHOD"),
    (&["-G", "--get"], "write the query into the URL"),
    (&["--url"], "write the URL as an argument"),
    (&["--http-user", "--http-password", "--password", "--basic"], "write -u NAME:PASSWORD"),
    (&["--proxy-user", "-U"], "write -x http://NAME:PASSWORD@HOST:PORT"),
    (&["-S", "--show-error"], "errors are always shown"),
    (&["--dump-header", "--server-response", "--save-headers", "--show-headers"], "write --with headers"),
    (&["--compressed"], "answers are always asked for compressed"),
    (&["--location-trusted"], "credentials never go to another origin"),
    (&["--output-file", "--append-output", "-a", "--log-file"], "logs go to standard error: write 2> FILE"),
    (&["--input", "--url-file", "--urls", "--list"], "write -i/--input-file FILE"),
    (&["--output-format"], "write --format FORMAT, or -o FORMAT:FILE"),
    (&["--fail-fast"], "write --fail-early"),
    (&["--per-host", "--max-per-host", "--concurrent-requests-per-domain"], "write --host-concurrency N"),
];

/// wget's pairs of letters (`-nc`, `-np`), which the parser would read as two flags of ours.
pub fn refuse_pairs(words: &[OsString]) -> Result<(), UsageError> {
    let words = words.iter().filter_map(|word| word.to_str()).take_while(|word| *word != "--");
    let pair =
        words.filter(|word| word.len() == 3 && word.starts_with("-n")).find_map(|word| Some((word, foreign(word)?)));
    pair.map_or(Ok(()), |(word, ours)| Err(foreign_error(word, ours)))
}

fn foreign_error(flag: &str, ours: &str) -> UsageError {
    UsageError::new(format!("{flag} is not a flag of lycosa: {ours}"))
}

/// Turns an error of the parser into ours.
pub fn explain(error: &clap::Error, words: &[OsString], command: &clap::Command) -> UsageError {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        Some(ContextValue::Strings(texts)) => texts.first().map(String::as_str),
        _ => None,
    };
    match error.kind() {
        ErrorKind::UnknownArgument => unknown_flag(
            text(ContextKind::InvalidArg).unwrap_or_default(),
            text(ContextKind::SuggestedArg),
            words,
            command,
        ),
        ErrorKind::InvalidSubcommand => unknown_command(
            text(ContextKind::InvalidSubcommand).unwrap_or_default(),
            text(ContextKind::SuggestedSubcommand),
        ),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => UsageError::new("no command given")
            .with_hint("write lycosa crawl URL or lycosa fetch URL; all of it: lycosa --help"),
        _ => other(&error.render().to_string(), text(ContextKind::SuggestedValue)),
    }
}

fn unknown_flag(flag: &str, suggested: Option<&str>, words: &[OsString], command: &clap::Command) -> UsageError {
    let words: Vec<&str> = words.iter().filter_map(|word| word.to_str()).take_while(|word| *word != "--").collect();
    // `-np` reaches us as `-n`: the word as it was typed says more.
    let typed = words
        .iter()
        .copied()
        .find(|word| !word.starts_with("--") && word.starts_with(flag) && foreign(word).is_some() && flag.len() == 2);
    let flag = typed.unwrap_or(flag).split('=').next().unwrap_or_default();
    let run = Run::ALL.into_iter().find(|run| words.get(1) == Some(&run.as_str()));
    if let Some(error) = negative_value(flag, &words) {
        return error;
    }
    if let Some(error) = run.and_then(|run| of_the_other(flag, run, command)) {
        return error;
    }
    if let Some(error) = of_kept_runs(flag, words.get(1).copied().unwrap_or_default()) {
        return error;
    }
    if let Some(ours) = foreign(flag) {
        return foreign_error(flag, ours);
    }
    let error = UsageError::new(format!("unknown flag '{flag}'"));
    match suggested.filter(|near| is_near(flag, near)) {
        Some(near) => error.with_hint(format!("did you mean '{near}'?")),
        None => match named(&words, command) {
            Some(named) => error.with_hint(format!("all flags: {named} --help")),
            None => error.with_hint("flags stand after the command: lycosa crawl --help"),
        },
    }
}

/// Whether one flag may be a slip for another. The parser's own measure counts the dashes as well, and takes `--digest` for
/// `--quiet`.
fn is_near(flag: &str, near: &str) -> bool {
    strsim::jaro_winkler(flag.trim_start_matches('-'), near.trim_start_matches('-')) > 0.75
}

/// A word of runs that are kept, at the command that lacks it.
fn of_kept_runs(flag: &str, command: &str) -> Option<UsageError> {
    match (command, flag) {
        ("crawl" | "fetch", "--retry-failed") => {
            let error = UsageError::new("--retry-failed is a flag of lycosa resume");
            Some(error.with_hint("write lycosa resume DIR --retry-failed, with the DIR of --state"))
        }
        ("resume", "--continue" | "--state" | "--again") => {
            let error = UsageError::new(format!("{flag} is a flag of lycosa crawl and fetch"));
            Some(error.with_hint("write lycosa resume DIR, which goes on by itself"))
        }
        ("resume", word) if !word.starts_with('-') => {
            let error = UsageError::new(format!("lycosa resume takes a directory and flags, not '{word}'"));
            Some(error.with_hint("what is fetched is what the run began with"))
        }
        _ => None,
    }
}

/// The command that was typed, with its subcommand: `lycosa config show`.
fn named(words: &[&str], command: &clap::Command) -> Option<String> {
    let mut names = vec![command.get_name()];
    let mut command = command;
    while let Some(inner) = words.get(names.len()).and_then(|word| command.find_subcommand(word)) {
        names.push(inner.get_name());
        command = inner;
    }
    (names.len() > 1).then(|| names.join(" "))
}

/// `--rate -1/s`: a bad value of the flag before it, not a flag.
fn negative_value(flag: &str, words: &[&str]) -> Option<UsageError> {
    if !flag.strip_prefix('-')?.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    words.windows(2).find_map(|pair| {
        let (before, value) = (pair[0], pair[1]);
        let setting = SETTINGS.iter().find(|setting| {
            let long = before.strip_prefix("--");
            let mut letters = before.strip_prefix('-').unwrap_or_default().chars();
            (long.is_some() && (long == Some(setting.name) || long == setting.alias))
                || (setting.short.is_some() && letters.next() == setting.short && letters.next().is_none())
        })?;
        let bad = check::check(setting.kind, value).err().filter(|_| value.starts_with(flag))?;
        Some(UsageError::of_value(setting, &Origin::Flag(format!("--{}", setting.name)), bad))
    })
}

fn foreign(flag: &str) -> Option<&'static str> {
    FOREIGN.iter().find(|(spellings, _)| spellings.contains(&flag)).map(|(_, ours)| *ours)
}

/// A flag that only the other command has.
fn of_the_other(flag: &str, run: Run, command: &clap::Command) -> Option<UsageError> {
    let (other, why) = match run {
        Run::Crawl => (Run::Fetch, "a crawl asks for pages with GET"),
        Run::Fetch => (Run::Crawl, "fetch follows no links"),
    };
    let known = command.find_subcommand(other.as_str())?.get_arguments().any(|arg| {
        let long = flag.strip_prefix("--").is_some_and(|name| arg.get_long() == Some(name));
        let mut letters = flag.strip_prefix('-').unwrap_or_default().chars();
        long || (arg.get_short().is_some() && arg.get_short() == letters.next() && letters.next().is_none())
    });
    // What only orders or counts input is not about links or methods.
    let why = match flag {
        "--ordered" | "--unique" => "a crawl asks each URL once, in an order of its own",
        "--mirrors" => "the seeds of a crawl are pages of their own, not copies of one document",
        _ => why,
    };
    known.then(|| UsageError::new(format!("{flag} is for lycosa {}: {why}", other.as_str())))
}

fn unknown_command(word: &str, suggested: Option<&str>) -> UsageError {
    let error = UsageError::new(format!("unknown command '{word}'"));
    match suggested {
        Some(near) => error.with_hint(format!("did you mean '{near}'?")),
        None if word.contains(['.', ':']) => {
            error.with_hint(format!("did you mean 'lycosa crawl {word}' or 'lycosa fetch {word}'?"))
        }
        None => error.with_hint("the commands: lycosa --help"),
    }
}

/// Whatever else the parser found: its first paragraph, on one line.
fn other(rendered: &str, suggested: Option<&str>) -> UsageError {
    let paragraph = rendered.split("\n\n").next().unwrap_or_default();
    let line = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    let error = UsageError::new(line.strip_prefix("error: ").unwrap_or(&line));
    match suggested {
        Some(near) => error.with_hint(format!("did you mean '{near}'?")),
        None => error,
    }
}
