//! Users' rules in a run: when they are asked, how long they may take, and what is told of them at the end.
//!
//! What a rule finds is `parse::fields`' business. Called where records are made (`outcome`), on the parse pool; what is
//! counted is read once, for the summary.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::clock::Clock;
use super::settings::EngineSettings;
use crate::model::page::Page;
use crate::model::record::{Outcome, RecordBody};
use crate::parse::fields::{Found, Source, Tally};

/// Time for the rules of one page. A page of 1 MiB takes 50 ms.
pub const PAGE_TIME: Duration = Duration::from_secs(5);

/// What became of the rules of a run, of this process alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldsSummary {
    /// Pages that were read for them.
    pub pages: u64,
    /// Rules that have matched nothing at all, by their path; empty if no page was read.
    pub unmatched: Vec<String>,
    /// Objects that were left out for want of a required field, by its path.
    pub lacking: BTreeMap<String, u64>,
    /// Texts that were not of the field's type, by its path.
    pub unlike: BTreeMap<String, u64>,
    /// Pages that were given up, by the reason.
    pub given_up: BTreeMap<&'static str, u64>,
}

/// What is counted while a run goes on.
#[derive(Debug, Default)]
pub struct FieldCounts(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    pages: u64,
    tally: Tally,
    given_up: BTreeMap<&'static str, u64>,
}

impl FieldCounts {
    /// Fills the record's `data`, if its page is one for the rules.
    pub fn fill(&self, settings: &EngineSettings, clock: Clock, record: &mut RecordBody, page: &Page<'_>) {
        let Some(fields) = settings.fields.as_deref() else { return };
        if record.outcome != Outcome::Ok || !fields.reads(page.media_type) {
            return;
        }
        let due = clock.now().plus(PAGE_TIME);
        let source = Source {
            url: page.url,
            media_type: page.media_type,
            header_charset: page.header_charset,
            body: page.body,
            is_over: &|| clock.now() > due,
        };
        let Found { data, tally, given_up, .. } = fields.find(&source, false);
        if let Some(why) = given_up {
            tracing::warn!(request_id = %record.id, url = %page.url, why = why.as_str(), "a page was given up: its data is null");
        }
        record.data = data;
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.pages += 1;
        counts.tally.add(&tally);
        if let Some(why) = given_up {
            *counts.given_up.entry(why.as_str()).or_default() += 1;
        }
    }

    /// None if the run has no rules.
    pub fn summary(&self, settings: &EngineSettings) -> Option<FieldsSummary> {
        let names = settings.fields.as_deref()?.names();
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |counts: &[u32], number: usize| counts.get(number).copied().unwrap_or(0);
        let named = |counts: &[u32]| {
            let each = names.iter().enumerate().map(|(number, name)| (name.clone(), u64::from(of(counts, number))));
            each.filter(|(_, count)| *count > 0).collect()
        };
        let unmatched = names.iter().enumerate().filter(|(number, _)| of(&counts.tally.matched, *number) == 0);
        Some(FieldsSummary {
            pages: counts.pages,
            unmatched: unmatched.filter(|_| counts.pages > 0).map(|(_, name)| name.clone()).collect(),
            lacking: named(&counts.tally.lacking),
            unlike: named(&counts.tally.unlike),
            given_up: counts.given_up.clone(),
        })
    }
}
