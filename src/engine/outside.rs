//! Links out of scope that are asked once, so that a crawl finds broken ones too (`--outside check`).
//!
//! Such a job carries a mark and the method HEAD; it obeys robots.txt, pace and breaker like any other, and its page is not
//! read. Decides which links these are, when HEAD is not good enough, and what becomes of one that redirects into the
//! scope: it is a page of the crawl then. What was excluded by name is never asked.

use http::Method;

use super::settings::EngineSettings;
use crate::fetch::{Attempt, Request};
use crate::model::fetch_error::{ErrorKind, Stage};
use crate::model::job::{Job, JobSpec};
use crate::model::record::SkipReason;
use crate::policy::scope::Scope;

/// Bytes of a body that are read where HEAD was refused: the status is what counts, and it has come by then.
const MOST_BODY: u64 = 64 << 10;

/// Whether a link (canonical URL) that was refused for this reason is asked all the same.
pub(super) fn is_checked(settings: &EngineSettings, scope: &Scope, url: &str, refused: SkipReason) -> bool {
    settings.check_outside && refused == SkipReason::Scope && scope.excluded_by(url).is_none()
}

/// Marks a job as one that is only checked.
pub(super) fn mark(job: &mut Job) {
    job.spec = Some(Box::new(JobSpec { outside: true, method: Some("HEAD".into()), ..JobSpec::default() }));
}

/// May such a job follow a redirect there? Into the scope it goes on as a page.
///
/// # Errors
/// `Scope`: what was excluded.
pub(super) fn redirect(job: &mut Job, scope: &Scope, target: &str) -> Result<(), SkipReason> {
    if scope.excluded_by(target).is_some() {
        return Err(SkipReason::Scope);
    }
    if scope.redirect(target).is_ok() {
        job.spec = None;
    }
    Ok(())
}

/// Keeps what is read of a body short.
pub(super) fn shorten(request: &mut Request) {
    request.max_body = Some(request.max_body.map_or(MOST_BODY, |limit| limit.min(MOST_BODY)));
}

/// Turns HEAD into GET if the link would be called broken by the answer to HEAD, or by having none: servers that only
/// know GET say so with 405 or 501 (RFC 9110 15.5.6, 15.6.2), but also with 404 or 403, or hang up. What says that the
/// host is not to be asked now (429, 503), that it cannot be reached, or that it must not be asked, says so of GET too.
/// Returns whether the job is to be asked again.
pub(super) fn ask_with_get(job: &mut Job, method: &Method, attempt: &Attempt) -> bool {
    if *method != Method::HEAD || !job.is_outside() || !is_broken(attempt) {
        return false;
    }
    if let Some(spec) = &mut job.spec {
        spec.method = Some("GET".into());
    }
    job.chain_mut().attempts = 0;
    true
}

fn is_broken(attempt: &Attempt) -> bool {
    if let Some(error) = &attempt.error {
        return matches!(error.stage, Stage::Head | Stage::Body | Stage::Decode)
            && error.kind != ErrorKind::Interrupted;
    }
    attempt.refusal.is_none()
        && attempt.head.as_ref().is_some_and(|head| head.status >= 400 && !matches!(head.status, 429 | 503))
}

/// Takes away the failure of a body that was only cut short.
pub(super) fn is_cut_short(job: &Job, attempt: &Attempt) -> bool {
    job.is_outside()
        && attempt.head.is_some()
        && attempt.error.as_ref().is_some_and(|error| error.kind == ErrorKind::TooLarge)
}
