//! The TLS of a run: whom it trusts, and as whom it shows itself.
//!
//! Decides which certificates of servers are trusted (the authorities of the system, `--cacert`, all under `-k`), whether
//! a client certificate is shown, and which versions of HTTP are offered. One configuration serves all stacks, so that a
//! session begun on one can be resumed on another; requests that may carry credentials have one of their own if there is
//! a client certificate, which is a credential as well. Never connects. Called by `client`.
//!
//! As in curl a certificate that stands itself in the file of `--cacert` is trusted, also one that is an authority's own:
//! `openssl req -x509` makes them so; and so is one that somebody else has signed. One of X.509 version 1 never is a server's: it
//! has no names of hosts, and a common name is none (RFC 9525 6.3). `SSL_CERT_FILE` and `SSL_CERT_DIR` replace the
//! authorities of the system.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::resolve::no_descriptor;

/// What a user may choose about TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// Certificates are not checked.
    pub insecure: bool,
    /// PEM file of the only authorities to trust; None: those of the system.
    pub authorities: Option<PathBuf>,
    /// PEM file of the client certificate, with its chain, and with its key if that has no file of its own.
    pub certificate: Option<PathBuf>,
    /// PEM file of its key.
    pub key: Option<PathBuf>,
    /// HTTP/1.1 only; else HTTP/2 where the server takes it.
    pub http1: bool,
}

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{flag}: {}: {reason}", path.display())]
pub struct TlsFileError {
    flag: &'static str,
    path: PathBuf,
    reason: String,
}

/// Configurations for the stacks.
#[derive(Debug)]
pub(super) struct Tls {
    provider: Arc<CryptoProvider>,
    insecure: bool,
    http1: bool,
    /// Of `--cacert`.
    authorities: Option<Vec<CertificateDer<'static>>>,
    identity: Option<Arc<CertifiedKey>>,
    /// Made when first needed: reading the system's authorities takes 3 ms.
    trust: OnceLock<Arc<Trust>>,
    /// Without and with the client certificate.
    configs: [OnceLock<ClientConfig>; 2],
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// A file that cannot be read, or that does not hold what its flag asks for.
    pub(super) fn new(settings: &TlsSettings) -> Result<Self, TlsFileError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let authorities = match &settings.authorities {
            Some(path) => Some(certificates("--cacert", path)?),
            None => None,
        };
        let identity = match &settings.certificate {
            Some(path) => Some(Arc::new(identity(path, settings.key.as_deref(), &provider)?)),
            None => None,
        };
        Ok(Self {
            provider,
            insecure: settings.insecure,
            http1: settings.http1,
            authorities,
            identity,
            trust: OnceLock::new(),
            configs: Default::default(),
        })
    }

    /// The client certificate, if there is one.
    pub(super) fn identity(&self) -> Option<&[u8]> {
        self.identity.as_ref()?.cert.first().map(|certificate| &**certificate)
    }

    /// The configuration of connections that show the client certificate, or that do not.
    ///
    /// # Errors
    /// The authorities cannot be read now.
    pub(super) fn config(&self, with_identity: bool) -> Result<ClientConfig, Error> {
        let place = &self.configs[usize::from(with_identity)];
        if let Some(config) = place.get() {
            return Ok(config.clone());
        }
        let trust = self.trust()?;
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(trust);
        let mut config = match self.identity.as_ref().filter(|_| with_identity) {
            // Not `with_client_auth_cert`, which reads the certificate: that is the server's to judge, and one of version 1
            // (`openssl x509 -req` without extensions) it cannot read.
            Some(identity) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(identity)))),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols =
            if self.http1 { vec![b"http/1.1".to_vec()] } else { vec![b"h2".to_vec(), b"http/1.1".to_vec()] };
        Ok(place.get_or_init(|| config).clone())
    }

    fn trust(&self) -> Result<Arc<Trust>, Error> {
        if let Some(trust) = self.trust.get() {
            return Ok(Arc::clone(trust));
        }
        let whom = match &self.authorities {
            _ if self.insecure => Whom::Everybody,
            Some(authorities) => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(authorities.iter().cloned());
                let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(&self.provider));
                let verifier = verifier.build().map_err(|error| Error::General(error.to_string()))?;
                Whom::Signed { by: verifier, themselves: authorities.clone() }
            }
            None => match rustls_platform_verifier::Verifier::new(Arc::clone(&self.provider)) {
                Ok(verifier) => Whom::Signed { by: Arc::new(verifier), themselves: Vec::new() },
                // The certificates are files: without a descriptor there seem to be none.
                Err(error) if no_descriptor().is_some() => return Err(error),
                Err(error) => {
                    // A machine without any (a bare container) can still fetch http, and each https request will say
                    // that the certificate is not trusted.
                    tracing::warn!(%error, "no certificates of authorities were found: https will fail");
                    Whom::Nobody
                }
            },
        };
        let trust = Arc::new(Trust { whom, provider: Arc::clone(&self.provider) });
        Ok(Arc::clone(self.trust.get_or_init(|| trust)))
    }
}

/// Whom a run trusts.
#[derive(Debug)]
struct Trust {
    whom: Whom,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
enum Whom {
    Everybody,
    Nobody,
    Signed {
        by: Arc<dyn ServerCertVerifier>,
        /// Certificates that are trusted as they are.
        themselves: Vec<CertificateDer<'static>>,
    },
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let (by, themselves) = match &self.whom {
            Whom::Everybody => return Ok(ServerCertVerified::assertion()),
            Whom::Nobody => return Err(CertificateError::UnknownIssuer.into()),
            Whom::Signed { by, themselves } => (by, themselves),
        };
        let verified = by.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // Its dates are looked at before this, its name after.
            Err(error) if is_untrusted(&error) && themselves.contains(end_entity) => {
                rustls::client::verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if let Whom::Everybody = self.whom {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if let Whom::Everybody = self.whom {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Nothing but trust is missing: the certificate of an authority was shown as a server's, or nobody who is trusted has
/// signed it. The verifier's own errors are of a private type, so its name has to do (a test holds it to the verifier in use).
fn is_untrusted(error: &Error) -> bool {
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => true,
        Error::InvalidCertificate(CertificateError::Other(cause)) => format!("{cause:?}").contains("CaUsedAsEndEntity"),
        _ => false,
    }
}

/// The client certificate with its chain, and its key.
fn identity(certificate: &Path, key: Option<&Path>, provider: &CryptoProvider) -> Result<CertifiedKey, TlsFileError> {
    let chain = certificates("--cert", certificate)?;
    let (flag, path) = key.map_or(("--cert", certificate), |key| ("--key", key));
    let failed = |reason: String| TlsFileError { flag, path: path.to_owned(), reason };
    let text = read(flag, path)?;
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        let encrypted = [&b"ENCRYPTED PRIVATE KEY"[..], b"Proc-Type: 4,ENCRYPTED"];
        let is_encrypted = encrypted.iter().any(|mark| memchr::memmem::find(&text, mark).is_some());
        failed(match error {
            _ if is_encrypted => {
                "the key is encrypted, which is not supported; 'openssl pkey -in FILE -out PLAIN' decrypts it"
                    .to_owned()
            }
            pem::Error::NoItemsFound if key.is_none() => {
                "there is no private key in it; --key names its file".to_owned()
            }
            pem::Error::NoItemsFound => "there is no private key in it".to_owned(),
            error => error.to_string(),
        })
    })?;
    let signing = provider.key_provider.load_private_key(key);
    let signing = signing.map_err(|error| failed(format!("the key cannot be used: {error}")))?;
    // A certificate holds its key in the same words (RFC 5280 4.1), whatever else is in it.
    let is_its_key = signing.public_key().is_none_or(|key| memchr::memmem::find(&chain[0], &key).is_some());
    is_its_key
        .then(|| CertifiedKey::new(chain, signing))
        .ok_or_else(|| failed("the key is not that of the certificate".to_owned()))
}

/// All certificates of a PEM file, at least one.
fn certificates(flag: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
    let failed = |reason: &str| TlsFileError { flag, path: path.to_owned(), reason: reason.to_owned() };
    let text = read(flag, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if found.is_empty() && text.first() == Some(&0x30) => Err(failed(
            "this is not PEM; PKCS#12 and DER are not supported: 'openssl pkcs12 -in FILE -nodes' or 'openssl x509 -inform der' turns them into PEM",
        )),
        Ok(found) if found.is_empty() => Err(failed("there is no PEM certificate in it")),
        Ok(found) => Ok(found),
        Err(error) => Err(failed(&error.to_string())),
    }
}

fn read(flag: &'static str, path: &Path) -> Result<Vec<u8>, TlsFileError> {
    std::fs::read(path).map_err(|error| TlsFileError { flag, path: path.to_owned(), reason: error.to_string() })
}
