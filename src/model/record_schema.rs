//! The JSON Schema of a record.

/// The schema.
#[must_use]
pub fn record_schema() -> serde_json::Value {
    serde_json::json!({ "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object" })
}
