//! One exchange with a server, as an archive keeps it.
//!
//! Not part of a record's JSON; it goes beside a record to outputs that want it. Decides nothing. Values of cookies and
//! of headers that are credentials are not in it. Names of headers are in lower case and values of one name stand
//! together: the stack does not keep how they were written.

use bytes::Bytes;

/// The last request of a job, and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    pub method: Box<str>,
    /// The URL that was asked.
    pub target: Box<str>,
    pub request_headers: Headers,
    pub request_body: Option<Bytes>,
    pub status: u16,
    /// `HTTP/1.0`, `HTTP/1.1` or `HTTP/2`.
    pub version: &'static str,
    pub response_headers: Headers,
    /// Decoded: not as it was on the wire, if it had a coding.
    pub body: Bytes,
}

/// Names in lower case with their values.
pub type Headers = Vec<(Box<str>, Box<[u8]>)>;
