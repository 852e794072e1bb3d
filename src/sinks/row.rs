//! A record's JSON text taken apart into the columns of a table, without reading what is nested.
//!
//! Decides nothing. Called by this module's siblings whose formats are tables.

use std::fmt;
use std::io;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::model::columns::COLUMNS;

/// The JSON text of each column of a record, in the order of [`COLUMNS`]; None where it is null or left out. The first two,
/// `schema` and `seq`, are not in the text of a line and None too.
pub(super) type Row<'a> = Vec<Option<&'a str>>;

/// # Errors
/// The line is no JSON object: a mistake of whoever made it.
pub(super) fn row(json: &[u8]) -> io::Result<Row<'_>> {
    let mut text = serde_json::Deserializer::from_slice(json);
    text.deserialize_map(Columns).map_err(io::Error::from)
}

struct Columns;

impl<'de> Visitor<'de> for Columns {
    type Value = Row<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row<'de>, A::Error> {
        let mut row = vec![None; COLUMNS.len()];
        // Keys stand in the order of columns, so the next one is nearly always the next column.
        let mut at = 0;
        while let Some((key, value)) = map.next_entry::<&str, &RawValue>()? {
            let ahead = COLUMNS[at..].iter().position(|column| column.name == key).map(|ahead| at + ahead);
            let Some(place) = ahead.or_else(|| COLUMNS.iter().position(|column| column.name == key)) else { continue };
            row[place] = Some(value.get()).filter(|text| *text != "null");
            at = place + 1;
        }
        Ok(row)
    }
}
