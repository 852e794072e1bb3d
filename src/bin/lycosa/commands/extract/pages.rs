//! What pages a file holds: itself, the bodies of records, or the responses of a WARC; of a directory, its files.
//!
//! Told by its first bytes, never by its name: gzip and zstd are unpacked, `WARC/` begins an archive, an object with the
//! keys of a record begins records (JSON Lines, or an array of them), any other JSON is one response in JSON, and all else
//! is HTML, unless it is plainly a table of ours. Only in a directory names count: saved bodies lie beside pictures.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use super::page::{MAX_PAGE, Page, Passed, Take};
use super::{records, warc};

/// Calls `take` for each page of a file or directory (its files by name, and those of directories in it), until it says
/// that no more is wanted. `-` is standard input.
///
/// # Errors
/// It cannot be read, is damaged, or is no file of pages.
pub fn each(path: &Path, take: &mut Take<'_>) -> io::Result<Passed> {
    if path.is_dir() { of_directory(path, take) } else { of_file(path, take) }
}

fn of_file(path: &Path, take: &mut Take<'_>) -> io::Result<Passed> {
    let mut passed = read(&mut *open(path)?, path, take)?;
    // A revisit says which page it is, and that stands in front of it: a second look finds it without keeping all pages.
    if passed.awaited.is_empty() {
        return Ok(passed.counts);
    }
    if path == Path::new("-") {
        passed.counts.revisits += passed.awaited.count();
        return Ok(passed.counts);
    }
    passed.counts.revisits += warc::again(&mut *open(path)?, passed.awaited, take)?;
    Ok(passed.counts)
}

/// What one look at a file came to.
#[derive(Default)]
struct Look {
    counts: Passed,
    awaited: warc::Awaited,
}

fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    let raw: Box<dyn Read> =
        if path == Path::new("-") { Box::new(io::stdin().lock()) } else { Box::new(File::open(path)?) };
    let mut reader = BufReader::with_capacity(1 << 16, raw);
    let start = reader.fill_buf()?;
    if start.starts_with(&[0x1F, 0x8B]) {
        return Ok(Box::new(BufReader::new(MultiGzDecoder::new(reader))));
    }
    if start.starts_with(&[0x28, 0xB5, 0x2F, 0xFD]) {
        return Ok(Box::new(BufReader::new(zstd::stream::read::Decoder::with_buffer(reader)?)));
    }
    Ok(Box::new(reader))
}

fn read(reader: &mut dyn BufRead, path: &Path, take: &mut Take<'_>) -> io::Result<Look> {
    let start = reader.fill_buf()?;
    if start.starts_with(b"WARC/") {
        let (counts, awaited) = warc::each(reader, take)?;
        return Ok(Look { counts, awaited });
    }
    if let Some(what) = table(start) {
        return Err(io::Error::other(format!(
            "it is {what}: rules read pages, WARC, and records as JSON Lines or JSON"
        )));
    }
    if records::is_array(start) {
        return Ok(Look { counts: records::of_array(reader, path, take)?, ..Look::default() });
    }
    let mut body = Vec::new();
    let is_json = matches!(start.trim_ascii_start().first(), Some(b'{' | b'['));
    if is_json {
        // Records stand one on a line: one at a time is in memory.
        reader.take(MAX_PAGE).read_until(b'\n', &mut body)?;
        if records::is_record(&body) {
            return Ok(Look { counts: records::of_lines(reader, body, path, take)?, ..Look::default() });
        }
    }
    reader.take(MAX_PAGE + 1).read_to_end(&mut body)?;
    if body.len() as u64 > MAX_PAGE {
        return Err(io::Error::other("it is larger than 64 MiB"));
    }
    let media_type = if is_json { "application/json" } else { "text/html" };
    take(&Page { url: None, media_type, charset: None, body: &body });
    Ok(Look::default())
}

/// What a file is whose first bytes no page has.
fn table(start: &[u8]) -> Option<&'static str> {
    let kinds: [(&[u8], &str); 3] = [
        (b"SQLite format 3\0", "an SQLite database"),
        (b"PAR1", "a Parquet file"),
        (b"schema,seq,run,id,", "a table of records (CSV), which has no bodies"),
    ];
    kinds.into_iter().find(|(first, _)| start.starts_with(first)).map(|(_, what)| what)
}

fn of_directory(directory: &Path, take: &mut Take<'_>) -> io::Result<Passed> {
    let mut passed = Passed::default();
    let mut waiting = vec![directory.to_owned()];
    let mut goes_on = true;
    while let Some(path) = waiting.pop().filter(|_| goes_on) {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let kind = fs::symlink_metadata(&path).map_err(named)?.file_type();
        if kind.is_dir() {
            let inside: io::Result<Vec<PathBuf>> = fs::read_dir(&path)?.map(|entry| Ok(entry?.path())).collect();
            let mut inside = inside.map_err(named)?;
            // The first is taken last from the end of a list.
            inside.sort_unstable_by(|a, b| b.cmp(a));
            waiting.extend(inside);
        } else if kind.is_file() && is_page(&path) {
            let mut watched = |page: &Page<'_>| {
                goes_on = take(page);
                goes_on
            };
            passed.add(&of_file(&path, &mut watched).map_err(named)?);
        } else {
            // Links too: they lead out of the tree, or in circles.
            passed.others += 1;
        }
    }
    Ok(passed)
}

fn is_page(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
    matches!(&*ending, "html" | "htm" | "xhtml" | "json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_gives_its_pages_by_name_and_counts_the_others() {
        let directory = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("b/1.html", "two");
        put("a.htm", "one");
        put("c.png", "\u{89}PNG");
        put("d.json", "{}");
        let mut found = Vec::new();
        let mut take = |page: &Page<'_>| {
            found.push((String::from_utf8_lossy(page.body).into_owned(), page.media_type.to_owned()));
            found.len() < 3
        };
        let passed = each(directory.path(), &mut take).unwrap();
        assert_eq!(passed, Passed { others: 1, ..Passed::default() });
        let html = |text: &str| (text.to_owned(), "text/html".to_owned());
        assert_eq!(found, [html("one"), html("two"), ("{}".to_owned(), "application/json".to_owned())]);
    }

    #[test]
    fn what_is_no_page_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.html");
        for (bytes, what) in
            [(&b"SQLite format 3\0..."[..], "SQLite"), (b"PAR1....", "Parquet"), (b"schema,seq,run,id,input\n", "CSV")]
        {
            fs::write(&path, bytes).unwrap();
            let error = each(&path, &mut |_| panic!("no page")).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }
}
