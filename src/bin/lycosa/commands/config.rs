//! `lycosa config`: the settings that hold, a file to start from, and its JSON Schema.

use std::fmt::Write as _;

use lycosa::policy::credentials::is_credential;
use serde_json::{Map, Value, json};

use crate::args::ConfigAction;
use crate::settings::cookies::is_line;
use crate::settings::hosts;
use crate::settings::request::RequestFlags;
use crate::settings::resolve::{resolve, without_credentials};
use crate::settings::table::{FORMATS, SETTINGS};
use crate::settings::transport::certificate_file;
use crate::settings::{Given, HostTable, Kind, Layer, On, Run, Setting, UsageError, setting};
use crate::{file, layers};

/// What the command prints on standard output, and what to warn of.
///
/// # Errors
/// `show`: a setting that cannot be used.
pub fn print(action: &ConfigAction) -> Result<(String, Vec<String>), UsageError> {
    match action {
        ConfigAction::Init => Ok((init(), Vec::new())),
        ConfigAction::Schema => Ok((format!("{:#}\n", schema()), Vec::new())),
        ConfigAction::Show { run, json, files } => {
            let gather = |run: Run| -> Result<(Layer, Vec<String>), UsageError> {
                let (layers, warnings) = layers::gather(run, files, std::env::vars_os(), Layer::default())?;
                resolve(run, &layers, &RequestFlags::default())?;
                Ok((layers, warnings))
            };
            if let Some(run) = *run {
                let (layers, warnings) = gather(run)?;
                let text = if *json { format!("{:#}\n", show_json(run, &layers)) } else { show(run, &layers) };
                return Ok((text, warnings));
            }
            // The warnings are of the environment, which is the same for both.
            let ((crawl, warnings), (fetch, _)) = (gather(Run::Crawl)?, gather(Run::Fetch)?);
            let text =
                if *json { format!("{:#}\n", show_both_json(&crawl, &fetch)) } else { show_both(&crawl, &fetch) };
            Ok((text, warnings))
        }
    }
}

/// Settings of a command with their values, in the order of help.
fn held(run: Run, layers: &Layer) -> impl Iterator<Item = (&'static Setting, &Given)> {
    let settings = SETTINGS.iter().filter(move |setting| setting.on.covers(run));
    settings.filter_map(|setting| layers.get(setting.name).map(|given| (setting, given)))
}

/// A setting with its value.
type Held<'a> = (&'static Setting, &'a Given);

/// What both commands hold, then what only the first and only the second holds or holds otherwise.
fn apart<'a>(crawl: &'a Layer, fetch: &'a Layer) -> (Vec<Held<'a>>, [(Run, Vec<Held<'a>>); 2]) {
    let same = |(setting, _): &Held<'_>| setting.on == On::Both && crawl.get(setting.name) == fetch.get(setting.name);
    let (both, of_crawl) = held(Run::Crawl, crawl).partition(same);
    let of_fetch = held(Run::Fetch, fetch).filter(|held| !same(held)).collect();
    (both, [(Run::Crawl, of_crawl), (Run::Fetch, of_fetch)])
}

/// Lines of TOML, each with its origin as a comment.
fn show(run: Run, layers: &Layer) -> String {
    title(run.as_str()) + &lines(&held(run, layers).collect::<Vec<_>>()) + &tables(layers)
}

/// The tables of hosts, the strongest first.
fn tables(layers: &Layer) -> String {
    layers.hosts().iter().fold(String::new(), |mut out, table| {
        // A list of strings is the same in JSON.
        let _ = write!(out, "\n[[host]]  # {}\nmatch = {}\n", table.origin, json!(table.matches));
        out + &lines(&held_by(table).collect::<Vec<_>>())
    })
}

fn held_by(table: &HostTable) -> impl Iterator<Item = Held<'_>> {
    table.values.iter().filter_map(|(name, given)| Some((setting(name)?, given)))
}

fn tables_json(layers: &Layer) -> Value {
    let of_table = |table: &HostTable| {
        let mut all = Map::from_iter([("match".to_owned(), json!(table.matches))]);
        all.extend(entries(held_by(table)));
        Value::Object(all)
    };
    layers.hosts().iter().map(of_table).collect()
}

/// Both commands, as one configuration file would have them.
fn show_both(crawl: &Layer, fetch: &Layer) -> String {
    let (both, differing) = apart(crawl, fetch);
    let mut out = title(&Run::ALL.map(Run::as_str).join(" and ")) + &lines(&both);
    for (run, held) in differing {
        // Writing into a string cannot fail.
        let _ = write!(out, "\n[{}]\n{}", run.as_str(), lines(&held));
    }
    // Files have them for both.
    out + &tables(crawl)
}

/// Goes with the defaults where those are filtered out.
fn title(commands: &str) -> String {
    format!("# lycosa {commands}: what is marked '# default' is built in\n")
}

fn lines(held: &[Held<'_>]) -> String {
    let lines: Vec<(String, String)> = held
        .iter()
        .map(|(setting, given)| (format!("{} = {}", setting.name, toml_text(setting, given)), given.origin.to_string()))
        .collect();
    let width = lines.iter().map(|(line, _)| line.chars().count()).filter(|width| *width <= 48).max().unwrap_or(0);
    lines.iter().fold(String::new(), |mut out, (line, origin)| {
        let _ = writeln!(out, "{line:<width$}  # {origin}");
        out
    })
}

/// An object named for the command.
fn show_json(run: Run, layers: &Layer) -> Value {
    json!({ run.as_str(): entries(held(run, layers)), "host": tables_json(layers) })
}

/// What both hold at the top, the rest in an object for each command, as in a file.
fn show_both_json(crawl: &Layer, fetch: &Layer) -> Value {
    let (both, differing) = apart(crawl, fetch);
    let mut all = entries(both);
    all.extend(differing.map(|(run, held)| (run.as_str().to_owned(), Value::Object(entries(held)))));
    all.insert("host".to_owned(), tables_json(crawl));
    Value::Object(all)
}

fn entries<'a>(held: impl IntoIterator<Item = Held<'a>>) -> Map<String, Value> {
    let entry = |(setting, given): Held<'_>| {
        (setting.name.to_owned(), json!({ "value": json_value(setting, given), "origin": given.origin.to_string() }))
    };
    held.into_iter().map(entry).collect()
}

fn toml_text(setting: &Setting, given: &Given) -> String {
    // A JSON string, number, boolean or array of strings is the same in TOML.
    json_value(setting, given).to_string().replace("\",\"", "\", \"")
}

fn json_value(setting: &Setting, given: &Given) -> Value {
    let texts: Vec<String> = given.texts.iter().map(|text| masked(setting, text)).collect();
    if setting.kind.is_list() {
        return json!(texts);
    }
    let text = texts.last().map_or("", String::as_str);
    match setting.kind {
        Kind::Switch => json!(text == "true" || text == "1"),
        Kind::Count | Kind::Whole { .. } => {
            text.replace('_', "").parse::<u64>().map_or_else(|_| json!(text), |n| json!(n))
        }
        _ => json!(text),
    }
}

/// The text without what is secret in it.
fn masked(setting: &Setting, text: &str) -> String {
    match setting.name {
        "user" if text != "none" => format!("{}:***", text.split(':').next().unwrap_or_default()),
        "cookie" if is_line(text) => names_only(text),
        "proxy" => without_credentials(text),
        "cert" => certificate_file(text),
        "header" => match text.split_once(':') {
            Some((name, _)) if is_credential(name.trim()) => format!("{name}: ***"),
            _ => text.to_owned(),
        },
        _ => text.to_owned(),
    }
}

/// A line of cookies without their values.
fn names_only(line: &str) -> String {
    let name = |pair: &str| pair.split('=').next().unwrap_or_default().trim().to_owned() + "=***";
    line.split(';').filter(|pair| !pair.trim().is_empty()).map(name).collect::<Vec<_>>().join("; ")
}

/// The embedded file with everything commented out: `#key = value`, to be told from prose, which has a space.
fn init() -> String {
    let comment =
        |line: &str| if line.is_empty() || line.starts_with('#') { format!("{line}\n") } else { format!("#{line}\n") };
    file::EMBEDDED.lines().map(comment).collect()
}

/// JSON Schema (draft 2020-12) of a configuration file.
fn schema() -> Value {
    let of = |run: Run| -> Value {
        let defaults = file::defaults(run);
        let settings = SETTINGS.iter().filter(|setting| setting.on.covers(run));
        let properties: Map<String, Value> =
            settings.map(|setting| (setting.name.to_owned(), property(setting, defaults.get(setting.name)))).collect();
        json!({
            "type": "object",
            "description": format!("Settings of lycosa {} alone", run.as_str()),
            "properties": properties,
            "additionalProperties": false,
        })
    };
    // At the top a default is told only where both commands share it.
    let (crawl, fetch) = (file::defaults(Run::Crawl), file::defaults(Run::Fetch));
    let mut properties: Map<String, Value> = SETTINGS
        .iter()
        .map(|setting| {
            let default = match setting.on {
                On::Both => crawl.get(setting.name).filter(|given| fetch.get(setting.name) == Some(given)),
                On::Only(Run::Crawl) => crawl.get(setting.name),
                On::Only(Run::Fetch) => fetch.get(setting.name),
            };
            (setting.name.to_owned(), property(setting, default))
        })
        .collect();
    for run in Run::ALL {
        properties.insert(run.as_str().to_owned(), of(run));
    }
    properties.insert("host".to_owned(), host_schema());
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of lycosa",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    })
}

/// The tables `[[host]]`.
fn host_schema() -> Value {
    let keys = hosts::KEYS.into_iter().filter_map(setting);
    let mut properties: Map<String, Value> =
        keys.map(|setting| (setting.name.to_owned(), property(setting, None))).collect();
    let mut patterns =
        one_or_many(&json!({ "type": "string", "examples": ["example.org", "*.example.org", "localhost:*"] }));
    patterns["description"] = json!("Hosts that the table is for");
    properties.insert("match".to_owned(), patterns);
    json!({
        "type": "array",
        "description": "Settings for some hosts: the first table that fits and states one counts",
        "items": {
            "type": "object",
            "properties": properties,
            "required": ["match"],
            "additionalProperties": false,
        },
    })
}

fn property(setting: &Setting, default: Option<&Given>) -> Value {
    let mut property = match setting.kind {
        Kind::Switch => json!({ "type": "boolean" }),
        Kind::Count => json!({ "type": "integer", "minimum": 0, "maximum": 2 }),
        Kind::Whole { least, most, none } => {
            let number = json!({ "type": "integer", "minimum": least, "maximum": most });
            if none { json!({ "anyOf": [number, { "const": "none" }] }) } else { number }
        }
        Kind::Duration => {
            json!({ "type": ["string", "number"], "examples": ["200ms", "30s", "5m", "2h", "1d", "none"] })
        }
        Kind::Size { .. } => json!({ "type": ["string", "integer"], "examples": ["512k", "16MiB", "1G", "none"] }),
        Kind::Rate => json!({ "type": "string", "examples": ["20/s", "30/m", "100/h", "500/d", "none"] }),
        Kind::Word(words) => json!({ "enum": words }),
        Kind::Statuses => json!({ "type": ["string", "integer"], "examples": ["200..299,304"] }),
        Kind::FailOn => json!({ "type": ["string", "integer"], "examples": ["never", "seeds", "any", 10, "5%"] }),
        Kind::HedgeAfter => json!({ "type": ["string", "number"], "examples": ["500ms", "p95", "none"] }),
        Kind::Dns => json!({ "type": "string", "examples": ["own", "system", "192.0.2.53", "[2001:db8::53]:53"] }),
        Kind::Patience => json!({ "type": ["string", "integer"], "examples": [3, "10m", "none"] }),
        Kind::Text => json!({ "type": "string" }),
        Kind::Texts if setting.name == "output" => {
            let formats = FORMATS.join(", ");
            one_or_many(&json!({ "type": "string", "description": format!("FILE, or FORMAT:FILE ({formats}), or -") }))
        }
        Kind::Texts | Kind::Networks | Kind::Words(_) => one_or_many(&json!({ "type": "string" })),
        Kind::Patterns => one_or_many(&json!({ "type": "string", "format": "regex" })),
    };
    property["description"] = json!(setting.help);
    if let Some(given) = default {
        property["default"] = json_value(setting, given);
    }
    property
}

/// A list, or its only entry.
fn one_or_many(entry: &Value) -> Value {
    json!({ "anyOf": [{ "type": "array", "items": entry }, entry] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Origin;

    #[test]
    fn show_names_the_origin_of_each_and_is_toml() {
        let mut layers = file::defaults(Run::Fetch).clone();
        let flag = |name: &str| Origin::Environment(setting(name).expect("a setting").variable());
        layers.set(setting("host-rate").expect("a setting"), vec!["5/s".to_owned()], flag("host-rate"));
        let shown = show(Run::Fetch, &layers);
        let line = |name: &str| shown.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        assert!(line("host-rate").ends_with("# environment LYCOSA_HOST_RATE"), "{shown}");
        assert!(line("host-concurrency = 8 ").ends_with("# default"), "{shown}");
        assert!(!shown.contains("\nscope"), "{shown}");
        assert!(toml::de::DeTable::parse(&shown).is_ok(), "{shown}");
        assert_eq!(show_json(Run::Fetch, &layers)["fetch"]["host-rate"]["value"], "5/s");
        assert!(shown.starts_with("# lycosa fetch: "), "{shown}");
    }

    #[test]
    fn show_of_both_tells_where_they_differ_and_is_a_file() {
        let (crawl, fetch) = (file::defaults(Run::Crawl), file::defaults(Run::Fetch));
        let shown = show_both(crawl, fetch);
        let table = toml::from_str::<toml::Table>(&shown).expect("TOML");
        let whole = |value: &toml::Value| value.as_integer();
        assert_eq!(table.get("concurrency").and_then(whole), Some(64));
        assert!(!table.contains_key("host-concurrency"), "{shown}");
        assert_eq!(table["crawl"].get("host-concurrency").and_then(whole), Some(4));
        assert_eq!(table["fetch"].get("host-concurrency").and_then(whole), Some(8));
        assert!(table["crawl"].get("scope").is_some() && table["fetch"].get("ordered").is_some(), "{shown}");
        assert_eq!(table["crawl"].get("concurrency"), None);
        let json = show_both_json(crawl, fetch);
        assert_eq!(json["timeout"]["value"], "30s");
        assert_eq!(
            (&json["crawl"]["robots"]["value"], &json["fetch"]["robots"]["value"]),
            (&json!("obey"), &json!("ignore"))
        );
    }

    #[test]
    fn show_hides_secrets() {
        let text = |name: &str, text: &str| masked(setting(name).expect("a setting"), text);
        assert_eq!(text("user", "al:s3cret"), "al:***");
        assert_eq!(text("proxy", "http://al:s3cret@p:1"), "http://p:1");
        assert_eq!(text("header", "X-Api-Key: s3cret"), "X-Api-Key: ***");
        assert_eq!(text("header", "X-Plain: yes"), "X-Plain: yes");
        assert_eq!(text("user", "none"), "none");
        assert_eq!(text("cookie", "a=s3cret; b=s3=cret;"), "a=***; b=***");
        assert_eq!(text("cookie", "jar.txt"), "jar.txt");
    }

    #[test]
    fn the_file_to_start_from_sets_nothing_and_holds_everything() {
        let init = init();
        assert!(toml::de::DeTable::parse(&init).expect("TOML").get_ref().is_empty());
        let uncommented: String = init
            .lines()
            .filter(|line| !line.starts_with("# ") && *line != "#")
            .map(|line| line.strip_prefix('#').unwrap_or(line))
            .collect::<Vec<_>>()
            .join("\n");
        let table = |text: &str| toml::from_str::<toml::Table>(text).expect("TOML");
        assert_eq!(table(&uncommented), table(file::EMBEDDED));
    }

    #[test]
    fn the_schema_takes_the_defaults_and_no_other_key() {
        let validator = jsonschema::validator_for(&schema()).expect("a schema");
        let value =
            |text: &str| serde_json::to_value(toml::from_str::<toml::Table>(text).expect("TOML")).expect("JSON");
        assert!(validator.is_valid(&value(file::EMBEDDED)));
        assert!(
            validator.is_valid(&value("[[host]]\nmatch = \"h\"\ndelay = \"1s\"\n[[host]]\nmatch = [\"a\", \"*.b\"]"))
        );
        assert!(validator.is_valid(&value("timeout = 5\naccept = 200\n[crawl]\nmax-depth = 3\nexclude = \"x\"")));
        for bad in [
            "host-rat = \"1/s\"",
            "concurrency = 0",
            "[fetch]\nscope = \"any\"",
            "robots = \"maybe\"",
            "refused = 1",
            "[[host]]\ndelay = 1",
            "[[host]]\nmatch = \"h\"\nscope = \"any\"",
        ] {
            assert!(!validator.is_valid(&value(bad)), "{bad}");
        }
    }
}
