//! What is known of names, and who is being asked.
//!
//! Decides how long an answer is used (as long as its source says, within bounds), and that each name is looked up once at a
//! time, however many requests want it. A look-up is driven by whoever waits for it, so nothing is spawned: it ends when its
//! last waiter leaves. Its bounds are on number: of names kept, and of look-ups at once. Never judges an address: guarded and
//! unguarded requests share what is known. Called by the resolver.
//!
//! Sources: RFC 2308 (denials), RFC 9520 (failures), RFC 8767 4 (long times are capped).

use std::future::Future;
use std::mem;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::{HashMap, HashMapExt as _};
use futures_util::future::{BoxFuture, FutureExt as _, Shared, WeakShared};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::guard::is_localhost;
use super::{ResolveError, no_descriptor};

/// Names kept in each of two generations: 32,768 in all, a few MB.
const GENERATION: usize = 16 * 1024;

/// Look-ups at once. Each may have two questions open at two name servers, and a descriptor for each; small forwarders
/// refuse more than some hundred questions.
const AT_ONCE: usize = 128;

/// A time of 0 means "ask each time"; a page's requests may have one answer all the same.
const LEAST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_hours(1);
/// A name may be registered while we run, and is then wanted.
const MOST_FOR_DENIAL: Duration = Duration::from_mins(5);
/// RFC 9520 3.2 wants at least a second; longer would swallow our own retries.
const FOR_FAILURE: Duration = Duration::from_secs(1);

pub(super) type Answer = Result<Arc<[IpAddr]>, ResolveError>;

/// Asks for one name. Always ends.
pub(super) type LookUp = Box<dyn Fn(Box<str>) -> BoxFuture<'static, Found> + Send + Sync>;

/// What a source says, and how long it may be used.
#[derive(Debug, Clone)]
pub(super) struct Found {
    answer: Answer,
    holds: Duration,
}

impl Found {
    /// At least one address, in the order in which they are to be tried.
    pub(super) fn addresses(addresses: Vec<IpAddr>, holds: Duration) -> Self {
        Self { answer: Ok(addresses.into()), holds: holds.clamp(LEAST, MOST) }
    }

    /// There is no such name, or it has no address.
    pub(super) fn nothing(holds: Duration) -> Self {
        Self { answer: Err(ResolveError::NotFound), holds: holds.clamp(LEAST, MOST_FOR_DENIAL) }
    }

    pub(super) fn unavailable(error: Arc<std::io::Error>) -> Self {
        Self { answer: Err(ResolveError::Unavailable(error)), holds: FOR_FAILURE }
    }

    pub(super) fn is_known(&self) -> bool {
        self.answer.is_ok()
    }

    pub(super) fn is_unavailable(&self) -> bool {
        matches!(self.answer, Err(ResolveError::Unavailable(_)))
    }
}

type Asking = BoxFuture<'static, Answer>;

/// The names of a run.
pub(super) struct Cache {
    look_up: LookUp,
    places: Semaphore,
    state: Mutex<State>,
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct State {
    /// What was wanted lately, and what was wanted before that; the second is dropped whole when the first is full.
    recent: HashMap<Box<str>, Known>,
    older: HashMap<Box<str>, Known>,
    /// Names under way, each with the number of its look-up.
    asked: HashMap<Box<str>, (u64, WeakShared<Asking>)>,
    look_ups: u64,
}

#[derive(Debug, Clone)]
struct Known {
    answer: Answer,
    until: Instant,
}

enum Step {
    Known(Answer),
    Asked(Shared<Asking>),
}

impl Cache {
    pub(super) fn new(look_up: LookUp) -> Self {
        Self { look_up, places: Semaphore::new(AT_ONCE), state: Mutex::default() }
    }

    /// What a name stands for; it is no literal.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the look-up to the others that wait for it; without any it ends, and nothing is kept.
    pub(super) fn addresses(self: &Arc<Self>, name: &str) -> impl Future<Output = Answer> + Send + use<> {
        let step = self.step(name);
        async move {
            match step {
                Step::Known(answer) => answer,
                Step::Asked(asking) => asking.await,
            }
        }
    }

    fn step(self: &Arc<Self>, name: &str) -> Step {
        if is_localhost(name) {
            return Step::Known(Ok(loopback()));
        }
        let mut state = self.state();
        if let Some(answer) = state.recall(name) {
            return Step::Known(answer);
        }
        if let Some(asking) = state.asked.get(name).and_then(|(_, asking)| asking.upgrade()) {
            return Step::Asked(asking);
        }
        state.look_ups += 1;
        let look_up = state.look_ups;
        let asking = self.ask(name, look_up).shared();
        if let Some(weak) = asking.downgrade() {
            state.asked.insert(name.into(), (look_up, weak));
        }
        Step::Asked(asking)
    }

    fn ask(self: &Arc<Self>, name: &str, look_up: u64) -> Asking {
        let under_way = UnderWay { cache: Arc::clone(self), name: name.into(), look_up };
        async move {
            let cache = &under_way.cache;
            // The semaphore is never closed.
            let _place = cache.places.acquire().await;
            let found = (cache.look_up)(under_way.name.clone()).await;
            cache.keep(&under_way.name, &found);
            found.answer
        }
        .boxed()
    }

    fn keep(&self, name: &str, found: &Found) {
        // What this machine lacks at the moment says nothing about a name.
        if found.is_unavailable() && no_descriptor().is_some() {
            return;
        }
        let known = Known { answer: found.answer.clone(), until: Instant::now() + found.holds };
        self.state().remember(name.into(), known);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn recall(&mut self, name: &str) -> Option<Answer> {
        let now = Instant::now();
        if let Some(known) = self.recent.get(name) {
            return (known.until > now).then(|| known.answer.clone());
        }
        let (name, known) = self.older.remove_entry(name)?;
        if known.until <= now {
            return None;
        }
        let answer = known.answer.clone();
        self.remember(name, known);
        Some(answer)
    }

    fn remember(&mut self, name: Box<str>, known: Known) {
        if self.recent.len() >= GENERATION && !self.recent.contains_key(&name) {
            self.older = mem::replace(&mut self.recent, HashMap::with_capacity(GENERATION / 16));
        }
        self.recent.insert(name, known);
    }
}

/// One look-up, from the moment somebody wants it to its end or to when the last one left.
struct UnderWay {
    cache: Arc<Cache>,
    name: Box<str>,
    look_up: u64,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.cache.state();
        // Another may have taken its place.
        if state.asked.get(&self.name).is_some_and(|(look_up, _)| *look_up == self.look_up) {
            state.asked.remove(&self.name);
        }
    }
}

/// Both families, as far as this machine has them.
fn loopback() -> Arc<[IpAddr]> {
    let both = [std::net::Ipv6Addr::LOCALHOST.into(), std::net::Ipv4Addr::LOCALHOST.into()];
    super::server::reachable_first(both.to_vec()).into()
}

/// A source for tests, whose answers hold for a minute.
#[cfg(test)]
pub(super) fn scripted(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> LookUp {
    Box::new(move |name| {
        let found = Found { answer: answer(&name), holds: Duration::from_mins(1) };
        Box::pin(std::future::ready(found))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(1, 2, 3, 4));

    /// A cache whose source takes a second for each name, counts, and says that its answers hold for so long.
    fn counting(found: impl Fn() -> Found + Send + Sync + 'static) -> (Arc<Cache>, Arc<AtomicUsize>) {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let look_up: LookUp = Box::new(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            let found = found();
            Box::pin(async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                found
            })
        });
        (Arc::new(Cache::new(look_up)), count)
    }

    fn one_address(seconds: u64) -> impl Fn() -> Found + Send + Sync {
        move || Found::addresses(vec![ADDRESS], Duration::from_secs(seconds))
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_used_as_long_as_it_holds() {
        // Said, and kept.
        for (said, kept) in [(0, 1), (30, 30), (90_000, 3600)] {
            let (cache, count) = counting(one_address(said));
            assert_eq!(cache.addresses("a.test").await.unwrap()[..], [ADDRESS]);
            tokio::time::advance(Duration::from_millis(kept * 1000 - 1)).await;
            cache.addresses("a.test").await.unwrap();
            assert_eq!(count.load(Ordering::Relaxed), 1, "{said}");
            tokio::time::advance(Duration::from_millis(2)).await;
            cache.addresses("a.test").await.unwrap();
            assert_eq!(count.load(Ordering::Relaxed), 2, "{said}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn denials_are_kept_and_failures_for_a_second() {
        let (cache, count) = counting(|| Found::nothing(Duration::from_hours(24)));
        let (failing, failures) = counting(|| Found::unavailable(Arc::new(std::io::Error::other("late"))));
        for (seconds, denied, failed) in [(0, 1, 1), (2, 1, 2), (290, 1, 3), (20, 2, 4)] {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            assert!(matches!(cache.addresses("a.test").await, Err(ResolveError::NotFound)));
            assert!(matches!(failing.addresses("a.test").await, Err(ResolveError::Unavailable(_))));
            assert_eq!((count.load(Ordering::Relaxed), failures.load(Ordering::Relaxed)), (denied, failed));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_looked_up_once_at_a_time() {
        let (cache, count) = counting(one_address(60));
        let all = futures_util::future::join_all((0..100).map(|_| cache.addresses("a.test"))).await;
        assert!(all.iter().all(Result::is_ok));
        assert_eq!(count.load(Ordering::Relaxed), 1);
        futures_util::future::join(cache.addresses("b.test"), cache.addresses("c.test")).await.0.unwrap();
        assert_eq!(count.load(Ordering::Relaxed), 3);
        assert!(cache.state().asked.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_does_not_take_the_look_up_along() {
        let (cache, count) = counting(one_address(60));
        // The one that asked first, and has driven it so far, is cut off in the middle.
        let first = tokio::time::timeout(Duration::from_millis(500), cache.addresses("a.test"));
        let (first, second) = futures_util::future::join(first, cache.addresses("a.test")).await;
        assert!(first.is_err() && second.is_ok());
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_up_that_nobody_waits_for_leaves_nothing_behind() {
        let (cache, count) = counting(one_address(60));
        tokio::time::timeout(Duration::from_millis(500), cache.addresses("a.test")).await.unwrap_err();
        drop(cache.addresses("b.test"));
        assert!(cache.state().asked.is_empty() && cache.state().recent.is_empty());
        cache.addresses("a.test").await.unwrap();
        assert_eq!(count.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_names_is_bounded() {
        let (cache, count) = counting(one_address(3600));
        let mut state = State::default();
        let known = Known { answer: Ok([ADDRESS].into()), until: Instant::now() + MOST };
        for number in 0..10 * GENERATION {
            state.remember(number.to_string().into(), known.clone());
            // One that is wanted again and again stays.
            assert!(state.recall("0").is_some(), "{number}");
        }
        assert!(state.recent.len() + state.older.len() <= 2 * GENERATION);
        assert!(state.recall("1").is_none());
        drop((cache, count));
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_look_ups_at_once_is_bounded() {
        let (cache, count) = counting(one_address(60));
        let names: Vec<_> = (0..=AT_ONCE).map(|number| format!("{number}.test")).collect();
        let all = futures_util::future::join_all(names.iter().map(|name| cache.addresses(name)));
        assert!(tokio::time::timeout(Duration::from_millis(500), all).await.is_err());
        assert_eq!(count.load(Ordering::Relaxed), AT_ONCE);
    }

    #[tokio::test]
    async fn localhost_is_asked_nowhere() {
        let cache = Arc::new(Cache::new(scripted(|name| panic!("{name} was asked"))));
        for name in ["localhost", "localhost.", "LOCALHOST", "a.b.localhost", "a.localhost."] {
            let found = cache.addresses(name).await.unwrap();
            assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback), "{name}");
        }
    }
}
