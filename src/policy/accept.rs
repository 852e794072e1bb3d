//! Which statuses are `ok`.

/// A set of statuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusSet(Vec<(u16, u16)>);

impl Default for StatusSet {
    fn default() -> Self {
        Self(vec![(200, 299), (304, 304)])
    }
}

/// A list that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is not a status or a range of statuses (such as 200..299,304)")]
pub struct StatusSetError(String);

impl StatusSet {
    /// Reads `200..299,304`.
    ///
    /// # Errors
    /// Names the part that is neither a status nor a range.
    pub fn parse(text: &str) -> Result<Self, StatusSetError> {
        let one = |part: &str| {
            let (low, high) = part.split_once("..").unwrap_or((part, part));
            Some((low.trim().parse().ok()?, high.trim().parse().ok()?))
        };
        text.split(',')
            .map(|part| one(part).ok_or_else(|| StatusSetError(part.to_owned())))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    #[must_use]
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|(low, high)| (*low..=*high).contains(&status))
    }
}
