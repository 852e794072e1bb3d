//! Log lines on standard error: text or JSON, each with the `request_id` of its job.
//!
//! The engine opens a span with the field `request_id` around the work of a job; every event in it gets that id. What a
//! server sent is escaped, so that a log line is one line and cannot steer a terminal.

use std::fmt::{self, Write as _};

use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber, span};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

use crate::console::Console;
use crate::settings::one_line;
use crate::settings::resolve::Display;

/// Things a person should know, without `-v`: shown as `lycosa: …`.
const NOTICE: &str = "lycosa::notice";
/// What the commands of `--exec` and `--pipe` print, and how they fail.
const COMMAND: &str = "lycosa::command";
/// What a handle's snapshot writes.
const SNAPSHOT: &str = "lycosa::snapshot";

/// Installs the logs of this process. Does nothing if there are some already.
pub fn start(display: &Display, console: &Console) {
    let lines = Lines { console: console.clone(), json: display.log_json };
    let subscriber = tracing_subscriber::registry().with(lines.with_filter(filter(display)));
    if tracing::subscriber::set_global_default(subscriber).is_ok() {
        // One line with the id of the job, instead of Rust's several; `-qq` hides it like everything else.
        std::panic::set_hook(Box::new(|panic| tracing::error!(target: "lycosa::panic", "{panic}")));
    }
}

/// Which events are shown: ours by `-v` and `-q`, those of libraries only as errors. Their warnings are about what servers
/// send, one for each frame: a flood of pings wrote 90,000 lines a second.
fn filter(display: &Display) -> Targets {
    let ours = match (display.quiet, display.verbose) {
        (2.., _) => LevelFilter::OFF,
        (_, 2..) => LevelFilter::DEBUG,
        (_, 1) => LevelFilter::INFO,
        (1, _) => LevelFilter::ERROR,
        _ => LevelFilter::WARN,
    };
    // A snapshot was asked for by a signal, so `-q` does not hide it.
    let snapshot = if display.quiet < 2 { LevelFilter::INFO } else { LevelFilter::OFF };
    let notice = if display.quiet == 0 { LevelFilter::INFO } else { ours };
    Targets::new()
        .with_default(ours.min(LevelFilter::ERROR))
        .with_target("lycosa", ours)
        .with_target(NOTICE, notice.max(ours))
        .with_target(COMMAND, snapshot)
        .with_target(SNAPSHOT, snapshot)
}

/// The id of the job a span belongs to.
struct RequestId(String);

/// Writes each event as one line.
struct Lines {
    console: Console,
    json: bool,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let (Some(request_id), Some(span)) = (fields.take("request_id"), context.span(id)) {
            span.extensions_mut().insert(RequestId(plain(&request_id)));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let request_id = fields.take("request_id").map(|value| plain(&value)).or_else(|| {
            context.event_scope(event)?.find_map(|span| span.extensions().get::<RequestId>().map(|id| id.0.clone()))
        });
        let message = fields.take("message").map(|value| plain(&value)).unwrap_or_default();
        let metadata = event.metadata();
        let line = if self.json {
            json_line(*metadata.level(), metadata.target(), request_id.as_deref(), &message, &fields.0)
        } else {
            let color = self.console.has_color();
            text_line(*metadata.level(), metadata.target(), request_id.as_deref(), &message, &fields.0, color)
        };
        self.console.write(&line);
    }
}

fn json_line(level: Level, target: &str, request_id: Option<&str>, message: &str, fields: &[(&str, Value)]) -> String {
    let fields: Map<String, Value> = fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let line = json!({
        "time": now(),
        "level": level.as_str(),
        "target": target,
        "request_id": request_id,
        "message": message,
        "fields": fields,
    });
    format!("{line}\n")
}

fn text_line(
    level: Level,
    target: &str,
    request_id: Option<&str>,
    message: &str,
    fields: &[(&str, Value)],
    color: bool,
) -> String {
    if target == COMMAND {
        return format!("{}\n", one_line(message));
    }
    let mut line = if target == NOTICE || target == SNAPSHOT {
        "lycosa:".to_owned()
    } else {
        let (start, end) = if color { (color_of(level), "\x1b[0m") } else { ("", "") };
        format!("{} {start}{:>5}{end}", now(), level.as_str())
    };
    if let Some(request_id) = request_id {
        let _ = write!(line, " request_id={}", value_text(request_id));
    }
    if !message.is_empty() {
        let _ = write!(line, " {}", one_line(message));
    }
    for (name, value) in fields {
        let _ = write!(line, " {name}={}", value_text(&plain(value)));
    }
    line.push('\n');
    line
}

fn color_of(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        _ => "\x1b[34m",
    }
}

fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

/// A value without the quotes of JSON.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Quoted where spaces or quotes would make it look like several fields.
fn value_text(text: &str) -> String {
    let shown = one_line(text);
    if shown.is_empty() || shown.contains([' ', '"', '=']) && !shown.contains("://") {
        format!("\"{}\"", shown.replace('"', "\\\""))
    } else {
        shown
    }
}

/// The fields of a span or an event, in their order.
#[derive(Default)]
struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    fn take(&mut self, name: &str) -> Option<Value> {
        self.0.iter().position(|(known, _)| *known == name).map(|place| self.0.remove(place).1)
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push((field.name(), json!(format!("{value:?}"))));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.name(), json!(value)));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.push((field.name(), json!(value)));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.push((field.name(), json!(value)));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.push((field.name(), json!(value)));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.push((field.name(), json!(value)));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn display(quiet: u32, verbose: u32) -> Display {
        Display { color: "never", verbose, quiet, log_json: false, no_progress: true }
    }

    fn fields(url: &str) -> [(&'static str, Value); 2] {
        [("url", json!(url)), ("attempt", json!(2))]
    }

    #[test]
    fn a_line_has_its_request_id_and_no_control_characters() {
        let line = text_line(Level::WARN, "lycosa::engine", Some("r-7"), "a\x1b[2Jb\nc", &fields("http://h/\r"), false);
        let (_, rest) = line.split_once("Z ").unwrap();
        assert_eq!(rest, " WARN request_id=r-7 a\\u{1b}[2Jb\\nc url=http://h/\\r attempt=2\n");
        assert!(text_line(Level::WARN, "lycosa", None, "m", &[], true).contains("\x1b[33m"));
    }

    #[test]
    fn a_json_line_is_json_with_the_id_always_there() {
        let line = json_line(Level::INFO, "lycosa::engine", None, "a\nb", &fields("u"));
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&value["request_id"], &value["message"]), (&Value::Null, &json!("a\nb")));
        assert_eq!(value["fields"]["attempt"], 2);
        assert_eq!(line.matches('\n').count(), 1);
    }

    #[test]
    fn notices_read_like_the_command_speaking() {
        assert_eq!(
            text_line(Level::INFO, NOTICE, None, "line 3: https:// is assumed", &[], false),
            "lycosa: line 3: https:// is assumed\n"
        );
    }

    #[test]
    fn quiet_and_verbose_choose_what_is_shown() {
        let shown = |quiet, verbose, target, level| filter(&display(quiet, verbose)).would_enable(target, &level);
        assert!(shown(0, 0, "lycosa::engine", Level::WARN) && !shown(0, 0, "lycosa::engine", Level::INFO));
        assert!(shown(0, 1, "lycosa::engine", Level::INFO) && !shown(0, 1, "lycosa::engine", Level::DEBUG));
        assert!(shown(0, 2, "lycosa::engine", Level::DEBUG) && !shown(0, 2, "hyper::client", Level::INFO));
        assert!(shown(0, 2, "hyper::client", Level::ERROR) && !shown(0, 2, "h2::proto", Level::WARN));
        assert!(shown(1, 0, "lycosa::engine", Level::ERROR) && !shown(1, 0, "lycosa::engine", Level::WARN));
        assert!(!shown(2, 2, "lycosa::engine", Level::ERROR) && !shown(2, 0, SNAPSHOT, Level::INFO));
        assert!(shown(0, 0, NOTICE, Level::INFO) && !shown(1, 0, NOTICE, Level::INFO));
        assert!(shown(1, 0, SNAPSHOT, Level::INFO));
    }

    /// Takes what [`Lines`] would look up, from real spans.
    #[test]
    fn an_event_finds_the_id_of_its_span() {
        struct Seen(Arc<Mutex<Vec<Option<String>>>>);
        impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Seen {
            fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
                let id = context.event_scope(event).and_then(|mut scope| {
                    scope.find_map(|span| span.extensions().get::<RequestId>().map(|id| id.0.clone()))
                });
                self.0.lock().unwrap().push(id);
            }
        }
        let seen = Arc::new(Mutex::new(Vec::new()));
        let lines = Lines { console: Console::new(&display(2, 0), false), json: false }.with_filter(LevelFilter::TRACE);
        // `Lines` marks the spans; `Seen` looks their ids up as it does.
        let subscriber = tracing_subscriber::registry().with(lines).with(Seen(Arc::clone(&seen)));
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("job", request_id = %"r-9");
            let _in = span.enter();
            tracing::info_span!("attempt").in_scope(|| tracing::debug!("inner"));
        });
        assert_eq!(*seen.lock().unwrap(), [Some("r-9".to_owned())]);
    }
}
