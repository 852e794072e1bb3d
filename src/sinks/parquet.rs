//! Parquet: typed columns for programs that read tables, from a spool of JSON Lines that stands beside the file meanwhile.
//!
//! A Parquet file is nothing before its end is written. So records go to `FILE.spool`, which can be cut back like any
//! text, and `FILE` is made of it when the run ends: beside it, synced, and then renamed. The spool goes then, unless a
//! later process may go on with the run. Decides the columns and the size of row groups, which bounds the memory it takes.
//! Called by delivery's thread through [`Sink`].
//!
//! Sources: parquet.apache.org "File Format", "Logical Types".

use std::borrow::Cow;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::parquet::basic::{Compression, ZstdLevel};
use ::parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use ::parquet::schema::parser::parse_message_type;

use super::jsonl::after_brace;
use super::output::Output;
use super::row::{Row, row};
use super::{Format, Line, Open, Sink, SinkError, Start};
use crate::model::columns::{COLUMNS, ColumnKind};
use crate::model::mark::OutputMark;
use crate::model::record_json::write_head;

/// Its entry in the format table.
pub(super) const FORMAT: Format =
    Format { name: "parquet", endings: &["parquet"], beside: &[".spool", ".part"], open: Open::Spooled(open) };

/// A row group is as many records as have this much JSON, or
const GROUP_BYTES: usize = 16 << 20;
/// so many.
const GROUP_ROWS: usize = 64 * 1024;

struct Parquet {
    path: PathBuf,
    spool: Output,
    /// The `seq` after the last whole record.
    next: u64,
    has_failed: bool,
    keeps_spool: bool,
}

/// Where records wait until there is a file.
pub(super) fn spool_of(path: &Path) -> PathBuf {
    with_ending(path, ".spool")
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn open(spool: Output, start: Start) -> io::Result<Box<dyn Sink>> {
    let path = start.path.unwrap_or_default();
    if start.next_seq == 0 && !File::create(&path)?.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "Parquet can only be written to a regular file"));
    }
    Ok(Box::new(Parquet { path, spool, next: start.next_seq, has_failed: false, keeps_spool: false }))
}

impl Sink for Parquet {
    fn write(&mut self, lines: &[Line]) -> Result<(), SinkError> {
        let wrote = lines
            .iter()
            .try_for_each(|line| self.spool.line(|out| write_head(line.seq, out), after_brace(line), b"\n"));
        let wrote = wrote.and_then(|()| self.spool.end_batch());
        let written = wrote.as_ref().map_or_else(|error| error.written, |()| lines.len());
        self.has_failed |= wrote.is_err();
        self.next = lines[..written].last().map_or(self.next, |line| line.seq + 1);
        wrote
    }

    fn commit(&mut self) -> Result<u64, SinkError> {
        Ok(self.next)
    }

    fn mark(&self) -> Option<OutputMark> {
        self.spool.mark()
    }

    fn file(&self) -> Option<File> {
        self.spool.file()
    }

    fn goes_on(&mut self) {
        self.keeps_spool = true;
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        let spool = spool_of(&self.path);
        let made = make(&spool, self.spool.position().unwrap_or_default(), &self.path);
        let made = made.and_then(|()| if self.keeps_spool { Ok(()) } else { std::fs::remove_file(&spool) });
        match made {
            // That records could not be written was told when it happened; a file of the others was worth a try.
            Err(_) if self.has_failed => Ok(()),
            made => made.map_err(|source| SinkError { target: self.path.display().to_string(), written: 0, source }),
        }
    }
}

/// Makes the file of the first `bytes` of a spool.
fn make(spool: &Path, bytes: u64, path: &Path) -> io::Result<()> {
    let part = with_ending(path, ".part");
    let mut lines = BufReader::new(File::open(spool)?.take(bytes));
    let schema = Arc::new(parse_message_type(&schema()).map_err(io_error)?);
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_created_by(concat!("lycosa ", env!("CARGO_PKG_VERSION")).to_owned())
        .build();
    let mut writer = SerializedFileWriter::new(File::create(&part)?, schema, Arc::new(properties)).map_err(io_error)?;
    loop {
        let texts = group(&mut lines)?;
        if texts.is_empty() {
            break;
        }
        let rows = texts.iter().map(|text| row(text)).collect::<io::Result<Vec<_>>>()?;
        let mut group = writer.next_row_group().map_err(io_error)?;
        let mut place = 0;
        while let Some(column) = group.next_column().map_err(io_error)? {
            write_column(column, place, &rows)?;
            place += 1;
        }
        group.close().map_err(io_error)?;
    }
    writer.into_inner().map_err(io_error)?.sync_all()?;
    std::fs::rename(&part, path)
}

/// The lines of one row group.
fn group(lines: &mut impl io::BufRead) -> io::Result<Vec<Vec<u8>>> {
    let (mut texts, mut bytes) = (Vec::new(), 0);
    while bytes < GROUP_BYTES && texts.len() < GROUP_ROWS {
        let mut text = Vec::new();
        if lines.read_until(b'\n', &mut text)? == 0 {
            break;
        }
        bytes += text.len();
        texts.push(text);
    }
    Ok(texts)
}

fn schema() -> String {
    let mut text = String::from("message record {\n");
    for column in COLUMNS {
        let of_kind = match column.kind {
            ColumnKind::Whole => ("INT64", ""),
            ColumnKind::Real => ("DOUBLE", ""),
            ColumnKind::Flag => ("BOOLEAN", ""),
            ColumnKind::Text | ColumnKind::Json => ("BYTE_ARRAY", " (UTF8)"),
        };
        let _ = writeln!(text, "  OPTIONAL {} {}{};", of_kind.0, column.name, of_kind.1);
    }
    text + "}\n"
}

fn write_column(mut column: SerializedColumnWriter<'_>, place: usize, rows: &[Row<'_>]) -> io::Result<()> {
    let levels: Vec<i16> = rows.iter().map(|row| i16::from(row[place].is_some())).collect();
    let levels = Some(&levels[..]);
    let texts = rows.iter().filter_map(|row| row[place]);
    let wrote = match COLUMNS[place].kind {
        ColumnKind::Whole => {
            // Sizes beyond what the column can hold are none that a body has.
            let whole = |text| serde_json::from_str::<u64>(text).map(|value| i64::try_from(value).unwrap_or(i64::MAX));
            let values = texts.map(whole).collect::<Result<Vec<_>, _>>()?;
            column.typed::<Int64Type>().write_batch(&values, levels, None)
        }
        ColumnKind::Real => {
            let values = texts.map(serde_json::from_str::<f64>).collect::<Result<Vec<_>, _>>()?;
            column.typed::<DoubleType>().write_batch(&values, levels, None)
        }
        ColumnKind::Flag => {
            let values: Vec<bool> = texts.map(|text| text == "true").collect();
            column.typed::<BoolType>().write_batch(&values, levels, None)
        }
        ColumnKind::Text => {
            let text =
                |text| serde_json::from_str::<Cow<'_, str>>(text).map(|text| text.into_owned().into_bytes().into());
            let values = texts.map(text).collect::<Result<Vec<ByteArray>, _>>()?;
            column.typed::<ByteArrayType>().write_batch(&values, levels, None)
        }
        ColumnKind::Json => {
            let values: Vec<ByteArray> = texts.map(ByteArray::from).collect();
            column.typed::<ByteArrayType>().write_batch(&values, levels, None)
        }
    };
    wrote.and_then(|_| column.close()).map_err(io_error)
}

fn io_error(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(error) => match error.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(error) => io::Error::other(error),
        },
        error => io::Error::other(error),
    }
}
