//! How much a server may send until the head of its answer is complete, and how much at a time.
//!
//! The stack caps one head, and not how many informational ones (RFC 9110 15.2) come before it: a server that sends
//! nothing else keeps a thread busy until the deadline. And it reads on as long as there is something to read: a megabyte
//! of a chunk size that is all zeros is read byte by byte, while everybody else waits. And it doubles the room for its next
//! read as often as one fills it, up to 400 KiB for each connection. Decides those caps only. Called by `direct` and `secure`.
//!
//! Over HTTP/2 requests share what is read, and between heads come frames of other kinds, of which a client needs few: a
//! flood of them (pings, settings, window updates) is work for us and next to none for its server. So they are counted as
//! well, while no body of the connection is under way; a head begins the count anew.

use std::future::Future as _;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf, Take};

/// Lines of a head over HTTP/1. The stack's own limit is 100, which sites with long security policies and many cookies
/// come near; the head as a whole has 400 KiB.
pub(super) const MOST_HEADERS: usize = 512;

/// Bytes of the headers of an answer over HTTP/2. The stack's own limit is 16 KiB, which long security policies and cookies
/// exceed; HTTP/1 has 400 KiB.
pub(super) const LONGEST_HEADERS: u32 = 64 * 1024;

/// Bytes until the head is complete: more than twice what the stack reads of one head, with the start of its body.
const MOST: u64 = 1024 * 1024;

/// Bytes after which others get their turn, over plain TCP, and the most of one read: the stack's buffer grows to 500 kB for
/// a fast server, and what it holds may be worth ten thousand times the work of a plain body.
const TURN: usize = 64 * 1024;

/// The same over TLS, where they may be frames of 9 bytes: some 2,000 of them take as long as 64 KiB of a body.
const TURN_OF_FRAMES: usize = 16 * 1024;

/// Bytes of one read: with less than 32 KiB the room that the stack keeps for the next one stays at that. A crawl of 10,000
/// pages peaked at 62 MB with all that it would take.
const READ: usize = 32 * 1024 - 1;

/// What a server may send of a stream of HTTP/2 before it is told to go on, and so what may still come of one that nobody
/// reads any more.
pub(super) const WINDOW: u32 = 2 * 1024 * 1024;

/// Between the two ends of a connection: who sends the request sets it, and what is read counts it down.
#[derive(Debug, Clone)]
pub(super) struct Allowance(Arc<Count>);

#[derive(Debug)]
struct Count {
    left: AtomicU64,
    /// Bodies under way.
    bodies: AtomicUsize,
    /// What may still come of bodies that were cut off.
    late: AtomicU64,
}

impl Default for Allowance {
    fn default() -> Self {
        Self(Arc::new(Count { left: AtomicU64::new(MOST), bodies: AtomicUsize::new(0), late: AtomicU64::new(0) }))
    }
}

impl Allowance {
    /// A request is sent: its head may come.
    pub(super) fn begin(&self) {
        self.0.left.store(MOST, Ordering::Relaxed);
    }

    /// The head is here: bodies have limits of their own.
    pub(super) fn end(&self) {
        self.0.left.store(u64::MAX, Ordering::Relaxed);
    }

    /// The same for one of the requests that share the connection; the next head may come when all of them are over.
    pub(super) fn answered(&self) -> Answered {
        self.end();
        self.0.bodies.fetch_add(1, Ordering::Relaxed);
        Answered { allowance: self.clone(), read: false }
    }

    fn take(&self, bytes: u64) -> io::Result<()> {
        let left = self.0.left.load(Ordering::Relaxed);
        if left == u64::MAX {
            return Ok(());
        }
        let left = left.checked_sub(bytes).ok_or_else(|| io::Error::other("no head of an answer within 1 MiB"))?;
        self.0.left.store(left, Ordering::Relaxed);
        Ok(())
    }
}

/// A request whose head has come, until its body is over.
#[derive(Debug)]
pub(super) struct Answered {
    allowance: Allowance,
    read: bool,
}

impl Answered {
    /// The body has been read to its end.
    pub(super) fn is_read(&mut self) {
        self.read = true;
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        let Count { left, bodies, late } = &*self.allowance.0;
        if !self.read {
            late.fetch_add(u64::from(WINDOW), Ordering::Relaxed);
        }
        if bodies.fetch_sub(1, Ordering::Relaxed) == 1 {
            left.store(MOST + late.swap(0, Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}

/// A connection whose reading is counted.
#[derive(Debug)]
pub(super) struct Metered<S> {
    /// Its limit is of one read, and is set before each.
    stream: Take<S>,
    allowance: Allowance,
    /// Bytes since others had their turn, and how many a turn has.
    turn: usize,
    longest_turn: usize,
}

impl<S: AsyncRead> Metered<S> {
    pub(super) fn new(stream: S, allowance: Allowance) -> Self {
        Self { stream: stream.take(READ as u64), allowance, turn: 0, longest_turn: TURN }
    }

    /// For a connection of frames.
    pub(super) fn of_frames(stream: S, allowance: Allowance) -> Self {
        Self { longest_turn: TURN_OF_FRAMES, ..Self::new(stream, allowance) }
    }

    pub(super) fn get_ref(&self) -> &S {
        self.stream.get_ref()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.turn >= self.longest_turn {
            self.turn = 0;
            // Not woken at once: whoever has much to read is woken again when the system was asked what else is ready, so
            // that each of them has one turn between two such questions, however rarely the runtime asks by itself.
            return pin!(tokio::task::yield_now()).poll(cx).map(Ok);
        }
        let before = buffer.filled().len();
        let longest = self.longest_turn.min(READ) as u64;
        self.stream.set_limit(longest);
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let read = buffer.filled().len() - before;
        self.turn = if polled.is_ready() { self.turn + read } else { 0 };
        if matches!(polled, Poll::Ready(Ok(()))) && read > 0 {
            self.allowance.take(read as u64)?;
        }
        polled
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self.stream.get_mut()).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.stream.get_mut()).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.get_ref().is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.stream.get_mut()).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.stream.get_mut()).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn what_comes_before_a_head_is_counted_and_what_comes_after_it_is_not() {
        let (mut server, client) = tokio::io::duplex(64 * 1024);
        let sending = async move {
            for _ in 0..64 {
                if server.write_all(&vec![b'x'; 64 * 1024]).await.is_err() {
                    return;
                }
            }
        };
        let allowance = Allowance::default();
        let mut metered = Metered::new(client, allowance.clone());
        let reading = async move {
            let mut buffer = vec![0; 1024 * 1024];
            allowance.begin();
            metered.read_exact(&mut buffer[..1000]).await.unwrap();
            allowance.end();
            metered.read_exact(&mut buffer).await.unwrap();
            metered.read_exact(&mut buffer).await.unwrap();
            allowance.begin();
            metered.read_exact(&mut buffer).await.unwrap();
            assert!(metered.read_u8().await.is_err());
        };
        tokio::join!(sending, reading);
    }

    #[tokio::test]
    async fn one_read_takes_less_than_the_stack_doubles_its_room_for() {
        let all = vec![b'x'; 100_000];
        let mut metered = Metered::new(&all[..], Allowance::default());
        let mut sizes = Vec::new();
        let mut buffer = vec![0; all.len()];
        loop {
            match metered.read(&mut buffer).await.unwrap() {
                0 => break,
                size => sizes.push(size),
            }
        }
        assert_eq!((sizes.iter().sum::<usize>(), sizes.iter().max()), (all.len(), Some(&(32 * 1024 - 1))));
    }

    #[tokio::test]
    async fn of_a_shared_connection_all_is_counted_while_no_body_is_under_way() {
        let allowance = Allowance::default();
        let all = vec![b'x'; 32 << 20];
        let mut metered = Metered::of_frames(&all[..], allowance.clone());
        let mut buffer = vec![0; 1024 * 1024];
        metered.read_exact(&mut buffer).await.unwrap();
        // Two answers: the count begins anew with the end of the second.
        let (mut one, mut other) = (allowance.answered(), allowance.answered());
        for _ in 0..4 {
            metered.read_exact(&mut buffer).await.unwrap();
        }
        one.is_read();
        drop(one);
        metered.read_exact(&mut buffer).await.unwrap();
        other.is_read();
        drop(other);
        metered.read_exact(&mut buffer).await.unwrap();
        // Of one that was cut off a window may still come.
        drop(allowance.answered());
        for _ in 0..3 {
            metered.read_exact(&mut buffer).await.unwrap();
        }
        assert!(metered.read_u8().await.is_err());
    }

    #[tokio::test]
    async fn whoever_has_much_to_read_lets_others_have_their_turn() {
        let all = vec![b'x'; 4 * TURN];
        let mut metered = Metered::new(&all[..], Allowance::default());
        let mut buffer = vec![0; TURN / 2];
        let turns = std::cell::Cell::new(0);
        let others = async {
            loop {
                turns.set(turns.get() + 1);
                tokio::task::yield_now().await;
            }
        };
        let reading = async {
            for _ in 0..8 {
                metered.read_exact(&mut buffer).await.unwrap();
            }
        };
        tokio::select! { biased; () = others => {}, () = reading => {} }
        assert_eq!(turns.get(), 4);
    }
}
