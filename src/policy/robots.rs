//! robots.txt (RFC 9309): rules, and what an answer to its request means.

use std::time::Duration;

/// The product token of a user agent: the part before `/` (`lycosa` of `lycosa/1.0 (+https://…)`).
#[must_use]
pub fn product_token(user_agent: &str) -> &str {
    user_agent.split('/').next().unwrap_or_default()
}

/// What one robots.txt says to us.
#[derive(Debug, Clone)]
pub struct RobotsRules {}

impl RobotsRules {
    /// Reads a robots.txt for a product token. At most 500 KiB are read. Never fails.
    #[must_use]
    pub fn parse(_body: &[u8], _product_token: &str) -> Self {
        todo!()
    }

    /// No robots.txt: everything may be fetched.
    #[must_use]
    pub fn allow_all() -> Self {
        todo!()
    }

    /// May this canonical URL be fetched? `/robots.txt` itself always may.
    #[must_use]
    pub fn allows(&self, _url: &str) -> bool {
        todo!()
    }

    #[must_use]
    pub fn crawl_delay(&self) -> Option<Duration> {
        todo!()
    }

    /// Absolute URLs as written, in order.
    #[must_use]
    pub fn sitemaps(&self) -> &[String] {
        todo!()
    }
}

/// What the final status of a robots.txt request means (RFC 9309 2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RobotsStatus {
    /// 2xx: read the body. (HTML with status 200 holds no rules, and so allows all.)
    Read,
    /// 4xx but 429, and a 3xx that leads nowhere: "unavailable", all is allowed.
    AllowAll,
    /// 5xx and 429: "unreachable", all is disallowed.
    DisallowAll,
}

#[must_use]
pub fn status_means(_status: u16) -> RobotsStatus {
    todo!()
}
