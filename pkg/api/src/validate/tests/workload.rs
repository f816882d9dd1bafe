//! Deployments, replica sets and daemon sets: selector, template, strategy.

use serde_json::{Value, json};

use super::{errors, update_errors};

fn workload(change: impl FnOnce(&mut Value)) -> Value {
    let mut object = json!({"spec": {"selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    change(&mut object["spec"]);
    object
}

#[test]
fn workloads_are_refused_in_kubernetes_words() {
    for kind in ["Deployment", "ReplicaSet", "DaemonSet"] {
        assert_eq!(errors(kind, workload(|_| {})), Vec::<String>::new(), "{kind}");
        assert_eq!(
            errors(kind, workload(|s| s["template"]["metadata"]["labels"]["a"] = "x".into())),
            [
                "spec.template.metadata.labels: Invalid value: {\"a\":\"x\"}: `selector` does not match template `labels`"
            ]
        );
        let other = workload(|s| {
            s["selector"]["matchLabels"] = json!({"c": "d"});
            s["template"]["metadata"]["labels"]["c"] = "d".into();
        });
        assert_eq!(
            update_errors(kind, workload(|_| {}), other),
            ["spec.selector: Invalid value: {\"matchLabels\":{\"c\":\"d\"}}: field is immutable"]
        );
        let once = workload(|s| s["template"]["spec"]["restartPolicy"] = "Never".into());
        assert_eq!(
            errors(kind, once),
            ["spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\""]
        );
    }
    assert_eq!(
        errors("Deployment", workload(|s| s["replicas"] = (-1).into())),
        ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"]
    );
    assert!(
        errors("Deployment", workload(|s| s["selector"] = Value::Null))
            .contains(&"spec.selector: Required value".to_owned())
    );
    let stuck = workload(|s| s["strategy"] = json!({"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}));
    assert_eq!(
        errors("Deployment", stuck),
        ["spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"]
    );
}
