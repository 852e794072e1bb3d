//! One attempt under its deadlines.
//!
//! Decides when a request has taken too long: as a whole, or silent in the middle of its body. (The connect timeout is
//! kept by the connector.) Never retries, never follows a redirect. Called by `client`.

use std::future::Future;
use std::time::Duration;

use http::Version;
use tokio::time::Instant;

use super::body::{self, Limits};
use super::classify::{self, Headless, Route};
use super::coding::Pipeline;
use super::{Attempt, Head};
use crate::model::fetch_error::{ErrorKind, FetchError, Stage};
use crate::model::record::SkipReason;

/// What one attempt may take.
pub(super) struct Terms<'a> {
    /// The whole request; None is no limit.
    pub(super) whole: Option<Duration>,
    /// The longest silence in the body.
    pub(super) silence: Option<Duration>,
    pub(super) body: Limits<'a>,
}

/// Sends a request and reads its answer to the end. `route` is asked only if no head came.
pub(super) async fn once(
    client: &reqwest::Client,
    request: reqwest::Request,
    terms: Terms<'_>,
    route: impl Fn(&url::Url) -> Route,
) -> Attempt {
    let start = Instant::now();
    let mut deadlines = Deadlines::new(start, terms.whole, terms.silence);
    let mut response = match deadlines.within_whole(client.execute(request)).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            let route = error.url().map_or(Route { tls: false, proxied: false }, route);
            let attempt = Attempt { elapsed: start.elapsed(), ..Attempt::default() };
            return match classify::before_head(&error, route) {
                Headless::Refused => Attempt { refusal: Some(SkipReason::PrivateAddress), ..attempt },
                Headless::Failed(error) => Attempt { error: Some(error), ..attempt },
            };
        }
        Err(late) => {
            let error = Some(late.error(Stage::Head));
            return Attempt { error, elapsed: start.elapsed(), ..Attempt::default() };
        }
    };
    let first_byte = Some(start.elapsed());
    let pipeline = Pipeline::of(response.headers());
    let head = head_of(&mut response);
    let (body, error) = body::read(&mut response, pipeline, terms.body, &mut deadlines).await;
    Attempt { head: Some(head), body, error, refusal: None, first_byte, elapsed: start.elapsed() }
}

fn head_of(response: &mut reqwest::Response) -> Head {
    Head {
        status: response.status().as_u16(),
        version: match response.version() {
            Version::HTTP_10 => "HTTP/1.0",
            Version::HTTP_2 => "HTTP/2",
            _ => "HTTP/1.1",
        },
        remote_addr: response.remote_addr(),
        // The body does not need them any more.
        headers: std::mem::take(response.headers_mut()),
    }
}

/// The deadlines of one request, on tokio's clock.
pub(super) struct Deadlines {
    /// When the whole request is late; None is never.
    whole: Option<Instant>,
    whole_time: Duration,
    silence: Option<Duration>,
}

/// A deadline has passed.
pub(super) enum Late {
    Whole(Duration),
    Silent(Duration),
}

impl Late {
    pub(super) fn error(&self, stage: Stage) -> FetchError {
        let message = match self {
            Self::Whole(time) => format!("not complete within {time:?}"),
            Self::Silent(time) => format!("no byte for {time:?}"),
        };
        FetchError::transient(ErrorKind::Timeout, stage, message)
    }
}

impl Deadlines {
    pub(super) fn new(start: Instant, whole: Option<Duration>, silence: Option<Duration>) -> Self {
        let whole_time = whole.unwrap_or(Duration::MAX);
        // A time too long for the clock is no limit.
        Self { whole: start.checked_add(whole_time), whole_time, silence }
    }

    /// Puts off the end by a wait that is not the server's fault.
    pub(super) fn stop_for(&mut self, time: Duration) {
        self.whole = self.whole.and_then(|whole| whole.checked_add(time));
    }

    /// Whether the whole request is late: for work that awaits nothing of the server.
    pub(super) fn passed(&self) -> Option<Late> {
        self.whole.filter(|whole| Instant::now() >= *whole).map(|_| Late::Whole(self.whole_time))
    }

    /// Awaits until the whole request is late.
    pub(super) async fn within_whole<F: Future>(&self, future: F) -> Result<F::Output, Late> {
        match self.whole {
            Some(whole) => tokio::time::timeout_at(whole, future).await.map_err(|_| Late::Whole(self.whole_time)),
            None => Ok(future.await),
        }
    }

    /// Awaits until the server has been silent for too long, or the whole request is late.
    pub(super) async fn within_silence<F: Future>(&self, future: F) -> Result<F::Output, Late> {
        let Some(silence) = self.silence else { return self.within_whole(future).await };
        let silent = Instant::now().checked_add(silence);
        match (self.whole, silent) {
            (whole, Some(silent)) if whole.is_none_or(|whole| silent < whole) => {
                tokio::time::timeout_at(silent, future).await.map_err(|_| Late::Silent(silence))
            }
            _ => self.within_whole(future).await,
        }
    }
}
