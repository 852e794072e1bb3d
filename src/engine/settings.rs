//! What the engine is told: resolved, no flags, no files.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};

use crate::frontier::seen::SeenLimit;
use crate::model::units::Rate;
use crate::parse::fields::Fields;
use crate::policy::accept::StatusSet;
use crate::policy::breaker::BreakerSettings;
use crate::policy::follow::Follow;
use crate::policy::host_rules::{self, HostLimits, HostRule};
use crate::policy::media_types::MediaTypes;
use crate::policy::retry::RetrySettings;
use crate::policy::scope::ScopeSettings;

/// Keys that records get on request (`--with`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct With {
    pub body: bool,
    pub links: bool,
    pub headers: bool,
    pub digest: bool,
}

/// How the mirrors of one job are asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RaceMode {
    /// The next one some time after the one before, or when that has failed.
    #[default]
    Hedge,
    /// All at once.
    All,
}

/// When the next mirror is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HedgeAfter {
    /// Only when the one before has failed.
    Never,
    Time(Duration),
    /// When the one before has taken longer than 95 of 100 requests of its host; 500 ms until that is known.
    P95,
}

/// Requests in flight at all hosts of one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpLimit {
    /// At least 1.
    pub places: u32,
    /// Loopback addresses too: there "hosts" are ports of the user's own machine, which no stranger shares.
    pub loopback: bool,
}

/// Resolved settings of a run. The defaults are those of a fetch.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// Follow links (crawl), or ask exactly the input (fetch).
    pub follow: bool,
    /// Which links of a page a crawl follows.
    pub what_to_follow: Follow,
    /// Also look for links in string literals of scripts.
    pub js_links: bool,
    /// Ask each canonical URL once. Always so in a crawl.
    pub unique: bool,
    /// Requests in flight, whole run; at least 1.
    pub concurrency: usize,
    /// Requests in flight at one host; at least 1.
    pub host_concurrency: u32,
    /// Of hosts that share an address, together.
    pub ip_concurrency: Option<IpLimit>,
    pub rate: Option<Rate>,
    pub host_rate: Option<Rate>,
    /// Least gap at one host from the end of one request to the start of the next.
    pub delay: Duration,
    /// Take places away from a host that gets slow or fails, and heed its `RateLimit` fields.
    pub adaptive_throttle: bool,
    /// One request, whole.
    pub timeout: Option<Duration>,
    /// One URL, from its acceptance to its record: all attempts and waits.
    pub url_deadline: Option<Duration>,
    /// The whole run.
    pub deadline: Option<Duration>,
    /// Time for what is in flight after the first stop.
    pub grace: Duration,
    pub retry: RetrySettings,
    pub breaker: BreakerSettings,
    /// Stop after so many records that are not `skipped`.
    pub max_pages: Option<u64>,
    /// Body bytes after decoding.
    pub max_filesize: Option<u64>,
    /// Redirects followed for one job; one more is the failure `redirect`.
    pub max_redirs: u32,
    pub accept: StatusSet,
    pub obey_robots: bool,
    /// A longer Crawl-delay is kept too, with a warning; None: without one.
    pub max_crawl_delay: Option<Duration>,
    /// Product token by which robots.txt names us.
    pub product_token: String,
    pub scope: ScopeSettings,
    /// In a crawl: pages of one URL pattern that are asked although all of it seems to be a trap. None: traps are followed.
    pub max_per_pattern: Option<u32>,
    /// Records also for links outside scope and depth.
    pub refused: bool,
    /// Links out of scope are asked once, and followed no further.
    pub check_outside: bool,
    /// Also start from the sitemaps that robots.txt names.
    pub sitemaps: bool,
    pub ordered: bool,
    /// Of jobs with mirrors.
    pub race: RaceMode,
    pub hedge_after: HedgeAfter,
    pub fail_early: bool,
    /// Follow discovered links to private, loopback and link-local addresses.
    pub allow_private: bool,
    pub with: With,
    /// Bodies of other types are in no record and no file; their links are followed all the same.
    pub media_types: MediaTypes,
    /// What is looked for on pages, for the record's `data`.
    pub fields: Option<Arc<Fields>>,
    /// Method of jobs that name none.
    pub method: Method,
    /// Body of jobs that bring none.
    pub body: Option<Bytes>,
    /// What describes that body (`Content-Type`): sent with it, and left out when a redirect drops it.
    pub body_headers: Vec<(HeaderName, HeaderValue)>,
    /// Nobody is asked: the cache answers, or the URL fails.
    pub offline: bool,
    /// What the cache has is given when a fetch has failed, or a breaker is open.
    pub fallback_stale: bool,
    /// Pages that were known before are visited again: records say what has changed.
    pub again: bool,
    /// What pages are like is remembered for such a run.
    pub keep_pages: bool,
    /// Bytes of memory of the whole process, from which on nothing new starts while something is under way.
    pub max_memory: Option<u64>,
    /// Memory of the seen set, and where it goes beyond that.
    pub seen_limit: SeenLimit,
    /// Limits of some hosts that differ from those above; the first rule that fits and states one counts.
    pub host_rules: Vec<HostRule>,
    /// Seed of all randomness of the run (backoff jitter, the seen set).
    pub seed: u64,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            follow: false,
            what_to_follow: Follow::default(),
            js_links: false,
            unique: false,
            concurrency: 64,
            host_concurrency: 8,
            ip_concurrency: Some(IpLimit { places: 16, loopback: false }),
            rate: None,
            host_rate: None,
            delay: Duration::ZERO,
            adaptive_throttle: true,
            timeout: Some(Duration::from_secs(30)),
            url_deadline: None,
            deadline: None,
            grace: Duration::from_secs(10),
            retry: RetrySettings::default(),
            breaker: BreakerSettings::default(),
            max_pages: None,
            max_filesize: Some(16 << 20),
            max_redirs: 20,
            accept: StatusSet::default(),
            obey_robots: false,
            max_crawl_delay: Some(Duration::from_mins(1)),
            product_token: "lycosa".to_owned(),
            scope: ScopeSettings::default(),
            max_per_pattern: Some(50),
            refused: false,
            check_outside: false,
            sitemaps: false,
            ordered: false,
            race: RaceMode::Hedge,
            hedge_after: HedgeAfter::Time(Duration::from_millis(500)),
            fail_early: false,
            allow_private: false,
            with: With::default(),
            media_types: MediaTypes::default(),
            fields: None,
            method: Method::GET,
            body: None,
            body_headers: Vec::new(),
            offline: false,
            fallback_stale: false,
            again: false,
            keep_pages: false,
            max_memory: None,
            seen_limit: SeenLimit::default(),
            host_rules: Vec::new(),
            seed: 0,
        }
    }
}

impl EngineSettings {
    /// Further attempts of the host that has most of them.
    #[must_use]
    pub fn most_retries(&self) -> u32 {
        let of_rules = self.host_rules.iter().filter_map(|rule| rule.retries);
        of_rules.fold(self.retry.retries, u32::max)
    }

    /// The limits of a host.
    #[must_use]
    pub fn limits_of(&self, host_key: &str) -> HostLimits {
        let run = HostLimits {
            rate: self.host_rate,
            places: self.host_concurrency,
            delay: self.delay,
            timeout: self.timeout,
            retries: self.retry.retries,
            max_filesize: self.max_filesize,
        };
        host_rules::limits_of(host_key, &self.host_rules, run)
    }
}
