//! Rules of ClusterTrustBundles and PodCertificateRequests (certificates `validation.go`, core `names.go`).

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde_json::Value;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::public_key::PublicKey;

use super::{immutable, invalid, list, text};
use crate::field::{FieldError, FieldErrorKind};
use crate::pem::{self, Block};
use crate::{names, time};

/// Most bytes of a trust bundle.
const TRUST_BUNDLE: usize = 1024 * 1024;
/// Most bytes of a signing request of a pod.
const STUB: usize = 10 * 1024;
/// Bounds of `maxExpirationSeconds`; Kubernetes' own signers give a day at most, others 91 days.
const EXPIRATION: (i64, i64, i64) = (3_600, 86_400, 91 * 86_400);
/// Most bytes of an issued chain.
const MOST_CHAIN: usize = 100 * 1024;
/// How far a certificate's start may be from the time of its issue.
const SKEW: SignedDuration = SignedDuration::from_mins(5);
/// How far refreshing stays away from both ends of a certificate's life.
const MARGIN: SignedDuration = SignedDuration::from_mins(10);

/// A value that is not shown.
fn omitted(path: &str, detail: impl Into<String>) -> FieldError {
    FieldError { kind: FieldErrorKind::Invalid, field: path.into(), value: None, detail: detail.into() }
}

/// The name of a signer, `example.com/name` (`ValidateSignerName`).
pub(super) fn signer_name(path: &str, name: &str) -> Vec<FieldError> {
    if name.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    let [domain, own] = name.split('/').collect::<Vec<_>>()[..] else {
        let words = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        return vec![FieldError::invalid(path, name, words)];
    };
    let mut errors = Vec::new();
    if domain.len() > 253 {
        errors.push(FieldError::too_long(path, 253));
    }
    let mut labels = |segment: &str, rule: fn(&str) -> Vec<String>| {
        let wrong = segment.split('.').map(|label| (label, rule(label))).find(|(_, complaints)| !complaints.is_empty());
        let (label, complaints) = wrong.unwrap_or_default();
        errors.extend(complaints.into_iter().map(|complaint| {
            FieldError::invalid(path, segment, format!("validating label {}: {complaint}", crate::field::quote(label)))
        }));
    };
    labels(domain, names::label);
    labels(own, names::subdomain);
    if !domain.contains('.') {
        let words = "should be a domain with at least two segments separated by dots";
        errors.push(FieldError::invalid(path, domain, words));
    }
    if name.len() > 253 + (253 + 63 + 1) + 1 {
        errors.push(FieldError::too_long(path, 253 + (253 + 63 + 1) + 1));
    }
    errors
}

/// What is wrong with the name of a bundle of a signer (`ValidateClusterTrustBundleName`).
pub(super) fn trust_bundle_name(name: &str, signer: &str) -> Vec<String> {
    if signer.is_empty() {
        return if name.contains(':') {
            vec!["ClusterTrustBundle without signer name must not have \":\" in its name".to_owned()]
        } else {
            names::subdomain(name)
        };
    }
    let prefix = format!("{}:", signer.replace('/', ":"));
    match name.strip_prefix(&prefix) {
        Some(rest) => names::subdomain(rest),
        None => vec![format!("ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}")],
    }
}

/// A ClusterTrustBundle. A bundle that an update leaves alone is not read again.
pub fn cluster_trust_bundle(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let (name, signer) = (crate::meta::name(new), text(&new["spec"], "signerName"));
    let mut errors = invalid("metadata.name", name, trust_bundle_name(name, signer));
    if !signer.is_empty() {
        errors.extend(signer_name("spec.signerName", signer));
    }
    let bundle = text(&new["spec"], "trustBundle");
    if old.is_none_or(|old| text(&old["spec"], "trustBundle") != bundle) {
        errors.extend(trust_anchors("spec.trustBundle", bundle));
    }
    if let Some(old) = old {
        errors.extend(immutable(&new["spec"]["signerName"], &old["spec"]["signerName"], "spec.signerName"));
    }
    errors
}

fn trust_anchors(path: &str, bundle: &str) -> Vec<FieldError> {
    if bundle.len() > TRUST_BUNDLE {
        return vec![FieldError::too_long(path, TRUST_BUNDLE)];
    }
    let mut places: BTreeMap<Vec<u8>, Vec<usize>> = BTreeMap::new();
    let mut errors = Vec::new();
    let wrong = |detail: String| FieldError::invalid(path, "<value omitted>", detail);
    for (i, block) in pem::blocks(bundle).into_iter().enumerate() {
        match anchor(&block) {
            Ok(()) => places.entry(block.content).or_default().push(i),
            Err(why) => errors.push(wrong(format!("entry {i} {why}"))),
        }
    }
    if !errors.is_empty() {
        return errors;
    }
    if places.is_empty() {
        errors.push(wrong("at least one trust anchor must be provided".into()));
    }
    for indices in places.values().filter(|indices| indices.len() > 1) {
        let indices: Vec<String> = indices.iter().map(ToString::to_string).collect();
        errors.push(wrong(format!("duplicate trust anchor (indices [{}])", indices.join(" "))));
    }
    errors
}

fn anchor(block: &Block) -> Result<(), String> {
    if block.label != "CERTIFICATE" {
        return Err(format!("has bad block type: {}", block.label));
    }
    if block.headers {
        return Err("has PEM block headers".into());
    }
    let Ok((_, certificate)) = X509Certificate::from_der(&block.content) else {
        return Err("does not parse as X.509".into());
    };
    if certificate.is_ca() { Ok(()) } else { Err("does not have the CA bit set".into()) }
}

/// A PodCertificateRequest: nothing but metadata changes, and the status as [`issued`] allows.
pub fn pod_certificate_request(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    if let Some(old) = old {
        let mut errors = immutable(&new["spec"], &old["spec"], "spec");
        if new["status"] != old["status"] {
            errors.extend(status(new, old));
        }
        return errors;
    }
    let spec = &new["spec"];
    let signer = text(spec, "signerName");
    let mut errors = signer_name("spec.signerName", signer);
    for (field, id) in [("podName", "podUID"), ("serviceAccountName", "serviceAccountUID"), ("nodeName", "nodeUID")] {
        let (name, uid) = (text(spec, field), text(spec, id));
        errors.extend(invalid(&format!("spec.{field}"), name, names::subdomain(name)));
        if uid.is_empty() {
            errors.push(FieldError::invalid(format!("spec.{id}"), uid, "must not be empty"));
        } else if uid.len() > 128 {
            errors.push(FieldError::too_long(format!("spec.{id}"), 128));
        }
    }
    let Some(seconds) = spec["maxExpirationSeconds"].as_i64() else {
        errors.push(FieldError::required("spec.maxExpirationSeconds", "must be set"));
        return errors;
    };
    let (least, most) = (EXPIRATION.0, expiration_most(signer));
    if !(least..=most).contains(&seconds) {
        let words = format!("must be in the range [{least}, {most}]");
        errors.push(FieldError::invalid("spec.maxExpirationSeconds", seconds, words));
    }
    match bytes(spec, "stubPKCS10Request") {
        stub if stub.is_empty() => errors.push(omitted(
            "spec",
            "exactly one of (stubPKCS10Request) or (pkixPublicKey, proofOfPossession) must be set",
        )),
        stub => errors.extend(stub_request("spec.stubPKCS10Request", &stub)),
    }
    errors
}

/// The most `maxExpirationSeconds` that a signer takes; Kubernetes' own take less (`IsKubernetesSignerName`).
pub(super) fn expiration_most(signer: &str) -> i64 {
    let domain = signer.split('/').next().unwrap_or_default();
    let own = domain == "kubernetes.io" || domain.ends_with(".kubernetes.io");
    if own { EXPIRATION.1 } else { EXPIRATION.2 }
}

fn bytes(object: &Value, field: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text(object, field)).unwrap_or_default()
}

fn stub_request(path: &str, stub: &[u8]) -> Vec<FieldError> {
    if stub.len() > STUB {
        return vec![FieldError::too_long(path, STUB)];
    }
    let Ok((_, request)) = X509CertificationRequest::from_der(stub) else {
        return vec![omitted(path, "must be a valid PKCS#10 CSR")];
    };
    let key = &request.certification_request_info.subject_pki;
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) if !matches!(rsa.key_size(), 3072 | 4096) => {
            let bits = format!("{}-bit modulus", rsa.key_size());
            return vec![FieldError::invalid(path, bits, "RSA keys must have modulus size 3072 or 4096")];
        }
        Ok(PublicKey::RSA(_) | PublicKey::EC(_)) => {}
        // Ed25519 is a bare key under its own algorithm (RFC 8410).
        _ if key.algorithm.algorithm.to_id_string() == "1.3.101.112" => {}
        _ => return vec![omitted(path, "unknown public key type; supported types are Ed25519, ECDSA, and RSA")],
    }
    if request.verify_signature().is_err() {
        return vec![omitted(path, "invalid signature")];
    }
    Vec::new()
}

const ENDS: &[&str] = &["Issued", "Denied", "Failed"];

fn ended(object: &Value) -> Option<&str> {
    let holds = |condition: &&Value| condition["status"] == "True" && ENDS.contains(&text(condition, "type"));
    list(&object["status"], "conditions").iter().find(holds).map(|condition| text(condition, "type"))
}

fn status(new: &Value, old: &Value) -> Vec<FieldError> {
    let conditions = list(&new["status"], "conditions");
    let mut errors = Vec::new();
    let mut kinds = 0;
    for (i, condition) in conditions.iter().enumerate() {
        let at = format!("status.conditions[{i}]");
        let kind = text(condition, "type");
        if ENDS.contains(&kind) {
            kinds += 1;
            if kinds > 1 {
                let words = "There may be at most one condition with type \"Issued\", \"Denied\", or \"Failed\"";
                errors.push(FieldError::invalid(format!("{at}.type"), kind, words));
            }
            if condition["status"] != "True" {
                errors.push(FieldError::not_supported(format!("{at}.status"), text(condition, "status"), &["True"]));
            }
        } else {
            errors.push(FieldError::not_supported(format!("{at}.type"), kind, ENDS));
        }
        if text(condition, "reason").is_empty() {
            errors.push(FieldError::required(format!("{at}.reason"), "must not be empty"));
        }
    }
    if !errors.is_empty() {
        return errors;
    }
    match (ended(old), ended(new)) {
        (Some(_), _) => vec![omitted("status", "immutable after PodCertificateRequest is issued, denied, or failed")],
        (None, Some("Issued")) => issued(new),
        (None, Some(_)) => {
            let others = ["certificateChain", "notBefore", "notAfter", "beginRefreshAt"];
            let words = "non-condition status fields must be empty when denying or failing the PodCertificateRequest";
            let empty = others.iter().all(|field| new["status"][*field].is_null());
            if empty { Vec::new() } else { vec![omitted("status", words)] }
        }
        (None, None) => {
            vec![omitted("status", "status is immutable unless transitioning to \"Issued\", \"Denied\", or \"Failed\"")]
        }
    }
}

/// What an issued certificate must be: of the requested key, with the times that the status names.
fn issued(new: &Value) -> Vec<FieldError> {
    const CHAIN: &str = "status.certificateChain";
    let chain = text(&new["status"], "certificateChain");
    let wrong = |words: &str| vec![FieldError::invalid(CHAIN, chain, words)];
    if chain.len() > MOST_CHAIN {
        return vec![FieldError::too_long(CHAIN, MOST_CHAIN)];
    }
    let blocks = pem::blocks(chain);
    let Some(leaf) = blocks.first() else {
        return wrong("issued certificate chain must contain at least one certificate");
    };
    if blocks.iter().any(|block| block.label != "CERTIFICATE") {
        return wrong("issued certificate chain must consist entirely of CERTIFICATE PEM blocks");
    }
    let Ok((_, leaf)) = X509Certificate::from_der(&leaf.content) else {
        return wrong("leaf certificate does not parse as valid X.509");
    };
    let stub = bytes(&new["spec"], "stubPKCS10Request");
    let Ok((_, request)) = X509CertificationRequest::from_der(&stub) else {
        return vec![omitted("spec.stubPKCS10Request", "must be a valid PKCS#10 CSR")];
    };
    if leaf.public_key().raw != request.certification_request_info.subject_pki.raw {
        return wrong("leaf certificate was not issued to the requested public key");
    }
    let (from, until) = (leaf.validity().not_before.timestamp(), leaf.validity().not_after.timestamp());
    times(new, from, until)
}

fn times(new: &Value, from: i64, until: i64) -> Vec<FieldError> {
    let status = &new["status"];
    let field = |name: &str| time::of(&status[name]);
    let (Some(not_before), Some(not_after), Some(refresh)) =
        (field("notBefore"), field("notAfter"), field("beginRefreshAt"))
    else {
        let needs = [
            ("notBefore", "must be present and consistent with the issued certificate"),
            ("notAfter", "must be present and consistent with the issued certificate"),
            ("beginRefreshAt", "must be present and in the range [notbefore+10min, notafter-10min]"),
        ];
        let missing = needs.iter().filter(|(name, _)| field(name).is_none());
        return missing.map(|(name, words)| FieldError::required(format!("status.{name}"), *words)).collect();
    };
    let wrong = |name: &str, words: &str| {
        vec![FieldError::invalid(format!("status.{name}"), status[name].clone(), words.to_owned())]
    };
    if not_before.as_second() != from {
        return wrong("notBefore", "must be set to the NotBefore time encoded in the leaf certificate");
    }
    // No clock here: the condition says when it was issued.
    let issued = list(status, "conditions").iter().find(|condition| condition["type"] == "Issued");
    let issued = issued.and_then(|condition| time::of(&condition["lastTransitionTime"])).unwrap_or(not_before);
    if issued.duration_since(not_before).abs() >= SKEW {
        return wrong("notBefore", "must be set to within 5 minutes of kube-apiserver's current time");
    }
    if not_after.as_second() != until {
        return wrong("notAfter", "must be set to the NotAfter time encoded in the leaf certificate");
    }
    let lifetime = until - from;
    let most = new["spec"]["maxExpirationSeconds"].as_i64().unwrap_or(0);
    if lifetime < 3_600 {
        return vec![omitted("status.certificateChain", "leaf certificate lifetime must be >= 1 hour")];
    }
    if lifetime > most {
        let words = format!("leaf certificate lifetime must be <= spec.maxExpirationSeconds ({most})");
        return vec![omitted("status.certificateChain", words)];
    }
    if refresh < not_before + MARGIN {
        return wrong("beginRefreshAt", "must be at least 10 minutes after status.notBefore");
    }
    if refresh > not_after - MARGIN {
        return wrong("beginRefreshAt", "must be at least 10 minutes before status.notAfter");
    }
    Vec::new()
}
