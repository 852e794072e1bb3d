//! Imports point down: every path in `src` that leaves its own room is looked up in the table of floors.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms and their floors. Modules of one floor do not know each other.
pub const FLOORS: [(&str, u8); 11] = [
    ("model", 1),
    ("policy", 2),
    ("parse", 2),
    ("fetch", 3),
    ("frontier", 3),
    ("seeds", 3),
    ("sinks", 3),
    ("engine", 4),
    ("crawl", 5),
    ("observe", 5),
    ("bin", 6),
];

fn floor_of(room: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

/// A word or a sign of Rust source. Comments, white space and the inside of literals are gone.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Sign(char),
}

impl Token {
    fn is(&self, text: &str) -> bool {
        match self {
            Self::Word(word) => word == text,
            Self::Sign(sign) => text.len() == 1 && text.starts_with(*sign),
        }
    }
}

/// The bytes of a literal that starts with a quote, to behind its end.
fn skip_quoted(source: &[u8], mut at: usize, quote: u8) -> usize {
    at += 1;
    while at < source.len() && source[at] != quote {
        at += if source[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

/// A raw string whose first `#` or quote is at `at`; None if there is none.
fn skip_raw(source: &[u8], at: usize) -> Option<usize> {
    let hashes = source[at..].iter().take_while(|byte| **byte == b'#').count();
    if source.get(at + hashes) != Some(&b'"') {
        return None;
    }
    let mut end = vec![b'"'];
    end.resize(hashes + 1, b'#');
    let start = at + hashes + 1;
    let length = source[start..].windows(end.len()).position(|window| window == end)?;
    Some(start + length + end.len())
}

fn skip_comment(source: &[u8], mut at: usize) -> usize {
    if source[at + 1] == b'/' {
        return source[at..].iter().position(|byte| *byte == b'\n').map_or(source.len(), |length| at + length);
    }
    let mut depth = 0;
    while at < source.len() {
        match source.get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") if depth == 1 => return at + 2,
            Some(b"*/") => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    at
}

/// A character literal, or a lifetime: both begin with the same sign.
fn skip_tick(source: &[u8], at: usize) -> usize {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || !byte.is_ascii();
    if source.get(at + 1) == Some(&b'\\') {
        return skip_quoted(source, at, b'\'');
    }
    let word = source[at + 1..].iter().take_while(|byte| is_word(byte)).count();
    match source.get(at + 1 + word.max(1)) {
        Some(b'\'') => at + 2 + word.max(1),
        _ => at + 1 + word,
    }
}

fn tokens(source: &str) -> Vec<Token> {
    let source = source.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < source.len() {
        match source[at] {
            b'/' if matches!(source.get(at + 1), Some(b'/' | b'*')) => at = skip_comment(source, at),
            b'"' => at = skip_quoted(source, at, b'"'),
            b'\'' => at = skip_tick(source, at),
            byte if byte.is_ascii_alphanumeric() || byte == b'_' => {
                let rest = &source[at..];
                let length = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
                let word = String::from_utf8_lossy(&rest[..length]).into_owned();
                at += length;
                if matches!(word.as_str(), "r" | "br" | "cr")
                    && let Some(end) = skip_raw(source, at)
                {
                    at = end;
                    continue;
                }
                tokens.push(Token::Word(word));
            }
            byte => {
                if !byte.is_ascii_whitespace() {
                    tokens.push(Token::Sign(char::from(byte)));
                }
                at += 1;
            }
        }
    }
    tokens
}

/// Behind the bracket that closes the one at `open`.
fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token {
            Token::Sign('{' | '[' | '(') => depth += 1,
            Token::Sign('}' | ']' | ')') if depth == 1 => return at + 1,
            Token::Sign('}' | ']' | ')') => depth -= 1,
            _ => {}
        }
    }
    tokens.len()
}

/// Behind the item that starts at `at`: its further attributes, and then its block or its semicolon.
fn item_end(tokens: &[Token], mut at: usize) -> usize {
    while at < tokens.len() {
        match &tokens[at] {
            Token::Sign('[' | '(') => at = closing(tokens, at),
            Token::Sign('{') => return closing(tokens, at),
            Token::Sign(';' | ',') => return at + 1,
            Token::Sign('}') => return at,
            _ => at += 1,
        }
    }
    at
}

/// Whether an attribute keeps its item out of everything but tests: `cfg(test)`, or `cfg(all(test, …))`. What is built for
/// fuzzing is test code too: `cfg(any(test, fuzzing))`.
fn is_test_only(attribute: &[Token]) -> bool {
    let word = |at: usize, text: &str| attribute.get(at).is_some_and(|token| token.is(text));
    let fuzzing = word(2, "any") && word(4, "test") && word(6, "fuzzing") && word(7, ")");
    word(0, "cfg") && (word(2, "test") || (word(2, "all") && word(4, "test")) || fuzzing)
}

/// The source without its test code, and the names of modules that are test code in files of their own.
fn without_tests(tokens: &[Token]) -> (Vec<Token>, Vec<String>) {
    let (mut kept, mut modules) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        let opens = tokens[at].is("#") && tokens.get(at + 1).is_some_and(|token| token.is("["));
        if opens && is_test_only(&tokens[at + 2..]) {
            let item = closing(tokens, at + 1);
            let end = item_end(tokens, item);
            if let Some(name) = tokens[item..end].iter().position(|token| token.is("mod"))
                && tokens[end - 1].is(";")
                && let Token::Word(name) = &tokens[item + name + 1]
            {
                modules.push(name.clone());
            }
            at = end;
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    (kept, modules)
}

/// Follows a path from behind its first word: each branch of its braces, as far as `crate`, `super`, `self` and one
/// name behind them.
fn branches(tokens: &[Token], at: usize, base: &[String], out: &mut BTreeSet<Vec<String>>) {
    let is_sign = |at: usize, sign: char| tokens.get(at) == Some(&Token::Sign(sign));
    if !(is_sign(at, ':') && is_sign(at + 1, ':')) {
        out.insert(base.to_vec());
        return;
    }
    match tokens.get(at + 2) {
        Some(Token::Word(word)) if word == "super" => {
            let parent = &base[..base.len().saturating_sub(1)];
            branches(tokens, at + 3, parent, out);
        }
        Some(Token::Word(word)) if word == "self" => branches(tokens, at + 3, base, out),
        Some(Token::Word(word)) => {
            let mut path = base.to_vec();
            path.push(word.clone());
            out.insert(path);
        }
        Some(Token::Sign('{')) => {
            let end = closing(tokens, at + 2);
            let mut start = at + 3;
            while start < end - 1 {
                // Each branch is read as if it stood behind `base::`.
                let mut branch = vec![Token::Sign(':'), Token::Sign(':')];
                let mut stop = start;
                while stop < end - 1 && !tokens[stop].is(",") {
                    stop = if tokens[stop].is("{") { closing(tokens, stop) } else { stop + 1 };
                }
                branch.extend_from_slice(&tokens[start..stop]);
                branches(&branch, 0, base, out);
                start = stop + 1;
            }
        }
        _ => {
            out.insert(base.to_vec());
        }
    }
}

/// Every path that starts at the root of the library or climbs out of its module, from the root on.
///
/// `file` is the path of the file's module; modules that stand in the file are followed inwards.
fn paths_of(tokens: &[Token], file: &[String]) -> BTreeSet<Vec<String>> {
    let mut paths = BTreeSet::new();
    let in_bin = file.first().is_some_and(|room| room == "bin");
    let mut module = file.to_vec();
    let mut ends = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        while ends.last().is_some_and(|end| *end <= at) {
            ends.pop();
            module.pop();
        }
        if token.is("mod")
            && let Some(Token::Word(name)) = tokens.get(at + 1)
            && tokens.get(at + 2).is_some_and(|token| token.is("{"))
        {
            module.push(name.clone());
            ends.push(closing(tokens, at + 2));
        }
        let Token::Word(word) = token else { continue };
        let before = at.checked_sub(1).map(|at| &tokens[at]);
        let starts = !before.is_some_and(|token| token.is("$") || token.is(":")) || {
            // `x: crate::…` is a type; `a::super` does not exist.
            before.is_some_and(|token| token.is(":")) && !at.checked_sub(2).is_some_and(|at| tokens[at].is(":"))
        };
        if !starts {
            continue;
        }
        match word.as_str() {
            // Inside of the command `crate` is the command itself.
            "crate" if !in_bin => branches(tokens, at + 1, &[], &mut paths),
            "lycosa" => branches(tokens, at + 1, &[], &mut paths),
            "super" => branches(tokens, at + 1, &module[..module.len().saturating_sub(1)], &mut paths),
            _ => {}
        }
    }
    // A bare `lycosa` or `crate` is the name of the program, or `pub(crate)`.
    paths.retain(|path| !path.is_empty());
    paths
}

/// What is wrong with the arrows of one file; `rooms` are the names that a path may start with.
fn complaints(name: &str, module: &[String], source: &str) -> Vec<String> {
    let (kept, _) = without_tests(&tokens(source));
    let room = module[0].as_str();
    let Some(here) = floor_of(room) else {
        return vec![format!("{name}: the room '{room}' stands on no floor: add it to the table")];
    };
    let mut found = Vec::new();
    for path in paths_of(&kept, module) {
        let to = path[0].as_str();
        if to == room {
            continue;
        }
        match floor_of(to) {
            None => found.push(format!("{name}: '{to}' is no room: name the module that a thing lives in")),
            Some(there) if there > here => found.push(format!("{name}: {room} -> {} points up", path.join("::"))),
            Some(there) if there == here => {
                found.push(format!("{name}: {room} -> {} points sideways", path.join("::")));
            }
            Some(_) => {}
        }
    }
    found
}

pub fn rust_files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, out);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            out.push(path);
        }
    }
}

/// The module of a file below `src`: `engine/mod.rs` is `engine`, `engine/hosts.rs` is `engine::hosts`.
fn module_of(relative: &Path) -> Vec<String> {
    let mut module: Vec<_> =
        relative.with_extension("").components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    if module.last().is_some_and(|last| last == "mod") {
        module.pop();
    }
    module
}

/// All of `src`: (name, module, source) of every file that is not the root and not test code.
fn sources() -> Vec<(String, Vec<String>, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    files.sort_unstable();
    let read: Vec<_> = files
        .iter()
        .map(|path| {
            let relative = path.strip_prefix(&root).unwrap();
            (relative.display().to_string(), module_of(relative), fs::read_to_string(path).unwrap())
        })
        .collect();
    let test_modules: Vec<Vec<String>> = read
        .iter()
        .flat_map(|(_, module, source)| {
            let parent = if module == &["lib"] { &[] } else { module.as_slice() };
            let (_, names) = without_tests(&tokens(source));
            names.into_iter().map(|name| [parent, &[name]].concat()).collect::<Vec<_>>()
        })
        .collect();
    read.into_iter()
        .filter(|(name, module, _)| name != "lib.rs" && !test_modules.iter().any(|test| module.starts_with(test)))
        .collect()
}

#[test]
fn every_arrow_points_down() {
    let sources = sources();
    assert!(sources.len() > 10, "src was found");
    let found: Vec<_> = sources.iter().flat_map(|(name, module, source)| complaints(name, module, source)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The root of the library only names its rooms: what has code has a room.
#[test]
fn the_root_has_no_code() {
    let source = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let tokens = tokens(&source);
    for word in ["fn", "struct", "enum", "impl", "trait", "static", "const", "macro_rules"] {
        assert!(!tokens.iter().any(|token| token.is(word)), "src/lib.rs has a `{word}`");
    }
}

fn judge(module: &str, source: &str) -> Vec<String> {
    let module: Vec<_> = module.split("::").map(str::to_owned).collect();
    complaints("sample.rs", &module, source)
}

#[test]
fn arrows_up_and_sideways_are_found_wherever_they_stand() {
    for (module, source) in [
        ("policy::pace", "use crate::engine::clock::Clock;"),
        ("policy::pace", "use crate::{model::units::Moment, parse::html};"),
        ("policy::pace", "use crate::{\n  model::{job, units},\n  frontier::{Rank, seen::Seen},\n};"),
        ("policy::pace", "fn f(x: crate::fetch::Body) {}"),
        ("policy::pace", "use super::super::sinks::Sink;"),
        ("policy::pace", "use super::{breaker, super::engine};"),
        ("policy", "use super::engine;"),
        ("engine::hosts::heap", "use super::super::super::crawl::Run;"),
        ("fetch::client", "use crate::frontier;"),
        ("crawl", "pub use crate::observe::Progress;"),
        ("seeds", "let _ = '\"'; let _: &'static str = r#\"\"#; use crate::engine::Event;"),
        ("model", "use lycosa::policy::scope;"),
        ("crawl", "mod inner { use super::super::observe; } use self::inner::x;"),
        ("utils", "fn f() {}"),
        ("engine", "use crate::Crawl;"),
        ("parse", "#[cfg(not(test))] use crate::engine::Event;"),
        ("parse", "#[cfg(any(test, unix))] use crate::engine::Event;"),
    ] {
        assert_eq!(judge(module, source).len(), 1, "{module}: {source}");
    }
}

#[test]
fn arrows_down_words_and_test_code_are_left_alone() {
    for (module, source) in [
        ("engine::worker", "use crate::{fetch::Fetcher, model::job::Job, policy};"),
        ("engine::worker", "use super::{hosts::Host, event::{self, Event}}; use crate::engine::clock;"),
        ("model::job", "use super::units::Moment; pub(crate) fn f() {} // crate::engine"),
        ("model::job", "/* use crate::engine; /* nested */ */ const X: &str = \"crate::engine\";"),
        ("model::job", "const X: &str = r#\"use \"crate::engine\"\"#; const Y: char = '\\'';"),
        ("model::job", "//! crate::engine\n/// [`crate::engine::Clock`]\nfn f<'a>(x: &'a str) {}"),
        ("model::job", "#[cfg(test)]\nmod tests {\n use crate::engine::Event;\n}\nfn f() {}"),
        ("model::job", "#[cfg(all(test, unix))]\n#[expect(x)]\nuse crate::engine::Event;"),
        ("model::job", "#[cfg(any(test, fuzzing))]\npub(crate) mod fuzz {\n use crate::engine::Event;\n}\nfn f() {}"),
        ("bin::lycosa::main", "use lycosa::crawl::Run; use crate::settings::Settings; let p = \"lycosa\";"),
        ("bin::lycosa::main", "tracing::info!(name = lycosa); use super::exit;"),
        ("crawl", "mod inner { mod deeper { use super::super::Run; } use super::Run; }"),
        ("engine", "macro_rules! m { () => { $crate::crawl::x() } }"),
    ] {
        assert_eq!(judge(module, source), [""; 0], "{module}: {source}");
    }
}
