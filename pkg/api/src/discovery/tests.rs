//! Both forms of discovery, over the real registry.

use super::*;
use crate::registry::rows;

fn find<'a>(list: &'a Value, key: &str, name: &str) -> &'a Value {
    let items = list.as_array().unwrap_or_else(|| panic!("not a list: {list}"));
    items.iter().find(|item| item[key] == name).unwrap_or_else(|| panic!("no {name} in {list}"))
}

#[test]
fn core_resources_in_legacy_form() {
    let list = api_resource_list(rows(), "", "v1").unwrap();
    assert_eq!((&list["kind"], &list["groupVersion"]), (&json!("APIResourceList"), &json!("v1")));
    let services = find(&list["resources"], "name", "services");
    assert_eq!(services["singularName"], "service");
    assert_eq!(services["shortNames"], json!(["svc"]));
    assert_eq!(services["categories"], json!(["all"]));
    // The lesson's `get endpoint` must fail: the singular is the plural.
    assert_eq!(find(&list["resources"], "name", "endpoints")["singularName"], "endpoints");
    let eviction = find(&list["resources"], "name", "pods/eviction");
    assert_eq!(
        (&eviction["group"], &eviction["version"], &eviction["kind"]),
        (&json!("policy"), &json!("v1"), &json!("Eviction"))
    );
    let exec = find(&list["resources"], "name", "pods/exec");
    assert_eq!((&exec["kind"], &exec["verbs"]), (&json!("PodExecOptions"), &json!(["create", "get"])));
    for (name, kind) in [("pods", "Pod"), ("services", "Service"), ("nodes", "Node")] {
        let proxy = find(&list["resources"], "name", &format!("{name}/proxy"));
        assert_eq!(proxy["kind"], format!("{kind}ProxyOptions"));
        assert_eq!(proxy["verbs"], json!(["create", "delete", "get", "patch", "update"]));
    }
    let token = find(&list["resources"], "name", "serviceaccounts/token");
    assert_eq!((&token["group"], &token["kind"]), (&json!("authentication.k8s.io"), &json!("TokenRequest")));
    let names: Vec<_> = list["resources"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap()).collect();
    assert!(names.is_sorted(), "{names:?}");
}

#[test]
fn scale_is_autoscaling_v1_in_both_forms() {
    let list = api_resource_list(rows(), "apps", "v1").unwrap();
    assert_eq!(list["apiVersion"], "v1");
    let scale = find(&list["resources"], "name", "deployments/scale");
    assert_eq!(
        scale,
        &json!({"name": "deployments/scale", "singularName": "", "namespaced": true, "group": "autoscaling",
            "version": "v1", "kind": "Scale", "verbs": ["get", "patch", "update"]})
    );
    let all = aggregated_groups(rows());
    let apps = all["items"].as_array().unwrap().iter().find(|group| group["metadata"]["name"] == "apps").unwrap();
    assert_eq!(apps["versions"][0]["freshness"], "Current");
    let deployments = find(&apps["versions"][0]["resources"], "resource", "deployments");
    assert_eq!(deployments["scope"], "Namespaced");
    assert_eq!(deployments["responseKind"], json!({"group": "", "version": "", "kind": "Deployment"}));
    let scale = find(&deployments["subresources"], "subresource", "scale");
    assert_eq!(scale["responseKind"], json!({"group": "autoscaling", "version": "v1", "kind": "Scale"}));
}

#[test]
fn aggregated_core_has_one_nameless_group() {
    let core = aggregated_core(rows());
    assert_eq!(
        (&core["kind"], &core["apiVersion"]),
        (&json!("APIGroupDiscoveryList"), &json!("apidiscovery.k8s.io/v2"))
    );
    assert_eq!(core["items"].as_array().unwrap().len(), 1);
    assert_eq!(core["items"][0]["versions"][0]["version"], "v1");
    let namespaces = find(&core["items"][0]["versions"][0]["resources"], "resource", "namespaces");
    assert_eq!(namespaces["scope"], "Cluster");
}

#[test]
fn virtual_kinds_can_only_be_created() {
    let list = api_resource_list(rows(), "authorization.k8s.io", "v1").unwrap();
    let review = find(&list["resources"], "name", "selfsubjectaccessreviews");
    assert_eq!((&review["verbs"], &review["namespaced"]), (&json!(["create"]), &json!(false)));
    assert!(api_resource_list(rows(), "authentication.k8s.io", "v1").is_some());
}

#[test]
fn groups_are_ordered_and_prefer_the_newest_stable_version() {
    let groups = groups(rows());
    assert_eq!(groups[0], "apiregistration.k8s.io");
    assert!(!groups.contains(&""));
    for group in &groups {
        let document = api_group(rows(), group).unwrap();
        assert_eq!(document["preferredVersion"], document["versions"][0], "{group}");
        assert_eq!(document["kind"], "APIGroup");
        for version in versions(rows(), group) {
            assert!(api_resource_list(rows(), group, version).is_some(), "{group}/{version}");
        }
    }
    assert_eq!(api_group_list(rows())["groups"].as_array().unwrap().len(), groups.len());
    assert!(api_group(rows(), "nonsense").is_none() && api_group(rows(), "").is_none());
    assert!(api_resource_list(rows(), "apps", "v9").is_none());
    let mut versions = ["v1beta1", "v1", "v2alpha1", "v2", "v1beta2"];
    versions.sort_by_key(|version| std::cmp::Reverse(version_rank(version)));
    assert_eq!(versions, ["v2", "v1", "v1beta2", "v1beta1", "v2alpha1"]);
}

#[test]
fn the_same_document_has_the_same_tag() {
    let body = aggregated_groups(rows()).to_string();
    assert_eq!(etag(body.as_bytes()), etag(aggregated_groups(rows()).to_string().as_bytes()));
    assert_ne!(etag(body.as_bytes()), etag(aggregated_core(rows()).to_string().as_bytes()));
    assert!(etag(b"").starts_with('"') && etag(b"").ends_with('"'));
}

/// `NAME SINGULAR KIND SCOPE VERBS SHORT CATEGORIES GROUP/VERSION HASH`, as in `testdata/discovery`.
fn line(resource: &Value) -> String {
    let text = |key: &str| match resource[key].as_str() {
        None | Some("") => "-".to_owned(),
        Some(text) => text.to_owned(),
    };
    let list = |key: &str| match resource[key].as_array() {
        None => "-".to_owned(),
        Some(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
    };
    let scope = if resource["namespaced"] == true { "Namespaced" } else { "Cluster" };
    let other = match resource.get("version") {
        Some(version) => {
            format!("{}/{}", resource["group"].as_str().unwrap_or_default(), version.as_str().unwrap_or(""))
        }
        None => "-".to_owned(),
    };
    let (verbs, short, categories) = (list("verbs"), list("shortNames"), list("categories"));
    let (name, singular, kind, hash) = (text("name"), text("singularName"), text("kind"), text("storageVersionHash"));
    format!("{name} {singular} {kind} {scope} {verbs} {short} {categories} {other} {hash}")
}

/// What Kubernetes 1.37 still stores in an older version, which the hash tells; here it is stored as it is served.
const STORED_NEWER: &[&str] = &[
    "customresourcedefinitions",
    "clustertrustbundles",
    "podcertificaterequests",
    "devicetaintrules",
    "storageversionmigrations",
];

#[test]
fn resources_are_listed_as_by_kubernetes_1_37() {
    let facts = include_str!("../../testdata/discovery/v1.37.txt");
    let (mut wrong, mut list, mut left) = (Vec::new(), Vec::new(), "");
    for fact in facts.lines().chain(["@end"]) {
        if let Some(next) = fact.strip_prefix('@') {
            wrong.extend(list.iter().map(|line| format!("{left}: also {line}")));
            left = next;
            let (group, version) = next.split_once('/').unwrap_or(("", next));
            let document = api_resource_list(rows(), group, version).unwrap_or_default();
            list = document["resources"].as_array().into_iter().flatten().map(line).collect::<Vec<_>>();
        } else {
            let without_hash = |line: &str| line.rsplit_once(' ').map(|(rest, _)| rest.to_owned());
            let newer = STORED_NEWER.iter().any(|name| fact.starts_with(&format!("{name} ")));
            let same = |line: &String| line == fact || newer && without_hash(line) == without_hash(fact);
            match list.iter().position(same) {
                Some(place) => drop(list.remove(place)),
                None => wrong.push(format!("{left}: not {fact}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn bindings_are_posted_to_their_namespace() {
    let list = api_resource_list(rows(), "", "v1").unwrap();
    let bindings = find(&list["resources"], "name", "bindings");
    assert_eq!((&bindings["kind"], &bindings["verbs"]), (&json!("Binding"), &json!(["create"])));
}
