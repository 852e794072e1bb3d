//! The robots.txt of one origin, or a sitemap, asked outside of a run: for commands that only tell what a run would do.
//!
//! Decides as a run does what an answer means, follows as many redirects, and repeats what failed as often. It knows no
//! pace: it is a handful of requests, one after the other. A host that refuses (429) is not asked again at all: nobody
//! waits minutes for an explanation, and a run would fetch nothing there meanwhile. Called by the command.

use bytes::Bytes;
use http::Method;

pub use super::event::RobotsAnswer;
use super::settings::EngineSettings;
use super::worker::{SITEMAP_BODY, leads_to, robots_answer};
use crate::fetch::{Attempt, Fetcher, Request};
use crate::model::fetch_error::{ErrorKind, FetchError, Stage};
use crate::model::url::{self, Url, origin_of};
use crate::parse::sitemap::{self, Sitemap};
use crate::policy::{retry, robots};

/// What was found.
#[derive(Debug)]
pub struct Lookup {
    pub answer: RobotsAnswer,
    /// Of the last answer, if one came.
    pub status: Option<u16>,
    /// Where it came from.
    pub url: String,
    /// Requests that were made.
    pub requests: u32,
    /// Empty unless there are rules to read.
    pub body: Bytes,
}

/// Asks for the robots.txt of an origin (`https://example.org`), whose host the user has typed. Always returns: each
/// request has its deadlines, and their number is bounded.
///
/// # Cancel safety
/// Dropping the future closes the connection.
pub async fn look_up<F: Fetcher>(fetcher: &F, origin: &str, settings: &EngineSettings) -> Lookup {
    let asked = format!("{origin}/robots.txt");
    let limits = Limits { body: robots::MAX_BODY as u64 + 1, redirects: robots::MAX_REDIRECTS };
    let found = match ask(fetcher, &asked, origin, limits, settings).await {
        Ok(found) => found,
        Err(requests) => return unusable(asked, requests),
    };
    let Found { attempt, url, requests } = found;
    let status = attempt.head.as_ref().map(|head| head.status);
    let body = if matches!(status, Some(200..=299)) { attempt.body.bytes.clone() } else { Bytes::new() };
    let led_to = (origin_of(&url) != origin).then_some(&*url);
    let answer = robots_answer(attempt, &settings.product_token, led_to);
    Lookup { answer, status, url, requests, body }
}

/// Asks for a sitemap (canonical URL) and reads it. `home` is the origin that the user typed.
///
/// # Errors
/// What came instead, in words.
///
/// # Cancel safety
/// As [`look_up`].
pub async fn look_up_sitemap<F: Fetcher>(
    fetcher: &F,
    sitemap: &str,
    home: &str,
    settings: &EngineSettings,
) -> Result<Sitemap, String> {
    let limits = Limits { body: SITEMAP_BODY, redirects: settings.max_redirs };
    let found = ask(fetcher, sitemap, home, limits, settings).await;
    let Found { attempt, .. } = found.map_err(|_| "not a URL that can be asked".to_owned())?;
    match (attempt.head.map(|head| head.status), attempt.error, attempt.refusal) {
        (Some(200..=299), None, _) => Ok(sitemap::parse(&attempt.body.bytes, sitemap::Caps::default())),
        // What is beyond the limit is not read.
        (Some(200..=299), Some(error), _) if error.kind == ErrorKind::TooLarge => {
            Ok(sitemap::parse(&attempt.body.bytes, sitemap::Caps::default()))
        }
        (_, Some(error), _) => Err(error.message.into()),
        (Some(status), None, _) => Err(format!("status {status}")),
        (None, None, Some(_)) => Err("a private address, which is not asked without --allow-private".to_owned()),
        (None, None, None) => Err("no answer".to_owned()),
    }
}

/// How far a request may go.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Bytes of a body.
    body: u64,
    redirects: u32,
}

/// The last exchange.
struct Found {
    attempt: Attempt,
    /// Where it came from.
    url: String,
    requests: u32,
}

/// Asks until there is an answer that stands. Fails with the number of requests if there is a URL that cannot be read.
async fn ask<F: Fetcher>(
    fetcher: &F,
    first: &str,
    home: &str,
    limits: Limits,
    settings: &EngineSettings,
) -> Result<Found, u32> {
    let mut asked = first.to_owned();
    let (mut requests, mut attempts, mut hops) = (0, 0, 0);
    loop {
        let Ok(url) = url::parse(&asked) else { return Err(requests) };
        let attempt = fetcher.fetch(request(&url, home, limits.body, settings)).await;
        requests += 1;
        attempts += 1;
        if attempts <= settings.retry.retries && may_mend(&attempt) {
            tokio::time::sleep(retry::backoff(attempts, fastrand::f64(), &settings.retry)).await;
            continue;
        }
        if let Some(head) = &attempt.head
            && let Ok(Some(target)) = leads_to(head, &url, hops, limits.redirects)
        {
            hops += 1;
            attempts = 0;
            asked = target;
            continue;
        }
        return Ok(Found { attempt, url: asked, requests });
    }
}

/// Whether another attempt may come to something else.
fn may_mend(attempt: &Attempt) -> bool {
    let status = attempt.head.as_ref().map(|head| head.status);
    attempt.error.as_ref().is_some_and(|error| error.retryable) || retry::is_retried_status(status)
}

fn request(url: &Url, origin: &str, max_body: u64, settings: &EngineSettings) -> Request {
    let at_home = origin_of(url.as_str()) == origin;
    let is_typed = url::parse(origin).is_ok_and(|typed| typed.host_str() == url.host_str());
    Request {
        url: url.clone(),
        method: Method::GET,
        headers: Vec::new(),
        body: None,
        credentials: at_home,
        user_info: None,
        proxy: None,
        logs_in: false,
        cookies: false,
        timeout: settings.timeout,
        guarded: !settings.allow_private && !is_typed,
        max_body: Some(max_body),
        beside_pool: false,
        progress: std::sync::Arc::default(),
    }
}

/// Canonical URLs and redirect targets can all be read: this is for callers who made up an origin.
fn unusable(url: String, requests: u32) -> Lookup {
    let error = FetchError::permanent(ErrorKind::InvalidInput, Stage::Robots, "not an origin");
    Lookup { answer: RobotsAnswer::Unreachable(error), status: None, url, requests, body: Bytes::new() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::tests::fake::{Fake, Reply, World};

    /// Looks up `http://h.test` in a world; returns what was found and the URLs that were asked.
    async fn found(script: impl FnMut(&Request, usize) -> Reply + Send + 'static) -> (Lookup, Vec<String>) {
        let world = World::new(script);
        let settings = EngineSettings { timeout: Some(Duration::from_secs(30)), ..EngineSettings::default() };
        let lookup = look_up(&Fake(world.clone()), "http://h.test", &settings).await;
        (lookup, world.urls())
    }

    #[tokio::test(start_paused = true)]
    async fn it_means_what_it_means_to_a_run() {
        let (lookup, _) = found(|_, _| Reply::page("User-agent: *\nDisallow: /x")).await;
        assert!(matches!(&lookup.answer, RobotsAnswer::Rules(rules) if !rules.allows("http://h.test/x")));
        assert_eq!((lookup.status, lookup.requests, lookup.body.len()), (Some(200), 1, 26));
        let (lookup, _) = found(|_, _| Reply::status(404)).await;
        assert!(matches!(&lookup.answer, RobotsAnswer::Rules(rules) if rules.allows("http://h.test/x")));
        let (lookup, _) = found(|_, _| Reply::status(429).header("retry-after", "3000")).await;
        assert!(matches!(&lookup.answer, RobotsAnswer::DisallowAll) && lookup.requests == 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_is_tried_again_and_ends() {
        let (lookup, _) = found(|_, tries| Reply::status(if tries < 2 { 503 } else { 404 })).await;
        assert!(matches!(lookup.answer, RobotsAnswer::Rules(_)) && lookup.requests == 3);
        let (lookup, _) = found(|_, _| Reply::status(500)).await;
        assert!(matches!(lookup.answer, RobotsAnswer::DisallowAll) && lookup.requests == 3);
        let (lookup, _) = found(|_, _| Reply::refused()).await;
        assert!(matches!(lookup.answer, RobotsAnswer::Unreachable(_)) && lookup.requests == 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_redirect_into_a_private_network_is_no_permission() {
        let (lookup, asked) = found(|_, _| Reply::redirect(301, "http://10.0.0.1/rules")).await;
        assert!(matches!(&lookup.answer, RobotsAnswer::Refused(target) if &**target == "http://10.0.0.1/rules"));
        assert_eq!((asked.len(), lookup.status), (1, None));
    }

    #[tokio::test(start_paused = true)]
    async fn five_redirects_are_followed() {
        let (lookup, asked) = found(|request, _| match request.url.path().trim_start_matches('/').parse::<u32>() {
            Ok(5) => Reply::page("User-agent: *\nDisallow: /"),
            Ok(n) => Reply::redirect(302, &format!("/{}", n + 1)),
            Err(_) => Reply::redirect(301, "https://other.test/1"),
        })
        .await;
        assert!(matches!(lookup.answer, RobotsAnswer::Rules(rules) if !rules.allows("http://h.test/")));
        assert_eq!((asked.len(), &*lookup.url), (6, "https://other.test/5"));
        // One more leads nowhere: there is none.
        let (lookup, asked) = found(|_, _| Reply::redirect(302, "/robots.txt")).await;
        assert!(matches!(lookup.answer, RobotsAnswer::Rules(rules) if rules.allows("http://h.test/")));
        assert_eq!((asked.len(), lookup.status), (6, Some(302)));
    }
}
