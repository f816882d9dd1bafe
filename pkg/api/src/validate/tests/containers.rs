//! Containers, each refusal in its words: probes, hooks, mounts, devices, restarts, ports of the node.

use serde_json::{Value, json};

use super::errors;

/// What is said of a pod whose one container has more fields, and whose spec has.
fn told(container: Value, spec: Value) -> Vec<String> {
    let mut pod = json!({"spec": {"containers": [{"name": "c", "image": "i"}], "volumes": [{"name": "v", "emptyDir": {}},
        {"name": "p", "persistentVolumeClaim": {"claimName": "p"}}]}});
    let merge = |into: &mut Value, more: Value| {
        let Value::Object(more) = more else { return };
        into.as_object_mut().expect("an object").extend(more);
    };
    merge(&mut pod["spec"]["containers"][0], container);
    merge(&mut pod["spec"], spec);
    errors("Pod", pod)
}

#[test]
fn containers_are_refused_in_kubernetes_words() {
    let get = |more: Value| {
        let mut get = json!({"path": "/", "port": 80, "scheme": "HTTP"});
        get.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        json!({ "httpGet": get })
    };
    let readiness = json!({"tcpSocket": {"port": 80}, "terminationGracePeriodSeconds": 5});
    let mount = |more: Value| {
        let mut mount = json!({"name": "v", "mountPath": "/a"});
        mount.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        json!({ "volumeMounts": [mount] })
    };
    let cases = [
        (
            json!({"livenessProbe": get(json!({"httpHeaders": [{"name": "a b", "value": "1"}]}))}),
            "spec.containers[0].livenessProbe.httpGet.httpHeaders: Invalid value: \"a b\": a valid HTTP header must consist \
             of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')",
        ),
        (
            json!({ "readinessProbe": readiness }),
            "spec.containers[0].readinessProbe.terminationGracePeriodSeconds: Invalid value: 5: must not be set for \
             readinessProbes",
        ),
        (
            json!({"lifecycle": {"preStop": {"sleep": {"seconds": 31}}}}),
            "spec.containers[0].lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than \
             terminationGracePeriodSeconds (30)",
        ),
        (
            mount(json!({"subPath": "/b"})),
            "spec.containers[0].volumeMounts.subPath: Invalid value: \"/b\": must be a relative path",
        ),
        (
            mount(json!({"subPath": "a/../b"})),
            "spec.containers[0].volumeMounts.subPath: Invalid value: \"a/../b\": must not contain '..'",
        ),
        (
            mount(json!({"subPath": "a", "subPathExpr": "b"})),
            "spec.containers[0].volumeMounts[0].subPathExpr: Invalid value: \"b\": subPathExpr and subPath are mutually \
             exclusive",
        ),
        (
            mount(json!({"mountPropagation": "Bidirectional"})),
            "spec.containers[0].volumeMounts.mountPropagation: Forbidden: Bidirectional mount propagation is available only \
             to privileged containers",
        ),
        (
            mount(json!({"recursiveReadOnly": "Enabled"})),
            "spec.containers[0].volumeMounts.recursiveReadOnly: Forbidden: may only be specified when readOnly is true",
        ),
        (
            json!({"volumeDevices": [{"name": "v", "devicePath": "/dev/a"}]}),
            "spec.containers[0].volumeDevices[0].name: Invalid value: \"v\": can only use volume source type of \
             PersistentVolumeClaim or Ephemeral for block mode",
        ),
        (
            json!({"volumeDevices": [{"name": "p", "devicePath": "../a"}]}),
            "spec.containers[0].volumeDevices[0].devicePath: Invalid value: \"../a\": can not contain backsteps ('..')",
        ),
        (
            json!({"resizePolicy": [{"resourceName": "disk", "restartPolicy": "NotRequired"}]}),
            "spec.containers[0].resizePolicy: Unsupported value: \"disk\": supported values: \"cpu\", \"memory\"",
        ),
        (
            json!({"restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}]}),
            "spec.containers[0].restartPolicy: Required value: must specify restartPolicy when restart rules are used",
        ),
        (
            json!({"restartPolicy": "Never", "restartPolicyRules": [{"action": "Restart"}]}),
            "spec.containers[0].restartPolicyRules[0].exitCodes: Required value: must be specified",
        ),
        (
            json!({"image": " i"}),
            "spec.containers[0].image: Invalid value: \" i\": must not have leading or trailing whitespace",
        ),
        (
            json!({"env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1k"}}}]}),
            "spec.containers[0].env[0].valueFrom.resourceFieldRef.divisor: Invalid value: \"limits.cpu\": only divisor's \
             values 1m and 1 are supported with the cpu resource",
        ),
        (
            json!({"env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "2Mi"}}}]}),
            "spec.containers[0].env[0].valueFrom.resourceFieldRef.divisor: Invalid value: \"limits.memory\": only \
             divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the memory resource",
        ),
    ];
    for (container, wanted) in cases {
        assert_eq!(told(container.clone(), Value::Null), [wanted], "{container}");
    }
}

#[test]
fn specs_are_refused_in_kubernetes_words() {
    let init = |more: Value| {
        let mut container = json!({"name": "i", "image": "i"});
        container.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        json!({ "initContainers": [container] })
    };
    let probe = json!({"tcpSocket": {"port": 80}});
    let cases = [
        (
            init(json!({ "readinessProbe": probe })),
            "spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without restartPolicy=Always",
        ),
        (
            init(json!({"resizePolicy": [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]})),
            "spec.initContainers[0].resizePolicy[0].restartPolicy: Invalid value: \"RestartContainer\": must not be set to \
             'RestartContainer' for non-sidecar initContainers",
        ),
        (
            json!({"readinessGates": [{"conditionType": "a/b/c"}]}),
            "spec.readinessGates[0].conditionType: Invalid value: \"a/b/c\": a qualified name must consist of",
        ),
        (
            json!({"nodeName": "n", "schedulingGates": [{"name": "a"}]}),
            "spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared",
        ),
        (
            json!({"hostnameOverride": "h", "setHostnameAsFQDN": true}),
            "spec.hostnameOverride: Forbidden: may not be specified when setHostnameAsFQDN is true",
        ),
        (
            json!({"preemptionPolicy": "Always"}),
            "spec.preemptionPolicy: Unsupported value: \"Always\": supported values: \"Never\", \"PreemptLowerPriority\"",
        ),
        (
            json!({"runtimeClassName": "A"}),
            "spec.runtimeClassName: Invalid value: \"A\": a lowercase RFC 1123 subdomain",
        ),
        (
            json!({"priorityClassName": "A"}),
            "spec.priorityClassName: Invalid value: \"A\": a lowercase RFC 1123 subdomain",
        ),
        (
            json!({"dnsConfig": {"searches": ["-a"]}}),
            "spec.dnsConfig.searches[0]: Invalid value: \"-a\": a lowercase RFC 1123 subdomain must consist of lower case \
             alphanumeric characters, '_', '-' or '.',",
        ),
    ];
    for (spec, wanted) in cases {
        let found = told(Value::Null, spec.clone());
        assert_eq!(found.len(), 1, "{spec}: {found:?}");
        assert!(found[0].starts_with(wanted), "{spec}: {found:?}");
    }
    let sidecar = init(json!({"restartPolicy": "Always", "readinessProbe": probe}));
    assert_eq!(told(Value::Null, sidecar), [""; 0]);
    assert_eq!(told(Value::Null, json!({"dnsConfig": {"searches": ["_tcp.a_b.c", "."]}})), [""; 0]);
    let file =
        json!({"env": [{"name": "A", "valueFrom": {"fileKeyRef": {"volumeName": "p", "path": "f", "key": "k"}}}]});
    assert_eq!(
        told(file, Value::Null),
        [
            "spec.containers[0].env[0].valueFrom.fileKeyRef.volumeName: Invalid value: \"p\": referenced volume must be of \
          type emptyDir"
        ]
    );
}

#[test]
fn ports_of_the_node_are_the_pods_where_it_shares_its_network() {
    let ports = |ports: Value| told(json!({ "ports": ports }), json!({"hostNetwork": true}));
    assert_eq!(ports(json!([{"containerPort": 80}])), [""; 0], "the default is the same port");
    assert_eq!(
        ports(json!([{"containerPort": 80, "hostPort": 81}])),
        [
            "spec.containers[0].ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is true"
        ]
    );
}

#[test]
fn costs_of_deletion_are_whole_numbers() {
    let cost = |cost: &str| {
        let pod = json!({"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": cost}}});
        super::super::pod::own_annotations("metadata.annotations", &pod["metadata"]["annotations"]).len()
    };
    assert_eq!(["0", "10", "-10", "2147483647"].map(cost), [0; 4]);
    assert_eq!(["+10", "08", "1.5", "2147483648", ""].map(cost), [1; 5]);
}
