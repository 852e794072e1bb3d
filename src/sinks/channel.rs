//! Records for the user of the library: the stream of a run.
//!
//! Decides nothing; a receiver that is gone is a closed pipe. Blocks its own thread while the channel is full, so a
//! slow reader slows the run. Called by delivery's thread through [`Sink`].

use std::io;

use tokio::sync::mpsc;

use super::{Line, Sink, SinkError};
use crate::model::record::{Record, SCHEMA};

/// A sink that gives records to a receiver in this process. To be used on a thread that is no task of a runtime.
#[derive(Debug)]
pub struct ChannelSink {
    sender: Option<mpsc::Sender<Record>>,
    next: u64,
}

/// A sink and its receiver; `capacity`, at least 1, is the number of records that wait between them.
///
/// The receiver gets `None` when the sink was finished or dropped.
#[must_use]
pub fn channel(capacity: usize) -> (ChannelSink, mpsc::Receiver<Record>) {
    let (sender, receiver) = mpsc::channel(capacity.max(1));
    (ChannelSink { sender: Some(sender), next: 0 }, receiver)
}

impl Sink for ChannelSink {
    fn write(&mut self, lines: &[Line]) -> Result<(), SinkError> {
        for (written, line) in lines.iter().enumerate() {
            let failed = |source| SinkError { target: "the stream of records".to_owned(), written, source };
            let Some(record) = &line.record else {
                return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "the record itself is missing")));
            };
            let record = Record { schema: SCHEMA, seq: line.seq, body_of: (**record).clone() };
            let sent = self.sender.as_ref().is_some_and(|sender| sender.blocking_send(record).is_ok());
            if !sent {
                return Err(failed(io::ErrorKind::BrokenPipe.into()));
            }
            self.next = line.seq + 1;
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<u64, SinkError> {
        Ok(self.next)
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.sender = None;
        Ok(())
    }

    fn needs_record(&self) -> bool {
        true
    }
}
