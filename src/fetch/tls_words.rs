//! Why a TLS handshake failed, in words for a person.
//!
//! The TLS library shows its causes as names of its own types (`Other(OtherError(CaUsedAsEndEntity))`). Decides wording
//! only: kind and retry are `classify`'s, which calls it.

use rustls::{CertificateError, Error};

/// One sentence without its full stop.
pub(super) fn of(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(cause) => format!("the certificate is not trusted: {}", of_certificate(cause)),
        Error::NoCertificatesPresented => "the server has no certificate".to_owned(),
        Error::AlertReceived(alert) => format!("the server refused the handshake: {}", words(&format!("{alert:?}"))),
        Error::PeerIncompatible(why) => {
            format!("no TLS that both sides speak: {}", words(&format!("{why:?}")))
        }
        Error::PeerMisbehaved(why) => format!("the server broke the rules of TLS: {}", words(&format!("{why:?}"))),
        Error::InvalidMessage(why) => format!("what the server sent is no TLS: {}", words(&format!("{why:?}"))),
        other => other.to_string(),
    }
}

fn of_certificate(error: &CertificateError) -> String {
    use CertificateError as Cause;
    let text = match error {
        Cause::BadEncoding => "it cannot be read",
        Cause::Expired | Cause::ExpiredContext { .. } => "it has expired",
        Cause::NotValidYet | Cause::NotValidYetContext { .. } => "it is not valid yet",
        Cause::Revoked => "it was revoked",
        Cause::UnknownIssuer => "it is self-signed, or its issuer is not known",
        Cause::NotValidForName | Cause::NotValidForNameContext { .. } => "it is for another name",
        Cause::BadSignature => "its signature is wrong",
        Cause::InvalidPurpose | Cause::InvalidPurposeContext { .. } => "it is not for servers",
        // The verifier's own errors are of a private type.
        Cause::Other(cause) => {
            let cause = cause.to_string();
            return match innermost_name(&cause) {
                "CaUsedAsEndEntity" => "it is self-signed: an authority's own".to_owned(),
                "UnsupportedCertVersion" => "it is of X.509 version 1, which has no names of hosts".to_owned(),
                name => words(name),
            };
        }
        other => return words(&format!("{other:?}")),
    };
    text.to_owned()
}

/// `C` of `A(B(C))`.
fn innermost_name(debug: &str) -> &str {
    debug.trim_end_matches(')').rsplit('(').next().unwrap_or(debug)
}

/// The name of a variant as words: `HandshakeFailure { … }` is `handshake failure`.
fn words(debug: &str) -> String {
    let name = debug.split([' ', '{', '(']).next().unwrap_or(debug);
    let mut words = String::with_capacity(name.len() + 8);
    let mut last = ' ';
    for c in name.chars() {
        if c.is_ascii_uppercase() && (last.is_ascii_lowercase() || last.is_ascii_digit()) {
            words.push(' ');
        }
        words.push(c.to_ascii_lowercase());
        last = c;
    }
    words
}

#[cfg(test)]
mod tests {
    use rustls::{AlertDescription, InvalidMessage};

    use super::*;

    #[test]
    fn no_cause_is_told_in_the_names_of_types() {
        let certificate = |cause| of(&Error::InvalidCertificate(cause));
        let not_trusted = "the certificate is not trusted: ";
        assert_eq!(certificate(CertificateError::Expired), format!("{not_trusted}it has expired"));
        assert_eq!(certificate(CertificateError::NotValidForName), format!("{not_trusted}it is for another name"));
        let unknown = certificate(CertificateError::UnknownRevocationStatus);
        assert_eq!(unknown, format!("{not_trusted}unknown revocation status"));
        assert_eq!(
            of(&Error::AlertReceived(AlertDescription::HandshakeFailure)),
            "the server refused the handshake: handshake failure"
        );
        let text = of(&Error::InvalidMessage(InvalidMessage::InvalidContentType));
        assert_eq!(text, "what the server sent is no TLS: invalid content type");
    }
}
