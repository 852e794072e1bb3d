//! The command line: what was typed, not yet resolved.
//!
//! Flags of settings are made from the table of settings, and the defaults in their help from the embedded file, so
//! neither can disagree with what the command does. What is no setting (input, the method and body of a fetch) is
//! declared here.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

pub mod extract;
pub mod query;
mod shorthand;
pub mod state;

use extract::{ExtractFlags, extract_command, extract_flags};
use query::{QueryFlags, Question, query_command, query_flags};
use state::{Keep, ResumeFlags, StatusFlags};

use crate::commands::audit::AuditFlags;
use crate::exit;
use crate::file::{self, Wanted};
use crate::settings::check;
use crate::settings::request::RequestFlags;
use crate::settings::table::{FILES, HEADINGS, INPUT, OUTPUT, REQUESTS, SETTINGS};
use crate::settings::{Kind, Layer, Origin, Run, Setting, UsageError};
use crate::spelling;

/// What was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Typed {
    Run(Box<RunFlags>),
    Resume(ResumeFlags),
    Status(StatusFlags),
    Audit(Box<AuditFlags>),
    Extract(ExtractFlags),
    Config(ConfigAction),
    Demo,
    Generate(Artefact),
    /// `robots`, `explain` or `sitemap`.
    Query(Box<QueryFlags>),
    /// Help or version: the text, for standard output.
    Show(String),
}

/// `crawl` or `fetch`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFlags {
    pub run: Run,
    pub flags: Layer,
    pub urls: Vec<String>,
    pub inputs: Vec<PathBuf>,
    pub request: RequestFlags,
    pub files: Wanted,
    /// `--state`
    pub keep: Option<Keep>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigAction {
    /// Of one command, or of both.
    Show {
        run: Option<Run>,
        json: bool,
        files: Wanted,
    },
    Init,
    Schema,
}

/// What `lycosa generate` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Artefact {
    Man,
    Completions(clap_complete::Shell),
    RecordSchema,
}

/// Reads a command line, the name of the program first.
///
/// # Errors
/// What has to be mended: one line and perhaps a hint.
pub fn parse(words: &[OsString]) -> Result<Typed, UsageError> {
    let words = &help_last(words);
    spelling::refuse_pairs(words)?;
    let matches = match quickly(words).map_or_else(|| command().try_get_matches_from(words), Ok) {
        Ok(matches) => matches,
        Err(error) if !error.use_stderr() => return Ok(Typed::Show(error.render().to_string())),
        Err(error) => return Err(spelling::explain(&error, words, &command())),
    };
    match matches.subcommand() {
        Some(("crawl", matches)) => run_flags(Run::Crawl, matches),
        Some(("fetch", matches)) => run_flags(Run::Fetch, matches),
        Some(("resume", matches)) => state::resume_flags(matches).map(Typed::Resume),
        Some(("status", matches)) => Ok(Typed::Status(state::status_flags(matches))),
        Some(("audit", matches)) => Ok(Typed::Audit(Box::new(audit_flags(matches)?))),
        Some(("extract", matches)) => extract_flags(matches).map(Typed::Extract),
        Some(("demo", _)) => Ok(Typed::Demo),
        Some(("config", matches)) => Ok(Typed::Config(config_action(matches))),
        Some(("generate", matches)) => Ok(Typed::Generate(artefact(matches))),
        Some((name, matches)) => match Question::ALL.into_iter().find(|question| question.as_str() == name) {
            Some(question) => Ok(Typed::Query(Box::new(query_flags(question, matches)?))),
            None => Ok(Typed::Show(command().render_help().to_string())),
        },
        None => Ok(Typed::Show(command().render_help().to_string())),
    }
}

/// What was typed for `crawl` or `fetch`, if nothing is wrong with it. The flags of the other commands take longer to make
/// than a page takes to fetch, and only help and messages name them.
fn quickly(words: &[OsString]) -> Option<ArgMatches> {
    let run = Run::ALL.into_iter().find(|run| words.get(1).is_some_and(|word| word == run.as_str()))?;
    program().subcommand(run_command(run)).try_get_matches_from(words).ok()
}

/// How often `-q` stands in a command line that cannot be read otherwise.
pub fn quiet(words: &[OsString]) -> u32 {
    let words = words.iter().filter_map(|word| word.to_str()).take_while(|word| *word != "--");
    let counts = words.map(|word| match word.strip_prefix('-') {
        Some("-quiet") => 1,
        // Letters behind one that takes a value are that value.
        Some(letters) => letters.chars().take_while(|letter| "qvskLIn".contains(*letter)).filter(|l| *l == 'q').count(),
        None => 0,
    });
    u32::try_from(counts.sum::<usize>()).unwrap_or(u32::MAX)
}

/// `lycosa help crawl` is `lycosa crawl --help`.
fn help_last(words: &[OsString]) -> Vec<OsString> {
    match words {
        [program, help, rest @ ..] if help == "help" => {
            [std::slice::from_ref(program), rest, &["--help".into()]].concat()
        }
        _ => words.to_vec(),
    }
}

fn run_flags(run: Run, matches: &ArgMatches) -> Result<Typed, UsageError> {
    let texts = |name: &str| -> Vec<String> {
        matches.get_many::<String>(name).map(|texts| texts.cloned().collect()).unwrap_or_default()
    };
    let request = match run {
        Run::Crawl => RequestFlags::default(),
        Run::Fetch => RequestFlags {
            method: matches.get_one("request").cloned(),
            data: texts("data"),
            json: texts("json"),
            head: matches.get_flag("head"),
        },
    };
    Ok(Typed::Run(Box::new(RunFlags {
        run,
        flags: layer_of(SETTINGS.iter().filter(|setting| setting.on.covers(run)), matches)?,
        urls: texts("url"),
        inputs: matches.get_many::<PathBuf>("input-file").map(|paths| paths.cloned().collect()).unwrap_or_default(),
        request,
        files: wanted(matches),
        keep: state::keep(matches),
    })))
}

fn wanted(matches: &ArgMatches) -> Wanted {
    Wanted { file: matches.get_one("config").cloned(), none: matches.get_flag("no-config") }
}

/// What was typed of these settings.
fn layer_of(settings: impl Iterator<Item = &'static Setting>, matches: &ArgMatches) -> Result<Layer, UsageError> {
    let settings: Vec<&'static Setting> = settings.collect();
    let mut layer = Layer::default();
    shorthand::take(&settings, matches, &mut layer);
    for setting in settings {
        let origin = Origin::Flag(format!("--{}", setting.name));
        let texts = match setting.kind {
            Kind::Switch if matches.get_flag(setting.name) => vec!["true".to_owned()],
            Kind::Switch if matches.get_flag(&negative(setting)) => vec!["false".to_owned()],
            Kind::Count if matches.get_count(setting.name) > 0 => {
                vec![matches.get_count(setting.name).min(2).to_string()]
            }
            Kind::Switch | Kind::Count => continue,
            _ => match matches.get_many::<String>(setting.name) {
                Some(texts) => texts.cloned().collect(),
                None => continue,
            },
        };
        for text in &texts {
            check::check(setting.kind, text).map_err(|bad| UsageError::of_value(setting, &origin, bad))?;
        }
        layer.set(setting, texts, origin);
    }
    Ok(layer)
}

fn audit_flags(matches: &ArgMatches) -> Result<AuditFlags, UsageError> {
    fn read<T>(
        matches: &ArgMatches,
        name: &'static str,
        stated: &mut Vec<(&'static str, String)>,
        read: impl Fn(&str) -> Result<Option<T>, check::Bad>,
    ) -> Result<Option<T>, UsageError> {
        let Some(text) = matches.get_one::<String>(name) else { return Ok(None) };
        let value = read(text).map_err(|bad| of_flag(name, bad))?;
        if value.is_some() {
            stated.push((name, text.clone()));
        }
        Ok(value)
    }
    let mut stated = Vec::new();
    let places = |text: &str| check::whole(text, 1, 100_000, true);
    let mut flags = AuditFlags {
        files: matches.get_many::<PathBuf>("results").map(|paths| paths.cloned().collect()).unwrap_or_default(),
        json: matches.get_one::<String>("format").is_some_and(|format| format == "json"),
        concurrency: read(matches, "concurrency", &mut stated, places)?,
        host_concurrency: read(matches, "host-concurrency", &mut stated, places)?,
        ip_concurrency: read(matches, "ip-concurrency", &mut stated, places)?,
        rate: read(matches, "rate", &mut stated, check::rate)?,
        host_rate: read(matches, "host-rate", &mut stated, check::rate)?,
        delay: read(matches, "delay", &mut stated, check::duration)?,
        ..AuditFlags::default()
    };
    for text in matches.get_many::<String>("crawl-delay").into_iter().flatten() {
        let (host, delay) = text.rsplit_once('=').filter(|(host, _)| !host.is_empty()).ok_or_else(|| {
            of_flag("crawl-delay", check::Bad::new(format!("'{text}' is not a host and a time (example.org=5s)")))
        })?;
        if let Some(delay) = check::duration(delay).map_err(|bad| of_flag("crawl-delay", bad))? {
            let host = crate::commands::audit::host_key(host).map_err(|bad| of_flag("crawl-delay", bad))?;
            flags.crawl_delays.push((host, delay));
            stated.push(("crawl-delay", text.clone()));
        }
    }
    if stated.is_empty() {
        return Err(UsageError::new("no limit is stated, so there is nothing to judge")
            .with_hint("state what was allowed: --host-rate 5/s, --delay 1s, --host-concurrency 4, -j 64"));
    }
    flags.tolerance = read(matches, "tolerance", &mut stated, check::duration)?;
    flags.stated = stated;
    Ok(flags)
}

fn of_flag(name: &str, bad: check::Bad) -> UsageError {
    check::Bad { message: format!("--{name}: {}", bad.message), ..bad }.into()
}

fn config_action(matches: &ArgMatches) -> ConfigAction {
    match matches.subcommand() {
        Some(("show", matches)) => {
            let run = Run::ALL
                .into_iter()
                .find(|run| matches.get_one::<String>("command").is_some_and(|name| name == run.as_str()));
            ConfigAction::Show {
                run,
                json: matches.get_one::<String>("format").is_some_and(|format| format == "json"),
                files: wanted(matches),
            }
        }
        Some(("schema", _)) => ConfigAction::Schema,
        _ => ConfigAction::Init,
    }
}

fn artefact(matches: &ArgMatches) -> Artefact {
    match matches.get_one::<String>("what").map(String::as_str) {
        Some("record-schema") => Artefact::RecordSchema,
        Some(shell) => shell.parse().map_or(Artefact::Man, Artefact::Completions),
        None => Artefact::Man,
    }
}

/// The whole command line, for parsing, completions and the man page.
pub fn command() -> Command {
    program()
        .subcommand(run_command(Run::Crawl))
        .subcommand(run_command(Run::Fetch))
        .subcommand(state::resume_command())
        .subcommand(state::status_command())
        .subcommands(Question::ALL.map(query_command))
        .subcommand(extract_command())
        .subcommand(audit_command())
        .subcommand(
            Command::new("demo")
                .about("Serve a bundled site of several hosts on loopback, crawl it, and tell what was seen"),
        )
        .subcommand(config_command())
        .subcommand(generate_command())
}

fn program() -> Command {
    Command::new("lycosa")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Crawl sites and fetch lists of URLs, politely, with one record for each URL")
        .after_help(exit_codes())
        .max_term_width(100)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
}

fn exit_codes() -> String {
    let codes = exit::CODES.iter().map(|(code, meaning)| format!("  {code:>3}  {meaning}"));
    std::iter::once("Exit codes:".to_owned()).chain(codes).collect::<Vec<_>>().join("\n")
}

fn run_command(run: Run) -> Command {
    let (about, urls) = match run {
        Run::Crawl => (
            "Start at the seeds, follow links inside the scope, and write a record for each URL as it completes",
            "Seeds",
        ),
        Run::Fetch => (
            "Fetch exactly these URLs or jobs, follow no links, and write a record for each as it completes",
            "URLs to fetch",
        ),
    };
    let mut args = vec![(INPUT, input_file()), (FILES, config_file()), (FILES, no_config())];
    args.extend(no_effect().map(|arg| (REQUESTS, arg)));
    args.extend(shorthand::args().map(|arg| (REQUESTS, arg)));
    args.extend(state::keep_args().map(|arg| (OUTPUT, arg)));
    if run == Run::Crawl {
        args.push((OUTPUT, state::again_arg()));
    }
    if run == Run::Fetch {
        args.extend(request_args().map(|arg| (REQUESTS, arg)));
    }
    let defaults = file::defaults(run);
    for setting in SETTINGS.iter().filter(|setting| setting.on.covers(run)) {
        args.push((setting.heading, flag(setting, defaults)));
    }
    let place = |heading: &str| HEADINGS.iter().position(|known| *known == heading);
    args.sort_by(|a, b| (place(a.0), a.1.get_long()).cmp(&(place(b.0), b.1.get_long())));
    let negatives =
        SETTINGS.iter().filter(|setting| setting.on.covers(run) && setting.kind == Kind::Switch).map(negative_flag);
    Command::new(run.as_str())
        .about(about)
        .after_help("A switch that is set in a file or in the environment is taken back with --no-NAME (--no-fail-early).\n\nStandard output carries records; everything else goes to standard error.\nEach setting also stands in files and in the environment: see 'lycosa config init'.")
        .args_override_self(true)
        .arg(
            Arg::new("url")
                .value_name("URL")
                .num_args(0..)
                .help(format!("{urls}; with none, and no --input-file, standard input is read")),
        )
        .args(args.into_iter().enumerate().map(|(order, (heading, arg))| arg.help_heading(heading).display_order(order)))
        .args(negatives)
}

/// The flag of a setting.
fn flag(setting: &'static Setting, defaults: &Layer) -> Arg {
    let mut arg = Arg::new(setting.name).long(setting.name);
    if let Some(short) = setting.short {
        arg = arg.short(short);
    }
    if let Some(alias) = setting.alias {
        arg = arg.visible_alias(alias);
    }
    arg = match setting.kind {
        Kind::Switch => arg.action(ArgAction::SetTrue).overrides_with(negative(setting)),
        Kind::Count => arg.action(ArgAction::Count),
        kind if kind.is_list() => arg.action(ArgAction::Append),
        _ => arg.action(ArgAction::Set),
    };
    if !setting.value.is_empty() {
        arg = arg.value_name(setting.value).value_parser(ValueParser::string());
    }
    // `-1` is a bad number, not an unknown flag.
    if matches!(
        setting.kind,
        Kind::Whole { .. }
            | Kind::Duration
            | Kind::Size { .. }
            | Kind::Rate
            | Kind::FailOn
            | Kind::HedgeAfter
            | Kind::Patience
    ) {
        arg = arg.allow_negative_numbers(true);
    }
    // What a person or a site wrote may start with a dash; a number or a duration never does.
    if matches!(setting.kind, Kind::Text | Kind::Patterns) || setting.name == "resolve" {
        arg = arg.allow_hyphen_values(true);
    }
    let default = defaults.get(setting.name).map(|given| given.texts.join(",")).unwrap_or_default();
    let hidden = default.is_empty()
        || matches!(setting.kind, Kind::Switch | Kind::Count)
        || (setting.kind == Kind::Text && default == "none");
    arg.help(if hidden { setting.help.to_owned() } else { format!("{} [default: {default}]", setting.help) })
}

/// Id and spelling of the flag that takes a switch back.
fn negative(setting: &Setting) -> String {
    setting.name.strip_prefix("no-").map_or_else(|| format!("no-{}", setting.name), str::to_owned)
}

fn negative_flag(setting: &'static Setting) -> Arg {
    let name = negative(setting);
    Arg::new(name.clone()).long(name).action(ArgAction::SetTrue).overrides_with(setting.name).hide(true)
}

fn input_file() -> Arg {
    Arg::new("input-file")
        .short('i')
        .long("input-file")
        .value_name("FILE")
        .action(ArgAction::Append)
        .value_parser(value_parser!(PathBuf))
        .help("Read URLs or jobs from FILE, one a line; '-' is standard input; repeatable")
}

fn config_file() -> Arg {
    Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help("Read this configuration file too, over the usual ones")
}

fn no_config() -> Arg {
    Arg::new("no-config")
        .long("no-config")
        .action(ArgAction::SetTrue)
        .conflicts_with("config")
        .help("Read no configuration file")
}

/// curl's flags that are always on here.
fn no_effect() -> [Arg; 2] {
    let arg =
        |long: &'static str, short, help| Arg::new(long).short(short).long(long).action(ArgAction::SetTrue).help(help);
    [
        arg("location", 'L', "Changes nothing: redirects are always followed (see --max-redirs)"),
        arg("silent", 's', "Changes nothing: see --quiet"),
    ]
}

fn request_args() -> [Arg; 4] {
    let text = |long: &'static str, value: &'static str| {
        Arg::new(long).long(long).value_name(value).value_parser(ValueParser::string())
    };
    [
        text("data", "DATA")
            .short('d')
            .action(ArgAction::Append)
            .allow_hyphen_values(true)
            .conflicts_with_all(["json", "head"])
            .help("Send DATA as a form, by POST; @FILE reads a file, @- standard input; several are joined by '&'"),
        Arg::new("head")
            .short('I')
            .long("head")
            .action(ArgAction::SetTrue)
            .conflicts_with_all(["json", "request"])
            .help("Ask for heads only"),
        text("json", "JSON")
            .action(ArgAction::Append)
            .allow_hyphen_values(true)
            .help("Send JSON, by POST; @FILE reads a file, @- standard input"),
        text("request", "METHOD").short('X').help("Method of requests"),
    ]
}

fn audit_command() -> Command {
    let limit = |name: &'static str, value: &'static str, help: &'static str| {
        let arg = Arg::new(name).long(name).value_name(value).value_parser(ValueParser::string());
        arg.allow_negative_numbers(true).help(help)
    };
    Command::new("audit")
        .about("Prove from records that no host was asked faster, or more in parallel, than allowed")
        .after_help(
            "What is stated is judged: limits of a host over all files, limits of a run for each run. Times in records are \
             cut to milliseconds, so a pair of requests counts only if it breaks a limit wherever the true times lie \
             (1 ms); a rate makes up for a start that came up to 5 ms late.\n\n\
             Exit code 1: a limit was broken. 2: no limit is stated, or a file cannot be read.",
        )
        .args_override_self(true)
        .arg(
            Arg::new("results")
                .value_name("RESULTS")
                .required(true)
                .num_args(1..)
                .value_parser(value_parser!(PathBuf))
                .help("Files of records, JSON Lines or a JSON array; '-' is standard input"),
        )
        .arg(limit("concurrency", "N", "Requests in flight, each run").short('j'))
        .arg(
            limit("crawl-delay", "HOST=DUR", "The delay that this host's robots.txt asks for; repeatable")
                .action(ArgAction::Append),
        )
        .arg(limit("delay", "DUR", "Least gap at one host from the end of a request to the start of the next"))
        .arg(
            Arg::new("format")
                .long("format")
                .value_name("FORMAT")
                .value_parser(["text", "json"])
                .default_value("text")
                .help("How to print what was found"),
        )
        .arg(limit("host-concurrency", "N", "Requests in flight at one host"))
        .arg(limit("host-rate", "RATE", "Starts of requests at one host: 20/s, 30/m, 100/h, 500/d"))
        .arg(limit("ip-concurrency", "N", "Requests in flight at one address, as far as records tell addresses"))
        .arg(limit("rate", "RATE", "Starts of requests, each run"))
        .arg(limit("tolerance", "DUR", "Time allowed beyond that, for clocks of several machines"))
}

fn config_command() -> Command {
    let show = Command::new("show")
        .about("Print the settings that hold, with the origin of each")
        .arg(
            Arg::new("command")
                .value_name("COMMAND")
                .value_parser(["crawl", "fetch"])
                .help("Whose settings; with none, those of both"),
        )
        .arg(config_file())
        .arg(
            Arg::new("format")
                .long("format")
                .value_name("FORMAT")
                .value_parser(["text", "json"])
                .default_value("text")
                .help("How to print them"),
        )
        .arg(no_config());
    Command::new("config")
        .about("Print settings, a file to start from, or its schema")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommand(show)
        .subcommand(Command::new("init").about("Print a commented file to start from (> lycosa.toml)"))
        .subcommand(Command::new("schema").about("Print the JSON Schema of a configuration file"))
}

fn generate_command() -> Command {
    Command::new("generate").about("Print the man page, shell completions, or the JSON Schema of a record").arg(
        Arg::new("what")
            .value_name("WHAT")
            .required(true)
            .value_parser(["man", "bash", "zsh", "fish", "powershell", "elvish", "record-schema"])
            .help("What to print"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Typed, UsageError> {
        let words: Vec<OsString> = std::iter::once("lycosa").chain(line.split(' ')).map(OsString::from).collect();
        super::parse(&words)
    }

    fn run(line: &str) -> RunFlags {
        match parse(line).unwrap_or_else(|error| panic!("{line}: {error}")) {
            Typed::Run(flags) => *flags,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn error(line: &str) -> String {
        parse(line).expect_err(line).to_string()
    }

    /// Help as on a terminal of 100 columns, whatever the tests run on.
    fn help(words: &[&str]) -> String {
        let words = [&["lycosa"], words, &["--help"]].concat();
        let shown = command().term_width(100).try_get_matches_from(words).expect_err("help is no match");
        shown.render().to_string()
    }

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    /// Every flag of this version, by the commands that have it; a flag that comes later is unknown.
    #[test]
    fn flags_are_those_of_this_version() {
        let both = "accept allow-private breaker-cooldown breaker-failures breaker-wait cacert cache \
            cache-size cert color compressed concurrency config connect-timeout connect-to continue cookie \
            cookie-jar deadline delay deny-cidr dns durability exec exec-timeout extract fail-early fail-on fallback format \
            grace header hedge-after host-concurrency host-rate http-version http1.1 http2 input-file insecure \
            interface ip-concurrency ip-version ipv4 ipv6 key limit-rate location log-format markdown max-crawl-delay \
            max-filesize max-memory max-pages max-ratio max-redirs max-retry-after media-type metadata netrc no-config \
            no-progress noproxy offline output pipe proxy quiet race rate read-timeout referer resolve retries \
            retry-all robots rules save-bodies silent speed-limit \
            speed-time \
            state strict-input summary text throttle timeout url-deadline user user-agent verbose with";
        let only = [
            (
                Run::Crawl,
                "again exclude follow include js-links max-depth max-per-pattern outside refused scope sitemaps",
            ),
            (Run::Fetch, "data head json mirrors ordered request unique"),
        ];
        let letters = [(Run::Crawl, "46AHLbceijklmnoqsuvx"), (Run::Fetch, "46AHILXbcdeijkmnoqsuvx")];
        for ((run, only), (_, letters)) in only.into_iter().zip(letters) {
            let command = command();
            let subcommand = command.find_subcommand(run.as_str()).expect("a command");
            let shown = || subcommand.get_arguments().filter(|arg| !arg.is_hide_set());
            let mut expected: Vec<&str> = both.split_whitespace().chain(only.split(' ')).collect();
            expected.sort_unstable();
            let mut flags: Vec<&str> = shown().filter_map(Arg::get_long).collect();
            flags.sort_unstable();
            assert_eq!(flags, expected, "{}", run.as_str());
            let mut short: Vec<char> = shown().filter_map(Arg::get_short).collect();
            short.sort_unstable();
            assert_eq!(short.into_iter().collect::<String>(), letters);
        }
    }

    #[test]
    fn help_states_the_defaults_of_the_command() {
        let folded = |run: &str| help(&[run]).split_whitespace().collect::<Vec<_>>().join(" ");
        let (crawl, fetch) = (folded("crawl"), folded("fetch"));
        let default = |help: &str, flag: &str| {
            let rest = help.split_once(&format!("{flag} ")).unwrap_or_else(|| panic!("{flag} in {help}")).1;
            let rest = rest.split_once("[default: ").unwrap_or_else(|| panic!("{flag} has no default")).1;
            rest.split(']').next().unwrap_or_default().to_owned()
        };
        for (flag, of_crawl, of_fetch) in [
            ("--concurrency", "64", "64"),
            ("--host-concurrency", "4", "8"),
            ("--robots", "obey", "ignore"),
            ("--fail-on", "seeds", "any"),
            ("--throttle", "adaptive", "adaptive"),
            ("--timeout", "30s", "30s"),
            ("--connect-timeout", "10s", "10s"),
            ("--read-timeout", "15s", "15s"),
            ("--speed-limit", "none", "none"),
            ("--speed-time", "30s", "30s"),
            ("--grace", "10s", "10s"),
            ("--retries", "2", "2"),
            ("--max-retry-after", "5m", "5m"),
            ("--breaker-failures", "5", "5"),
            ("--breaker-cooldown", "30s", "30s"),
            ("--breaker-wait", "3", "3"),
            ("--ip-concurrency", "16", "16"),
            ("--max-filesize", "16MiB", "16MiB"),
            ("--max-redirs", "20", "20"),
            ("--accept", "200..299,304", "200..299,304"),
            ("--deadline", "none", "none"),
            ("--max-pages", "none", "none"),
        ] {
            assert_eq!(
                (default(&crawl, flag).as_str(), default(&fetch, flag).as_str()),
                (of_crawl, of_fetch),
                "{flag}"
            );
        }
        assert_eq!(
            (default(&crawl, "--scope"), default(&crawl, "--max-depth")),
            ("host".to_owned(), "none".to_owned())
        );
    }

    #[test]
    fn help_pages() {
        insta::assert_snapshot!("help_crawl", help(&["crawl"]));
        insta::assert_snapshot!("help_fetch", help(&["fetch"]));
        insta::assert_snapshot!("help_robots", help(&["robots"]));
        insta::assert_snapshot!("help_explain", help(&["explain"]));
        insta::assert_snapshot!("help_sitemap", help(&["sitemap"]));
        insta::assert_snapshot!("help", help(&[]));
    }

    #[test]
    fn quiet_is_found_in_any_command_line() {
        let quiet = |line: &str| super::quiet(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        let counts = ["crawl -qq -j 0", "fetch -q --quiet --nix", "fetch -sqLq", "fetch -Hqq --quit", "fetch -- -qq"];
        assert_eq!(counts.map(quiet), [2, 2, 2, 0, 0]);
    }

    #[test]
    fn help_is_a_command_too() {
        for (help, flag) in [("help", "--help"), ("help crawl", "crawl --help"), ("help config", "config --help")] {
            assert_eq!(parse(help), parse(flag), "{help}");
            assert!(matches!(parse(help), Ok(Typed::Show(_))), "{help}");
        }
    }

    #[test]
    fn spellings_of_curl_work() {
        assert!(error("fetch -sSL http://h/").contains("errors are always shown"));
        let flags =
            run("fetch -sL -m 5 --max-time 7 -H A:1 -H B:2 -u a:b -X PUT -d x -d @f -k -i l -i - http://h/ http://g/");
        assert_eq!(flags.flags.get("timeout").map(|given| given.texts.clone()), Some(vec!["7".to_owned()]));
        assert_eq!(flags.flags.get("header").map(|given| given.texts.len()), Some(2));
        assert_eq!(flags.flags.get("insecure").map(|given| given.texts.clone()), Some(vec!["true".to_owned()]));
        assert_eq!(flags.flags.get("timeout").map(|given| given.origin.to_string()), Some("flag --timeout".to_owned()));
        assert_eq!((flags.urls.len(), flags.inputs.len()), (2, 2));
        assert_eq!(flags.request.data, ["x", "@f"]);
        assert_eq!(flags.request.method.as_deref(), Some("PUT"));
        assert!(run("fetch -I http://h/").request.head);
        assert_eq!(
            run("crawl -vv http://h/").flags.get("verbose").map(|given| given.texts[0].clone()),
            Some("2".to_owned())
        );
        assert_eq!(run("crawl -vvvq").flags.get("verbose").map(|given| given.texts[0].clone()), Some("2".to_owned()));
    }

    #[test]
    fn a_switch_is_taken_back() {
        let text = |line: &str| run(line).flags.get("refused").map(|given| given.texts[0].clone());
        assert_eq!(text("crawl u"), None);
        assert_eq!(text("crawl --refused u").as_deref(), Some("true"));
        assert_eq!(text("crawl --refused --no-refused u").as_deref(), Some("false"));
    }

    #[test]
    fn a_wrong_flag_is_told_the_right_one() {
        assert_eq!(error("fetch --headers A:b"), "lycosa: unknown flag '--headers'\n  did you mean '--header'?");
        assert!(error("crawl --host-rates 1/s").ends_with("did you mean '--host-rate'?"));
        assert!(error("crawl --retry-failed u").contains("write lycosa resume DIR --retry-failed"));
        assert!(error("resume d --continue").contains("write lycosa resume DIR, which goes on by itself"));
        assert!(error("resume d http://x/").contains("takes a directory and flags, not 'http://x/'"));
        assert!(error("fetch --zzzz").ends_with("all flags: lycosa fetch --help"));
        assert!(error("fetch --digest").ends_with("all flags: lycosa fetch --help"));
        assert!(error("fetch --quite").ends_with("did you mean '--quiet'?"));
        assert!(error("fetch --timeout 5sec u").starts_with("lycosa: --timeout: '5sec' is not a duration"));
        assert!(error("fetch --timeout 5sec u").ends_with("did you mean '5s'?"));
        assert!(error("fetch -m soon u").starts_with("lycosa: --timeout: 'soon'"));
        assert!(error("crawl --with body,link u").ends_with("did you mean 'links'?"));
        assert!(error("crwl http://h/").ends_with("did you mean 'crawl'?"));
        assert!(error("http://h/").contains("lycosa fetch http://h/"));
        assert!(error("config shwo").ends_with("did you mean 'show'?"));
        assert!(error("generate bsh").ends_with("did you mean 'bash'?"));
        assert!(error("fetch -d a -I u").contains("cannot be used with"));
        assert!(error("crawl --rate -1/s u").starts_with("lycosa: --rate: '-1/s' is not a rate"));
        assert!(error("crawl -m -1s u").starts_with("lycosa: --timeout: '-1s' is not a duration"));
        assert!(error("demo -q").ends_with("all flags: lycosa demo --help"));
        assert!(error("config show -j 9").ends_with("all flags: lycosa config show --help"));
        assert!(error("-q").contains("flags stand after the command"));
        assert!(error("robots -j 3 http://h/").ends_with("all flags: lycosa robots --help"));
        assert_eq!(error("explain --scope host"), "lycosa: no URL given\n  lycosa explain URL");
        assert!(error("explain --scope hots u").ends_with("did you mean 'host'?"));
    }

    #[test]
    fn spellings_that_we_lack_name_ours_in_one_line() {
        let cases = "-f:--fail-on -O:-o -P:-o -r:lycosa%crawl -w:--delay -t:--retries -T:--timeout -Z:-j -np:--scope%prefix \
            -nc:-o --spider:fetch%-I --retry:--retries --level:--max-depth --parallel:--concurrency --recursive:crawl \
            --wait=2:--delay --tries=3:--retries --output-document:-o --no-check-certificate:--insecure -nv:-q \
            --data-raw:-d --level=2:--max-depth -fsS:--fail-on";
        for case in cases.split_whitespace() {
            let (flag, ours) = case.split_once(':').expect("two parts");
            for run in Run::ALL {
                let told = error(&format!("{} {flag} http://h/", run.as_str()));
                assert!(told.contains(&ours.replace('%', " ")) && !told.contains('\n'), "{flag}: {told}");
            }
        }
    }

    #[test]
    fn a_flag_of_the_other_command_says_so() {
        assert_eq!(error("crawl -X POST u"), "lycosa: -X is for lycosa fetch: a crawl asks for pages with GET");
        assert!(error("crawl --mirrors u").contains("--mirrors is for lycosa fetch: the seeds of a crawl are pages"));
        for flag in ["-d a", "--json {}", "-I", "--request PUT", "--data=x", "--ordered", "--unique"] {
            assert!(error(&format!("crawl {flag} u")).contains("is for lycosa fetch"), "{flag}");
        }
        for flag in ["--scope any", "-l 3", "--include x", "--refused", "--sitemaps"] {
            assert!(
                error(&format!("fetch {flag} u")).contains("is for lycosa crawl: fetch follows no links"),
                "{flag}"
            );
        }
    }
}
