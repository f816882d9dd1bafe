//! Private keys in the form that every Kubernetes client reads (RFC 5915), and that Kubernetes' own tools write for
//! elliptic curves. fabric8's Java client takes any `PRIVATE KEY` for one of RSA.

use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use sec1::der::pem::LineEnding;
use sec1::der::{Decode as _, EncodePem as _};
use sec1::pkcs8::PrivateKeyInfo;
use sec1::{EcParameters, EcPrivateKey};

use super::{KeyedCertificate, PkiError, crypto};

impl KeyedCertificate {
    /// The private key as PEM `EC PRIVATE KEY`, which names its curve.
    ///
    /// # Errors
    /// When the key is not one of an elliptic curve.
    pub fn ec_key_pem(&self) -> Result<String, PkiError> {
        let pkcs8 =
            PrivatePkcs8KeyDer::from_pem_slice(self.key_pem.as_bytes()).map_err(crypto("read a private key"))?;
        ec_private_key(pkcs8.secret_pkcs8_der()).map_err(crypto("write a private key of an elliptic curve"))
    }
}

fn ec_private_key(pkcs8: &[u8]) -> Result<String, sec1::pkcs8::Error> {
    let outer = PrivateKeyInfo::try_from(pkcs8)?;
    let curve = outer.algorithm.parameters_oid()?;
    // Inside, the curve may be left out, as the outside names it.
    let key = EcPrivateKey::from_der(outer.private_key)?;
    Ok(EcPrivateKey { parameters: Some(EcParameters::NamedCurve(curve)), ..key }.to_pem(LineEnding::LF)?)
}
