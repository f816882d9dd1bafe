//! The certificate authority and every key the control plane owns, kept as PEM files (mode 0600) in one folder.
//!
//! Must not know HTTP or the store. Validity starts a year back and lasts ten years, so that a machine whose clock jumps
//! (a paused VM) keeps working; what nears its end, or was made by a clock ahead of the present one, is made anew.

mod front_proxy;
mod kubeconfig;
mod requests;
mod sec1;
mod token_key;

use std::fs;
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

pub(crate) use front_proxy::FRONT_PROXY_CLIENT;
use front_proxy::FrontProxy;
pub use kubeconfig::kubeconfig;
pub(crate) use requests::{CLIENT as CLIENT_SIGNER, CertificateRequest, is_certificates};
pub use token_key::{TokenError, TokenKey};

/// The common name by which nodes know the API server, as kubeadm calls it.
pub const NODE_CLIENT: &str = "kube-apiserver-kubelet-client";

/// Seconds before its end at which a certificate is made anew.
const LEFT: i64 = 30 * 24 * 3600;

/// What could not be made, read or signed under the key folder.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file or folder operation failed.
    #[error("{operation} {path}: {cause}")]
    Io {
        /// `read`, `write` or `make folder`.
        operation: &'static str,
        /// Which one.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// A key or certificate could not be made or understood.
    #[error("{what}: {cause}")]
    Crypto {
        /// What was being done, such as `sign certificate of system:node:node1`.
        what: String,
        /// Why.
        cause: String,
    },
}

/// A certificate and its private key, both PEM.
#[derive(Clone)]
pub struct KeyedCertificate {
    /// The certificate.
    pub certificate_pem: String,
    /// Its private key (PKCS #8).
    pub key_pem: String,
}

/// The names and addresses that the serving certificate must carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServingNames {
    /// DNS names.
    pub names: Vec<String>,
    /// Addresses.
    pub addresses: Vec<IpAddr>,
}

/// The certificate authority with its serving certificate and the key that signs service-account tokens.
pub struct Pki {
    folder: PathBuf,
    ca_pem: String,
    issuer: Issuer<'static, KeyPair>,
    serving: KeyedCertificate,
    token_key: TokenKey,
    front_proxy: FrontProxy,
}

// === impl ServingNames ===

impl ServingNames {
    /// What every lab's certificate carries: `localhost`, `minisvc`, the names of the Service `kubernetes`, loopback,
    /// the first address of the service range, the fabric address, and `extra`.
    pub fn standard(fabric: IpAddr, service: IpAddr, cluster_domain: &str, extra: &[IpAddr]) -> ServingNames {
        let mut names: Vec<String> =
            ["localhost", "minisvc", "kubernetes", "kubernetes.default"].map(Into::into).into();
        names.push("kubernetes.default.svc".into());
        names.push(format!("kubernetes.default.svc.{cluster_domain}"));
        let mut addresses = vec![IpAddr::from([127, 0, 0, 1]), fabric, service];
        for address in extra {
            if !addresses.contains(address) {
                addresses.push(*address);
            }
        }
        ServingNames { names, addresses }
    }

    fn covered_by(&self, pem: &str) -> bool {
        let Ok(der) = CertificateDer::from_pem_slice(pem.as_bytes()) else { return false };
        let Ok((_, certificate)) = X509Certificate::from_der(&der) else { return false };
        let mut names = Vec::new();
        let mut addresses = Vec::new();
        for extension in certificate.extensions() {
            let ParsedExtension::SubjectAlternativeName(alternative) = extension.parsed_extension() else { continue };
            for name in &alternative.general_names {
                match name {
                    GeneralName::DNSName(name) => names.push(*name),
                    GeneralName::IPAddress(bytes) => addresses.push(*bytes),
                    _ => {}
                }
            }
        }
        let octets = |address: &IpAddr| match address {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        self.names.iter().all(|name| names.contains(&name.as_str()))
            && self.addresses.iter().all(|address| addresses.contains(&octets(address).as_slice()))
            && in_time(pem)
    }
}

// === impl Pki ===

impl Pki {
    /// Reads the authority from `folder`, making whatever is not there yet. The keys of authority and tokens are never
    /// replaced; the authority's certificate is when its time runs out, and what it signed stays good. The serving
    /// certificate is reissued when `names` holds something it does not carry.
    pub fn load_or_create(folder: &Path, names: &ServingNames) -> Result<Pki, PkiError> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|cause| PkiError::Io {
            operation: "make folder",
            path: folder.into(),
            cause,
        })?;
        let (ca_pem, issuer) = authority_in(folder, "ca", "minisvc-ca")?;
        let front_proxy = FrontProxy::load_or_create(folder)?;
        let token_path = folder.join("sa.key");
        if !token_path.exists() {
            let key = KeyPair::generate().map_err(crypto("make the token key"))?;
            write_private(&token_path, &key.serialize_pem())?;
        }
        let token_key = TokenKey::from_pem(&read(&token_path)?)?;
        let placeholder = KeyedCertificate { certificate_pem: String::new(), key_pem: String::new() };
        let mut pki = Pki { folder: folder.into(), ca_pem, issuer, serving: placeholder, token_key, front_proxy };
        pki.serving = match pki.read_pair("serving")? {
            Some(pair) if names.covered_by(&pair.certificate_pem) => pair,
            _ => {
                let pair = pki.issue_serving("minisvc-apiserver", names)?;
                pki.write_pair("serving", &pair)?;
                pair
            }
        };
        Ok(pki)
    }

    /// The authority's certificate, PEM: what clients trust.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The key that signs and checks service-account tokens.
    pub fn token_key(&self) -> &TokenKey {
        &self.token_key
    }

    /// A fresh client certificate: common name `user`, organisation `group` (Kubernetes' x509 authentication).
    pub fn issue_client(&self, user: &str, group: &str) -> Result<KeyedCertificate, PkiError> {
        let mut params = leaf(user);
        params.distinguished_name.push(DnType::OrganizationName, group);
        params.insert_extended_key_usage(ExtendedKeyUsagePurpose::ClientAuth);
        self.sign(params, user)
    }

    /// The client certificate kept as `<name>.crt` and `<name>.key`, made when it is not there yet or its time runs out.
    pub fn client(&self, name: &str, user: &str, group: &str) -> Result<KeyedCertificate, PkiError> {
        if let Some(pair) = self.read_pair(name)?.filter(|pair| in_time(&pair.certificate_pem)) {
            return Ok(pair);
        }
        let pair = self.issue_client(user, group)?;
        self.write_pair(name, &pair)?;
        Ok(pair)
    }

    /// The serving certificate kept as `<name>.crt` and `<name>.key`, with common name `user`: made when it is not there
    /// yet or does not carry all of `names`.
    pub fn serving(&self, name: &str, user: &str, names: &ServingNames) -> Result<KeyedCertificate, PkiError> {
        if let Some(pair) = self.read_pair(name)?.filter(|pair| names.covered_by(&pair.certificate_pem)) {
            return Ok(pair);
        }
        let pair = self.issue_serving(user, names)?;
        self.write_pair(name, &pair)?;
        Ok(pair)
    }

    /// TLS for calls to nodes' own servers: their certificates must be this authority's; ours says [`NODE_CLIENT`].
    pub(crate) fn node_client_config(&self) -> Result<Arc<rustls::ClientConfig>, PkiError> {
        let own = self.client("apiserver-node-client", NODE_CLIENT, "system:minisvc:node-clients")?;
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate_der(&self.ca_pem)?).map_err(crypto("trust the authority"))?;
        let key = PrivateKeyDer::from_pem_slice(own.key_pem.as_bytes()).map_err(crypto("read the client key"))?;
        let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(crypto("choose TLS versions"))?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate_der(&own.certificate_pem)?], key)
            .map_err(crypto("use the client certificate"))?;
        Ok(Arc::new(config))
    }

    /// TLS for the API's listeners: the serving certificate, optional client certificates signed by this authority,
    /// HTTP/2 and HTTP/1.1 by ALPN.
    pub fn server_config(&self) -> Result<Arc<rustls::ServerConfig>, PkiError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate_der(&self.ca_pem)?).map_err(crypto("trust the authority"))?;
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .allow_unauthenticated()
            .build()
            .map_err(crypto("set up client certificates"))?;
        let key = PrivateKeyDer::from_pem_slice(self.serving.key_pem.as_bytes()).map_err(crypto("read serving key"))?;
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(crypto("choose TLS versions"))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate_der(&self.serving.certificate_pem)?], key)
            .map_err(crypto("use the serving certificate"))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    fn issue_serving(&self, user: &str, names: &ServingNames) -> Result<KeyedCertificate, PkiError> {
        let mut params = leaf(user);
        for name in &names.names {
            let name = name.as_str().try_into().map_err(crypto("use a name in the serving certificate"))?;
            params.subject_alt_names.push(SanType::DnsName(name));
        }
        params.subject_alt_names.extend(names.addresses.iter().map(|address| SanType::IpAddress(*address)));
        params.insert_extended_key_usage(ExtendedKeyUsagePurpose::ServerAuth);
        self.sign(params, user)
    }

    fn sign(&self, params: CertificateParams, name: &str) -> Result<KeyedCertificate, PkiError> {
        signed(params, name, &self.issuer)
    }

    fn read_pair(&self, name: &str) -> Result<Option<KeyedCertificate>, PkiError> {
        let (certificate, key) = self.pair_paths(name);
        if !(certificate.exists() && key.exists()) {
            return Ok(None);
        }
        Ok(Some(KeyedCertificate { certificate_pem: read(&certificate)?, key_pem: read(&key)? }))
    }

    fn write_pair(&self, name: &str, pair: &KeyedCertificate) -> Result<(), PkiError> {
        let (certificate, key) = self.pair_paths(name);
        write_private(&key, &pair.key_pem)?;
        write_private(&certificate, &pair.certificate_pem)
    }

    fn pair_paths(&self, name: &str) -> (PathBuf, PathBuf) {
        (self.folder.join(format!("{name}.crt")), self.folder.join(format!("{name}.key")))
    }
}

/// Common name and organisations of a client certificate (DER) that TLS has already verified.
pub(crate) fn subject(der: &[u8]) -> Option<(String, Vec<String>)> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let subject = certificate.subject();
    let user = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
    let groups = subject.iter_organization().filter_map(|group| group.as_str().ok().map(str::to_owned)).collect();
    Some((user, groups))
}

/// A certificate for a fresh key.
fn signed(params: CertificateParams, name: &str, issuer: &Issuer<'_, KeyPair>) -> Result<KeyedCertificate, PkiError> {
    let key = KeyPair::generate().map_err(crypto(format!("make key of {name}")))?;
    let certificate = params.signed_by(&key, issuer).map_err(crypto(format!("sign certificate of {name}")))?;
    Ok(KeyedCertificate { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
}

/// The authority kept as `<file>.crt` and `<file>.key`, made when it is not there yet; its certificate is made anew with
/// the same key when its time runs out.
fn authority_in(folder: &Path, file: &str, name: &str) -> Result<(String, Issuer<'static, KeyPair>), PkiError> {
    let (ca_path, key_path) = (folder.join(format!("{file}.crt")), folder.join(format!("{file}.key")));
    if !(ca_path.exists() && key_path.exists()) {
        let key = KeyPair::generate().map_err(crypto(format!("make the key of {name}")))?;
        let certificate = authority(name).self_signed(&key).map_err(crypto(format!("sign {name}")))?;
        write_private(&key_path, &key.serialize_pem())?;
        write_private(&ca_path, &certificate.pem())?;
    }
    let mut ca_pem = read(&ca_path)?;
    let key = KeyPair::from_pem(&read(&key_path)?).map_err(crypto(format!("read the key of {name}")))?;
    if !in_time(&ca_pem) {
        ca_pem = authority(name).self_signed(&key).map_err(crypto(format!("sign {name} anew")))?.pem();
        write_private(&ca_path, &ca_pem)?;
    }
    let issuer = Issuer::from_ca_cert_pem(&ca_pem, key).map_err(crypto(format!("read the certificate of {name}")))?;
    Ok((ca_pem, issuer))
}

fn authority(name: &str) -> CertificateParams {
    let mut params = validity(CertificateParams::default());
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params
}

fn leaf(name: &str) -> CertificateParams {
    let mut params = validity(CertificateParams::default());
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params
}

/// Whether a certificate is good now and for the next month.
fn in_time(pem: &str) -> bool {
    let Ok(der) = CertificateDer::from_pem_slice(pem.as_bytes()) else { return false };
    let Ok((_, certificate)) = X509Certificate::from_der(&der) else { return false };
    let (validity, now) = (certificate.validity(), Timestamp::now().as_second());
    validity.not_before.timestamp() <= now && validity.not_after.timestamp() > now + LEFT
}

fn validity(params: CertificateParams) -> CertificateParams {
    validity_at(params, Timestamp::now())
}

fn validity_at(mut params: CertificateParams, now: Timestamp) -> CertificateParams {
    let day = |at: Timestamp| {
        let date = at.to_zoned(jiff::tz::TimeZone::UTC).date();
        rcgen::date_time_ymd(i32::from(date.year()), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    params.not_before = day(now.saturating_sub(SignedDuration::from_hours(24 * 365)).unwrap_or(now));
    params.not_after = day(now.saturating_add(SignedDuration::from_hours(24 * 3653)).unwrap_or(now));
    params
}

fn certificate_der(pem: &str) -> Result<CertificateDer<'static>, PkiError> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(crypto("read a certificate"))
}

fn crypto<E: std::fmt::Display>(what: impl Into<String>) -> impl FnOnce(E) -> PkiError {
    let what = what.into();
    move |cause| PkiError::Crypto { what, cause: cause.to_string() }
}

fn read(path: &Path) -> Result<String, PkiError> {
    fs::read_to_string(path).map_err(|cause| PkiError::Io { operation: "read", path: path.into(), cause })
}

/// Writes beside and renames, so that a crash leaves the old file or the new one.
fn write_private(path: &Path, text: &str) -> Result<(), PkiError> {
    let beside = path.with_extension("new");
    let written = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&beside, path));
    written.map_err(|cause| PkiError::Io { operation: "write", path: path.into(), cause })
}

#[cfg(test)]
mod tests;
