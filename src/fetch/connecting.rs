//! Whether a request is still waiting for its connection when its time is up.
//!
//! The stack tells nothing of a request that was dropped, so a layer around its connector leaves word with the request
//! on whose behalf it connects. Decides nothing. Called by `client` (the layer) and `once`.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

tokio::task_local! {
    /// Of the request that is polled now.
    static REQUEST: Arc<AtomicBool>;
}

/// Set while a request waits for a connection of its own.
#[derive(Debug, Clone, Default)]
pub(super) struct Connecting(Arc<AtomicBool>);

impl Connecting {
    pub(super) async fn watch<F: Future>(&self, request: F) -> F::Output {
        REQUEST.scope(Arc::clone(&self.0), request).await
    }

    /// For a connection that its request opens itself.
    pub(super) fn set(&self, waits: bool) {
        self.0.store(waits, Ordering::Relaxed);
    }

    pub(super) fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
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
        Box::pin(async move {
            let Some(request) = request else { return connection.await };
            let mut connection = pin!(connection);
            poll_fn(|cx| {
                let polled = connection.as_mut().poll(cx);
                // A request that got a connection which became free leaves its own to a task of the stack.
                let is_its_own = REQUEST.try_with(|now| Arc::ptr_eq(now, &request)).unwrap_or(false);
                request.store(is_its_own && polled.is_pending(), Ordering::Relaxed);
                polled
            })
            .await
        })
    }
}
