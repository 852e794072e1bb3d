//! Charsets.

/// see branch parse
#[must_use]
pub fn decode_text(_media_type: &str, _header_charset: Option<&str>, body: &[u8]) -> Option<String> {
    String::from_utf8(body.to_vec()).ok()
}
