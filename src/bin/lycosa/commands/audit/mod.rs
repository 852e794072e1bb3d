//! `lycosa audit`: proves from records that no host was asked faster, or more in parallel, than allowed.
//!
//! Only what is stated by flags is judged: records do not tell the settings of their run. The judging itself is the
//! library's ([`lycosa::policy::audit`]); here files are read, and what was found is told, on standard output.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use lycosa::model::units::Rate;
use lycosa::model::url;
use lycosa::policy::audit::{Breach, Limits, NO_ADDRESS, Violation, judge};
use serde_json::{Value, json};

use crate::exit;
use crate::settings::check::Bad;
use crate::settings::{UsageError, nearest};

#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod read;

use read::{Ledger, Told, Unread};

/// What was typed, checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFlags {
    pub files: Vec<PathBuf>,
    pub json: bool,
    pub concurrency: Option<u32>,
    pub host_concurrency: Option<u32>,
    pub ip_concurrency: Option<u32>,
    pub rate: Option<Rate>,
    pub host_rate: Option<Rate>,
    pub delay: Option<Duration>,
    /// By host key.
    pub crawl_delays: Vec<(String, Duration)>,
    pub tolerance: Option<Duration>,
    /// The limits as they were typed: flag and value.
    pub stated: Vec<(&'static str, String)>,
}

/// What the command prints, its warnings, and its exit code.
#[derive(Debug)]
pub struct Verdict {
    pub text: String,
    pub warnings: Vec<String>,
    pub code: u8,
}

/// Reads the files and judges them.
///
/// # Errors
/// A file that cannot be read, a host that cannot be meant (exit code 2), or the temporary file (3): the code, and what to
/// say.
pub fn audit(flags: &AuditFlags) -> Result<Verdict, (u8, UsageError)> {
    let mut ledger = Ledger::read(&flags.files).map_err(|error| match error {
        Unread::Input(message) => (exit::USAGE, UsageError::new(message)),
        Unread::Spool(error) => spool_failed(&error),
    })?;
    let strange = strange_hosts(flags, &ledger).map_err(|error| (exit::USAGE, error))?;
    ledger.warnings.extend(strange);
    // Told now: the hosts of the flags are counted as none.
    let hosts = ledger.hosts.len();
    let limits = Limits {
        concurrency: flags.concurrency,
        host_concurrency: flags.host_concurrency,
        ip_concurrency: flags.ip_concurrency,
        rate: flags.rate,
        host_rate: flags.host_rate,
        delay: flags.delay.unwrap_or_default(),
        host_delays: flags.crawl_delays.iter().map(|(host, delay)| (ledger.hosts.number(host), *delay)).collect(),
        tolerance: flags.tolerance.unwrap_or_default(),
    };
    let mut warnings = std::mem::take(&mut ledger.warnings);
    if flags.ip_concurrency.is_some() {
        let unknown = ledger.requests.iter().filter(|request| request.address == NO_ADDRESS).count();
        if unknown > 0 {
            warnings.push(format!("{unknown} requests without a known address are not judged by --ip-concurrency"));
        }
    }
    let mut requests = std::mem::take(&mut ledger.requests);
    let violations = judge(&mut requests, &limits);
    let counts = Counts {
        requests: requests.len(),
        records: ledger.records,
        hosts,
        runs: ledger.runs.len(),
        violations: violations.len(),
    };
    let text = if flags.json {
        tell_json(&mut ledger, &violations, flags, &counts)
    } else {
        tell(&mut ledger, &violations, flags, &counts)
    };
    let text = text.map_err(|error| spool_failed(&error))?;
    Ok(Verdict { text, warnings, code: u8::from(!violations.is_empty()) })
}

/// What was typed for a host, as its key.
///
/// # Errors
/// It is none: a URL, a name that is not in ASCII, no name at all.
pub fn host_key(typed: &str) -> Result<String, Bad> {
    let lower = typed.to_ascii_lowercase();
    let of = |url: &str| url::parse(url).ok().map(|url| String::from(url::host_key(&url)));
    // A port is left out of a key if its scheme's own: which scheme, a key does not say.
    let keys = ["http://", "https://"].map(|scheme| of(&[scheme, &lower, "/"].concat()));
    if keys.iter().flatten().any(|key| *key == lower) {
        return Ok(lower);
    }
    let bad = Bad::new(format!("'{typed}' is no host key (example.org, example.org:8080)"));
    let meant = if lower.contains("://") { of(&lower) } else { keys.into_iter().flatten().next() };
    Err(match meant {
        Some(key) => Bad { hint: Some(format!("did you mean '{key}'?")), ..bad },
        None => bad,
    })
}

/// Hosts of `--crawl-delay` that no record knows: warnings.
///
/// # Errors
/// One has the port that keys leave out, and its key without it is what was meant.
fn strange_hosts(flags: &AuditFlags, ledger: &Ledger) -> Result<Vec<String>, UsageError> {
    let mut warnings = Vec::new();
    for (host, _) in flags.crawl_delays.iter().filter(|(host, _)| !ledger.hosts.contains(host)) {
        if let Some(bare) = host.strip_suffix(":80").or_else(|| host.strip_suffix(":443")) {
            return Err(UsageError::new(format!(
                "--crawl-delay: '{host}' is no host key: the default port is left out"
            ))
            .with_hint(format!("did you mean '{bare}'?")));
        }
        let near = nearest(host, ledger.hosts.all()).map(|near| format!("; the nearest is '{near}'"));
        warnings.push(format!("--crawl-delay: no record is of '{host}'{}", near.unwrap_or_default()));
    }
    Ok(warnings)
}

fn spool_failed(error: &std::io::Error) -> (u8, UsageError) {
    (exit::OUTPUT, UsageError::new(format!("the temporary file cannot be used: {error}")))
}

struct Counts {
    requests: usize,
    records: u64,
    hosts: usize,
    runs: usize,
    violations: usize,
}

fn tell(ledger: &mut Ledger, all: &[Violation], flags: &AuditFlags, counts: &Counts) -> std::io::Result<String> {
    let mut out = String::new();
    for violation in all {
        let _ = writeln!(out, "{}", sentence(violation, ledger));
        for request in [&violation.first, &violation.second] {
            let Told { file, line, seq, url, kind, started_at, ms, status, .. } = ledger.told(request)?;
            let seq = seq.map(|seq| format!(" seq {seq}")).unwrap_or_default();
            let status = status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
            let _ = writeln!(out, "  {file}:{line}{seq}: {started_at} {kind} {url} ({ms:.3} ms, {status})");
        }
    }
    let Counts { requests, records, hosts, runs, violations } = counts;
    let stated = flags.stated.iter().map(|(flag, value)| format!("--{flag} {value}")).collect::<Vec<_>>().join(" ");
    let found = match violations {
        0 => "no violation of".to_owned(),
        1 => "1 violation of".to_owned(),
        many => format!("{many} violations of"),
    };
    let plural = |number: u64, noun: &str| format!("{number} {noun}{}", if number == 1 { "" } else { "s" });
    let _ = writeln!(
        out,
        "{} of {}, {} and {}: {found} {stated}",
        plural(*requests as u64, "request"),
        plural(*records, "record"),
        plural(*hosts as u64, "host"),
        plural(*runs as u64, "run"),
    );
    Ok(out)
}

fn sentence(violation: &Violation, ledger: &Ledger) -> String {
    let Violation { breach, first, second } = violation;
    let host = ledger.hosts.name(second.host);
    let run = ledger.runs.name(second.run);
    #[expect(clippy::cast_precision_loss, reason = "shown in seconds")]
    let window = (second.started - first.started) as f64 / 1e6;
    match breach {
        Breach::Rate(starts) => format!("rate: run {run} started {starts} requests within {window:.3} s"),
        Breach::HostRate(starts) => format!("host-rate: {host} was asked {starts} times within {window:.3} s"),
        Breach::Concurrency(many) => format!("concurrency: run {run} had {many} requests in flight"),
        Breach::HostConcurrency(many) => format!("host-concurrency: {host} had {many} requests in flight"),
        Breach::IpConcurrency(many) => {
            format!("ip-concurrency: {} had {many} requests in flight", ledger.addresses.name(second.address))
        }
        Breach::Delay { gap, .. } if *gap < 0 => {
            format!("delay: {host} was asked {} before its last request had ended", millis(gap.saturating_neg()))
        }
        Breach::Delay { gap, wanted } => {
            format!("delay: {host} was asked {} after its last request, not {wanted:?}", millis(*gap))
        }
    }
}

fn millis(micros: i64) -> String {
    format!("{}.{:03} ms", micros / 1000, micros % 1000)
}

fn tell_json(ledger: &mut Ledger, all: &[Violation], flags: &AuditFlags, counts: &Counts) -> std::io::Result<String> {
    let mut violations = Vec::new();
    for violation in all {
        let Violation { breach, first, second } = violation;
        let host = ledger.hosts.name(second.host);
        let run = ledger.runs.name(second.run);
        let (limit, subject, number): (_, _, Value) = match breach {
            Breach::Rate(starts) => ("rate", run, json!({ "starts": starts })),
            Breach::HostRate(starts) => ("host-rate", host, json!({ "starts": starts })),
            Breach::Concurrency(many) => ("concurrency", run, json!({ "in_flight": many })),
            Breach::HostConcurrency(many) => ("host-concurrency", host, json!({ "in_flight": many })),
            Breach::IpConcurrency(many) => {
                ("ip-concurrency", ledger.addresses.name(second.address), json!({ "in_flight": many }))
            }
            #[expect(clippy::cast_precision_loss, reason = "milliseconds with three decimals")]
            Breach::Delay { gap, .. } => ("delay", host, json!({ "gap_ms": *gap as f64 / 1000.0 })),
        };
        let mut told = json!({ "limit": limit, "subject": subject });
        if let (Value::Object(told), Value::Object(number)) = (&mut told, number) {
            told.extend(number);
            told.insert("message".to_owned(), sentence(violation, ledger).into());
            told.insert("first".to_owned(), serde_json::to_value(ledger.told(first)?)?);
            told.insert("second".to_owned(), serde_json::to_value(ledger.told(second)?)?);
        }
        violations.push(told);
    }
    let stated: serde_json::Map<_, _> =
        flags.stated.iter().map(|(flag, value)| ((*flag).to_owned(), value.as_str().into())).collect();
    let whole = json!({
        "requests": counts.requests,
        "records": counts.records,
        "hosts": counts.hosts,
        "runs": counts.runs,
        "limits": stated,
        "violations": violations,
    });
    Ok(format!("{whole:#}\n"))
}
