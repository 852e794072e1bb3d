//! Target of fuzzing for configuration files.

use std::path::Path;

use super::{EMBEDDED, defaults, parse};
use crate::fuzzing::target::Target;
use crate::settings::Run;
use crate::settings::request::RequestFlags;
use crate::settings::resolve::resolve;

/// A configuration file.
pub const CONFIG: Target = Target { run: config, words: WORDS, seeds, runs: 3_000 };

const WORDS: &[&[u8]] = &[
    b"[[host]]",
    b"match = \"*.example.org\"",
    b"[crawl]",
    b"[fetch]",
    b"rate = \"5/s\"",
    b"host-rate = ",
    b"timeout = ",
    b"concurrency = ",
    b"header = [",
    b"output = [",
    b"proxy = ",
    b"user-agent = ",
    b"include = [",
    b"with = [",
    b"accept-status = ",
    b"fail-on = ",
    b"= ",
    b"\"",
    b"\"\"\"",
    b"'",
    b"#",
    b"\n",
    b"\\u0000",
    b"\\u001b",
    b"0x10",
    b"1e400",
    b"inf",
    b"nan",
    b"1979-05-27",
    b"true",
    b"[[",
    b"]]",
    b"{",
    b"}",
    b".",
    b"none",
    b"99999999999999999999",
    b"1000000d",
    b"100TB",
    b"-1",
    b"\xef\xbb\xbf",
    b"\xff",
    b"socks5://u:p@h",
    b"*",
    b"(",
    b"p95",
    b"10%",
];

fn seeds() -> Vec<Vec<u8>> {
    // Its parts: changes of the whole would hardly ever meet.
    let lines: Vec<&str> = EMBEDDED.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    let mut seeds: Vec<Vec<u8>> = lines.chunks(8).map(|part| part.join("\n").into_bytes()).collect();
    seeds.push(b"[[host]]\nmatch = [\"api.example.org\", \"*.api.example.org\"]\nhost-rate = \"2/s\"\nuser = \"n:p\"\nheader = [\"Accept: x\"]\nproxy = \"http://p:1\"\n".to_vec());
    seeds.push(b"host-concurrency = 2\n[fetch]\nhost-concurrency = 3\n[crawl]\ninclude = [\"/a.*b\"]\n".to_vec());
    seeds
}

fn config(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let path = Path::new("/etc/my.toml");
    let global = parse(&text, Some(path), false);
    if let Err(error) = &global {
        let line = error.message.strip_prefix("/etc/my.toml:").and_then(|rest| rest.split(':').next()?.parse().ok());
        let lines = text.matches('\n').count() + 1;
        assert!(line.is_some_and(|line: usize| (1..=lines).contains(&line)), "{}: of {lines} lines", error.message);
        assert!(!error.first_line().chars().any(char::is_control), "{:?}", error.first_line());
    }
    // What a checkout may say, a user's own file may say too.
    assert!(global.is_ok() || parse(&text, Some(path), true).is_err());
    for run in Run::ALL {
        let Ok(values) = parse(&text, Some(path), false) else { return };
        let mut layer = defaults(run).clone();
        layer.lay_over(values.of(run));
        if let Err(error) = resolve(run, &layer, &RequestFlags::default()) {
            assert!(!error.first_line().chars().any(char::is_control), "{:?}", error.first_line());
        }
    }
}
