//! Which objects there are, when a service is available, and how discovery is joined.

use super::*;

fn service(group: &str, version: &str, priority: i64) -> Value {
    json!({
        "metadata": {"name": format!("{version}.{group}")},
        "spec": {"group": group, "version": version, "groupPriorityMinimum": priority, "versionPriority": 15,
                 "service": {"namespace": "n", "name": "s", "port": 443}},
    })
}

fn remote(group: &str, version: &str, priority: i64) -> Remote {
    Remote::of(&service(group, version, priority)).expect("a service behind it")
}

#[test]
fn what_this_server_answers_is_registered() {
    let core = local("", "v1", false).expect("core");
    assert_eq!((&core["metadata"]["name"], &core["spec"]["groupPriorityMinimum"]), (&json!("v1."), &json!(18_000)));
    assert_eq!(local("apiregistration.k8s.io", "v1", false), None);
    let custom = local("example.com", "v2", true).expect("custom");
    assert_eq!(
        (&custom["metadata"]["name"], &custom["spec"]["versionPriority"]),
        (&json!("v2.example.com"), &json!(100))
    );
    assert!(is_kept(&custom) && is_managed(&core) && !is_kept(&core) && Remote::of(&core).is_none());
    for row in crate::registry::rows().iter().filter(|row| row.group != GROUP) {
        assert!(local(row.group, row.version, false).is_some(), "{row:?} has no priority");
    }
}

#[test]
fn a_service_is_judged_by_what_stands_behind_it() {
    let remote = remote("metrics.k8s.io", "v1beta1", 100);
    assert_eq!((remote.server_name(), remote.path()), ("s.n.svc".into(), "/apis/metrics.k8s.io/v1beta1".into()));
    let of = |port: u64, slices: &[&Value]| {
        let found = json!({"spec": {"type": "ClusterIP", "ports": [{"port": port, "name": "https"}]}});
        judge(&remote, Some(&found), slices).map(|verdict| (verdict.reason, verdict.message))
    };
    let slice = |ready: bool| json!({"endpoints": [{"conditions": {"ready": ready}}], "ports": [{"name": "https", "port": 4443}]});
    assert_eq!(judge(&remote, None, &[]).map(|v| v.message).as_deref(), Some("service/s in \"n\" is not present"));
    assert_eq!(of(80, &[]), Some(("ServicePortError", "service/s in \"n\" is not listening on port 443".into())));
    assert_eq!(of(443, &[]), Some(("EndpointsNotFound", "cannot find endpointslices for service/s in \"n\"".into())));
    let text = "endpointslices for service/s in \"n\" have no addresses with port name \"https\"";
    assert_eq!(of(443, &[&slice(false)]), Some(("MissingEndpoints", text.into())));
    assert_eq!(of(443, &[&slice(false), &slice(true)]), None);
    let (first, later): (Timestamp, Timestamp) =
        ("2024-01-01T00:00:00Z".parse().unwrap(), "2024-01-01T00:01:00Z".parse().unwrap());
    let object = with_condition(&service("g", "v1", 1), &Verdict::passed(), first).expect("said now");
    assert_eq!(with_condition(&object, &Verdict::passed(), later), None);
    let failed = with_condition(&object, &Verdict::failed_discovery("x".into()), later).expect("another state");
    assert_eq!(failed["status"]["conditions"][0]["lastTransitionTime"], "2024-01-01T00:01:00Z");
    assert!(
        Remote::of(&object).is_some_and(|one| one.available) && Remote::of(&failed).is_some_and(|one| !one.available)
    );
}

#[test]
fn groups_stand_by_priority() {
    let own = json!({"groups": [
        {"name": "apiregistration.k8s.io"}, {"name": "apps", "versions": [{"version": "v1"}]}, {"name": "example.com"},
    ]});
    let remotes = [
        remote("metrics.k8s.io", "v1beta1", 100),
        remote("wardle.example.com", "v1", 2000),
        remote("apps", "v9", 17_800),
    ];
    let mut joined = own.clone();
    add_groups(&mut joined, &remotes);
    let names: Vec<&str> = joined["groups"].as_array().unwrap().iter().filter_map(|one| one["name"].as_str()).collect();
    assert_eq!(names, ["apiregistration.k8s.io", "apps", "wardle.example.com", "example.com", "metrics.k8s.io"]);
    assert_eq!(joined["groups"][1]["versions"][1]["groupVersion"], "apps/v9");
    let group = add_group(None, "metrics.k8s.io", &remotes).expect("a remote group");
    assert_eq!((&group["kind"], &group["preferredVersion"]["version"]), (&json!("APIGroup"), &json!("v1beta1")));
    assert_eq!(add_group(None, "other", &remotes), None);
    let mut list = json!({"items": [{"metadata": {"name": "apps"}, "versions": []}]});
    add_aggregated(&mut list, &remotes[..1], |one| json!({"version": one.version, "freshness": "Stale"}));
    assert_eq!(
        list["items"][1],
        json!({"metadata": {"name": "metrics.k8s.io"}, "versions": [{"version": "v1beta1", "freshness": "Stale"}]})
    );
}

#[test]
fn old_documents_become_new_ones() {
    let legacy = json!({"resources": [
        {"name": "flunders/status", "kind": "Flunder", "namespaced": true, "verbs": ["get"]},
        {"name": "flunders", "singularName": "flunder", "kind": "Flunder", "namespaced": true, "verbs": ["list"], "shortNames": ["fl"]},
        {"name": "only/scale", "kind": "Scale", "group": "autoscaling", "version": "v1", "verbs": ["get"]},
    ]});
    let kind = json!({"group": "w", "version": "v1", "kind": "Flunder"});
    assert_eq!(
        resources_of_legacy(&legacy, "w", "v1"),
        [
            json!({"resource": "flunders", "responseKind": kind, "scope": "Namespaced", "singularResource": "flunder",
               "verbs": ["list"], "shortNames": ["fl"],
               "subresources": [{"subresource": "status", "responseKind": kind, "verbs": ["get"]}]}),
            json!({"resource": "only", "scope": "Cluster", "singularResource": "", "verbs": [], "responseKind": {},
               "subresources": [{"subresource": "scale", "verbs": ["get"],
                                 "responseKind": {"group": "autoscaling", "version": "v1", "kind": "Scale"}}]}),
        ]
    );
}
