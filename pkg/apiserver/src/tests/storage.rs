//! Claims and volumes at admission: finalizers, the default class, what may grow, and since when a volume is as it is.

use serde_json::{Value, json};

use super::lab::Lab;

const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";
const VOLUMES: &str = "/api/v1/persistentvolumes";
const CLASSES: &str = "/apis/storage.k8s.io/v1/storageclasses";

fn claim(name: &str, class: Value) -> Value {
    json!({"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": class,
        "resources": {"requests": {"storage": "1Gi"}}}})
}

async fn class_of(lab: &Lab, claim: &Value) -> Value {
    let made = lab.post(CLAIMS, claim).await;
    assert_eq!(made.code, 201, "{made:?}");
    let made = made.json();
    assert_eq!(made["metadata"]["finalizers"], json!(["kubernetes.io/pvc-protection"]));
    assert_eq!(made["status"], json!({"phase": "Pending"}));
    made["spec"]["storageClassName"].clone()
}

#[tokio::test]
async fn claims_get_the_default_class_unless_they_say_otherwise() {
    let lab = Lab::new().await;
    let standard = lab.get(&format!("{CLASSES}/standard")).await.json();
    assert_eq!(
        (&standard["provisioner"], &standard["volumeBindingMode"], &standard["reclaimPolicy"]),
        (&json!("minisvc.io/folder"), &json!("Immediate"), &json!("Delete"))
    );
    assert_eq!(class_of(&lab, &claim("a", Value::Null)).await, "standard");
    assert_eq!(class_of(&lab, &claim("b", json!(""))).await, "");
    assert_eq!(class_of(&lab, &claim("c", json!("gold"))).await, "gold");
    let mut old = claim("d", Value::Null);
    old["metadata"]["annotations"] = json!({"volume.beta.kubernetes.io/storage-class": "gold"});
    assert_eq!(class_of(&lab, &old).await, Value::Null);
    // Nobody is the default any more.
    let none = json!({"metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "false"}}});
    assert_eq!(lab.merge(&format!("{CLASSES}/standard"), &none).await.code, 200);
    assert_eq!(class_of(&lab, &claim("e", Value::Null)).await, Value::Null);
}

#[tokio::test]
async fn only_bound_claims_of_classes_that_allow_it_grow() {
    let lab = Lab::new().await;
    let class = json!({"metadata": {"name": "grows"}, "provisioner": "example.com/x", "allowVolumeExpansion": true});
    assert_eq!(lab.post(CLASSES, &class).await.code, 201);
    let more = json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}});
    for (name, bound, words) in [
        ("grows", false, "Only bound persistent volume claims can be expanded"),
        (
            "standard",
            true,
            "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support \
             resize",
        ),
        ("grows", true, ""),
    ] {
        let at = format!("{CLAIMS}/x");
        assert_eq!(lab.post(CLAIMS, &claim("x", json!(name))).await.code, 201);
        if bound {
            let status = json!({"status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}});
            assert_eq!(lab.merge(&format!("{at}/status"), &status).await.code, 200);
        }
        let grown = lab.merge(&at, &more).await;
        match words {
            "" => assert_eq!(grown.code, 200, "{grown:?}"),
            words => {
                let message = format!("persistentvolumeclaims \"x\" is forbidden: {words}");
                assert_eq!((grown.code, grown.json()["message"].as_str()), (403, Some(message.as_str())));
            }
        }
        // It waits for its finalizer, which only the controller takes away.
        assert_eq!(lab.delete(&at).await.code, 200);
        assert!(lab.get(&at).await.json()["metadata"]["deletionTimestamp"].is_string());
        assert_eq!(lab.merge(&at, &json!({"metadata": {"finalizers": null}})).await.code, 200);
        assert_eq!(lab.get(&at).await.code, 404);
    }
}

#[tokio::test]
async fn a_volume_says_since_when_it_is_in_its_phase() {
    let lab = Lab::new().await;
    let volume = json!({"metadata": {"name": "v"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/data/v"}}, "status": {"phase": "Bound"}});
    let made = lab.post(VOLUMES, &volume).await.json();
    assert_eq!(made["metadata"]["finalizers"], json!(["kubernetes.io/pv-protection"]));
    assert_eq!(made["status"]["phase"], "Pending");
    assert!(made["status"]["lastPhaseTransitionTime"].is_string(), "{made}");
    let at = format!("{VOLUMES}/v/status");
    let said = "2020-01-01T00:00:00Z";
    let status = json!({"status": {"phase": "Available", "lastPhaseTransitionTime": said}});
    let kept = lab.merge(&at, &status).await.json();
    assert_eq!(kept["status"]["lastPhaseTransitionTime"], said, "whoever says so is believed");
    let message = lab.merge(&at, &json!({"status": {"message": "m", "lastPhaseTransitionTime": null}})).await.json();
    assert_eq!(message["status"]["lastPhaseTransitionTime"], said, "the phase is the same");
    let bound = lab.merge(&at, &json!({"status": {"phase": "Bound"}})).await.json();
    assert_ne!(bound["status"]["lastPhaseTransitionTime"], said);
}
