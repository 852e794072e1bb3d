//! Outputs in all formats, read back by programs that are not ours (`sinks/read.py`: Python's own modules, zstandard,
//! warcio, pyarrow, jq), row by row equal to the JSON Lines of the same run; also of a run that was killed again and again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::support::*;

/// Endings of all formats but the JSON Lines that the others are held against.
const ENDINGS: &[&str] =
    &["json", "csv", "sqlite", "jsonl.gz", "json.zst", "csv.gz", "jsonl.zst", "warc", "warc.gz", "parquet"];

fn outputs(directory: &Path) -> Vec<PathBuf> {
    let others = ENDINGS.iter().map(|ending| directory.join(format!("out.{ending}")));
    std::iter::once(directory.join("out.jsonl")).chain(others).collect()
}

fn flags(directory: &Path) -> Vec<String> {
    outputs(directory).iter().flat_map(|path| ["-o".to_owned(), path.display().to_string()]).collect()
}

/// Reads all outputs; returns how many records each has.
fn read_back(directory: &Path) -> usize {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = home.join("target/programs/bin/python");
    assert!(python.is_file(), "there is no {}; './test' makes it", python.display());
    let run = std::process::Command::new(python)
        .arg(home.join("tests/it/sinks/read.py"))
        .args(outputs(directory))
        .output()
        .unwrap();
    let (told, wrong) = (String::from_utf8(run.stdout).unwrap(), String::from_utf8_lossy(&run.stderr).into_owned());
    assert!(run.status.success(), "{told}{wrong}");
    assert_eq!(told.lines().count(), ENDINGS.len(), "{told}");
    std::fs::read_to_string(directory.join("out.jsonl")).unwrap().lines().count()
}

/// Pages with everything that an output could stumble over.
fn page(request: &Request) -> Reply {
    match request.path() {
        "/" => html(index((0..60).map(|page| format!("/page/{page}")))),
        "/page/7" => status(404),
        "/page/8" => redirect(302, "/page/0"),
        "/page/9" => {
            text("no page").header("content-type", "application/octet-stream").bytes([0, 255, b'\n', b'"', 13])
        }
        "/page/10" | "/page/11" => html("<title>the same</title>"),
        path => html(format!(
            "<title>=HYPERLINK(\"{path}\", 'x')&#10;two, lines&#13;</title><a href='/?a=1&b=\"2\"' rel=nofollow>-1,\"q\"</a>\
             <a href='//other.example/@x#f'>\u{2028}\u{1f980}</a><p>{}",
            "body\r\n".repeat(path.len() * 50)
        )),
    }
}

#[test]
fn every_format_is_read_back_row_by_row() {
    let site = Site::start(page);
    let directory = TempDir::new().unwrap();
    let input = format!(
        "{{\"url\": \"{0}\", \"id\": \"+1\", \"meta\": {{\"a\": [\"=x\"]}}}}\nhttp://not a url/\n",
        site.url("/page/1")
    );
    lycosa(["crawl", "-i", "-", &site.url("/"), "--with", "links,headers,body,digest", "--refused"])
        .args(flags(directory.path()))
        .stdin(input)
        .run()
        .exits(1);
    assert!(read_back(directory.path()) > 60);
    assert!(!directory.path().join("out.parquet.spool").exists(), "nothing is left beside it");
    let archive = std::fs::read(directory.path().join("out.warc")).unwrap();
    assert_eq!(String::from_utf8_lossy(&archive).matches("\r\nWARC-Type: revisit\r\n").count(), 1);
    let text = String::from_utf8_lossy(&archive).to_ascii_lowercase();
    let hosts: Vec<&str> = text.lines().filter(|line| line.starts_with("host:")).collect();
    let expected = site.url("/").trim_end_matches('/').replace("http://", "host: ");
    assert!(hosts.len() >= 60 && hosts.iter().all(|host| *host == expected), "{:?}", hosts.first());
    // Without a record, and without the keys that come on request.
    let empty = TempDir::new().unwrap();
    lycosa(["fetch", "-i", "-"]).args(flags(empty.path())).stdin("").run().exits(0);
    assert_eq!(read_back(empty.path()), 0);
}

#[test]
fn all_formats_hold_the_same_records_after_kills() {
    let tree = Tree::new(500, 20, 20, 5);
    let paths = tree.paths().len();
    let site = Site::start(move |request| tree.answer(request));
    let directory = TempDir::new().unwrap();
    let state = directory.path().join("state").display().to_string();
    let mut next = lycosa(["crawl", "--state", &state, "--rate", "130/s", "--with", "links", &site.url("/page/0")])
        .args(flags(directory.path()));
    let (mut random, mut kills) = (fastrand::Rng::with_seed(11), 0);
    loop {
        let mut running = next.spawn();
        let until = std::time::Instant::now() + Duration::from_millis(random.u64(900..1800));
        while running.is_running() && std::time::Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        if !running.is_running() {
            running.finish().exits(0);
            break;
        }
        running.signal("KILL");
        running.finish().exits(137);
        kills += 1;
        assert!(kills < 60, "it never comes to its end");
        next = lycosa(["resume", &state]);
    }
    assert!(kills > 1, "it was never killed");
    assert_eq!(read_back(directory.path()), paths - 20, "one record for each page and redirect, {kills} kills");
    let asked = site.pages().len();
    assert!(asked <= paths + 400 * kills, "{asked} requests for {paths} pages and {kills} kills");
    lycosa(["resume", &state]).run().exits(0);
    assert_eq!(site.pages().len(), asked, "of a finished run nothing is asked");
    assert_eq!(read_back(directory.path()), paths - 20);
}

#[test]
fn what_is_no_text_needs_a_file() {
    let run = lycosa(["fetch", "--format", "sqlite", "http://127.0.0.1:1/"]).run().exits(2);
    assert!(run.stderr.contains("needs a file") && run.stderr.contains("-o FILE.sqlite"), "{}", run.stderr);
    let csv = lycosa(["fetch", "--format", "csv", "--retries", "0", "http://127.0.0.1:1/"]).run().exits(1);
    assert!(csv.text().starts_with("schema,seq,run,id,") && csv.text().lines().count() == 2, "{}", csv.text());
}
