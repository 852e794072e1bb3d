//! Keys of a JSON job that stand instead of a setting of the run: `user`, `cookies`, `retries`, `accept`, `proxy`.
//!
//! Decides what their values may be; messages never repeat a credential. `cookies` and `user`
//! become headers of the job, so that both are credentials like those that are typed elsewhere: they stay in their origin,
//! and out of the state. Called by [`super::job_line`].

use base64::Engine as _;
use http::HeaderValue;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::policy::accept::StatusSet;
use crate::policy::proxy_address::ProxyAddress;

/// More than any patience.
const MOST_RETRIES: u32 = 1000;

fn read<T: DeserializeOwned>(value: &RawValue) -> Option<T> {
    serde_json::from_str(value.get()).ok()
}

/// `"name:password"`, as the value of `Authorization` (RFC 7617).
pub(super) fn user(value: &RawValue) -> Result<String, String> {
    let text: String = read(value).ok_or("'user' is not a string")?;
    if !text.contains(':') {
        return Err("'user' has no password: it is written NAME:PASSWORD".to_owned());
    }
    Ok(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text)))
}

/// `"k=v; k2=v2"` or `{"k": "v"}`, as a `Cookie` line.
pub(super) fn cookies(value: &RawValue) -> Result<String, String> {
    let line = if let Some(line) = read::<String>(value) {
        line.trim_matches([' ', '\t', ';']).to_owned()
    } else {
        let Some(pairs) = read::<serde_json::Map<String, serde_json::Value>>(value) else {
            return Err("'cookies' is not a string 'k=v; k2=v2', nor an object of strings".to_owned());
        };
        pairs.iter().map(|(name, value)| pair(name, value)).collect::<Result<Vec<_>, _>>()?.join("; ")
    };
    if !line.is_empty() && !line.contains('=') {
        return Err("'cookies' has no '=': it is written 'k=v; k2=v2'".to_owned());
    }
    if HeaderValue::from_bytes(line.as_bytes()).is_err() {
        return Err("'cookies' has a control character".to_owned());
    }
    Ok(line)
}

fn pair(name: &str, value: &serde_json::Value) -> Result<String, String> {
    let is_plain = |text: &str| !text.contains([';', '\t']) && text.trim() == text;
    match value.as_str() {
        Some(value) if is_plain(value) && is_plain(name) && !name.is_empty() && !name.contains('=') => {
            Ok(format!("{name}={value}"))
        }
        Some(_) => Err("a cookie of 'cookies' has a semicolon, a tab, or white space around it".to_owned()),
        None => Err("a cookie of 'cookies' is not a string".to_owned()),
    }
}

pub(super) fn retries(value: &RawValue) -> Result<u32, String> {
    read(value)
        .filter(|retries| *retries <= MOST_RETRIES)
        .ok_or_else(|| format!("'retries' is not a whole number from 0 to {MOST_RETRIES}"))
}

/// The text of a list of statuses that can be read.
pub(super) fn accept(value: &RawValue) -> Result<Box<str>, String> {
    let text = match read::<u16>(value) {
        Some(status) => status.to_string(),
        None => read(value).ok_or("'accept' is not a list of statuses such as \"200..299,404\"")?,
    };
    match StatusSet::parse(&text) {
        Ok(_) => Ok(text.into()),
        Err(error) => Err(format!("'accept': {}", quoted(&error.to_string()))),
    }
}

/// The address of a proxy, with its scheme; `none` is no proxy: empty.
pub(super) fn proxy(value: &RawValue) -> Result<Box<str>, String> {
    let text: String = read(value).ok_or("'proxy' is not a string")?;
    if text == "none" {
        return Ok("".into());
    }
    let address = ProxyAddress::parse(&text).map_err(|error| format!("'proxy': {error}"))?;
    Ok(address.text.into())
}

/// A text of the line fit for a message: one line, at most 64 characters.
pub(super) fn quoted(text: &str) -> String {
    text.chars().take(64).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
