//! The command lines of `robots`, `explain` and `sitemap`, which tell what a crawl would do and crawl nothing.
//!
//! They have the settings of a crawl that bear on the answer, under the same names and with the same defaults, so that a
//! command can be tried with its own flags. Files and the environment hold as they do for a crawl.

use std::path::PathBuf;

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::{config_file, flag, layer_of, negative_flag, no_config, wanted};
use crate::file::{self, Wanted};
use crate::settings::table::{FILES, HEADINGS, REQUESTS, SETTINGS};
use crate::settings::{Kind, Layer, Run, Setting, UsageError};

/// What a command asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// `lycosa robots`
    Robots,
    /// `lycosa explain`
    Explain,
    /// `lycosa sitemap`
    Sitemap,
}

impl Question {
    pub const ALL: [Self; 3] = [Self::Robots, Self::Explain, Self::Sitemap];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Robots => "robots",
            Self::Explain => "explain",
            Self::Sitemap => "sitemap",
        }
    }

    /// Whether a setting bears on the answer.
    fn takes(self, setting: &Setting) -> bool {
        const ASKING: [&str; 22] = [
            "allow-private",
            "cacert",
            "cert",
            "connect-timeout",
            "connect-to",
            "deny-cidr",
            "dns",
            "header",
            "http-version",
            "insecure",
            "interface",
            "ip-version",
            "key",
            "noproxy",
            "proxy",
            "quiet",
            "read-timeout",
            "resolve",
            "retries",
            "timeout",
            "user",
            "user-agent",
        ];
        const EXPLAINING: [&str; 8] =
            ["delay", "exclude", "host-concurrency", "host-rate", "include", "max-depth", "robots", "scope"];
        const READING: [&str; 3] = ["delay", "max-redirs", "robots"];
        ASKING.contains(&setting.name)
            || (self == Self::Explain && EXPLAINING.contains(&setting.name))
            || (self == Self::Sitemap && READING.contains(&setting.name))
    }

    fn settings(self) -> impl Iterator<Item = &'static Setting> {
        SETTINGS.iter().filter(move |setting| self.takes(setting))
    }
}

/// `robots`, `explain` or `sitemap`, as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryFlags {
    pub question: Question,
    pub flags: Layer,
    pub urls: Vec<String>,
    /// Of `explain`; without them the first URL is the seed.
    pub seeds: Vec<String>,
    /// `-` is standard input.
    pub robots_file: Option<PathBuf>,
    pub json: bool,
    pub files: Wanted,
}

/// Reads what clap has found.
///
/// # Errors
/// A value that cannot be read, or no URL.
pub fn query_flags(question: Question, matches: &ArgMatches) -> Result<QueryFlags, UsageError> {
    let texts = |name: &str| -> Vec<String> {
        matches.try_get_many::<String>(name).ok().flatten().map(|texts| texts.cloned().collect()).unwrap_or_default()
    };
    let urls = texts("url");
    if urls.is_empty() {
        return Err(UsageError::new("no URL given").with_hint(format!("lycosa {} URL", question.as_str())));
    }
    Ok(QueryFlags {
        question,
        flags: layer_of(question.settings(), matches)?,
        urls,
        seeds: texts("seed"),
        robots_file: matches.try_get_one("robots-file").ok().flatten().cloned(),
        json: matches.get_one::<String>("format").is_some_and(|format| format == "json"),
        files: wanted(matches),
    })
}

pub fn query_command(question: Question) -> Command {
    let (about, after) = match question {
        Question::Robots => (
            "Tell whether this agent may fetch these URLs, and which line of robots.txt says so",
            "Asks for the robots.txt of each origin once, and for no page. Exit code 0 if all URLs may be fetched, 1 if one may \
             not.",
        ),
        Question::Explain => (
            "Tell what a crawl would make of these URLs, without fetching them",
            "The flags are those of a crawl. Asks for the robots.txt of each origin once (not with --robots ignore), and for no \
             page. Links to private addresses are told by their literal address or a localhost name: other names are not \
             looked up for it.",
        ),
        Question::Sitemap => (
            "Print the URLs of a sitemap, of an index, or of all sitemaps that a site's robots.txt names",
            "A URL that ends in / is a site: its robots.txt is looked at, or else /sitemap.xml. Any other is a sitemap: XML, a \
             list, RSS or Atom, packed or not. Asks for no page. Exit code 1 if a sitemap could not be read.",
        ),
    };
    let defaults = file::defaults(Run::Crawl);
    let mut args: Vec<_> = question.settings().map(|setting| (setting.heading, flag(setting, defaults))).collect();
    args.extend([(FILES, config_file()), (FILES, no_config())]);
    args.extend(super::shorthand::args().map(|arg| (REQUESTS, arg)));
    let place = |heading: &str| HEADINGS.iter().position(|known| *known == heading);
    args.sort_by(|a, b| (place(a.0), a.1.get_long()).cmp(&(place(b.0), b.1.get_long())));
    let of_urls = if question == Question::Sitemap { "Sitemaps, or sites" } else { "URLs to judge" };
    let urls = Arg::new("url").value_name("URL").num_args(0..).help(of_urls);
    let command = Command::new(question.as_str())
        .about(about)
        .after_help(after)
        .args_override_self(true)
        .arg(urls)
        .args((question != Question::Sitemap).then(robots_file))
        .arg(
            Arg::new("format")
                .long("format")
                .value_name("FORMAT")
                .value_parser(["text", "json"])
                .default_value("text")
                .help("How to print the answers"),
        );
    let command = if question == Question::Explain { command.arg(seed()) } else { command };
    let negatives = question.settings().filter(|setting| setting.kind == Kind::Switch).map(negative_flag);
    command
        .args(
            args.into_iter().enumerate().map(|(order, (heading, arg))| arg.help_heading(heading).display_order(order)),
        )
        .args(negatives)
}

fn robots_file() -> Arg {
    Arg::new("robots-file")
        .long("robots-file")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help("Read the rules from FILE instead of asking for robots.txt; '-' is standard input")
}

fn seed() -> Arg {
    Arg::new("seed")
        .long("seed")
        .value_name("URL")
        .action(ArgAction::Append)
        .value_parser(ValueParser::string())
        .help("Judge the URLs as links of a crawl from this seed; repeatable; without it the first URL is the seed")
}
