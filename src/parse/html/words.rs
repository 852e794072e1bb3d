//! The fingerprint of a page's words: a SimHash, so that pages with nearly the same words differ in few of 64 bits.
//!
//! Words are runs of letters in any script, in any case; what holds a digit is no word: dates, prices and numbers of
//! pages do not make two pages different. Markup, scripts and styles are not words. Order does not count.

/// Counters of 64 lanes, one bit plane after the other: a word is added to all of them with as few steps as there are
/// planes that carry, seven in the mean, where 64 counters take 64.
#[derive(Debug, Default)]
pub(super) struct Words {
    planes: [u64; PLANES],
    count: u32,
}

/// Up to 65,535 words are counted; a page that has more is known by those.
const PLANES: usize = 16;

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

impl Words {
    /// A piece of text, at whose ends words end.
    pub(super) fn push(&mut self, text: &[u8]) {
        const START: u64 = 0xcbf2_9ce4_8422_2325;
        let (mut hash, mut is_word) = (START, true);
        for &byte in text {
            match KINDS[usize::from(byte)] {
                // Folds ASCII; two other letters that fall together by it do no harm.
                Kind::Letter => hash = (hash ^ u64::from(byte | 0x20)).wrapping_mul(0x0000_0100_0000_01b3),
                Kind::Digit => is_word = false,
                Kind::Gap => {
                    if is_word && hash != START {
                        self.add(hash);
                    }
                    (hash, is_word) = (START, true);
                }
            }
        }
        if is_word && hash != START {
            self.add(hash);
        }
    }

    fn add(&mut self, hash: u64) {
        if self.count >= (1 << PLANES) - 1 {
            return;
        }
        self.count += 1;
        // FNV leaves the upper bits of short words alike; this is the end of MurmurHash3.
        let mut carry = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        carry = (carry ^ (carry >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        carry ^= carry >> 33;
        for plane in &mut self.planes {
            let overflow = *plane & carry;
            *plane ^= carry;
            carry = overflow;
            if carry == 0 {
                break;
            }
        }
    }

    /// None if there was no word.
    pub(super) fn fingerprint(&self) -> Option<u64> {
        if self.count == 0 {
            return None;
        }
        let ones = |lane: usize| -> u32 {
            self.planes.iter().enumerate().map(|(place, plane)| u32::from(plane >> lane & 1 == 1) << place).sum()
        };
        Some((0..64).filter(|lane| 2 * ones(*lane) > self.count).fold(0, |bits, lane| bits | 1 << lane))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(text: &str) -> Option<u64> {
        let mut words = Words::default();
        words.push(text.as_bytes());
        words.fingerprint()
    }

    fn distance(a: &str, b: &str) -> u32 {
        (fingerprint(a).unwrap() ^ fingerprint(b).unwrap()).count_ones()
    }

    #[test]
    fn numbers_case_and_order_do_not_count() {
        assert_eq!(fingerprint("Friday, 20 November 2026: nothing"), fingerprint("friday  7 NOVEMBER nothing 1a2b"));
        assert_eq!(fingerprint("20-11-2026, v1.2 <>"), None);
        assert_ne!(fingerprint("Grüße"), fingerprint("Küsse"));
    }

    #[test]
    fn pages_with_other_words_are_far_apart() {
        let menu = "home news about contact search login cart help imprint language follow us newsletter ".repeat(3);
        let page = |name: &str| format!("{menu} you are looking at {name} add it to your cart");
        assert_eq!(distance(&page("day 20"), &page("day 21")), 0);
        let (one, other) = ("a red wooden chair with four legs", "the blue lamp that shines upon any desk");
        assert!(distance(&page(one), &page(other)) > 3, "{}", distance(&page(one), &page(other)));
    }

    #[test]
    fn lanes_count_as_single_counters_would() {
        let word = |n: usize| format!("w{}", "abcdefghij".repeat(1 + n % 7));
        let text = (0..3000).map(word).collect::<Vec<_>>().join(" ");
        let mut words = Words::default();
        words.push(text.as_bytes());
        let most = words.planes.iter().rposition(|plane| *plane != 0).unwrap();
        assert!(words.count == 3000 && most < 12, "{most}");
        let total: u64 = (0..64)
            .map(|lane| words.planes.iter().enumerate().map(|(at, plane)| (plane >> lane & 1) << at).sum::<u64>())
            .sum();
        let mut expected = 0;
        for n in 0..7 {
            let mut one = Words::default();
            one.push(word(n).as_bytes());
            let times = (0..3000).filter(|m| m % 7 == n).count() as u64;
            expected += times * u64::from(one.fingerprint().unwrap().count_ones());
        }
        assert_eq!(total, expected);
    }

    #[test]
    fn a_page_without_an_end_is_known_by_its_beginning() {
        let long = "so many words ".repeat(40_000);
        assert!(fingerprint(&long).is_some());
    }
}
