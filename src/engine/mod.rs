//! Floor 4: the only floor that spawns tasks and knows all parts.

pub mod settings;
pub mod stats;
