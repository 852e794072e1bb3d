//! Where the brackets and quotes of a page stand, sixty-four bytes at a time.
//!
//! A search that looks at bytes has to wait for each answer before it knows where to look next; most of a scanner's time
//! goes there, and into branches that cannot be foreseen. Here a block of the page becomes two numbers with a bit for each
//! byte, and a search is arithmetic on them. Knows nothing of HTML but which four bytes matter. Called by the scanner.

/// The marks of one block at a time; searches go forward. A copy in a variable is searched faster than one in memory.
#[derive(Clone, Copy)]
pub(super) struct Marks<'a> {
    input: &'a [u8],
    /// Where the block begins that the masks are of.
    base: usize,
    masks: Masks,
}

/// Bit `n` is that of byte `n`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Masks {
    /// `<`
    opens: u64,
    /// `>`, `"` and `'`
    inside: u64,
}

const BLOCK: usize = 64;

impl<'a> Marks<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self { input, base: 0, masks: masks_at(input, 0) }
    }

    /// The place of the first `<` from `from` on.
    #[expect(clippy::inline_always, reason = "as `next`")]
    #[inline(always)]
    pub(super) fn open(&mut self, from: usize) -> Option<usize> {
        self.next(from, |masks| masks.opens)
    }

    /// The place of the first `>` or quote from `from` on.
    #[expect(clippy::inline_always, reason = "as `next`")]
    #[inline(always)]
    pub(super) fn inside(&mut self, from: usize) -> Option<usize> {
        self.next(from, |masks| masks.inside)
    }

    #[expect(clippy::inline_always, reason = "a third of a page's time: in a caller's loop all of it is registers")]
    #[inline(always)]
    fn next(&mut self, from: usize, of: impl Fn(Masks) -> u64) -> Option<usize> {
        let mut place = from.wrapping_sub(self.base);
        if place >= BLOCK {
            place = from % BLOCK;
            self.base = from - place;
            self.masks = masks_at(self.input, self.base);
        }
        let mut found = of(self.masks) >> place << place;
        while found == 0 {
            // Base and masks stay those of one block, whatever is asked next.
            if self.base + BLOCK >= self.input.len() {
                return None;
            }
            self.base += BLOCK;
            self.masks = masks_at(self.input, self.base);
            found = of(self.masks);
        }
        Some(self.base + found.trailing_zeros() as usize)
    }
}

/// Once for a block: less often than a search, in whose way it would stand.
#[inline(never)]
fn masks_at(input: &[u8], base: usize) -> Masks {
    let rest = input.get(base..).unwrap_or_default();
    match rest.first_chunk() {
        Some(bytes) => machine::masks(bytes),
        None => last(rest),
    }
}

#[cold]
fn last(rest: &[u8]) -> Masks {
    let mut bytes = [0; BLOCK];
    bytes[..rest.len()].copy_from_slice(rest);
    machine::masks(&bytes)
}

/// By what every machine of this kind has.
#[cfg(target_arch = "x86_64")]
mod machine {
    use std::arch::x86_64::{__m128i, _mm_cmpeq_epi8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8};

    use super::{BLOCK, Masks};

    #[inline]
    pub(super) fn masks(bytes: &[u8; BLOCK]) -> Masks {
        #[expect(unsafe_code, reason = "SSE2 is part of x86-64, and no memory is touched but through the reference")]
        unsafe {
            of_four(bytes)
        }
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn of_four(bytes: &[u8; BLOCK]) -> Masks {
        let mut masks = Masks::default();
        for (part, chunk) in bytes.as_chunks::<16>().0.iter().enumerate() {
            let chunk = load(chunk);
            let inside = _mm_or_si128(_mm_or_si128(is(chunk, b'>'), is(chunk, b'"')), is(chunk, b'\''));
            masks.opens |= bits(is(chunk, b'<')) << (16 * part);
            masks.inside |= bits(inside) << (16 * part);
        }
        masks
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
    fn is(chunk: __m128i, byte: u8) -> __m128i {
        _mm_cmpeq_epi8(chunk, _mm_set1_epi8(byte.cast_signed()))
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn bits(found: __m128i) -> u64 {
        u64::from(_mm_movemask_epi8(found).cast_unsigned())
    }
}

/// Eight bytes as one number.
#[cfg(not(target_arch = "x86_64"))]
mod machine {
    use super::{BLOCK, Masks};

    const ONES: u64 = u64::from_ne_bytes([1; 8]);

    #[inline]
    pub(super) fn masks(bytes: &[u8; BLOCK]) -> Masks {
        let mut masks = Masks::default();
        for (part, chunk) in bytes.as_chunks::<8>().0.iter().enumerate() {
            let chunk = u64::from_le_bytes(*chunk);
            masks.opens |= bits(is(chunk, b'<')) << (8 * part);
            masks.inside |= bits(is(chunk, b'>') | is(chunk, b'"') | is(chunk, b'\'')) << (8 * part);
        }
        masks
    }

    /// The high bit of each byte that is this one, and no other bit.
    #[inline]
    fn is(chunk: u64, byte: u8) -> u64 {
        let other = chunk ^ (ONES * u64::from(byte));
        // A carry never leaves its byte.
        let low = (other & !(ONES << 7)) + (ONES * 0x7F);
        !(low | other) & (ONES << 7)
    }

    /// The high bits of the bytes, side by side.
    #[inline]
    fn bits(high: u64) -> u64 {
        (high >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_wherever_they_stand() {
        let mut random = 1_u64;
        for len in (0..300).chain([1000]) {
            let page: Vec<u8> = (0..len)
                .map(|_| {
                    random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                    let [.., byte] = random.to_le_bytes();
                    // Every byte comes, and the four often.
                    if byte < 40 { b"<>\"'"[usize::from(byte % 4)] } else { random.to_le_bytes()[6] }
                })
                .collect();
            let mut marks = Marks::new(&page);
            for from in 0..=len {
                let first = |wanted: &[u8]| (from..len).find(|at| wanted.contains(&page[*at]));
                assert_eq!(marks.open(from), first(b"<"), "from {from} of {len}");
                assert_eq!(marks.inside(from), first(b">\"'"), "from {from} of {len}");
            }
        }
    }
}
