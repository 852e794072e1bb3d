//! The seen set.
