//! What is wrong with the text of one value, and what was probably meant. Used by everything that reads values.

use super::nearest;

/// Why a text is not a value of its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bad {
    pub message: String,
    pub hint: Option<String>,
}

impl Bad {
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    pub fn meaning(mut self, meant: Option<impl AsRef<str>>) -> Self {
        self.hint = meant.map(|meant| format!("did you mean '{}'?", meant.as_ref()));
        self
    }
}

/// The word that is most like a wrong one, if it is like it at all.
pub fn near<'a>(text: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    nearest(text, words).and_then(|word| nearest_word(text, word))
}

/// This word, if the text is like it.
pub fn nearest_word<'a>(text: &str, word: &'a str) -> Option<&'a str> {
    (strsim::jaro_winkler(&text.to_lowercase(), word) > 0.7).then_some(word)
}
