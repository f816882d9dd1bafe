//! Patches: recorded cases, directives, and the algebra of merge patches.

mod operations;
mod recorded;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::registry::find;

fn strategic(group: &str, plural: &str, target: Value, patch: Value) -> Result<Value, Status> {
    apply(PatchKind::Strategic, find(group, "v1", plural).expect("a row"), &target, &patch)
}

#[test]
fn lists_merge_by_their_keys() {
    let ports = |list: Value| json!({"spec": {"ports": list}});
    let old = ports(json!([{"port": 80, "name": "a", "nodePort": 30080}, {"port": 81, "name": "b"}]));
    let cases = [
        (
            "changed",
            json!({"spec": {"ports": [{"port": 80, "name": "x"}]}}),
            json!([{"port": 80, "name": "x", "nodePort": 30080}, {"port": 81, "name": "b"}]),
        ),
        (
            "added",
            json!({"spec": {"ports": [{"port": 82}]}}),
            json!([{"port": 82}, {"port": 80, "name": "a", "nodePort": 30080}, {"port": 81, "name": "b"}]),
        ),
        (
            "added in order",
            json!({"spec": {"$setElementOrder/ports": [{"port": 80}, {"port": 81}, {"port": 82}], "ports": [{"port": 82}]}}),
            json!([{"port": 80, "name": "a", "nodePort": 30080}, {"port": 81, "name": "b"}, {"port": 82}]),
        ),
        ("deleted", json!({"spec": {"ports": [{"port": 80, "$patch": "delete"}]}}), json!([{"port": 81, "name": "b"}])),
        ("replaced", json!({"spec": {"ports": [{"$patch": "replace"}, {"port": 9}]}}), json!([{"port": 9}])),
        (
            "reordered",
            json!({"spec": {"$setElementOrder/ports": [{"port": 81}, {"port": 80}]}}),
            json!([{"port": 81, "name": "b"}, {"port": 80, "name": "a", "nodePort": 30080}]),
        ),
        (
            "field removed",
            json!({"spec": {"ports": [{"port": 80, "nodePort": null}]}}),
            json!([{"port": 80, "name": "a"}, {"port": 81, "name": "b"}]),
        ),
    ];
    for (name, patch, wanted) in cases {
        assert_eq!(strategic("", "services", old.clone(), patch), Ok(ports(wanted)), "{name}");
    }
    let error = strategic("", "services", old, json!({"spec": {"ports": [{"name": "x"}]}})).expect_err("no key");
    assert_eq!(
        (error.code, error.message.as_str()),
        (500, "map: map[name:x] does not contain declared merge key: port")
    );
}

#[test]
fn nested_types_and_directives() {
    let old = json!({"metadata": {"finalizers": ["a/b", "c/d"]}, "spec": {"replicas": 3,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}},
        "template": {"spec": {"containers": [{"name": "c", "image": "i:1", "env": [{"name": "A", "value": "1"}], "args": ["x"]}],
            "volumes": [{"name": "v", "emptyDir": {}}]}}}});
    let image = json!({"spec": {"template": {"spec": {"$setElementOrder/containers": [{"name": "c"}],
        "containers": [{"name": "c", "image": "i:2", "env": [{"name": "B", "value": "2"}], "args": ["y"]}]}}}});
    let new = strategic("apps", "deployments", old.clone(), image).expect("merged");
    let container = &new["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], "i:2");
    assert_eq!(container["env"], json!([{"name": "B", "value": "2"}, {"name": "A", "value": "1"}]));
    assert_eq!(container["args"], json!(["y"]), "plain lists are replaced");
    let recreate = json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}});
    let new = strategic("apps", "deployments", old.clone(), recreate).expect("merged");
    assert_eq!(new["spec"]["strategy"], json!({"type": "Recreate"}));
    let volume = json!({"spec": {"template": {"spec": {"volumes": [{"name": "v", "$retainKeys": ["name", "configMap"], "configMap": {"name": "m"}}]}}}});
    let new = strategic("apps", "deployments", old.clone(), volume).expect("merged");
    assert_eq!(new["spec"]["template"]["spec"]["volumes"], json!([{"name": "v", "configMap": {"name": "m"}}]));
    let gone = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/b"]}});
    let new = strategic("apps", "deployments", old.clone(), gone).expect("merged");
    assert_eq!(new["metadata"]["finalizers"], json!(["c/d"]));
    let added = json!({"metadata": {"finalizers": ["e/f", "c/d"]}});
    let new = strategic("apps", "deployments", old.clone(), added).expect("merged");
    assert_eq!(new["metadata"]["finalizers"], json!(["e/f", "a/b", "c/d"]));
    let replaced = json!({"spec": {"strategy": {"$patch": "replace", "type": "Recreate"}}});
    let new = strategic("apps", "deployments", old.clone(), replaced).expect("merged");
    assert_eq!(new["spec"]["strategy"], json!({"type": "Recreate"}));
    let unknown = json!({"spec": {"$patch": "explode"}});
    assert_eq!(strategic("apps", "deployments", old, unknown).expect_err("unknown").code, 500);
}

#[test]
fn maps_and_unmerged_lists() {
    let old = json!({"metadata": {"labels": {"a": "1", "b": "2"}}, "subsets": [{"addresses": [{"ip": "1.2.3.4"}]}]});
    let patch = json!({"metadata": {"labels": {"a": null, "c": "3"}}, "subsets": [{"addresses": [{"ip": "5.6.7.8"}]}]});
    assert_eq!(
        strategic("", "endpoints", old, patch),
        Ok(json!({"metadata": {"labels": {"b": "2", "c": "3"}}, "subsets": [{"addresses": [{"ip": "5.6.7.8"}]}]}))
    );
    let into_nothing = json!({"spec": {"ports": [{"port": 1, "name": null}, {"port": 2, "$patch": "delete"}], "selector": {"a": null, "b": "c"}}});
    assert_eq!(
        strategic("", "services", json!({}), into_nothing),
        Ok(json!({"spec": {"ports": [{"port": 1}], "selector": {"b": "c"}}}))
    );
}

#[test]
fn media_types() {
    assert_eq!(PatchKind::of_media_type("application/merge-patch+json; charset=utf-8"), Some(PatchKind::Merge));
    assert_eq!(PatchKind::of_media_type("application/json"), None);
}

#[test]
fn nulls_in_merge_patches() {
    let merged = |target: Value, patch: Value| {
        let mut new = target;
        merge(&mut new, &patch);
        new
    };
    let new = json!({"a": {"b": null, "c": 1}, "d": [{"e": null, "f": 1}, null]});
    assert_eq!(merged(json!({}), new.clone()), json!({"a": {"c": 1}, "d": [{"f": 1}, null]}));
    assert_eq!(merged(json!({"a": 1, "d": []}), new), json!({"a": {"c": 1}, "d": [{"f": 1}, null]}));
    assert_eq!(merged(json!({"a": {"b": 1, "x": 2}}), json!({"a": {"b": null}})), json!({"a": {"x": 2}}));
    assert_eq!(merged(json!({"a": {"b": 1}}), json!({"a": [1]})), json!({"a": [1]}));
}

/// JSON without nulls, which merge patches cannot express.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        (0..5_i64).prop_map(Value::from),
        "[ab]{0,2}".prop_map(Value::from)
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a-d]", inner, 0..4).prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

fn object() -> impl Strategy<Value = Value> {
    prop::collection::btree_map("[a-d]", value(), 0..4).prop_map(|m| Value::Object(m.into_iter().collect()))
}

proptest! {
    #[test]
    fn a_merge_diff_applied_gives_the_target(from in object(), to in object()) {
        let mut new = from.clone();
        merge(&mut new, &merge_diff(&from, &to));
        prop_assert_eq!(new, to);
    }

    #[test]
    fn merging_twice_is_merging_once(from in object(), patch in object()) {
        let mut once = from.clone();
        merge(&mut once, &patch);
        let mut twice = once.clone();
        merge(&mut twice, &patch);
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn without_directives_and_keyed_lists_strategic_is_a_merge(labels in prop::collection::btree_map("[a-d]", "[ab]{0,2}", 0..4),
                                                              patch in prop::collection::btree_map("[a-d]", prop::option::of("[ab]{0,2}"), 0..4)) {
        let target = json!({"metadata": {"labels": labels}});
        let patch = json!({"metadata": {"labels": patch}});
        let mut merged = target.clone();
        merge(&mut merged, &patch);
        prop_assert_eq!(strategic("", "pods", target, patch), Ok(merged));
    }

    #[test]
    fn a_strategic_patch_of_an_object_onto_itself_changes_nothing(ports in prop::collection::btree_map(1..5_i64, "[ab]{1,2}", 0..4)) {
        let list: Vec<Value> = ports.into_iter().map(|(port, name)| json!({"port": port, "name": name})).collect();
        let object = json!({"spec": {"ports": list}});
        prop_assert_eq!(strategic("", "services", object.clone(), object.clone()), Ok(object));
    }
}
