//! Which schema takes a request, and what the start's objects become.

use serde_json::json;

use super::*;

fn uid(mut object: Value, uid: &str) -> Value {
    object["metadata"]["uid"] = uid.into();
    object
}

fn started(kind: &str) -> Vec<Value> {
    let of_kind = bootstrap().iter().filter(|one| one.object["kind"] == *kind);
    of_kind
        .map(|one| {
            let name = one.object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            uid(one.object.clone(), &name)
        })
        .collect()
}

#[test]
fn requests_fall_under_the_schemas_of_the_start() {
    let (schemas, levels) = (started("FlowSchema"), started("PriorityLevelConfiguration"));
    let order = Order::new(&schemas, &levels);
    let groups = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<String>>();
    let (masters, nodes) = (groups(&["system:masters"]), groups(&["system:nodes", "system:authenticated"]));
    let (accounts, someone) =
        (groups(&["system:serviceaccounts", "system:authenticated"]), groups(&["system:authenticated"]));
    let ask = Request { verb: "get", resource_request: true, ..Request::default() };
    let cases = [
        (Request { user: "root", groups: &masters, ..ask }, "exempt", "exempt"),
        (
            Request { user: "ann", groups: &someone, resource: "pods", namespace: "a", ..ask },
            "global-default",
            "global-default",
        ),
        (
            Request { user: "n", groups: &nodes, resource: "nodes", subresource: "status", ..ask },
            "system-node-high",
            "node-high",
        ),
        (Request { user: "n", groups: &nodes, resource: "pods", namespace: "a", ..ask }, "system-nodes", "system"),
        (
            Request { user: "system:serviceaccount:kube-system:x", groups: &accounts, resource: "pods", ..ask },
            "kube-system-service-accounts",
            "workload-high",
        ),
        (
            Request { user: "system:serviceaccount:kube-systems:x", groups: &accounts, resource: "pods", ..ask },
            "service-accounts",
            "workload-low",
        ),
        (
            Request { user: "ann", groups: &someone, resource_request: false, path: "/readyz/ping", ..ask },
            "probes",
            "exempt",
        ),
        (
            Request { user: "ann", groups: &someone, resource_request: false, path: "/readyzz", ..ask },
            "global-default",
            "global-default",
        ),
    ];
    for (request, schema, level) in cases {
        let found = order.classify(&request).expect("catch-all takes everybody");
        assert_eq!((&*found.schema_uid, &*found.level_uid), (schema, level), "{request:?}");
    }
}

#[test]
fn a_schema_without_its_level_takes_no_part_and_mandatory_ones_always_do() {
    let own = json!({"metadata": {"name": "own", "uid": "own"}, "spec": {
        "matchingPrecedence": 5, "priorityLevelConfiguration": {"name": "missing"},
        "rules": [{"subjects": [{"kind": "User", "user": {"name": "*"}}],
                   "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]}],
    }});
    let someone = ["system:authenticated".to_owned()];
    let request = Request { user: "ann", groups: &someone, verb: "get", path: "/version", ..Request::default() };
    let found = |levels: &[Value]| {
        let order = Order::new([&own], levels);
        order.classify(&request).map(|entry| (entry.schema_uid.clone(), entry.level_uid.clone()))
    };
    assert_eq!(found(&[]), Some((String::new(), String::new())));
    let level = json!({"metadata": {"name": "missing", "uid": "l"}});
    assert_eq!(found(&[level]), Some(("own".into(), "l".into())));
    assert_eq!(dangling("a", false).1, "NotFound");
    assert_eq!(
        dangling("a", true).2,
        "This FlowSchema references the PriorityLevelConfiguration object named \"a\" and it exists"
    );
}

#[test]
fn what_was_changed_comes_back_unless_somebody_wants_it_so() {
    let of = |name: &str| {
        bootstrap().iter().rev().find(|one| one.object["metadata"]["name"] == *name).expect("an object of the start")
    };
    let changed = |name: &str, annotation: Option<&str>, generation: u64| {
        let mut object = of(name).object.clone();
        object["spec"]["matchingPrecedence"] = 77.into();
        object["metadata"]["generation"] = generation.into();
        object["metadata"]["annotations"] =
            annotation.map_or(json!({}), |text| json!({"apf.kubernetes.io/autoupdate-spec": text}));
        revised(&object, of(name)).map(|new| {
            (
                new["spec"]["matchingPrecedence"].clone(),
                new["metadata"]["annotations"]["apf.kubernetes.io/autoupdate-spec"].clone(),
            )
        })
    };
    assert_eq!(changed("probes", Some("true"), 2), Some((json!(2), json!("true"))));
    assert_eq!(changed("probes", Some("false"), 2), None);
    assert_eq!(changed("probes", None, 2), Some((json!(77), json!("false"))));
    assert_eq!(changed("probes", None, 1), Some((json!(2), json!("true"))));
    assert_eq!(changed("catch-all", Some("false"), 9), Some((json!(10_000), json!("true"))));
    assert_eq!(revised(&of("probes").object, of("probes")), None);
}

#[test]
fn seats_follow_shares() {
    let levels: Vec<Value> = bootstrap()
        .iter()
        .filter(|one| one.object["kind"] == "PriorityLevelConfiguration")
        .map(|one| one.object.clone())
        .collect();
    let seats = nominal_seats(&levels, 600);
    assert_eq!((seats["exempt"], seats["catch-all"], seats["workload-low"]), (0, 13, 245));
}
