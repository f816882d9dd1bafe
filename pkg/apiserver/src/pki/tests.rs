//! Keys on disk: who may read them, what stays, what is reissued.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use super::*;

fn names(extra: &[IpAddr]) -> ServingNames {
    ServingNames::standard([172, 30, 0, 2].into(), [10, 96, 0, 1].into(), "cluster.local", extra)
}

#[test]
fn keys_are_private_and_stay() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("pki");
    let first = Pki::load_or_create(&place, &names(&[])).unwrap();
    let admin = first.client("admin", "me", "system:masters").unwrap();
    for entry in fs::read_dir(&place).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
    }
    assert_eq!(fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o700);
    let second = Pki::load_or_create(&place, &names(&[])).unwrap();
    assert_eq!(first.ca_pem(), second.ca_pem());
    assert_eq!(first.serving.certificate_pem, second.serving.certificate_pem);
    assert_eq!(admin.key_pem, second.client("admin", "me", "system:masters").unwrap().key_pem);
    let moved = Pki::load_or_create(&place, &names(&[[192, 0, 2, 7].into()])).unwrap();
    assert_eq!(first.ca_pem(), moved.ca_pem());
    assert_ne!(first.serving.certificate_pem, moved.serving.certificate_pem);
}

#[test]
fn certificates_name_their_user_and_reach_back_a_year() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::load_or_create(folder.path(), &names(&[])).unwrap();
    let node = pki.issue_client("system:node:node1", "system:nodes").unwrap();
    let der = certificate_der(&node.certificate_pem).unwrap();
    assert_eq!(subject(&der), Some(("system:node:node1".into(), vec!["system:nodes".into()])));
    let (_, parsed) = X509Certificate::from_der(&der).unwrap();
    let (day, now) = (24 * 3600, Timestamp::now().as_second());
    assert!(parsed.validity().not_before.timestamp() < now - 364 * day);
    assert!(parsed.validity().not_after.timestamp() > now + 3650 * day);
    assert_ne!(parsed.issuer(), parsed.subject());
}

#[test]
fn tokens_are_ours_or_nothing() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ours = Pki::load_or_create(one.path(), &names(&[])).unwrap();
    let theirs = Pki::load_or_create(two.path(), &names(&[])).unwrap();
    let token = ours.token_key().sign(&json!({"sub": "a"})).unwrap();
    assert_eq!(ours.token_key().verify(&token).unwrap(), json!({"sub": "a"}));
    assert_eq!(theirs.token_key().verify(&token), Err(TokenError::Signature));
    assert_eq!(ours.token_key().verify("a.b"), Err(TokenError::Malformed));
    let jwk = ours.token_key().public_jwk();
    assert_eq!((jwk["x"].as_str().map(str::len), jwk["y"].as_str().map(str::len)), (Some(43), Some(43)));
    let none = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.";
    assert_eq!(ours.token_key().verify(none), Err(TokenError::Signature));
}

#[test]
fn what_runs_out_or_comes_from_the_future_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let first = Pki::load_or_create(folder.path(), &names(&[])).unwrap();
    let now = Timestamp::now();
    let hours = |hours: i64| SignedDuration::from_hours(hours);
    for clock in [now - hours(24 * 3640), now + hours(24 * 3650)] {
        // As if everything had been made by that clock.
        let key = KeyPair::from_pem(&read(&folder.path().join("ca.key")).unwrap()).unwrap();
        let ca = validity_at(authority("minisvc-ca"), clock).self_signed(&key).unwrap();
        write_private(&folder.path().join("ca.crt"), &ca.pem()).unwrap();
        let old = first.client("admin", "me", "system:masters").unwrap();
        let stale = first.sign(validity_at(leaf("me"), clock), "me").unwrap();
        assert!(!in_time(&stale.certificate_pem) && !in_time(&ca.pem()) && in_time(&old.certificate_pem));
        first.write_pair("admin", &stale).unwrap();
        first.write_pair("serving", &stale).unwrap();
        let again = Pki::load_or_create(folder.path(), &names(&[])).unwrap();
        assert!(in_time(again.ca_pem()) && in_time(&again.serving.certificate_pem));
        let admin = again.client("admin", "me", "system:masters").unwrap();
        assert!(in_time(&admin.certificate_pem));
        // The authority's key stayed: what was signed before is trusted still.
        let roots = |pem: &str| {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(certificate_der(pem).unwrap()).unwrap();
            Arc::new(roots)
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            rustls::server::WebPkiClientVerifier::builder_with_provider(roots(again.ca_pem()), provider).build();
        let now = rustls::pki_types::UnixTime::now();
        let before = certificate_der(&old.certificate_pem).unwrap();
        verifier.unwrap().verify_client_cert(&before, &[], now).unwrap();
    }
}

#[test]
fn kubeconfigs_have_keys_that_name_their_curve() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::load_or_create(folder.path(), &names(&[])).unwrap();
    let client = pki.issue_client("me", "system:masters").unwrap();
    let pem = client.ec_key_pem().unwrap();
    assert!(pem.starts_with("-----BEGIN EC PRIVATE KEY-----\n") && pem.ends_with("-----END EC PRIVATE KEY-----\n"));
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
    // The object identifier of prime256v1.
    let curve = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    assert!(key.secret_der().windows(curve.len()).any(|bytes| bytes == curve));
    // Certificate and key belong together: rustls compares them.
    let certificate = certificate_der(&client.certificate_pem).unwrap();
    let provider = rustls::crypto::ring::default_provider();
    rustls::sign::CertifiedKey::from_der(vec![certificate], key, &provider).unwrap();
}
