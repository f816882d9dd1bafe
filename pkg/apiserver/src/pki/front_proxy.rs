//! The front proxy's keys: an authority of its own, so that nobody whom the cluster's authority certified can speak for
//! others to an API service (`--requestheader-client-ca-file`), and the client certificate that it signed.

use std::path::Path;

use rcgen::ExtendedKeyUsagePurpose;

use super::{KeyedCertificate, Pki, PkiError, authority_in, leaf, signed};

/// Common name of the client certificate, as kubeadm calls it.
pub(crate) const FRONT_PROXY_CLIENT: &str = "front-proxy-client";

/// What the folder holds of it.
pub(super) struct FrontProxy {
    ca_pem: String,
    client: KeyedCertificate,
}

impl FrontProxy {
    /// Reads the authority, making it where it is not there yet; the certificate is made anew at every start.
    pub(super) fn load_or_create(folder: &Path) -> Result<FrontProxy, PkiError> {
        let (ca_pem, issuer) = authority_in(folder, "front-proxy-ca", "front-proxy-ca")?;
        let mut params = leaf(FRONT_PROXY_CLIENT);
        params.insert_extended_key_usage(ExtendedKeyUsagePurpose::ClientAuth);
        Ok(FrontProxy { ca_pem, client: signed(params, FRONT_PROXY_CLIENT, &issuer)? })
    }
}

impl Pki {
    /// The front proxy's authority, PEM: what API services check this server's certificate by.
    pub(crate) fn front_proxy_ca_pem(&self) -> &str {
        &self.front_proxy.ca_pem
    }

    /// The certificate that this server shows to API services.
    pub(crate) fn front_proxy_client(&self) -> &KeyedCertificate {
        &self.front_proxy.client
    }
}
