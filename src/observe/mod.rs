//! Floor 5: what watches a run: the progress line and the closing summary as text and as JSON.
//!
//! Pure drawing: counters and summaries come in, text goes out. Nothing here writes to a terminal, reads a clock or
//! knows a flag. Called by the command.

pub mod progress;
pub mod report;
pub mod status;
mod words;
