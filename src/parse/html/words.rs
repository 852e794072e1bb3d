//! The fingerprint of a page's text: two SimHashes, so that pages with nearly the same text differ in few of their bits.
//!
//! Words are runs of letters in any script, in any case; numbers are runs of digits. What mixes both, as hashes do, is
//! neither. Each word and number counts once, wherever it stands: a list of fifty items is told by its items, and not by
//! the word that each of them begins with. Markup, scripts and styles are no text.

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

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Gap,
    Letter,
    Digit,
}

const KINDS: [Kind; 256] = {
    let mut kinds = [Kind::Gap; 256];
    let mut byte: u8 = 0;
    loop {
        if !byte.is_ascii() || byte.is_ascii_alphabetic() {
            kinds[byte as usize] = Kind::Letter;
        } else if byte.is_ascii_digit() {
            kinds[byte as usize] = Kind::Digit;
        }
        if byte == u8::MAX {
            break kinds;
        }
        byte += 1;
    }
};

impl Default for Text {
    fn default() -> Self {
        Self { seen: Box::new([0; PLACES / 64]), words: Lanes::default(), all: Lanes::default() }
    }
}

impl Text {
    /// A piece of text, at whose ends words end.
    pub(super) fn push(&mut self, text: &[u8]) {
        const START: u64 = 0xcbf2_9ce4_8422_2325;
        let (mut hash, mut letters, mut digits) = (START, false, false);
        // A gap behind the last word ends it as any other.
        for &byte in text.iter().chain(b" ") {
            let kind = KINDS[usize::from(byte)];
            if kind == Kind::Gap {
                if letters != digits {
                    self.add(hash, letters);
                }
                (hash, letters, digits) = (START, false, false);
                continue;
            }
            letters |= kind == Kind::Letter;
            digits |= kind == Kind::Digit;
            // Folds ASCII; two other letters that fall together by it do no harm.
            hash = (hash ^ u64::from(byte | 0x20)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn add(&mut self, hash: u64, is_word: bool) {
        // FNV leaves the upper bits of short words alike; this is the end of MurmurHash3.
        let mut mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        mixed ^= mixed >> 33;
        let [low, high, ..] = mixed.to_le_bytes();
        let place = usize::from(u16::from_le_bytes([low, high])) % PLACES;
        let (group, bit) = (&mut self.seen[place / 64], 1 << (place % 64));
        if *group & bit != 0 {
            return;
        }
        *group |= bit;
        self.all.add(mixed);
        if is_word {
            self.words.add(mixed);
        }
    }

    /// None if there was neither word nor number.
    pub(super) fn fingerprint(&self) -> Option<Fingerprint> {
        (self.all.count > 0).then(|| Fingerprint { words: self.words.majority(), all: self.all.majority() })
    }
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

    fn ones(&self, lane: usize) -> u32 {
        self.planes.iter().enumerate().map(|(place, plane)| u32::from(plane >> lane & 1 == 1) << place).sum()
    }

    /// The bits that more than half of the hashes have; 0 if there are none.
    fn majority(&self) -> u64 {
        (0..64).filter(|lane| 2 * self.ones(*lane) > self.count).fold(0, |bits, lane| bits | 1 << lane)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(text: &str) -> Option<Fingerprint> {
        let mut words = Text::default();
        words.push(text.as_bytes());
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
        for lane in 0..64 {
            let expected = hashes.iter().filter(|hash| **hash >> lane & 1 == 1).count();
            assert_eq!(lanes.ones(lane) as usize, expected, "lane {lane}");
        }
    }

    #[test]
    fn a_page_without_an_end_is_known_by_its_beginning() {
        let long: String = (0..200_000).map(|n| format!("{n} ")).collect::<Vec<_>>().concat();
        let mut words = Text::default();
        words.push(long.as_bytes());
        assert_eq!(words.all.count as usize, PLACES);
        assert!(words.fingerprint().is_some());
    }
}
