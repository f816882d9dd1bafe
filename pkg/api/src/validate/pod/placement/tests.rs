//! Where a pod may run: what is refused, and in which words.

use serde_json::json;

use super::*;

fn told(spec: Value) -> Vec<String> {
    placement("spec", &spec).iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_wrong_is_told_in_kubernetes_words() {
    let preferred = |term: Value| json!({ "affinity": { "nodeAffinity": { PREFERRED: [term] } } });
    let near = |term: Value| json!({ "affinity": { "podAffinity": { REQUIRED: [term] } } });
    let spread = |more: Value| {
        let mut all = json!({ "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule" });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "topologySpreadConstraints": [all] })
    };
    let at = "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0]";
    for (spec, text) in [
        (
            json!({ "tolerations": [{ "operator": "Equal" }] }),
            "spec.tolerations[0].operator: Invalid value: \"Equal\": operator must be Exists when `key` is empty, \
             which means \"match all values and all keys\""
                .to_owned(),
        ),
        (
            json!({ "tolerations": [{ "key": "a", "operator": "Like" }] }),
            "spec.tolerations[0].operator: Unsupported value: \"Like\": supported values: \"Equal\", \"Exists\"".into(),
        ),
        (
            json!({ "tolerations": [{ "key": "a", "effect": "NoSchedule", "tolerationSeconds": 3 }] }),
            "spec.tolerations[0].effect: Invalid value: \"NoSchedule\": effect must be 'NoExecute' when \
             `tolerationSeconds` is set"
                .into(),
        ),
        (
            preferred(json!({ "weight": 101, "preference": {} })),
            "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: Invalid value: \
             101: must be in the range 1-100"
                .into(),
        ),
        (
            json!({ "affinity": { "nodeAffinity": { REQUIRED: {} } } }),
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required \
             value: must have at least one node selector term"
                .into(),
        ),
        (
            near(json!({ "topologyKey": "zone", "matchLabelKeys": ["a"] })),
            format!("{at}.matchLabelKeys: Forbidden: must not be specified when labelSelector is not set"),
        ),
        (
            near(json!({ "topologyKey": "zone", "matchLabelKeys": ["a"], "labelSelector": {
                "matchLabels": { "a": "1" }, "matchExpressions": [{ "key": "a", "operator": "In", "values": ["1"] }] } })),
            format!("{at}[0]: Invalid value: \"a\": exists in both matchLabelKeys and labelSelector"),
        ),
        (
            spread(json!({ "maxSkew": 0 })),
            "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero".into(),
        ),
        (
            spread(json!({ "whenUnsatisfiable": "ScheduleAnyway", "minDomains": 2 })),
            "spec.topologySpreadConstraints[0].minDomains: Invalid value: 2: can only use minDomains if \
             whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway"
                .into(),
        ),
        (
            json!({ "schedulingGates": [{ "name": "a/b" }, { "name": "a/b" }] }),
            "spec.schedulingGates[1]: Duplicate value: \"a/b\"".into(),
        ),
    ] {
        assert_eq!(told(spec), [text]);
    }
}

#[test]
fn what_is_right_is_let_through() {
    let spec = json!({
        "tolerations": [{ "operator": "Exists" }, { "key": "a", "value": "b", "effect": "NoExecute", "tolerationSeconds": 3 }],
        "affinity": {
            "nodeAffinity": { REQUIRED: { "nodeSelectorTerms": [
                { "matchFields": [{ "key": "metadata.name", "operator": "In", "values": ["node1"] }] }] } },
            "podAntiAffinity": { PREFERRED: [{ "weight": 1, "podAffinityTerm": { "topologyKey": "zone",
                "labelSelector": { "matchExpressions": [{ "key": "v", "operator": "In", "values": ["1"] }] },
                "matchLabelKeys": ["v"], "mismatchLabelKeys": ["w"] } }] } },
        "topologySpreadConstraints": [
            { "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "minDomains": 2 },
            { "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "nodeTaintsPolicy": "Honor" }],
        "schedulingGates": [{ "name": "example.com/gate" }],
    });
    assert!(told(spec).is_empty());
}

#[test]
fn gated_pods_get_narrower_only() {
    let spec = |selector: Value, terms: Value| json!({ "nodeSelector": selector, "affinity": { "nodeAffinity": { REQUIRED: { "nodeSelectorTerms": terms } } } });
    let one = |key: &str| json!({ "key": key, "operator": "Exists" });
    let old = spec(json!({ "a": "1" }), json!([{ "matchExpressions": [one("a")] }]));
    for (new, count) in [
        (old.clone(), 0),
        (spec(json!({ "a": "1", "b": "2" }), json!([{ "matchExpressions": [one("a"), one("b")] }])), 0),
        (spec(json!({ "a": "2" }), json!([{ "matchExpressions": [one("a")] }])), 1),
        (spec(json!({ "b": "2" }), json!([{ "matchExpressions": [one("b"), one("a")] }])), 2),
        (spec(json!({ "a": "1" }), json!([])), 1),
    ] {
        assert_eq!(narrowed(&new, &old).len(), count, "{new}");
    }
    assert!(narrowed(&old, &json!({})).is_empty());
}
