//! Claims, slices and taints of devices: what is refused, and in which words.

use serde_json::json;

use super::*;

fn said(errors: Vec<FieldError>) -> Vec<String> {
    errors.into_iter().map(|error| format!("{}: {}", error.field, error.body())).collect()
}

fn request_of(class: &str) -> Value {
    json!({"spec": {"devices": {"requests": [{"name": "req-0", "exactly":
        {"deviceClassName": class, "allocationMode": "ExactCount", "count": 1}}]}}})
}

#[test]
fn a_claims_spec_and_allocation_stay() {
    let claim = request_of("dra.example.com");
    assert_eq!(said(resource_claim(&claim, None)), [""; 0]);
    let other = request_of("other.example.com");
    assert!(said(resource_claim(&other, Some(&claim)))[0].contains("field is immutable"));
    let mut allocated = claim.clone();
    allocated["status"] = json!({"allocation": {}});
    assert_eq!(said(resource_claim(&allocated, Some(&claim))), [""; 0]);
    let mut reserved = claim.clone();
    reserved["status"] = json!({"reservedFor": [{"resource": "pods", "name": "p", "uid": "u"}]});
    let words = "status.reservedFor: Forbidden: may not be specified when `allocated` is not set";
    assert_eq!(said(resource_claim(&reserved, Some(&claim))), [words]);
}

#[test]
fn a_slice_says_its_nodes_in_one_way() {
    let slice = |more: Value| {
        let mut spec = json!({"driver": "dra.example.com",
            "pool": {"name": "cluster", "generation": 1, "resourceSliceCount": 1}});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        said(resource_slice(&json!({"spec": spec}), None))
    };
    assert_eq!(slice(json!({"nodeName": "no-such-node"})), [""; 0]);
    assert_eq!(slice(json!({})), [format!("spec: Required value: {NODES}")]);
    let two = slice(json!({"nodeName": "a", "allNodes": true}));
    assert!(two[0].contains("{`nodeName`, `allNodes`}") && two[0].ends_with("but multiple fields are set"), "{two:?}");
}

#[test]
fn a_taint_has_a_known_effect() {
    let rule =
        |effect: &str| said(device_taint_rule(&json!({"spec": {"taint": {"key": "testing", "effect": effect}}}), None));
    assert_eq!(rule("None"), [""; 0]);
    assert_eq!(
        rule("Never"),
        ["spec.taint.effect: Unsupported value: \"Never\": supported values: \"NoExecute\", \"NoSchedule\", \"None\""]
    );
}
