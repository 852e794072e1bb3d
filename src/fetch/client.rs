//! The reqwest client.
