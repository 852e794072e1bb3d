//! What a machine does to a run that is kept on disk: no room, no right to write, another version, a lock that is left, a
//! clock that was set.
//!
//! A disk of 20 MB is a file system in memory, in a namespace of its own: nothing of it is seen elsewhere, and most
//! machines give it to any user. Where none can be made the test says so, and a quota (`ulimit -f`) stands for the full disk.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use xxhash_rust::xxh3::xxh3_64;

use crate::support::*;

/// A file system of its own, gone with this value.
struct Disk {
    holder: Child,
    answers: BufReader<ChildStdout>,
    mount: TempDir,
}

const DISK: usize = 20 << 20;

impl Disk {
    /// One of 20 MB. None where the machine gives none; then it has said why.
    #[expect(clippy::print_stderr, reason = "said to whoever reads why less was tested")]
    fn new() -> Option<Self> {
        // As root in a namespace of our own users, or because we are root.
        let disk = ["-rm", "-m"].into_iter().find_map(Self::held_by);
        if disk.is_none() {
            eprintln!("no file system of its own: unshare and mount do not let us make one here");
        }
        disk
    }

    /// A process holds the namespace: it does what it is told, and ends with its standard input.
    fn held_by(flags: &str) -> Option<Self> {
        let mount = TempDir::new().unwrap();
        let script = "mount -t tmpfs -o size=$1 none \"$0\" && echo done && while read -r l; do eval \"$l\" && echo done || echo failed; done";
        let mut command = std::process::Command::new("unshare");
        command.args([flags, "sh", "-c", script]).arg(mount.path()).arg(DISK.to_string());
        let mut holder = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
        let answers = BufReader::new(holder.stdout.take().unwrap());
        let mut disk = Self { holder, answers, mount };
        // What it holds is seen from here below its own root.
        (disk.is_done() && std::fs::write(disk.path("probe"), "x").is_ok()).then_some(disk)
    }

    fn is_done(&mut self) -> bool {
        let mut line = String::new();
        self.answers.read_line(&mut line).is_ok() && line == "done\n"
    }

    fn remount(&mut self, how: &str) {
        let line = format!("mount -o remount,bind,{how} {}", self.mount.path().display());
        writeln!(self.holder.stdin.as_mut().unwrap(), "{line}").unwrap();
        assert!(self.is_done(), "{line}");
    }

    fn path(&self, name: &str) -> PathBuf {
        let mount = self.mount.path().strip_prefix("/").unwrap();
        Path::new(&format!("/proc/{}/root", self.holder.id())).join(mount).join(name)
    }

    /// Takes all room but so many bytes.
    fn fill(&self, but: usize) {
        let mut ballast = std::fs::File::create(self.path("ballast")).unwrap();
        while ballast.write_all(&[0; 4096]).is_ok() {}
        let length = ballast.metadata().unwrap().len();
        assert!(length > DISK as u64 / 2, "it is about as large as was asked for");
        ballast.set_len(length - but as u64).unwrap();
    }

    fn free(&self) {
        std::fs::remove_file(self.path("ballast")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

fn text_of(path: &Path) -> String {
    path.display().to_string()
}

fn resume(state: &Path) -> Command {
    lycosa(["resume", &text_of(state)])
}

fn look(state: &Path) -> Value {
    let run = lycosa(["status", &text_of(state), "--format", "json"]).run().exits(0);
    serde_json::from_slice(&run.stdout).unwrap()
}

/// The records of a file by what does not depend on time and order; each line is whole, and `seq` has no gap.
fn essences(path: &Path) -> BTreeMap<String, usize> {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.ends_with('\n'), "a torn line");
    let mut all = BTreeMap::new();
    for (place, line) in text.lines().enumerate() {
        let record: Value = serde_json::from_str(line).unwrap();
        assert_eq!(record["seq"], place, "seq without a gap");
        let keys = ["url", "final_url", "outcome", "status", "skip_reason"].map(|key| record[key].to_string());
        *all.entry(keys.join(" ")).or_default() += 1;
    }
    all
}

fn site_of(pages: usize) -> Site {
    let tree = Tree::new(pages, pages / 20, pages / 30, 3);
    Site::start(move |request| tree.answer(request))
}

/// A crawl that was stopped after some pages, in a directory of its own.
fn stopped(site: &Site) -> TempDir {
    let place = TempDir::new().unwrap();
    let words = ["crawl", "--state", "state", "-o", "out.jsonl", "--max-pages", "10", &site.url("/page/0")];
    let words = words.map(|word| match word {
        "state" | "out.jsonl" => text_of(&place.path().join(word)),
        _ => word.to_owned(),
    });
    lycosa(words).run().exits(4);
    place
}

/// State and output on a disk that becomes full, or either alone; with more or less room.
#[test]
#[cfg(target_os = "linux")]
fn a_disk_that_is_full_in_the_middle_costs_nothing() {
    let site = site_of(900);
    let elsewhere = TempDir::new().unwrap();
    let whole = elsewhere.path().join("whole.jsonl");
    lycosa(["crawl", "-o", &text_of(&whole), &site.url("/page/0")]).run().exits(0);
    let (expected, asked) = (essences(&whole), site.pages().len());
    for (there, room) in [("state out", 100_000), ("state out", 300_000), ("state", 24_000), ("out", 200_000)] {
        let (disk, elsewhere) = (Disk::new(), TempDir::new().unwrap());
        let place = |name: &str| match &disk {
            Some(disk) if there.contains(name) => disk.path(name),
            _ => elsewhere.path().join(name),
        };
        let (state, output) = (place("state"), place("out"));
        let before = site.pages().len();
        // Where there is no such disk no file may be longer than this, in blocks of 512 bytes.
        let full = |words: &[&str]| {
            let words = words.to_vec();
            if disk.is_some() {
                return lycosa(words).run();
            }
            let script = format!("ulimit -f {}; exec \"$0\" \"$@\"", room / 512);
            program("sh", ["-c", &script, env!("CARGO_BIN_EXE_lycosa")]).args(words).run()
        };
        if let Some(disk) = &disk {
            disk.fill(room);
        }
        let (state_text, output_text) = (text_of(&state), text_of(&output));
        let first =
            full(&["crawl", "--state", &state_text, "-o", &output_text, "--format", "jsonl", &site.url("/page/0")]);
        let told = &first.stderr;
        assert_eq!(first.code, 3, "{told}");
        assert!(told.contains("No space left on device") || told.contains("File too large"), "{told}");
        assert!(told.contains(&format!("lycosa resume {state_text}")), "{told}");
        let ended = site.pages().len() - before;
        assert!((10..asked).contains(&ended), "in the middle: after {ended} of {asked} requests");
        // There is no more room than before: it ends once more, and spoils nothing.
        assert_eq!(full(&["resume", &state_text]).code, 3);
        if let Some(disk) = &disk {
            disk.free();
        }
        resume(&state).run().exits(0);
        assert_eq!(essences(&output), expected, "{there} on the disk, {room} bytes");
        assert_eq!(look(&state)["state"], "finished");
        let more = site.pages().len() - before - asked;
        assert!(more <= 2 * 400, "{more} requests more than pages");
    }
}

/// Nothing is asked when there is no room for what would be written of it.
#[test]
#[cfg(target_os = "linux")]
fn a_disk_that_is_full_from_the_start_is_told_before_anything_is_asked() {
    let Some(disk) = Disk::new() else { return };
    let site = site_of(20);
    disk.fill(0);
    let words = ["crawl", "--state", &text_of(&disk.path("state")), "-o", &text_of(&disk.path("out.jsonl"))];
    let run = lycosa(words).arg(site.url("/page/0")).run().exits(3);
    assert!(run.stderr.contains("No space left on device"), "{}", run.stderr);
    assert_eq!(site.hits(), 0);
    disk.free();
    lycosa(words).arg(site.url("/page/0")).run().exits(0);
    assert_eq!(essences(&disk.path("out.jsonl")).len(), 21);
}

#[test]
#[cfg(target_os = "linux")]
fn a_state_that_cannot_be_written_is_told_and_can_still_be_looked_at() {
    let Some(mut disk) = Disk::new() else { return };
    let site = site_of(40);
    let (state, output) = (disk.path("state"), disk.path("out.jsonl"));
    let url = site.url("/page/0");
    let begin = || lycosa(["crawl", "--max-pages", "10", "--state", &text_of(&state), "-o", &text_of(&output), &url]);
    begin().run().exits(4);
    let asked = site.hits();
    disk.remount("ro");
    for run in [resume(&state).run(), begin().arg("--continue").run()] {
        let run = run.exits(3);
        assert!(run.stderr.contains(&text_of(&state)), "{}", run.stderr);
        assert!(run.stderr.contains("Read-only file system"), "{}", run.stderr);
    }
    let elsewhere = TempDir::new().unwrap();
    let new = ["crawl", "--state", &text_of(&disk.path("new")), "-o", &text_of(&elsewhere.path().join("o")), &url];
    assert!(lycosa(new).run().exits(3).stderr.contains("Read-only file system"));
    assert_eq!(site.hits(), asked, "nothing was asked");
    let status = look(&state);
    assert_eq!((&status["state"], &status["records"]), (&"stopped".into(), &10.into()), "{status}");
    disk.remount("rw");
    resume(&state).args(["--max-pages", "none"]).run().exits(0);
    assert_eq!(essences(&output).len(), 43);
}

#[test]
fn a_state_of_another_version_is_refused_with_what_to_do_and_left_alone() {
    let site = site_of(40);
    let place = stopped(&site);
    let (state, asked) = (place.path().join("state"), site.hits());
    let journal = state.join("journal");
    let ours = std::fs::read(&journal).unwrap();
    // Twelve bytes say what it is, and eight that this was written.
    let mut theirs = ours.clone();
    theirs[11] += 1;
    let checksum = xxh3_64(&theirs[..12]);
    theirs[12..20].copy_from_slice(&checksum.to_le_bytes());
    std::fs::write(&journal, &theirs).unwrap();
    let words = ["crawl", "--state", &text_of(&state), "-o", &text_of(&place.path().join("out.jsonl")), "--continue"];
    let runs = [
        resume(&state).run(),
        lycosa(["status", &text_of(&state)]).run(),
        lycosa(words).args(["--max-pages", "10", &site.url("/page/0")]).run(),
    ];
    for run in runs {
        let told = run.exits(2).stderr;
        assert!(told.contains("made by another version of lycosa"), "{told}");
        assert!(told.contains("finish it with that version, or start it anew in another directory"), "{told}");
    }
    assert!(std::fs::read(&journal).unwrap() == theirs, "nothing was written");
    assert_eq!(site.hits(), asked);
    std::fs::write(&journal, &ours).unwrap();
    resume(&state).args(["--max-pages", "none"]).run().exits(0);
    assert_eq!(essences(&place.path().join("out.jsonl")).len(), 43);
}

/// A lock is the system's, not a number in a file: that of a dead process keeps nobody out, whoever has its number now.
#[test]
fn a_lock_that_was_left_behind_is_taken_over() {
    let site = site_of(40);
    let place = stopped(&site);
    let state = place.path().join("state");
    // This test lives, and is not the run.
    std::fs::write(state.join("lock"), format!("{}\n", std::process::id())).unwrap();
    assert_eq!(look(&state)["state"], "stopped");
    resume(&state).args(["--max-pages", "none"]).run().exits(0);
    assert_eq!(essences(&place.path().join("out.jsonl")).len(), 43);
}

/// While a run goes on, it says who it is to all that would begin, go on or begin anew in its directory.
#[test]
fn a_living_run_keeps_all_others_out() {
    let site = Site::start(|_| text("x").after_ms(100));
    let place = TempDir::new().unwrap();
    let state = text_of(&place.path().join("state"));
    let output = text_of(&place.path().join("out.jsonl"));
    let fetch = ["fetch", "--state", &state, "-o", &output, "-i", "-"];
    let mut running = lycosa(fetch).open_stdin().spawn();
    running.write(&format!("{}\n", site.url("/1")));
    running.wait_until("a record", || std::fs::read(&output).is_ok_and(|text| !text.is_empty()));
    let (written, told) = (std::fs::read(&output).unwrap(), format!("in use by process {}", running.id()));
    for words in [&["resume", &state][..], &fetch[..], &["crawl", "--state", &state, "--again"]] {
        let run = lycosa(words.to_vec()).run().exits(2);
        assert!(run.stderr.contains(&told), "{}", run.stderr);
    }
    assert!(std::fs::read(&output).unwrap() == written, "its output was not touched");
    running.close_stdin();
    running.finish().exits(0);
}

/// A copy is a run like the one it was made of, wherever it is.
#[test]
fn a_copy_of_a_state_goes_on_elsewhere() {
    let site = site_of(40);
    let place = stopped(&site);
    let there = TempDir::new().unwrap();
    let copy = there.path().join("a place with a longer name");
    std::fs::create_dir(&copy).unwrap();
    for file in std::fs::read_dir(place.path().join("state")).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.join(file.file_name())).unwrap();
    }
    std::fs::remove_dir_all(place.path().join("state")).unwrap();
    resume(&copy).args(["--max-pages", "none"]).run().exits(0);
    assert_eq!(essences(&place.path().join("out.jsonl")).len(), 43);
}

/// Sets the clock of a process: the time of day alone, as an administrator would.
const SET_CLOCK: &str = r#"
#define _GNU_SOURCE
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <sys/syscall.h>
int clock_gettime(clockid_t clock, struct timespec *time) {
    long result = syscall(SYS_clock_gettime, clock, time);
    const char *hours = getenv("HOURS");
    if (clock == CLOCK_REALTIME && hours) time->tv_sec += 3600 * atol(hours);
    return (int) result;
}
"#;

/// A host that asked to be left alone is, for no longer than it asked: whatever the clock says when the run goes on.
#[test]
#[cfg(target_os = "linux")]
fn a_clock_that_was_set_makes_no_wait_longer() {
    let _measuring = measuring();
    let tools = TempDir::new().unwrap();
    std::fs::write(tools.path().join("clock.c"), SET_CLOCK).unwrap();
    let compiled = std::process::Command::new("cc")
        .args(["-shared", "-fPIC", "-o", "clock.so", "clock.c"])
        .current_dir(tools.path())
        .status();
    if !compiled.is_ok_and(|status| status.success()) {
        eprintln!("no C compiler: the clock of a process cannot be set here");
        return;
    }
    // The time between the two requests, with the clock of the second process as it should be, or set by so many hours.
    let gap = |hours: &str| {
        let site = Site::start(|request: &Request| match request.nth {
            0 => status(429).header("Retry-After", "6"),
            _ => text("x"),
        });
        let place = TempDir::new().unwrap();
        let (state, output) = (place.path().join("state"), place.path().join("out.jsonl"));
        let mut running =
            lycosa(["fetch", "--state", &text_of(&state), "-o", &text_of(&output), &site.url("/")]).spawn();
        // That it was answered is in the journal when it has stopped.
        running.wait_until("an answer", || site.log().iter().any(|hit| hit.ended.is_some()));
        std::thread::sleep(Duration::from_millis(200));
        running.signal("INT");
        running.finish().exits(130);
        let preload = text_of(&tools.path().join("clock.so"));
        resume(&state).env("LD_PRELOAD", preload).env("HOURS", hours).run().exits(0);
        assert_eq!(essences(&output).len(), 1);
        gaps(&site.log())[0]
    };
    let asked = Duration::from_millis(5980);
    let (right, forward, back) = (gap("0"), gap("1"), gap("-240"));
    assert!(right >= asked, "{right:?}");
    // It seems to be over: so the clock of that process was another.
    assert!(forward < right, "{forward:?}");
    // It ended at all, and not after ten days; and it has waited.
    assert!(back >= asked, "{back:?}");
}
