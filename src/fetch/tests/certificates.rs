//! Certificates as people make them: signed by somebody else, of version 1.

use std::sync::Arc;

use rcgen::IsCa;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use super::server::{Identity, Server, ok};
use super::transport::{connect_to, file};
use super::*;

#[tokio::test]
async fn a_given_certificate_is_trusted_whoever_has_signed_it() {
    let (leaf, other, past) = (Identity::signed(false), Identity::signed(false), Identity::signed(true));
    for (shown, given, end) in
        [(&leaf, &leaf, None), (&leaf, &other, Some("its issuer is not known")), (&past, &past, Some("it has expired"))]
    {
        let server = Server::start_tls_as(|_| vec![ok("", b"")], shown, None).await;
        let (authorities, _directory) = file(&given.certificate());
        let client = client_with(|settings| {
            settings.tls.authorities = Some(authorities);
            settings.dial.overrides = connect_to(&format!("::127.0.0.1:{}", server.address.port()));
        });
        let attempt = client.fetch(get("https://localhost/")).await;
        match end {
            None => assert_eq!(status(&attempt), Some(200), "{:?}", attempt.error),
            Some(why) => assert!(failure(&attempt).message.ends_with(why), "{:?}", attempt.error),
        }
        let attempt = client.fetch(get("https://other.example/")).await;
        assert_fails(&attempt, ErrorKind::Tls, Stage::Tls, false);
    }
}

/// Takes whatever a visitor shows.
#[derive(Debug)]
struct AnyVisitor;

impl ClientCertVerifier for AnyVisitor {
    fn root_hint_subjects(&self) -> &[rustls::DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// `openssl x509 -req` makes certificates of version 1, which our TLS library cannot read, and need not.
#[tokio::test]
async fn a_client_certificate_of_version_1_is_shown_as_it_is() {
    const VISITOR: &str = include_str!("version_1.pem");
    let identity = Identity::new(IsCa::NoCa);
    let config = rustls::ServerConfig::builder().with_client_cert_verifier(Arc::new(AnyVisitor));
    let key = PrivateKeyDer::from_pem_slice(identity.key().as_bytes()).unwrap();
    let own = CertificateDer::from_pem_slice(identity.certificate().as_bytes()).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config.with_single_cert(vec![own], key).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
    };
    let (certificate, _directory) = file(VISITOR);
    let client = client_with(|settings| {
        settings.tls.certificate = Some(certificate);
        settings.tls.insecure = true;
    });
    let (attempt, shown) = tokio::join!(client.fetch(Request { credentials: true, ..get(&url) }), serve);
    assert_eq!(status(&attempt), Some(200), "{:?}", attempt.error);
    assert_eq!(shown, CertificateDer::from_pem_slice(VISITOR.as_bytes()).unwrap());
}
