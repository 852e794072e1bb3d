//! Typed reading of settings that were laid over one another. Decides nothing: what a value means, its readers know.
//! Called by `resolve` and what it is made of.

use std::time::Duration;

use lycosa::model::units::Rate;

use super::bad::Bad;
use super::check;
use super::{Given, Kind, Layer, Origin, UsageError, setting};

/// Typed reading. Every name is one of the table (tested by resolving), and every text has been checked where it was
/// given.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a>(pub &'a Layer);

impl<'a> Values<'a> {
    pub fn given(&self, name: &str) -> Option<&'a Given> {
        self.0.get(name)
    }

    pub fn error(&self, name: &str, bad: Bad) -> UsageError {
        let setting = setting(name).expect("names in this file are of the table");
        let origin = self.given(name).map_or(&Origin::Default, |given| &given.origin);
        UsageError::of_value(setting, origin, bad)
    }

    /// The text of a setting; None for `none`, or where the command does not have it.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.given(name)?.texts.last().map(String::as_str).filter(|text| !text.is_empty() && *text != "none")
    }

    pub fn list(&self, name: &str) -> &'a [String] {
        self.given(name).map_or(&[], |given| &given.texts)
    }

    pub fn read<T>(&self, name: &str, read: impl Fn(&str) -> Result<T, Bad>) -> Result<T, UsageError> {
        let text = self.given(name).and_then(|given| given.texts.last()).map_or("", String::as_str);
        read(text).map_err(|bad| self.error(name, bad))
    }

    pub fn switch(&self, name: &str) -> bool {
        self.text(name).is_some_and(|text| check::switch(text) == Ok(true))
    }

    pub fn whole(&self, name: &str) -> Result<Option<u32>, UsageError> {
        match setting(name).map(|setting| setting.kind) {
            Some(Kind::Whole { least, most, none }) => self.read(name, |text| check::whole(text, least, most, none)),
            _ => self.read(name, |text| check::whole(text, 0, 2, false)),
        }
    }

    pub fn duration(&self, name: &str) -> Result<Option<Duration>, UsageError> {
        self.read(name, check::duration)
    }

    pub fn rate(&self, name: &str) -> Result<Option<Rate>, UsageError> {
        self.read(name, check::rate)
    }

    pub fn word(&self, name: &str) -> Result<&'static str, UsageError> {
        match setting(name).map(|setting| setting.kind) {
            Some(Kind::Word(words)) => self.read(name, |text| check::word(text, words)),
            _ => Err(self.error(name, Bad::new("is not a word"))),
        }
    }
}
