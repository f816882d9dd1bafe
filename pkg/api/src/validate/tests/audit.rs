//! Rules that an audit against Kubernetes 1.37's `validation.go` of each group found missing, in their words.

use serde_json::{Value, json};

use super::{errors, prepare, row, update_errors};

fn job(change: impl FnOnce(&mut Value)) -> Value {
    let mut job = json!({"spec": {"selector": {"matchLabels": {"a": "b"}}, "manualSelector": true, "template": {
        "metadata": {"labels": {"a": "b"}}, "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}});
    change(&mut job["spec"]);
    job
}

#[test]
fn jobs_of_many_indexes_are_bounded() {
    let many = |more: Value| {
        errors(
            "Job",
            job(|spec| {
                *spec = {
                    let mut all = spec.clone();
                    let own = json!({"completionMode": "Indexed", "completions": 100_001, "backoffLimitPerIndex": 1});
                    for part in [own, more] {
                        all.as_object_mut().expect("a spec").extend(part.as_object().expect("fields").clone());
                    }
                    all
                };
            }),
        )
    };
    assert_eq!(many(json!({"parallelism": 10_000, "maxFailedIndexes": 10_000})), [""; 0]);
    let words =
        "must be less than or equal to 10000 when completions are above 100000 and used with backoff limit per index";
    assert_eq!(
        many(json!({"parallelism": 10_001, "maxFailedIndexes": 10_001})),
        [
            format!("spec.parallelism: Invalid value: 10001: {words}"),
            format!("spec.maxFailedIndexes: Invalid value: 10001: {words}")
        ]
    );
    assert_eq!(
        errors("Job", job(|spec| spec["managedBy"] = "acme.io/a b".into())),
        ["spec.managedBy: Invalid value: \"a b\": Invalid path (regex used for validation is \
          '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')"]
    );
}

#[test]
fn an_indexed_job_grows_in_tandem() {
    let sized = |completions: i64, parallel: i64| {
        job(|spec| {
            spec["completionMode"] = "Indexed".into();
            spec["completions"] = completions.into();
            spec["parallelism"] = parallel.into();
        })
    };
    assert_eq!(update_errors("Job", sized(2, 2), sized(3, 3)), [""; 0]);
    assert_eq!(
        update_errors("Job", sized(2, 2), sized(3, 2)),
        ["spec.completions: Invalid value: 3: can only be modified in tandem with spec.parallelism"]
    );
    let other = update_errors("Job", job(|_| {}), job(|spec| spec["template"]["spec"]["hostname"] = "h".into()));
    assert_eq!(other.len(), 1, "{other:?}");
    assert!(
        other[0].starts_with("spec.template: Invalid value: {\"labels\":{\"a\":\"b\"},\"Spec\":{\"Volumes\":null,\"InitContainers\":null,"),
        "{other:?}"
    );
    assert!(other[0].ends_with(": field is immutable"), "{other:?}");
}

#[test]
fn cron_jobs_leave_zones_to_their_field_and_selectors_to_the_server() {
    let cron = |schedule: &str, zone: Value, selector: Value| {
        let mut template = job(|_| {});
        template["spec"].as_object_mut().expect("a spec").retain(|key, _| key == "template");
        template["spec"]["selector"] = selector;
        json!({"spec": {"schedule": schedule, "timeZone": zone, "jobTemplate": template}})
    };
    let old = "TZ=UTC 0 * * * *";
    assert_eq!(
        errors("CronJob", cron(old, Value::Null, Value::Null)),
        [
            "spec.schedule: Invalid value: \"TZ=UTC 0 * * * *\": cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        ]
    );
    assert_eq!(
        update_errors("CronJob", cron(old, Value::Null, Value::Null), cron(old, Value::Null, Value::Null)),
        [""; 0]
    );
    assert_eq!(
        update_errors("CronJob", cron(old, Value::Null, Value::Null), cron(old, "Etc/UTC".into(), Value::Null)),
        [
            "spec.schedule: Invalid value: \"TZ=UTC 0 * * * *\": cannot use both timeZone field and TZ or CRON_TZ in schedule"
        ]
    );
    assert_eq!(
        errors("CronJob", cron("0 * * * *", Value::Null, json!({"matchLabels": {"a": "b"}}))),
        [
            "spec.jobTemplate.spec.selector: Invalid value: {\"matchLabels\":{\"a\":\"b\"}}: `selector` will be auto-generated"
        ]
    );
}

#[test]
fn services_say_one_thing() {
    let twice = json!({"spec": {"ports": [{"name": "a", "port": 80}, {"name": "b", "port": 80}]}});
    assert_eq!(
        errors("Service", twice),
        ["spec.ports[1]: Duplicate value: \
          {\"Name\":\"\",\"Protocol\":\"TCP\",\"AppProtocol\":null,\"Port\":80,\"TargetPort\":0,\"NodePort\":0}"]
    );
    let mut service = prepare("Service", json!({"spec": {"ports": [{"port": 80}]}}), None);
    service["metadata"]["annotations"] = json!({
        "service.kubernetes.io/topology-mode": "Auto", "service.kubernetes.io/topology-aware-hints": "Disabled",
        "service.beta.kubernetes.io/load-balancer-source-ranges": "10.0.0.0/8, x"});
    let found: Vec<String> = (row("Service").validate)(&service, None).iter().map(ToString::to_string).collect();
    let ranges = "metadata.annotations[service.beta.kubernetes.io/load-balancer-source-ranges]";
    assert_eq!(
        found,
        [
            "metadata.annotations[service.kubernetes.io/topology-mode]: Invalid value: \"Auto\": must match \
             annotations[service.kubernetes.io/topology-aware-hints] when both are specified"
                .to_owned(),
            format!("{ranges}: Forbidden: may only be used when `type` is 'LoadBalancer'"),
            format!("{ranges}: Invalid value: \"x\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"),
        ]
    );
    let kept = (row("Service").validate)(&service, Some(&service));
    assert_eq!(kept.len(), 2, "ranges that are there may stay: {kept:?}");
}

#[test]
fn nodes_keep_their_provider_and_count_in_quantities() {
    let node = |spec: Value| json!({ "spec": spec });
    assert_eq!(
        update_errors("Node", node(json!({"providerID": "a"})), node(json!({"providerID": "b"}))),
        ["spec.providerID: Invalid value: null: field cannot be modified once set"]
    );
    assert_eq!(
        errors("Node", node(json!({"podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24", "10.1.0.0/24"]}))),
        [
            "spec.podCIDRs: Invalid value: [\"10.0.0.0/24\",\"10.1.0.0/24\"]: may specify no more than one CIDR for each IP family"
        ]
    );
    let taint = json!({"key": "a", "effect": "NoExecute"});
    assert_eq!(
        errors("Node", node(json!({"taints": [taint, taint]}))),
        [
            "metadata.taints[1]: Duplicate value: {\"Key\":\"a\",\"Value\":\"\",\"Effect\":\"NoExecute\",\"TimeAdded\":null}: \
          taints must be unique by key and effect pair"
        ]
    );
    let mut negative = prepare("Node", json!({}), None);
    negative["status"]["capacity"] = json!({"cpu": "-1"});
    assert_eq!(
        (row("Node").validate)(&negative, None)[0].to_string(),
        "status.capacity.cpu: Invalid value: \"-1\": must be greater than or equal to 0"
    );
}

#[test]
fn credentials_of_registries_are_objects() {
    let config = |base64: &str| {
        errors("Secret", json!({"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": base64}}))
    };
    let words = |why: &str| [format!("data[.dockerconfigjson]: Invalid value: \"<secret contents redacted>\": {why}")];
    assert_eq!(config("e30="), [""; 0], "an empty object");
    assert_eq!(config(""), words("unexpected end of JSON input"));
    assert_eq!(config("eHg="), words("invalid character 'x' looking for beginning of value"));
    assert_eq!(config("W10="), words("json: cannot unmarshal array into Go value of type map[string]interface {}"));
    assert_eq!(
        errors("Secret", json!({"type": "kubernetes.io/ssh-auth", "data": {"ssh-privatekey": ""}})),
        ["data[ssh-privatekey]: Required value"]
    );
}

#[test]
fn claims_show_what_may_not_change() {
    let claim = |name: &str, size: &str| {
        json!({"spec": {"accessModes": ["ReadWriteOnce"], "volumeName": name, "storageClassName": "a",
            "resources": {"requests": {"storage": size}}}})
    };
    let found = update_errors("PersistentVolumeClaim", claim("v", "1Gi"), claim("w", "1Gi"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with(
            "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for \
             bound claims\n@@ -"
        ) && found[0].contains("\n- \"VolumeName\": \"v\",\n+ \"VolumeName\": \"w\",\n"),
        "{found:?}"
    );
    let sources = |plain: Value, reference: Value| {
        let mut all = claim("", "1Gi");
        all["spec"]["dataSource"] = plain;
        all["spec"]["dataSourceRef"] = reference;
        errors("PersistentVolumeClaim", all)
    };
    let of = |name: &str| json!({"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": name});
    assert_eq!(sources(of("a"), of("a")), [""; 0]);
    assert_eq!(sources(of("a"), of("b")), ["spec: Invalid value: {}: must match dataSourceRef"]);
    let odd = json!({"apiGroup": "A", "kind": "K", "name": "n"});
    assert!(
        sources(odd, Value::Null).iter().any(|why| why.starts_with("spec.dataSource.apiGroup: Invalid value: \"A\""))
    );
}

#[test]
fn endpoints_that_stay_are_not_judged_anew() {
    let old = json!({"subsets": [{"addresses": [{"ip": "127.0.0.1"}], "ports": [{"port": 80}]}]});
    assert_eq!(update_errors("Endpoints", old.clone(), old.clone()), [""; 0]);
    assert_eq!(
        errors("Endpoints", old),
        [
            "subsets[0].addresses[0].ip: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)"
        ]
    );
}

#[test]
fn further_rules() {
    let limits = json!({"spec": {"limits": [{"type": "Container", "default": {"example.com/gpu": "2"},
        "defaultRequest": {"example.com/gpu": "1"}}]}});
    assert_eq!(
        errors("LimitRange", limits),
        [
            "spec.limits[0].defaultRequest[example.com/gpu]: Invalid value: \"1\": default value 2 must equal to defaultRequest \
          value 1 in example.com/gpu"
        ]
    );
    let lease = |spec: Value| errors("Lease", json!({ "spec": spec }));
    assert_eq!(
        lease(json!({"strategy": "Other"})),
        ["spec.strategy.strategy: Unsupported value: \"Other\": supported values: \"OldestEmulationVersion\""]
    );
    assert_eq!(
        lease(json!({"preferredHolder": "a"})),
        ["spec.preferredHolder: Forbidden: may only be specified if `strategy` is defined"]
    );
    assert_eq!(lease(json!({"preferredHolder": "a", "strategy": "example.com/own"})), [""; 0]);
    assert_eq!(
        errors("IngressClass", json!({"spec": {"controller": "a.b/c d"}})),
        ["spec.controller: Invalid value: \"c d\": Invalid path (regex used for validation is \
          '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')"]
    );
    let volume = |source: Value| {
        let mut volume = json!({"name": "v"});
        volume.as_object_mut().expect("an object").extend(source.as_object().expect("an object").clone());
        errors("Pod", json!({"spec": {"containers": [{"name": "c", "image": "i"}], "volumes": [volume]}}))
    };
    assert_eq!(volume(json!({"csi": {}})), ["spec.volumes[0].csi.driver: Required value"]);
    assert_eq!(
        volume(json!({"csi": {"driver": "A.b", "nodePublishSecretRef": {}}})),
        ["spec.volumes[0].csi.nodePublishSecretRef.name: Required value"]
    );
    let source = |path: &str| {
        json!({"spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "storageClassName": "a",
            "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": path}}})
    };
    let changed = update_errors("PersistentVolume", source("/a"), source("/b"));
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert!(
        changed[0].starts_with(
            "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation\n@@ "
        ) && changed[0].contains("\n-  \"Path\": \"/a\",\n+  \"Path\": \"/b\",\n"),
        "{changed:?}"
    );
}

#[test]
fn pods_mirror_from_their_start() {
    let old = prepare("Pod", json!({"spec": {"containers": [{"name": "c", "image": "i"}]}}), None);
    let mut new = old.clone();
    new["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
    let told = |new: &Value, old: &Value| -> Vec<String> {
        (row("Pod").validate)(new, Some(old)).iter().map(ToString::to_string).collect()
    };
    let at = "metadata.annotations[kubernetes.io/config.mirror]: Forbidden:";
    assert_eq!(told(&new, &old), [format!("{at} may not add mirror pod annotation")]);
    assert_eq!(told(&old, &new), [format!("{at} may not remove or update mirror pod annotation")]);
}
