//! The body of an answer as a file (`--save-bodies`), before its record is made: so the record can say where it is, and
//! whoever reads the record finds it there.
//!
//! Written by one of tokio's blocking threads, while the request still has its permit: a slow disk slows the run.

use std::sync::Arc;

use crate::engine::outcome::{Desk, content_type};
use crate::fetch::Attempt;
use crate::model::job::Job;
use crate::model::url::host_key_of;
use crate::sinks::bodies::{Bodies, Owner};

/// Saves the body of a whole answer, if it is of a type that is kept. Returns its path.
pub(super) async fn save(bodies: &Arc<Bodies>, desk: &Desk, job: &Job, attempt: &Attempt) -> Option<String> {
    let head = attempt.head.as_ref()?;
    let (media_type, _) = content_type(head);
    let body = attempt.body.bytes.clone();
    if body.is_empty() || attempt.error.is_some() || !desk.settings.media_types.contains(&media_type) {
        return None;
    }
    let (bodies, run, number, url) = (Arc::clone(bodies), Arc::clone(&desk.run), job.number, job.url.clone());
    let saved = tokio::task::spawn_blocking(move || {
        let owner = Owner { run: &run, number, url: &url, host_key: host_key_of(&url), media_type: &media_type };
        bodies.save(&owner, &body)
    });
    saved.await.ok().flatten()
}
