//! Formats on real files and pipes, and what is left of them when writing fails.

use std::fs;
use std::io::Read as _;
use std::sync::Arc;

use super::*;
use crate::model::columns::COLUMNS;
use crate::model::record::{Outcome, RecordBody};

/// Lines whose records have a title of `length` bytes.
fn lines(seqs: std::ops::Range<u64>, length: usize) -> Vec<Line> {
    let line = |seq| {
        let mut record = RecordBody::blank("run".into(), format!("r-{seq}"), Outcome::Skipped);
        record.title = Some("x".repeat(length));
        Line { seq, json: record.to_json(), record: None }
    };
    seqs.map(line).collect()
}

fn to_file(path: &Path, format: &'static str) -> Box<dyn Sink> {
    open(&OutputSettings { target: Target::File(path.to_owned()), format }).unwrap()
}

fn seqs(values: &[serde_json::Value]) -> Vec<u64> {
    values.iter().map(|value| value["seq"].as_u64().unwrap()).collect()
}

fn seqs_of_jsonl(text: &str) -> Vec<u64> {
    let values: Vec<_> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    seqs(&values)
}

#[test]
fn the_table_knows_endings() {
    let cases = [
        ("out", Some("jsonl")),
        (".hidden", Some("jsonl")),
        ("/dev/stdout", Some("jsonl")),
        ("a.b/out", Some("jsonl")),
        ("out.jsonl", Some("jsonl")),
        ("out.NDJSON", Some("jsonl")),
        ("out.v2.json", Some("json")),
        ("out.csv", Some("csv")),
        ("out.txt", None),
        ("out.csv.gz", Some("csv")),
        ("out.JSON.Zst", Some("json")),
        ("out.gz", Some("jsonl")),
        ("out.txt.gz", None),
        ("out.db", Some("sqlite")),
        ("out.db.gz", None),
        ("out.warc", Some("warc")),
        ("out.warc.gz", Some("warc")),
        ("out.warc.zst", None),
        ("out.parquet", Some("parquet")),
        ("out.parquet.gz", None),
    ];
    for (path, format) in cases {
        assert_eq!(format_for_path(Path::new(path)), format, "{path}");
    }
    for format in FORMATS {
        for ending in format.endings {
            let found = FORMATS.iter().find(|format| format.endings.contains(ending)).unwrap();
            assert_eq!(found.name, format.name, "{ending} belongs to two formats");
        }
    }
}

#[test]
fn bytes_of_each_format() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    let records: Vec<String> = lines(0..3, 1)
        .iter()
        .map(|line| {
            let tail = String::from_utf8(line.json[1..].to_vec()).unwrap();
            format!(r#"{{"schema":1,"seq":{},{tail}"#, line.seq)
        })
        .collect();
    let names: Vec<&str> = COLUMNS.iter().map(|column| column.name).collect();
    let cells = |seq| {
        format!(
            "1,{seq},run,r-{seq},,,,,skipped,,,,GET,0,,0,[],,,,,,,,,,,,,,0,0,false,,,x,,false,false,false,,,,,,,,\r\n"
        )
    };
    for (format, empty, full) in [
        ("csv", names.join(",") + "\r\n", names.join(",") + "\r\n" + &(0..3).map(cells).collect::<String>()),
        ("jsonl", String::new(), records.join("\n") + "\n"),
        ("json", "[]\n".to_owned(), format!("[\n{}\n]\n", records.join(",\n"))),
    ] {
        fs::write(&path, "of an earlier run").unwrap();
        let mut sink = to_file(&path, format);
        assert_eq!(fs::read(&path).unwrap(), b"", "{format}: truncated when it is opened");
        assert!(!sink.needs_record());
        sink.write(&[]).unwrap();
        sink.finish().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), empty);

        let mut sink = to_file(&path, format);
        sink.write(&lines(0..1, 1)).unwrap();
        assert_eq!(sink.commit().unwrap(), 1);
        sink.write(&lines(1..3, 1)).unwrap();
        assert_eq!(sink.commit().unwrap(), 3);
        sink.finish().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), full);
    }
}

#[test]
fn what_is_committed_can_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out.jsonl");
    let mut sink = to_file(&path, "jsonl");
    // Long lines, short ones, and a batch of several hand-overs.
    for (from, to, length) in [(0, 1, 200_000), (1, 300, 1_000), (300, 301, 0)] {
        sink.write(&lines(from..to, length)).unwrap();
        assert_eq!(sink.commit().unwrap(), to);
        let written = seqs_of_jsonl(&fs::read_to_string(&path).unwrap());
        assert_eq!(written, (0..to).collect::<Vec<_>>());
    }
}

#[test]
fn what_cannot_be_opened_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("no/such/directory.json");
    let error = open(&OutputSettings { target: Target::File(path.clone()), format: "json" }).map(drop).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot write {}", path.display()));
    assert_eq!(error.source.kind(), std::io::ErrorKind::NotFound);
    assert!(!path.parent().unwrap().exists(), "directories are not made");
    let error = open(&OutputSettings { target: Target::Stdout, format: "toml" }).map(drop).unwrap_err();
    assert_eq!(error.source.to_string(), "no format 'toml'");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_takes_nothing() {
    for format in ["jsonl", "json", "csv"] {
        let mut sink = to_file(Path::new("/dev/full"), format);
        let error = sink.write(&lines(0..200, 1000)).unwrap_err();
        assert_eq!(error.source.kind(), std::io::ErrorKind::StorageFull);
        assert_eq!((error.written, &*error.target), (0, "/dev/full"));
        assert!(!error.is_closed_pipe());
        assert_eq!(sink.commit().unwrap(), 0);
        // It was told; ending the run is not another failure.
        sink.finish().unwrap();
    }
    assert!(to_file(Path::new("/dev/full"), "json").finish().is_err(), "an array that cannot be closed is told");
}

#[test]
fn a_closed_pipe_tells_what_was_whole() {
    for (format, open) in [("jsonl", jsonl::FORMAT.open), ("json", json::FORMAT.open)] {
        let Open::Text(open) = open else { panic!("{format} is no text") };
        let (mut reader, writer) = std::io::pipe().unwrap();
        #[cfg(unix)]
        let file = std::os::fd::OwnedFd::from(writer).into();
        #[cfg(windows)]
        let file = std::os::windows::io::OwnedHandle::from(writer).into();
        let mut sink =
            open(Output::new("standard output".to_owned(), file), Start { path: None, next_seq: 0, goes_on: false });
        let reading = std::thread::Builder::new().spawn(move || {
            let mut head = vec![0; 100_000];
            reader.read_exact(&mut head).unwrap();
            String::from_utf8(head).unwrap()
        });
        let error = sink.write(&lines(0..1000, 1000)).unwrap_err();
        let head = reading.unwrap().join().unwrap();
        assert!(error.is_closed_pipe(), "{error:?}");
        // Whole lines that were read, and up to a pipe's memory of such that were not.
        let read = head.matches("\"seq\":").count() - 1;
        assert!((read..read + 200).contains(&error.written), "{format}: {} written, {read} read", error.written);
        assert_eq!(sink.commit().unwrap(), error.written as u64);
        sink.finish().unwrap();
        let error = to_gone(open).write(&lines(0..2, 10)).unwrap_err();
        assert!(error.is_closed_pipe() && error.written == 0, "{error:?}");
    }
}

/// A sink on a pipe without a reader.
fn to_gone(open: fn(Output, Start) -> Box<dyn Sink>) -> Box<dyn Sink> {
    let (_, writer) = std::io::pipe().unwrap();
    #[cfg(unix)]
    let file = std::os::fd::OwnedFd::from(writer).into();
    #[cfg(windows)]
    let file = std::os::windows::io::OwnedHandle::from(writer).into();
    open(Output::new("pipe".to_owned(), file), Start { path: None, next_seq: 0, goes_on: false })
}

/// A limit on the size of files is the one full disk that every machine has. It holds for a whole process, so the test
/// runs itself again under it.
#[cfg(target_os = "linux")]
mod limited {
    use super::*;

    const DIRECTORY: &str = "LYCOSA_TEST_LIMITED_DIRECTORY";

    fn rerun(test: &str, directory: &Path) {
        let script = "trap '' XFSZ; ulimit -f 40; exec \"$0\" \"$@\"";
        let status = std::process::Command::new("bash")
            .args(["-c", script])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", &format!("sinks::tests::limited::{test}"), "--nocapture"])
            .env(DIRECTORY, directory)
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "{status}");
    }

    #[test]
    fn a_regular_file_keeps_whole_records_only() {
        let Some(directory) = std::env::var_os(DIRECTORY) else {
            let directory = tempfile::tempdir().unwrap();
            rerun("a_regular_file_keeps_whole_records_only", directory.path());
            // The other process was not only content with itself: it left these files.
            let jsonl = fs::read_to_string(directory.path().join("out.jsonl")).unwrap();
            let json = fs::read_to_string(directory.path().join("out.json")).unwrap();
            let whole = seqs_of_jsonl(&jsonl);
            assert!((30..60).contains(&whole.len()) && jsonl.ends_with('\n'), "{}", whole.len());
            let values: Vec<serde_json::Value> = serde_json::from_str(&json).expect("the array is closed");
            assert_eq!(seqs(&values), (0..values.len() as u64).collect::<Vec<_>>());
            return;
        };
        for (name, format) in [("out.jsonl", "jsonl"), ("out.json", "json")] {
            let path = Path::new(&directory).join(name);
            let mut sink = to_file(&path, format);
            sink.write(&lines(0..5, 300)).unwrap();
            let error = sink.write(&lines(5..100, 300)).unwrap_err();
            assert_eq!(error.source.kind(), std::io::ErrorKind::FileTooLarge);
            let next = sink.commit().unwrap();
            assert_eq!(error.written as u64, next - 5);
            let text = fs::read_to_string(&path).unwrap();
            assert_eq!(text.matches("\"seq\":").count() as u64, next, "{name}");
            assert!(text.ends_with(if format == "jsonl" { "}\n" } else { "}" }), "{name} is torn");
            assert!(text.len() <= 40 * 1024 && text.len() > 38 * 1024, "{}", text.len());
            sink.finish().unwrap();
        }
    }
}

#[test]
fn a_channel_gives_records_and_ends() {
    let (mut sink, mut receiver) = channel(2);
    assert!(sink.needs_record());
    let record = RecordBody::blank(Arc::from("run"), "r-7".to_owned(), Outcome::Ok);
    let line = |seq| Line { seq, json: Vec::new(), record: Some(Box::new(record.clone())) };
    let batch: Vec<Line> = (7..17).map(line).collect();
    let writing = std::thread::Builder::new().spawn(move || {
        sink.write(&batch).unwrap();
        assert_eq!(sink.commit().unwrap(), 17);
        sink.finish().unwrap();
        let error = sink.write(&batch).unwrap_err();
        assert!(error.is_closed_pipe());
    });
    for seq in 7..17 {
        let got = receiver.blocking_recv().unwrap();
        assert_eq!((got.schema, got.seq, &got.body_of), (1, seq, &record));
    }
    assert_eq!(receiver.blocking_recv(), None);
    writing.unwrap().join().unwrap();
}

#[test]
fn a_channel_without_a_receiver_is_a_closed_pipe() {
    let (mut sink, mut receiver) = channel(8);
    let record = RecordBody::blank(Arc::from("run"), "r-0".to_owned(), Outcome::Ok);
    sink.write(&[Line { seq: 0, json: Vec::new(), record: Some(Box::new(record)) }]).unwrap();
    receiver.close();
    let error = sink.write(&lines(1..2, 1)).unwrap_err();
    assert!(!error.is_closed_pipe(), "a line without its record is a mistake of the caller");
    let record = RecordBody::blank(Arc::from("run"), "r-1".to_owned(), Outcome::Ok);
    let error = sink.write(&[Line { seq: 1, json: Vec::new(), record: Some(Box::new(record)) }]).unwrap_err();
    assert!(error.is_closed_pipe() && error.written == 0);
    assert_eq!(sink.commit().unwrap(), 1);
}

fn holds(settings: &OutputSettings, mark: Option<OutputMark>) -> bool {
    check(settings, mark, 1).unwrap().is_some()
}

#[test]
fn an_output_goes_on_where_it_was_marked() {
    let directory = tempfile::tempdir().unwrap();
    for (format, length) in
        [("jsonl", 10), ("json", 10), ("csv", 10), ("jsonl", 100_000), ("json", 100_000), ("csv", 100_000)]
    {
        let path = directory.path().join("out");
        let whole = directory.path().join("whole");
        let settings = OutputSettings { target: Target::File(path.clone()), format };
        let mut sink = to_file(&path, format);
        assert_eq!(sink.mark().map(|mark| mark.bytes), Some(0));
        let mut marks = Vec::new();
        for seq in 0..6 {
            marks.push((seq, sink.mark()));
            sink.write(&lines(seq..seq + 1, length)).unwrap();
        }
        sink.finish().unwrap();
        fs::copy(&path, &whole).unwrap();
        for (next, mark) in marks.clone() {
            fs::copy(&whole, &path).unwrap();
            assert!(holds(&settings, mark), "{format} {next}");
            let mut sink = reopen(&settings, mark, next, check(&settings, mark, next).unwrap().unwrap()).unwrap();
            sink.write(&lines(next..6, length)).unwrap();
            sink.finish().unwrap();
            assert_eq!(fs::read(&path).unwrap(), fs::read(&whole).unwrap(), "{format} {next}");
            if next > 0 {
                let stale = || check(&settings, mark, next).unwrap().unwrap_or(Checked(Some(output::Place::default())));
                // Any byte.
                let mut bytes = fs::read(&whole).unwrap();
                let at = usize::try_from(mark.unwrap().bytes).unwrap() / 3;
                bytes[at] ^= 1;
                fs::write(&path, &bytes).unwrap();
                assert!(!holds(&settings, mark), "{format} {next}");
                let all = marks.iter().filter_map(|(_, mark)| *mark).collect();
                let range = first_change(&settings, all).unwrap();
                let bytes = |place: usize| marks[place].1.unwrap().bytes;
                let between = (1..marks.len()).map(|place| bytes(place - 1)..bytes(place));
                assert_eq!(between.into_iter().find(|range| range.contains(&(at as u64))), Some(range));
                // Its last byte before the mark is another one, or is not there.
                let mut bytes = fs::read(&path).unwrap();
                let last = usize::try_from(mark.unwrap().bytes).unwrap() - 1;
                bytes[last] ^= 1;
                fs::write(&path, &bytes).unwrap();
                assert!(!holds(&settings, mark));
                assert!(reopen(&settings, mark, next, stale()).is_err(), "changed since it was checked");
                fs::write(&path, &bytes[..last]).unwrap();
                assert!(!holds(&settings, mark));
                assert!(reopen(&settings, mark, next, stale()).is_err(), "changed since it was checked");
            }
        }
    }
}

/// The text in a compressed file, by programs of the machine.
fn decompressed(path: &Path) -> Vec<u8> {
    let program = if path.extension().is_some_and(|ending| ending == "gz") { "gzip" } else { "zstd" };
    let output = std::process::Command::new(program).args(["-d", "-q", "-c"]).arg(path).output().unwrap();
    assert!(output.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn compressed_text_is_whole_at_the_end_of_every_epoch() {
    let directory = tempfile::tempdir().unwrap();
    for (format, compression) in
        ["jsonl", "json", "csv"].into_iter().flat_map(|format| [(format, "gz"), (format, "zst")])
    {
        let path = directory.path().join(format!("out.{format}.{compression}"));
        let plain = directory.path().join(format!("out.{format}"));
        let settings = OutputSettings { target: Target::File(path.clone()), format };
        let mut empty = to_file(&path, format);
        assert!(empty.seals() && empty.atomic_bytes().is_none());
        empty.finish().unwrap();
        to_file(&plain, format).finish().unwrap();
        assert_eq!(decompressed(&path), fs::read(&plain).unwrap(), "no record");
        let (mut sink, mut marks) = (to_file(&path, format), Vec::new());
        for seq in 0..6 {
            let mark = sink.mark().unwrap();
            assert_eq!(mark.bytes, fs::metadata(&path).unwrap().len(), "nothing is written in an epoch");
            marks.push((2 * seq, mark));
            sink.write(&lines(2 * seq..2 * seq + 1, 10)).unwrap();
            sink.write(&lines(2 * seq + 1..2 * seq + 2, 100_000)).unwrap();
            assert_eq!(sink.mark(), Some(mark));
            sink.seal().unwrap();
            decompressed(&path);
        }
        sink.finish().unwrap();
        let mut sink = to_file(&plain, format);
        let all: Vec<Line> = (0..6)
            .flat_map(|n| lines(2 * n..2 * n + 1, 10).into_iter().chain(lines(2 * n + 1..2 * n + 2, 100_000)))
            .collect();
        sink.write(&all).unwrap();
        sink.finish().unwrap();
        assert!(!sink.seals());
        let (whole, bytes) = (fs::read(&plain).unwrap(), fs::read(&path).unwrap());
        assert_eq!(decompressed(&path), whole);
        for (next, mark) in marks {
            // Killed in the middle of a member.
            let torn = (usize::try_from(mark.bytes).unwrap() + 9).min(bytes.len());
            fs::write(&path, &bytes[..torn]).unwrap();
            let mut sink =
                reopen(&settings, Some(mark), next, check(&settings, Some(mark), next).unwrap().unwrap()).unwrap();
            let first = usize::try_from(next).unwrap();
            sink.write(&all[first..]).unwrap();
            sink.finish().unwrap();
            assert_eq!(decompressed(&path), whole, "{format} {compression} {next}");
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_epoch_that_finds_the_disk_full_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    for format in ["jsonl", "json", "csv"] {
        let path = directory.path().join(format!("full.{format}.gz"));
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let mut sink = to_file(&path, format);
        sink.write(&lines(0..20, 100)).unwrap();
        let error = sink.seal().unwrap_err();
        assert_eq!((error.source.kind(), error.written), (std::io::ErrorKind::StorageFull, 0));
    }
}

/// What SQLite says of a database.
fn asked<T: rusqlite::types::FromSql>(path: &Path, question: &str) -> T {
    rusqlite::Connection::open(path).unwrap().query_row(question, [], |row| row.get(0)).unwrap()
}

#[test]
fn a_database_has_whole_epochs_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out.db");
    fs::write(&path, "of an earlier run").unwrap();
    fs::write(directory.path().join("out.db-journal"), "of an earlier run").unwrap();
    let settings = OutputSettings { target: Target::File(path.clone()), format: "sqlite" };
    let mut sink = open(&settings).unwrap();
    assert!(sink.seals() && !sink.needs_record() && sink.mark().is_none());
    sink.write(&lines(0..3, 10)).unwrap();
    assert_eq!(asked::<i64>(&path, "SELECT count(*) FROM records"), 0);
    sink.seal().unwrap();
    assert_eq!(sink.commit().unwrap(), 3);
    sink.seal().unwrap();
    sink.write(&lines(3..5, 10)).unwrap();
    // A copy is what a kill leaves.
    let killed = directory.path().join("killed.db");
    fs::copy(&path, &killed).unwrap();
    sink.finish().unwrap();
    drop(sink);
    assert_eq!(asked::<i64>(&path, "SELECT count(*) FROM records WHERE outcome = 'skipped' AND status IS NULL"), 5);
    assert_eq!(asked::<String>(&path, "SELECT group_concat(seq, ' ') FROM records"), "0 1 2 3 4");
    assert_eq!(asked::<i64>(&path, "SELECT count(*) FROM pages"), 0);
    for (path, next, holds) in [(&path, 5, true), (&path, 6, false), (&killed, 3, true), (&killed, 4, false)] {
        let settings = OutputSettings { target: Target::File(path.clone()), format: "sqlite" };
        assert_eq!(check(&settings, None, next).unwrap().is_some(), holds, "{next}");
    }
    let settings = OutputSettings { target: Target::File(killed.clone()), format: "sqlite" };
    let mut sink = reopen(&settings, None, 2, check(&settings, None, 2).unwrap().unwrap()).unwrap();
    sink.write(&lines(2..5, 10)).unwrap();
    sink.finish().unwrap();
    drop(sink);
    assert_eq!(
        asked::<String>(&killed, "SELECT group_concat(seq || title, ' ') FROM records"),
        asked::<String>(&path, "SELECT group_concat(seq || title, ' ') FROM records")
    );
    // Not a database, and no file at all.
    fs::write(&killed, "text".repeat(1000)).unwrap();
    assert!(check(&settings, None, 2).unwrap().is_none());
    fs::remove_file(&killed).unwrap();
    assert!(check(&settings, None, 2).unwrap().is_none());
    let error = open(&OutputSettings { target: Target::Stdout, format: "sqlite" }).map(drop).unwrap_err();
    assert_eq!(error.source.to_string(), "this format needs a file");
}

#[test]
fn columns_of_a_database_have_types_and_links_a_table() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out.sqlite");
    let mut sink = to_file(&path, "sqlite");
    let mut record = RecordBody::blank("run".into(), "r-0".to_owned(), Outcome::Ok);
    record.status = Some(200);
    record.size = u64::MAX;
    record.title = Some("\"é\n'; DROP TABLE records; --".to_owned());
    record.total_ms = Some(std::time::Duration::from_millis(3).into());
    record.data = serde_json::json!({"price": [1.5]}).as_object().cloned();
    record.truncated = true;
    let link = crate::model::page::Outlink {
        url: "http://a/".into(),
        fragment: None,
        text: Some("\"x\"".into()),
        rel: None,
        tag: "a".into(),
        attribute: "href".into(),
        leads: true,
        nofollow: false,
    };
    record.links = Some(vec![link]);
    sink.write(&[Line { seq: 0, json: record.to_json(), record: None }]).unwrap();
    sink.finish().unwrap();
    let question =
        "SELECT typeof(status) || typeof(total_ms) || typeof(truncated) || typeof(size) || typeof(line) FROM records";
    assert_eq!(asked::<String>(&path, question), "integerrealintegerintegernull");
    assert_eq!(asked::<String>(&path, "SELECT title FROM pages"), record.title.unwrap());
    assert!((asked::<f64>(&path, "SELECT json_extract(data, '$.price[0]') FROM records") - 1.5).abs() < f64::EPSILON);
    let question = "SELECT record || url || \"text\" || tag || attribute || coalesce(rel, '-') FROM links";
    assert_eq!(asked::<String>(&path, question), "0http://a/\"x\"ahref-");
}
