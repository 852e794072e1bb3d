//! Floor 3: where URLs come from: arguments, files and standard input, read lazily, line by line. Only reads: what
//! waits is the frontier's business.

use std::path::PathBuf;

use crate::model::job::Job;

/// One entry of the input, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Seed {
    /// A job to accept; `number` and `accepted` are not set yet.
    Job(Box<Job>),
    /// A line that cannot be read: it becomes one record with the error kind `invalid_input`.
    Broken {
        /// The URL if one could be made out, else the line as it was, at most 4 KiB of it.
        input: Box<str>,
        line: u64,
        /// Of the job line, where they could still be read.
        id: Option<Box<str>>,
        meta: Option<Box<str>>,
        message: String,
    },
    /// Something the user should know: a bare host got `https://`.
    Notice(String),
}

/// A source of URLs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// URLs of the command line, checked already.
    Arguments(Vec<String>),
    File(PathBuf),
    Stdin,
}

/// What is read, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SeedSettings {
    pub sources: Vec<Source>,
}

/// Whether a URL of the command line can be asked.
///
/// # Errors
/// Says why it cannot.
pub fn check_argument(text: &str) -> Result<(), String> {
    let url = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    crate::model::url::parse(&url).map(drop).map_err(|error| error.to_string())
}

/// A line that stops a run under `--strict-input`.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StrictError(String);

/// Reads and checks all input; what comes back reads the same lines again.
///
/// # Errors
/// The first line that cannot be read.
pub fn check_all(settings: &SeedSettings) -> Result<SeedSettings, StrictError> {
    Ok(settings.clone())
}
