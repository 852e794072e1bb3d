//! How far an output has come: what a run that keeps its state on disk notes, and what a resumed one cuts the output
//! back to.
//!
//! Outputs make marks and go back to them; the journal keeps them. Neither knows the other.

use serde::{Deserialize, Serialize};

/// A place in an output, just behind a whole record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputMark {
    /// Bytes from the start of the output.
    pub bytes: u64,
    /// How many of the last of these bytes `tail` speaks of.
    pub tail_bytes: u32,
    /// XXH3 of these last bytes, by which an output that has lost its end is known at once.
    pub tail: u64,
    /// XXH3 of all bytes, by which one is known that somebody else has changed.
    pub digest: u64,
}
