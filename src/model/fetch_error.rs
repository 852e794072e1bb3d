//! Why a URL has no complete response: the `error` of a record.

use serde::{Deserialize, Serialize};

/// What went wrong, as a stable word for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    InvalidInput,
    Dns,
    Connect,
    Tls,
    Proxy,
    Timeout,
    TooSlow,
    TooLarge,
    Redirect,
    Protocol,
    Body,
    Decode,
    Interrupted,
    Internal,
}

/// Where in the life of a request it went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stage {
    Input,
    Queue,
    Robots,
    Dns,
    Connect,
    Tls,
    Send,
    Head,
    Body,
    Decode,
    Parse,
}

impl ErrorKind {
    /// Every kind, in the order of the contract.
    pub const ALL: [Self; 14] = [
        Self::InvalidInput,
        Self::Dns,
        Self::Connect,
        Self::Tls,
        Self::Proxy,
        Self::Timeout,
        Self::TooSlow,
        Self::TooLarge,
        Self::Redirect,
        Self::Protocol,
        Self::Body,
        Self::Decode,
        Self::Interrupted,
        Self::Internal,
    ];

    /// The word that stands in records and summaries.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid_input",
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Proxy => "proxy",
            Self::Timeout => "timeout",
            Self::TooSlow => "too_slow",
            Self::TooLarge => "too_large",
            Self::Redirect => "redirect",
            Self::Protocol => "protocol",
            Self::Body => "body",
            Self::Decode => "decode",
            Self::Interrupted => "interrupted",
            Self::Internal => "internal",
        }
    }
}

/// A failure of one request, or of a job as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchError {
    pub kind: ErrorKind,
    pub stage: Stage,
    /// For a person: one line, no secrets, no control characters.
    pub message: Box<str>,
    /// Whether another attempt may succeed. NXDOMAIN, a bad certificate or a body over the limit will not go away.
    pub retryable: bool,
    /// False only if it is certain that no byte of the request left this machine.
    #[serde(skip)]
    pub sent: bool,
    /// A limit of this machine (descriptors, ports, memory) was reached: it says nothing about the server.
    #[serde(skip)]
    pub ours: bool,
    /// A connection that was kept from an earlier request died before any byte of the answer came: the server has most
    /// likely closed it while it was idle, and never saw the request.
    #[serde(skip)]
    pub idle_death: bool,
}

impl FetchError {
    /// A failure that another attempt does not mend.
    pub fn permanent(kind: ErrorKind, stage: Stage, message: impl Into<Box<str>>) -> Self {
        Self { kind, stage, message: message.into(), retryable: false, sent: true, ours: false, idle_death: false }
    }

    /// A failure that another attempt may mend.
    pub fn transient(kind: ErrorKind, stage: Stage, message: impl Into<Box<str>>) -> Self {
        Self { kind, stage, message: message.into(), retryable: true, sent: true, ours: false, idle_death: false }
    }

    /// The same failure, known to have happened before any byte was sent.
    #[must_use]
    pub fn before_sending(mut self) -> Self {
        self.sent = false;
        self
    }

    /// The same failure, known to be the end of a connection that was idle.
    #[must_use]
    pub fn of_idle_connection(mut self) -> Self {
        self.idle_death = true;
        self
    }

    /// The same failure, known to come from a limit of this machine.
    #[must_use]
    pub fn our_own_limit(mut self) -> Self {
        self.ours = true;
        self
    }
}
