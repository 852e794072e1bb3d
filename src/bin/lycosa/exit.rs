//! How a run ends: which exit code, and what the codes mean.
//!
//! The order is the contract's: the first code that applies. Pure; called once, when the summary is there.

use lycosa::engine::stats::{StoppedBy, Summary};

/// The codes with their meaning, as help and the man page show them.
pub const CODES: [(u8, &str); 8] = [
    (0, "done"),
    (1, "failed, by --fail-on or --fail-early"),
    (2, "usage, configuration or input error; nothing was fetched"),
    (3, "an output or the state cannot be written"),
    (4, "stopped by --max-pages or --deadline with work left, or resumed without the rest of its input"),
    (6, "internal error"),
    (130, "SIGINT, after a clean save"),
    (143, "SIGTERM, after a clean save"),
];

pub const USAGE: u8 = 2;
pub const OUTPUT: u8 = 3;
pub const INTERNAL: u8 = 6;

/// A signal that asks the run to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopSignal {
    Interrupt,
    Terminate,
}

impl StopSignal {
    pub fn code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        }
    }
}

/// When failures make the exit code 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FailOn {
    Never,
    /// A seed that ended as anything but `ok` or `skipped: duplicate`.
    Seeds,
    Any,
    /// This many failures or more.
    Count(u64),
    /// This share of all records or more, in percent.
    Share(f64),
}

impl FailOn {
    /// Reads `never`, `seeds`, `any`, `10` (from 1), `5%` (above 0, at most 100).
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "never" => return Some(Self::Never),
            "seeds" => return Some(Self::Seeds),
            "any" => return Some(Self::Any),
            _ => {}
        }
        if let Some(share) = text.strip_suffix('%') {
            let share: f64 = share.trim().parse().ok()?;
            return (share > 0.0 && share <= 100.0).then_some(Self::Share(share));
        }
        text.parse().ok().filter(|count| *count > 0).map(Self::Count)
    }

    /// Whether a run with these failures has failed.
    pub fn failed(self, failures: u64, seeds_failed: u64, records: u64) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "counts of records stay far below 2^53")]
        match self {
            Self::Never => false,
            Self::Seeds => seeds_failed > 0,
            Self::Any => failures > 0,
            Self::Count(count) => failures >= count,
            Self::Share(share) => failures > 0 && failures as f64 * 100.0 >= share * records as f64,
        }
    }
}

/// The code of a run that started.
pub fn code(summary: &Summary, fail_on: FailOn, signal: Option<StopSignal>) -> u8 {
    if summary.output_error.is_some() {
        return OUTPUT;
    }
    if summary.panics > 0 || summary.stopped_by == StoppedBy::Error {
        return INTERNAL;
    }
    if let Some(signal) = signal {
        return signal.code();
    }
    match summary.stopped_by {
        // A handle stopped it without a signal: still an interrupt, and never 0.
        StoppedBy::Signal => StopSignal::Interrupt.code(),
        StoppedBy::FailEarly => 1,
        StoppedBy::Pipe | StoppedBy::Error => 0,
        StoppedBy::Done | StoppedBy::Limit | StoppedBy::Deadline => {
            if fail_on.failed(summary.failures, summary.seeds_failed, summary.records) {
                1
            } else if summary.work_left && (summary.stopped_by != StoppedBy::Done || summary.input_unread) {
                4
            } else {
                0
            }
        }
    }
}

/// A blank summary for tests of the command.
#[cfg(test)]
pub fn blank_summary() -> Summary {
    Summary {
        run: "run".into(),
        stopped_by: StoppedBy::Done,
        left: 0,
        work_left: false,
        input_unread: false,
        records: 0,
        before: 0,
        outcomes: std::collections::BTreeMap::default(),
        errors: std::collections::BTreeMap::default(),
        skips: std::collections::BTreeMap::default(),
        refused: std::collections::BTreeMap::default(),
        traps: std::collections::BTreeMap::default(),
        failures: 0,
        seeds_failed: 0,
        requests: 0,
        retries: 0,
        retries_denied: 0,
        wire_bytes: 0,
        hosts: Vec::new(),
        host_count: 0,
        started: lycosa::model::units::WallTime(0),
        ended: lycosa::model::units::WallTime(0),
        elapsed: std::time::Duration::ZERO,
        late: Vec::new(),
        commands: Vec::new(),
        output_error: None,
        panics: 0,
        fields: None,
        crossings: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_read() {
        assert_eq!(FailOn::parse("10"), Some(FailOn::Count(10)));
        assert_eq!(FailOn::parse("5%"), Some(FailOn::Share(5.0)));
        assert_eq!(FailOn::parse("0.5 %"), Some(FailOn::Share(0.5)));
        for bad in ["0", "0%", "101%", "-1", "some", "", "%", "nan%"] {
            assert_eq!(FailOn::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn policies_count_failures() {
        assert!(!FailOn::Never.failed(9, 9, 9));
        assert!(FailOn::Seeds.failed(0, 1, 9) && !FailOn::Seeds.failed(3, 0, 9));
        assert!(FailOn::Any.failed(1, 0, 9) && !FailOn::Any.failed(0, 1, 9));
        assert!(FailOn::Count(3).failed(3, 0, 9) && !FailOn::Count(3).failed(2, 0, 9));
        assert!(FailOn::Share(5.0).failed(5, 0, 100) && !FailOn::Share(5.0).failed(4, 0, 100));
        assert!(!FailOn::Share(5.0).failed(0, 0, 0));
    }

    /// Each row adds something that goes before the row above.
    #[test]
    fn the_first_code_that_applies() {
        let mut summary = blank_summary();
        let any = FailOn::Any;
        assert_eq!(code(&summary, any, None), 0);
        summary.work_left = true;
        assert_eq!(code(&summary, any, None), 0, "left without a limit is no reason");
        summary.stopped_by = StoppedBy::Limit;
        assert_eq!(code(&summary, any, None), 4);
        summary.stopped_by = StoppedBy::Deadline;
        assert_eq!(code(&summary, any, None), 4);
        summary.failures = 1;
        assert_eq!(code(&summary, any, None), 1);
        assert_eq!(code(&summary, FailOn::Never, None), 4);
        assert_eq!(code(&summary, any, Some(StopSignal::Terminate)), 143);
        assert_eq!(code(&summary, any, Some(StopSignal::Interrupt)), 130);
        summary.panics = 1;
        assert_eq!(code(&summary, any, Some(StopSignal::Interrupt)), 6);
        summary.output_error = Some("disk full".to_owned());
        assert_eq!(code(&summary, any, Some(StopSignal::Interrupt)), 3);
    }

    #[test]
    fn how_it_stopped_decides() {
        let mut summary = blank_summary();
        summary.stopped_by = StoppedBy::FailEarly;
        assert_eq!(code(&summary, FailOn::Never, None), 1);
        summary.stopped_by = StoppedBy::Pipe;
        summary.failures = 7;
        assert_eq!(code(&summary, FailOn::Any, None), 0, "a closed pipe ends quietly");
        assert_eq!(code(&summary, FailOn::Any, Some(StopSignal::Interrupt)), 130, "never 0 after an interrupt");
        summary.stopped_by = StoppedBy::Signal;
        assert_eq!(code(&summary, FailOn::Never, None), 130);
        summary.stopped_by = StoppedBy::Error;
        assert_eq!(code(&summary, FailOn::Never, None), 6);
    }
}
