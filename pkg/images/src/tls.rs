//! Certificates of the TLS servers among the programs: from files, or made on the spot where an image would have brought
//! a pair of its own.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

/// The names of the pair in the agnhost image, found in `/`.
const OWN: [&str; 2] = ["localhost.crt", "localhost.key"];

/// An acceptor with the certificates of `certificates` and the key of `key`.
///
/// Where both are the image's own `localhost` pair and no such files were mounted, the pair is made: for `localhost`,
/// `127.0.0.1` and `::1`, signed by itself.
pub(crate) fn acceptor(certificates: &str, key: &str) -> Result<TlsAcceptor, String> {
    let own = [certificates, key].map(|path| path.trim_start_matches('/')) == OWN;
    let (chain, key) = match own && !Path::new("/").join(OWN[0]).exists() {
        true => made()?,
        false => read(certificates, key)?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| format!("tls: {error}"))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

type Pair = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn read(certificates: &str, key: &str) -> Result<Pair, String> {
    let open = |path: &str| {
        std::fs::read(Path::new("/").join(path)).map_err(|error| format!("open {path}: {}", crate::go::errno(&error)))
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&open(certificates)?).collect();
    let chain = chain.map_err(|error| format!("tls: failed to find any PEM data in certificate input: {error}"))?;
    let key = PrivateKeyDer::from_pem_slice(&open(key)?)
        .map_err(|error| format!("tls: failed to find any PEM data in key input: {error}"))?;
    Ok((chain, key))
}

fn made() -> Result<Pair, String> {
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    let made = rcgen::generate_simple_self_signed(names).map_err(|error| error.to_string())?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    Ok((vec![made.cert.der().clone()], key.into()))
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
