//! TLS to API services: the front proxy's certificate, and whom to trust (client-go `transport.Config` as kube-aggregator
//! fills it).

use std::sync::Arc;

use base64::Engine as _;
use minisvc_api::aggregation::Remote;
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use crate::belief::Belief;
use crate::pki::Pki;

/// The configuration for one service.
///
/// # Errors
/// What is wrong with its `caBundle`, in words.
pub(super) fn config(pki: &Pki, remote: &Remote) -> Result<Arc<ClientConfig>, String> {
    let belief = match remote.insecure {
        true => Belief::anybody(),
        false => Belief::of(&base64::engine::general_purpose::STANDARD.decode(&remote.ca_bundle).map_err(text)?)?,
    };
    let builder = belief.client()?;
    let own = pki.front_proxy_client();
    let certificate = CertificateDer::from_pem_slice(own.certificate_pem.as_bytes()).map_err(text)?;
    let key = PrivateKeyDer::from_pem_slice(own.key_pem.as_bytes()).map_err(text)?;
    Ok(Arc::new(builder.with_client_auth_cert(vec![certificate], key).map_err(text)?))
}

fn text(cause: impl std::fmt::Display) -> String {
    format!("unable to load root certificates: {cause}")
}
