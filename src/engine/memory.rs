//! The memory of the whole process against `--max-memory`: while it is nearly reached, nothing new starts but one request
//! at a time.
//!
//! The parts that can grow have limits of their own, made of the same number by whoever starts the run; this is for all the
//! rest, mostly what is in flight and what waits for a reader. Decides whether memory is short; the gate asks. Where the
//! system does not tell (other than Linux), it never is.

use std::time::Duration;

use crate::model::units::Moment;

/// From one look to the next.
const LOOK_AFTER: Duration = Duration::from_millis(50);

/// The part of the limit that is left to what is under way when nothing new starts any more.
const ROOM: u64 = 8;

/// See the module.
#[derive(Debug)]
pub struct MemoryWatch {
    /// From which on it is short.
    limit: u64,
    next_look: Moment,
    is_short: bool,
    held: fn() -> Option<u64>,
}

impl MemoryWatch {
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self { limit: limit - limit / ROOM, next_look: Moment::START, is_short: false, held }
    }

    /// Whether more is held than nearly the limit; looks at most every 50 ms.
    pub fn is_short(&mut self, now: Moment) -> bool {
        if now >= self.next_look {
            self.next_look = now.plus(LOOK_AFTER);
            let was_short = self.is_short;
            self.is_short = (self.held)().is_some_and(|held| held > self.limit);
            if self.is_short && !was_short {
                tracing::info!(limit = self.limit, "memory is short: nothing new starts for now");
            }
        }
        self.is_short
    }

    /// When to look again, while memory is short.
    #[must_use]
    pub fn next_look(&self) -> Option<Moment> {
        self.is_short.then_some(self.next_look)
    }
}

/// Bytes of memory that this process holds now (Linux: VmRSS of proc(5)).
fn held() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_system_tells_what_is_held() {
        assert!(held().is_some_and(|bytes| bytes > 1 << 20));
        assert!(MemoryWatch::new(1).is_short(Moment::START));
        assert!(!MemoryWatch::new(1 << 50).is_short(Moment::START));
    }

    #[test]
    fn what_is_under_way_keeps_an_eighth() {
        let watch = |held| MemoryWatch { held, ..MemoryWatch::new(800) };
        assert!(!watch(|| Some(700)).is_short(Moment::START));
        assert!(watch(|| Some(701)).is_short(Moment::START));
    }

    #[test]
    fn it_looks_now_and_then() {
        let mut watch = MemoryWatch { held: || Some(2), ..MemoryWatch::new(1) };
        assert!(watch.is_short(Moment::START));
        watch.held = || Some(1);
        let later = Moment::START.plus(LOOK_AFTER);
        assert_eq!(watch.next_look(), Some(later));
        assert!(watch.is_short(Moment::from_nanos(1)), "it has not looked again");
        assert!(!watch.is_short(later) && watch.next_look().is_none());
    }
}
