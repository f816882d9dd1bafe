//! What projected volumes show of trust: the anchors of ClusterTrustBundles (KEP-3257), and the pod's own key and
//! certificate (KEP-4317). Pure: bundles and credentials are fetched elsewhere.

use std::collections::BTreeSet;

use k8s_openapi::api::certificates::v1::ClusterTrustBundle;
use k8s_openapi::api::core::v1::{ClusterTrustBundleProjection, PodCertificateProjection};
use minisvc_api::pem::{self, Block};
use minisvc_api::selector::LabelSelector;
use serde_json::{Value, json};

/// A pod's key and the chain that its signer gave, both PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Credential {
    pub(crate) key: String,
    pub(crate) chain: String,
}

/// The anchors that a projection selects, without repetition and in the order of their bytes.
pub(super) fn anchors(source: &ClusterTrustBundleProjection, bundles: &[ClusterTrustBundle]) -> Result<String, String> {
    let optional = source.optional == Some(true);
    let chosen: Vec<&ClusterTrustBundle> = match (&source.name, &source.signer_name) {
        (Some(name), _) => {
            let found = bundles.iter().find(|bundle| bundle.metadata.name.as_ref() == Some(name));
            if found.is_none() && !optional {
                return Err(format!(
                    "while getting ClusterTrustBundle: clustertrustbundle.certificates.k8s.io \"{name}\" not found"
                ));
            }
            found.into_iter().collect()
        }
        (None, Some(signer)) => {
            // No selector selects nothing, an empty one everything.
            let selector = match &source.label_selector {
                None => LabelSelector::nothing(),
                Some(selector) => LabelSelector::from_object(&json!(selector))
                    .map_err(|why| format!("while parsing label selector: {why}"))?,
            };
            let matches = |bundle: &&ClusterTrustBundle| {
                let labels = bundle.metadata.labels.as_ref().map_or(Value::Null, |labels| json!(labels));
                bundle.spec.signer_name.as_ref() == Some(signer) && selector.matches(&labels)
            };
            let chosen: Vec<_> = bundles.iter().filter(matches).collect();
            if chosen.is_empty() && !optional {
                return Err("combination of signerName and labelSelector matched zero ClusterTrustBundles".into());
            }
            chosen
        }
        (None, None) => return Err("ClusterTrustBundle projection requires either name or signerName to be set".into()),
    };
    let all: BTreeSet<Vec<u8>> =
        chosen.iter().flat_map(|bundle| pem::blocks(&bundle.spec.trust_bundle)).map(|block| block.content).collect();
    let write = |content| Block { label: "CERTIFICATE".into(), headers: false, content }.write();
    Ok(all.into_iter().map(write).collect())
}

/// The files of a pod's credential: path and content.
pub(super) fn credential_files(source: &PodCertificateProjection, credential: &Credential) -> Vec<(String, String)> {
    let Credential { key, chain } = credential;
    let wanted = [
        (&source.credential_bundle_path, format!("{key}{chain}")),
        (&source.key_path, key.clone()),
        (&source.certificate_chain_path, chain.clone()),
    ];
    let named = wanted.into_iter().filter_map(|(path, content)| Some((path.clone()?, content)));
    named.filter(|(path, _)| !path.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(name: &str, signer: Option<&str>, label: &str, anchors: &[u8]) -> ClusterTrustBundle {
        let block = |anchor: &u8| Block { label: "CERTIFICATE".into(), headers: false, content: vec![*anchor] }.write();
        let text: String = anchors.iter().map(block).collect();
        serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {"alive": label}},
            "spec": {"signerName": signer, "trustBundle": text}
        }))
        .unwrap()
    }

    fn chosen(source: Value) -> Result<Vec<u8>, String> {
        let bundles = [
            bundle("plain", None, "yes", &[9]),
            bundle("e.com:s:a", Some("e.com/s"), "yes", &[3, 1]),
            bundle("e.com:s:b", Some("e.com/s"), "no", &[2, 3]),
        ];
        let text = anchors(&serde_json::from_value(source).unwrap(), &bundles)?;
        Ok(pem::blocks(&text).into_iter().flat_map(|block| block.content).collect())
    }

    #[test]
    fn bundles_are_chosen_by_name_or_by_signer_and_labels() {
        assert_eq!(chosen(json!({"name": "plain", "path": "p"})).unwrap(), [9]);
        assert_eq!(chosen(json!({"signerName": "e.com/s", "labelSelector": {}, "path": "p"})).unwrap(), [1, 2, 3]);
        let alive = json!({"signerName": "e.com/s", "labelSelector": {"matchLabels": {"alive": "no"}}, "path": "p"});
        assert_eq!(chosen(alive).unwrap(), [2, 3]);
        assert!(chosen(json!({"name": "nope", "path": "p"})).unwrap_err().ends_with("\"nope\" not found"));
        assert!(chosen(json!({"name": "nope", "path": "p", "optional": true})).unwrap().is_empty());
        let none = chosen(json!({"signerName": "e.com/s", "path": "p"})).unwrap_err();
        assert_eq!(none, "combination of signerName and labelSelector matched zero ClusterTrustBundles");
        assert!(chosen(json!({"signerName": "e.com/s", "path": "p", "optional": true})).unwrap().is_empty());
    }

    #[test]
    fn a_credential_is_shown_whole_or_in_parts() {
        let credential = Credential { key: "K\n".into(), chain: "C\n".into() };
        let files = |source: Value| credential_files(&serde_json::from_value(source).unwrap(), &credential);
        let of = |path: &str, content: &str| (path.to_owned(), content.to_owned());
        let (kind, signer) = ("ED25519", "e.com/s");
        let whole = files(json!({"keyType": kind, "signerName": signer, "credentialBundlePath": "b"}));
        assert_eq!(whole, [of("b", "K\nC\n")]);
        let parts = files(json!({"keyType": kind, "signerName": signer, "keyPath": "k", "certificateChainPath": "c"}));
        assert_eq!(parts, [of("k", "K\n"), of("c", "C\n")]);
    }
}
