//! The reqwest client.

/// see branch fetch
#[derive(Debug, Clone, Default)]
pub struct ClientSettings {}
