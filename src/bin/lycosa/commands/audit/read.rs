//! Reads the requests of records, of any number of files: JSON Lines, or a JSON array, told by the first character.
//!
//! Of each request 40 bytes stay in memory; what a message shows of it (its URL, its record) goes to a temporary file,
//! since standard input cannot be read twice. A file that ends in the middle of a record, as a run that was killed leaves
//! it, is read up to there, with a warning; anything else that is no record is an error.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use lycosa::policy::audit::{NO_ADDRESS, Request};
use serde::de::{Deserializer as _, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

/// What is read of a record.
#[derive(Deserialize)]
struct Record {
    run: Option<String>,
    seq: Option<u64>,
    host_key: Option<String>,
    remote_addr: Option<String>,
    proxy: Option<String>,
    requests: Vec<Made>,
}

/// An entry of `requests`.
#[derive(Deserialize)]
struct Made {
    url: String,
    host_key: String,
    kind: String,
    started_at: String,
    ms: f64,
    status: Option<u16>,
}

/// A request as messages show it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Told {
    pub file: String,
    /// Line of JSON Lines, or number of the element of an array, from 1.
    pub line: u64,
    pub seq: Option<u64>,
    pub run: Option<String>,
    pub url: String,
    pub kind: String,
    pub started_at: String,
    pub ms: f64,
    pub status: Option<u16>,
}

/// Why a file could not be read.
#[derive(Debug)]
pub enum Unread {
    /// The file, perhaps with a line, and the cause.
    Input(String),
    /// The temporary file.
    Spool(io::Error),
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        Self::Spool(error)
    }
}

/// Names and their numbers.
#[derive(Default)]
pub struct Names {
    numbers: HashMap<String, u32>,
    names: Vec<String>,
}

impl Names {
    pub fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX - 1);
        self.numbers.insert(name.to_owned(), number);
        self.names.push(name.to_owned());
        number
    }

    pub fn contains(&self, name: &str) -> bool {
        self.numbers.contains_key(name)
    }

    pub fn all(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    pub fn name(&self, number: u32) -> &str {
        self.names.get(number as usize).map_or("", String::as_str)
    }

    pub fn len(&self) -> usize {
        self.names.len()
    }
}

/// Everything that was read.
pub struct Ledger {
    pub requests: Vec<Request>,
    pub records: u64,
    pub hosts: Names,
    pub runs: Names,
    pub addresses: Names,
    pub warnings: Vec<String>,
    /// The address that a record last told of a host.
    address_of: HashMap<u32, u32>,
    spool: BufWriter<File>,
    spooled: u64,
}

impl Ledger {
    /// Reads all files, in order; `-` is standard input.
    ///
    /// # Errors
    /// A file that cannot be read or is not made of records, or the temporary file.
    pub fn read(files: &[PathBuf]) -> Result<Self, Unread> {
        let mut ledger = Self {
            requests: Vec::new(),
            records: 0,
            hosts: Names::default(),
            runs: Names::default(),
            addresses: Names::default(),
            warnings: Vec::new(),
            address_of: HashMap::new(),
            spool: BufWriter::new(tempfile::tempfile()?),
            spooled: 0,
        };
        for (number, path) in (0..).zip(files) {
            ledger.read_file(path, number)?;
        }
        // Requests that got no answer, and hops over other hosts: the address that their host had elsewhere.
        for request in &mut ledger.requests {
            if request.address == NO_ADDRESS {
                request.address = ledger.address_of.get(&request.host).copied().unwrap_or(NO_ADDRESS);
            }
        }
        Ok(ledger)
    }

    fn read_file(&mut self, path: &Path, number: u32) -> Result<(), Unread> {
        let name = if path == Path::new("-") { "standard input".into() } else { path.display().to_string() };
        let cannot = |error: &io::Error| Unread::Input(format!("cannot read {name}: {error}"));
        let mut input: Box<dyn BufRead> = if path == Path::new("-") {
            Box::new(io::stdin().lock())
        } else {
            Box::new(BufReader::with_capacity(256 * 1024, File::open(path).map_err(|error| cannot(&error))?))
        };
        let file = FileName { name: &name, number };
        let before = self.records;
        let read = match first_byte(&mut input).map_err(|error| cannot(&error))? {
            Some(b'[') => self.read_array(input, file),
            Some(_) => self.read_lines(input, file),
            None => Ok(()),
        };
        if self.records == before {
            self.warnings.push(format!("no record in {name}"));
        }
        read
    }

    fn read_lines(&mut self, mut input: Box<dyn BufRead>, file: FileName<'_>) -> Result<(), Unread> {
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            match input.read_until(b'\n', &mut line) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => return Err(Unread::Input(format!("cannot read {}: {error}", file.name))),
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            match serde_json::from_slice(&line) {
                Ok(record) => self.take(record, file, number)?,
                Err(error) if error.is_eof() && !line.ends_with(b"\n") => self.warn_of_end(file),
                Err(error) => return Err(file.no_record(number, &error)),
            }
        }
        Ok(())
    }

    fn read_array(&mut self, input: Box<dyn BufRead>, file: FileName<'_>) -> Result<(), Unread> {
        let mut failed = None;
        let mut reader = serde_json::Deserializer::from_reader(input);
        let mut elements = Elements { count: 0, ledger: self, file, failed: &mut failed };
        let read = reader.deserialize_seq(&mut elements).and_then(|()| reader.end());
        let count = elements.count;
        match (failed, read) {
            (Some(error), _) => Err(error),
            (None, Err(error)) if error.is_eof() => {
                self.warn_of_end(file);
                Ok(())
            }
            (None, Err(error)) => Err(file.no_record(count + 1, &error)),
            (None, Ok(())) => Ok(()),
        }
    }

    fn warn_of_end(&mut self, file: FileName<'_>) {
        self.warnings.push(format!("{} ends in the middle of a record, which is left out", file.name));
    }

    /// Takes the requests of a record.
    fn take(&mut self, record: Record, file: FileName<'_>, line: u64) -> Result<(), Unread> {
        self.records += 1;
        // Records without a run, of another program, belong together by their file.
        let run = record.run.as_deref().unwrap_or(file.name);
        let run_number = self.runs.number(run);
        let address = record.remote_addr.filter(|_| record.proxy.is_none());
        let address = address.and_then(|address| Some(address.parse::<SocketAddr>().ok()?.ip().to_string()));
        let address = address.map(|ip| self.addresses.number(&ip));
        for made in record.requests {
            let started: jiff::Timestamp = made.started_at.parse().map_err(|error| {
                Unread::Input(format!("{}:{line}: started_at '{}': {error}", file.name, made.started_at))
            })?;
            let host = self.hosts.number(&made.host_key);
            let own = address.filter(|_| record.host_key.as_deref() == Some(&made.host_key));
            if let Some(address) = own {
                self.address_of.insert(host, address);
            }
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast of floats saturates")]
            let took = (made.ms * 1000.0).round() as u64;
            self.requests.push(Request {
                started: started.as_microsecond(),
                took,
                place: self.spooled,
                host,
                address: own.unwrap_or(NO_ADDRESS),
                run: run_number,
                file: file.number,
            });
            self.spool(&Told {
                file: file.name.to_owned(),
                line,
                seq: record.seq,
                run: record.run.clone(),
                url: made.url,
                kind: made.kind,
                started_at: made.started_at,
                ms: made.ms,
                status: made.status,
            })?;
        }
        Ok(())
    }

    fn spool(&mut self, told: &Told) -> io::Result<()> {
        let mut text = serde_json::to_vec(told)?;
        text.push(b'\n');
        self.spool.write_all(&text)?;
        self.spooled += text.len() as u64;
        Ok(())
    }

    /// What messages show of a request.
    ///
    /// # Errors
    /// The temporary file cannot be read.
    pub fn told(&mut self, request: &Request) -> io::Result<Told> {
        self.spool.flush()?;
        let file = self.spool.get_mut();
        file.seek(SeekFrom::Start(request.place))?;
        let mut line = Vec::new();
        // A URL has at most 64 KiB, and each of its bytes at most six in JSON.
        BufReader::new(file.take(1 << 20)).read_until(b'\n', &mut line)?;
        Ok(serde_json::from_slice(&line)?)
    }
}

/// A file that is read.
#[derive(Clone, Copy)]
struct FileName<'a> {
    name: &'a str,
    number: u32,
}

impl FileName<'_> {
    fn no_record(self, line: u64, error: &serde_json::Error) -> Unread {
        Unread::Input(format!("{}:{line}: not a record: {error}", self.name))
    }
}

/// The first byte that is no white space, which is not taken.
fn first_byte(input: &mut dyn BufRead) -> io::Result<Option<u8>> {
    loop {
        let bytes = input.fill_buf()?;
        if bytes.is_empty() {
            return Ok(None);
        }
        if let Some(place) = bytes.iter().position(|byte| !byte.is_ascii_whitespace()) {
            return Ok(Some(bytes[place]));
        }
        let all = bytes.len();
        input.consume(all);
    }
}

/// The elements of an array, one at a time: the array itself is never in memory.
struct Elements<'a, 'b> {
    count: u64,
    ledger: &'a mut Ledger,
    file: FileName<'b>,
    failed: &'a mut Option<Unread>,
}

impl<'de> Visitor<'de> for &mut Elements<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        while let Some(record) = array.next_element::<Record>()? {
            self.count += 1;
            if let Err(error) = self.ledger.take(record, self.file, self.count) {
                *self.failed = Some(error);
                return Err(serde::de::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}
