//! Which servers' certificates this server believes where it is the client: any, those of given authorities, or the
//! machine's. A certificate that is itself among those given is believed too, as Go does, which the library would not of
//! one that may sign others.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, Error};
use rustls::{RootCertStore, SignatureScheme, WantsVerifier};

/// Judges the certificates that servers show. Signatures must be right in any case.
#[derive(Debug)]
pub(crate) struct Belief {
    provider: Arc<CryptoProvider>,
    whom: Whom,
}

#[derive(Debug)]
enum Whom {
    Anybody,
    /// On a machine without any authorities.
    Nobody,
    /// What the library believes, and the very certificates that were given.
    Authorities(Arc<WebPkiServerVerifier>, Vec<CertificateDer<'static>>),
}

impl Belief {
    /// Every certificate will do.
    pub(crate) fn anybody() -> Belief {
        Belief { provider: provider(), whom: Whom::Anybody }
    }

    /// These authorities (PEM), and the very certificates that were given; the machine's where there are none.
    ///
    /// # Errors
    /// That they cannot be read, as client-go says it.
    pub(crate) fn of(authorities: &[u8]) -> Result<Belief, String> {
        let unreadable = || "unable to load root certificates: unable to parse bytes as PEM block".to_owned();
        let given: Vec<CertificateDer<'static>> = match authorities {
            [] => rustls_native_certs::load_native_certs().certs,
            pem => CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|_| unreadable())?,
        };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(given.iter().cloned());
        let provider = provider();
        let whom = match roots.is_empty() {
            true if authorities.is_empty() => Whom::Nobody,
            true => return Err(unreadable()),
            false => {
                let built = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
                let given = if authorities.is_empty() { Vec::new() } else { given };
                Whom::Authorities(built.map_err(|cause| cause.to_string())?, given)
            }
        };
        Ok(Belief { provider, whom })
    }

    /// The start of a client's configuration that judges so.
    ///
    /// # Errors
    /// What the library says where its provider knows no version of TLS.
    pub(crate) fn client(self) -> Result<ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, String> {
        let builder: ConfigBuilder<ClientConfig, WantsVerifier> =
            ClientConfig::builder_with_provider(self.provider.clone())
                .with_safe_default_protocol_versions()
                .map_err(|cause| cause.to_string())?;
        Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(self)))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

impl ServerCertVerifier for Belief {
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
        let (verifier, given) = match &self.whom {
            Whom::Anybody => return Ok(ServerCertVerified::assertion()),
            Whom::Nobody => return Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)),
            Whom::Authorities(verifier, given) => (verifier, given),
        };
        match verifier.verify_server_cert(own, others, name, ocsp, now) {
            Err(Error::InvalidCertificate(
                wrong @ (Expired
                | ExpiredContext { .. }
                | NotValidYet
                | NotValidYetContext { .. }
                | NotValidForName
                | NotValidForNameContext { .. }),
            )) => Err(Error::InvalidCertificate(wrong)),
            Err(_) if given.iter().any(|given| given == own) => {
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
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Why a handshake with a server called `name` failed, as Go says it.
pub(crate) fn words(cause: &std::io::Error, name: &str) -> String {
    let Some(cause) = cause.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return match cause.kind() {
            std::io::ErrorKind::UnexpectedEof => "EOF".to_owned(),
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
