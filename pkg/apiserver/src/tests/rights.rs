//! Who may do what: anonymous, viewers, nodes, RBAC roles, impersonation.

use axum::body::Body;
use serde_json::{Value, json};

use super::lab::{Lab, VIEWER_TOKEN, service};
use crate::Identity;
use crate::identity::Peer;

const NS: &str = "/api/v1/namespaces/default";
const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn rights() {
    let lab = Lab::new().await;
    let nobody = || Peer::Unknown;
    for open in ["/version", "/healthz", "/livez", "/readyz", "/readyz/ping", "/healthz?verbose"] {
        assert_eq!(lab.send_from(nobody(), "GET", open, &[], Body::empty()).await.code, 200, "{open}");
    }
    let closed = lab.send_from(nobody(), "GET", &format!("{NS}/pods"), &[], Body::empty()).await;
    assert_eq!(closed.code, 403);
    assert_eq!(
        closed.json()["message"],
        r#"pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" in the namespace "default""#
    );
    let root = lab.send_from(nobody(), "GET", "/", &[], Body::empty()).await;
    assert_eq!(root.json()["message"], r#"forbidden: User "system:anonymous" cannot get path "/""#);
    let bad = lab.send_from(nobody(), "GET", "/version", &[("authorization", "Bearer no")], Body::empty()).await;
    assert_eq!((bad.code, &bad.json()["message"]), (401, &Value::from("Unauthorized")));
    let info =
        lab.send_from(nobody(), "GET", "/api/v1/namespaces/kube-public/configmaps/cluster-info", &[], Body::empty());
    assert_eq!(info.await.code, 200);

    let bearer = format!("Bearer {VIEWER_TOKEN}");
    let viewer: &[(&str, &str)] = &[("authorization", &bearer)];
    for (peer, method, uri, code) in [
        (Peer::Dashboard, "GET", "/api/v1/pods", 200),
        (Peer::Dashboard, "GET", "/apis/apps/v1/deployments", 200),
        (Peer::Dashboard, "GET", "/apis", 200),
        (Peer::Dashboard, "GET", "/api/v1/secrets", 403),
        (Peer::Dashboard, "DELETE", "/api/v1/namespaces/default/services/kubernetes", 403),
        (Peer::Dashboard, "GET", "/api/v1/namespaces/default/pods/p/exec", 403),
    ] {
        assert_eq!(lab.send_from(peer, method, uri, viewer, Body::empty()).await.code, code, "{method} {uri}");
    }
    assert_eq!(lab.send_from(Peer::Dashboard, "GET", "/version", &[], Body::empty()).await.code, 401);
    assert_eq!(lab.send_from(Peer::Owner, "GET", "/api/v1/secrets", &[], Body::empty()).await.code, 200);

    let node = || Identity::new("system:node:node1", ["system:nodes"]);
    for (method, uri, code) in [
        ("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dnode1", 200),
        ("GET", "/apis/discovery.k8s.io/v1/endpointslices", 200),
        ("DELETE", "/api/v1/namespaces/default/services/kubernetes", 403),
        ("DELETE", "/apis/apps/v1/namespaces/kube-system/deployments/coredns", 403),
    ] {
        assert_eq!(lab.send_as(node(), method, uri, &[], Body::empty()).await.code, code, "node {method} {uri}");
    }
}

#[tokio::test]
async fn roles_grant_and_impersonation_asks() {
    let lab = Lab::new().await;
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    let role = json!({"metadata": {"name": "reader"}, "rules": [{"apiGroups": [""], "resources": ["services"], "resourceNames": ["a"], "verbs": ["get"]}, {"apiGroups": ["apps"], "resources": ["*/scale"], "verbs": ["get"]}]});
    lab.post(&format!("{rbac}/roles"), &role).await.ok();
    let binding = json!({"metadata": {"name": "reader"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"}, "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "ann"}]});
    lab.post(&format!("{rbac}/rolebindings"), &binding).await.ok();
    lab.post(&format!("{NS}/services"), &service("a")).await.ok();
    let ann = || Identity::new("ann", Vec::<String>::new());
    for (uri, code) in [
        (format!("{NS}/services/a"), 200),
        (format!("{NS}/services/kubernetes"), 403),
        (format!("{NS}/services"), 403),
        ("/apis/apps/v1/namespaces/default/deployments/x/scale".to_owned(), 404),
        ("/apis/apps/v1/namespaces/default/deployments/x".to_owned(), 403),
    ] {
        assert_eq!(lab.send_as(ann(), "GET", &uri, &[], Body::empty()).await.code, code, "{uri}");
    }
    let admin = json!({"metadata": {"name": "admin"}, "rules": [{"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["*"], "verbs": ["create"]}, {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]});
    lab.post(&format!("{rbac}/roles"), &admin).await.ok();
    let bind = json!({"metadata": {"name": "admin"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "admin"}, "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "eve"}]});
    lab.post(&format!("{rbac}/rolebindings"), &bind).await.ok();
    let eve = || Identity::new("eve", Vec::<String>::new());
    for (resource, verb, code) in [("secrets", "get", 403), ("pods", "delete", 403), ("pods", "get", 201)] {
        let role = json!({"metadata": {"name": format!("{resource}-{verb}")}, "rules": [{"apiGroups": [""], "resources": [resource], "verbs": [verb]}]});
        let made = lab.send_as(eve(), "POST", &format!("{rbac}/roles"), &[JSON], role.to_string()).await;
        assert_eq!(made.code, code, "{resource} {verb}: {made:?}");
    }
    let grab = json!({"metadata": {"name": "grab"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}, "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "eve"}]});
    let refused = lab.send_as(eve(), "POST", &format!("{rbac}/rolebindings"), &[JSON], grab.to_string()).await;
    assert!(
        refused.json()["message"].as_str().unwrap().contains("attempting to grant RBAC permissions not currently held"),
        "{refused:?}"
    );
    let review = json!({"spec": {"resourceAttributes": {"verb": "get", "resource": "services", "name": "a", "namespace": "default"}}});
    let reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let asked = lab.send_as(ann(), "POST", reviews, &[JSON], review.to_string()).await;
    assert_eq!((asked.code, &asked.json()["status"]["allowed"]), (201, &json!(true)));
    let as_ann: &[(&str, &str)] = &[("impersonate-user", "ann")];
    assert_eq!(lab.send("GET", &format!("{NS}/services"), as_ann, Body::empty()).await.code, 403);
    let forbidden =
        lab.send_as(ann(), "GET", &format!("{NS}/services/a"), &[("impersonate-user", "bob")], Body::empty()).await;
    assert_eq!(
        forbidden.json()["message"],
        r#"users "bob" is forbidden: User "ann" cannot impersonate resource "users" in API group "" at the cluster scope"#
    );
}

#[tokio::test]
async fn impersonation_asks_for_each_part_and_assumes_them_all() {
    let lab = Lab::new().await;
    let whoami = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}).to_string();
    let ask = async |who: Identity, headers: &[(&str, &str)]| {
        let mut all = vec![JSON];
        all.extend(headers);
        lab.send_as(who, "POST", whoami, &all, review.clone()).await
    };
    let root = || Identity::new("root", ["system:masters"]);
    let seen = ask(
        root(),
        &[
            ("impersonate-user", "ann"),
            ("impersonate-group", "a"),
            ("impersonate-group", "b"),
            ("impersonate-uid", "7"),
            ("impersonate-extra-acme.com%2fproject", "x"),
            ("impersonate-extra-scopes", "one"),
            ("impersonate-extra-scopes", "two"),
        ],
    );
    assert_eq!(
        seen.await.ok()["status"]["userInfo"],
        json!({"username": "ann", "uid": "7", "groups": ["a", "b", "system:authenticated"],
               "extra": {"acme.com/project": ["x"], "scopes": ["one", "two"]}})
    );
    let groups =
        async |headers: &[(&str, &str)]| ask(root(), headers).await.ok()["status"]["userInfo"]["groups"].clone();
    let account = ("impersonate-user", "system:serviceaccount:n:s");
    assert_eq!(
        groups(&[account]).await,
        json!(["system:serviceaccounts", "system:serviceaccounts:n", "system:authenticated"])
    );
    assert_eq!(groups(&[account, ("impersonate-group", "g")]).await, json!(["g", "system:authenticated"]));
    // Those are not authenticated, and have not even the rights of everybody who is.
    let outsider = [("impersonate-user", "x"), ("impersonate-group", "system:unauthenticated")];
    for (headers, name) in [(&[("impersonate-user", "system:anonymous")][..], "system:anonymous"), (&outsider[..], "x")]
    {
        let refused = ask(root(), headers).await;
        let said = format!(r#"User "{name}" cannot create resource "selfsubjectreviews""#);
        assert!(refused.code == 403 && refused.json()["message"].as_str().unwrap().contains(&said), "{refused:?}");
    }

    // Each part is a right of its own.
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let rules = json!([{"apiGroups": [""], "resources": ["users"], "resourceNames": ["bob"], "verbs": ["impersonate"]},
        {"apiGroups": ["authentication.k8s.io"], "resources": ["userextras/scopes"], "resourceNames": ["one"], "verbs": ["impersonate"]}]);
    lab.post(&format!("{rbac}/clusterroles"), &json!({"metadata": {"name": "sudo"}, "rules": rules})).await.ok();
    let subject = json!({"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "ann"});
    let role = json!({"kind": "ClusterRole", "apiGroup": "rbac.authorization.k8s.io", "name": "sudo"});
    let binding = json!({"metadata": {"name": "sudo"}, "roleRef": role, "subjects": [subject]});
    lab.post(&format!("{rbac}/clusterrolebindings"), &binding).await.ok();
    let ann = || Identity::new("ann", Vec::<String>::new());
    let bob = ("impersonate-user", "bob");
    assert_eq!(ask(ann(), &[bob, ("impersonate-extra-scopes", "one")]).await.code, 201);
    for (headers, message) in [
        (
            vec![("impersonate-user", "eve")],
            r#"users "eve" is forbidden: User "ann" cannot impersonate resource "users" in API group "" at the cluster scope"#,
        ),
        (
            vec![bob, ("impersonate-group", "system:masters")],
            r#"groups "system:masters" is forbidden: User "ann" cannot impersonate resource "groups" in API group "" at the cluster scope"#,
        ),
        (
            vec![bob, ("impersonate-uid", "1")],
            r#"uids.authentication.k8s.io "1" is forbidden: User "ann" cannot impersonate resource "uids" in API group "authentication.k8s.io" at the cluster scope"#,
        ),
        (
            vec![bob, ("impersonate-extra-scopes", "two")],
            r#"userextras.authentication.k8s.io "two" is forbidden: User "ann" cannot impersonate resource "userextras/scopes" in API group "authentication.k8s.io" at the cluster scope"#,
        ),
        (
            vec![("impersonate-user", "system:serviceaccount:default:default")],
            r#"serviceaccounts "default" is forbidden: User "ann" cannot impersonate resource "serviceaccounts" in API group "" in the namespace "default""#,
        ),
    ] {
        let refused = ask(ann(), &headers).await;
        assert_eq!((refused.code, &refused.json()["message"]), (403, &Value::from(message)));
    }
    let nameless = ask(root(), &[("impersonate-group", "g")]).await;
    assert_eq!(nameless.code, 400);
    assert_eq!(
        nameless.json()["message"],
        r#"requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string{"g"}, Extra:map[string][]string(nil)} without impersonating a user name"#
    );
}
