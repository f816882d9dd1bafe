//! Volumes, claims and the claims of pods.

use serde_json::{Value, json};

use super::{errors, update_errors};

fn volume(change: impl FnOnce(&mut Value)) -> Value {
    let mut object = json!({"spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"},
        "hostPath": {"path": "/data/x"}}});
    change(&mut object["spec"]);
    object
}

fn affinity(node: &str) -> Value {
    let one = json!([{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]);
    json!({"required": {"nodeSelectorTerms": [{"matchExpressions": one}]}})
}

#[test]
fn volumes_are_refused_in_kubernetes_words() {
    assert_eq!(errors("PersistentVolume", volume(|_| {})), Vec::<String>::new());
    let table = [
        (volume(|s| s["hostPath"]["path"] = "".into()), "spec.hostPath.path: Required value"),
        (
            volume(|s| s["hostPath"]["path"] = "/a/../b".into()),
            "spec.hostPath.path: Invalid value: \"/a/../b\": must not contain '..'",
        ),
        (
            volume(|s| s["hostPath"]["type"] = "Folder".into()),
            "spec.hostPath.type: Unsupported value: \"Folder\": supported values: \"\", \"BlockDevice\", \"CharDevice\", \
             \"Directory\", \"DirectoryOrCreate\", \"File\", \"FileOrCreate\", \"Socket\"",
        ),
        (
            volume(|s| s["nodeAffinity"] = json!({})),
            "spec.nodeAffinity.required: Required value: must specify required node constraints",
        ),
        (
            volume(|s| s["nodeAffinity"] = json!({"required": {"nodeSelectorTerms": []}})),
            "spec.nodeAffinity.required.nodeSelectorTerms: Required value: must have at least one node selector term",
        ),
        (
            volume(|s| s["volumeAttributesClassName"] = "gold".into()),
            "spec.csi: Required value: has to be specified when using volumeAttributesClassName",
        ),
    ];
    for (wrong, words) in table {
        assert_eq!(errors("PersistentVolume", wrong), [words]);
    }
    let at = |node: &str| volume(|spec| spec["nodeAffinity"] = affinity(node));
    assert_eq!(update_errors("PersistentVolume", volume(|_| {}), at("n1")), Vec::<String>::new(), "set once");
    let moved = update_errors("PersistentVolume", at("n1"), at("n2"));
    assert_eq!(moved.len(), 1);
    assert!(
        moved[0].starts_with("nodeAffinity: Invalid value: ")
            && moved[0].ends_with("field is immutable, except for updating from beta label to GA"),
        "{moved:?}"
    );
}

#[test]
fn pods_name_their_claims_or_describe_them() {
    let pod = |volume: Value| {
        let mut volume = volume;
        volume["name"] = "v".into();
        json!({"spec": {"containers": [{"name": "c", "image": "i"}], "volumes": [volume]}})
    };
    let fine = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
    let own = |spec: Value| pod(json!({"ephemeral": {"volumeClaimTemplate": {"spec": spec}}}));
    assert_eq!(errors("Pod", own(fine)), Vec::<String>::new());
    assert_eq!(
        errors("Pod", own(json!({"accessModes": ["ReadWriteOnce"]}))),
        ["spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources[storage]: Required value"]
    );
    assert_eq!(
        errors("Pod", pod(json!({"ephemeral": {}}))),
        ["spec.volumes[0].ephemeral.volumeClaimTemplate: Required value"]
    );
    assert_eq!(
        errors("Pod", pod(json!({"persistentVolumeClaim": {"claimName": ""}}))),
        ["spec.volumes[0].persistentVolumeClaim.claimName: Required value"]
    );
}
