//! Whether a page has changed since an earlier run: its validators, its digest, and the word for it.
//!
//! Decides what is remembered of a page, and `change` in the record of a run that visits it again. Pure. A page behind a
//! redirect has no validators here: they would be those of another URL. Sources: RFC 9110 8.8 (validators), 13.1
//! (preconditions).

use bytes::Bytes;
use http::HeaderName;
use http::header::{ETAG, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use xxhash_rust::xxh3::xxh3_64;

use crate::fetch::Head;
use crate::model::job::{Job, Known};
use crate::model::record::Outcome;

/// A server may write more; it is not kept.
const LONGEST_VALIDATOR: usize = 1024;

/// What is to be remembered of a page that has answered; None if the answer says nothing of it.
#[must_use]
pub fn known_of(job: &Job, head: &Head, outcome: Outcome, body: &Bytes) -> Option<Known> {
    let (hops, before) = job.chain.as_ref().map_or((0, None), |chain| (chain.hops, chain.known.as_deref()));
    let validator = |name: HeaderName, before: Option<&Box<str>>| {
        let new = validator(head.headers.get(name)).filter(|_| hops == 0);
        if head.status == 304 { new.or_else(|| before.cloned()) } else { new }
    };
    let known = Known {
        etag: validator(ETAG, before.and_then(|known| known.etag.as_ref())),
        modified: validator(LAST_MODIFIED, before.and_then(|known| known.modified.as_ref())),
        digest: 0,
        gone: false,
    };
    match head.status {
        // Of a page that nobody has seen before it says nothing.
        304 => before.map(|before| Known { digest: before.digest, ..known }),
        404 | 410 => Some(Known { gone: true, ..Known::default() }),
        _ if outcome == Outcome::Ok => Some(Known { digest: xxh3_64(body), ..known }),
        _ => None,
    }
}

/// `new`, `changed`, `unchanged` or `gone`; None where nothing can be said.
#[must_use]
pub fn change_of(before: Option<&Known>, now: Option<&Known>, status: Option<u16>) -> Option<&'static str> {
    let now = now?;
    match before {
        Some(before) if now.gone && before.gone => Some("unchanged"),
        _ if now.gone => before.map(|_| "gone"),
        None => Some("new"),
        // It is back.
        Some(before) if before.gone => Some("new"),
        Some(before) if status == Some(304) || before.digest == now.digest => Some("unchanged"),
        Some(_) => Some("changed"),
    }
}

/// A validator as it is kept; None if it is not there, or cannot be.
#[must_use]
pub fn validator(value: Option<&HeaderValue>) -> Option<Box<str>> {
    value?.to_str().ok().filter(|value| value.len() <= LONGEST_VALIDATOR).map(Into::into)
}

/// The preconditions under which a page is asked for again: those of the answer in the cache, which a 304 brings back
/// whole; else those that an earlier run knew.
pub fn conditions(job: &Job) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    let cached = job.cached.as_deref().map(|cached| (cached.etag.as_ref(), cached.modified.as_ref()));
    let known = job.chain.as_deref().filter(|chain| chain.hops == 0).and_then(|chain| chain.known.as_deref());
    let known = known.map(|known| (known.etag.as_ref(), known.modified.as_ref()));
    let some = |pair: &(Option<_>, Option<_>)| pair.0.is_some() || pair.1.is_some();
    let (etag, modified) = cached.filter(some).or(known).unwrap_or_default();
    let line = |name, value: Option<&Box<str>>| Some((name, HeaderValue::from_str(value?).ok()?));
    line(IF_NONE_MATCH, etag).into_iter().chain(line(IF_MODIFIED_SINCE, modified))
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::model::job::{Chain, JobKind};

    fn head(status: u16, etag: Option<&'static str>) -> Head {
        let mut headers = HeaderMap::new();
        if let Some(etag) = etag {
            headers.insert(ETAG, HeaderValue::from_static(etag));
        }
        Head { status, headers, version: "HTTP/1.1", remote_addr: None }
    }

    fn job(known: Option<Known>, hops: u32) -> Job {
        let mut job = Job::new(JobKind::Link, "http://a/", "a".into());
        *job.chain_mut() = Chain { known: known.map(Box::new), hops, ..Chain::default() };
        job
    }

    fn judge(
        before: Option<&Known>,
        head: &Head,
        outcome: Outcome,
        body: &str,
    ) -> (Option<Known>, Option<&'static str>) {
        let now = known_of(&job(before.cloned(), 0), head, outcome, &Bytes::copy_from_slice(body.as_bytes()));
        let change = change_of(before, now.as_ref(), Some(head.status));
        (now, change)
    }

    #[test]
    fn every_word() {
        let (first, change) = judge(None, &head(200, Some("\"1\"")), Outcome::Ok, "a");
        assert_eq!(change, Some("new"));
        let known = || first.as_ref();
        let (same, change) = judge(known(), &head(304, None), Outcome::Ok, "");
        assert_eq!((change, &same), (Some("unchanged"), &first), "what was known stays known");
        assert_eq!(judge(known(), &head(200, Some("\"2\"")), Outcome::Ok, "a").1, Some("unchanged"));
        assert_eq!(judge(known(), &head(200, None), Outcome::Ok, "b").1, Some("changed"));
        assert_eq!(judge(known(), &head(404, None), Outcome::HttpError, "").1, Some("gone"));
        assert_eq!(judge(None, &head(410, None), Outcome::HttpError, "").1, None);
        let (gone, _) = judge(known(), &head(410, None), Outcome::HttpError, "");
        assert_eq!(judge(gone.as_ref(), &head(404, None), Outcome::HttpError, "").1, Some("unchanged"));
        assert_eq!(judge(gone.as_ref(), &head(200, None), Outcome::Ok, "a").1, Some("new"));
        assert_eq!(judge(known(), &head(503, None), Outcome::HttpError, "").1, None);
        assert_eq!(judge(None, &head(304, None), Outcome::Ok, ""), (None, None));
    }

    #[test]
    fn validators_are_those_of_the_very_url() {
        let known = Known { etag: Some("\"1\"".into()), modified: Some("x".into()), ..Known::default() };
        let names = |job: &Job| conditions(job).map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(&job(Some(known.clone()), 0)), [IF_NONE_MATCH, IF_MODIFIED_SINCE]);
        assert_eq!(names(&job(Some(known), 1)), [""; 0]);
        let behind = known_of(&job(None, 1), &head(200, Some("\"1\"")), Outcome::Ok, &Bytes::new()).unwrap();
        assert_eq!(behind.etag, None);
    }
}
