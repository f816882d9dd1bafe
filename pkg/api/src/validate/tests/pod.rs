//! Pods: each refusal in its words, and how little an update may change.

use serde_json::{Value, json};

use super::{errors, prepare, row};

fn pod(change: impl FnOnce(&mut Value)) -> Value {
    let mut pod = json!({"spec": {"containers": [{"name": "c", "image": "i"}]}});
    change(&mut pod["spec"]);
    pod
}

#[test]
fn pods_are_refused_in_kubernetes_words() {
    type Change = fn(&mut Value);
    let cases: &[(Change, &str)] = &[
        (|s| s["containers"] = json!([]), "spec.containers: Required value"),
        (|s| s["containers"][0]["name"] = "".into(), "spec.containers[0].name: Required value"),
        (
            |s| s["containers"][0]["name"] = "A".into(),
            "spec.containers[0].name: Invalid value: \"A\": a lowercase RFC 1123 label",
        ),
        (|s| s["containers"][0]["image"] = "".into(), "spec.containers[0].image: Required value"),
        (
            |s| s["containers"] = json!([{"name": "c", "image": "i"}, {"name": "c", "image": "i"}]),
            "spec.containers[1].name: Duplicate value: \"c\"",
        ),
        (
            |s| s["containers"][0]["ports"] = json!([{"containerPort": 0}]),
            "spec.containers[0].ports[0].containerPort: Required value",
        ),
        (
            |s| s["containers"][0]["ports"] = json!([{"containerPort": 1, "protocol": "X"}]),
            "spec.containers[0].ports[0].protocol: Unsupported value: \"X\"",
        ),
        (|s| s["containers"][0]["env"] = json!([{"value": "1"}]), "spec.containers[0].env[0].name: Required value"),
        (
            |s| s["containers"][0]["env"] = json!([{"name": "a", "valueFrom": {}}]),
            "spec.containers[0].env[0].valueFrom: Invalid value: \"\": must specify one of",
        ),
        (
            |s| s["containers"][0]["imagePullPolicy"] = "X".into(),
            "spec.containers[0].imagePullPolicy: Unsupported value: \"X\": supported values: \"Always\", \"IfNotPresent\", \"Never\"",
        ),
        (
            |s| s["containers"][0]["volumeMounts"] = json!([{"name": "v", "mountPath": "/a"}]),
            "spec.containers[0].volumeMounts[0].name: Not found: \"v\"",
        ),
        (
            |s| s["containers"][0]["readinessProbe"] = json!({}),
            "spec.containers[0].readinessProbe: Required value: must specify a handler type",
        ),
        (
            |s| s["containers"][0]["livenessProbe"] = json!({"tcpSocket": {"port": 1}, "successThreshold": 2}),
            "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
        ),
        (
            |s| s["restartPolicy"] = "X".into(),
            "spec.restartPolicy: Unsupported value: \"X\": supported values: \"Always\", \"Never\", \"OnFailure\"",
        ),
        (
            |s| s["dnsPolicy"] = "None".into(),
            "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None",
        ),
        (|s| s["hostname"] = "a.b".into(), "spec.hostname: Invalid value: \"a.b\""),
        (|s| s["volumes"] = json!([{"name": "v", "configMap": {}}]), "spec.volumes[0].configMap.name: Required value"),
        (|s| s["volumes"] = json!([{"name": "v", "secret": {}}]), "spec.volumes[0].secret.secretName: Required value"),
        (
            |s| {
                s["volumes"] = json!([{"name": "v", "configMap": {"name": "c", "items": [{"key": "k", "path": "/a"}]}}])
            },
            "spec.volumes[0].configMap.items[0].path: Invalid value: \"/a\": must be a relative path",
        ),
        (
            |s| s["volumes"] = json!([{"name": "v", "secret": {"secretName": "c", "defaultMode": 512}}]),
            "spec.volumes[0].secret.defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal), both \
             inclusive",
        ),
        (
            |s| s["volumes"] = json!([{"name": "v", "hostPath": {"path": "/a/../b"}}]),
            "spec.volumes[0].hostPath.path: Invalid value: \"/a/../b\": must not contain '..'",
        ),
        (
            |s| s["volumes"] = json!([{"name": "v", "nfs": {"server": "s", "path": "a"}}]),
            "spec.volumes[0].nfs.path: Invalid value: \"a\": must be an absolute path",
        ),
        (|s| s["volumes"] = json!([{"name": "v", "image": {}}]), "spec.volumes[0].image.reference: Required value"),
        (
            |s| s["volumes"] = json!([{"name": "v", "downwardAPI": {"items": [{"path": "a"}]}}]),
            "spec.volumes[0].downwardAPI: Required value: one of fieldRef and resourceFieldRef is required",
        ),
        (
            |s| {
                s["volumes"] = json!([{"name": "v", "downwardAPI": {"items": [
                    {"path": "a", "fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}]}}]);
            },
            "spec.volumes[0].downwardAPI.fieldRef.fieldPath: Unsupported value: \"status.podIP\": supported values: \
             \"metadata.annotations\", \"metadata.labels\", \"metadata.name\", \"metadata.namespace\", \"metadata.uid\"",
        ),
        (
            |s| {
                s["volumes"] = json!([{"name": "v", "projected": {"sources": [
                    {"serviceAccountToken": {"path": "t", "expirationSeconds": 599}}]}}]);
            },
            "spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 599: may not \
             specify a duration less than 10 minutes",
        ),
        (
            |s| s["volumes"] = json!([{"name": "v", "projected": {"sources": [{"configMap": {}}]}}]),
            "spec.volumes[0].projected.sources[0].configMap.name: Required value",
        ),
        (
            |s| {
                s["containers"][0]["env"] = json!([{"name": "A", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.qosClass"}}}]);
            },
            "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"status.qosClass\": error \
             converting fieldPath: field label not supported: status.qosClass",
        ),
        (
            |s| {
                s["containers"][0]["env"] =
                    json!([{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": ""}}}]);
            },
            "spec.containers[0].env[0].valueFrom.secretKeyRef.key: Required value",
        ),
        (
            |s| {
                s["containers"][0]["env"] =
                    json!([{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "cpu"}}}]);
            },
            "spec.containers[0].env[0].valueFrom.resourceFieldRef.resource: Unsupported value: \"cpu\": supported \
             values: \"limits.cpu\", \"limits.ephemeral-storage\", \"limits.memory\", \"requests.cpu\", \
             \"requests.ephemeral-storage\", \"requests.memory\"",
        ),
        (
            |s| s["containers"][0]["envFrom"] = json!([{"prefix": "A"}]),
            "spec.containers[0].envFrom: Invalid value: \"\": must specify one of: `configMapRef` or `secretRef`",
        ),
        (
            |s| s["containers"][0]["envFrom"] = json!([{"configMapRef": {}}]),
            "spec.containers[0].envFrom[0].configMapRef.name: Required value",
        ),
        (
            |s| s["volumes"] = json!([{"name": "v", "emptyDir": {}, "hostPath": {"path": "/"}}]),
            "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
        ),
        (
            |s| {
                s["containers"][0]["ports"] =
                    json!([{"containerPort": 1, "hostPort": 8}, {"containerPort": 2, "hostPort": 8}])
            },
            "spec.containers[0].ports[1].hostPort: Duplicate value: \"TCP//8\"",
        ),
    ];
    for (change, wanted) in cases {
        let found = errors("Pod", pod(change));
        assert_eq!(found.len(), 1, "{wanted}: {found:?}");
        assert!(found[0].starts_with(wanted), "{wanted}: {found:?}");
    }
}

#[test]
fn a_pods_spec_hardly_changes() {
    let mut old = prepare("Pod", pod(|_| {}), None);
    // As admission leaves it.
    old["spec"]["priority"] = 0.into();
    let update = |change: &dyn Fn(&mut Value)| {
        let mut new = old.clone();
        change(&mut new["spec"]);
        (row("Pod").default)(&mut new, Some(&old));
        (row("Pod").validate)(&new, Some(&old)).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    type Change = fn(&mut Value);
    let allowed: &[Change] = &[
        |s| s["containers"][0]["image"] = "j".into(),
        |s| s["activeDeadlineSeconds"] = 5.into(),
        |s| s["tolerations"][2] = json!({"key": "a", "operator": "Exists"}),
        |s| s["priority"] = Value::Null,
    ];
    for (i, change) in allowed.iter().enumerate() {
        let change = |spec: &mut Value| {
            if i == 2 {
                spec["tolerations"].as_array_mut().expect("defaulted").push(Value::Null);
            }
            change(spec);
        };
        assert_eq!(update(&change), Vec::<String>::new(), "{i}");
    }
    let found = update(&|s| s["hostname"] = "h".into());
    assert!(
        found[0]
            .starts_with("spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"),
        "{found:?}"
    );
    let mut new = old.clone();
    new["spec"]["tolerations"] = json!([]);
    let found = (row("Pod").validate)(&new, Some(&old));
    assert_eq!(
        found[0].to_string(),
        "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"
    );
    let found = update(&|s| s["containers"] = json!([{"name": "c", "image": "i"}, {"name": "d", "image": "i"}]));
    assert!(
        found.contains(&"spec.containers: Forbidden: pod updates may not add or remove containers".to_owned()),
        "{found:?}"
    );
}
