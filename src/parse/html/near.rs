//! Where the next byte of some kind stands, when that is likely near: names, values and gaps between tags are short.
//!
//! `memchr` is faster over long texts, but what a call of it costs is more than most of these searches take. Sixteen bytes
//! are looked at together, so that a search has few branches that cannot be foreseen. Knows nothing of HTML but which bytes
//! end a name.

use memchr::memchr;

/// White space as the tokenizer sees it, after carriage returns have become newlines.
#[inline]
pub(crate) const fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | b'\x0c' | b'\r' | b' ')
}

/// Pieces of sixteen bytes that are looked at before a search is handed to `memchr`.
const NEAR: usize = 4;

/// The place of the first such byte.
#[inline]
pub(super) fn find(byte: u8, text: &[u8]) -> Option<usize> {
    let mut at = 0;
    for chunk in text.as_chunks().0.iter().take(NEAR) {
        if let Some(place) = sixteen::equal(chunk, byte) {
            return Some(at + place);
        }
        at += 16;
    }
    find_far(byte, text, at)
}

#[inline(never)]
fn find_far(byte: u8, text: &[u8], from: usize) -> Option<usize> {
    memchr(byte, text.get(from..)?).map(|found| from + found)
}

/// The length of a name: up to white space or one of `ends`, or else all of the text. A tag's name ends at `/` and `>`, that
/// of an attribute also at `=`.
#[inline]
pub(super) fn name(text: &[u8], ends: [u8; 3]) -> usize {
    if let Some(chunk) = text.first_chunk()
        && let Some(place) = sixteen::control_or(chunk, ends)
        && (is_space(text[place]) || ends.contains(&text[place]))
    {
        return place;
    }
    name_far(text, ends)
}

/// As [`name`], but a control character may end it too, so what stands behind it must be looked at.
#[inline]
pub(super) fn likely_name(text: &[u8], ends: [u8; 3]) -> usize {
    text.first_chunk().and_then(|chunk| sixteen::control_or(chunk, ends)).unwrap_or_else(|| name_far(text, ends))
}

/// Which of sixteen bytes are letters, in ASCII or beyond, and which are digits: bit `n` is that of byte `n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kinds {
    pub(super) letters: u32,
    pub(super) digits: u32,
}

#[inline]
pub(super) fn kinds(chunk: &[u8; 16]) -> Kinds {
    sixteen::kinds(chunk)
}

#[inline(never)]
fn name_far(text: &[u8], ends: [u8; 3]) -> usize {
    text.iter().position(|byte| is_space(*byte) || ends.contains(byte)).unwrap_or(text.len())
}

/// Sixteen bytes at once, by what every machine of this kind has.
#[cfg(target_arch = "x86_64")]
mod sixteen {
    use super::Kinds;
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8,
        _mm_sub_epi8,
    };

    /// The place of the first such byte.
    #[inline]
    pub(super) fn equal(chunk: &[u8; 16], byte: u8) -> Option<usize> {
        #[expect(unsafe_code, reason = "SSE2 is part of x86-64, and no memory is touched but through the reference")]
        unsafe {
            first(is(load(chunk), byte))
        }
    }

    /// The place of the first byte that is a space or below, or one of these.
    #[inline]
    pub(super) fn control_or(chunk: &[u8; 16], bytes: [u8; 3]) -> Option<usize> {
        #[expect(unsafe_code, reason = "SSE2 is part of x86-64, and no memory is touched but through the reference")]
        unsafe {
            let chunk = load(chunk);
            let control = up_to(chunk, b' ');
            first(bytes.into_iter().fold(control, |found, byte| _mm_or_si128(found, is(chunk, byte))))
        }
    }

    #[inline]
    pub(super) fn kinds(chunk: &[u8; 16]) -> Kinds {
        #[expect(unsafe_code, reason = "SSE2 is part of x86-64, and no memory is touched but through the reference")]
        unsafe {
            let chunk = load(chunk);
            let letter = up_to(_mm_sub_epi8(_mm_or_si128(chunk, splat(b' ')), splat(b'a')), 25);
            // The high bit of a byte says that it is beyond ASCII.
            let letters = _mm_movemask_epi8(_mm_or_si128(letter, chunk)).cast_unsigned();
            let digits = _mm_movemask_epi8(up_to(_mm_sub_epi8(chunk, splat(b'0')), 9)).cast_unsigned();
            Kinds { letters, digits }
        }
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn up_to(chunk: __m128i, most: u8) -> __m128i {
        _mm_cmpeq_epi8(_mm_min_epu8(chunk, splat(most)), chunk)
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn load(chunk: &[u8; 16]) -> __m128i {
        let whole = u128::from_le_bytes(*chunk);
        #[expect(clippy::cast_possible_truncation, reason = "each half is a number of its own")]
        let (low, high) = (whole as u64, (whole >> 64) as u64);
        _mm_set_epi64x(high.cast_signed(), low.cast_signed())
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn splat(byte: u8) -> __m128i {
        _mm_set1_epi8(byte.cast_signed())
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn is(chunk: __m128i, byte: u8) -> __m128i {
        _mm_cmpeq_epi8(chunk, splat(byte))
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn first(found: __m128i) -> Option<usize> {
        let bits = _mm_movemask_epi8(found);
        (bits != 0).then_some(bits.trailing_zeros() as usize)
    }
}

/// Sixteen bytes as one number: the high bit of a byte stands for the byte, and is exact up to the first that is set.
#[cfg(not(target_arch = "x86_64"))]
mod sixteen {
    use super::Kinds;

    const ONES: u128 = u128::from_ne_bytes([1; 16]);

    #[inline]
    fn below(word: u128, limit: u8) -> u128 {
        word.wrapping_sub(ONES * u128::from(limit)) & !word
    }

    #[inline]
    fn is(word: u128, byte: u8) -> u128 {
        below(word ^ (ONES * u128::from(byte)), 1)
    }

    #[inline]
    fn first(found: u128) -> Option<usize> {
        let found = found & (ONES << 7);
        (found != 0).then_some((found.trailing_zeros() / 8) as usize)
    }

    /// The place of the first such byte.
    #[inline]
    pub(super) fn equal(chunk: &[u8; 16], byte: u8) -> Option<usize> {
        first(is(u128::from_le_bytes(*chunk), byte))
    }

    /// The place of the first byte that is a space or below, or one of these.
    #[inline]
    pub(super) fn control_or(chunk: &[u8; 16], bytes: [u8; 3]) -> Option<usize> {
        let word = u128::from_le_bytes(*chunk);
        first(bytes.into_iter().fold(below(word, b' ' + 1), |found, byte| found | is(word, byte)))
    }

    #[inline]
    pub(super) fn kinds(chunk: &[u8; 16]) -> Kinds {
        let bits = |is: fn(u8) -> bool| {
            chunk.iter().enumerate().fold(0, |bits, (place, &byte)| bits | u32::from(is(byte)) << place)
        };
        Kinds { letters: bits(|b| !b.is_ascii() || b.is_ascii_alphabetic()), digits: bits(|b| b.is_ascii_digit()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_found_at_every_place() {
        for len in 0..100 {
            for place in 0..=len {
                let mut text = vec![b'a'; len];
                text[place..].fill(b'<');
                assert_eq!(find(b'<', &text), (place < len).then_some(place), "{place} of {len}");
            }
        }
    }

    #[test]
    fn every_byte_is_a_letter_or_a_digit_or_neither() {
        for byte in 0..=u8::MAX {
            for place in 0..16 {
                let mut chunk = *b"<a0<a0<a0<a0<a0<";
                chunk[place] = byte;
                let bits =
                    |is: fn(&u8) -> bool| (0..16).filter(|at| is(&chunk[*at])).fold(0, |bits, at| bits | 1 << at);
                let letters = bits(|byte| !byte.is_ascii() || byte.is_ascii_alphabetic());
                assert_eq!(kinds(&chunk), Kinds { letters, digits: bits(u8::is_ascii_digit) }, "{byte} at {place}");
            }
        }
    }

    #[test]
    fn every_byte_ends_a_name_or_does_not() {
        for byte in 0..=u8::MAX {
            let ends = matches!(byte, b'\t' | b'\n' | b'\x0c' | b'\r' | b' ' | b'/' | b'>');
            for (place, len) in (0..20).flat_map(|place| (place + 1..40).map(move |len| (place, len))) {
                let mut text = vec![b'n'; len];
                text[place] = byte;
                assert_eq!(name(&text, *b"/>>"), if ends { place } else { len }, "{byte} at {place} of {len}");
                let expected = if ends || byte == b'=' { place } else { len };
                assert_eq!(name(&text, *b"/>="), expected, "{byte} at {place} of {len}");
            }
        }
    }
}
