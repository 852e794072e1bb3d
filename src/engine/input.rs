//! The input as the dispatcher sees it: batches of seeds, asked for only when there is room for them.

use std::collections::VecDeque;

use tokio::sync::mpsc;

use crate::seeds::{Reader, Seed};

/// Seeds read at once.
const BATCH: usize = 256;

/// Where seeds come from.
pub enum Input {
    /// In the dispatcher's own thread: simulations, and lists that are in memory anyway.
    Inline(Box<dyn Iterator<Item = Seed> + Send>),
    /// A thread of its own reads files and pipes, at most two batches ahead.
    Thread(mpsc::Receiver<Vec<Seed>>),
    Ended,
}

impl Input {
    /// Starts the thread that reads.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn read(mut reader: Reader) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel(1);
        std::thread::Builder::new().name("lycosa-input".to_owned()).spawn(move || {
            loop {
                match reader.next_batch(BATCH) {
                    Ok(Some(batch)) => {
                        if sender.blocking_send(batch).is_err() {
                            // The run has ended.
                            return;
                        }
                    }
                    Ok(None) => return,
                    Err(error) => {
                        tracing::error!(%error, "the input cannot be read any further");
                        return;
                    }
                }
            }
        })?;
        Ok(Self::Thread(receiver))
    }

    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self, Self::Ended)
    }

    /// The next seeds. Pending until there are some; an empty batch means that the input has ended.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> VecDeque<Seed> {
        let batch = match self {
            Self::Inline(seeds) => seeds.by_ref().take(BATCH).collect(),
            Self::Thread(receiver) => receiver.recv().await.map(VecDeque::from).unwrap_or_default(),
            Self::Ended => VecDeque::new(),
        };
        if batch.is_empty() {
            *self = Self::Ended;
        }
        batch
    }
}
