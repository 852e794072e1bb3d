//! How a run stands: what it tells its journal about once a second, and what whoever looks at it from outside reads.
//!
//! Decides what is told. What was written after the last of these is added by the reader, from the journal itself. JSON,
//! since a run of one version may be looked at by another.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::stats::{HostSummary, Tally};
use crate::model::fetch_error::ErrorKind;
use crate::model::record::{Outcome, SkipReason};

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Standing {
    /// Seeds, lines and links that have or will have a record.
    pub accepted: u64,
    pub records: u64,
    pub in_flight: u64,
    pub outcomes: BTreeMap<Outcome, u64>,
    pub errors: BTreeMap<ErrorKind, u64>,
    pub skips: BTreeMap<SkipReason, u64>,
    /// Links that were not followed.
    pub refused: BTreeMap<SkipReason, u64>,
    pub requests: u64,
    pub wire_bytes: u64,
    /// Time that processes have run, all together.
    pub elapsed_ms: u64,
    pub input_ended: bool,
    /// Busiest first, of the process that runs now.
    pub hosts: Vec<HostStanding>,
    pub host_count: u64,
}

/// One host.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostStanding {
    pub host_key: String,
    pub requests: u64,
    pub ok: u64,
    pub http_error: u64,
    pub failed: u64,
    pub skipped: u64,
    pub bytes: u64,
    pub mean_ms: f64,
    /// Its breaker has given it up.
    pub given_up: bool,
}

impl From<HostSummary> for HostStanding {
    fn from(host: HostSummary) -> Self {
        let HostSummary { host_key, requests, ok, http_error, failed, skipped, bytes, mean_ms, given_up, .. } = host;
        Self { host_key: host_key.into(), requests, ok, http_error, failed, skipped, bytes, mean_ms, given_up }
    }
}

impl Standing {
    /// What the tally of a run says.
    #[must_use]
    pub fn of(tally: &Tally) -> Self {
        Self {
            accepted: tally.accepted,
            records: tally.records,
            outcomes: tally.outcomes.clone(),
            errors: tally.errors.clone(),
            skips: tally.skips.clone(),
            refused: tally.refused.clone(),
            requests: tally.requests,
            wire_bytes: tally.wire_bytes,
            ..Self::default()
        }
    }

    /// Reads what [`Standing::write`] wrote; nothing is known if it cannot be read.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).unwrap_or_default()
    }

    /// Nothing, if there should be something in it that is no JSON.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}
