//! The fingerprint of a page's text: two SimHashes, so that pages with nearly the same text differ in few of their bits.
//!
//! Words are runs of letters in any script, in any case; numbers are runs of digits. What mixes both, as hashes do, is
//! neither. Each word and number counts once, wherever it stands: a list of fifty items is told by its items, and not by
//! the word that each of them begins with. Markup, scripts and styles are no text.

use super::near::{self, Kinds};
use crate::model::page::Fingerprint;

/// Places for words and numbers that were seen. Two that share one count as one: of a thousand that a page has, thirty are
/// lost, the same ones on each page that has them.
const PLACES: usize = 1 << 14;

/// The text of a page so far.
#[derive(Debug)]
pub(super) struct Text {
    seen: Box<[u64; PLACES / 64]>,
    words: Lanes,
    all: Lanes,
}

impl Default for Text {
    fn default() -> Self {
        Self { seen: Box::new([0; PLACES / 64]), words: Lanes::default(), all: Lanes::default() }
    }
}

impl Text {
    /// The text of a page from `start` to `end`, where words end. (A load may reach behind it, into the page.)
    pub(super) fn push(&mut self, page: &[u8], start: usize, end: usize) {
        let mut at = start;
        while at < end {
            let chunk = sixteen_at(page, at);
            let inside = if end - at < 16 { (1 << (end - at)) - 1 } else { 0xFFFF };
            let Kinds { letters, digits } = near::kinds(&chunk);
            let mut left = (letters | digits) & inside;
            at = loop {
                if left == 0 {
                    break at + 16;
                }
                let first = left.trailing_zeros();
                let behind = first + (!(left >> first)).trailing_zeros();
                if behind == 16 && at + 16 < end {
                    if first > 0 {
                        // It may go on behind the sixteen: once more from its beginning.
                        break at + first as usize;
                    }
                    break self.long(page, at, end);
                }
                let run = (1_u32 << behind) - (1 << first);
                self.run(low(&chunk, first, behind), (letters & run != 0, digits & run != 0));
                left &= !run;
            };
        }
    }

    /// A run of more than sixteen bytes. Returns where it ends.
    fn long(&mut self, page: &[u8], start: usize, end: usize) -> usize {
        let text = &page[start..end];
        let is_in_run = |byte: &u8| byte.is_ascii_alphanumeric() || !byte.is_ascii();
        let run = &text[..text.iter().position(|byte| !is_in_run(byte)).unwrap_or(text.len())];
        let has_digits = run.iter().any(u8::is_ascii_digit);
        let has_letters = run.iter().any(|byte| !byte.is_ascii_digit());
        let hash = run.chunks(16).fold(0, |hash, part| {
            let mut bytes = [0; 16];
            bytes[..part.len()].copy_from_slice(part);
            mixed(hash, u128::from_le_bytes(bytes) | spaces(part.len()))
        });
        self.add(hash, (has_letters, has_digits));
        start + run.len()
    }

    /// A run of up to sixteen bytes, as a number.
    fn run(&mut self, bytes: u128, kinds: (bool, bool)) {
        self.add(mixed(0, bytes), kinds);
    }

    /// `(letters, digits)`: what the run has.
    fn add(&mut self, hash: u64, (letters, digits): (bool, bool)) {
        if letters == digits {
            return;
        }
        let [low, high, ..] = hash.to_le_bytes();
        let place = usize::from(u16::from_le_bytes([low, high])) % PLACES;
        let (group, bit) = (&mut self.seen[place / 64], 1 << (place % 64));
        if *group & bit != 0 {
            return;
        }
        *group |= bit;
        self.all.add(hash);
        if letters {
            self.words.add(hash);
        }
    }

    /// None if there was neither word nor number.
    pub(super) fn fingerprint(&self) -> Option<Fingerprint> {
        (self.all.count > 0).then(|| Fingerprint { words: self.words.majority(), all: self.all.majority() })
    }
}

fn sixteen_at(page: &[u8], at: usize) -> [u8; 16] {
    page[at..].first_chunk().copied().unwrap_or_else(|| {
        let mut bytes = [0; 16];
        let rest = &page[at..];
        bytes[..rest.len()].copy_from_slice(rest);
        bytes
    })
}

/// The bytes from `first` to `behind` as a number, letters in lower case. Two other letters that fall together by it do no
/// harm, and a digit stays what it is.
fn low(chunk: &[u8; 16], first: u32, behind: u32) -> u128 {
    let len = (behind - first) as usize;
    let bytes = (u128::from_le_bytes(*chunk) >> (8 * first)) & (u128::MAX >> (128 - 8 * len));
    bytes | spaces(len)
}

/// So many spaces, from one to sixteen: the bit that tells `A` from `a`.
fn spaces(len: usize) -> u128 {
    u128::from_ne_bytes([b' '; 16]) >> (128 - 8 * len)
}

/// Sixteen bytes more of a run. The end is that of MurmurHash3, of which all bits depend on all.
fn mixed(hash: u64, bytes: u128) -> u64 {
    #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
    let (low, high) = (bytes as u64, (bytes >> 64) as u64);
    let one = (hash ^ low).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut mixed = (one ^ (one >> 32) ^ high.rotate_left(29)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 33)
}

/// Counters of 64 lanes, one bit plane after the other: a hash is added to all of them with as few steps as there are
/// planes that carry, seven in the mean, where 64 counters take 64.
#[derive(Debug, Default)]
struct Lanes {
    /// Enough for all [`PLACES`].
    planes: [u64; 15],
    count: u32,
}

impl Lanes {
    fn add(&mut self, hash: u64) {
        self.count += 1;
        let mut carry = hash;
        for plane in &mut self.planes {
            let overflow = *plane & carry;
            *plane ^= carry;
            carry = overflow;
            if carry == 0 {
                break;
            }
        }
    }

    /// The bits that more than half of the hashes have; 0 if there are none. All lanes are compared at once, from the
    /// highest plane down.
    fn majority(&self) -> u64 {
        let half = self.count / 2;
        let (mut more, mut equal) = (0, u64::MAX);
        for (place, plane) in self.planes.iter().enumerate().rev() {
            if half >> place & 1 == 1 {
                equal &= plane;
            } else {
                more |= equal & plane;
                equal &= !plane;
            }
        }
        more
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fingerprint(text: &str) -> Option<Fingerprint> {
        let mut words = Text::default();
        words.push(text.as_bytes(), 0, text.len());
        words.fingerprint()
    }

    /// Between words, and between words and numbers.
    fn distances(a: &str, b: &str) -> (u32, u32) {
        let (a, b) = (fingerprint(a).unwrap(), fingerprint(b).unwrap());
        ((a.words ^ b.words).count_ones(), (a.all ^ b.all).count_ones())
    }

    #[test]
    fn case_order_and_repeats_do_not_count() {
        assert_eq!(distances("Friday, 20 November 2026: nothing", "2026 nothing <NOVEMBER> friday 20 20"), (0, 0));
        let (words, all) = distances("Friday, 20 November 2026: nothing", "friday  7 NOVEMBER nothing 1a2b");
        assert!(words == 0 && all > 0, "{all}");
        assert_eq!(fingerprint("v1 <> 4f5e6d7c"), None, "neither word nor number");
        assert_ne!(fingerprint("Grüße"), fingerprint("Küsse"));
    }

    #[test]
    fn a_calendar_is_near_to_itself_and_a_shop_is_not() {
        let menu = "home news about contact search login cart help imprint language follow us newsletter";
        let page = |text: &str| format!("{menu} {text} add it to your cart");
        let (words, all) = distances(&page("friday 20 november 2026"), &page("friday 27 november 2026"));
        assert!(words == 0 && all <= 14, "{all}");
        let (one, other) = ("a red wooden chair with four legs", "the blue lamp that shines upon any desk");
        let (words, _) = distances(&page(one), &page(other));
        assert!(words > 3, "{words}");
        let list = |from: u32| page(&(from..from + 40).map(|n| format!("item {n}, ")).collect::<Vec<_>>().concat());
        let (words, all) = distances(&list(0), &list(40));
        assert!(words == 0 && all > 14, "{all}");
    }

    #[test]
    fn lanes_count_as_single_counters_would() {
        let mut lanes = Lanes::default();
        let hashes: Vec<u64> = (1..3000_u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        for hash in &hashes {
            lanes.add(*hash);
        }
        let is_in_most = |lane: &u32| {
            let ones = hashes.iter().filter(|hash| **hash >> lane & 1 == 1).count();
            2 * ones > hashes.len()
        };
        let expected = (0..64_u32).filter(is_in_most).fold(0, |bits, lane| bits | 1 << lane);
        assert_eq!(lanes.majority(), expected);
    }

    /// The runs of a text by a plain walk.
    fn runs(text: &[u8]) -> Vec<Vec<u8>> {
        let is_in_run = |byte: &u8| byte.is_ascii_alphanumeric() || !byte.is_ascii();
        let runs = text.split(|byte| !is_in_run(byte)).filter(|run| !run.is_empty());
        let is_one_kind = |run: &&[u8]| run.iter().all(u8::is_ascii_digit) || !run.iter().any(u8::is_ascii_digit);
        runs.filter(is_one_kind).map(<[u8]>::to_ascii_lowercase).collect()
    }

    proptest! {
        /// Runs of all lengths, at all places of the sixteen bytes and of the page.
        #[test]
        fn words_are_the_same_wherever_they_stand(
            text in "([a-cA-C0-1é]{0,40}[ -@<]{0,20}){0,8}", before in "[a-z ]{0,20}", behind in "[a-z0-9 ]{0,20}",
        ) {
            let page = [&before, &text, &behind].map(String::as_bytes).concat();
            let mut found = Text::default();
            found.push(&page, before.len(), before.len() + text.len());
            let mut expected = Text::default();
            for run in runs(text.as_bytes()) {
                expected.push(&run, 0, run.len());
            }
            prop_assert_eq!(found.fingerprint(), expected.fingerprint());
            prop_assert_eq!(found.all.count, expected.all.count);
            let unlike: std::collections::HashSet<_> = runs(text.as_bytes()).into_iter().collect();
            prop_assert_eq!(found.all.count as usize, unlike.len());
        }
    }

    #[test]
    fn a_page_without_an_end_is_known_by_its_beginning() {
        let long: String = (0..200_000).map(|n| format!("{n} ")).collect::<Vec<_>>().concat();
        let mut words = Text::default();
        words.push(long.as_bytes(), 0, long.len());
        assert_eq!(words.all.count as usize, PLACES);
        assert!(words.fingerprint().is_some());
    }
}
