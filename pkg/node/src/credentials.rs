//! Certificates of pods (KEP-4317): for each podCertificate source of a projected volume a key is made here and a
//! PodCertificateRequest sent; what its signer issues is kept while it is fresh. Must not write files.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{PodCertificateRequest, PodCertificateRequestSpec};
use k8s_openapi::api::core::v1::{Node as NodeObject, Pod, PodCertificateProjection, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{Api, PostParams};
use parking_lot::Mutex;
use rcgen::{CertificateParams, DistinguishedName, KeyPair};

use crate::names::namespace;
use crate::node::Node;
use crate::objects::account_name;
use crate::volumes::Credential;

/// How long one look waits for the signer, and how often it asks.
const PATIENCE: Duration = Duration::from_secs(3);
const ASK: Duration = Duration::from_millis(150);

/// A source: the volume's name and the source's place in it.
pub(crate) type Place = (String, usize);

/// The credentials of one pod.
pub(crate) type Credentials = Mutex<BTreeMap<Place, State>>;

/// Where a source stands: what it shows, and what it waits for.
#[derive(Clone, Default)]
pub(crate) struct State {
    issued: Option<(Credential, Timestamp)>,
    asked: Option<(String, String)>,
    refused: Option<String>,
}

/// The credential of each podCertificate source of a pod's volumes, or why there is none yet.
pub(crate) async fn of_pod(node: &Node, pod: &Pod, kept: &Credentials) -> BTreeMap<Place, Result<Credential, String>> {
    let mut all = BTreeMap::new();
    for volume in pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
        let sources = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
        for (index, source) in sources.enumerate() {
            if let Some(source) = &source.pod_certificate {
                let place = (volume.name.clone(), index);
                let mut state = kept.lock().get(&place).cloned().unwrap_or_default();
                let outcome = advance(node, pod, source, &mut state).await;
                kept.lock().insert(place.clone(), state.clone());
                let credential = match (state.issued, outcome) {
                    // What is there is shown on while its successor is on the way.
                    (Some((credential, _)), _) => Ok(credential),
                    (None, Err(why)) => Err(why),
                    (None, Ok(())) => Err("credential bundle is not issued yet".to_owned()),
                };
                all.insert(place, credential);
            }
        }
    }
    all
}

async fn advance(node: &Node, pod: &Pod, source: &PodCertificateProjection, state: &mut State) -> Result<(), String> {
    if let Some(why) = &state.refused {
        return Err(why.clone());
    }
    if state.issued.as_ref().is_some_and(|(_, refresh)| Timestamp::now() < *refresh) {
        return Ok(());
    }
    let api: Api<PodCertificateRequest> = Api::namespaced(node.client.clone(), namespace(pod));
    let (key, name) = match state.asked.clone() {
        Some(asked) => asked,
        None => state.asked.insert(ask(node, pod, source, &api).await?).clone(),
    };
    let text = |error: kube::Error| format!("while getting PodCertificateRequest {name:?}: {error}");
    let start = tokio::time::Instant::now();
    loop {
        let Some(request) = api.get_opt(&name).await.map_err(text)? else {
            state.asked = None;
            return Err(format!("PodCertificateRequest {name:?} appears to have been deleted"));
        };
        match answer(&request) {
            Answer::Issued(chain, refresh) => {
                state.issued = Some((Credential { key, chain }, refresh));
                state.asked = None;
                return Ok(());
            }
            Answer::Refused(why) => {
                state.refused = Some(why.clone());
                return Err(why);
            }
            Answer::None if start.elapsed() > PATIENCE => return Ok(()),
            Answer::None => tokio::time::sleep(ASK).await,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    None,
    Issued(String, Timestamp),
    Refused(String),
}

/// What the signer said.
fn answer(request: &PodCertificateRequest) -> Answer {
    let Some(status) = &request.status else { return Answer::None };
    for condition in status.conditions.iter().flatten().filter(|condition| condition.status == "True") {
        let refused = |how: &str| {
            let (reason, message) = (&condition.reason, &condition.message);
            Answer::Refused(format!(
                "PodCertificateRequest was permanently {how}: reason={reason:?} message={message:?}"
            ))
        };
        match condition.type_.as_str() {
            "Issued" => {
                let refresh = status.begin_refresh_at.as_ref().map_or(Timestamp::MAX, |time| time.0);
                return Answer::Issued(status.certificate_chain.clone().unwrap_or_default(), refresh);
            }
            "Denied" => return refused("denied"),
            "Failed" => return refused("failed"),
            _ => {}
        }
    }
    Answer::None
}

/// Makes a key and asks for its certificate: the key as PEM, and the name of the request.
async fn ask(
    node: &Node,
    pod: &Pod,
    source: &PodCertificateProjection,
    api: &Api<PodCertificateRequest>,
) -> Result<(String, String), String> {
    let key = key(&source.key_type).map_err(|why| format!("while generating keypair: {why}"))?;
    let mut params = CertificateParams::default();
    // The API says who the pod is; the request proves the key alone.
    params.distinguished_name = DistinguishedName::new();
    let stub = params.serialize_request(&key).map_err(|error| format!("while signing the request: {error}"))?;
    let accounts: Api<ServiceAccount> = Api::namespaced(node.client.clone(), namespace(pod));
    let account =
        accounts.get(account_name(pod)).await.map_err(|error| format!("while fetching service account: {error}"))?;
    let nodes: Api<NodeObject> = Api::all(node.client.clone());
    let own = nodes.get(&node.config.node_name).await.map_err(|error| format!("while getting node object: {error}"))?;
    let (pod_name, pod_uid) =
        (pod.metadata.name.clone().unwrap_or_default(), pod.metadata.uid.clone().unwrap_or_default());
    let request = PodCertificateRequest {
        metadata: ObjectMeta {
            generate_name: Some("req-".into()),
            owner_references: Some(vec![OwnerReference {
                api_version: "v1".into(),
                kind: "Pod".into(),
                name: pod_name.clone(),
                uid: pod_uid.clone(),
                ..Default::default()
            }]),
            ..Default::default()
        },
        spec: PodCertificateRequestSpec {
            signer_name: source.signer_name.clone(),
            pod_name,
            pod_uid,
            service_account_name: account_name(pod).to_owned(),
            service_account_uid: account.metadata.uid.unwrap_or_default(),
            node_name: node.config.node_name.clone(),
            node_uid: own.metadata.uid.unwrap_or_default(),
            max_expiration_seconds: source.max_expiration_seconds,
            stub_pkc_s10_request: ByteString(stub.der().to_vec()),
            unverified_user_annotations: source.user_annotations.clone(),
        },
        status: None,
    };
    let made = api.create(&PostParams::default(), &request).await;
    let made = made.map_err(|error| format!("while creating initial PodCertificateRequest: {error}"))?;
    Ok((key.serialize_pem(), made.metadata.name.unwrap_or_default()))
}

fn key(kind: &str) -> Result<KeyPair, String> {
    let algorithm = match kind {
        "ECDSAP256" => &rcgen::PKCS_ECDSA_P256_SHA256,
        "ECDSAP384" => &rcgen::PKCS_ECDSA_P384_SHA384,
        "ED25519" => &rcgen::PKCS_ED25519,
        other => {
            return Err(format!("minisvc's nodes make no {other} keys; there are ECDSAP256, ECDSAP384, ED25519"));
        }
    };
    KeyPair::generate_for(algorithm).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn keys_are_made_of_the_kinds_there_are() {
        for kind in ["ECDSAP256", "ECDSAP384", "ED25519"] {
            assert!(key(kind).unwrap().serialize_pem().starts_with("-----BEGIN PRIVATE KEY-----"), "{kind}");
        }
        assert!(key("RSA3072").unwrap_err().starts_with("minisvc's nodes make no RSA3072 keys"));
    }

    #[test]
    fn the_signers_word_is_final() {
        let said = |kind: &str, more: Value| {
            let mut status = json!({"conditions": [{"type": kind, "status": "True", "reason": "R", "message": "m",
                "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
            status.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let spec = json!({"signerName": "e.com/s", "podName": "p", "podUID": "1", "serviceAccountName": "s",
                "serviceAccountUID": "2", "nodeName": "n", "nodeUID": "3", "stubPKCS10Request": ""});
            let request = json!({"metadata": {"name": "r"}, "spec": spec, "status": status});
            answer(&serde_json::from_value(request).unwrap())
        };
        let issued = said("Issued", json!({"certificateChain": "C", "beginRefreshAt": "2026-01-01T12:00:00Z"}));
        assert_eq!(issued, Answer::Issued("C".into(), "2026-01-01T12:00:00Z".parse().unwrap()));
        let words = "PodCertificateRequest was permanently denied: reason=\"R\" message=\"m\"";
        assert_eq!(said("Denied", json!({})), Answer::Refused(words.into()));
        assert_eq!(said("Other", json!({})), Answer::None);
    }
}
