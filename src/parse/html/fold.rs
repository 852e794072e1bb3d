//! Text with its white space folded and its length capped, as titles and link texts are shown.

/// Collects text piece by piece: runs of ASCII white space become one space, none at the ends.
#[derive(Debug)]
pub(super) struct Folded {
    text: String,
    /// Characters that may still come.
    left: usize,
    /// White space was seen since the last character.
    gap: bool,
}

impl Folded {
    /// Takes at most `cap` characters; the rest is dropped.
    pub(super) fn new(cap: usize) -> Self {
        Self { text: String::new(), left: cap, gap: false }
    }

    pub(super) fn is_full(&self) -> bool {
        self.left == 0
    }

    pub(super) fn push(&mut self, piece: &str) {
        for character in piece.chars() {
            if character.is_ascii_whitespace() {
                self.gap = true;
                continue;
            }
            if self.gap && !self.text.is_empty() && self.left > 0 {
                self.left -= 1;
                // No space at the end when there is no room for what follows it.
                if self.left > 0 {
                    self.text.push(' ');
                }
            }
            self.gap = false;
            if self.left == 0 {
                return;
            }
            self.text.push(character);
            self.left -= 1;
        }
    }

    /// None if nothing but white space came.
    pub(super) fn finish(self) -> Option<String> {
        (!self.text.is_empty()).then_some(self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_folds_over_pieces_and_the_cap_counts_characters() {
        let folded = |cap, pieces: &[&str]| {
            let mut folded = Folded::new(cap);
            for piece in pieces {
                folded.push(piece);
            }
            folded.finish()
        };
        assert_eq!(folded(99, &["\n a ", "\t b", "c \n"]).as_deref(), Some("a bc"));
        assert_eq!(folded(99, &[" \r\n", "\x0c"]), None);
        assert_eq!(folded(3, &["é é é"]).as_deref(), Some("é é"));
        assert_eq!(folded(2, &["é é"]).as_deref(), Some("é"));
        assert_eq!(folded(0, &["é"]), None);
    }
}
