//! Which statuses are `ok`.

/// A set of statuses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatusSet {}

impl StatusSet {
    #[must_use]
    pub fn contains(&self, _status: u16) -> bool {
        todo!()
    }
}
