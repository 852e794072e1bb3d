//! Whether a request is still waiting for its connection when its time is up.
//!
//! The stack tells nothing of a request that was dropped, so a layer around its connector leaves word with the request
//! on whose behalf it connects, and how long that took as a whole: the stack behind a proxy tells no more. Decides
//! nothing. Called by `client` (the layer), `dial` (names) and `once`.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use super::Timings;

tokio::task_local! {
    /// Of the request that is polled now.
    static REQUEST: Arc<Word>;
}

/// What is left with a request.
#[derive(Debug, Default)]
struct Word {
    /// Set while it waits for a connection of its own.
    waits: AtomicBool,
    /// How long that took.
    timings: OnceLock<Timings>,
    /// The same as a whole.
    opened: OnceLock<Duration>,
    /// The part of it for names.
    looked_up: Mutex<Option<Duration>>,
    /// Of the server that it is for; 0 where nobody has to know.
    port: AtomicU16,
}

/// Of one request: its connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Connecting(Arc<Word>);

/// Leaves the times of a connection with the request that waits for it. One that its request has left to a task of the
/// stack is nobody's.
pub(super) fn note(timings: Timings) {
    let _ = REQUEST.try_with(|request| request.timings.set(timings));
}

/// Leaves the time of a look-up with the request that waits for it.
pub(super) fn note_look_up(time: Duration) {
    let _ = REQUEST.try_with(|request| {
        let mut looked_up = request.looked_up.lock().unwrap_or_else(PoisonError::into_inner);
        *looked_up = Some(looked_up.unwrap_or_default() + time);
    });
}

/// The port of the server that is connected to now: the stack asks its resolver for a name alone.
pub(super) fn port() -> Option<u16> {
    REQUEST.try_with(|request| request.port.load(Ordering::Relaxed)).ok().filter(|port| *port > 0)
}

impl Connecting {
    pub(super) fn to_port(&self, port: u16) {
        self.0.port.store(port, Ordering::Relaxed);
    }

    pub(super) async fn watch<F: Future>(&self, request: F) -> F::Output {
        REQUEST.scope(Arc::clone(&self.0), request).await
    }

    /// For a connection that its request opens itself.
    pub(super) fn set(&self, waits: bool) {
        self.0.waits.store(waits, Ordering::Relaxed);
    }

    pub(super) fn is_on(&self) -> bool {
        self.0.waits.load(Ordering::Relaxed)
    }

    /// How long the connection took that was opened for this request; None: it got one that stood.
    pub(super) fn timings(&self) -> Option<Timings> {
        self.0.timings.get().copied()
    }
}

impl Connecting {
    /// How long the connection took that was opened for this request, by a stack that does not tell its parts but for the
    /// names it asked for. `plain`: there was nothing but TCP, and what a SOCKS proxy asks for.
    pub(super) fn timings_as_a_whole(&self, plain: bool) -> Option<Timings> {
        let whole = *self.0.opened.get()?;
        let dns = *self.0.looked_up.lock().unwrap_or_else(PoisonError::into_inner);
        let connect = plain.then(|| whole.saturating_sub(dns.unwrap_or_default()));
        Some(Timings { dns, connect, tls: None })
    }
}

/// The layer around the stack's connector.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watch;

impl<S> Layer<S> for Watch {
    type Service = Watched<S>;

    fn layer(&self, connector: S) -> Watched<S> {
        Watched(connector)
    }
}

/// A connector that leaves word.
#[derive(Debug, Clone)]
pub(super) struct Watched<S>(S);

impl<S> Watched<S> {
    pub(super) fn around(connector: S) -> Self {
        Self(connector)
    }
}

impl<S, T> Service<T> for Watched<S>
where
    S: Service<T>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, target: T) -> Self::Future {
        let connection = self.0.call(target);
        let request = REQUEST.try_with(Arc::clone).ok();
        let start = Instant::now();
        Box::pin(async move {
            let Some(request) = request else { return connection.await };
            let mut connection = pin!(connection);
            poll_fn(|cx| {
                let polled = connection.as_mut().poll(cx);
                // A request that got a connection which became free leaves its own to a task of the stack.
                let is_its_own = REQUEST.try_with(|now| Arc::ptr_eq(now, &request)).unwrap_or(false);
                request.waits.store(is_its_own && polled.is_pending(), Ordering::Relaxed);
                if is_its_own && matches!(polled, Poll::Ready(Ok(_))) {
                    let _ = request.opened.set(start.elapsed());
                }
                polled
            })
            .await
        })
    }
}
