//! The input as a user gives it: real files, real pipes, and what became of each line.

use std::io::Write as _;
use std::path::Path;

use super::*;

fn file(text: impl AsRef<[u8]>) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_ref()).unwrap();
    file
}

fn settings(paths: &[&Path]) -> SeedSettings {
    let sources = paths.iter().map(|path| Source::File(path.to_path_buf())).collect();
    SeedSettings { sources, mirrors: false }
}

fn all(settings: &SeedSettings) -> Vec<Seed> {
    open(settings).unwrap().map(Result::unwrap).collect()
}

/// One line for each entry: `1 job URL`, `2 broken INPUT: message`, `notice …`.
fn told(seeds: &[Seed]) -> Vec<String> {
    let tell = |seed: &Seed| match seed {
        Seed::Job(job) => format!("{} job {}", job.line, job.url),
        Seed::Broken { input, line, message, .. } => format!("{line} broken {input}: {message}"),
        Seed::Notice(text) => format!("notice {text}"),
    };
    seeds.iter().map(tell).collect()
}

#[test]
fn every_kind_of_line() {
    let text = b"\xef\xbb\xbfhttps://one.example/\r\n\
        \n  \t\r\n\
        # a comment with ftp://x\n   # another\n\
        \tHTTPS://Two.example/a#b \n\
        three.example/x\n\
        {\"url\":\"https://four.example/\",\"id\":4}\r\n\
        \xff\xfehttps://five.example/\n\
        {\"url\":\n\
        mailto:six@example.org\n\
        https://last.example/";
    let file = file(text);
    let seeds = all(&settings(&[file.path()]));
    let name = file.path().display();
    assert_eq!(
        told(&seeds),
        [
            "1 job https://one.example/".to_owned(),
            "6 job https://two.example/a".to_owned(),
            format!("notice {name}:7: no scheme, asking https://three.example/x"),
            "7 job https://three.example/x".to_owned(),
            "8 job https://four.example/".to_owned(),
            "9 broken \u{fffd}\u{fffd}https://five.example/: not UTF-8 at byte 1".to_owned(),
            "10 broken {\"url\":: not a JSON object: EOF while parsing a value at column 7".to_owned(),
            "11 broken mailto:six@example.org: scheme 'mailto' is not http or https".to_owned(),
            "12 job https://last.example/".to_owned(),
        ]
    );
    let Seed::Job(job) = &seeds[1] else { panic!("{:?}", seeds[1]) };
    assert_eq!(job.input.as_deref(), Some("HTTPS://Two.example/a#b"));
}

#[test]
fn sources_follow_each_other_and_count_their_own_lines() {
    let (one, two) = (file("\nhttps://a.example/"), file(b"\xef\xbb\xbfhttps://b.example/\n"));
    let mut settings = settings(&[one.path(), two.path(), one.path()]);
    let arguments = vec!["https://c.example/".to_owned(), "d.example".to_owned(), "ftp://me:pw@e/".to_owned()];
    settings.sources.insert(0, Source::Arguments(arguments));
    assert_eq!(
        told(&all(&settings)),
        [
            "1 job https://c.example/",
            "notice argument 2: no scheme, asking https://d.example/",
            "2 job https://d.example/",
            "3 broken ftp://e/: scheme 'ftp' is not http or https",
            "2 job https://a.example/",
            "1 job https://b.example/",
            "2 job https://a.example/",
        ]
    );
    let mut reader = open(&settings).unwrap();
    assert_eq!(reader.by_ref().count(), 7);
    assert_eq!(reader.taken(), 6);
    assert_eq!(reader.next_batch(8).unwrap(), None);
}

#[test]
fn with_mirrors_a_line_and_all_arguments_are_one_job_each() {
    let lines = "https://a.example/ b.example \n{\"url\":\"https://c.example/\"}\nhttps://d.example/ ftp://e\n";
    let file = file(lines);
    let arguments = vec!["https://f.example/".to_owned(), " https://g.example/".to_owned()];
    let sources = vec![Source::Arguments(arguments), Source::File(file.path().to_owned())];
    let settings = SeedSettings { sources, mirrors: true };
    let seeds = all(&settings);
    let name = file.path().display();
    assert_eq!(
        told(&seeds),
        [
            "1 job https://f.example/".to_owned(),
            format!("notice {name}:1: no scheme, asking https://a.example/ https://b.example/"),
            "1 job https://a.example/".to_owned(),
            "2 job https://c.example/".to_owned(),
            "3 broken https://d.example/ ftp://e: ftp://e: scheme 'ftp' is not http or https".to_owned(),
        ]
    );
    let counts =
        seeds.iter().filter_map(|seed| if let Seed::Job(job) = seed { Some(job.mirrors().len()) } else { None });
    assert_eq!(counts.collect::<Vec<_>>(), [2, 2, 0]);
    let StrictError::Lines { count, .. } = check_all(&settings).unwrap_err() else { panic!("one bad line") };
    assert_eq!(count, 1);
}

#[test]
fn a_missing_file_is_told_before_anything_is_read() {
    let good = file("https://a.example/");
    let missing = good.path().with_extension("gone");
    let error = open(&settings(&[good.path(), &missing])).unwrap_err();
    assert_eq!(error.path, missing);
    assert_eq!(error.to_string(), format!("cannot read '{}'", missing.display()));
    assert_eq!(error.source.kind(), io::ErrorKind::NotFound);
    let error = open(&settings(&[Path::new("/")])).unwrap_err();
    assert_eq!(error.source.kind(), io::ErrorKind::IsADirectory);
}

#[test]
fn empty_input_is_no_error() {
    let (none, comments) = (file(""), file("# only\n\n# this\n"));
    let mut reader = open(&settings(&[none.path(), comments.path()])).unwrap();
    assert_eq!(reader.next_batch(10).unwrap(), None);
    assert_eq!(reader.taken(), 0);
    assert_eq!(open(&SeedSettings::default()).unwrap().next_batch(10).unwrap(), None);
}

/// A reader over a pipe whose other end the test holds.
fn piped() -> (Reader, io::PipeWriter) {
    let (input, writer) = io::pipe().unwrap();
    let content = Content::Lines { lines: Lines::new(Box::new(input)), is_ours: false };
    let opened = Opened { name: "pipe".into(), content };
    (Reader { sources: [opened].into(), mirrors: false, taken: 0, pending: VecDeque::new() }, writer)
}

#[test]
fn a_line_on_a_slow_pipe_is_there_at_once() {
    let (mut reader, mut writer) = piped();
    // The writer stays open and has begun the next line: waiting for more would hang here for ever.
    writer.write_all(b"# comment\nhttps://a.example/\nhttps://b.example/\nhttps://c.ex").unwrap();
    let batch = reader.next_batch(1000).unwrap().unwrap();
    assert_eq!(told(&batch), ["2 job https://a.example/", "3 job https://b.example/"]);
    writer.write_all(b"ample/\n").unwrap();
    assert_eq!(told(&reader.next_batch(1000).unwrap().unwrap()), ["4 job https://c.example/"]);
    writer.write_all(b"https://d.example/").unwrap();
    drop(writer);
    assert_eq!(told(&reader.next_batch(1000).unwrap().unwrap()), ["5 job https://d.example/"]);
    assert_eq!(reader.next_batch(1000).unwrap(), None);
    assert_eq!(reader.next_batch(1000).unwrap(), None);
}

#[test]
fn batches_are_bounded_by_lines_and_by_bytes() {
    let lines: Vec<String> = (0..1000).map(|n| format!("host{n}.example")).collect();
    let file = file(lines.join("\n"));
    let mut reader = open(&settings(&[file.path()])).unwrap();
    let mut jobs = 0;
    while let Some(batch) = reader.next_batch(7).unwrap() {
        let here = batch.iter().filter(|seed| matches!(seed, Seed::Job(_))).count();
        assert!((1..=7).contains(&here));
        jobs += here;
    }
    assert_eq!(jobs, 1000);

    let (mut reader, mut writer) = piped();
    let body = "x".repeat(BATCH_BYTES / 2);
    let writing = std::thread::Builder::new().spawn(move || {
        for _ in 0..6 {
            writeln!(writer, r#"{{"url":"https://a.example/","body":"{body}"}}"#).unwrap();
        }
    });
    let mut sizes = Vec::new();
    while let Some(batch) = reader.next_batch(1000).unwrap() {
        sizes.push(batch.len());
    }
    writing.unwrap().join().unwrap();
    assert_eq!(sizes.iter().sum::<usize>(), 6);
    assert!(sizes.iter().all(|size| *size <= 2), "{sizes:?}");
}

#[test]
fn a_file_that_cannot_be_read_on_is_one_broken_line() {
    struct Torn(bool);
    impl io::Read for Torn {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            if std::mem::replace(&mut self.0, true) {
                return Err(io::Error::other("the disk is gone"));
            }
            let text = b"https://a.example/\nhttps://b.ex";
            into[..text.len()].copy_from_slice(text);
            Ok(text.len())
        }
    }
    for is_ours in [false, true] {
        let content = Content::Lines { lines: Lines::new(Box::new(Torn(false))), is_ours };
        let torn = Opened { name: "torn.txt".into(), content };
        let next = Opened::open(&Source::Arguments(vec!["https://c.example/".to_owned()])).unwrap();
        let mut reader = Reader { sources: [torn, next].into(), mirrors: false, taken: 0, pending: VecDeque::new() };
        let first = reader.next_batch(10).unwrap().unwrap();
        assert_eq!(told(&first), ["1 job https://a.example/"]);
        if is_ours {
            assert_eq!(reader.next_batch(10).unwrap_err().to_string(), "the disk is gone");
            assert_eq!(told(&reader.next_batch(10).unwrap().unwrap()), ["1 job https://c.example/"]);
        } else {
            let rest = reader.next_batch(10).unwrap().unwrap();
            assert_eq!(
                told(&rest),
                ["2 broken torn.txt: cannot read 'torn.txt' on: the disk is gone", "1 job https://c.example/"]
            );
        }
        assert_eq!(reader.next_batch(10).unwrap(), None);
    }
}

#[test]
fn lines_that_are_too_long_do_not_stop_the_rest() {
    let url = format!("https://a.example/{}", "x".repeat(2 << 20));
    let job = format!(r#"{{"url":"https://b.example/","meta":"{}"}}"#, "x".repeat(17 << 20));
    let fits = format!(r#"{{"url":"https://c.example/","meta":"{}"}}"#, "x".repeat(15 << 20));
    let comment = format!("# {}", "x".repeat(2 << 20));
    let file = file([url, job, fits, comment, "https://d.example/".to_owned()].join("\n"));
    let seeds = all(&settings(&[file.path()]));
    let told: Vec<String> = told(&seeds).iter().map(|line| line.replace('x', "")).collect();
    assert_eq!(
        told,
        [
            "1 broken https://a.eample/: the line is longer than 1 MiB",
            "2 broken {\"url\":\"https://b.eample/\",\"meta\":\": the line is longer than 16 MiB",
            "3 job https://c.eample/",
            "5 job https://d.eample/",
        ]
    );
}

#[test]
fn arguments_are_checked_with_a_message_in_one_line() {
    for good in ["https://example.org/", "example.org", "localhost:80", " https://example.org "] {
        assert_eq!(check_argument(good), Ok(()), "{good}");
    }
    for (bad, message) in [
        ("", "'': the URL is empty"),
        ("ftp://me:secret@a/", "'ftp://a/': scheme 'ftp' is not http or https"),
        ("a\nb c", "'a\\nb c': white space in the URL; write %20"),
        ("https://a/b c", "'https://a/b c': white space in the URL; write %20"),
        ("https://a/\u{1}", "'https://a/\\u{1}': a control character in the URL"),
        ("#x", "'#x': not a URL: it has no host"),
        (r#"{"url":"x"}"#, r#"'{\"url\":\"x\"}': a JSON job is read from a file (-i) or standard input"#),
    ] {
        assert_eq!(check_argument(bad), Err(message.to_owned()), "{bad}");
    }
}

#[test]
fn strict_input_names_the_first_ten_and_counts_all() {
    let good = file("https://a.example/\n");
    let bad = file("ftp://x\n".repeat(12));
    let mut given = settings(&[good.path(), bad.path()]);
    given.sources.push(Source::Arguments(vec!["https://b.example/".to_owned(), String::new()]));
    let error = check_all(&given).unwrap_err();
    let text = error.to_string();
    let StrictError::Lines { first, count } = error else { panic!("{error:?}") };
    assert_eq!((first.len(), count), (10, 13));
    assert_eq!(first[0].place, format!("{}:1", bad.path().display()));
    assert!(text.starts_with("13 lines of the input cannot be read:\n  "), "{text}");
    assert!(text.ends_with(":10: scheme 'ftp' is not http or https\n  and 3 more"), "{text}");

    given.sources.remove(1);
    let text = check_all(&given).unwrap_err().to_string();
    assert_eq!(text, "one line of the input cannot be read:\n  argument 2: the URL is empty");
    given.sources.push(Source::File("/nowhere/urls".into()));
    assert!(matches!(check_all(&given), Err(StrictError::Open(_))));
}

#[cfg(target_os = "linux")]
#[test]
fn strict_input_keeps_what_can_be_read_only_once() {
    use std::os::fd::AsRawFd as _;
    let (input, mut writer) = io::pipe().unwrap();
    let lines: Vec<String> = (0..5000).map(|n| format!("https://host{n}.example/")).collect();
    let pipe = Source::File(format!("/dev/fd/{}", input.as_raw_fd()).into());
    let file = file("https://file.example/");
    let given = SeedSettings { sources: vec![pipe, Source::File(file.path().to_owned())], mirrors: false };
    let text = lines.join("\n");
    let writing = std::thread::Builder::new().spawn(move || writer.write_all(text.as_bytes()).unwrap());
    let checked = check_all(&given).unwrap();
    writing.unwrap().join().unwrap();
    assert!(matches!(checked.sources[..], [Source::Spool(_), Source::File(_)]));
    assert_eq!(checked, checked.clone());
    // Twice, and at the same time: each reader has its own place in the copy.
    let (mut one, mut two) = (open(&checked).unwrap(), open(&checked).unwrap());
    for n in 0..5000 {
        for reader in [&mut one, &mut two] {
            let Some(Ok(Seed::Job(job))) = reader.next() else { panic!("line {n} is missing") };
            assert_eq!((&*job.url, job.line), (&*format!("https://host{n}.example/"), n + 1));
        }
    }
    assert_eq!((one.count(), two.count()), (1, 1));
}

#[test]
fn nothing_beside_a_url_is_dropped_or_asked() {
    let file = file(
        b"https://a.example/\tlabel\nhttps://b.example/\rx\nhttps://c.example/ # note\n\0\n\x06\n\x11# no comment\n\
        \t \r\n \t# a comment\r\n \thttps://d.example/ \t\r\nhttps://e.example/\xc2\xa0\n\xef\xbb\xbfhttps://f.example/\n\
        {\"url\":\"https://g.example/a b\"}\n",
    );
    let told: Vec<String> = told(&all(&settings(&[file.path()])))
        .iter()
        .map(|line| line.rsplit_once(": ").map_or(line.clone(), |(line, why)| format!("{} {why}", &line[..2])))
        .collect();
    let white = "white space in the URL; write %20";
    let control = "a control character in the URL";
    assert_eq!(
        told,
        [
            format!("1  {white}"),
            format!("2  {white}"),
            format!("3  {white}"),
            format!("4  {control}"),
            format!("5  {control}"),
            format!("6  {control}"),
            "9 job https://d.example/".to_owned(),
            format!("10 {white}"),
            format!("11 {control}"),
            format!("12 {white}"),
        ]
    );
}
