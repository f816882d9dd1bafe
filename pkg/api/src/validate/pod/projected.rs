//! Rules of projected volumes (`validateProjectionSources`): one kind a source, every path its own.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::trust::{expiration_most, signer_name, trust_bundle_name};
use super::super::{invalid, label_selector, list, text};
use super::sources::file;
use crate::field::FieldError;
use crate::names;

const KEY_TYPES: &[&str] = &["RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"];

/// The sources of a projected volume at `path`.
pub(super) fn projected(path: &str, volume: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut paths = BTreeSet::new();
    let of_sources = format!("{path}.sources");
    for (i, source) in list(volume, "sources").iter().enumerate() {
        let at = format!("{of_sources}[{i}]");
        let kinds: Vec<&String> = source.as_object().into_iter().flatten().map(|(kind, _)| kind).collect();
        if kinds.len() > 1 {
            errors.push(FieldError::forbidden(&at, "may not specify more than 1 volume type per source"));
        }
        let mut own: Vec<(String, &str)> = Vec::new();
        for kind in kinds {
            let (at, source) = (format!("{at}.{kind}"), &source[kind]);
            match kind.as_str() {
                "clusterTrustBundle" => {
                    errors.extend(trust_bundle(&at, source));
                    own.push((format!("{at}.path"), text(source, "path")));
                }
                "podCertificate" => {
                    errors.extend(certificate(&at, source));
                    let fields = ["credentialBundlePath", "keyPath", "certificateChainPath"];
                    let set = fields.iter().filter(|field| !text(source, field).is_empty());
                    own.extend(set.map(|field| (format!("{at}.{field}"), text(source, field))));
                    if own.is_empty() {
                        let words = "specify at least one of credentialBundlePath, keyPath, and certificateChainPath";
                        errors.push(FieldError::required(&at, words));
                    }
                }
                "serviceAccountToken" => {
                    errors.extend(lifetime(&format!("{at}.expirationSeconds"), &source["expirationSeconds"]));
                    own.push((format!("{at}.path"), text(source, "path")));
                }
                _ => {
                    errors.extend(match kind.as_str() {
                        "downwardAPI" => {
                            list(source, "items").iter().flat_map(|item| file(&at, item, false)).collect::<Vec<_>>()
                        }
                        _ => named(&at, source),
                    });
                    let items = list(source, "items").iter().enumerate();
                    own.extend(items.map(|(i, item)| (format!("{at}.items[{i}].path"), text(item, "path"))));
                }
            }
        }
        for (at, path) in own {
            if path.is_empty() {
                errors.push(FieldError::required(at, ""));
                continue;
            }
            errors.extend(local(&at, path));
            if !paths.insert(path) {
                errors.push(FieldError::invalid(&of_sources, path, "conflicting duplicate paths"));
            }
        }
    }
    errors
}

/// How long a token is good for.
fn lifetime(at: &str, seconds: &Value) -> Option<FieldError> {
    let words = match seconds.as_i64() {
        None => return Some(FieldError::required(at, "")),
        Some(short) if short < 600 => "may not specify a duration less than 10 minutes",
        Some(long) if long > 1 << 32 => "may not specify a duration larger than 2^32 seconds",
        Some(_) => return None,
    };
    Some(FieldError::invalid(at, seconds.clone(), words))
}

/// A ConfigMap or Secret: its name, and the keys that are shown.
fn named(at: &str, source: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if text(source, "name").is_empty() {
        errors.push(FieldError::required(format!("{at}.name"), ""));
    }
    for (i, item) in list(source, "items").iter().enumerate() {
        if text(item, "key").is_empty() {
            errors.push(FieldError::required(format!("{at}.items[{i}].key"), ""));
        }
    }
    errors
}

/// A path below the volume (`ValidateLocalNonReservedPath`).
pub(super) fn local(at: &str, path: &str) -> Vec<FieldError> {
    let mut complaints = Vec::new();
    if path.starts_with('/') {
        complaints.push("must be a relative path".to_owned());
    }
    let backsteps = names::no_backsteps(path);
    if backsteps.is_empty() && path.starts_with("..") {
        complaints.push("must not start with '..'".to_owned());
    }
    complaints.extend(backsteps);
    invalid(at, path, complaints)
}

fn trust_bundle(at: &str, source: &Value) -> Vec<FieldError> {
    match (source["name"].as_str(), source["signerName"].as_str()) {
        (Some(_), Some(_)) => {
            vec![FieldError::invalid(at, source.clone(), "only one of name and signerName may be used")]
        }
        (Some(name), None) => {
            let at_name = format!("{at}.name");
            let mut errors = Vec::new();
            if name.is_empty() {
                errors.push(FieldError::required(&at_name, "must be a valid object name"));
            }
            let signer = name.rsplit_once(':').map(|(signer, _)| signer.replace(':', "/")).unwrap_or_default();
            let complaints = trust_bundle_name(name, &signer).into_iter();
            let complaints = complaints.map(|words| format!("not a valid clustertrustbundlename: {words}")).collect();
            errors.extend(invalid(&at_name, name, complaints));
            if source["labelSelector"].is_object() {
                let words = "labelSelector must be unset if name is specified";
                errors.push(FieldError::invalid(format!("{at}.labelSelector"), source["labelSelector"].clone(), words));
            }
            errors
        }
        (None, Some(signer)) => {
            let mut errors = signer_name(&format!("{at}.signerName"), signer);
            if source["labelSelector"].is_object() {
                errors.extend(label_selector(&format!("{at}.labelSelector"), &source["labelSelector"]));
            }
            errors
        }
        (None, None) => vec![FieldError::required(at, "either name or signerName must be specified")],
    }
}

fn certificate(at: &str, source: &Value) -> Vec<FieldError> {
    let signer = text(source, "signerName");
    let mut errors = signer_name(&format!("{at}.signerName"), signer);
    let kind = text(source, "keyType");
    if !KEY_TYPES.contains(&kind) {
        errors.push(FieldError::not_supported(format!("{at}.keyType"), kind, KEY_TYPES));
    }
    if let Some(seconds) = source["maxExpirationSeconds"].as_i64() {
        let most = expiration_most(signer);
        let mut wrong = |words: String| {
            errors.push(FieldError::invalid(format!("{at}.maxExpirationSeconds"), seconds, words));
        };
        if seconds < 3_600 {
            wrong("if provided, maxExpirationSeconds must be >= 3600".into());
        }
        if seconds > most {
            wrong(format!("if provided, maxExpirationSeconds must be <= {most}"));
        }
    }
    errors
}
