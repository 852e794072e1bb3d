//! The frontier in memory.
