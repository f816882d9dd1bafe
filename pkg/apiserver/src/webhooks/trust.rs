//! Whom webhooks' certificates are believed: the authorities that a configuration names, else the machine's. A certificate
//! that is itself among those is believed too, as Go does, which the library would not of one that may sign others.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// Sets of authorities that are kept.
const KEPT: usize = 64;

/// TLS configurations by the authorities that they believe, made once each.
#[derive(Default)]
pub(crate) struct Trust(Mutex<HashMap<Vec<u8>, Arc<ClientConfig>>>);

impl Trust {
    /// The configuration that believes these authorities (PEM); the machine's where there are none.
    pub(super) fn config(&self, authorities: &[u8]) -> Result<Arc<ClientConfig>, String> {
        if let Some(config) = self.0.lock().get(authorities) {
            return Ok(config.clone());
        }
        let config = Arc::new(build(authorities)?);
        let mut kept = self.0.lock();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(authorities.to_vec(), config.clone());
        Ok(config)
    }
}

fn build(authorities: &[u8]) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|cause| cause.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier(authorities)?)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Believes these authorities (PEM), and the very certificates that were given; the machine's where there are none.
pub(crate) fn verifier(authorities: &[u8]) -> Result<Arc<dyn ServerCertVerifier>, String> {
    let unreadable = || "unable to load root certificates: unable to parse bytes as PEM block".to_owned();
    let given: Vec<CertificateDer<'static>> = match authorities {
        [] => rustls_native_certs::load_native_certs().certs,
        pem => CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|_| unreadable())?,
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(given.iter().cloned());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = match roots.is_empty() {
        true if authorities.is_empty() => None,
        true => return Err(unreadable()),
        false => {
            let built = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
            Some(built.map_err(|cause| cause.to_string())?)
        }
    };
    let given = if authorities.is_empty() { Vec::new() } else { given };
    let schemes = provider.signature_verification_algorithms.supported_schemes();
    Ok(Arc::new(Believer { verifier, given, schemes }))
}

/// Believes what the library believes, and the very certificates that were given.
#[derive(Debug)]
struct Believer {
    /// None on a machine without any authorities.
    verifier: Option<Arc<WebPkiServerVerifier>>,
    given: Vec<CertificateDer<'static>>,
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for Believer {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        use CertificateError::{
            Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet, NotValidYetContext,
        };
        let unknown = || Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let verifier = self.verifier.as_ref().ok_or_else(unknown)?;
        match verifier.verify_server_cert(own, others, name, ocsp, now) {
            Err(Error::InvalidCertificate(
                wrong @ (Expired
                | ExpiredContext { .. }
                | NotValidYet
                | NotValidYetContext { .. }
                | NotValidForName
                | NotValidForNameContext { .. }),
            )) => Err(Error::InvalidCertificate(wrong)),
            Err(_) if self.given.iter().any(|given| given == own) => {
                verify_server_name(&ParsedCertificate::try_from(own)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            outcome => outcome,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verifier = self.verifier.as_ref().ok_or(Error::General("no authorities".to_owned()))?;
        verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verifier = self.verifier.as_ref().ok_or(Error::General("no authorities".to_owned()))?;
        verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

/// Why a handshake failed, as Go says it.
pub(super) fn words(cause: &io::Error, name: &str) -> String {
    let Some(cause) = cause.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return match cause.kind() {
            io::ErrorKind::UnexpectedEof => "EOF".to_owned(),
            _ => cause.to_string(),
        };
    };
    use CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet, NotValidYetContext,
    };
    let wrong = match cause {
        Error::InvalidCertificate(wrong) => wrong,
        Error::InvalidMessage(_) => return "http: server gave HTTP response to HTTPS client".to_owned(),
        other => return format!("remote error: tls: {other}"),
    };
    let why = match wrong {
        NotValidForNameContext { presented, .. } if !presented.is_empty() => {
            // The library quotes each as `DnsName("x")`.
            let names: Vec<&str> = presented.iter().map(|one| one.split('"').nth(1).unwrap_or(one.as_str())).collect();
            format!("certificate is valid for {}, not {name}", names.join(", "))
        }
        NotValidForName | NotValidForNameContext { .. } => {
            format!("certificate is not valid for any names, but wanted to match {name}")
        }
        Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. } => {
            "certificate has expired or is not yet valid".to_owned()
        }
        _ => "certificate signed by unknown authority".to_owned(),
    };
    format!("tls: failed to verify certificate: x509: {why}")
}
