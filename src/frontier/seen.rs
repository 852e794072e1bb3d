//! The seen set: which canonical URLs have been claimed in this run.
//!
//! It keeps a 64-bit fingerprint of each URL (XXH3 with a seed of the run), not the text. It never says "new" twice for
//! one URL. It may say "seen" for a URL that is new, if two URLs share a fingerprint: with n URLs about n²/2⁶⁵ of them
//! are lost, which is 3·10⁻⁶ of a page expected in a run of 10 million URLs, and 0.03 of a page in a run of 1,000
//! million. The seed differs from run to run, so that nobody can publish two URLs that always collide.
//!
//! Called by the engine when a URL has passed scope and depth. It decides nothing about either.
//!
//! The set is cut into segments by the top bits of the fingerprint, each an open-addressing table that grows alone, by
//! half: growth copies a thousandth of the set at a time, and the whole takes 10 to 15 bytes for each URL. With a limit,
//! what would go beyond it goes to sorted runs in temporary files (`runs`), and memory begins anew.

use std::io;
use std::path::PathBuf;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use self::runs::Runs;

mod runs;

const SEGMENT_BITS: u32 = 10;
const FIRST_CAPACITY: usize = 16;
/// Stands for a free place in a table; the one fingerprint that equals it has a flag of its own.
const FREE: u64 = 0;

/// An exact set of 64-bit fingerprints of URLs.
pub struct Seen {
    seed: u64,
    segments: Box<[Segment]>,
    has_zero: bool,
    len: usize,
    /// Bytes of all tables, and what they may take.
    bytes: usize,
    limit: usize,
    runs: Runs,
    /// The first failure of a file.
    failure: Option<io::Error>,
}

/// Where a limited set goes.
#[derive(Debug, Clone, Default)]
pub struct SeenLimit {
    /// Bytes of memory; None: no limit.
    pub bytes: Option<usize>,
    /// Where temporary files are made; None is the system's directory for them.
    pub dir: Option<PathBuf>,
}

#[derive(Default)]
struct Segment {
    places: Vec<u64>,
    len: usize,
}

impl Default for Seen {
    /// Without a seed of its own: for what is never filled.
    fn default() -> Self {
        Self {
            seed: 0,
            segments: Box::default(),
            has_zero: false,
            len: 0,
            bytes: 0,
            limit: usize::MAX,
            runs: Runs::default(),
            failure: None,
        }
    }
}

impl Seen {
    /// An empty set; `seed` should be random and is kept for the run.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::limited(seed, SeenLimit::default())
    }

    /// The same within a limit of memory, which is kept to the size of one segment.
    #[must_use]
    pub fn limited(seed: u64, limit: SeenLimit) -> Self {
        let segments = (0..1 << SEGMENT_BITS).map(|_| Segment::default()).collect();
        let runs = Runs::new(limit.dir);
        Self { seed, segments, limit: limit.bytes.unwrap_or(usize::MAX), runs, ..Self::default() }
    }

    /// The first failure of a temporary file, once: a URL may have been taken for new that is not.
    pub fn take_failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }

    /// Marks a canonical URL as seen. True if it was not seen before.
    pub fn claim(&mut self, canonical: &str) -> bool {
        let fingerprint = self.fingerprint(canonical);
        self.insert(fingerprint)
    }

    /// Whether a canonical URL has been claimed.
    #[must_use]
    pub fn contains(&self, canonical: &str) -> bool {
        let fingerprint = self.fingerprint(canonical);
        if fingerprint == FREE {
            return self.has_zero;
        }
        let segment = &self.segments[segment_of(fingerprint)];
        (!segment.places.is_empty() && segment.find(fingerprint).is_ok())
            // A file that cannot be read has told so, or will when a URL is claimed.
            || (self.runs.len() > 0 && self.runs.contains(fingerprint).unwrap_or(false))
    }

    /// How many different URLs have been claimed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn fingerprint(&self, canonical: &str) -> u64 {
        xxh3_64_with_seed(canonical.as_bytes(), self.seed)
    }

    fn insert(&mut self, fingerprint: u64) -> bool {
        let new = if fingerprint == FREE {
            !std::mem::replace(&mut self.has_zero, true)
        } else if self.runs.len() > 0 {
            self.insert_beside_runs(fingerprint)
        } else {
            self.insert_in_memory(fingerprint)
        };
        self.len += usize::from(new);
        new
    }

    fn insert_in_memory(&mut self, fingerprint: u64) -> bool {
        let segment = &mut self.segments[segment_of(fingerprint)];
        let before = segment.places.len();
        let new = segment.insert(fingerprint);
        self.bytes += (segment.places.len() - before) * size_of::<u64>();
        if self.bytes > self.limit {
            self.spill();
        }
        new
    }

    fn insert_beside_runs(&mut self, fingerprint: u64) -> bool {
        let segment = &self.segments[segment_of(fingerprint)];
        if !segment.places.is_empty() && segment.find(fingerprint).is_ok() {
            return false;
        }
        match self.runs.contains(fingerprint) {
            Ok(true) => return false,
            Ok(false) => {}
            Err(error) => drop(self.failure.get_or_insert(error)),
        }
        self.insert_in_memory(fingerprint)
    }

    /// Moves everything to a run. If the disk does not take it, it stays, and is tried again when an eighth more is there.
    fn spill(&mut self) {
        let sorted = self.segments.iter().flat_map(Segment::sorted);
        match self.runs.add(sorted) {
            Ok(()) => {
                self.segments.iter_mut().for_each(|segment| *segment = Segment::default());
                self.bytes = 0;
            }
            Err(error) => {
                tracing::warn!(%error, "the seen set cannot be written to a temporary file: it stays in memory");
                self.limit = self.bytes + self.bytes / 8;
            }
        }
    }
}

fn segment_of(fingerprint: u64) -> usize {
    (fingerprint >> (64 - SEGMENT_BITS)) as usize
}

impl Segment {
    fn sorted(&self) -> Vec<u64> {
        let mut all: Vec<u64> = self.places.iter().copied().filter(|fingerprint| *fingerprint != FREE).collect();
        all.sort_unstable();
        all
    }

    /// Where a fingerprint stands, or else the free place where it would go. The table must have a free place.
    fn find(&self, fingerprint: u64) -> Result<usize, usize> {
        // The 32 bits below the segment's, scaled to the capacity: it need not be a power of two.
        let wide = ((fingerprint << SEGMENT_BITS) >> 32) * self.places.len() as u64;
        let mut place = (wide >> 32) as usize;
        loop {
            match self.places[place] {
                FREE => return Err(place),
                found if found == fingerprint => return Ok(place),
                _ => place = if place + 1 == self.places.len() { 0 } else { place + 1 },
            }
        }
    }

    fn insert(&mut self, fingerprint: u64) -> bool {
        // Above 4/5 the runs of taken places become long.
        if (self.len + 1) * 5 > self.places.len() * 4 {
            self.grow();
        }
        match self.find(fingerprint) {
            Ok(_) => false,
            Err(place) => {
                self.places[place] = fingerprint;
                self.len += 1;
                true
            }
        }
    }

    fn grow(&mut self) {
        let capacity = (self.places.len() + self.places.len() / 2).max(FIRST_CAPACITY);
        let old = std::mem::replace(&mut self.places, vec![FREE; capacity]);
        for fingerprint in old.into_iter().filter(|&fingerprint| fingerprint != FREE) {
            if let Err(place) = self.find(fingerprint) {
                self.places[place] = fingerprint;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn agrees_with_a_hash_set_over_random_urls() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut seen = Seen::new(random.u64(..));
        let mut model = HashSet::new();
        for _ in 0..300_000 {
            // A third of them come again.
            let url = format!("https://h{}.example/{}", random.u32(..50), random.u32(..4000));
            assert_eq!(seen.contains(&url), model.contains(&url));
            assert_eq!(seen.claim(&url), model.insert(url.clone()));
            assert!(seen.contains(&url));
        }
        assert_eq!(seen.len(), model.len());
        assert!(!seen.contains("https://never.example/"));
    }

    #[test]
    fn a_limit_is_kept_by_runs_and_loses_nothing() {
        let mut random = fastrand::Rng::with_seed(11);
        let limit = 400_000;
        let mut seen = Seen::limited(random.u64(..), SeenLimit { bytes: Some(limit), dir: None });
        let mut model = HashSet::new();
        let (mut most_runs, mut most) = (0, 0);
        for _ in 0..600_000 {
            let url = format!("https://h{}.example/{}", random.u32(..50), random.u32(..8000));
            assert_eq!(seen.claim(&url), model.insert(url.clone()));
            most_runs = most_runs.max(seen.runs.len());
            most = most.max(seen.bytes);
        }
        assert_eq!(seen.len(), model.len());
        assert!(model.iter().all(|url| seen.contains(url)) && !seen.contains("https://never.example/"));
        assert!((2..8).contains(&most_runs), "{most_runs} runs at most");
        // 300,000 URLs would take 3 MB.
        assert!(most < limit + 50_000, "{most} bytes at most");
        assert!(seen.take_failure().is_none());
    }

    #[test]
    fn a_disk_that_takes_nothing_costs_memory_and_no_url() {
        let dir = Some("/nonexistent/directory".into());
        let mut seen = Seen::limited(3, SeenLimit { bytes: Some(200_000), dir });
        assert!((0..50_000).all(|n| seen.claim(&format!("http://a/{n}"))));
        assert!((0..50_000).all(|n| !seen.claim(&format!("http://a/{n}"))));
        assert_eq!(seen.runs.len(), 0);
    }

    #[test]
    fn grows_in_small_steps_and_stays_small() {
        let mut seen = Seen::new(1);
        let mut random = fastrand::Rng::with_seed(2);
        let fingerprints: Vec<u64> = (0..1_000_000).map(|_| random.u64(1..)).collect();
        assert!(fingerprints.iter().all(|&fingerprint| seen.insert(fingerprint)));
        assert!(fingerprints.iter().all(|&fingerprint| !seen.insert(fingerprint)));
        assert_eq!(seen.len(), 1_000_000);
        let bytes: usize = seen.segments.iter().map(|segment| segment.places.len() * 8).sum();
        assert!((10_000_000..=16_000_000).contains(&bytes), "{bytes}");
        let largest = seen.segments.iter().map(|segment| segment.places.len() * 8).max().unwrap();
        assert!(largest * 500 < bytes, "one segment holds {largest} of {bytes} bytes");
    }

    #[test]
    fn the_reserved_fingerprint_is_a_member_like_any_other() {
        let mut seen = Seen::new(0);
        assert!(seen.is_empty());
        assert!(seen.insert(FREE));
        assert!(!seen.insert(FREE));
        assert_eq!(seen.len(), 1);
        // The same segment, and a place next to it.
        assert!(seen.insert(1));
        assert!(!seen.insert(1));
        assert_eq!(seen.len(), 2);
    }

    #[test]
    fn fingerprints_that_share_their_place_are_told_apart() {
        let mut seen = Seen::new(0);
        // All in the last place of one segment: the probe wraps around, through several growths.
        let crowd: Vec<u64> = (0..1000).map(|low| u64::MAX - low).collect();
        assert!(crowd.iter().all(|&fingerprint| seen.insert(fingerprint)));
        assert!(crowd.iter().all(|&fingerprint| !seen.insert(fingerprint)));
    }

    #[test]
    fn the_seed_changes_the_fingerprints() {
        assert_ne!(Seen::new(1).fingerprint("http://a/"), Seen::new(2).fingerprint("http://a/"));
    }
}
