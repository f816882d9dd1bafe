//! Owners and apply on values, and the laws of field sets.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::registry::rows;

struct One;

const SERVICE: &str = "io.k8s.api.core.v1.Service";

impl Versions for One {
    fn place(&self, api_version: &str) -> Option<Place> {
        match api_version {
            "v1" => Some(Place::of_schema(SERVICE)),
            "apps/v1" => Some(Place::of_schema("io.k8s.api.apps.v1.Deployment")),
            _ => None,
        }
    }

    fn convert(&self, object: &Value, _from: &str, _to: &str) -> Value {
        object.clone()
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn writer(manager: &str, second: i64) -> Writer<'_> {
    Writer { manager, api_version: "v1", kind: "Service", subresource: "", ignored: Ignored::Status, now: at(second) }
}

fn service(spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec})
}

fn apply_ok(manager: &str, second: i64, live: Option<&Value>, config: &Value, force: bool) -> Value {
    apply(&One, &writer(manager, second), live, config, force).unwrap()
}

/// `manager operation` to its fields.
fn owners(object: &Value) -> Vec<(String, Value)> {
    let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let name =
        |entry: &Value| format!("{} {}", entry["manager"].as_str().unwrap(), entry["operation"].as_str().unwrap());
    entries.iter().map(|entry| (name(entry), entry["fieldsV1"].clone())).collect()
}

fn update(manager: &str, second: i64, old: Option<&Value>, mut new: Value) -> Value {
    track(&One, &writer(manager, second), old, &mut new);
    new
}

#[test]
fn a_create_owns_all_it_says() {
    let made = update("kubectl-create", 0, None, {
        let mut body = service(json!({"ports": [{"port": 80, "protocol": "TCP"}], "selector": {"app": "web"}}));
        body["metadata"]["labels"] = json!({"app": "web"});
        body["metadata"]["uid"] = json!("u");
        body["status"] = json!({"loadBalancer": {}});
        body
    });
    assert_eq!(
        made["metadata"]["managedFields"],
        json!([{
            "manager": "kubectl-create", "operation": "Update", "apiVersion": "v1", "time": "2023-11-14T22:13:20Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
                "f:spec": {
                    ".": {},
                    "f:ports": {
                        ".": {},
                        "k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}, "f:protocol": {}},
                    },
                    "f:selector": {},
                },
            },
        }])
    );
}

#[test]
fn applying_creates_and_owns_what_was_said() {
    // The key's default counts, though it was not said.
    let made = apply_ok("a", 0, None, &service(json!({"type": "ClusterIP", "ports": [{"port": 80}]})), false);
    let key = "k:{\"port\":80,\"protocol\":\"TCP\"}";
    let fields = json!({"f:spec": {"f:ports": {key: {".": {}, "f:port": {}}}, "f:type": {}}});
    assert_eq!(owners(&made), [("a Apply".to_owned(), fields)]);
    // Once more: nothing changes, not even the time.
    let again = apply_ok("a", 9, Some(&made), &service(json!({"type": "ClusterIP", "ports": [{"port": 80}]})), false);
    assert_eq!(again, made);
}

#[test]
fn what_is_said_no_longer_goes_unless_another_owns_it() {
    let both = service(json!({"type": "ClusterIP", "sessionAffinity": "None", "ports": [{"port": 80}, {"port": 81}]}));
    let one = service(json!({"ports": [{"port": 80}]}));
    let made = apply_ok("a", 0, None, &both, false);
    let less = apply_ok("a", 1, Some(&made), &one, false);
    assert_eq!(less["spec"], json!({"ports": [{"port": 80}]}));
    let shared = apply_ok("b", 1, Some(&made), &service(json!({"sessionAffinity": "None"})), false);
    let less = apply_ok("a", 2, Some(&shared), &one, false);
    assert_eq!(less["spec"], json!({"sessionAffinity": "None", "ports": [{"port": 80}]}));
    // An update's field stays: an applier takes away only what it applied.
    let mut changed = made.clone();
    changed["spec"]["clusterIP"] = json!("10.96.0.7");
    let changed = update("c", 2, Some(&made), changed);
    let less = apply_ok("a", 3, Some(&changed), &one, false);
    assert_eq!(less["spec"], json!({"ports": [{"port": 80}], "clusterIP": "10.96.0.7"}));
}

#[test]
fn conflicts_are_named_and_force_takes_over() {
    let made = apply_ok("a", 0, None, &service(json!({"type": "ClusterIP"})), false);
    let other = service(json!({"type": "NodePort", "ports": [{"port": 80, "name": "x"}]}));
    let refusal = apply(&One, &writer("b", 1), Some(&made), &other, false).unwrap_err();
    let status = Status::from(refusal);
    assert_eq!((status.code, status.reason), (409, "Conflict"));
    assert_eq!(status.message, "Apply failed with 1 conflict: conflict with \"a\": .spec.type");
    assert_eq!(
        status.details["causes"],
        json!([{"reason": "FieldManagerConflict", "message": "conflict with \"a\"", "field": ".spec.type"}])
    );
    let forced = apply_ok("b", 1, Some(&made), &other, true);
    let names: Vec<String> = owners(&forced).into_iter().map(|(name, _)| name).collect();
    assert_eq!((names, &forced["spec"]["type"]), (vec!["b Apply".to_owned()], &json!("NodePort")));
    // Updates conflict under their version; several conflicts are listed.
    let mut edited = forced.clone();
    edited["spec"]["type"] = json!("LoadBalancer");
    edited["spec"]["ports"][0]["name"] = json!("y");
    let edited = update("kubectl-edit", 2, Some(&forced), edited);
    let refusal = apply(&One, &writer("b", 3), Some(&edited), &other, false).unwrap_err();
    assert_eq!(
        Status::from(refusal).message,
        "Apply failed with 2 conflicts: conflicts with \"kubectl-edit\" using v1:\n\
         - .spec.ports[port=80,protocol=\"TCP\"].name\n- .spec.type"
    );
}

#[test]
fn what_does_not_fit_is_refused() {
    let refusal = |config: Value| Status::from(apply(&One, &writer("a", 0), None, &config, false).unwrap_err());
    let status = refusal(service(json!({"foo": 1})));
    let (code, message) = (status.code, status.message);
    assert_eq!(code, 500);
    assert_eq!(
        message,
        "failed to create typed patch object (/web; /v1, Kind=Service): .spec.foo: field not declared in schema"
    );
    assert!(
        refusal(service(json!({"ports": [{"port": 1}, {"port": 1}]})))
            .message
            .ends_with(".spec.ports: duplicate entries for key [port=1,protocol=\"TCP\"]")
    );
    assert!(refusal(service(json!({"ports": {}}))).message.contains(".spec.ports: expected list, got"));
    let mut owned = service(json!({}));
    owned["metadata"]["managedFields"] = json!([]);
    assert_eq!(refusal(owned).message, "metadata.managedFields must be nil");
    let other = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}});
    assert_eq!(refusal(other).message, "invalid object type: apps/v1, Kind=Deployment");
}

#[test]
fn an_object_without_owners_gets_the_first_one_before_the_apply() {
    let old = service(json!({"type": "ClusterIP"}));
    // Updates keep no account of what nobody kept account of.
    assert_eq!(owners(&update("x", 0, Some(&old), service(json!({"type": "NodePort"})))), []);
    let applied = apply_ok("a", 0, Some(&old), &service(json!({"sessionAffinity": "None"})), false);
    assert_eq!(
        owners(&applied),
        [
            ("a Apply".to_owned(), json!({"f:spec": {"f:sessionAffinity": {}}})),
            ("before-first-apply Update".to_owned(), json!({"f:spec": {".": {}, "f:type": {}}})),
        ]
    );
}

#[test]
fn clients_may_forget_and_edit_owners() {
    let made = apply_ok("a", 0, None, &service(json!({"type": "ClusterIP"})), false);
    for reset in [json!([]), json!([{}])] {
        let mut new = made.clone();
        new["metadata"]["managedFields"] = reset;
        assert_eq!(owners(&update("b", 1, Some(&made), new)), []);
    }
    let mut none = made.clone();
    none["metadata"].as_object_mut().unwrap().shift_remove("managedFields");
    assert_eq!(owners(&update("b", 1, Some(&made), none)), owners(&made));
    let mut renamed = made.clone();
    renamed["metadata"]["managedFields"][0]["manager"] = json!("z");
    assert_eq!(owners(&update("b", 1, Some(&made), renamed))[0].0, "z Apply");
}

#[test]
fn kubectl_takes_over_what_client_side_apply_set() {
    let config = service(json!({"type": "NodePort", "ports": [{"port": 80}]}));
    let mut body = config.clone();
    body["metadata"]["annotations"] = json!({LAST_APPLIED: config.to_string()});
    body["spec"]["ports"][0]["protocol"] = json!("TCP");
    let made = update("kubectl-client-side-apply", 0, None, body);
    let next = service(json!({"type": "ClusterIP", "ports": [{"port": 80}]}));
    assert!(matches!(apply(&One, &writer("other", 1), Some(&made), &next, false), Err(Refusal::Conflicts(_))));
    let taken = apply_ok("kubectl", 1, Some(&made), &next, false);
    assert_eq!(taken["spec"]["type"], "ClusterIP");
    // Its annotation keeps step.
    let kept = taken["metadata"]["annotations"][LAST_APPLIED].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(kept).unwrap(), next);
    // But not what somebody else changed meanwhile.
    let mut edited = made.clone();
    edited["spec"]["type"] = json!("LoadBalancer");
    let edited = update("kubectl-edit", 1, Some(&made), edited);
    let refusal = apply(&One, &writer("kubectl", 2), Some(&edited), &next, false).unwrap_err();
    assert_eq!(refusal, Refusal::Conflicts(vec![("\"kubectl-edit\" using v1".into(), ".spec.type".into())]));
}

#[test]
fn old_updaters_are_merged_into_one() {
    let mut object = update("m0", 0, None, service(json!({"type": "ClusterIP"})));
    for n in 1..15 {
        let mut next = object.clone();
        next["metadata"]["annotations"][format!("a{n}")] = json!("x");
        object = update(&format!("m{n}"), n, Some(&object), next);
    }
    let names: Vec<String> = owners(&object).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), 10);
    assert_eq!(names[0], "ancient-changes Update");
    assert!(names.contains(&"m14 Update".to_owned()) && !names.contains(&"m0 Update".to_owned()));
}

#[test]
fn status_is_its_writers() {
    let made = update("a", 0, None, service(json!({"type": "ClusterIP"})));
    let mut new = made.clone();
    new["status"] = json!({"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}});
    let status = Writer { subresource: "status", ignored: Ignored::AllButStatus, ..writer("cloud", 1) };
    track(&One, &status, Some(&made), &mut new);
    let entry = &new["metadata"]["managedFields"][1];
    assert_eq!((&entry["manager"], &entry["subresource"]), (&json!("cloud"), &json!("status")));
    assert_eq!(entry["fieldsV1"], json!({"f:status": {".": {}, "f:loadBalancer": {".": {}, "f:ingress": {}}}}));
}

#[test]
fn whoever_scales_owns_the_replicas() {
    let path = ["spec", "replicas"].map(|name| Element::Field(name.into()));
    let parent = json!([{
        "manager": "a", "operation": "Apply", "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {"f:replicas": {}, "f:paused": {}}},
    }]);
    let shown = scale_entries(&parent, "apps/v1", &path);
    assert_eq!(shown[0]["apiVersion"], "autoscaling/v1");
    assert_eq!(shown[0]["fieldsV1"], json!({"f:spec": {"f:replicas": {}}}));
    assert_eq!(scaled_entries(&parent, &shown, "apps/v1", &path), parent);
    let scaled = json!([{
        "manager": "b", "operation": "Update", "apiVersion": "autoscaling/v1", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {"f:replicas": {}}}, "subresource": "scale",
    }]);
    let back = scaled_entries(&parent, &scaled, "apps/v1", &path);
    assert_eq!(back[0]["fieldsV1"], json!({"f:spec": {"f:paused": {}}}));
    assert_eq!((&back[1]["apiVersion"], &back[1]["subresource"]), (&json!("apps/v1"), &json!("scale")));
}

#[test]
fn merged_lists_keep_the_order_of_the_configuration_among_the_others() {
    let place = Place::of_schema("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
    let merged = |live: Value, config: Value| {
        let (live, config) = (json!({"finalizers": live}), json!({"finalizers": config}));
        super::merge::merge(place, &live, &config).unwrap()["finalizers"].clone()
    };
    assert_eq!(merged(json!(["a", "b", "c"]), json!(["c", "a"])), json!(["b", "c", "a"]));
    assert_eq!(merged(json!(["a", "b"]), json!(["x", "b"])), json!(["a", "x", "b"]));
    assert_eq!(merged(json!([]), json!(["x", "y"])), json!(["x", "y"]));
}

#[test]
fn agents_name_managers() {
    assert_eq!(manager_of_user_agent("kubectl/v1.37.1 (linux/amd64)"), "kubectl");
    assert_eq!(manager_of_user_agent("a\u{7}b"), "ab");
    assert_eq!(manager_of_user_agent(&"é".repeat(100)).len(), 128);
    assert_eq!(validate_manager(&"x".repeat(129)).len(), 1);
}

fn element() -> impl Strategy<Value = Element> {
    prop_oneof![
        "[a-c.]{1,2}".prop_map(Element::Field),
        (0..3i64, "[ab]").prop_map(|(n, s)| Element::key(vec![("port".into(), json!(n)), ("name".into(), json!(s))])),
        prop_oneof![
            any::<bool>().prop_map(Value::from),
            (0..3i64).prop_map(Value::from),
            "[a-c]".prop_map(Value::from)
        ]
        .prop_map(|value| Element::Value(Scalar(value))),
        (0..3i64).prop_map(Element::Index),
    ]
}

fn set() -> impl Strategy<Value = FieldSet> {
    prop::collection::vec(prop::collection::vec(element(), 1..4), 0..8).prop_map(|paths| {
        let mut set = FieldSet::default();
        paths.iter().for_each(|path| set.insert(path));
        set
    })
}

/// A service's spec as appliers write it.
fn spec() -> impl Strategy<Value = Value> {
    let port = (80..83u16, prop::option::of("[ab]"), prop::option::of(Just("UDP")));
    let ports = prop::collection::vec(port, 0..4);
    let simple = (prop::option::of("[xy]"), prop::option::of("[xy]"), prop::option::of("[ab]"));
    (ports, simple).prop_map(|(ports, (kind, affinity, selector))| {
        let mut spec = serde_json::Map::new();
        let mut list: Vec<Value> = Vec::new();
        for (port, name, protocol) in ports {
            let mut item = json!({"port": port});
            if let Some(name) = name {
                item["name"] = json!(name);
            }
            if let Some(protocol) = protocol {
                item["protocol"] = json!(protocol);
            }
            if list.iter().all(|other| (&other["port"], &other["protocol"]) != (&item["port"], &item["protocol"])) {
                list.push(item);
            }
        }
        if !list.is_empty() {
            spec.insert("ports".into(), list.into());
        }
        for (key, value) in [("type", kind), ("sessionAffinity", affinity)] {
            if let Some(value) = value {
                spec.insert(key.into(), value.into());
            }
        }
        if let Some(value) = selector {
            spec.insert("selector".into(), json!({"app": value}));
        }
        Value::Object(spec)
    })
}

proptest! {
    #[test]
    fn fields_v1_reads_back(set in set()) {
        prop_assert_eq!(FieldSet::from_fields_v1(&set.to_fields_v1()).unwrap(), set);
    }

    #[test]
    fn sets_obey_their_laws(a in set(), b in set()) {
        let (union, common, left) = (a.union(&b), a.intersection(&b), a.difference(&b));
        prop_assert_eq!(&union, &b.union(&a));
        prop_assert_eq!(&common, &b.intersection(&a));
        prop_assert_eq!(&left.union(&common), &a);
        prop_assert!(left.intersection(&b).is_empty());
        prop_assert_eq!(&union.difference(&b), &left);
        prop_assert!(a.without(&b).difference(&left).is_empty());
        for path in a.paths() {
            prop_assert!(a.has(&path) && union.has(&path) && common.has(&path) == b.has(&path));
        }
    }

    #[test]
    fn applying_twice_is_applying_once(first in spec(), second in spec()) {
        let made = apply_ok("a", 0, None, &service(first), false);
        let once = apply_ok("b", 1, Some(&made), &service(second.clone()), true);
        let twice = apply_ok("b", 2, Some(&once), &service(second), false);
        prop_assert_eq!(twice, once);
    }

    #[test]
    fn an_applier_gets_what_it_said(first in spec(), second in spec()) {
        let made = apply_ok("a", 0, None, &service(first.clone()), false);
        let next = apply_ok("a", 1, Some(&made), &service(second.clone()), false);
        // Alone it also loses what it no longer says.
        let alone = apply_ok("a", 1, None, &service(second.clone()), false);
        let place = Place::of_schema(SERVICE);
        let empty = |value: &Value| value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty);
        if !(empty(&next["spec"]) && empty(&alone["spec"])) {
            prop_assert_eq!(fields_of(place, &next).difference(&FieldSet::of(&["spec"])), fields_of(place, &alone).difference(&FieldSet::of(&["spec"])));
        }
        prop_assert_eq!(owners(&next), owners(&alone));
    }

    #[test]
    fn a_comparison_is_empty_only_for_the_same(first in spec(), second in spec()) {
        let place = Place::of_schema(SERVICE);
        let (a, b) = (service(first), service(second));
        let there = compare(place, &a, &b);
        let back = compare(place, &b, &a);
        prop_assert_eq!((&there.added, &there.removed, &there.modified), (&back.removed, &back.added, &back.modified));
        prop_assert_eq!(compare(place, &a, &a), Comparison::default());
    }
}

#[test]
fn every_kind_has_a_schema() {
    for row in rows() {
        assert!(matches!(row.place(), Place::Message(_)), "{row:?}");
    }
}
