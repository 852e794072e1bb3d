//! The pages at the root of the repository: what they name exists, and what they promise is what the command says of
//! itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::layering::FLOORS;
use crate::support::*;

const PAGES: [&str; 5] = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "benches/peers/README.md"];

/// Flags that are typed only: they say what one run does, and stand in no file.
const TYPED_ONLY: [&str; 16] = [
    "again",
    "config",
    "continue",
    "data",
    "head",
    "help",
    "http1.1",
    "http2",
    "input-file",
    "ipv4",
    "ipv6",
    "json",
    "location",
    "no-config",
    "request",
    "state",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Long and short flags that a help text lists, with their dashes.
fn flags_of(help: &str) -> BTreeSet<String> {
    let listed = help.lines().filter(|line| line.trim_start().starts_with('-'));
    let mut flags: BTreeSet<String> = listed.flat_map(|line| flags_in(line.trim_start())).collect();
    // Aliases stand behind the help of their flag, which may be on a further line.
    let folded = help.split_whitespace().collect::<Vec<_>>().join(" ");
    flags.extend(folded.split("[alias: ").skip(1).flat_map(|rest| flags_in(rest.split(']').next().unwrap())));
    flags
}

/// The flags a piece of a command line or of help starts words with: `-o FILE --with=body` has `-o` and `--with`.
fn flags_in(text: &str) -> Vec<String> {
    let words = text.split(|c: char| c.is_whitespace() || c == ',');
    let words = words.take_while(|word| !word.starts_with('#'));
    words.filter_map(flag_of).collect()
}

fn flag_of(word: &str) -> Option<String> {
    let name: String = word.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.')).collect();
    let letters = name.trim_start_matches('-');
    match name.len() - letters.len() {
        2 if letters.len() > 1 => Some(name),
        1 if letters.len() == 1 && !letters.chars().all(|c| c.is_ascii_digit()) => Some(name),
        // `-qq` is a flag twice.
        1 if letters.len() > 1 && letters.chars().all(|c| letters.starts_with(c)) => Some(name[..2].to_owned()),
        _ => None,
    }
}

fn help(words: &[&str]) -> String {
    lycosa(words.iter().copied().chain(["--help"])).run().exits(0).text().to_owned()
}

/// Every command and subcommand (`config show`) with its flags.
fn commands() -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::new();
    for command in listed(&help(&[])) {
        let text = help(&[&command]);
        for inner in listed(&text) {
            found.insert(format!("{command} {inner}"), flags_of(&help(&[&command, &inner])));
        }
        found.insert(command, flags_of(&text));
    }
    found
}

/// The names under "Commands:".
fn listed(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // The lines of a help that is wrapped are further in.
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
}

/// Fenced blocks with their language, and the page without them.
fn blocks(page: &str) -> (Vec<(String, String)>, String) {
    let (mut found, mut rest): (Vec<(String, String)>, String) = Default::default();
    let mut inside = false;
    for line in page.lines() {
        if let Some(language) = line.strip_prefix("```") {
            inside = !inside;
            if inside {
                found.push((language.to_owned(), String::new()));
            }
            continue;
        }
        let into = if inside { &mut found.last_mut().unwrap().1 } else { &mut rest };
        into.push_str(line);
        into.push('\n');
    }
    assert!(!inside, "a fence is not closed");
    (found, rest)
}

/// Inline code of a page without blocks.
fn spans(prose: &str) -> Vec<String> {
    prose.split('`').skip(1).step_by(2).map(|span| span.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// A section by its heading, up to the next heading of that level.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let start = page.find(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no section {heading}"));
    let text = &page[start + heading.len() + 2..];
    &text[..text.find("\n## ").unwrap_or(text.len())]
}

/// Every call of the command in code: the words behind `lycosa`, up to whatever ends a command of a shell.
fn calls(code: &str) -> Vec<Vec<String>> {
    let code = code.replace("\\\n", " ").replace("cargo run --release --", "lycosa");
    let mut calls = Vec::new();
    for line in code.lines() {
        let mut words = line.strip_prefix("$ ").unwrap_or(line).split_whitespace().peekable();
        let mut starts = true;
        while let Some(word) = words.next() {
            if starts && word == "lycosa" {
                let ends = |word: &str| matches!(word, "|" | ";" | "||" | "&&" | "&" | ">" | "<" | "#");
                let mut call = Vec::new();
                while let Some(word) = words.next_if(|word| !ends(word)) {
                    call.push(word.to_owned());
                }
                calls.push(call);
            }
            // Behind a pipe, an assignment, or the times of cron a command may stand; in `-o lycosa` it does not.
            starts = !word.starts_with('-');
        }
    }
    calls
}

/// What is wrong with a call: its command is unknown, or one of its flags.
fn complaint(call: &[String], commands: &BTreeMap<String, BTreeSet<String>>) -> Option<String> {
    let name = call.first()?;
    let has_inner = commands.keys().any(|key| key.starts_with(&format!("{name} ")));
    let known = match call.get(1) {
        Some(inner) if has_inner && !inner.starts_with('-') => commands.get(&format!("{name} {inner}")),
        _ => commands.get(name),
    };
    let Some(known) = known else { return Some(format!("no command: lycosa {}", call.join(" "))) };
    let unknown = call.iter().filter_map(|word| flag_of(word)).find(|flag| !known.contains(flag))?;
    Some(format!("no flag {unknown}: lycosa {}", call.join(" ")))
}

#[test]
fn the_judges_of_these_tests_can_say_no() {
    let commands = commands();
    let judge = |code: &str| calls(code).iter().filter_map(|call| complaint(call, &commands)).count();
    for wrong in [
        "lycosa crwal x",
        "a | lycosa fetch --retry 3 -",
        "X=1 lycosa fetch -F a=b",
        "$ lycosa crawl --ordered",
        "cargo run --release -- crawl --expel x",
        "lycosa config shown",
        "lycosa config show --retries 3",
    ] {
        assert_eq!(judge(wrong), 1, "{wrong}");
    }
    for right in
        ["lycosa crawl -qq --max-time 3 x | head -1", "lycosa config show --format json", "15 3 * * *  lycosa demo"]
    {
        assert_eq!(judge(right), 0, "{right}");
    }
    assert_eq!(judge("cat lycosa.toml; jq -r lycosa x"), 0);
    assert_eq!(slug("What is `x` here?"), "what-is-x-here");
}

#[test]
fn commands_and_flags_of_the_readme_exist() {
    let (commands, readme) = (commands(), page("README.md"));
    let not_yet = section(&readme, "## Not yet");
    let (blocks, prose) = blocks(&readme.replace(not_yet, ""));
    let code = blocks.iter().filter(|(language, _)| matches!(&**language, "sh" | "console" | "make" | "crontab"));
    let mut found: Vec<_> = code.flat_map(|(_, code)| calls(code)).collect();
    assert!(found.len() > 12, "the recipes were found: {}", found.len());
    let spans = spans(&prose);
    found.extend(spans.iter().flat_map(|span| calls(span)).filter(|call| !call.is_empty()));
    let wrong: Vec<_> = found.iter().filter_map(|call| complaint(call, &commands)).collect();
    assert_eq!(wrong, [""; 0]);
    let known: BTreeSet<_> = commands.values().flatten().cloned().collect();
    let named = spans.iter().filter(|span| span.starts_with('-')).flat_map(|span| flags_in(span));
    let unknown: Vec<_> = named.filter(|flag| !known.contains(flag)).collect();
    assert_eq!(unknown, [""; 0]);
}

/// What the README calls not built is unknown indeed.
#[test]
fn what_is_not_yet_there_is_unknown() {
    let (commands, readme) = (commands(), page("README.md"));
    let spans = spans(section(&readme, "## Not yet"));
    let known: BTreeSet<_> = commands.values().flatten().cloned().collect();
    let flags: Vec<_> = spans.iter().filter(|span| span.starts_with("--")).collect();
    for flag in flags {
        assert!(!known.contains(flag), "{flag} is there now: take it off the list");
    }
    let later: Vec<_> = spans.iter().filter_map(|span| span.strip_prefix("lycosa ")).collect();
    assert!(!later.is_empty(), "{later:?}");
    for command in later {
        assert!(!commands.contains_key(command), "lycosa {command} is there now: take it off the list");
    }
}

#[test]
fn exit_codes_of_the_readme_are_those_of_help() {
    let readme = page("README.md");
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let rows = section(&readme, "## Exit codes").lines().filter(|line| line.starts_with('|')).skip(2).map(cells);
    let help = help(&[]);
    let codes = help.lines().skip_while(|line| *line != "Exit codes:").skip(1);
    let codes = codes.map(|line| line.trim().split_once("  ").unwrap());
    let codes: Vec<_> = codes.map(|(code, meaning)| vec![code.to_owned(), meaning.to_owned()]).collect();
    assert_eq!(codes.iter().map(|row| &*row[0]).collect::<Vec<_>>(), ["0", "1", "2", "3", "4", "6", "130", "143"]);
    assert_eq!(rows.collect::<Vec<_>>(), codes);
}

#[test]
fn every_flag_is_explained_in_the_configuration_file_or_typed_only() {
    let file = page("config.toml");
    let mut keys = BTreeSet::new();
    let mut explained = false;
    for line in file.lines() {
        if line.starts_with("# ") && !line.starts_with("# ---") {
            explained = true;
        } else if let Some((key, _)) = line.split_once(" = ") {
            assert!(explained, "{key} has no comment above");
            keys.insert(key.to_owned());
        } else {
            explained = false;
        }
    }
    // `-s` is curl's, and changes nothing.
    let typed_only: BTreeSet<_> = TYPED_ONLY.into_iter().chain(["silent"]).map(str::to_owned).collect();
    let mut flags = BTreeSet::new();
    for command in ["crawl", "fetch"] {
        let text = help(&[command]);
        let lines = text.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
        let long = lines.filter_map(|line| line.split("--").nth(1)?.split([' ', '=']).next());
        // A flag that counts is shown as `--quiet...`.
        let long = long.map(|name| name.trim_end_matches('.'));
        flags.extend(long.filter(|name| !name.is_empty()).map(str::to_owned));
    }
    let expected: BTreeSet<_> = keys.union(&typed_only).cloned().collect();
    assert_eq!(flags, expected);
    assert!(keys.is_disjoint(&typed_only));
}

/// As a forge makes an anchor of a heading.
fn slug(heading: &str) -> String {
    let kept = heading
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .collect::<String>();
    kept.replace(' ', "-")
}

fn anchors(page: &str) -> BTreeSet<String> {
    let (_, prose) = blocks(page);
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| slug(line.trim_start_matches('#').trim())).collect()
}

#[test]
fn links_between_the_pages_lead_somewhere() {
    let mut count = 0;
    for name in PAGES {
        let (_, prose) = blocks(&page(name));
        for link in prose.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            if link.starts_with("https://") || link.starts_with("http://") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let here = root().join(name);
            let target = if path.is_empty() { here } else { here.parent().unwrap().join(path) };
            assert!(target.exists(), "{name}: {link}");
            let anchored = anchor.is_empty() || anchors(&fs::read_to_string(&target).unwrap()).contains(anchor);
            assert!(anchored, "{name}: {link}");
            count += 1;
        }
    }
    assert!(count > 10, "{count} links");
}

/// Whatever looks like a path of the repository is one.
#[test]
fn files_that_the_pages_name_exist() {
    let mut count = 0;
    for name in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let (_, prose) = blocks(&page(name));
        for span in spans(&prose) {
            let rooms = ["engine/", "fetch/", "frontier/", "parse/", "policy/", "seeds/", "sinks/", "model/"];
            let base = if rooms.iter().any(|room| span.starts_with(room)) { root().join("src") } else { root().into() };
            let places = ["src/", "tests/", "benches/", "fixtures/", "target/"];
            let is_path = base != root() || places.iter().any(|place| span.starts_with(place));
            if is_path && !span.contains(' ') && !span.starts_with("target/") {
                assert!(base.join(&span).exists(), "{name}: {span}");
                count += 1;
            }
        }
    }
    assert!(count > 30, "{count} paths");
}

/// The tree in ARCHITECTURE.md names every file of the engine, and every room there is.
#[test]
fn the_tree_is_whole() {
    let architecture = page("ARCHITECTURE.md");
    let (blocks, _) = blocks(&architecture);
    let tree = &blocks.iter().find(|(_, block)| block.starts_with("src/lib.rs")).unwrap().1;
    let names: BTreeSet<_> = tree.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect();
    let mut rooms: Vec<PathBuf> = vec![root().join("src")];
    rooms.extend(["engine", "policy", "fetch", "parse", "frontier", "model"].map(|room| root().join("src").join(room)));
    for room in rooms {
        for entry in fs::read_dir(&room).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            if !matches!(&*name, "mod" | "tests") && !name.starts_with('.') {
                assert!(names.contains(&*name), "{} is not in the tree", path.display());
            }
        }
    }
}

#[test]
fn floors_are_those_of_the_layering_test() {
    let architecture = page("ARCHITECTURE.md");
    let mut told = Vec::new();
    for line in section(&architecture, "## Floors").lines().filter(|line| line.starts_with('|')).skip(2) {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        told.extend(spans(cells[2]).into_iter().map(|room| (room, cells[1].parse::<u8>().unwrap())));
    }
    told.sort();
    let mut floors: Vec<_> = FLOORS.iter().map(|(room, floor)| ((*room).to_owned(), *floor)).collect();
    floors.sort();
    assert_eq!(told, floors);
}

/// The README's example of the library is the first of the crate's docs, which is compiled.
#[test]
fn the_example_of_the_library_compiles() {
    let docs: String =
        page("src/lib.rs").lines().filter_map(|line| line.strip_prefix("//!")).fold(String::new(), |mut docs, line| {
            docs.push_str(line.strip_prefix(' ').unwrap_or(line));
            docs.push('\n');
            docs
        });
    let (examples, _) = blocks(&docs);
    let shown: String =
        examples[0].1.lines().filter(|line| !line.starts_with("# ")).fold(String::new(), |mut all, line| {
            all.push_str(line);
            all.push('\n');
            all
        });
    let (blocks, _) = blocks(&page("README.md"));
    let example = &blocks.iter().find(|(language, _)| language == "rust").unwrap().1;
    assert_eq!(*example, shown);
}
