//! Content codings: gzip, deflate, br, zstd, and several of them in a row (RFC 9110 8.4); and the same as transfer codings
//! (RFC 9112 7.2), which are none of the content.
//!
//! Decoders are pushed into: wire bytes as they arrive, decoded bytes into a slice whose length the caller chooses. So a
//! bomb never inflates beyond what the caller has room for, and a body that has to wait for memory can stop in the middle
//! of a chunk. Never reads, waits or limits: `body` does.
//!
//! Sources: RFC 1950–1952, RFC 7932, RFC 8878, and RFC 9659 for the window of zstd (8 MiB). What servers do beside them:
//! `deflate` without the zlib wrapper, several gzip members, zeros or rubbish after the last one.

use brotli::{BrotliDecompressStream, BrotliResult, BrotliState, HeapAlloc, HuffmanCode};
use flate2::{Decompress, FlushDecompress, Status};
use http::header::{CONTENT_ENCODING, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName};
use zstd::stream::raw::{DParameter, Decoder as ZstdDecoder, Operation as _};

/// Codings in a row. More than two are hardly ever meant.
const MOST_CODINGS: usize = 5;

const TOO_MANY: Fault = "more than five content codings";

/// gzip members of one body. A file of 64 kB blocks (bgzip) has 256 in 16 MiB; an empty member is 20 bytes, and each
/// costs a fresh decoder.
const MOST_MEMBERS: u32 = 10_000;

/// Decoded bytes between two codings.
const BETWEEN: usize = 16 * 1024;

/// Bytes between two codings, about a millisecond's worth, after which others get their turn. Each coding can multiply
/// by a thousand, and what comes out of it need not show in the body: zstd skips frames of 4 GiB.
const TURN: usize = 1024 * 1024;

/// Why decoding stopped: a fragment of a message.
pub(super) type Fault = &'static str;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// The decoders of one body, in the order in which bytes pass them.
pub(super) struct Pipeline {
    stages: Vec<Stage>,
    between: Between,
}

/// What passes from one coding to the next.
struct Between {
    /// Bytes that may still pass at all.
    left: u64,
    /// Bytes that may still pass in this call.
    turn: usize,
}

impl Pipeline {
    /// What undoes the transfer codings of a body, and if `contents` says so, those of its content too. None if its bytes
    /// are to be left as they are: no coding, or one that we do not know.
    ///
    /// # Errors
    /// More codings than anybody needs.
    pub(super) fn of(headers: &HeaderMap, contents: bool) -> Result<Option<Self>, Fault> {
        // In the order in which they were applied.
        let mut codings = if contents { listed(headers, &CONTENT_ENCODING)? } else { Vec::new() };
        codings.extend(listed(headers, &TRANSFER_ENCODING)?);
        if codings.len() > MOST_CODINGS {
            return Err(TOO_MANY);
        }
        let stages = codings.into_iter().rev().map(Stage::new).collect::<Result<Vec<_>, _>>()?;
        let between = Between { left: u64::MAX, turn: TURN };
        Ok((!stages.is_empty()).then_some(Self { stages, between }))
    }

    /// Caps what passes from one coding to the next. It is a coded form of the body, so a cap on the wire fits it too.
    pub(super) fn limit(&mut self, bytes: u64) {
        self.between.left = bytes;
    }

    /// Decodes from the front of `input`, which is shortened by what was used, into `out` from `written` on, until it is
    /// full or no more comes of the input. Returns whether there is more to do, after a pause, though `out` is not full;
    /// `out` not full without that means that all input was used.
    ///
    /// # Errors
    /// The coding is broken; `written` counts what came before that.
    pub(super) fn decode(&mut self, input: &mut &[u8], out: &mut [u8], written: &mut usize) -> Result<bool, Fault> {
        self.between.turn = TURN;
        while *written < out.len() {
            let step = pull(&mut self.stages, &mut self.between, input, &mut out[*written..])?;
            if step == 0 {
                return Ok(self.between.turn == 0);
            }
            *written += step;
        }
        Ok(false)
    }

    /// Called at the end of the body.
    ///
    /// # Errors
    /// The last byte of a coding has not come. A body without any byte is complete: servers announce a coding for empty
    /// bodies too.
    pub(super) fn finish(&self) -> Result<(), Fault> {
        if self.stages.iter().all(Stage::is_complete) { Ok(()) } else { Err("the coded body ends before its end") }
    }
}

/// The codings that a header lists; none of them if there is one that we do not know. Chunks are undone by the stack.
fn listed(headers: &HeaderMap, header: &HeaderName) -> Result<Vec<Coding>, Fault> {
    let mut codings = Vec::new();
    for value in headers.get_all(header) {
        for name in value.as_bytes().split(|&byte| byte == b',') {
            let coding = match name.trim_ascii().to_ascii_lowercase().as_slice() {
                b"" | b"identity" => continue,
                b"chunked" if *header == TRANSFER_ENCODING => continue,
                b"gzip" | b"x-gzip" => Coding::Gzip,
                b"deflate" => Coding::Deflate,
                b"br" => Coding::Brotli,
                b"zstd" => Coding::Zstd,
                _ => return Ok(Vec::new()),
            };
            if codings.len() == MOST_CODINGS {
                return Err(TOO_MANY);
            }
            codings.push(coding);
        }
    }
    Ok(codings)
}

/// One coding, with what the coding before it has given and it has not yet taken.
struct Stage {
    decoder: Decoder,
    waiting: Vec<u8>,
    taken: usize,
}

impl Stage {
    fn new(coding: Coding) -> Result<Self, Fault> {
        Ok(Self { decoder: Decoder::new(coding)?, waiting: Vec::new(), taken: 0 })
    }

    fn is_complete(&self) -> bool {
        self.decoder.is_complete() && self.taken == self.waiting.len()
    }
}

/// Moves bytes through the stages until the last one has written something; 0 if the input gives no more, or the turn
/// has ended.
fn pull(stages: &mut [Stage], between: &mut Between, input: &mut &[u8], out: &mut [u8]) -> Result<usize, Fault> {
    let Some((last, before)) = stages.split_last_mut() else {
        let count = input.len().min(out.len());
        let (now, later) = input.split_at(count);
        out[..count].copy_from_slice(now);
        *input = later;
        return Ok(count);
    };
    if before.is_empty() {
        loop {
            let step = last.decoder.step(input, out)?;
            *input = &input[step.read..];
            if step.written > 0 || step.read == 0 {
                return Ok(step.written);
            }
        }
    }
    loop {
        let step = last.decoder.step(&last.waiting[last.taken..], out)?;
        last.taken += step.read;
        if step.written > 0 {
            return Ok(step.written);
        }
        if step.read == 0 {
            if between.turn == 0 {
                return Ok(0);
            }
            // What it cannot use yet (the first byte of two) stays in front of what comes.
            last.waiting.drain(..last.taken);
            last.taken = 0;
            let kept = last.waiting.len();
            last.waiting.resize(kept + BETWEEN, 0);
            let more = pull(before, between, input, &mut last.waiting[kept..]);
            last.waiting.truncate(kept + *more.as_ref().unwrap_or(&0));
            let more = more?;
            if more == 0 {
                return Ok(0);
            }
            between.turn = between.turn.saturating_sub(more);
            between.left =
                between.left.checked_sub(more as u64).ok_or("a coding inside another is larger than a body may be")?;
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Step {
    read: usize,
    written: usize,
}

type Brotli = BrotliState<HeapAlloc<u8>, HeapAlloc<u32>, HeapAlloc<HuffmanCode>>;

enum Decoder {
    Gzip(Gzip),
    /// Zlib or raw: the first two bytes tell.
    Deflate {
        inflate: Option<Decompress>,
        first: Option<u8>,
        done: bool,
    },
    Brotli {
        state: Box<Brotli>,
        started: bool,
        done: bool,
    },
    Zstd {
        decoder: ZstdDecoder<'static>,
        between_frames: bool,
        full: bool,
    },
}

impl Decoder {
    fn new(coding: Coding) -> Result<Self, Fault> {
        Ok(match coding {
            Coding::Gzip => Self::Gzip(Gzip::default()),
            Coding::Deflate => Self::Deflate { inflate: None, first: None, done: false },
            Coding::Brotli => {
                let state = BrotliState::new_strict(
                    HeapAlloc::new(0),
                    HeapAlloc::new(0),
                    HeapAlloc::new(HuffmanCode::default()),
                );
                Self::Brotli { state: Box::new(state), started: false, done: false }
            }
            Coding::Zstd => {
                const NONE: Fault = "no memory for a zstd decoder";
                let mut decoder = ZstdDecoder::new().map_err(|_| NONE)?;
                decoder.set_parameter(DParameter::WindowLogMax(23)).map_err(|_| NONE)?;
                Self::Zstd { decoder, between_frames: true, full: false }
            }
        })
    }

    /// One step forward; nothing read and nothing written means that more input is needed.
    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, Fault> {
        match self {
            Self::Gzip(gzip) => gzip.step(input, out),
            Self::Deflate { inflate, first, done } => step_deflate(inflate, first, done, input, out),
            Self::Brotli { state, started, done } => step_brotli(state, started, done, input, out),
            Self::Zstd { decoder, between_frames, full } => {
                // Only a full slice can have left something inside; and a decoder that is asked 16 times in vain fails.
                if input.is_empty() && (*between_frames || !*full) {
                    return Ok(Step::default());
                }
                let status = decoder.run_on_buffers(input, out).map_err(|_| "broken zstd data")?;
                *between_frames = status.remaining == 0;
                *full = status.bytes_written == out.len();
                Ok(Step { read: status.bytes_read, written: status.bytes_written })
            }
        }
    }

    fn is_complete(&self) -> bool {
        match self {
            Self::Gzip(gzip) => gzip.is_complete(),
            Self::Deflate { inflate, first, done } => *done || (inflate.is_none() && first.is_none()),
            Self::Brotli { started, done, .. } => *done || !*started,
            Self::Zstd { between_frames, .. } => *between_frames,
        }
    }
}

/// Calls the inflater and counts what it did; the flag says that its stream has ended.
fn inflate(decoder: &mut Decompress, input: &[u8], out: &mut [u8], broken: Fault) -> Result<(Step, bool), Fault> {
    let (read, written) = (decoder.total_in(), decoder.total_out());
    let status = decoder.decompress(input, out, FlushDecompress::None);
    let count = |now: u64, before: u64| usize::try_from(now - before).expect("a step stays within its slices");
    let step = Step { read: count(decoder.total_in(), read), written: count(decoder.total_out(), written) };
    match status {
        Ok(status) => Ok((step, status == Status::StreamEnd)),
        // What came before the fault counts; the next call meets it again.
        Err(_) if step.written > 0 => Ok((step, false)),
        Err(_) => Err(broken),
    }
}

fn step_deflate(
    decoder: &mut Option<Decompress>,
    first: &mut Option<u8>,
    done: &mut bool,
    input: &[u8],
    out: &mut [u8],
) -> Result<Step, Fault> {
    const BROKEN: Fault = "broken deflate data";
    if *done {
        // Rubbish after the end.
        return Ok(Step { read: input.len(), written: 0 });
    }
    if let Some(decoder) = decoder {
        let (step, end) = inflate(decoder, input, out, BROKEN)?;
        *done = end;
        return Ok(step);
    }
    let (one, two, fresh) = match (*first, input) {
        (_, []) => return Ok(Step::default()),
        (None, [one]) => {
            *first = Some(*one);
            return Ok(Step { read: 1, written: 0 });
        }
        (None, [one, two, ..]) => (*one, *two, true),
        (Some(one), [two, ..]) => (one, *two, false),
    };
    // RFC 1950 2.2: method 8, a window of at most 32 kB, and the two bytes divisible by 31.
    let zlib = one & 0x0f == 8 && one >> 4 <= 7 && (u16::from(one) << 8 | u16::from(two)) % 31 == 0;
    let mut new = Decompress::new(zlib);
    if !fresh {
        let (_, end) = inflate(&mut new, &[one], out, BROKEN)?;
        *done = end;
    }
    let (step, end) = inflate(decoder.insert(new), input, out, BROKEN)?;
    *done |= end;
    Ok(step)
}

fn step_brotli(
    state: &mut Brotli,
    started: &mut bool,
    done: &mut bool,
    input: &[u8],
    out: &mut [u8],
) -> Result<Step, Fault> {
    if *done {
        return Ok(Step { read: input.len(), written: 0 });
    }
    *started |= !input.is_empty();
    let (mut left, mut read, mut room, mut written, mut total) = (input.len(), 0, out.len(), 0, 0);
    let result = BrotliDecompressStream(&mut left, &mut read, input, &mut room, &mut written, out, &mut total, state);
    match result {
        BrotliResult::ResultFailure => return Err("broken brotli data"),
        BrotliResult::ResultSuccess => *done = true,
        BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
    }
    Ok(Step { read, written })
}

/// gzip: members one after the other. zlib reads the header of a member and checks its sum and length.
#[derive(Default)]
struct Gzip {
    member: Option<Decompress>,
    members: u32,
    /// The first byte of what may be another member.
    magic: bool,
    rubbish: bool,
}

impl Gzip {
    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, Fault> {
        const BROKEN: Fault = "broken gzip data";
        if self.rubbish {
            return Ok(Step { read: input.len(), written: 0 });
        }
        if self.member.is_none() {
            // The first member has to be one; after it, only what starts like a member is taken for one.
            match (self.members, self.magic, input) {
                (_, _, []) => return Ok(Step::default()),
                (0, _, _) | (_, true, [0x8b, ..]) | (_, false, [0x1f, 0x8b, ..]) => {}
                (_, false, [0x1f]) => {
                    self.magic = true;
                    return Ok(Step { read: 1, written: 0 });
                }
                _ => {
                    self.rubbish = true;
                    return Ok(Step { read: input.len(), written: 0 });
                }
            }
            self.members += 1;
            if self.members > MOST_MEMBERS {
                return Err("too many gzip members");
            }
            let mut member = Decompress::new_gzip(15);
            if std::mem::take(&mut self.magic) {
                inflate(&mut member, &[0x1f], out, BROKEN)?;
            }
            self.member = Some(member);
        }
        let Some(member) = &mut self.member else { return Ok(Step::default()) };
        let (step, end) = inflate(member, input, out, BROKEN)?;
        if end {
            self.member = None;
        }
        Ok(step)
    }

    fn is_complete(&self) -> bool {
        self.member.is_none()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use http::HeaderValue;

    use super::*;

    fn pipeline(codings: &[&'static str]) -> Result<Option<Pipeline>, Fault> {
        let mut headers = HeaderMap::new();
        for coding in codings {
            headers.append(CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        Pipeline::of(&headers, true)
    }

    /// Feeds `wire` in pieces, decoding `room` bytes at a time.
    fn decode(codings: &[&'static str], wire: &[u8], piece: usize, room: usize) -> (Vec<u8>, Result<(), Fault>) {
        let mut pipeline = pipeline(codings).unwrap().unwrap();
        let mut all = Vec::new();
        for mut input in wire.chunks(piece) {
            loop {
                let (mut out, mut written) = (vec![0; room], 0);
                let result = pipeline.decode(&mut input, &mut out, &mut written);
                all.extend_from_slice(&out[..written]);
                match result {
                    Err(fault) => return (all, Err(fault)),
                    Ok(true) => continue,
                    Ok(false) => {}
                }
                if written < room {
                    assert!(input.is_empty());
                    break;
                }
            }
        }
        (all, pipeline.finish())
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn raw(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn br(text: &[u8]) -> Vec<u8> {
        let mut wire = Vec::new();
        brotli::CompressorWriter::new(&mut wire, 4096, 5, 22).write_all(text).unwrap();
        wire
    }

    fn text() -> Vec<u8> {
        (0..20_000u32)
            .flat_map(|n| format!("line {} of the text\n", n.wrapping_mul(2_654_435_761) >> 7).into_bytes())
            .collect()
    }

    type Case = (&'static [&'static str], Vec<u8>);

    fn cases(text: &[u8]) -> Vec<Case> {
        vec![
            (&["gzip"], gzip(text)),
            (&["X-GZip"], gzip(text)),
            (&["deflate"], zlib(text)),
            (&["deflate"], raw(text)),
            (&["br"], br(text)),
            (&["zstd"], zstd::encode_all(text, 3).unwrap()),
            (&["gzip, br"], br(&gzip(text))),
            (&["zstd", "identity", "deflate"], zlib(&zstd::encode_all(text, 3).unwrap())),
            (&["gzip,gzip,gzip,gzip,gzip"], gzip(&gzip(&gzip(&gzip(&gzip(text)))))),
        ]
    }

    #[test]
    fn every_coding_decodes_however_the_wire_cuts_it() {
        let text = text();
        for (codings, wire) in cases(&text) {
            for (piece, room) in [(wire.len(), 1 << 20), (1, 4096), (7, 33), (1000, 65536)] {
                let (decoded, end) = decode(codings, &wire, piece, room);
                assert_eq!(end, Ok(()), "{codings:?} {piece} {room}");
                assert!(decoded == text, "{codings:?} {piece} {room}");
            }
        }
    }

    #[test]
    fn a_cut_body_gives_what_came_and_says_so() {
        let text = text();
        for (codings, wire) in cases(&text).into_iter().take(6) {
            let (decoded, end) = decode(codings, &wire[..wire.len() / 2], 1000, 4096);
            assert!(end.is_err(), "{codings:?}");
            assert!(!decoded.is_empty() && text.starts_with(&decoded), "{codings:?}");
        }
    }

    #[test]
    fn a_cut_last_byte_is_noticed() {
        for (codings, wire) in cases(b"short").into_iter().take(6) {
            assert!(decode(codings, &wire[..wire.len() - 1], 1000, 4096).1.is_err(), "{codings:?}");
        }
    }

    #[test]
    fn no_byte_at_all_is_complete() {
        for coding in ["gzip", "deflate", "br", "zstd", "gzip, br"] {
            assert_eq!(pipeline(&[coding]).unwrap().unwrap().finish(), Ok(()));
        }
    }

    #[test]
    fn rubbish_instead_of_a_coding_is_broken() {
        for coding in ["gzip", "zstd", "deflate", "br"] {
            // 0xff starts no gzip, zstd or zlib; as raw deflate it has a reserved block type, as brotli a reserved window.
            let (_, end) = decode(&[coding], &[0xff; 100], 10, 100);
            assert!(end.is_err(), "{coding}");
        }
    }

    #[test]
    fn a_flipped_bit_fails_the_sum_of_gzip() {
        let mut wire = gzip(b"some text");
        let at = wire.len() - 6;
        wire[at] ^= 1;
        assert!(decode(&["gzip"], &wire, 100, 100).1.is_err());
    }

    #[test]
    fn gzip_members_follow_each_other_and_rubbish_after_them_is_left_out() {
        let mut wire = gzip(b"one ");
        wire.extend(gzip(b"two"));
        for piece in [1, 3, 1000] {
            assert_eq!(decode(&["gzip"], &wire, piece, 100), (b"one two".to_vec(), Ok(())));
        }
        wire.extend([0; 700]);
        for piece in [1, 3, 1000] {
            assert_eq!(decode(&["gzip"], &wire, piece, 100), (b"one two".to_vec(), Ok(())));
        }
    }

    #[test]
    fn endless_empty_members_end() {
        let empty = gzip(b"");
        let wire = empty.repeat(MOST_MEMBERS as usize + 1);
        assert_eq!(decode(&["gzip"], &wire, 65536, 100).1, Err("too many gzip members"));
    }

    #[test]
    fn unknown_codings_are_left_alone_and_too_many_are_refused() {
        assert!(pipeline(&["gzip, aes128gcm"]).unwrap().is_none());
        assert!(pipeline(&["identity"]).unwrap().is_none());
        assert!(pipeline(&[]).unwrap().is_none());
        assert!(pipeline(&["gzip,gzip,gzip", "br,br,br"]).is_err());
    }

    /// zstd that decodes to nothing, in zlib that blows it up: 64 MiB of skippable frames.
    fn nested_bomb() -> Vec<u8> {
        let mut frame = vec![0x50, 0x2a, 0x4d, 0x18];
        frame.extend((8_u32 << 20).to_le_bytes());
        frame.resize(8 + (8 << 20), 0);
        zlib(&frame.repeat(8))
    }

    #[test]
    fn work_that_does_not_show_in_the_body_is_done_in_turns() {
        let wire = nested_bomb();
        let mut pipeline = pipeline(&["zstd, deflate"]).unwrap().unwrap();
        let (mut input, mut turns) = (&wire[..], 0);
        while pipeline.decode(&mut input, &mut [0; 100], &mut 0).unwrap() {
            turns += 1;
        }
        assert!(turns >= 32, "{turns}");
        assert!(input.is_empty());
        assert_eq!(pipeline.finish(), Ok(()));
    }

    #[test]
    fn work_that_does_not_show_in_the_body_is_capped() {
        let wire = nested_bomb();
        let mut pipeline = pipeline(&["zstd, deflate"]).unwrap().unwrap();
        pipeline.limit(32 << 20);
        let mut input = &wire[..];
        let end = loop {
            match pipeline.decode(&mut input, &mut [0; 100], &mut 0) {
                Ok(true) => {}
                end => break end,
            }
        };
        assert!(end.is_err());
    }

    #[test]
    fn a_zstd_window_over_8_mib_is_refused() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(24).unwrap();
        encoder.write_all(&text()).unwrap();
        let wire = encoder.finish().unwrap();
        assert!(decode(&["zstd"], &wire, 1000, 1000).1.is_err());
    }
}
