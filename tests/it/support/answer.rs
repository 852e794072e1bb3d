//! What a scripted server is asked, and what it may do in return.

use std::io::Write as _;
use std::time::Duration;

/// A request as the script sees it.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    /// The request target as it was sent: a path with its query, or a whole URL if the server is used as a proxy.
    pub target: String,
    pub body: Vec<u8>,
    /// How often this target was asked before.
    pub nth: usize,
    /// How many requests the server had before this one.
    pub total: usize,
}

impl Request {
    /// The target without its query, for scripts that match on paths.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

/// A complete response.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub delay: Duration,
}

impl Reply {
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.retain(|(key, _)| !key.eq_ignore_ascii_case(name) || name.eq_ignore_ascii_case("set-cookie"));
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Answers only after this time.
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    pub fn after_ms(self, milliseconds: u64) -> Self {
        self.after(Duration::from_millis(milliseconds))
    }

    pub fn bytes(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

pub fn status(status: u16) -> Reply {
    Reply { status, headers: Vec::new(), body: Vec::new(), delay: Duration::ZERO }
}

pub fn html(body: impl AsRef<str>) -> Reply {
    status(200).header("Content-Type", "text/html; charset=utf-8").bytes(body.as_ref())
}

pub fn text(body: impl AsRef<str>) -> Reply {
    status(200).header("Content-Type", "text/plain; charset=utf-8").bytes(body.as_ref())
}

pub fn redirect(code: u16, to: impl Into<String>) -> Reply {
    status(code).header("Location", to)
}

/// What a server does with a request.
#[derive(Debug, Clone)]
pub enum Answer {
    Reply(Reply),
    /// Takes the request and never answers.
    Hang,
    /// The connection is reset (RST) without an answer.
    Reset,
    /// The connection is closed (FIN) without an answer.
    Close,
    /// The head promises more than comes before the connection is closed.
    CloseMidBody,
    /// A head, and then one byte of the body in each such time.
    Drip(Duration),
    /// These bytes instead of a response; then the connection is closed.
    Raw(Vec<u8>),
    /// A body without an end.
    Endless,
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

/// A gzip body that inflates to so many MiB of zeros, at about a thousandth of their size.
///
/// One stretch of a deflate stream, flushed to a byte boundary, is repeated: every back-reference in it points at zeros,
/// whichever stretch came before. The checksum at the end is wrong, but no reader that has a limit gets there.
pub fn bomb(mebibytes: usize) -> Reply {
    let mut stretch = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    stretch.write_all(&vec![0; 1 << 20]).unwrap();
    stretch.flush().unwrap();
    let stretch = stretch.get_ref().clone();
    let mut body = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    for _ in 0..mebibytes {
        body.extend_from_slice(&stretch);
    }
    // A final empty stored block, and a trailer.
    body.extend_from_slice(&[1, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]);
    html("").header("Content-Encoding", "gzip").bytes(body)
}
