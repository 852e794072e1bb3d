//! Connections that wait for another request to their server.
//!
//! The last one put back is the first one taken: it is the least likely to have been closed. Never opens one, and has no
//! task: what has been idle for too long is closed when others are put back. Called by `direct`.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use foldhash::HashMap;
use tokio::time::Instant;

/// What can be asked whether it may be used again.
pub(super) trait Reusable {
    /// False once the other side has closed it.
    fn is_usable(&mut self, cx: &mut Context<'_>) -> bool;
}

/// Idle connections by host and port.
#[derive(Debug)]
pub(super) struct Idle<C> {
    /// How long they are kept.
    time: Duration,
    shelf: Mutex<Shelf<C>>,
}

#[derive(Debug)]
struct Shelf<C> {
    /// The longest idle first. An entry stays when its last connection is taken: it will be back in a moment.
    by_authority: HashMap<Box<str>, VecDeque<(Instant, C)>>,
    cleared: Instant,
}

impl<C: Reusable> Idle<C> {
    pub(super) fn new(time: Duration) -> Self {
        let shelf = Shelf { by_authority: HashMap::default(), cleared: Instant::now() };
        Self { time, shelf: Mutex::new(shelf) }
    }

    /// The freshest connection that still stands, and how long it has been idle.
    pub(super) fn take(&self, authority: &str) -> Option<(C, Duration)> {
        let mut shelf = self.lock();
        let waiting = shelf.by_authority.get_mut(authority)?;
        while let Some((since, mut connection)) = waiting.pop_back() {
            let idle = since.elapsed();
            if idle >= self.time {
                // All others have been idle for longer.
                waiting.clear();
                return None;
            }
            if connection.is_usable(&mut Context::from_waker(Waker::noop())) {
                return Some((connection, idle));
            }
        }
        None
    }

    pub(super) fn put(&self, authority: &str, connection: C) {
        let mut shelf = self.lock();
        let now = Instant::now();
        match shelf.by_authority.get_mut(authority) {
            Some(waiting) => waiting.push_back((now, connection)),
            None => {
                shelf.by_authority.insert(authority.into(), VecDeque::from([(now, connection)]));
            }
        }
        if now.duration_since(shelf.cleared) >= self.time {
            shelf.clear(now, self.time);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shelf<C>> {
        // Whoever panicked with it left at most one connection out.
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C> Shelf<C> {
    fn clear(&mut self, now: Instant, time: Duration) {
        self.cleared = now;
        self.by_authority.retain(|_, waiting| {
            let old = waiting.partition_point(|(since, _)| now.duration_since(*since) >= time);
            waiting.drain(..old);
            !waiting.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Line(u32, bool);

    impl Reusable for Line {
        fn is_usable(&mut self, _: &mut Context<'_>) -> bool {
            self.1
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_freshest_that_stands_is_taken() {
        let idle = Idle::new(Duration::from_secs(4));
        for line in [Line(1, true), Line(2, true), Line(3, false)] {
            idle.put("a:1", line);
        }
        assert_eq!(idle.take("b:1"), None);
        assert_eq!(idle.take("a:1"), Some((Line(2, true), Duration::ZERO)));
        assert_eq!(idle.take("a:1"), Some((Line(1, true), Duration::ZERO)));
        assert_eq!(idle.take("a:1"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_been_idle_for_too_long_is_neither_taken_nor_kept() {
        let idle = Idle::new(Duration::from_secs(4));
        idle.put("a:1", Line(1, true));
        tokio::time::advance(Duration::from_secs(3)).await;
        idle.put("a:1", Line(2, true));
        idle.put("b:1", Line(3, true));
        tokio::time::advance(Duration::from_secs(2)).await;
        // Closes the first.
        idle.put("b:1", Line(4, true));
        assert_eq!(idle.lock().by_authority["a:1"].len(), 1);
        assert_eq!(idle.take("a:1"), Some((Line(2, true), Duration::from_secs(2))));
        tokio::time::advance(Duration::from_secs(4)).await;
        assert_eq!(idle.take("b:1"), None);
        idle.put("c:1", Line(5, true));
        assert_eq!(idle.lock().by_authority.len(), 1);
    }
}
