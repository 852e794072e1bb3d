//! The reqwest client.

use std::time::Duration;

use http::{HeaderName, HeaderValue};

/// What the client is told.
#[derive(Debug, Clone, Default)]
pub struct ClientSettings {
    pub user_agent: String,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub credentials: Vec<(HeaderName, HeaderValue)>,
    pub proxy: Option<String>,
    pub insecure: bool,
    pub connect_timeout: Option<Duration>,
    pub read_timeout: Option<Duration>,
}
