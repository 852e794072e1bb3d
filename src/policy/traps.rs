//! Traps: parts of a site that never end, because pages make up ever new URLs of pages like themselves.
//!
//! It decides which links are not worth a request, and which go behind everything else first. It never fetches, and never
//! judges a URL that a person typed or a sitemap names. Called by the engine for each new link, for each page of a crawl,
//! and when the turn of a doubtful URL comes.
//!
//! Two kinds of evidence:
//!
//! - **Growth** ([`growth`]), seen from two URLs alone: a link that is longer, deeper, or repeats more of itself than any
//!   honest URL does, on a page whose own URL was on that way already. Such a link is refused at once.
//! - **Repetition** ([`Traps`]). A page *repeats* if it leads to new URLs and its text is a near-duplicate of another page
//!   of its pattern (digits, hashes and words masked), or if it leads nowhere but to new URLs of its own pattern. A URL's
//!   *strand* is how many pages that repeat lie behind it, one after the other. Honest sites, however large and however
//!   alike their pages, are wide and not deep: a shop's pages stand in its categories, a manual's in its contents. Where
//!   pages are far from everything and say something each, the strand stays short. So a strand is doubted only when it
//!   is long: `patience` below. What is doubted is asked behind everything else; and when `limit` such pages of one pattern
//!   have been asked and led on, the rest of them is refused. A page that turns out to say something cuts the strand
//!   short, and its links are asked as any other.
//!
//! A session id makes new URLs of old pages: the first URL of a kind that differs from all before it by more than a hash
//! is never doubted, so each page is asked at least once, whatever it is called this time.
//!
//! Text is looked at only where it can matter ([`wants_words`]): from the third page of a strand on, and where URLs have
//! hashes. The fingerprint is a SimHash (Charikar, "Similarity estimation techniques from rounding algorithms", 2002) of
//! the page's text; 3 of 64 bits as the distance of near-duplicates is what Manku, Jain and Das Sarma measured on 8
//! billion pages ("Detecting near-duplicates for web crawling", 2007).

use std::time::Duration;

use foldhash::{HashMap, HashSet};
use xxhash_rust::xxh3::xxh3_64;

use crate::model::page::Fingerprint;
use crate::model::url::{host_key_of, origin_of};

/// Bits by which the words of near-duplicates differ at most, and their words with numbers: a calendar has another date on
/// each page, a list of numbered items has other numbers throughout.
const NEAR: u32 = 3;
const NEAR_WITH_NUMBERS: u32 = 14;

/// Pages that repeat, one after the other, from which on their texts are looked at.
const LOOK: u16 = 3;

/// Beyond so many, whatever is found counts as part of the trap.
const DEEP: u16 = 20;

/// By how much a page that says something shortens its strand: more than one that repeats makes it longer.
const RELIEF: u16 = 2;

/// Fingerprints kept of a pattern: a calendar that names days and months has about as many kinds of pages.
const KEPT_TEXTS: usize = 32;

/// Patterns kept of a host, and hosts with patterns; the least used is forgotten. About 350 bytes each.
const PATTERNS: usize = 256;
const HOSTS: usize = 128;

/// Hashed URLs whose kind is remembered; then all are forgotten.
const SKELETONS: usize = 1 << 18;

/// Parameters whose value is a session, whatever it looks like.
const SESSIONS: [&str; 11] = [
    "sid",
    "session",
    "sessionid",
    "session_id",
    "session-id",
    "sessid",
    "phpsessid",
    "jsessionid",
    "aspsessionid",
    "cfid",
    "cftoken",
];

/// Why a link is not worth a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Trap {
    /// More than 2,048 bytes, on a page whose URL has more than 1,024.
    LongUrl,
    /// More than 24 segments in the path, on a page that has more than 16.
    ManySegments,
    /// Segments of the path that repeat over and over (`/a/b/a/b/a/b`), once more than those of the page.
    RepeatedSegments,
    /// More than 16 parameters, on a page that has more than 12; or one three times, on a page that has it twice.
    GrowingQuery,
    /// Pages of its pattern only repeat themselves and lead on.
    RepeatingPattern,
}

impl Trap {
    /// The word for logs and the summary.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LongUrl => "long_url",
            Self::ManySegments => "many_segments",
            Self::RepeatedSegments => "repeated_segments",
            Self::GrowingQuery => "growing_query",
            Self::RepeatingPattern => "repeating_pattern",
        }
    }
}

/// Whether a link's URL shows by itself that it grows from page to page. Both are canonical; `source` is the page it
/// stands on.
#[must_use]
pub fn growth(url: &str, source: &str) -> Option<Trap> {
    if url.len() > 2048 && source.len() > 1024 {
        return Some(Trap::LongUrl);
    }
    let (path, query) = path_and_query(url);
    // Most URLs have neither, and this is asked for every new link.
    let depth = memchr::memchr_iter(b'/', path.as_bytes()).count();
    if depth >= 4 {
        let (source, _) = path_and_query(source);
        if depth > 24 && memchr::memchr_iter(b'/', source.as_bytes()).count() > 16 {
            return Some(Trap::ManySegments);
        }
        if repeats_segments(path, 0) && repeats_segments(source, 1) {
            return Some(Trap::RepeatedSegments);
        }
    }
    if memchr::memchr(b'&', query.as_bytes()).is_some() {
        let (_, source) = path_and_query(source);
        let (pairs, most) = pairs_and_repeats(query);
        let (source_pairs, source_most) = pairs_and_repeats(source);
        if (pairs > 16 && source_pairs > 12) || (most >= 3 && source_most >= 2) {
            return Some(Trap::GrowingQuery);
        }
    }
    None
}

fn path_and_query(url: &str) -> (&str, &str) {
    let rest = &url[origin_of(url).len()..];
    rest.split_once('?').unwrap_or((rest, ""))
}

/// Whether one segment stands four times in a row, or up to four segments three times; `less` times fewer. Numbers alone
/// (tiles of a map: `/0/0/0/0`) do not count.
fn repeats_segments(path: &str, less: usize) -> bool {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).take(64).collect();
    (1..=4).any(|period| {
        let times = if period == 1 { 4 } else { 3 } - less;
        let mut matches = 0;
        (period..segments.len()).any(|place| {
            matches = if segments[place] == segments[place - period] { matches + 1 } else { 0 };
            let cycle = &segments[place + 1 - period..=place];
            matches >= (times - 1) * period
                && cycle.iter().any(|segment| segment.bytes().any(|byte| byte.is_ascii_alphabetic()))
        })
    })
}

/// How many parameters a query has, and how often the commonest pair stands there.
fn pairs_and_repeats(query: &str) -> (usize, usize) {
    let mut pairs: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty()).take(64).collect();
    pairs.sort_unstable();
    let most = pairs.chunk_by(|a, b| a == b).map(<[_]>::len).max().unwrap_or(0);
    (pairs.len(), most)
}

/// What the variable parts of a URL are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Words alone.
    Words,
    /// So many groups of digits, none of them long.
    Numbers(u8),
    /// A number of six digits or more among them: no site counts that far in small steps.
    LongNumbers(u8),
    /// Hashes, uuids, session ids: there are always new ones.
    Hashes,
}

impl Class {
    /// The strand up to which URLs are not doubted. Pages with one number may be a tree that is numbered through, which is
    /// no deeper than 20 up to a million pages; with three numbers even a cube of them is reached in few steps.
    fn patience(self) -> u16 {
        match self {
            Self::Words | Self::Numbers(0 | 1) | Self::LongNumbers(0 | 1) => DEEP,
            Self::Numbers(2) | Self::LongNumbers(2) => 10,
            Self::Numbers(_) | Self::LongNumbers(_) => 6,
            Self::Hashes => LOOK + 1,
        }
    }

    /// The strand up to which URLs are not doubted once many pages of their pattern have repeated. Short numbers count as
    /// ever: a large tree that is numbered through cannot be told from a trap by its number of pages.
    fn impatience(self) -> u16 {
        match self {
            Self::Words | Self::LongNumbers(_) => LOOK,
            Self::Numbers(_) => self.patience(),
            Self::Hashes => 0,
        }
    }

    /// Whether a URL is doubted; `many` pages of its pattern have repeated, or not.
    fn doubts(self, strand: u16, many: bool) -> bool {
        strand > if many { self.impatience() } else { self.patience() }
    }
}

/// A URL with its variable parts masked.
#[derive(Debug, PartialEq, Eq)]
struct Masked {
    /// `h.test/calendar/##` of `http://h.test/calendar/2026-11`: host and first directory as they are, then `#` for each
    /// group of digits, `*` for a hash, `w` for words.
    pattern: String,
    class: Class,
}

impl Masked {
    fn key(&self) -> u64 {
        xxh3_64(self.pattern.as_bytes())
    }
}

/// What a segment or a value is.
enum Part {
    Words,
    Digits { groups: u8, long: bool },
    Hash,
}

fn mask(url: &str) -> Masked {
    let (path, query) = path_and_query(url);
    let mut pattern = String::with_capacity(url.len());
    pattern.push_str(host_key_of(url));
    let (mut groups, mut has_long, mut hashes) = (0_u8, false, false);
    let mut push = |pattern: &mut String, part: Part| match part {
        Part::Words => pattern.push('w'),
        Part::Digits { groups: more, long } => {
            groups = groups.saturating_add(more);
            has_long |= long;
            pattern.extend((0..more).map(|_| '#'));
        }
        Part::Hash => {
            hashes = true;
            pattern.push('*');
        }
    };
    let mut segments = path.split('/').skip(1).peekable();
    let mut is_first = true;
    while let Some(segment) = segments.next() {
        pattern.push('/');
        let (name, parameter) = segment.split_once(';').unwrap_or((segment, ""));
        match part(name) {
            Part::Words if name.is_empty() => {}
            Part::Words if is_first && segments.peek().is_some() => pattern.push_str(name),
            part => push(&mut pattern, part),
        }
        if !parameter.is_empty() {
            pattern.push(';');
            push(&mut pattern, pair_part(parameter));
        }
        is_first = false;
    }
    for (place, pair) in query.split('&').filter(|pair| !pair.is_empty()).enumerate() {
        pattern.push(if place == 0 { '?' } else { '&' });
        let key = pair.split('=').next().unwrap_or_default();
        match part(key) {
            Part::Words => pattern.push_str(key),
            part => push(&mut pattern, part),
        }
        if pair.len() > key.len() {
            pattern.push('=');
            push(&mut pattern, pair_part(pair));
        }
    }
    let class = match groups {
        _ if hashes => Class::Hashes,
        0 => Class::Words,
        groups if has_long => Class::LongNumbers(groups),
        groups => Class::Numbers(groups),
    };
    Masked { pattern, class }
}

/// The value of a parameter; that of a session is a hash, whatever it looks like.
fn pair_part(pair: &str) -> Part {
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    if SESSIONS.iter().any(|session| key.eq_ignore_ascii_case(session)) { Part::Hash } else { part(value) }
}

fn part(text: &str) -> Part {
    if is_uuid(text) {
        return Part::Hash;
    }
    let (mut groups, mut long) = (0_u8, false);
    for (run, follows_escape) in alphanumeric_runs(text) {
        // The first two characters behind a percent sign are a byte, not a number.
        let run = if follows_escape { run.get(2..).unwrap_or_default() } else { run };
        let digits = run.bytes().filter(u8::is_ascii_digit).count();
        if digits == 0 {
            continue;
        }
        if is_hash(run, digits) {
            return Part::Hash;
        }
        groups = groups.saturating_add(1);
        long |= digits >= 6;
    }
    if groups == 0 { Part::Words } else { Part::Digits { groups, long } }
}

/// Runs of letters and digits, each with whether a percent sign stands before it.
fn alphanumeric_runs(text: &str) -> impl Iterator<Item = (&str, bool)> {
    let mut before = 0;
    text.split(|c: char| !c.is_ascii_alphanumeric()).filter_map(move |run| {
        let start = before;
        before += run.len() + 1;
        (!run.is_empty()).then(|| (run, start > 0 && text.as_bytes().get(start - 1) == Some(&b'%')))
    })
}

/// A number no counter reaches, a hexadecimal text with both digits and letters, or a long mixture.
fn is_hash(run: &str, digits: usize) -> bool {
    let letters = run.len() - digits;
    match letters {
        0 => run.len() >= 14,
        _ if run.len() >= 16 => digits >= 2 && letters >= 2,
        _ => run.len() >= 8 && run.bytes().all(|byte| byte.is_ascii_hexdigit()),
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// A URL with its hashes masked and nothing else: what it is the same page by, if hashes are sessions.
fn skeleton(url: &str) -> u64 {
    let (path, query) = path_and_query(url);
    let mut text = String::with_capacity(url.len());
    text.push_str(host_key_of(url));
    for segment in path.split('/').skip(1) {
        text.push('/');
        for (place, part_of) in segment.split(';').enumerate() {
            let found = if place == 0 { part(part_of) } else { pair_part(part_of) };
            text.push_str(if matches!(found, Part::Hash) { ";*" } else { part_of });
        }
    }
    for pair in query.split('&') {
        text.push('&');
        match pair_part(pair) {
            Part::Hash => text.push_str(pair.split('=').next().unwrap_or_default()),
            _ => text.push_str(pair),
        }
    }
    xxh3_64(text.as_bytes())
}

/// Whether the words of this page are to be looked at: [`Traps::page`] wants their fingerprint.
#[must_use]
pub fn wants_words(url: &str, strand: u16) -> bool {
    strand >= LOOK || mask(url).class == Class::Hashes
}

/// What was seen of a page beside its links.
#[derive(Debug, Clone, Copy, Default)]
pub struct Evidence {
    /// The fingerprint of its text; None if it has none, or [`wants_words`] did not ask for it.
    pub words: Option<Fingerprint>,
    /// How long the request took that brought it.
    pub took: Duration,
}

/// Where a new link stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Pages that repeat behind it.
    pub strand: u16,
    /// It goes behind everything else.
    pub deferred: bool,
}

/// What becomes of a URL whose turn has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    Ask,
    /// Behind everything else.
    Defer,
    Refuse,
}

/// What is known of one pattern.
#[derive(Debug, Default)]
struct Pattern {
    texts: Vec<Fingerprint>,
    /// The next place in `texts`, once it is full.
    next: usize,
    /// Pages that were looked at, and repeat.
    repeats: u32,
    /// Pages that were doubted, asked all the same, and proved the doubt right.
    proofs: u32,
    told: bool,
    last_use: u64,
}

impl Pattern {
    /// Whether there was a page with nearly this text; if not it is remembered.
    fn has_text(&mut self, text: Fingerprint) -> bool {
        let is_near = |other: &Fingerprint| {
            (other.words ^ text.words).count_ones() <= NEAR && (other.all ^ text.all).count_ones() <= NEAR_WITH_NUMBERS
        };
        if self.texts.iter().any(is_near) {
            return true;
        }
        if self.texts.len() < KEPT_TEXTS {
            self.texts.push(text);
        } else {
            self.texts[self.next] = text;
            self.next = (self.next + 1) % KEPT_TEXTS;
        }
        false
    }
}

#[derive(Debug, Default)]
struct Site {
    patterns: HashMap<u64, Pattern>,
    last_use: u64,
}

/// The evidence of a run. Bounded: 128 hosts with 256 patterns each, and 4 MB for hashed URLs.
#[derive(Debug)]
pub struct Traps {
    /// Doubted pages of one pattern that are asked (`--max-per-pattern`).
    limit: u32,
    sites: HashMap<u64, Site>,
    skeletons: HashSet<u64>,
    uses: u64,
    /// Something has been doubted: before that nothing is looked up when a URL's turn comes.
    is_wary: bool,
}

impl Traps {
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self { limit, sites: HashMap::default(), skeletons: HashSet::default(), uses: 0, is_wary: false }
    }

    /// A page has been read: the strand of its links. `links` counts all of them, and `new` are those nobody had found
    /// before.
    pub fn page<'a>(
        &mut self,
        url: &str,
        strand: u16,
        evidence: Evidence,
        links: usize,
        mut new: impl ExactSizeIterator<Item = &'a str>,
    ) -> u16 {
        if new.len() == 0 {
            return 0;
        }
        let masked = mask(url);
        if strand < LOOK && masked.class != Class::Hashes {
            return strand + 1;
        }
        let only_onwards = new.len() == links && new.all(|link| mask(link).pattern == masked.pattern);
        let limit = self.limit;
        let pattern = self.pattern(url, &masked);
        // A page without words says nothing.
        let is_known = evidence.words.is_none_or(|words| pattern.has_text(words));
        if !is_known && !only_onwards {
            return strand.saturating_sub(RELIEF);
        }
        pattern.repeats += 1;
        let weight = weight(evidence.took);
        let many = pattern.repeats > limit;
        if masked.class.doubts(strand, many) {
            // Of those that are deep one was counted when they were asked.
            pattern.proofs = pattern.proofs.saturating_add(u32::from(weight - u16::from(strand > DEEP)));
        }
        self.is_wary |= many;
        strand.saturating_add(weight)
    }

    /// A new link, with the strand that its page gives it.
    pub fn link(&mut self, url: &str, strand: u16) -> Standing {
        let masked = mask(url);
        if masked.class == Class::Hashes {
            if self.skeletons.len() >= SKELETONS {
                self.skeletons.clear();
            }
            if self.skeletons.insert(skeleton(url)) {
                return Standing { strand: 0, deferred: false };
            }
        }
        let deferred = self.is_doubted(url, &masked, strand);
        self.is_wary |= deferred;
        Standing { strand, deferred }
    }

    /// The turn of a URL that nobody has asked yet has come.
    #[must_use]
    pub fn turn(&self, url: &str, standing: Standing) -> Turn {
        if !self.is_wary {
            return Turn::Ask;
        }
        let masked = mask(url);
        if !standing.deferred {
            return if self.is_doubted(url, &masked, standing.strand) { Turn::Defer } else { Turn::Ask };
        }
        let proofs = self.known(url, &masked).map_or(0, |pattern| pattern.proofs);
        if proofs >= self.limit { Turn::Refuse } else { Turn::Ask }
    }

    /// A deferred URL is asked. Where it is no deeper than it should be, only what it turns out to be counts: an album of
    /// photographs without words is not a trap, as long as none of them leads on.
    pub fn asked(&mut self, url: &str, strand: u16) {
        if strand > DEEP {
            let masked = mask(url);
            self.pattern(url, &masked).proofs += 1;
        }
    }

    /// The pattern of a URL that is refused, the first time that one of the pattern is.
    pub fn tell_once(&mut self, url: &str) -> Option<String> {
        let masked = mask(url);
        let told = std::mem::replace(&mut self.pattern(url, &masked).told, true);
        (!told).then_some(masked.pattern)
    }

    fn is_doubted(&self, url: &str, masked: &Masked, strand: u16) -> bool {
        let many = || self.known(url, masked).is_some_and(|pattern| pattern.repeats > self.limit);
        masked.class.doubts(strand, false) || (masked.class.doubts(strand, true) && many())
    }

    fn known(&self, url: &str, masked: &Masked) -> Option<&Pattern> {
        self.sites.get(&xxh3_64(host_key_of(url).as_bytes()))?.patterns.get(&masked.key())
    }

    fn pattern(&mut self, url: &str, masked: &Masked) -> &mut Pattern {
        self.uses += 1;
        let uses = self.uses;
        let host = xxh3_64(host_key_of(url).as_bytes());
        if self.sites.len() >= HOSTS && !self.sites.contains_key(&host) {
            forget_least_used(&mut self.sites, |site| site.last_use);
        }
        let site = self.sites.entry(host).or_default();
        site.last_use = uses;
        let key = masked.key();
        if site.patterns.len() >= PATTERNS && !site.patterns.contains_key(&key) {
            forget_least_used(&mut site.patterns, |pattern| pattern.last_use);
        }
        let pattern = site.patterns.entry(key).or_default();
        pattern.last_use = uses;
        pattern
    }
}

/// What a page that repeats counts for: one that drips in half a minute as much as 15, so that a tarpit costs minutes, not
/// hours. A slow host is not a trap: below 10 s time does not count.
fn weight(took: Duration) -> u16 {
    match took.as_secs() {
        0..10 => 1,
        seconds => u16::try_from(seconds / 2).unwrap_or(u16::MAX),
    }
}

fn forget_least_used<T>(table: &mut HashMap<u64, T>, last_use: impl Fn(&T) -> u64) {
    if let Some(key) = table.iter().min_by_key(|(_, entry)| last_use(entry)).map(|(key, _)| *key) {
        table.remove(&key);
    }
}

#[cfg(test)]
mod tests;
