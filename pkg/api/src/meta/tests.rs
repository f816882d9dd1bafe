//! What the server does to metadata, and what it refuses.

use serde_json::json;

use super::*;
use crate::registry::find;

fn row(plural: &str) -> &'static Row {
    [("", plural), ("apps", plural), ("networking.k8s.io", plural), ("rbac.authorization.k8s.io", plural)]
        .iter()
        .find_map(|(group, plural)| find(group, "v1", plural))
        .expect("a known row")
}

fn now() -> Timestamp {
    "2024-01-01T00:00:00Z".parse().expect("a time")
}

#[test]
fn generated_names_have_five_characters_of_the_alphabet() {
    let mut next = 0;
    let name = generate_name("blue-", |n| {
        next += 7;
        next % n
    });
    assert_eq!(name.len(), 10);
    assert!(name.starts_with("blue-") && name[5..].bytes().all(|c| GENERATED.contains(&c)));
    assert_eq!(generate_name(&"x".repeat(80), |_| 0), format!("{}bbbbb", "x".repeat(58)));
}

#[test]
fn create_ignores_what_the_server_owns() {
    let mut object = json!({"metadata": {"name": "a", "uid": "mine", "creationTimestamp": "x", "deletionTimestamp": "y",
        "selfLink": "z", "generation": 9}, "spec": {}, "status": {"replicas": 4}});
    prepare_create(row("deployments"), &mut object, Some("n"), "u1", now()).expect("created");
    assert_eq!(
        object,
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {}, "metadata": {"name": "a", "namespace": "n",
            "uid": "u1", "creationTimestamp": "2024-01-01T00:00:00Z", "generation": 1}})
    );
    let mut config = json!({"metadata": {"name": "a", "namespace": "other"}});
    let error = prepare_create(row("configmaps"), &mut config, Some("n"), "u", now()).expect_err("other namespace");
    assert_eq!(error.code, 400);
    let mut stale = json!({"metadata": {"name": "a", "resourceVersion": "5"}});
    prepare_create(row("configmaps"), &mut stale, Some("n"), "u", now()).expect("whoever stores it complains");
    assert_eq!(resource_version(&stale), "");
    let mut cluster = json!({"metadata": {"name": "a", "namespace": "x"}});
    prepare_create(row("nodes"), &mut cluster, None, "u", now()).expect("created");
    assert!(cluster["metadata"].get("namespace").is_none() && cluster["metadata"].get("generation").is_none());
}

#[test]
fn updates_change_their_part_only() {
    let old = json!({"metadata": {"name": "a", "uid": "u", "generation": 3, "creationTimestamp": "t"},
        "spec": {"replicas": 1}, "status": {"replicas": 1}});
    let sent =
        json!({"metadata": {"name": "a", "labels": {"l": "1"}}, "spec": {"replicas": 2}, "status": {"replicas": 9}});
    let deployments = row("deployments");
    let mut main = sent.clone();
    prepare_update(deployments, &mut main, &old, Part::Main).expect("updated");
    assert!(bump_generation(deployments, &mut main, &old));
    assert_eq!(main["status"], json!({"replicas": 1}));
    assert_eq!(main["metadata"]["generation"], 4);
    assert_eq!(main["metadata"]["labels"], json!({"l": "1"}));
    let mut status = sent.clone();
    prepare_update(deployments, &mut status, &old, Part::Status).expect("updated");
    assert!(!bump_generation(deployments, &mut status, &old));
    assert_eq!((&status["spec"], &status["status"]), (&json!({"replicas": 1}), &json!({"replicas": 9})));
    assert!(status["metadata"].get("labels").is_none(), "status writers of apps do not change labels");
    let mut other = json!({"metadata": {"name": "a", "uid": "v"}});
    let error = prepare_update(deployments, &mut other, &old, Part::Main).expect_err("another uid");
    assert_eq!(
        error.message,
        "Operation cannot be fulfilled on deployments.apps \"a\": Precondition failed: UID in precondition: v, UID in object meta: u"
    );
}

#[test]
fn a_write_that_changes_nothing_is_seen() {
    let old = json!({"metadata": {"name": "a", "resourceVersion": "5", "managedFields": [{"manager": "m", "time": "1"}]}, "data": {}});
    let mut new = json!({"data": {}, "metadata": {"managedFields": [{"manager": "m", "time": "2"}], "name": "a"}});
    assert!(is_no_change(&new, &old));
    new["data"]["k"] = "v".into();
    assert!(!is_no_change(&new, &old));
}

#[test]
fn deletion_sets_time_and_grace_and_only_shortens() {
    let mut pod = json!({"metadata": {"generation": 1}});
    assert!(mark_deleted(&mut pod, now(), 30));
    assert_eq!(pod["metadata"]["deletionTimestamp"], "2024-01-01T00:00:30Z");
    assert_eq!(pod["metadata"]["generation"], 2);
    assert!(!mark_deleted(&mut pod, now(), 60));
    assert!(mark_deleted(&mut pod, now(), 5));
    assert_eq!(pod["metadata"]["deletionTimestamp"], "2024-01-01T00:00:05Z");
    assert_eq!(pod["metadata"]["deletionGracePeriodSeconds"], 5);
    assert_eq!(pod["metadata"]["generation"], 2);
}

#[test]
fn metadata_that_is_refused() {
    let cases = [
        ("services", json!({}), "metadata.name: Required value: name or generateName is required"),
        (
            "services",
            json!({"name": "A"}),
            "metadata.name: Invalid value: \"A\": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
        ),
        ("configmaps", json!({"name": "a/b"}), "metadata.name: Invalid value: \"a/b\": a lowercase RFC 1123 subdomain"),
        ("roles", json!({"name": "a/b"}), "metadata.name: Invalid value: \"a/b\": may not contain '/'"),
        ("pods", json!({"name": "a", "generateName": "B-"}), "metadata.generateName: Invalid value: \"B-\""),
        (
            "pods",
            json!({"name": "a", "labels": {"a b": "c"}}),
            "metadata.labels: Invalid value: \"a b\": name part must consist",
        ),
        (
            "pods",
            json!({"name": "a", "labels": {"a": "c d"}}),
            "metadata.labels: Invalid value: \"c d\": a valid label",
        ),
        (
            "pods",
            json!({"name": "a", "annotations": {"a": "x".repeat(300_000)}}),
            "metadata.annotations: Too long: may not be more than 262144 bytes",
        ),
        (
            "pods",
            json!({"name": "a", "finalizers": ["x"]}),
            "metadata.finalizers: Invalid value: \"x\": name is neither a standard finalizer name nor is it fully qualified",
        ),
        (
            "pods",
            json!({"name": "a", "finalizers": ["orphan", "foregroundDeletion"]}),
            "finalizer orphan and foregroundDeletion cannot be both set",
        ),
        (
            "pods",
            json!({"name": "a", "ownerReferences": [{"apiVersion": "v1", "kind": "X", "name": "n"}]}),
            "metadata.ownerReferences[0].uid: Invalid value: \"\": must not be empty",
        ),
    ];
    for (plural, mut metadata, wanted) in cases {
        metadata["namespace"] = "n".into();
        let errors = validate(row(plural), &json!({"metadata": metadata}), None);
        assert!(errors.iter().any(|e| e.to_string().contains(wanted)), "{wanted}: {errors:?}");
        assert_eq!(errors.len(), 1, "{errors:?}");
    }
    let good = json!({"metadata": {"name": "system:x", "namespace": "n"}});
    assert!(validate(row("roles"), &good, None).is_empty());
}

#[test]
fn finalizers_may_only_leave_while_deleting() {
    let old = json!({"metadata": {"name": "a", "namespace": "n", "finalizers": ["x.io/a"], "deletionTimestamp": "t"}});
    let mut new = old.clone();
    new["metadata"]["finalizers"] = json!(["x.io/a", "x.io/b"]);
    let errors = validate(row("pods"), &new, Some(&old));
    assert_eq!(
        errors[0].to_string(),
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"x.io/b\"}"
    );
    new["metadata"]["finalizers"] = json!([]);
    assert!(validate(row("pods"), &new, Some(&old)).is_empty());
    new["metadata"]["name"] = "b".into();
    assert_eq!(
        validate(row("pods"), &new, Some(&old))[0].to_string(),
        "metadata.name: Invalid value: \"b\": field is immutable"
    );
}
