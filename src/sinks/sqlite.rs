//! A SQLite database: a table of records, a table of their links, indexes, and a view of the pages that were answered.
//!
//! Decides the tables and what an epoch is: one transaction. What is nested is JSON text, as SQLite's own functions read
//! it; links have a table of their own. The file is one file at the end (no write-ahead log beside it). Recovers by `seq`:
//! rows from the next one on are deleted. Called by delivery's thread through [`Sink`].
//!
//! Sources: sqlite.org "File Locking And Concurrency" (a transaction that was killed is rolled back by the next who
//! opens the file), "STRICT Tables".

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, ToSql};
use serde::Deserialize;

use super::row::row;
use super::{FileFormat, Format, Line, Open, Sink, SinkError};
use crate::model::columns::{COLUMNS, Column, ColumnKind};
use crate::model::record::SCHEMA;

/// Its entry in the format table.
pub(super) const FORMAT: Format = Format {
    name: "sqlite",
    endings: &["sqlite", "sqlite3", "db"],
    beside: &["-journal", "-wal", "-shm"],
    open: Open::File(FileFormat { open, reopen, check }),
};

/// Version of the tables, `user_version` of the file.
const TABLES: u32 = 1;

/// How long a transaction waits for somebody who reads the file.
const BUSY: Duration = Duration::from_mins(1);

struct Sqlite {
    path: PathBuf,
    connection: Connection,
    insert: String,
    /// The `seq` after the last record of a whole transaction.
    sealed: u64,
    /// The `seq` after the last record that was written.
    next: u64,
}

/// Links stand in a table of their own.
fn columns() -> impl Iterator<Item = (usize, &'static Column)> {
    COLUMNS.iter().enumerate().filter(|(_, column)| column.name != "links")
}

fn open(path: &Path) -> io::Result<Box<dyn Sink>> {
    let file = std::fs::File::create(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a database can only be a regular file"));
    }
    // What an earlier, killed process left of another database would be rolled back into this one.
    for beside in ["-journal", "-wal", "-shm"] {
        match std::fs::remove_file(beside_path(path, beside)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    let connection = connect(path).map_err(io_error)?;
    connection.execute_batch(&tables()).map_err(io_error)?;
    Ok(sink(path, connection, 0))
}

fn reopen(path: &Path, next_seq: u64) -> io::Result<Box<dyn Sink>> {
    let connection = connect(path).map_err(io_error)?;
    connection.execute("DELETE FROM links WHERE record >= ?1", [whole(next_seq)]).map_err(io_error)?;
    connection.execute("DELETE FROM records WHERE seq >= ?1", [whole(next_seq)]).map_err(io_error)?;
    Ok(sink(path, connection, next_seq))
}

/// Whether the file is sound and has every record before `next_seq`.
fn check(path: &Path, next_seq: u64) -> io::Result<bool> {
    let looked = || {
        let connection = connect(path)?;
        let sound: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        let count: i64 =
            connection.query_row("SELECT count(*) FROM records WHERE seq < ?1", [whole(next_seq)], |row| row.get(0))?;
        Ok(sound == "ok" && count == whole(next_seq))
    };
    match looked().map_err(|error: rusqlite::Error| (error.sqlite_error_code(), error)) {
        Ok(is_whole) => Ok(is_whole),
        // Another file, or what is left of this one.
        Err((
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt | ErrorCode::Unknown | ErrorCode::CannotOpen),
            _,
        )) => Ok(false),
        Err((_, error)) => Err(io_error(error)),
    }
}

fn sink(path: &Path, connection: Connection, next: u64) -> Box<dyn Sink> {
    Box::new(Sqlite { path: path.to_owned(), connection, insert: insert(), sealed: next, next })
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "DELETE")?;
    Ok(connection)
}

fn beside_path(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn tables() -> String {
    let mut text = String::from("BEGIN;\nCREATE TABLE records (");
    for (place, Column { name, kind }) in columns() {
        let of_kind = match kind {
            ColumnKind::Whole | ColumnKind::Flag => "INTEGER",
            ColumnKind::Real => "REAL",
            ColumnKind::Text | ColumnKind::Json => "TEXT",
        };
        let key = if *name == "seq" { " PRIMARY KEY" } else { "" };
        let comma = if place == 0 { "" } else { "," };
        let _ = write!(text, "{comma}\n  \"{name}\" {of_kind}{key}");
    }
    let _ = write!(
        text,
        r#"
) STRICT;
CREATE TABLE links (
  record INTEGER NOT NULL REFERENCES records (seq),
  place INTEGER NOT NULL,
  url TEXT NOT NULL,
  fragment TEXT,
  "text" TEXT,
  rel TEXT,
  tag TEXT NOT NULL,
  attribute TEXT NOT NULL,
  PRIMARY KEY (record, place)
) STRICT, WITHOUT ROWID;
CREATE INDEX records_url ON records (url);
CREATE INDEX records_outcome ON records (outcome, host_key);
CREATE INDEX links_url ON links (url);
CREATE VIEW pages AS
  SELECT seq, url, final_url, status, title, content_type, charset, size, depth, source, started_at, total_ms
  FROM records WHERE outcome = 'ok';
PRAGMA user_version = {TABLES};
COMMIT;
"#
    );
    text
}

fn insert() -> String {
    let (mut names, mut values) = (String::new(), String::new());
    for (_, column) in columns() {
        let comma = if names.is_empty() { "" } else { ", " };
        let _ = write!(names, "{comma}\"{}\"", column.name);
        let _ = write!(values, "{comma}?");
    }
    format!("INSERT INTO records ({names}) VALUES ({values})")
}

const INSERT_LINK: &str =
    "INSERT INTO links (record, place, url, fragment, \"text\", rel, tag, attribute) VALUES (?, ?, ?, ?, ?, ?, ?, ?)";

/// A link as a record has it.
#[derive(Deserialize)]
struct Link<'a> {
    #[serde(borrow)]
    url: Cow<'a, str>,
    #[serde(borrow)]
    fragment: Option<Cow<'a, str>>,
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow)]
    rel: Option<Cow<'a, str>>,
    #[serde(borrow)]
    tag: Cow<'a, str>,
    #[serde(borrow)]
    attribute: Cow<'a, str>,
}

/// The value of one column.
enum Cell<'a> {
    Null,
    Whole(i64),
    Real(f64),
    Text(Cow<'a, str>),
}

impl ToSql for Cell<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Cell::Null => ToSqlOutput::Owned(Value::Null),
            Cell::Whole(value) => ToSqlOutput::Owned(Value::Integer(*value)),
            Cell::Real(value) => ToSqlOutput::Owned(Value::Real(*value)),
            Cell::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
        })
    }
}

fn cell(json: Option<&str>, kind: ColumnKind) -> io::Result<Cell<'_>> {
    let Some(json) = json else { return Ok(Cell::Null) };
    Ok(match kind {
        // Sizes beyond what the file can hold are none that a body has.
        ColumnKind::Whole => Cell::Whole(whole(serde_json::from_str(json)?)),
        ColumnKind::Real => Cell::Real(serde_json::from_str(json)?),
        ColumnKind::Flag => Cell::Whole(i64::from(json == "true")),
        ColumnKind::Text => Cell::Text(serde_json::from_str::<Text<'_>>(json)?.0),
        ColumnKind::Json => Cell::Text(json.into()),
    })
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn whole(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn io_error(error: rusqlite::Error) -> io::Error {
    let kind = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => io::ErrorKind::StorageFull,
        Some(ErrorCode::ReadOnly) => io::ErrorKind::ReadOnlyFilesystem,
        Some(ErrorCode::CannotOpen) => io::ErrorKind::NotFound,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

impl Sqlite {
    fn add(&self, line: &Line) -> io::Result<()> {
        let row = row(&line.json)?;
        let mut cells = Vec::with_capacity(COLUMNS.len());
        for (place, column) in columns() {
            cells.push(match column.name {
                "schema" => Cell::Whole(SCHEMA.into()),
                "seq" => Cell::Whole(whole(line.seq)),
                _ => cell(row[place], column.kind)?,
            });
        }
        let mut insert = self.connection.prepare_cached(&self.insert).map_err(io_error)?;
        insert.execute(rusqlite::params_from_iter(cells)).map_err(io_error)?;
        let links = COLUMNS.iter().position(|column| column.name == "links").and_then(|place| row[place]);
        let Some(links) = links else { return Ok(()) };
        let mut insert = self.connection.prepare_cached(INSERT_LINK).map_err(io_error)?;
        for (place, link) in serde_json::from_str::<Vec<Link<'_>>>(links)?.into_iter().enumerate() {
            let Link { url, fragment, text, rel, tag, attribute } = link;
            let (record, place) = (whole(line.seq), whole(place as u64));
            insert
                .execute(rusqlite::params![record, place, url, fragment, text, rel, tag, attribute])
                .map_err(io_error)?;
        }
        Ok(())
    }

    fn failed(&self, source: io::Error) -> SinkError {
        SinkError { target: self.path.display().to_string(), written: 0, source }
    }
}

impl Sink for Sqlite {
    fn write(&mut self, lines: &[Line]) -> Result<(), SinkError> {
        if self.connection.is_autocommit() && !lines.is_empty() {
            self.connection.execute_batch("BEGIN").map_err(|error| self.failed(io_error(error)))?;
        }
        for line in lines {
            if let Err(error) = self.add(line) {
                // The records of this epoch count as not written, so they are not to be there.
                let _ = self.connection.execute_batch("ROLLBACK");
                return Err(self.failed(error));
            }
            self.next = line.seq + 1;
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<u64, SinkError> {
        Ok(self.sealed)
    }

    fn seals(&self) -> bool {
        true
    }

    fn seal(&mut self) -> Result<(), SinkError> {
        if !self.connection.is_autocommit() {
            if let Err(error) = self.connection.execute_batch("COMMIT") {
                let _ = self.connection.execute_batch("ROLLBACK");
                return Err(self.failed(io_error(error)));
            }
            self.sealed = self.next;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.seal()
    }
}
