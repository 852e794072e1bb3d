//! The loop that feeds a target in the ordinary tests: seeds, changed at random.
//!
//! The loop knows nothing of coverage, needs no other toolchain and gives the same inputs every time. What makes a target
//! panic is made as short as it will go, written to `target/fuzz/` and shown. The command's tests have this file as a module
//! of their own, since the library they stand on is built without it.

#[cfg(test)]
use std::{
    cell::Cell,
    panic::catch_unwind,
    time::{Duration, Instant},
};

use xxhash_rust::xxh3::xxh3_64;

use super::target::{Target, contents, project};

/// Declares the targets of a crate by name, and a test for each of them.
macro_rules! targets {
    ($($name:ident = $target:path,)*) => {
        /// All of them, by name.
        #[cfg(all(fuzzing, not(test)))]
        pub const TARGETS: &[(&str, Target)] = &[$((stringify!($name), $target),)*];

        #[cfg(test)]
        mod holds {
            $(
                #[test]
                fn $name() {
                    super::mutation::hold(stringify!($name), &$target);
                }
            )*
        }
    };
}

/// No input is longer: what parsers do wrong shows on short ones, and those are many more in the same time.
#[cfg(test)]
const LONGEST: usize = 4096;

/// Seconds for each target instead of its few executions; then 10 million of them end it too.
#[cfg(test)]
const SECONDS: &str = "LYCOSA_FUZZ_SECONDS";

/// All that a target begins with: inputs that were found once, then its seeds.
pub fn beginnings(name: &str, target: &Target) -> Vec<Vec<u8>> {
    let mut all = contents(&format!("fixtures/fuzz/{name}"));
    all.extend((target.seeds)());
    all
}

/// Runs a target on what it begins with and on changes of it.
#[cfg(test)]
pub fn hold(name: &str, target: &Target) {
    let seconds = std::env::var(SECONDS).ok().map(|text| text.parse().expect("LYCOSA_FUZZ_SECONDS is a whole number"));
    let runs = if seconds.is_some() { 10_000_000 } else { target.runs };
    let beginnings = beginnings(name, target);
    let fails = |input: &[u8]| catch_unwind(|| (target.run)(input)).is_err();
    for input in &beginnings {
        assert!(!fails(input), "{name} fails on a seed: \"{}\"", input.escape_ascii());
    }
    let mut mutator = Mutator::new(xxh3_64(name.as_bytes()), beginnings, target.words);
    #[expect(clippy::disallowed_methods, reason = "who asks for the long form says how long it may take")]
    let start = Instant::now();
    let mut done = 0;
    while done < runs && seconds.is_none_or(|most| done % 64 != 0 || start.elapsed() < Duration::from_secs(most)) {
        let input = mutator.next();
        if fails(&input) {
            let least = shortened(input, fails);
            let kept = project().join("target/fuzz");
            let kept = kept.join(format!("{name}-{:016x}", xxh3_64(&least)));
            let written = std::fs::create_dir_all(kept.parent().unwrap()).and_then(|()| std::fs::write(&kept, &least));
            panic!(
                "{name} fails after {done} executions on \"{}\" ({}: {written:?})",
                least.escape_ascii(),
                kept.display()
            );
        }
        done += 1;
    }
    if seconds.is_some() {
        println!("{name}: {done} executions in {:.0} s", start.elapsed().as_secs_f64());
    }
}

/// The input without what it does not need to fail.
#[cfg(test)]
fn shortened(mut input: Vec<u8>, fails: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    thread_local!(static QUIET: Cell<bool> = const { Cell::new(false) });
    // The first panic has been told; a thousand more of the kind would hide it.
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !QUIET.get() {
            told(panic);
        }
    }));
    QUIET.set(true);
    let mut piece = input.len().next_power_of_two();
    while piece > 0 {
        let mut at = 0;
        while at < input.len() {
            let shorter = [&input[..at], &input[(at + piece).min(input.len())..]].concat();
            if fails(&shorter) {
                input = shorter;
            } else {
                at += piece;
            }
        }
        piece /= 2;
    }
    QUIET.set(false);
    input
}

/// Makes inputs out of inputs.
#[cfg(test)]
struct Mutator {
    random: fastrand::Rng,
    /// What it begins with, and behind that some of what came of it.
    pool: Vec<Vec<u8>>,
    beginnings: usize,
    words: &'static [&'static [u8]],
}

#[cfg(test)]
impl Mutator {
    /// Changed inputs that are changed on: more than a few steps away from a seed the most is rubbish.
    const DESCENDANTS: usize = 512;

    fn new(seed: u64, mut pool: Vec<Vec<u8>>, words: &'static [&'static [u8]]) -> Self {
        pool.push(Vec::new());
        Self { random: fastrand::Rng::with_seed(seed), beginnings: pool.len(), pool, words }
    }

    fn next(&mut self) -> Vec<u8> {
        let mut input = self.pool[self.random.usize(..self.pool.len())].clone();
        for _ in 0..=self.random.u32(..6) {
            self.change(&mut input);
        }
        input.truncate(LONGEST);
        if self.random.u32(..32) == 0 {
            if self.pool.len() < self.beginnings + Self::DESCENDANTS {
                self.pool.push(input.clone());
            } else {
                let place = self.random.usize(self.beginnings..self.pool.len());
                self.pool[place].clone_from(&input);
            }
        }
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let random = &mut self.random;
        if input.is_empty() || random.u32(..4) == 0 {
            let at = random.usize(..=input.len());
            if let Some(word) = random.choice(self.words) {
                // In place of as many bytes, or between them.
                let end = if random.bool() { at } else { (at + word.len()).min(input.len()) };
                input.splice(at..end, word.iter().copied());
            } else {
                input.insert(at, random.u8(..));
            }
            return;
        }
        let at = random.usize(..input.len());
        let end = at + random.usize(..=(input.len() - at).min(64));
        match random.u32(..9) {
            0 => input[at] ^= 1 << random.u32(..8),
            1 => input[at] = *random.choice(&[0, 1, 0x7f, 0x80, 0xff, b' ', b'\n', b'"', b'0', b'9']).unwrap_or(&0),
            2 => input[at] = input[at].wrapping_add(random.u8(..)),
            3 => input.insert(at, random.u8(..)),
            4 => drop(input.drain(at..end)),
            5 => {
                let piece = input[at..end].repeat(if random.u32(..8) == 0 { random.usize(2..40) } else { 1 });
                let at = random.usize(..=input.len());
                input.splice(at..at, piece);
            }
            6 => {
                let other = &self.pool[random.usize(..self.pool.len())];
                let from = random.usize(..=other.len());
                let most = (other.len() - from).min(256);
                let piece = &other[from..from + random.usize(..=most)];
                input.splice(at..end, piece.iter().copied());
            }
            7 => input.truncate(at),
            _ => {
                // Every digit of a number, so that it becomes a large one.
                let digits = input[at..].iter_mut().skip_while(|byte| !byte.is_ascii_digit());
                digits.take_while(|byte| byte.is_ascii_digit()).for_each(|digit| *digit = b'9');
            }
        }
    }
}

/// The target that libFuzzer runs.
#[cfg(all(fuzzing, not(test)))]
static CHOSEN: std::sync::OnceLock<Target> = std::sync::OnceLock::new();

/// Chooses the target that `LYCOSA_FUZZ_TARGET` names, and writes what it begins with and its words to where libFuzzer looks
/// for them: `fuzz/corpus/NAME/` and `fuzz/corpus/NAME.dict`.
#[cfg(all(fuzzing, not(test)))]
pub fn begin(targets: &[(&str, Target)]) {
    let name = std::env::var("LYCOSA_FUZZ_TARGET").unwrap_or_default();
    let Some((_, target)) = targets.iter().find(|(known, _)| *known == name) else {
        let known: Vec<_> = targets.iter().map(|(name, _)| *name).collect();
        panic!("LYCOSA_FUZZ_TARGET is none of {}", known.join(", "));
    };
    let folder = project().join("fuzz/corpus").join(&name);
    let words = target.words.iter().map(|word| word.iter().map(|byte| format!("\\x{byte:02x}")).collect::<String>());
    let words: String = words.map(|word| format!("\"{word}\"\n")).collect();
    std::fs::create_dir_all(&folder).expect("fuzz/corpus can be written");
    // libFuzzer takes an empty file for none.
    std::fs::write(folder.with_extension("dict"), format!("# {name}\n{words}")).expect("fuzz/corpus can be written");
    for input in beginnings(&name, target) {
        std::fs::write(folder.join(format!("{:016x}", xxh3_64(&input))), input).expect("fuzz/corpus can be written");
    }
    let _ = CHOSEN.set(*target);
}

/// Runs the chosen target once.
#[cfg(all(fuzzing, not(test)))]
pub fn run(input: &[u8]) {
    (CHOSEN.get().expect("a target is chosen first").run)(input);
}
