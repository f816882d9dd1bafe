//! Certificates that others ask for: reading a PKCS #10 request, whether one of the cluster's own signers may sign it
//! (upstream `certificates/helpers.go` and `signer.go`), and signing it. Must not know who approved it.

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    CertificateParams, CertificateSigningRequestParams, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType,
    SerialNumber,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Pki, PkiError, crypto};

/// Signs client certificates for anybody.
pub(crate) const CLIENT: &str = "kubernetes.io/kube-apiserver-client";
/// Signs client certificates for nodes.
const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// Signs serving certificates for nodes.
const KUBELET_SERVING: &str = "kubernetes.io/kubelet-serving";

/// Longest life of what is signed: a year (`--cluster-signing-duration`).
const LONGEST: i64 = 365 * 24 * 3600;
/// Shortest life of what is signed.
const SHORTEST: i64 = 600;
/// So far back a certificate reaches, for clocks that are behind.
const BACKDATED: i64 = 300;

/// A request whose signature holds.
pub(crate) struct CertificateRequest {
    der: Vec<u8>,
    common_name: String,
    /// The groups that the subject claims.
    pub(crate) organizations: Vec<String>,
    /// Values in the subject, each attribute's counted.
    attributes: usize,
}

// === impl CertificateRequest ===

impl CertificateRequest {
    /// Reads a PEM block.
    ///
    /// # Errors
    /// What is wrong with it, for the client to read.
    pub(crate) fn parse(pem: &[u8]) -> Result<CertificateRequest, String> {
        let wrong_block = || "PEM block type must be CERTIFICATE REQUEST".to_owned();
        let block = Pem::iter_from_buffer(pem).next().and_then(Result::ok).ok_or_else(wrong_block)?;
        if block.label != "CERTIFICATE REQUEST" {
            return Err(wrong_block());
        }
        let (_, request) = X509CertificationRequest::from_der(&block.contents)
            .map_err(|cause| format!("malformed certificate request: {cause}"))?;
        request.verify_signature().map_err(|cause| format!("the request's signature does not hold: {cause}"))?;
        let subject = &request.certification_request_info.subject;
        let texts = |found: Vec<&str>| found.into_iter().map(str::to_owned).collect::<Vec<_>>();
        let names = texts(subject.iter_common_name().filter_map(|name| name.as_str().ok()).collect());
        let organizations = texts(subject.iter_organization().filter_map(|name| name.as_str().ok()).collect());
        let attributes = subject.iter_attributes().count();
        let common_name = names.last().cloned().unwrap_or_default();
        Ok(CertificateRequest { der: block.contents.clone(), common_name, organizations, attributes })
    }

    /// The request as it is to be signed.
    fn params(&self) -> Result<CertificateSigningRequestParams, String> {
        let der = CertificateSigningRequestDer::from(self.der.as_slice());
        let parsed = CertificateSigningRequestParams::from_der(&der).map_err(|cause| cause.to_string())?;
        if parsed.params.distinguished_name.iter().count() != self.attributes {
            return Err("a subject that names an attribute twice cannot be signed here".into());
        }
        Ok(parsed)
    }

    /// Whether `signer` is one of the cluster's own and may sign this; `None` for signers of others.
    pub(crate) fn fits(&self, signer: &str, usages: &[&str]) -> Option<Result<(), String>> {
        match signer {
            CLIENT => Some(client_usages(usages)),
            KUBELET_CLIENT | KUBELET_SERVING => Some(self.fits_node(signer == KUBELET_SERVING, usages)),
            _ => None,
        }
    }

    fn fits_node(&self, serving: bool, usages: &[&str]) -> Result<(), String> {
        let refuse = |why: &str| Err(why.to_owned());
        let names = self.params()?.params.subject_alt_names;
        let has = |wanted: fn(&SanType) -> bool| names.iter().any(wanted);
        let dns = has(|name| matches!(name, SanType::DnsName(_)));
        let ip = has(|name| matches!(name, SanType::IpAddress(_)));
        if self.organizations != ["system:nodes"] {
            return refuse("subject organization is not system:nodes");
        }
        if serving && !dns && !ip {
            return refuse("DNS or IP subjectAltName is required");
        }
        if !serving && dns {
            return refuse("DNS subjectAltNames are not allowed");
        }
        if has(|name| matches!(name, SanType::Rfc822Name(_))) {
            return refuse("Email subjectAltNames are not allowed");
        }
        if !serving && ip {
            return refuse("IP subjectAltNames are not allowed");
        }
        if has(|name| matches!(name, SanType::URI(_))) {
            return refuse("URI subjectAltNames are not allowed");
        }
        let purpose = if serving { "server auth" } else { "client auth" };
        let mut sorted = usages.to_vec();
        sorted.sort_unstable();
        let mut whole = ["digital signature", "key encipherment", purpose];
        let mut short = ["digital signature", purpose];
        whole.sort_unstable();
        short.sort_unstable();
        if sorted != whole && sorted != short {
            return Err(format!("usages did not match [{}]", whole.join(" ")));
        }
        if !self.common_name.starts_with("system:node:") {
            return refuse("subject common name does not begin with system:node:");
        }
        Ok(())
    }
}

/// What a client certificate may be used for.
fn client_usages(usages: &[&str]) -> Result<(), String> {
    let known = ["digital signature", "key encipherment", "client auth"];
    if let Some(other) = usages.iter().find(|usage| !known.contains(usage)) {
        return Err(format!("invalid usage for client certificate: {other}"));
    }
    if usages.contains(&"client auth") {
        return Ok(());
    }
    Err("missing required usage for client certificate: client auth".into())
}

/// Whether a text is one or more PEM certificates and nothing else; what is wrong with it otherwise.
pub(crate) fn is_certificates(pem: &[u8]) -> Result<(), String> {
    let mut found = false;
    for block in Pem::iter_from_buffer(pem) {
        let block = block.map_err(|cause| cause.to_string())?;
        if block.label != "CERTIFICATE" {
            return Err(format!("only CERTIFICATE PEM blocks are allowed, found {:?}", block.label));
        }
        X509Certificate::from_der(&block.contents).map_err(|cause| format!("malformed certificate: {cause}"))?;
        found = true;
    }
    if found { Ok(()) } else { Err("must contain at least one CERTIFICATE PEM block".into()) }
}

// === impl Pki ===

impl Pki {
    /// Signs a request that [`CertificateRequest::fits`] allowed: its subject, names and key, for these usages, good for
    /// `seconds` or a year, and never longer than the authority. The certificate as PEM.
    pub(crate) fn sign_request(
        &self,
        request: &CertificateRequest,
        usages: &[&str],
        seconds: Option<i64>,
        now: Timestamp,
    ) -> Result<String, PkiError> {
        let mut asked = request.params().map_err(crypto("read a certificate request"))?;
        let life = seconds.unwrap_or(LONGEST).clamp(SHORTEST, LONGEST);
        let mut params = CertificateParams::default();
        params.distinguished_name = asked.params.distinguished_name;
        params.subject_alt_names = asked.params.subject_alt_names;
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(SerialNumber::from_slice(uuid::Uuid::new_v4().as_bytes()));
        for usage in usages {
            match *usage {
                "digital signature" => params.key_usages.push(KeyUsagePurpose::DigitalSignature),
                "key encipherment" => params.key_usages.push(KeyUsagePurpose::KeyEncipherment),
                "client auth" => params.insert_extended_key_usage(ExtendedKeyUsagePurpose::ClientAuth),
                "server auth" => params.insert_extended_key_usage(ExtendedKeyUsagePurpose::ServerAuth),
                _ => {}
            }
        }
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        let at = |second: i64| epoch + std::time::Duration::from_secs(u64::try_from(second).unwrap_or(0));
        let end = now.saturating_add(SignedDuration::from_secs(life)).unwrap_or(now).as_second();
        params.not_before = at(now.as_second() - BACKDATED);
        params.not_after = at(end.min(self.ends()?));
        asked.params = params;
        Ok(asked.signed_by(&self.issuer).map_err(crypto("sign a certificate request"))?.pem())
    }

    /// When the authority's own time runs out, in seconds since 1970.
    fn ends(&self) -> Result<i64, PkiError> {
        let der = CertificateDer::from_pem_slice(self.ca_pem.as_bytes()).map_err(crypto("read the authority"))?;
        let (_, authority) = X509Certificate::from_der(&der).map_err(crypto("read the authority"))?;
        Ok(authority.validity().not_after.timestamp())
    }
}
