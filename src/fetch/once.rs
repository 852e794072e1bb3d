//! One attempt through reqwest, under its deadlines.
//!
//! Sends the request, and has its body read. (The connect timeout is kept by the connector, all others by `deadlines`.)
//! Never retries, never follows a redirect. Called by `client`.

use std::net::SocketAddr;

use http::header::CONTENT_RANGE;
use http::{HeaderMap, StatusCode, Version};
use tokio::time::Instant;

use super::body::{self, Limits, Source};
use super::classify::{self, Route};
use super::coding::{Fault, Pipeline};
use super::deadlines::{Deadlines, Times};
use super::progress::Progress;
use super::{Attempt, Head};
use crate::model::fetch_error::Stage;

/// What one attempt may take.
#[derive(Clone, Copy)]
pub(super) struct Terms<'a> {
    pub(super) times: Times,
    pub(super) body: Limits<'a>,
    pub(super) progress: &'a Progress,
    /// Contents are decoded, and not kept as they come.
    pub(super) decode: bool,
    /// The request has a `Range`.
    pub(super) asks_for_part: bool,
}

impl Terms<'_> {
    /// What decodes a body with this head.
    fn pipeline(&self, headers: &HeaderMap) -> Result<Option<Pipeline>, Fault> {
        Pipeline::of(headers, self.decode)
    }

    /// The end of every exchange whose head has just come: reads the body that follows it.
    pub(super) async fn read(
        &self,
        start: Instant,
        head: Head,
        source: &mut impl Source,
        deadlines: &mut Deadlines,
    ) -> Attempt {
        let first_byte = Some(start.elapsed());
        let pipeline = self.pipeline(&head.headers);
        self.progress.head(head.status);
        let (mut body, error) = body::read(source, pipeline, self.body, deadlines, self.progress).await;
        // A part of what was asked for (RFC 9110 15.3.7), though it came whole.
        body.truncated |= head.status == 206 && !self.asks_for_part && !is_all(&head.headers);
        Attempt { head: Some(head), body, error, first_byte, elapsed: start.elapsed(), ..Attempt::default() }
    }
}

/// Whether `Content-Range` (RFC 9110 14.4) says that a part is all there is.
fn is_all(headers: &HeaderMap) -> bool {
    let range = headers.get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
    let numbers = range.and_then(|range| {
        let (part, length) = range.trim().strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = part.split_once('-')?;
        let number = |text: &str| text.trim().parse::<u64>().ok();
        Some((number(first)?, number(last)?, number(length)?))
    });
    numbers.is_some_and(|(first, last, length)| first == 0 && last.checked_add(1) == Some(length))
}

/// Sends a request and reads its answer to the end. `route` is asked only if no head came.
pub(super) async fn once(
    client: &reqwest::Client,
    request: reqwest::Request,
    terms: Terms<'_>,
    route: impl Fn(&url::Url) -> Route,
) -> Attempt {
    let start = Instant::now();
    let mut deadlines = Deadlines::new(start, terms.times);
    let connecting = terms.progress.connecting();
    connecting.to_port(request.url().port_or_known_default().unwrap_or(0));
    let mut response = match deadlines.within_whole(connecting.watch(client.execute(request))).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            let route = error.url().map_or(Route::default(), route);
            return classify::before_head(&error, route).attempt(start.elapsed());
        }
        Err(late) => {
            let stage = if connecting.is_on() { Stage::Connect } else { Stage::Head };
            let error = Some(late.error(stage));
            return Attempt { error, elapsed: start.elapsed(), ..Attempt::default() };
        }
    };
    // The body does not need the headers any more.
    let headers = std::mem::take(response.headers_mut());
    let head = head_of(response.status(), response.version(), headers, response.remote_addr());
    terms.read(start, head, &mut response, &mut deadlines).await
}

pub(super) fn head_of(
    status: StatusCode,
    version: Version,
    headers: HeaderMap,
    remote_addr: Option<SocketAddr>,
) -> Head {
    let version = match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    };
    Head { status: status.as_u16(), version, remote_addr, headers }
}
