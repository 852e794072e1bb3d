//! A JSON array.
