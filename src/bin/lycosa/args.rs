//! The command line: what was typed, not yet resolved.
//!
//! Flags of settings are made from the table of settings, and the defaults in their help from the embedded file, so
//! neither can disagree with what the command does. What is no setting (input, the method and body of a fetch) is
//! declared here.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::exit;
use crate::file::{self, Wanted};
use crate::settings::check;
use crate::settings::request::RequestFlags;
use crate::settings::table::{FILES, HEADINGS, INPUT, REQUESTS, SETTINGS};
use crate::settings::{Kind, Layer, Origin, Run, Setting, UsageError};
use crate::spelling;

/// What was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Typed {
    Run(Box<RunFlags>),
    Config(ConfigAction),
    Generate(Artefact),
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
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigAction {
    Show { run: Run, json: bool, files: Wanted },
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
    let matches = match command().try_get_matches_from(words) {
        Ok(matches) => matches,
        Err(error) if !error.use_stderr() => return Ok(Typed::Show(error.render().to_string())),
        Err(error) => return Err(spelling::explain(&error, words)),
    };
    match matches.subcommand() {
        Some(("crawl", matches)) => run_flags(Run::Crawl, matches),
        Some(("fetch", matches)) => run_flags(Run::Fetch, matches),
        Some(("config", matches)) => Ok(Typed::Config(config_action(matches))),
        Some(("generate", matches)) => Ok(Typed::Generate(artefact(matches))),
        _ => Ok(Typed::Show(command().render_help().to_string())),
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
        flags: flags_of_settings(run, matches)?,
        urls: texts("url"),
        inputs: matches.get_many::<PathBuf>("input-file").map(|paths| paths.cloned().collect()).unwrap_or_default(),
        request,
        files: wanted(matches),
    })))
}

fn wanted(matches: &ArgMatches) -> Wanted {
    Wanted { file: matches.get_one("config").cloned(), none: matches.get_flag("no-config") }
}

fn flags_of_settings(run: Run, matches: &ArgMatches) -> Result<Layer, UsageError> {
    let mut layer = Layer::default();
    for setting in SETTINGS.iter().filter(|setting| setting.on.covers(run)) {
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

fn config_action(matches: &ArgMatches) -> ConfigAction {
    match matches.subcommand() {
        Some(("show", matches)) => {
            let run = Run::ALL
                .into_iter()
                .find(|run| matches.get_one::<String>("command").is_some_and(|name| name == run.as_str()));
            ConfigAction::Show {
                run: run.unwrap_or(Run::Crawl),
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
    Command::new("lycosa")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Crawl sites and fetch lists of URLs, politely, with one record for each URL")
        .after_help(exit_codes())
        .max_term_width(100)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommand(run_command(Run::Crawl))
        .subcommand(run_command(Run::Fetch))
        .subcommand(config_command())
        .subcommand(generate_command())
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
    if run == Run::Fetch {
        args.extend(request_args().map(|arg| (REQUESTS, arg)));
    }
    let defaults = file::defaults(run);
    for setting in SETTINGS.iter().filter(|setting| setting.on.covers(run)) {
        args.push((setting.heading, flag(setting, &defaults)));
    }
    let place = |heading: &str| HEADINGS.iter().position(|known| *known == heading);
    args.sort_by(|a, b| (place(a.0), a.1.get_long()).cmp(&(place(b.0), b.1.get_long())));
    let negatives =
        SETTINGS.iter().filter(|setting| setting.on.covers(run) && setting.kind == Kind::Switch).map(negative_flag);
    Command::new(run.as_str())
        .about(about)
        .after_help("A switch that a file or the environment set is taken back with its --no- form (--no-refused).\n\nStandard output carries records; everything else goes to standard error.\nEach setting also stands in files and in the environment: see 'lycosa config init'.")
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
    // What a person or a site wrote may start with a dash; a number or a duration never does.
    if matches!(setting.kind, Kind::Text | Kind::Patterns) {
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
        |long: &'static str, short, help| Arg::new(long).short(short).long(long).action(ArgAction::Count).help(help);
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

fn config_command() -> Command {
    let show = Command::new("show")
        .about("Print the settings that hold, with the origin of each")
        .arg(
            Arg::new("command")
                .value_name("COMMAND")
                .value_parser(["crawl", "fetch"])
                .default_value("crawl")
                .help("Whose settings"),
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
