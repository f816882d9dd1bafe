//! TLS to API services: the front proxy's certificate, and whom to trust (client-go `transport.Config` as kube-aggregator
//! fills it).

use std::sync::Arc;

use base64::Engine as _;
use minisvc_api::aggregation::Remote;
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use crate::pki::Pki;
use crate::streams::backend;
use crate::webhooks;

/// The configuration for one service.
///
/// # Errors
/// What is wrong with its `caBundle`, in words.
pub(super) fn config(pki: &Pki, remote: &Remote) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().map_err(text)?;
    let verifier = if remote.insecure {
        backend::anybody(provider)
    } else {
        let pem = base64::engine::general_purpose::STANDARD.decode(&remote.ca_bundle).map_err(text)?;
        webhooks::verifier(&pem)?
    };
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let own = pki.front_proxy_client();
    let certificate = CertificateDer::from_pem_slice(own.certificate_pem.as_bytes()).map_err(text)?;
    let key = PrivateKeyDer::from_pem_slice(own.key_pem.as_bytes()).map_err(text)?;
    Ok(Arc::new(builder.with_client_auth_cert(vec![certificate], key).map_err(text)?))
}

fn text(cause: impl std::fmt::Display) -> String {
    format!("unable to load root certificates: {cause}")
}
