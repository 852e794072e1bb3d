//! The keys of a record as columns of a table, for formats that have no nested values.
//!
//! Decides their order, which is the record's, and how each is typed. Keys that come on request have a column always, so
//! that the tables of all runs are alike. Tests hold it together with the schema of a record.

use ColumnKind::{Flag, Json, Real, Text, Whole};

/// What stands in a column, where it is not null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    Whole,
    Real,
    Flag,
    Text,
    /// An object, an array, or any value there is: as JSON text.
    Json,
}

/// One key of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    pub name: &'static str,
    pub kind: ColumnKind,
}

const fn column(name: &'static str, kind: ColumnKind) -> Column {
    Column { name, kind }
}

/// All keys of a record.
pub const COLUMNS: &[Column] = &[
    column("schema", Whole),
    column("seq", Whole),
    column("run", Text),
    column("id", Text),
    column("input", Text),
    column("line", Whole),
    column("url", Text),
    column("final_url", Text),
    column("outcome", Text),
    column("status", Whole),
    column("error", Json),
    column("skip_reason", Text),
    column("method", Text),
    column("depth", Whole),
    column("source", Text),
    column("attempts", Whole),
    column("requests", Json),
    column("started_at", Text),
    column("queued_ms", Real),
    column("first_byte_ms", Real),
    column("total_ms", Real),
    column("dns_ms", Real),
    column("connect_ms", Real),
    column("tls_ms", Real),
    column("http_version", Text),
    column("remote_addr", Text),
    column("host_key", Text),
    column("proxy", Text),
    column("content_type", Text),
    column("charset", Text),
    column("size", Whole),
    column("wire_size", Whole),
    column("truncated", Flag),
    column("digest", Text),
    column("body_file", Text),
    column("title", Text),
    column("data", Json),
    column("noindex", Flag),
    column("from_cache", Flag),
    column("stale", Flag),
    column("change", Text),
    column("mirrors", Json),
    column("retry_of", Whole),
    column("meta", Json),
    column("headers", Json),
    column("links", Json),
    column("body", Text),
    column("body_base64", Text),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::model::record::{Outcome, RecordBody};
    use crate::model::record_schema::record_schema;

    #[test]
    fn every_key_of_a_record_is_a_column_of_its_type() {
        let schema = record_schema();
        let properties = schema["properties"].as_object().unwrap();
        let names: BTreeSet<&str> = COLUMNS.iter().map(|column| column.name).collect();
        assert_eq!(names.len(), COLUMNS.len());
        assert_eq!(names, properties.keys().map(String::as_str).collect());
        for Column { name, kind } in COLUMNS {
            let said = &properties[*name]["type"];
            let types: Vec<&str> = said
                .as_str()
                .into_iter()
                .chain(said.as_array().into_iter().flatten().filter_map(Value::as_str))
                .collect();
            let has = |word| types.contains(&word);
            let expected = match () {
                () if has("integer") => Whole,
                () if has("number") => Real,
                () if has("boolean") => Flag,
                () if has("object") || has("array") || *name == "error" || *name == "meta" => Json,
                () => Text,
            };
            assert_eq!(*kind, expected, "{name}");
        }
    }

    #[test]
    fn columns_stand_in_the_order_of_a_record() {
        let record = RecordBody {
            headers: Some([].into()),
            links: Some(Vec::new()),
            body: Some(None),
            body_base64: Some(String::new()),
            ..RecordBody::blank("run".into(), "id".to_owned(), Outcome::Ok)
        };
        let json = String::from_utf8(record.to_json()).unwrap();
        let places: Vec<_> =
            COLUMNS[2..].iter().map(|column| json.find(&format!("\"{}\":", column.name)).unwrap()).collect();
        assert!(places.is_sorted(), "{json}");
    }
}
