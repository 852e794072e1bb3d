//! Response bodies in memory: capped, decoded, and paid for out of one pool.
//!
//! Decides how much of a body is read, and when it has to wait for memory. A body has 256 KiB free. To go on it reserves
//! its whole remaining cap from the pool of the run, or waits, unread and with its deadlines stopped, until it can. It
//! reserves once, so whoever holds a reservation can finish, and first come is first served, so a large body is not
//! starved by small ones. Beside its bytes a body costs what its decoder needs: at most its window again.
//! Never allocates what a server only announced: memory that is reserved but not written is not touched.
//! Called by `once` and `direct`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::Body;
use super::classify;
use super::coding::{Fault, Pipeline};
use super::deadlines::Deadlines;
use super::pace::Pace;
use super::progress::Progress;
use crate::model::fetch_error::{ErrorKind, FetchError, Stage};

/// What every body may hold without asking.
const FREE: usize = 256 * 1024;

/// A body may inflate by any ratio up to this size: nothing is won by sending so little in disguise, and pages of nothing
/// but one line exist.
const HARMLESS: usize = 1024 * 1024;

/// Unit of the pool: a semaphore counts in 32 bits.
const UNIT: u64 = 1024;

/// A body that is announced longer than its cap is still read up to it if the cap is at most this: the start of a
/// robots.txt counts (RFC 9309 2.5), and it costs little. Longer ones are not asked for at all.
const WORTH_READING: u64 = 1024 * 1024;

/// Decoded bytes at a time.
const STEP: usize = 16 * 1024;

/// Decoded bytes, a quarter of a millisecond's worth, after which others get their turn: one chunk of a bomb inflates to
/// hundreds of MiB.
const TURN: usize = 256 * 1024;

/// Chunks, about a tenth of a millisecond's worth, after which others get their turn: a read may bring ten thousand of
/// one byte each, and a server that sends nothing else never makes us wait.
const CHUNKS: u32 = 128;

/// The body memory of a run.
#[derive(Debug, Clone)]
pub struct BodyPool {
    units: Arc<Semaphore>,
    size: u32,
}

impl BodyPool {
    /// A pool of so many bytes, counted in KiB; at most 4 TiB.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let size = units(bytes);
        Self { units: Arc::new(Semaphore::new(size as usize)), size }
    }

    /// Bytes that are not reserved now.
    #[must_use]
    pub fn available(&self) -> u64 {
        self.units.available_permits() as u64 * UNIT
    }

    /// Waits for so many bytes; for more than the pool has, or None, that is all of it.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the place in the queue.
    async fn reserve(&self, bytes: Option<u64>) -> Reservation {
        let wanted = bytes.map_or(self.size, |bytes| units(bytes).min(self.size));
        let permit = Arc::clone(&self.units).acquire_many_owned(wanted).await;
        Reservation { permit: Some(permit.expect("the pool is never closed")) }
    }

    /// Memory for a body whose size is known; waits for it, unless it may be had beside the pool. None if it needs none.
    pub(super) async fn room_for(&self, bytes: u64, beside_pool: bool) -> Option<Reservation> {
        let wanted = Some(bytes.saturating_sub(FREE as u64)).filter(|wanted| *wanted > 0);
        if beside_pool { self.try_reserve(Some(wanted?)) } else { Some(self.reserve(Some(wanted?)).await) }
    }

    fn try_reserve(&self, bytes: Option<u64>) -> Option<Reservation> {
        let wanted = bytes.map_or(self.size, |bytes| units(bytes).min(self.size));
        let permit = Arc::clone(&self.units).try_acquire_many_owned(wanted).ok()?;
        Some(Reservation { permit: Some(permit) })
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

/// A share of the run's body memory, given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    /// None once all is given back.
    permit: Option<OwnedSemaphorePermit>,
}

impl Reservation {
    /// Bytes it holds of the pool.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.permit.as_ref().map_or(0, |permit| permit.num_permits() as u64 * UNIT)
    }

    /// Gives back what a body of so many bytes does not need; what every body has free is not held.
    pub fn shrink_to(&mut self, bytes: usize) {
        let needed = units(bytes.saturating_sub(FREE) as u64) as usize;
        let Some(permit) = &mut self.permit else { return };
        let excess = permit.num_permits().saturating_sub(needed);
        // Dropped: the excess goes back.
        drop(permit.split(excess));
        if needed == 0 {
            self.permit = None;
        }
    }
}

/// How much of a body may be read, and out of what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits<'a> {
    pub(super) pool: &'a BodyPool,
    /// Decoded bytes.
    pub(super) max_body: Option<u64>,
    /// Decoded bytes for each one on the wire.
    pub(super) max_ratio: Option<u32>,
    pub(super) beside_pool: bool,
    /// Bytes on the wire a second.
    pub(super) rate: Option<u64>,
}

/// A body on its way: what its bytes are read from.
pub(super) trait Source {
    /// Its length, where the server has announced one.
    fn announced(&self) -> Option<u64>;

    /// The next bytes; None at the end.
    ///
    /// # Cancel safety
    /// Dropped, it loses nothing, and may be called again.
    async fn chunk(&mut self) -> Result<Option<Bytes>, FetchError>;
}

impl Source for reqwest::Response {
    fn announced(&self) -> Option<u64> {
        self.content_length()
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, FetchError> {
        self.chunk().await.map_err(|error| classify::in_body(&error))
    }
}

/// Reads a body to its end, to its cap, or to a failure. What came is kept in every case.
pub(super) async fn read(
    source: &mut impl Source,
    pipeline: Result<Option<Pipeline>, Fault>,
    limits: Limits<'_>,
    deadlines: &mut Deadlines,
    progress: &Progress,
) -> (Body, Option<FetchError>) {
    let pipeline = match pipeline {
        Ok(pipeline) => pipeline,
        Err(fault) => return unread(FetchError::permanent(ErrorKind::Decode, Stage::Decode, fault)),
    };
    let announced = source.announced();
    if let (None, Some(length), Some(cap)) = (&pipeline, announced, limits.max_body)
        && length > cap
        && cap > WORTH_READING
    {
        return unread(too_large(cap));
    }
    let mut reader = Reader::new(pipeline, announced, limits, progress);
    let error = reader.run(source, deadlines).await;
    let body = reader.into_body(error.is_some());
    (body, error)
}

fn unread(error: FetchError) -> (Body, Option<FetchError>) {
    (Body { truncated: true, ..Body::default() }, Some(error))
}

fn too_dense(ratio: u32) -> FetchError {
    let message = format!("the body inflates to more than {ratio} times its size on the wire");
    FetchError::permanent(ErrorKind::TooLarge, Stage::Body, message)
}

/// The failure of a body that is longer than its cap, in bytes.
#[must_use]
pub fn too_large(cap: u64) -> FetchError {
    FetchError::permanent(ErrorKind::TooLarge, Stage::Body, format!("the body is larger than {cap} bytes"))
}

struct Reader<'a> {
    limits: Limits<'a>,
    progress: &'a Progress,
    collector: Collector,
    memory: Option<Reservation>,
    wire_size: u64,
    /// A stream that decodes to nothing ends too: incompressible bytes grow by less than this in every coding.
    wire_cap: u64,
}

impl<'a> Reader<'a> {
    fn new(mut pipeline: Option<Pipeline>, announced: Option<u64>, limits: Limits<'a>, progress: &'a Progress) -> Self {
        let cap = limits.max_body.and_then(|cap| usize::try_from(cap).ok()).unwrap_or(usize::MAX);
        // The stack holds servers to what they announce, so it is a cap as well.
        let exact = match pipeline {
            None => announced.and_then(|length| usize::try_from(length).ok()),
            Some(_) => None,
        };
        let wire_cap = limits.max_body.map_or(u64::MAX, |cap| cap.saturating_add(cap / 8).saturating_add(FREE as u64));
        if let Some(pipeline) = &mut pipeline {
            pipeline.limit(wire_cap);
        }
        let granted = FREE.min(cap);
        let collector = Collector { pipeline, first: Bytes::new(), bytes: Vec::new(), granted, cap, exact };
        Self { limits, progress, collector, memory: None, wire_size: 0, wire_cap }
    }

    async fn run(&mut self, source: &mut impl Source, deadlines: &mut Deadlines) -> Option<FetchError> {
        if self.collector.exact.is_some() && self.collector.longest().is_none_or(|longest| longest > FREE) {
            // Known to be needed: waits before the first byte is read.
            self.wait_for_memory(deadlines).await;
        }
        let mut pace = self.limits.rate.map(|rate| (Pace::new(rate, Duration::ZERO), Instant::now()));
        let mut turn = 0;
        loop {
            if turn == CHUNKS {
                turn = 0;
                if let Some(late) = others_first(deadlines).await {
                    return Some(late);
                }
            }
            turn += 1;
            let mut chunk = match deadlines.within_silence(source.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => break,
                Ok(Err(error)) => return Some(error),
                Err(late) => return Some(late.error(Stage::Body)),
            };
            deadlines.received(chunk.len());
            self.wire_size += chunk.len() as u64;
            self.progress.body_bytes(chunk.len() as u64);
            let length = chunk.len();
            loop {
                let taken = self.collector.take(&mut chunk);
                // All of a chunk has come, whatever of it is decoded: a bomb of one chunk is judged while it inflates.
                if let Some(ratio) = self.limits.max_ratio.filter(|ratio| self.is_too_dense(*ratio)) {
                    return Some(too_dense(ratio));
                }
                match taken {
                    Ok(Taken::All) => break,
                    Ok(Taken::NeedsMemory) => self.wait_for_memory(deadlines).await,
                    Ok(Taken::Turn) => {
                        if let Some(late) = others_first(deadlines).await {
                            return Some(late);
                        }
                    }
                    Err(Stop::Full) => return Some(too_large(self.limits.max_body.unwrap_or(u64::MAX))),
                    Err(Stop::Broken(fault)) => return Some(broken(fault)),
                }
            }
            if self.wire_size > self.wire_cap {
                return Some(too_large(self.limits.max_body.unwrap_or(u64::MAX)));
            }
            if let Some((pace, start)) = &mut pace {
                // After the last bytes too: most bodies come in one piece. They are kept before it, as it may be cut off.
                let wait = pace.read(length, start.elapsed());
                if let Err(late) = deadlines.within_whole(tokio::time::sleep(wait)).await {
                    return Some(late.error(Stage::Body));
                }
                deadlines.pause_for(wait);
            }
        }
        self.collector.finish().err().map(broken)
    }

    fn is_too_dense(&self, ratio: u32) -> bool {
        let decoded = self.collector.bytes.len();
        decoded > HARMLESS && decoded as u64 > self.wire_size.saturating_mul(u64::from(ratio))
    }

    /// The only wait without a deadline: it ends when others finish, and each of them has deadlines of its own.
    async fn wait_for_memory(&mut self, deadlines: &mut Deadlines) {
        let wanted = self.collector.longest().map(|longest| longest.saturating_sub(FREE) as u64);
        self.memory = match self.limits.pool.try_reserve(wanted) {
            None if !self.limits.beside_pool => {
                let since = Instant::now();
                self.progress.wait_for_memory(true);
                let memory = self.limits.pool.reserve(wanted).await;
                self.progress.wait_for_memory(false);
                self.progress.stopped_for(since.elapsed());
                deadlines.stop_for(since.elapsed());
                Some(memory)
            }
            memory => memory,
        };
        self.collector.granted = self.collector.cap;
    }

    fn into_body(self, failed: bool) -> Body {
        let (bytes, held) = self.collector.into_bytes();
        let mut memory = self.memory;
        if let Some(reservation) = &mut memory {
            reservation.shrink_to(held);
        }
        Body { bytes, wire_size: self.wire_size, truncated: failed, memory: memory.filter(|memory| memory.bytes() > 0) }
    }
}

/// Lets others have their turn. What never waits is late only if somebody looks, which is done here.
async fn others_first(deadlines: &Deadlines) -> Option<FetchError> {
    tokio::task::yield_now().await;
    deadlines.passed().map(|late| late.error(Stage::Body))
}

fn broken(fault: Fault) -> FetchError {
    FetchError::permanent(ErrorKind::Decode, Stage::Decode, fault)
}

enum Taken {
    All,
    /// The rest of the chunk has to wait until more is granted.
    NeedsMemory,
    /// There is more to do with the chunk, but others should have a turn first.
    Turn,
}

enum Stop {
    Full,
    Broken(Fault),
}

/// The bytes of a body as they are decoded.
struct Collector {
    pipeline: Option<Pipeline>,
    /// The only chunk so far, as it came: most bodies are one.
    first: Bytes,
    bytes: Vec<u8>,
    /// Bytes it may hold now.
    granted: usize,
    /// Bytes it may ever hold.
    cap: usize,
    /// The length of the body, where it is known.
    exact: Option<usize>,
}

impl Collector {
    /// What the body can come to; None if that is not limited.
    fn longest(&self) -> Option<usize> {
        let longest = self.exact.unwrap_or(usize::MAX).min(self.cap);
        (longest < usize::MAX).then_some(longest)
    }

    fn take(&mut self, chunk: &mut Bytes) -> Result<Taken, Stop> {
        if self.pipeline.is_some() { self.take_coded(chunk) } else { self.take_plain(chunk) }
    }

    fn take_plain(&mut self, chunk: &mut Bytes) -> Result<Taken, Stop> {
        let held = self.first.len() + self.bytes.len();
        let room = self.granted - held;
        if chunk.len() > room && self.granted < self.cap {
            return Ok(Taken::NeedsMemory);
        }
        let fits = chunk.split_to(chunk.len().min(room));
        if held == 0 {
            self.first = fits;
        } else if !fits.is_empty() {
            if self.bytes.is_empty() {
                let first = std::mem::take(&mut self.first);
                self.make_room(first.len() + fits.len());
                self.bytes.extend_from_slice(&first);
            }
            self.make_room(fits.len());
            self.bytes.extend_from_slice(&fits);
        }
        if chunk.is_empty() { Ok(Taken::All) } else { Err(Stop::Full) }
    }

    fn take_coded(&mut self, chunk: &mut Bytes) -> Result<Taken, Stop> {
        let mut input: &[u8] = chunk;
        let start = self.bytes.len();
        let taken = loop {
            let held = self.bytes.len();
            if held - start >= TURN {
                break Taken::Turn;
            }
            let room = self.granted - held;
            if room == 0 {
                if self.granted < self.cap {
                    break Taken::NeedsMemory;
                }
                // Exactly full is not too large: one more byte is.
                let (mut probe, mut written) = ([0], 0);
                let more = decode(&mut self.pipeline, &mut input, &mut probe, &mut written)?;
                if written > 0 {
                    return Err(Stop::Full);
                }
                break if more { Taken::Turn } else { Taken::All };
            }
            let step = room.min(STEP);
            self.make_room(step);
            self.bytes.resize(held + step, 0);
            let mut written = 0;
            let result = decode(&mut self.pipeline, &mut input, &mut self.bytes[held..], &mut written);
            self.bytes.truncate(held + written);
            if result? {
                break Taken::Turn;
            }
            if written < step {
                break Taken::All;
            }
        };
        let used = chunk.len() - input.len();
        drop(chunk.split_to(used));
        Ok(taken)
    }

    /// Space for `more` bytes that are already granted: at once if the length is known, else by doubling, and never for
    /// more than is granted.
    fn make_room(&mut self, more: usize) {
        let needed = self.bytes.len() + more;
        if self.bytes.capacity() < needed {
            let target = match self.exact {
                Some(exact) if exact <= self.granted => exact,
                _ => self.bytes.capacity().saturating_mul(2).min(self.granted),
            };
            self.bytes.reserve_exact(target.max(needed) - self.bytes.len());
        }
    }

    fn finish(&self) -> Result<(), Fault> {
        self.pipeline.as_ref().map_or(Ok(()), Pipeline::finish)
    }

    /// The body, and the bytes of memory it holds.
    fn into_bytes(mut self) -> (Bytes, usize) {
        if !self.first.is_empty() {
            let held = self.first.len();
            return (self.first, held);
        }
        // Doubling leaves up to half of it unused, and bodies may wait for a slow reader of the output.
        if self.bytes.capacity() > FREE && self.bytes.capacity() / 4 * 3 > self.bytes.len() {
            self.bytes.shrink_to_fit();
        }
        let held = self.bytes.capacity();
        (self.bytes.into(), held)
    }
}

fn decode(
    pipeline: &mut Option<Pipeline>,
    input: &mut &[u8],
    out: &mut [u8],
    written: &mut usize,
) -> Result<bool, Stop> {
    match pipeline {
        Some(pipeline) => pipeline.decode(input, out, written).map_err(Stop::Broken),
        None => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reservation_shrinks_to_what_a_body_holds_beyond_its_free_share() {
        let pool = BodyPool::new(1024 * 1024);
        let mut held = pool.try_reserve(Some(512 * 1024)).unwrap();
        assert_eq!(pool.available(), 512 * 1024);
        held.shrink_to(FREE + 100_000);
        assert_eq!(held.bytes(), 98 * 1024);
        assert_eq!(pool.available(), (1024 - 98) * 1024);
        // It never grows.
        held.shrink_to(usize::MAX);
        assert_eq!(held.bytes(), 98 * 1024);
        held.shrink_to(FREE);
        assert_eq!((held.bytes(), pool.available()), (0, 1024 * 1024));
    }

    #[tokio::test]
    async fn no_limit_takes_the_whole_pool() {
        let pool = BodyPool::new(10 * 1024);
        let all = pool.reserve(None).await;
        assert_eq!((all.bytes(), pool.available()), (10 * 1024, 0));
        assert!(pool.try_reserve(Some(1)).is_none());
        drop(all);
        assert_eq!(pool.reserve(Some(1 << 40)).await.bytes(), 10 * 1024);
    }

    /// A body in chunks of one size, each of which is there when it is asked for.
    struct Ready {
        chunks: usize,
        size: usize,
        /// Nothing comes after them, and not even the end.
        is_silent: bool,
    }

    impl Source for Ready {
        fn announced(&self) -> Option<u64> {
            None
        }

        async fn chunk(&mut self) -> Result<Option<Bytes>, FetchError> {
            if self.chunks == 0 {
                return if self.is_silent { std::future::pending().await } else { Ok(None) };
            }
            self.chunks -= 1;
            Ok(Some(Bytes::from(vec![b'x'; self.size])))
        }
    }

    async fn read_within(whole: Duration, source: &mut Ready, rate: Option<u64>) -> (Body, Option<FetchError>) {
        let pool = BodyPool::new(1024 * 1024);
        let limits = Limits { pool: &pool, max_body: Some(1024 * 1024), max_ratio: None, beside_pool: false, rate };
        let times =
            super::super::deadlines::Times { whole: Some(whole), spent: Duration::ZERO, silence: None, speed: None };
        let mut deadlines = Deadlines::new(Instant::now(), times);
        read(source, Ok(None), limits, &mut deadlines, &Progress::default()).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_of_tiny_chunks_lets_others_have_their_turn() {
        let turns = std::cell::Cell::new(0);
        let others = async {
            loop {
                turns.set(turns.get() + 1);
                tokio::task::yield_now().await;
            }
        };
        let mut source = Ready { chunks: 100_000, size: 1, is_silent: false };
        let reading = async {
            let (body, error) = read_within(Duration::from_secs(1), &mut source, None).await;
            assert_eq!((error, body.bytes.len()), (None, 100_000));
        };
        tokio::select! { biased; () = others => {}, () = reading => {} }
        assert!(turns.get() >= 100_000 / CHUNKS, "{} turns", turns.get());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_is_always_ready_is_late_too() {
        let mut source = Ready { chunks: 100_000, size: 1, is_silent: false };
        let (body, error) = read_within(Duration::ZERO, &mut source, None).await;
        assert_eq!(
            (error.unwrap().kind, body.truncated, body.bytes.len()),
            (ErrorKind::Timeout, true, CHUNKS as usize)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_before_a_pause_is_kept_when_the_pause_is_cut_off() {
        let mut source = Ready { chunks: 1, size: 5000, is_silent: true };
        let (body, error) = read_within(Duration::from_secs(4), &mut source, Some(1000)).await;
        assert_eq!((error.unwrap().kind, body.truncated, body.bytes.len()), (ErrorKind::Timeout, true, 5000));
    }

    fn collector(granted: usize, cap: usize, exact: Option<usize>) -> Collector {
        Collector { pipeline: None, first: Bytes::new(), bytes: Vec::new(), granted, cap, exact }
    }

    #[test]
    fn one_chunk_is_kept_as_it_came() {
        let chunk = Bytes::from(vec![7; 1000]);
        let mut collector = collector(FREE, FREE, Some(1000));
        assert!(matches!(collector.take(&mut chunk.clone()), Ok(Taken::All)));
        assert_eq!(collector.into_bytes().0.as_ptr(), chunk.as_ptr());
    }

    #[test]
    fn a_known_length_is_allocated_once() {
        let mut collector = collector(FREE, FREE, Some(30_000));
        for _ in 0..3 {
            assert!(matches!(collector.take(&mut Bytes::from(vec![7; 10_000])), Ok(Taken::All)));
        }
        let (bytes, held) = collector.into_bytes();
        assert_eq!((bytes.len(), held), (30_000, 30_000));
    }

    #[test]
    fn a_chunk_waits_for_memory_whole_and_a_full_body_stops() {
        let mut collector = collector(10, 20, None);
        let mut chunk = Bytes::from(vec![7; 25]);
        assert!(matches!(collector.take(&mut chunk), Ok(Taken::NeedsMemory)));
        assert_eq!(chunk.len(), 25);
        collector.granted = 20;
        assert!(matches!(collector.take(&mut chunk), Err(Stop::Full)));
        assert_eq!(collector.into_bytes().0.len(), 20);
    }
}
