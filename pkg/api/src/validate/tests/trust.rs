//! Trust bundles and pods' certificate requests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use serde_json::{Value, json};

use super::row;

fn authority(name: &str, ca: bool) -> String {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.is_ca = if ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::ExplicitNoCa };
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
}

fn bundle(name: &str, signer: Option<&str>, text: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"signerName": signer, "trustBundle": text}})
}

fn complaints(kind: &str, new: &Value, old: Option<&Value>) -> Vec<String> {
    (row(kind).validate)(new, old).iter().map(ToString::to_string).collect()
}

#[test]
fn a_trust_bundle_holds_authorities_under_its_signers_name() {
    let check = |object: &Value| complaints("ClusterTrustBundle", object, None);
    let (one, two) = (authority("one", true), authority("two", true));
    assert!(check(&bundle("plain", None, &format!("{one}{two}"))).is_empty());
    assert!(check(&bundle("example.com:s:x", Some("example.com/s"), &one)).is_empty());
    let words = |object: &Value| check(object).join("; ");
    let signer = "ClusterTrustBundle for signerName example.com/s must be named with prefix example.com:s:";
    assert!(words(&bundle("x", Some("example.com/s"), &one)).ends_with(signer));
    assert!(words(&bundle("a:b", None, &one)).contains("must not have \":\" in its name"));
    assert!(words(&bundle("s:x", Some("s"), &one)).contains("a fully qualified domain and path of the form"));
    let value = "spec.trustBundle: Invalid value: \"<value omitted>\": ";
    for (text, why) in [
        (String::new(), "at least one trust anchor must be provided"),
        (format!("{one}{one}"), "duplicate trust anchor (indices [0 1])"),
        (authority("leaf", false), "entry 0 does not have the CA bit set"),
        (format!("{one}{}", two.replace("CERTIFICATE", "KEY")), "entry 1 has bad block type: KEY"),
        (one.replace("CERTIFICATE-----\nM", "CERTIFICATE-----\nA: b\nM"), "entry 0 has PEM block headers"),
        ("-----BEGIN CERTIFICATE-----\neA==\n-----END CERTIFICATE-----\n".into(), "entry 0 does not parse as X.509"),
    ] {
        assert_eq!(check(&bundle("b", None, &text)), [format!("{value}{why}")]);
    }
    let old = bundle("b", None, "kept as it was");
    assert!(complaints("ClusterTrustBundle", &old, Some(&old)).is_empty());
}

struct Asked {
    object: Value,
    key: KeyPair,
}

fn asked(seconds: i64) -> Asked {
    let key = KeyPair::generate().unwrap();
    let request = CertificateParams::default().serialize_request(&key).unwrap();
    let object = json!({
        "metadata": {"name": "r", "namespace": "n"},
        "spec": {"signerName": "example.com/s", "podName": "p", "podUID": "1", "serviceAccountName": "default",
            "serviceAccountUID": "2", "nodeName": "node1", "nodeUID": "3", "maxExpirationSeconds": seconds,
            "stubPKCS10Request": STANDARD.encode(request.der())}
    });
    Asked { object, key }
}

#[test]
fn a_pods_request_proves_its_key_and_asks_for_a_bounded_time() {
    let check = |object: &Value| complaints("PodCertificateRequest", object, None);
    let Asked { object, .. } = asked(86_400);
    assert_eq!(check(&object), Vec::<String>::new());
    let with = |pointer: &str, value: Value| {
        let mut other = object.clone();
        *other.pointer_mut(pointer).unwrap() = value;
        check(&other)
    };
    let range = "spec.maxExpirationSeconds: Invalid value: 60: must be in the range [3600, 7862400]";
    assert_eq!(with("/spec/maxExpirationSeconds", json!(60)), [range]);
    assert!(with("/spec/signerName", json!("kubernetes.io/x")).is_empty());
    assert_eq!(with("/spec/podUID", json!("")), ["spec.podUID: Invalid value: \"\": must not be empty"]);
    let csr = "spec.stubPKCS10Request: Invalid value: must be a valid PKCS#10 CSR";
    assert_eq!(with("/spec/stubPKCS10Request", json!("eA==")), [csr]);
    let none =
        "spec: Invalid value: exactly one of (stubPKCS10Request) or (pkixPublicKey, proofOfPossession) must be set";
    assert_eq!(with("/spec/stubPKCS10Request", json!("")), [none]);
    let mut torn = STANDARD.decode(object["spec"]["stubPKCS10Request"].as_str().unwrap()).unwrap();
    let last = torn.len() - 1;
    torn[last] ^= 1;
    let forged = with("/spec/stubPKCS10Request", json!(STANDARD.encode(torn)));
    assert_eq!(forged, ["spec.stubPKCS10Request: Invalid value: invalid signature"]);
}

#[test]
fn a_pods_request_ends_once_with_a_certificate_of_its_key() {
    let Asked { object, key } = asked(86_400);
    let check = |new: &Value, old: &Value| complaints("PodCertificateRequest", new, Some(old)).join("; ");
    let mut params = CertificateParams::default();
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2026, 1, 2);
    let issue = |key: &KeyPair| {
        let mut issued = object.clone();
        issued["status"] = json!({
            "conditions": [{"type": "Issued", "status": "True", "reason": "x", "message": "",
                "lastTransitionTime": "2026-01-01T00:01:00Z"}],
            "certificateChain": params.self_signed(key).unwrap().pem(),
            "notBefore": "2026-01-01T00:00:00Z", "beginRefreshAt": "2026-01-01T12:00:00Z",
            "notAfter": "2026-01-02T00:00:00Z"
        });
        issued
    };
    let issued = issue(&key);
    assert_eq!(check(&issued, &object), "");
    let other = check(&issue(&KeyPair::generate().unwrap()), &object);
    assert!(other.ends_with("leaf certificate was not issued to the requested public key"), "{other}");
    let mut late = issued.clone();
    late["status"]["beginRefreshAt"] = json!("2026-01-01T23:55:00Z");
    assert!(check(&late, &object).ends_with("must be at least 10 minutes before status.notAfter"));
    let mut both = issued.clone();
    both["status"]["conditions"][0]["type"] = json!("Denied");
    assert!(check(&both, &object).contains("must be empty when denying or failing"));
    let mut unset = issued.clone();
    unset["status"]["conditions"] = json!([]);
    assert!(check(&unset, &object).contains("status is immutable unless transitioning"));
    assert!(check(&object, &issued).contains("immutable after PodCertificateRequest is issued"));
}
