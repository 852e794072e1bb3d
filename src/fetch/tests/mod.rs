//! The client against servers that do what servers do.

mod bodies;
mod failures;
mod names;
mod requests;
mod server;
mod transport;

use std::net::Ipv4Addr;
use std::time::Duration;

use http::Method;

use super::client::{Client, ClientSettings, LowestSpeed};
use super::dial::Interface;
use super::proxies::ProxyVariables;
use super::{Attempt, Fetcher as _, Request};
use crate::model::fetch_error::{ErrorKind, FetchError, Stage};
use crate::model::url::Url;

/// Long enough to never fire in a test that passes.
const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(150);

fn get(url: &str) -> Request {
    Request {
        url: Url::parse(url).unwrap(),
        method: Method::GET,
        headers: Vec::new(),
        body: None,
        credentials: false,
        user_info: None,
        proxy: None,
        logs_in: false,
        cookies: true,
        timeout: Some(LONG),
        guarded: false,
        max_body: Some(16 * 1024 * 1024),
        beside_pool: false,
        progress: std::sync::Arc::default(),
    }
}

/// A client that the environment of the test run has no say in.
fn client_with(change: impl FnOnce(&mut ClientSettings)) -> Client {
    let mut settings = ClientSettings::default();
    change(&mut settings);
    Client::with_variables(&settings, &ProxyVariables::default()).unwrap()
}

/// The same, for tests in which addresses stand that are not of this machine: its connections start from loopback, and from
/// there the system leads nowhere else. So a client that goes where it should not does no harm.
fn client_at_home(change: impl FnOnce(&mut ClientSettings)) -> Client {
    client_with(|settings| {
        settings.dial.interface = Some(Interface::Address(Ipv4Addr::LOCALHOST.into()));
        change(settings);
    })
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_client_at_home_stays_there() {
    let attempt = client_at_home(|_| {}).fetch(get("http://192.0.2.1/")).await;
    assert_fails(&attempt, ErrorKind::Connect, Stage::Connect, true);
}

fn client() -> Client {
    client_with(|_| {})
}

async fn fetch(url: &str) -> Attempt {
    client().fetch(get(url)).await
}

fn status(attempt: &Attempt) -> Option<u16> {
    attempt.head.as_ref().map(|head| head.status)
}

/// The failure, with a look at what is true of all of them.
#[track_caller]
fn failure(attempt: &Attempt) -> &FetchError {
    let error = attempt.error.as_ref().expect("a failure");
    assert!(!error.message.is_empty() && !error.message.contains(char::is_control), "{error:?}");
    assert!(!error.message.contains("://"), "no URL in {error:?}");
    error
}

#[track_caller]
fn assert_fails(attempt: &Attempt, kind: ErrorKind, stage: Stage, retryable: bool) {
    let error = failure(attempt);
    assert_eq!((error.kind, error.stage, error.retryable), (kind, stage, retryable), "{error:?}");
}
