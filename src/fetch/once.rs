//! One attempt through reqwest, under its deadlines.
//!
//! Sends the request, and has its body read. (The connect timeout is kept by the connector, all others by `deadlines`.)
//! Never retries, never follows a redirect. Called by `client`.

use std::net::SocketAddr;

use http::{HeaderMap, StatusCode, Version};
use tokio::time::Instant;

use super::body::{self, Limits};
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
    /// Bodies are decoded, and not kept as they come.
    pub(super) decode: bool,
}

impl Terms<'_> {
    /// What decodes a body with this head.
    pub(super) fn pipeline(&self, headers: &HeaderMap) -> Result<Option<Pipeline>, Fault> {
        if self.decode { Pipeline::of(headers) } else { Ok(None) }
    }
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
    let first_byte = Some(start.elapsed());
    let pipeline = terms.pipeline(response.headers());
    // The body does not need the headers any more.
    let headers = std::mem::take(response.headers_mut());
    let head = head_of(response.status(), response.version(), headers, response.remote_addr());
    terms.progress.head(head.status);
    let (body, error) = body::read(&mut response, pipeline, terms.body, &mut deadlines, terms.progress).await;
    Attempt { head: Some(head), body, error, first_byte, elapsed: start.elapsed(), ..Attempt::default() }
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
