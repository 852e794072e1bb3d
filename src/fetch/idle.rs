//! Connections that wait for another request to their server.
//!
//! The last one put back is the first one taken: it is the least likely to have been closed. Never opens one, and has no
//! task: what has been idle for too long is closed when others are put back. Called by `direct`.
//!
//! They are kept for long, so that a host which is asked every 10 s (a common `Crawl-delay`) is asked over one connection.
//! Whether the server has closed one is seen before it is used; only what it closes at the same moment is not. Many
//! servers do that after 5 s (Apache httpd, Node), and a delay of 5 s would hit that moment every time: what has been idle
//! for about as long is not used. While there are many, those of hosts that do not come back soon go first.

use std::collections::VecDeque;
use std::ops::Range;
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

/// How long they are kept at most: most servers and gateways that do not close after 5 s do so after 60 or 75 s.
const LONGEST: Duration = Duration::from_mins(1);

/// Around the moment when many servers close what is idle, one round trip included.
const CLOSING: Range<Duration> = Duration::from_secs(4)..Duration::from_secs(6);

/// From so many on they are kept for a short time only. Each is a descriptor here and there, and about 10 KiB here.
const MANY: usize = 256;

/// Idle connections by host and port.
#[derive(Debug)]
pub(super) struct Idle<C> {
    /// How long they are kept while there are many.
    time: Duration,
    shelf: Mutex<Shelf<C>>,
}

#[derive(Debug)]
struct Shelf<C> {
    /// The longest idle first. An entry stays when its last connection is taken: it will be back in a moment.
    by_authority: HashMap<Box<str>, VecDeque<(Instant, C)>>,
    count: usize,
    cleared: Instant,
}

impl<C: Reusable> Idle<C> {
    pub(super) fn new(time: Duration) -> Self {
        let shelf = Shelf { by_authority: HashMap::default(), count: 0, cleared: Instant::now() };
        Self { time, shelf: Mutex::new(shelf) }
    }

    /// The freshest connection that still stands, and how long it has been idle.
    pub(super) fn take(&self, authority: &str) -> Option<(C, Duration)> {
        let mut shelf = self.lock();
        let Shelf { by_authority, count, .. } = &mut *shelf;
        let waiting = by_authority.get_mut(authority)?;
        while let Some((since, mut connection)) = waiting.pop_back() {
            *count -= 1;
            let idle = since.elapsed();
            if idle >= LONGEST {
                // All others have been idle for longer.
                *count -= waiting.len();
                waiting.clear();
                return None;
            }
            if !CLOSING.contains(&idle) && connection.is_usable(&mut Context::from_waker(Waker::noop())) {
                return Some((connection, idle));
            }
        }
        None
    }

    pub(super) fn put(&self, authority: &str, connection: C) {
        let mut shelf = self.lock();
        let now = Instant::now();
        shelf.count += 1;
        match shelf.by_authority.get_mut(authority) {
            Some(waiting) => waiting.push_back((now, connection)),
            None => {
                shelf.by_authority.insert(authority.into(), VecDeque::from([(now, connection)]));
            }
        }
        if now.duration_since(shelf.cleared) >= self.time {
            shelf.clear(now, LONGEST);
            if shelf.count > MANY {
                shelf.clear(now, self.time);
            }
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
            self.count -= old;
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

    /// Hosts, and connections.
    fn sizes(idle: &Idle<Line>) -> (usize, usize) {
        let shelf = idle.lock();
        (shelf.by_authority.len(), shelf.count)
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
        tokio::time::advance(Duration::from_secs(59)).await;
        idle.put("a:1", Line(2, true));
        idle.put("b:1", Line(3, true));
        tokio::time::advance(Duration::from_secs(10)).await;
        // Closes the first.
        idle.put("b:1", Line(4, true));
        assert_eq!(sizes(&idle), (2, 3));
        assert_eq!(idle.lock().by_authority["a:1"].len(), 1);
        assert_eq!(idle.take("a:1"), Some((Line(2, true), Duration::from_secs(10))));
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!(idle.take("b:1"), None);
        assert_eq!(idle.lock().count, 0);
        idle.put("c:1", Line(5, true));
        assert_eq!(sizes(&idle), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_server_may_be_closing_just_now_is_not_used() {
        let idle = Idle::new(Duration::from_secs(4));
        for (wait, used) in [(3900, true), (4000, false), (5000, false), (5900, false), (6000, true), (30_000, true)] {
            idle.put("a:1", Line(1, true));
            tokio::time::advance(Duration::from_millis(wait)).await;
            assert_eq!(idle.take("a:1").is_some(), used, "{wait}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_are_kept_for_a_short_time_only() {
        for (hosts, kept) in [(MANY - 1, MANY), (10 * MANY, 1)] {
            let idle = Idle::new(Duration::from_secs(4));
            for host in 0..hosts {
                idle.put(&format!("h{host}:1"), Line(1, true));
            }
            tokio::time::advance(Duration::from_secs(10)).await;
            idle.put("last:1", Line(2, true));
            assert_eq!(sizes(&idle), (kept, kept));
        }
    }
}
