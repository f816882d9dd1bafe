//! CertificateSigningRequests from the asking to the certificate.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, DnType, KeyPair};
use serde_json::{Value, json};
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::lab::Lab;
use crate::identity::Identity;
use crate::pki;

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
const CLIENT: &str = "kubernetes.io/kube-apiserver-client";

fn request(name: &str, signer: &str, subject: &[(DnType, &str)], usages: &[&str]) -> Value {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    for (kind, value) in subject {
        params.distinguished_name.push(kind.clone(), *value);
    }
    let key = KeyPair::generate().unwrap();
    let pem = params.serialize_request(&key).unwrap().pem().unwrap();
    json!({
        "metadata": {"name": name},
        "spec": {
            "request": STANDARD.encode(pem), "signerName": signer, "usages": usages, "expirationSeconds": 3600,
            "username": "somebody else",
        },
        "status": {"conditions": [{"type": "Approved", "status": "True"}]},
    })
}

fn condition(kind: &str) -> Value {
    json!({"status": {"conditions": [{"type": kind, "status": "True", "reason": "Test"}]}})
}

async fn approve(lab: &Lab, name: &str) -> Value {
    let answer = lab.merge(&format!("{REQUESTS}/{name}/approval"), &condition("Approved")).await.ok();
    assert!(answer["status"]["conditions"][0]["lastUpdateTime"].is_string(), "{answer}");
    lab.get(&format!("{REQUESTS}/{name}")).await.ok()
}

#[tokio::test]
async fn an_approved_client_certificate_is_signed_by_the_authority() {
    let lab = Lab::new().await;
    let subject = [(DnType::CommonName, "jane"), (DnType::OrganizationName, "writers")];
    let asked = request("jane", CLIENT, &subject, &["client auth", "digital signature"]);
    let made = lab.post(REQUESTS, &asked).await.ok();
    assert_eq!((&made["spec"]["username"], &made["status"]), (&json!("admin"), &json!({})));
    let changed = lab.merge(&format!("{REQUESTS}/jane"), &json!({"spec": {"signerName": "a.b/c"}})).await.ok();
    assert_eq!(changed["spec"], made["spec"]);
    let smuggled = lab.merge(&format!("{REQUESTS}/jane/status"), &condition("Approved")).await;
    assert_eq!(smuggled.code, 422, "{smuggled:?}");
    let signed = approve(&lab, "jane").await;
    let pem = STANDARD.decode(signed["status"]["certificate"].as_str().expect("a certificate")).unwrap();
    let block = Pem::iter_from_buffer(&pem).next().unwrap().unwrap();
    let (_, certificate) = X509Certificate::from_der(&block.contents).unwrap();
    let authority = Pem::iter_from_buffer(lab.pki.ca_pem().as_bytes()).next().unwrap().unwrap();
    let authority = authority.parse_x509().unwrap();
    certificate.verify_signature(Some(authority.public_key())).expect("the authority's signature");
    assert_eq!(pki::subject(&block.contents), Some(("jane".into(), vec!["writers".into()])));
    let validity = certificate.validity();
    assert_eq!(validity.not_after.timestamp() - validity.not_before.timestamp(), 3900);
    assert!(certificate.extended_key_usage().unwrap().unwrap().value.client_auth && !certificate.is_ca());
    let again = lab.merge(&format!("{REQUESTS}/jane/status"), &json!({"status": {"certificate": "QQ=="}})).await;
    assert_eq!(again.code, 422);
    let undone = lab.merge(&format!("{REQUESTS}/jane/approval"), &json!({"status": {"conditions": null}})).await;
    assert!(undone.json()["message"].as_str().unwrap().contains("may not remove a condition of type \"Approved\""));
}

#[tokio::test]
async fn what_a_signer_does_not_sign_fails_or_is_left_to_others() {
    let lab = Lab::new().await;
    let jane = [(DnType::CommonName, "jane")];
    lab.post(REQUESTS, &request("server", CLIENT, &jane, &["server auth"])).await.ok();
    let failed = approve(&lab, "server").await;
    let last = &failed["status"]["conditions"][1];
    assert_eq!((&last["type"], &last["reason"]), (&json!("Failed"), &json!("SignerValidationFailure")));
    assert_eq!(last["message"], "invalid usage for client certificate: server auth");
    let kubelet = "kubernetes.io/kube-apiserver-client-kubelet";
    lab.post(REQUESTS, &request("kubelet", kubelet, &jane, &["client auth", "digital signature"])).await.ok();
    let failed = approve(&lab, "kubelet").await;
    assert_eq!(failed["status"]["conditions"][1]["message"], "subject organization is not system:nodes");
    let node = [(DnType::CommonName, "system:node:node9"), (DnType::OrganizationName, "system:nodes")];
    lab.post(REQUESTS, &request("node", kubelet, &node, &["client auth", "digital signature"])).await.ok();
    assert!(approve(&lab, "node").await["status"]["certificate"].is_string());
    lab.post(REQUESTS, &request("other", "example.com/own", &jane, &["client auth"])).await.ok();
    let other = approve(&lab, "other").await;
    assert!(other["status"]["certificate"].is_null() && other["status"]["conditions"].as_array().unwrap().len() == 1);
    let masters = [(DnType::CommonName, "jane"), (DnType::OrganizationName, "system:masters")];
    assert_eq!(lab.post(REQUESTS, &request("masters", CLIENT, &masters, &["client auth"])).await.code, 403);
    let mut broken = request("broken", CLIENT, &jane, &["client auth"]);
    broken["spec"]["request"] = json!(STANDARD.encode("no request"));
    let answer = lab.post(REQUESTS, &broken).await;
    assert!(answer.code == 422 && answer.json()["message"].as_str().unwrap().contains("must be CERTIFICATE REQUEST"));
}

#[tokio::test]
async fn approving_needs_the_right_for_the_signer() {
    let lab = Lab::new().await;
    let role = json!({
        "metadata": {"name": "approver"},
        "rules": [
            {"apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests/approval"], "verbs": ["patch"]},
            {"apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "resourceNames": ["example.com/*"], "verbs": ["approve"]},
        ],
    });
    lab.post("/apis/rbac.authorization.k8s.io/v1/clusterroles", &role).await.ok();
    let binding = json!({
        "metadata": {"name": "approver"}, "subjects": [{"kind": "User", "name": "ann"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "approver"},
    });
    lab.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", &binding).await.ok();
    let jane = [(DnType::CommonName, "jane")];
    for (name, signer, code) in [("theirs", "example.com/own", 200), ("ours", CLIENT, 403)] {
        lab.post(REQUESTS, &request(name, signer, &jane, &["client auth"])).await.ok();
        let (uri, groups) = (format!("{REQUESTS}/{name}/approval"), Vec::<String>::new());
        let headers = [("content-type", "application/merge-patch+json")];
        let ann = Identity::new("ann", groups);
        let answer = lab.send_as(ann, "PATCH", &uri, &headers, condition("Approved").to_string()).await;
        assert_eq!(answer.code, code, "{answer:?}");
    }
}

/// podcertificaterequest/strategy.go: whoever may write a status must also be the signer's.
#[tokio::test]
async fn only_a_signer_answers_what_a_node_asked_for_a_pod() {
    let lab = Lab::new().await;
    let requests = "/apis/certificates.k8s.io/v1/namespaces/default/podcertificaterequests";
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    let stub = STANDARD.encode(params.serialize_request(&key).unwrap().der());
    let spec = json!({"signerName": "e.com/s", "podName": "p", "podUID": "1", "serviceAccountName": "s",
        "serviceAccountUID": "2", "nodeName": "n", "nodeUID": "3", "stubPKCS10Request": stub});
    lab.post(requests, &json!({"metadata": {"name": "r"}, "spec": spec})).await.ok();
    let grant = async |name: &str, rule: Value| {
        let rights = "/apis/rbac.authorization.k8s.io/v1";
        let role = json!({"metadata": {"name": name}, "rules": [rule]});
        lab.post(&format!("{rights}/clusterroles"), &role).await.ok();
        let binding = json!({"metadata": {"name": name}, "subjects": [{"kind": "User", "name": "jane"}],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}});
        lab.post(&format!("{rights}/clusterrolebindings"), &binding).await.ok();
    };
    let group = "certificates.k8s.io";
    let resources = ["podcertificaterequests/status"];
    grant("writer", json!({"apiGroups": [group], "resources": resources, "verbs": ["patch"]})).await;
    let denied = json!({"status": {"conditions": [{"type": "Denied", "status": "True", "reason": "R", "message": "m",
        "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
    let write = async || {
        let media = [("content-type", "application/merge-patch+json")];
        let jane = Identity::new("jane", [] as [&str; 0]);
        lab.send_as(jane, "PATCH", &format!("{requests}/r/status"), &media, denied.to_string()).await
    };
    let refused = write().await;
    let why = refused.json()["message"].as_str().unwrap_or_default().to_owned();
    assert_eq!(refused.code, 422, "{why}");
    assert!(why.ends_with(r#"Forbidden: User "jane" is not permitted to "sign" for signer "e.com/s""#), "{why}");
    grant(
        "signer",
        json!({"apiGroups": [group], "resources": ["signers"], "resourceNames": ["e.com/*"], "verbs": ["sign"]}),
    )
    .await;
    let answered = write().await.ok();
    assert_eq!(answered["status"]["conditions"][0]["type"], "Denied");
}
