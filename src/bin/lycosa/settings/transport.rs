//! How servers are reached: proxies, TLS, addresses, and the pace of a transfer. From texts to the library's settings.
//!
//! Follows curl in what the texts mean. Never reads a file: the library does, when the run starts. Called by `resolve`.

use std::path::PathBuf;

use lycosa::fetch::dial::{DialSettings, Family, Interface};
use lycosa::fetch::overrides::{OverrideError, Overrides};
use lycosa::fetch::tls::TlsSettings;
use lycosa::policy::proxy_address::{ProxyAddress, ProxyAddressError, SCHEMES};

use super::UsageError;
use super::check::Bad;
use super::values::Values;

/// The proxies of `-x`, in order; None: as the environment says. Empty: no proxy.
pub(super) fn proxies(values: &Values<'_>) -> Result<Option<Vec<String>>, UsageError> {
    let error = |bad| values.error("proxy", bad);
    match values.list("proxy") {
        [] => Ok(Some(Vec::new())),
        [one] if one == "environment" => Ok(None),
        [one] if one.is_empty() || one == "none" => Ok(Some(Vec::new())),
        several => {
            if let Some(word) = several.iter().find(|text| matches!(text.as_str(), "" | "none" | "environment")) {
                let mut bad = Bad::new(format!("'{word}' cannot stand beside other proxies"));
                bad.hint = Some("with several proxies each host gets one of them".to_owned());
                return Err(error(bad));
            }
            several.iter().map(|text| proxy(text)).collect::<Result<_, _>>().map(Some).map_err(error)
        }
    }
}

/// The proxy of a table of hosts. None: that of the run. Empty: no proxy.
pub(super) fn proxy_of_table(text: &str) -> Result<Option<String>, Bad> {
    match text {
        "environment" => Ok(None),
        "none" | "" => Ok(Some(String::new())),
        _ => proxy(text).map(Some),
    }
}

/// A proxy's URL; without a scheme it is an http proxy, as in curl.
fn proxy(text: &str) -> Result<String, Bad> {
    ProxyAddress::parse(text).map(|address| address.text).map_err(|error| {
        let mut bad = Bad::new(error.to_string());
        if let ProxyAddressError::Scheme(scheme) = &error {
            bad.hint = Some(format!("did you mean '{}'?", super::nearest(scheme, SCHEMES).unwrap_or("http")));
        }
        bad
    })
}

/// The hosts that are asked without a proxy; None: as the environment says.
pub(super) fn noproxy(values: &Values<'_>) -> Option<String> {
    match values.list("noproxy").last().map_or("", String::as_str) {
        "environment" => None,
        "none" => Some(String::new()),
        list => Some(list.to_owned()),
    }
}

/// `-k`, `--cacert`, `--cert`, `--key` and `--http1.1`.
pub(super) fn tls(values: &Values<'_>) -> Result<TlsSettings, UsageError> {
    let path = |name| values.text(name).map(PathBuf::from);
    let certificate = values.text("cert").map(|text| PathBuf::from(certificate_file(text)));
    let key = path("key");
    if key.is_some() && certificate.is_none() {
        let mut bad = Bad::new("a key is of no use without its certificate");
        bad.hint = Some("name its file with --cert".to_owned());
        return Err(values.error("key", bad));
    }
    Ok(TlsSettings {
        insecure: values.switch("insecure"),
        authorities: path("cacert"),
        certificate,
        key,
        http1: values.word("http-version")? == "1.1",
    })
}

/// The file of `FILE[:PASSWORD]`, in which a backslash takes a colon for itself. The password is of no use: keys that are
/// encrypted are not read.
pub fn certificate_file(text: &str) -> String {
    let mut file = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            ':' => break,
            '\\' => match letters.next_if(|next| matches!(next, '\\' | ':')) {
                Some(taken) => file.push(taken),
                None => file.push('\\'),
            },
            _ => file.push(letter),
        }
    }
    file
}

/// `--resolve`, `--connect-to`, `-4`, `-6` and `--interface`.
pub(super) fn dial(values: &Values<'_>) -> Result<DialSettings, UsageError> {
    let bad = |name, error: &OverrideError| values.error(name, Bad::new(error.to_string()));
    let overrides = Overrides::default().resolve(values.list("resolve")).map_err(|error| bad("resolve", &error))?;
    let overrides = overrides.connect_to(values.list("connect-to")).map_err(|error| bad("connect-to", &error))?;
    Ok(DialSettings {
        overrides,
        family: match values.word("ip-version")? {
            "4" => Some(Family::V4),
            "6" => Some(Family::V6),
            _ => None,
        },
        interface: values.text("interface").map(Interface::parse),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_a_certificate_is_taken_from_its_password() {
        for (text, file) in [
            ("a.pem", "a.pem"),
            ("a.pem:secret", "a.pem"),
            ("a.pem:se:cret", "a.pem"),
            ("a\\:b.pem:x", "a:b.pem"),
            ("a\\\\b", "a\\b"),
            ("a\\b", "a\\b"),
        ] {
            assert_eq!(certificate_file(text), file, "{text}");
        }
    }
}
