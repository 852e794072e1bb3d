//! The list of flags that are curl's, and that each of them is compared with curl's.

/// The contract's list, each with its other spellings: those that change what a server or proxy sees, or whether a
/// transfer succeeds.
const FLAGS: [&[&str]; 32] = [
    &["-H", "--header"],
    &["-A", "--user-agent"],
    &["-e", "--referer"],
    &["-X", "--request"],
    &["-d", "--data"],
    &["--json"],
    &["-u", "--user"],
    &["-n", "--netrc"],
    &["-b", "--cookie"],
    &["-c", "--cookie-jar"],
    &["-x", "--proxy"],
    &["--noproxy"],
    &["-k", "--insecure"],
    &["--cacert"],
    &["--cert"],
    &["--key"],
    &["--resolve"],
    &["--connect-to"],
    &["--http1.1"],
    &["--http2"],
    &["-4", "--ipv4"],
    &["-6", "--ipv6"],
    &["--interface"],
    &["--max-redirs"],
    &["--limit-rate"],
    &["--compressed"],
    &["--no-compressed"],
    &["-I", "--head"],
    &["-m", "--max-time"],
    &["--connect-timeout"],
    &["--max-filesize"],
    &["-L", "--location"],
];

/// The tests beside curl.
const SOURCES: [&str; 5] = [
    include_str!("../curl.rs"),
    include_str!("limits.rs"),
    include_str!("redirects.rs"),
    include_str!("requests.rs"),
    include_str!("socks.rs"),
];

#[test]
fn every_flag_in_every_spelling_is_compared_with_that_of_curl() {
    let tests = || SOURCES.iter().flat_map(|source| source.split("#[test]").skip(1));
    let comparisons: Vec<_> = tests().filter(|test| test.contains(".agree(") || test.contains(".shown_to(")).collect();
    assert!(comparisons.len() >= 15, "{}", comparisons.len());
    let is_compared = |flag: &str| comparisons.iter().any(|test| test.contains(&format!("\"{flag}\"")));
    let missing: Vec<_> = FLAGS.iter().copied().flatten().filter(|flag| !is_compared(flag)).collect();
    assert!(missing.is_empty(), "not compared with curl: {missing:?}");
}
