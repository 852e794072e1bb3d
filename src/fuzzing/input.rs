//! How targets take numbers off the front of what they are given.

/// Takes a number for decisions off the front of an input; 0 at its end.
pub fn byte(input: &mut &[u8]) -> u8 {
    match input.split_first() {
        Some((first, rest)) => {
            *input = rest;
            *first
        }
        None => 0,
    }
}
