//! From layers of text to the library's settings. Nothing below this knows a flag, a file or a variable.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lycosa::crawl::Settings;
use lycosa::engine::settings::{EngineSettings, IpLimit, RaceMode, With};
use lycosa::fetch::cache::CacheSettings;
use lycosa::fetch::client::{ClientSettings, LowestSpeed};
use lycosa::frontier::journal::Durability;
use lycosa::policy::breaker::BreakerSettings;
use lycosa::policy::follow::Follow;
use lycosa::policy::retry::RetrySettings;
use lycosa::policy::robots::product_token;
use lycosa::policy::scope::{Rule, ScopeSettings};
use lycosa::seeds::SeedSettings;
use lycosa::sinks::command::CommandSettings;
use lycosa::sinks::{OutputSettings, Target, format_for_path};

use super::check::{self, Bad, Patience};
use super::cookies::Cookies;
use super::network;
use super::request::{Headers, RequestFlags};
use super::table::LEAST_MEMORY;
use super::values::Values;
use super::{Layer, Origin, Run, UsageError, fields, transport};
use crate::exit::FailOn;
use crate::netrc;

/// For a time that was switched off where the library wants one: longer than any run.
const UNLIMITED: Duration = Duration::from_hours(10 * 365 * 24);

/// What shows on standard error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Display {
    /// `auto`, `always` or `never`.
    pub color: &'static str,
    pub verbose: u32,
    pub quiet: u32,
    pub log_json: bool,
    pub no_progress: bool,
}

/// A run, resolved. Its inputs are not in it yet.
#[derive(Debug, Clone)]
pub struct Resolved {
    pub settings: Settings,
    pub display: Display,
    pub fail_on: FailOn,
    pub summary: Option<PathBuf>,
    pub strict_input: bool,
    pub durability: Durability,
    /// Things that are allowed but probably not meant.
    pub warnings: Vec<String>,
}

/// Resolves all layers of a run, laid over one another.
///
/// # Errors
/// The first value that cannot be used, with its flag, key or variable.
pub fn resolve(run: Run, layers: &Layer, flags: &RequestFlags) -> Result<Resolved, UsageError> {
    let values = Values(layers);
    let mut headers = headers(&values, flags)?;
    let cookies = Cookies::read(values.list("cookie"), values.text("cookie-jar"))
        .map_err(|(name, bad)| values.error(name, bad))?;
    headers.add_cookies(cookies.line);
    let (method, body) = flags.method_and_body().map_err(UsageError::from)?;
    let (outputs, mut warnings) = outputs(&values)?;
    let (netrc, warning) = if values.switch("netrc") { netrc::read()? } else { (None, None) };
    warnings.extend(warning);
    let agent = product_token(&headers.user_agent).trim();
    let mut engine = engine(run, &values)?;
    let places = u32::try_from(engine.concurrency).unwrap_or(u32::MAX);
    engine.host_rules = layers.hosts().iter().map(|table| table.rule(places)).collect::<Result<_, _>>()?;
    let hosts = layers.hosts().iter().filter_map(|table| table.headers().transpose()).collect::<Result<_, _>>()?;
    engine.product_token = if agent.is_empty() { "lycosa".to_owned() } else { agent.to_owned() };
    engine.fields = fields::resolve(layers)?;
    engine.method = method;
    // Content-Type describes the body: robots.txt and a GET after a redirect have none.
    let (about_body, plain) =
        headers.plain.into_iter().partition(|(name, _)| body.is_some() && name == http::header::CONTENT_TYPE);
    engine.body = body;
    engine.body_headers = about_body;
    let client = ClientSettings {
        user_agent: headers.user_agent,
        headers: plain,
        removed: headers.removed,
        credentials: headers.credentials,
        hosts,
        netrc,
        cookies: cookies.engine,
        proxy: transport::proxies(&values)?,
        noproxy: transport::noproxy(&values),
        tls: transport::tls(&values)?,
        dial: transport::dial(&values)?,
        dns: values.read("dns", network::dns)?,
        denied: values
            .list("deny-cidr")
            .iter()
            .map(|text| network::network(text).map_err(|bad| values.error("deny-cidr", bad)))
            .collect::<Result<_, _>>()?,
        max_ratio: values.whole("max-ratio")?,
        connect_timeout: values.duration("connect-timeout")?,
        read_timeout: values.duration("read-timeout")?,
        compressed: values.switch("compressed"),
        limit_rate: values.read("limit-rate", check::size)?,
        lowest_speed: values
            .read("speed-limit", check::size)?
            .zip(values.duration("speed-time")?)
            .map(|(bytes, time)| LowestSpeed { bytes, time }),
        ..ClientSettings::default()
    };
    let seeds = SeedSettings { mirrors: values.switch("mirrors"), ..SeedSettings::default() };
    Ok(Resolved {
        display: Display {
            color: values.word("color")?,
            verbose: values.whole("verbose")?.unwrap_or(0),
            quiet: values.whole("quiet")?.unwrap_or(0),
            log_json: values.word("log-format")? == "json",
            no_progress: values.switch("no-progress"),
        },
        fail_on: values.read("fail-on", check::fail_on)?,
        summary: summary(&values, &outputs)?,
        strict_input: values.switch("strict-input"),
        durability: if values.word("durability")? == "each" { Durability::Each } else { Durability::Commit },
        settings: Settings {
            commands: commands(&values, engine.grace)?,
            save_bodies: values.text("save-bodies").map(PathBuf::from),
            engine,
            client,
            seeds,
            outputs,
            cache: cache(&values)?,
        },
        warnings,
    })
}

fn engine(run: Run, values: &Values<'_>) -> Result<EngineSettings, UsageError> {
    let concurrency = values.whole("concurrency")?.unwrap_or(1);
    let crawl = run == Run::Crawl;
    let patience = values.read("breaker-wait", check::patience)?;
    Ok(EngineSettings {
        follow: crawl,
        what_to_follow: Follow::of(entries(values, "follow")),
        js_links: values.switch("js-links"),
        unique: crawl || values.switch("unique"),
        concurrency: concurrency as usize,
        host_concurrency: values.whole("host-concurrency")?.unwrap_or(concurrency),
        ip_concurrency: values.whole("ip-concurrency")?.map(|places| IpLimit {
            places,
            loopback: values.given("ip-concurrency").is_some_and(|given| given.origin != Origin::Default),
        }),
        rate: values.rate("rate")?,
        host_rate: values.rate("host-rate")?,
        delay: values.duration("delay")?.unwrap_or_default(),
        adaptive_throttle: values.word("throttle")? == "adaptive",
        timeout: values.duration("timeout")?,
        url_deadline: values.duration("url-deadline")?,
        deadline: values.duration("deadline")?,
        grace: values.duration("grace")?.unwrap_or(UNLIMITED),
        retry: RetrySettings {
            retries: values.whole("retries")?.unwrap_or(0),
            all_methods: values.switch("retry-all"),
            max_retry_after: values.duration("max-retry-after")?,
            ..RetrySettings::default()
        },
        breaker: BreakerSettings {
            failures: values.whole("breaker-failures")?.unwrap_or(0),
            cooldown: values.duration("breaker-cooldown")?.unwrap_or_default(),
            probes: match patience {
                Patience::Probes(probes) => probes,
                Patience::Time(_) | Patience::Endless => u32::MAX,
            },
            wait: match patience {
                Patience::Time(time) => Some(time),
                Patience::Probes(_) | Patience::Endless => None,
            },
        },
        max_pages: values.whole("max-pages")?.map(u64::from),
        max_filesize: values.read("max-filesize", check::size)?,
        max_memory: values.read("max-memory", |text| check::size_from(text, LEAST_MEMORY))?,
        max_redirs: values.whole("max-redirs")?.unwrap_or(u32::MAX),
        accept: values.read("accept", check::statuses)?,
        obey_robots: values.word("robots")? == "obey",
        max_crawl_delay: values.duration("max-crawl-delay")?,
        scope: if crawl { scope(values)? } else { ScopeSettings::default() },
        max_per_pattern: if crawl {
            values.whole("max-per-pattern")?
        } else {
            EngineSettings::default().max_per_pattern
        },
        offline: values.switch("offline"),
        fallback_stale: values.word("fallback")? == "stale",
        refused: values.switch("refused"),
        check_outside: crawl && values.word("outside")? == "check",
        sitemaps: values.switch("sitemaps"),
        ordered: values.switch("ordered"),
        race: if values.word("race")? == "all" { RaceMode::All } else { RaceMode::Hedge },
        hedge_after: values.read("hedge-after", check::hedge_after)?,
        fail_early: values.switch("fail-early"),
        allow_private: values.switch("allow-private"),
        with: with(values),
        media_types: super::commands::media_types(values.list("media-type"))
            .map_err(|bad| values.error("media-type", bad))?,
        seed: fastrand::u64(..),
        ..EngineSettings::default()
    })
}

fn commands(values: &Values<'_>, grace: Duration) -> Result<CommandSettings, UsageError> {
    let words = |name| {
        let text = values.text(name).map(super::commands::words).transpose();
        text.map_err(|bad| values.error(name, bad))
    };
    Ok(CommandSettings { exec: words("exec")?, pipe: words("pipe")?, time: values.duration("exec-timeout")?, grace })
}

/// Where answers are kept; what only a cache can do needs one.
fn cache(values: &Values<'_>) -> Result<Option<CacheSettings>, UsageError> {
    let Some(dir) = values.text("cache") else {
        let wanting = [("offline", values.switch("offline")), ("fallback", values.word("fallback")? == "stale")];
        return match wanting.into_iter().find(|(_, wanted)| *wanted) {
            Some((name, _)) => {
                let bad = Bad::new("there is no cache to answer");
                Err(values.error(name, Bad { hint: Some("name its directory: --cache DIR".to_owned()), ..bad }))
            }
            None => Ok(None),
        };
    };
    Ok(Some(CacheSettings { dir: dir.into(), size: values.read("cache-size", check::size)? }))
}

fn scope(values: &Values<'_>) -> Result<ScopeSettings, UsageError> {
    let patterns = |name| {
        let texts = values.list(name).iter();
        texts.map(|text| check::pattern(text).map_err(|bad| values.error(name, bad))).collect::<Result<Vec<_>, _>>()
    };
    Ok(ScopeSettings {
        rule: match values.word("scope")? {
            "domain" => Rule::Domain,
            "prefix" => Rule::Prefix,
            "any" => Rule::Any,
            _ => Rule::Host,
        },
        include: patterns("include")?,
        exclude: patterns("exclude")?,
        max_depth: values.whole("max-depth")?,
    })
}

/// The words of a list, whose entries may hold several with commas between.
fn entries<'v>(values: &'v Values<'_>, name: &str) -> impl Iterator<Item = &'v str> {
    values.list(name).iter().flat_map(|entry| entry.split(',')).map(str::trim)
}

fn with(values: &Values<'_>) -> With {
    let asked = |key: &str| entries(values, "with").any(|entry| entry == key);
    With { body: asked("body"), links: asked("links"), headers: asked("headers"), digest: asked("digest") }
}

fn headers(values: &Values<'_>, flags: &RequestFlags) -> Result<Headers, UsageError> {
    let agent = values.text("user-agent").unwrap_or_default();
    let referer = values.text("referer");
    if let Some(command) = referer.filter(|text| text.starts_with("robots=")) {
        // wget's `-e robots=off` would otherwise be sent as a Referer, and obeyed by nobody.
        let mut bad = Bad::new(format!("'{command}' is a command of wget's, not a referer"));
        bad.hint = Some("did you mean '--robots ignore'?".to_owned());
        return Err(values.error("referer", bad));
    }
    if referer.is_some_and(|text| text.ends_with(";auto")) {
        let mut bad = Bad::new("a referer that changes with each redirect is not known here");
        bad.hint = Some("leave out ';auto': the same one goes along to all hops".to_owned());
        return Err(values.error("referer", bad));
    }
    Headers::compose(agent, referer, values.text("user"), values.list("header"), flags)
        .map_err(|(name, bad)| values.error(name, bad))
}

/// A proxy as records and `config show` print it.
pub fn without_credentials(proxy: &str) -> String {
    let (scheme, rest) = proxy.split_once("://").map_or(("", proxy), |(scheme, rest)| (scheme, rest));
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = rest[..authority].rfind('@').map_or(rest, |at| &rest[at + 1..]);
    if scheme.is_empty() { host.to_owned() } else { format!("{scheme}://{host}") }
}

/// The outputs, and a warning if `--format` was given and changes nothing.
fn outputs(values: &Values<'_>) -> Result<(Vec<OutputSettings>, Vec<String>), UsageError> {
    let standard = values.word("format")?;
    if !is_text(standard) {
        return Err(values.error("format", needs_file(standard)));
    }
    let entries = values.list("output");
    if entries.is_empty() {
        return Ok((vec![OutputSettings { target: Target::Stdout, format: standard }], Vec::new()));
    }
    let mut outputs: Vec<OutputSettings> = Vec::new();
    for entry in entries {
        let output = output(entry, standard).map_err(|bad| values.error("output", bad))?;
        if outputs.iter().any(|other| other.target == output.target) {
            return Err(values.error("output", Bad::new(format!("'{entry}' is given twice"))));
        }
        outputs.push(output);
    }
    let typed = values.given("format").is_some_and(|given| matches!(given.origin, Origin::Flag(_)));
    let to_standard = outputs.iter().any(|output| output.target == Target::Stdout);
    let warnings = if typed && !to_standard {
        vec![format!("--format is for standard output; for a file write -o {standard}:FILE")]
    } else {
        Vec::new()
    };
    Ok((outputs, warnings))
}

/// `FILE`, `-`, or `FORMAT:` and one of them.
fn output(entry: &str, standard: &'static str) -> Result<OutputSettings, Bad> {
    let prefix = entry
        .split_once(':')
        .filter(|(prefix, _)| prefix.len() > 1 && prefix.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let (format, path) = match prefix {
        Some((prefix, path)) => (Some(named_format(prefix)?), path),
        None => (None, entry),
    };
    if path.is_empty() {
        return Err(Bad::new(format!("'{entry}' names no file")));
    }
    if path == "-" {
        let format = format.unwrap_or(standard);
        return if is_text(format) {
            Ok(OutputSettings { target: Target::Stdout, format })
        } else {
            Err(needs_file(format))
        };
    }
    let format = match format {
        Some(format) => format,
        None => format_for_path(Path::new(path)).ok_or_else(|| {
            let mut bad = Bad::new(format!("the ending of '{path}' is not a format that is known"));
            bad.hint = Some(format!("known are {}; or name one: -o jsonl:{path}", format_names().join(", ")));
            bad
        })?,
    };
    Ok(OutputSettings { target: Target::File(path.into()), format })
}

fn is_text(format: &str) -> bool {
    lycosa::sinks::FORMATS.iter().any(|known| known.name == format && known.is_text())
}

fn needs_file(format: &str) -> Bad {
    let mut bad = Bad::new(format!("{format} is no text, and needs a file"));
    bad.hint = Some(format!("-o FILE.{format}, or -o {format}:FILE"));
    bad
}

fn format_names() -> Vec<&'static str> {
    lycosa::sinks::FORMATS.iter().map(|format| format.name).collect()
}

fn named_format(name: &str) -> Result<&'static str, Bad> {
    let known = format_names();
    known.iter().copied().find(|format| format.eq_ignore_ascii_case(name)).ok_or_else(|| {
        let mut bad = Bad::new(format!("'{name}' is not a format ({})", known.join(", ")));
        bad.hint = super::nearest(name, known)
            .map(|near| format!("did you mean '{near}:'? (a file of that name: ./{name}:…)"));
        bad
    })
}

fn summary(values: &Values<'_>, outputs: &[OutputSettings]) -> Result<Option<PathBuf>, UsageError> {
    match values.text("summary") {
        Some(path) if outputs.iter().any(|output| output.target == Target::File(path.into())) => {
            Err(values.error("summary", Bad::new(format!("'{path}' is an output already"))))
        }
        Some("-") => Err(values.error("summary", Bad::new("standard output carries records and nothing else"))),
        text => Ok(text.map(PathBuf::from)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file;
    use crate::settings::setting;

    fn resolve_with(run: Run, set: &[(&str, &str)]) -> Result<Resolved, UsageError> {
        let mut layers = file::defaults(run).clone();
        for (name, text) in set {
            let setting = setting(name).expect("a setting");
            let texts = if text.is_empty() { Vec::new() } else { text.split('|').map(str::to_owned).collect() };
            layers.set(setting, texts, Origin::Flag(format!("--{name}")));
        }
        resolve(run, &layers, &RequestFlags::default())
    }

    fn message(set: &[(&str, &str)]) -> String {
        resolve_with(Run::Fetch, set).expect_err("a bad value").message
    }

    /// The defaults of the library and of config.toml are the same thing told twice: they must agree.
    #[test]
    fn defaults_are_those_of_the_library() {
        let resolved = resolve_with(Run::Fetch, &[]).unwrap();
        let mut engine = resolved.settings.engine;
        engine.seed = 0;
        assert_eq!(format!("{engine:?}"), format!("{:?}", EngineSettings::default()));
        assert_eq!(resolved.fail_on, FailOn::Any);
        let outputs = [OutputSettings { target: Target::Stdout, format: "jsonl" }];
        assert_eq!(resolved.settings.outputs, outputs);
        assert_eq!(resolved.settings.client.connect_timeout, Some(Duration::from_secs(10)));
        assert_eq!(resolved.settings.client.max_ratio, ClientSettings::default().max_ratio);
        assert_eq!(resolved.settings.client.read_timeout, Some(Duration::from_secs(15)));
    }

    #[test]
    fn a_crawl_differs_where_the_contract_says() {
        let resolved = resolve_with(Run::Crawl, &[]).unwrap();
        let engine = resolved.settings.engine;
        assert!(engine.follow && engine.unique && engine.obey_robots);
        assert_eq!((engine.host_concurrency, engine.concurrency), (4, 64));
        assert_eq!((engine.scope.rule, engine.scope.max_depth), (Rule::Host, None));
        assert_eq!(resolved.fail_on, FailOn::Seeds);
    }

    #[test]
    fn the_default_agent_is_this_version() {
        let resolved = resolve_with(Run::Crawl, &[]).unwrap();
        let agent = concat!("lycosa/", env!("CARGO_PKG_VERSION"), " (+", env!("CARGO_PKG_REPOSITORY"), ")");
        assert_eq!(resolved.settings.client.user_agent, agent);
        assert_eq!(resolved.settings.engine.product_token, "lycosa");
    }

    #[test]
    fn limits_are_switched_off() {
        let off =
            [("timeout", "0"), ("max-filesize", "none"), ("max-retry-after", "none"), ("breaker-failures", "none")];
        let engine = resolve_with(Run::Crawl, &off).unwrap().settings.engine;
        assert_eq!((engine.timeout, engine.max_filesize, engine.breaker.failures), (None, None, 0));
        assert_eq!(engine.retry.max_retry_after, None);
        let engine = resolve_with(Run::Crawl, &[("host-concurrency", "none"), ("grace", "0")]).unwrap().settings.engine;
        assert_eq!((engine.host_concurrency, engine.grace), (64, UNLIMITED));
    }

    #[test]
    fn outputs_are_named_by_ending_or_prefix() {
        let outputs =
            |text: &str| resolve_with(Run::Fetch, &[("output", text)]).map(|resolved| resolved.settings.outputs);
        let file = |path: &str, format| OutputSettings { target: Target::File(path.into()), format };
        let standard = OutputSettings { target: Target::Stdout, format: "jsonl" };
        assert_eq!(
            outputs("a.json|b|json:c.txt|-").unwrap(),
            [file("a.json", "json"), file("b", "jsonl"), file("c.txt", "json"), standard]
        );
        assert_eq!(outputs("CSV:x").unwrap(), [file("x", "csv")]);
        assert_eq!(outputs("./csv:x").map(|outputs| outputs.len()).ok(), Some(1));
        assert_eq!(message(&[("output", "a.xls")]), "--output: the ending of 'a.xls' is not a format that is known");
        assert_eq!(
            message(&[("output", "xls:a")]),
            "--output: 'xls' is not a format (jsonl, json, csv, sqlite, warc, parquet)"
        );
        assert_eq!(message(&[("output", "sqlite:-")]), "--output: sqlite is no text, and needs a file");
        assert_eq!(message(&[("format", "sqlite")]), "--format: sqlite is no text, and needs a file");
        assert_eq!(
            outputs("a.CSV.gz|b.zst|c.db").unwrap(),
            [file("a.CSV.gz", "csv"), file("b.zst", "jsonl"), file("c.db", "sqlite")]
        );
        assert_eq!(
            message(&[("output", "a.db.gz")]),
            "--output: the ending of 'a.db.gz' is not a format that is known"
        );
        assert_eq!(message(&[("output", "a|a")]), "--output: 'a' is given twice");
        assert_eq!(message(&[("output", "json:")]), "--output: 'json:' names no file");
        assert_eq!(resolve_with(Run::Fetch, &[("output", "a"), ("format", "json")]).unwrap().warnings.len(), 1);
        assert!(resolve_with(Run::Fetch, &[("output", "-"), ("format", "json")]).unwrap().warnings.is_empty());
    }

    #[test]
    fn proxies_are_checked_and_shown_without_credentials() {
        let resolved = resolve_with(Run::Fetch, &[("proxy", "me:s3cret@proxy:3128")]).unwrap().settings;
        assert_eq!(resolved.client.proxy.unwrap(), ["http://me:s3cret@proxy:3128"]);
        assert_eq!(without_credentials("socks5h://a:b@c@d:1/"), "socks5h://d:1/");
        let proxy = |text| resolve_with(Run::Fetch, &[("proxy", text)]).unwrap().settings;
        assert_eq!(proxy("environment").client.proxy, None);
        assert_eq!(proxy("none").client.proxy, Some(Vec::new()));
        assert_eq!(proxy("a|socks5://b").client.proxy.unwrap(), ["http://a", "socks5://b"]);
        assert!(message(&[("proxy", "a|none")]).contains("cannot stand beside"));
        let bad = message(&[("proxy", "sock5://me:s3cret@proxy")]);
        assert!(bad.starts_with("--proxy: 'sock5' is not the scheme of a proxy"), "{bad}");
        assert!(!message(&[("proxy", "http://me:s3cret@pro xy:99999")]).contains("s3cret"));
    }

    #[test]
    fn an_error_names_the_flag() {
        assert!(message(&[("timeout", "5sec")]).starts_with("--timeout: '5sec' is not a duration"));
        assert!(message(&[("fail-on", "0%")]).starts_with("--fail-on: '0%' is not never"));
        assert!(message(&[("summary", "-")]).starts_with("--summary: standard output carries"));
        assert_eq!(message(&[("summary", "a"), ("output", "a")]), "--summary: 'a' is an output already");
        assert!(message(&[("user", "s3cret")]).starts_with("--user: no password"));
    }

    #[test]
    fn what_only_a_cache_can_do_needs_one() {
        let cache = |set: &[(&str, &str)]| resolve_with(Run::Crawl, set).map(|resolved| resolved.settings.cache);
        assert_eq!(cache(&[]), Ok(None));
        let kept = Some(CacheSettings { dir: "d".into(), size: Some(1 << 30) });
        assert_eq!(cache(&[("cache", "d"), ("offline", "true"), ("fallback", "stale")]), Ok(kept));
        assert_eq!(cache(&[("cache", "d"), ("cache-size", "none")]).unwrap().unwrap().size, None);
        assert_eq!(message(&[("offline", "true")]), "--offline: there is no cache to answer");
        assert_eq!(message(&[("fallback", "stale")]), "--fallback: there is no cache to answer");
    }

    #[test]
    fn keys_on_request_are_taken_from_lists() {
        let with = resolve_with(Run::Fetch, &[("with", "body,digest|links")]).unwrap().settings.engine.with;
        assert_eq!(with, With { body: true, links: true, headers: false, digest: true });
    }
}
