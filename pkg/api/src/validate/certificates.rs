//! Rules of certificates.k8s.io (upstream `certificates/validation`). Whether the request itself is well-formed and
//! signed is the API server's to say: this room reads no certificates.

use serde_json::Value;

use super::trust::signer_name;
use super::{list, text};
use crate::field::FieldError;

/// Usages that a certificate may be asked for, in alphabetical order.
const USAGES: &[&str] = &[
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

/// Conditions that are there for good once they are set, and never anything but true.
const FINAL: [&str; 3] = ["Approved", "Denied", "Failed"];

/// Shortest life that may be asked for, in seconds.
const SHORTEST: i64 = 600;

/// CertificateSigningRequest, whichever part of it is written.
pub fn certificate_signing_request(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let spec = &new["spec"];
    let mut errors = Vec::new();
    if old.is_none() {
        errors.extend(usages(list(spec, "usages")));
    }
    let signer = text(spec, "signerName");
    if signer == "kubernetes.io/legacy-unknown" {
        let words = "the legacy signerName is not allowed via this API version";
        errors.push(FieldError::invalid("spec.signerName", signer, words));
    } else {
        errors.extend(signer_name("spec.signerName", signer));
    }
    if let Some(seconds) = spec["expirationSeconds"].as_i64().filter(|seconds| *seconds < SHORTEST) {
        let detail = "may not specify a duration less than 600 seconds (10 minutes)";
        errors.push(FieldError::invalid("spec.expirationSeconds", seconds, detail));
    }
    errors.extend(conditions(list(&new["status"], "conditions")));
    for kind in FINAL {
        let of = |object: &Value| list(&object["status"], "conditions").iter().filter(|c| c["type"] == *kind).count();
        if old.is_some_and(|old| of(new) < of(old)) {
            let detail = format!("updates may not remove a condition of type \"{kind}\"");
            errors.push(FieldError::forbidden("status.conditions", detail));
        }
    }
    errors
}

fn usages(usages: &[Value]) -> Vec<FieldError> {
    if usages.is_empty() {
        return vec![FieldError::required("spec.usages", "")];
    }
    let mut errors = Vec::new();
    for (i, usage) in usages.iter().enumerate() {
        let (path, word) = (format!("spec.usages[{i}]"), usage.as_str().unwrap_or_default());
        if !USAGES.contains(&word) {
            errors.push(FieldError::not_supported(path.clone(), word, USAGES));
        }
        if usages[..i].contains(usage) {
            errors.push(FieldError::duplicate(path, word));
        }
    }
    errors
}

fn conditions(conditions: &[Value]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (i, condition) in conditions.iter().enumerate() {
        let at = |field: &str| format!("status.conditions[{i}].{field}");
        let (kind, status) = (text(condition, "type"), text(condition, "status"));
        let allowed: &[&str] = if FINAL.contains(&kind) { &["True"] } else { &["False", "True", "Unknown"] };
        if kind.is_empty() {
            errors.push(FieldError::required(at("type"), ""));
        }
        if status.is_empty() {
            errors.push(FieldError::required(at("status"), ""));
        } else if !allowed.contains(&status) {
            errors.push(FieldError::not_supported(at("status"), status, allowed));
        }
        let before = |other: &str| conditions[..i].iter().any(|c| c["type"] == *other);
        if matches!((kind, before("Approved"), before("Denied")), ("Approved", _, true) | ("Denied", true, _)) {
            let detail = "Approved and Denied conditions are mutually exclusive";
            errors.push(FieldError::invalid("status.conditions", kind, detail));
        }
        if before(kind) {
            errors.push(FieldError::duplicate(at("type"), kind));
        }
    }
    errors
}
