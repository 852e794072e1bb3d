//! Body memory: one pool for the whole run (law 12).

use tokio::sync::OwnedSemaphorePermit;

/// A share of the run's body memory, given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    _permit: OwnedSemaphorePermit,
}

impl Reservation {
    /// see branch fetch
    pub fn shrink_to(&mut self, _bytes: usize) {}
}
