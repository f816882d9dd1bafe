//! Certificates of the TLS servers and trust of the TLS clients among the programs: from files, or made on the spot where an image would have brought
//! a pair of its own.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// The names of the pair in the agnhost image, found in `/`.
const OWN: [&str; 2] = ["localhost.crt", "localhost.key"];

/// A certificate and its key, PEM.
#[derive(Debug, Clone)]
pub struct CertificatePair {
    /// For `localhost`, `127.0.0.1` and `::1`, signed by itself.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

/// The pair that the agnhost image brings in `/localhost.crt` and `/localhost.key`: made once in a process, so that all
/// containers of a node have the same.
///
/// # Errors
/// The cause, where none can be made.
pub fn localhost_pair() -> Result<&'static CertificatePair, String> {
    static PAIR: OnceLock<Result<CertificatePair, String>> = OnceLock::new();
    let pair = PAIR.get_or_init(|| {
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
        let made = rcgen::generate_simple_self_signed(names).map_err(|error| error.to_string())?;
        Ok(CertificatePair { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() })
    });
    pair.as_ref().map_err(Clone::clone)
}

/// An acceptor with the certificates of `certificates` and the key of `key`.
///
/// Where both are the image's own `localhost` pair and no such files are there, the pair is made.
pub(crate) fn acceptor(certificates: &str, key: &str) -> Result<TlsAcceptor, String> {
    acceptor_of(certificates, key, None, None)
}

/// The same that speaks `protocol` alone (ALPN), and that asks clients for certificates, which `clients` judges.
pub(crate) fn acceptor_of(
    certificates: &str,
    key: &str,
    protocol: Option<&str>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
) -> Result<TlsAcceptor, String> {
    let own = [certificates, key].map(|path| path.trim_start_matches('/')) == OWN;
    let (chain, key) = match own && !Path::new("/").join(OWN[0]).exists() {
        true => made()?,
        false => read(certificates, key)?,
    };
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let config = match clients {
        Some(judge) => config.with_client_cert_verifier(judge),
        None => config.with_no_client_auth(),
    };
    let mut config = config.with_single_cert(chain, key).map_err(|error| format!("tls: {error}"))?;
    config.alpn_protocols = protocol.into_iter().map(|name| name.as_bytes().to_vec()).collect();
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// A connector that trusts the authorities of `trust` (PEM), and nobody else.
pub(crate) fn connector(trust: &str) -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(trust.as_bytes()) {
        let authority = authority.map_err(|error| error.to_string())?;
        roots.add(authority).map_err(|error| error.to_string())?;
    }
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// What encrypts.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The certificates in PEM text; what else is in it, and what does not parse, is passed over, as Go's pools do.
pub(crate) fn roots(pem: &[u8]) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates(pem));
    roots
}

/// The certificates in PEM text, as far as they can be read.
pub(crate) fn certificates(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem).filter_map(Result::ok).collect()
}

pub(crate) type Pair = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn read(certificates: &str, key: &str) -> Result<Pair, String> {
    let open = |path: &str| {
        std::fs::read(Path::new("/").join(path)).map_err(|error| format!("open {path}: {}", crate::go::errno(&error)))
    };
    parse(&open(certificates)?, &open(key)?)
}

fn made() -> Result<Pair, String> {
    let pair = localhost_pair()?;
    parse(pair.certificate.as_bytes(), pair.key.as_bytes())
}

/// A chain and its key, from PEM text.
pub(crate) fn parse(certificates: &[u8], key: &[u8]) -> Result<Pair, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificates).collect();
    let chain = chain.map_err(|error| format!("tls: failed to find any PEM data in certificate input: {error}"))?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|error| format!("tls: failed to find any PEM data in key input: {error}"))?;
    Ok((chain, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_read_or_made() {
        assert!(acceptor("localhost.crt", "localhost.key").is_ok());
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let made = rcgen::generate_simple_self_signed(vec!["x".to_owned()]).unwrap();
        std::fs::write(path("c"), made.cert.pem()).unwrap();
        std::fs::write(path("k"), made.signing_key.serialize_pem()).unwrap();
        assert!(acceptor(&path("c"), &path("k")).is_ok());
        let missing = acceptor("/no/such.crt", &path("k")).err().unwrap();
        assert_eq!(missing, "open /no/such.crt: no such file or directory");
    }
}
