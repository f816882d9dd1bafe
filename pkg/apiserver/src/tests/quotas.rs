//! Quotas, limits, priorities and runtime classes at admission, and what follows from writes: the use of quotas,
//! IPAddresses, ranges and gathered roles. Named after upstream's e2e tests where they check the same.

use std::time::Duration;

use serde_json::{Value, json};

use super::lab::Lab;

const PODS: &str = "/api/v1/namespaces/default/pods";

fn pod(name: &str, resources: Value) -> Value {
    json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "nginx", "resources": resources}]}})
}

/// Asks again until the answer is good, for a few seconds.
pub(super) async fn until(lab: &Lab, uri: &str, good: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..100 {
        let found = lab.get(uri).await;
        if found.code == 200 && good(&found.json()) {
            return found.json();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{uri}: {:?}", lab.get(uri).await);
}

/// resource_quota.go "should create a ResourceQuota and capture the life of a pod / service / configMap".
#[tokio::test]
async fn a_quota_captures_the_life_of_objects() {
    let lab = Lab::new().await;
    let quotas = "/api/v1/namespaces/default/resourcequotas";
    let hard = json!({"pods": "2", "requests.cpu": "1", "configmaps": "1", "services": "2", "services.nodeports": "1",
        "count/replicasets.apps": "0"});
    assert_eq!(lab.post(quotas, &json!({"metadata": {"name": "q"}, "spec": {"hard": hard}})).await.code, 201);
    let quota = format!("{quotas}/q");
    let fresh = until(&lab, &quota, |q| q["status"]["hard"] == q["spec"]["hard"]).await;
    assert_eq!(
        fresh["status"]["used"],
        json!({"pods": "0", "requests.cpu": "0", "configmaps": "0", "services": "1", "services.nodeports": "0",
            "count/replicasets.apps": "0"}),
        "the service kubernetes counts"
    );
    let silent = lab.post(PODS, &pod("silent", json!({}))).await;
    assert_eq!(
        (silent.code, silent.json()["message"].as_str()),
        (403, Some("pods \"silent\" is forbidden: failed quota: q: must specify requests.cpu for: c"))
    );
    assert_eq!(lab.post(PODS, &pod("a", json!({"requests": {"cpu": "600m"}}))).await.code, 201);
    let second = lab.post(PODS, &pod("b", json!({"requests": {"cpu": "600m"}}))).await;
    assert_eq!(
        (second.code, second.json()["message"].as_str()),
        (
            403,
            Some(
                "pods \"b\" is forbidden: exceeded quota: q, requested: requests.cpu=600m, used: requests.cpu=600m, \
                 limited: requests.cpu=1"
            )
        )
    );
    until(&lab, &quota, |q| q["status"]["used"]["requests.cpu"] == "600m" && q["status"]["used"]["pods"] == "1").await;
    let services = "/api/v1/namespaces/default/services";
    let service = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}, {"name": "b", "port": 81}]}});
    let mut unnamed = service.clone();
    unnamed["spec"]["ports"][0]["name"] = "a".into();
    assert_eq!(lab.post(services, &unnamed).await.code, 201);
    let grown = lab.merge(&format!("{services}/s"), &json!({"spec": {"type": "NodePort"}})).await;
    assert_eq!(grown.code, 403, "two node ports where one is allowed: {grown:?}");
    let sets = "/apis/apps/v1/namespaces/default/replicasets";
    let set = json!({"metadata": {"name": "r"}, "spec": {"selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    let refused = lab.post(sets, &set).await;
    assert_eq!(
        refused.json()["message"],
        "replicasets.apps \"r\" is forbidden: exceeded quota: q, requested: count/replicasets.apps=1, used: \
         count/replicasets.apps=0, limited: count/replicasets.apps=0"
    );
    assert_eq!(lab.delete(&format!("{PODS}/a")).await.code, 200);
    assert_eq!(lab.delete(&format!("{services}/s")).await.code, 200);
    until(&lab, &quota, |q| q["status"]["used"]["pods"] == "0" && q["status"]["used"]["services"] == "1").await;
}

/// resource_quota.go "should verify ResourceQuota with best effort scope".
#[tokio::test]
async fn a_scoped_quota_counts_what_is_in_its_scope() {
    let lab = Lab::new().await;
    let quotas = "/api/v1/namespaces/default/resourcequotas";
    let quota = json!({"metadata": {"name": "lazy"}, "spec": {"hard": {"pods": "1"}, "scopes": ["BestEffort"]}});
    assert_eq!(lab.post(quotas, &quota).await.code, 201);
    assert_eq!(lab.post(PODS, &pod("busy", json!({"requests": {"cpu": "1"}}))).await.code, 201);
    assert_eq!(lab.post(PODS, &pod("one", json!({}))).await.code, 201);
    assert_eq!(lab.post(PODS, &pod("two", json!({}))).await.code, 403);
    until(&lab, &format!("{quotas}/lazy"), |q| q["status"]["used"]["pods"] == "1").await;
}

/// resource_quota.go "should create a ResourceQuota and capture the life of a ResourceClaim", and of its classes' resources.
#[tokio::test]
async fn a_quota_counts_devices_by_class() {
    let lab = Lab::new().await;
    let class = json!({"metadata": {"name": "gold"}, "spec": {"extendedResourceName": "example.com/gold"}});
    assert_eq!(lab.post("/apis/resource.k8s.io/v1/deviceclasses", &class).await.code, 201);
    let quotas = "/api/v1/namespaces/default/resourcequotas";
    let devices = "gold.deviceclass.resource.k8s.io/devices";
    let hard = json!({"count/resourceclaims.resource.k8s.io": "3", devices: "3", "requests.example.com/gold": "9"});
    assert_eq!(lab.post(quotas, &json!({"metadata": {"name": "q"}, "spec": {"hard": hard}})).await.code, 201);
    let claims = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims";
    let claim = |name: &str, count: i64| {
        json!({"metadata": {"name": name}, "spec": {"devices": {"requests": [
            {"name": "r", "exactly": {"deviceClassName": "gold", "allocationMode": "ExactCount", "count": count}}]}}})
    };
    let made = lab.post(claims, &claim("one", 2)).await;
    assert_eq!(made.code, 201, "{made:?}");
    let refused = lab.post(claims, &claim("two", 2)).await;
    assert_eq!(
        (refused.code, refused.json()["message"].as_str().map(str::to_owned)),
        (
            403,
            Some(format!(
                "resourceclaims.resource.k8s.io \"two\" is forbidden: exceeded quota: q, requested: {devices}=2, used: \
                 {devices}=2, limited: {devices}=3"
            ))
        )
    );
    until(&lab, &format!("{quotas}/q"), |q| {
        let used = &q["status"]["used"];
        used[devices] == "2"
            && used["requests.example.com/gold"] == "2"
            && used["count/resourceclaims.resource.k8s.io"] == "1"
    })
    .await;
    assert_eq!(lab.delete(&format!("{claims}/one")).await.code, 200);
    until(&lab, &format!("{quotas}/q"), |q| q["status"]["used"][devices] == "0").await;
}

/// Many at once: no more than the quota gets through.
#[tokio::test]
async fn a_quota_holds_when_many_come_at_once() {
    let lab = Lab::new().await;
    let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": {"configmaps": "3"}}});
    assert_eq!(lab.post("/api/v1/namespaces/default/resourcequotas", &quota).await.code, 201);
    let bodies: Vec<Value> = (0..20).map(|n| json!({"metadata": {"name": format!("c{n}")}})).collect();
    let posts = bodies.iter().map(|body| lab.post("/api/v1/namespaces/default/configmaps", body));
    let answers = futures::future::join_all(posts).await;
    assert_eq!(answers.iter().filter(|answer| answer.code == 201).count(), 3);
    assert!(answers.iter().all(|answer| matches!(answer.code, 201 | 403)));
}

/// limit_range.go "should create a LimitRange with defaults and ensure pod has those defaults applied".
#[tokio::test]
async fn a_limit_range_fills_in_and_refuses() {
    let lab = Lab::new().await;
    let range = json!({"metadata": {"name": "l"}, "spec": {"limits": [{"type": "Container",
        "min": {"cpu": "50m"}, "max": {"cpu": "500m"}, "default": {"cpu": "300m"}, "defaultRequest": {"cpu": "100m"}}]}});
    assert_eq!(lab.post("/api/v1/namespaces/default/limitranges", &range).await.code, 201);
    let made = lab.post(PODS, &pod("a", json!({}))).await;
    assert_eq!(made.code, 201, "{made:?}");
    let resources = &made.json()["spec"]["containers"][0]["resources"];
    assert_eq!(resources, &json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "300m"}}));
    assert_eq!(made.json()["status"]["qosClass"], "Burstable");
    let big = lab.post(PODS, &pod("b", json!({"limits": {"cpu": "1"}}))).await;
    assert_eq!(
        (big.code, big.json()["message"].as_str()),
        (403, Some("pods \"b\" is forbidden: maximum cpu usage per Container is 500m, but limit is 1"))
    );
}

/// pod_resize.go "pod-resize-resource-quota-test" and "pod-resize-limit-ranger-test": what a pod asks for anew is measured as
/// what it asked for first, and by its node.
#[tokio::test]
async fn a_resize_stays_within_quota_range_and_node() {
    let lab = Lab::new().await;
    lab.post("/api/v1/nodes", &json!({"metadata": {"name": "n"}})).await.ok();
    let room = json!({"status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "9"}}});
    lab.merge("/api/v1/nodes/n/status", &room).await.ok();
    let quota =
        json!({"metadata": {"name": "q"}, "spec": {"hard": {"requests.cpu": "1500m", "requests.memory": "10Gi"}}});
    assert_eq!(lab.post("/api/v1/namespaces/default/resourcequotas", &quota).await.code, 201);
    let range = json!({"metadata": {"name": "l"}, "spec": {"limits": [{"type": "Container", "min": {"cpu": "50m"}}]}});
    assert_eq!(lab.post("/api/v1/namespaces/default/limitranges", &range).await.code, 201);
    let mut asks = pod("a", json!({"requests": {"cpu": "500m", "memory": "1Mi"}}));
    asks["spec"]["nodeName"] = "n".into();
    let made = lab.post(PODS, &asks).await.ok();
    let resize = async |cpu: &str, memory: &str| {
        let resources = json!({"requests": {"cpu": cpu, "memory": memory}});
        let container = json!({"name": "c", "image": "other", "resources": resources});
        let body = json!({"metadata": {"name": "a"}, "spec": {"containers": [container]}});
        lab.put(&format!("{PODS}/a/resize"), &body).await
    };
    let grown = resize("1", "1Mi").await.ok();
    let container = &grown["spec"]["containers"][0];
    assert_eq!((&container["resources"]["requests"]["cpu"], &container["image"]), (&json!("1"), &json!("nginx")));
    assert_eq!((&made["metadata"]["generation"], &grown["metadata"]["generation"]), (&json!(1), &json!(2)));
    until(&lab, "/api/v1/namespaces/default/resourcequotas/q", |q| q["status"]["used"]["requests.cpu"] == "1").await;
    for (cpu, memory, why) in [
        (
            "1600m",
            "1Mi",
            "exceeded quota: q, requested: requests.cpu=600m, used: requests.cpu=1, limited: requests.cpu=1500m",
        ),
        ("10m", "1Mi", "minimum cpu usage per Container is 50m, but request is 10m"),
        (
            "2500m",
            "2Gi",
            "node didn't have enough allocatable resources: cpu, requested: 2500, allocatable: 2000; memory, \
            requested: 2147483648, allocatable: 1073741824",
        ),
    ] {
        let refused = resize(cpu, memory).await;
        let message = format!("pods \"a\" is forbidden: {why}");
        assert_eq!((refused.code, refused.json()["message"].as_str()), (403, Some(message.as_str())));
    }
    assert_eq!(resize("1", "2Gi").await.json()["details"]["causes"], json!([{"reason": "NodeCapacity"}]));
}

/// preemption.go "verify PriorityClass endpoints", and the classes of pods.
#[tokio::test]
async fn a_class_becomes_a_priority() {
    let lab = Lab::new().await;
    let classes = "/apis/scheduling.k8s.io/v1/priorityclasses";
    let class = |name: &str, value: i64, default: bool| json!({"metadata": {"name": name}, "value": value, "globalDefault": default});
    let plain = lab.post(PODS, &pod("plain", json!({}))).await.json();
    assert_eq!(
        (&plain["spec"]["priority"], &plain["spec"]["preemptionPolicy"]),
        (&json!(0), &json!("PreemptLowerPriority"))
    );
    assert_eq!(lab.post(classes, &class("high", 1000, false)).await.code, 201);
    assert_eq!(lab.post(classes, &class("usual", 10, true)).await.code, 201);
    let third = lab.post(classes, &class("other", 20, true)).await;
    assert_eq!(
        (third.code, third.json()["message"].as_str()),
        (
            403,
            Some(
                "priorityclasses.scheduling.k8s.io \"other\" is forbidden: PriorityClass usual is already marked as \
                 default. Only one default can exist"
            )
        )
    );
    let usual = lab.post(PODS, &pod("usual", json!({}))).await.json();
    assert_eq!((&usual["spec"]["priority"], &usual["spec"]["priorityClassName"]), (&json!(10), &json!("usual")));
    let mut high = pod("high", json!({}));
    high["spec"]["priorityClassName"] = "high".into();
    assert_eq!(lab.post(PODS, &high).await.json()["spec"]["priority"], 1000);
    high["metadata"]["name"] = "wrong".into();
    high["spec"]["priority"] = 7.into();
    assert_eq!(lab.post(PODS, &high).await.code, 403);
    high["spec"]["priorityClassName"] = "absent".into();
    assert_eq!(
        lab.post(PODS, &high).await.json()["message"],
        "pods \"wrong\" is forbidden: no PriorityClass with name absent was found"
    );
}

/// runtimeclass.go "should reject a Pod requesting a non-existent RuntimeClass" and "… initialize its Overhead".
#[tokio::test]
async fn a_runtime_class_must_exist_and_brings_its_overhead() {
    let lab = Lab::new().await;
    let mut wish = pod("r", json!({}));
    wish["spec"]["runtimeClassName"] = "fast".into();
    let refused = lab.post(PODS, &wish).await;
    assert_eq!(
        (refused.code, refused.json()["message"].as_str()),
        (403, Some("pods \"r\" is forbidden: pod rejected: RuntimeClass \"fast\" not found"))
    );
    let class = json!({"metadata": {"name": "fast"}, "handler": "fast", "overhead": {"podFixed": {"cpu": "10m"}},
        "scheduling": {"nodeSelector": {"disk": "ssd"}}});
    assert_eq!(lab.post("/apis/node.k8s.io/v1/runtimeclasses", &class).await.code, 201);
    let made = lab.post(PODS, &wish).await.json();
    assert_eq!(
        (&made["spec"]["overhead"], &made["spec"]["nodeSelector"]),
        (&json!({"cpu": "10m"}), &json!({"disk": "ssd"}))
    );
}

/// Roles that gather: `edit` has what `view` has, and a role with the label joins.
#[tokio::test]
async fn cluster_roles_gather_rules() {
    let lab = Lab::new().await;
    let roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    let rule = json!({"apiGroups": ["example.com"], "resources": ["gadgets"], "verbs": ["get"]});
    let role = json!({"metadata": {"name": "gadgets", "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
        "rules": [rule]});
    assert_eq!(lab.post(roles, &role).await.code, 201);
    for name in ["view", "edit", "admin"] {
        let found = lab.get(&format!("{roles}/{name}")).await.json();
        let rules = found["rules"].as_array().cloned().unwrap_or_default();
        assert!(rules.contains(&rule) && rules.len() > 5, "{name}: {rules:?}");
    }
    assert_eq!(lab.delete(&format!("{roles}/gadgets")).await.code, 200);
    let view = lab.get(&format!("{roles}/view")).await.json();
    assert!(!view["rules"].as_array().is_some_and(|rules| rules.contains(&rule)));
}

/// subjectreviews.go "should support SubjectReview API operations".
#[tokio::test]
async fn a_local_review_asks_about_its_own_namespace() {
    let lab = Lab::new().await;
    let ask = |namespace: &str| json!({"spec": {"user": "eve", "resourceAttributes": {"namespace": namespace, "verb": "get", "resource": "pods"}}});
    let uri = "/apis/authorization.k8s.io/v1/namespaces/default/localsubjectaccessreviews";
    let answer = lab.post(uri, &ask("default")).await;
    assert_eq!((answer.code, &answer.json()["status"]["allowed"]), (201, &json!(false)));
    assert_eq!(lab.post(uri, &ask("other")).await.code, 422);
    assert_eq!(lab.post("/apis/authorization.k8s.io/v1/localsubjectaccessreviews", &ask("default")).await.code, 404);
}

/// Documents of OpenAPI 3 by their hash are for ever; another hash leads to today's.
#[tokio::test]
async fn openapi_documents_are_cached_by_hash() {
    let lab = Lab::new().await;
    let index = lab.get("/openapi/v3").await.json();
    let url = index["paths"]["apis/batch/v1"]["serverRelativeURL"].as_str().expect("a path").to_owned();
    let found = lab.get(&url).await;
    assert_eq!((found.code, found.headers["cache-control"].to_str().ok()), (200, Some("public, immutable")));
    let tag = found.headers["etag"].to_str().expect("a tag").to_owned();
    assert!(url.ends_with(tag.trim_matches('"')) && found.headers.contains_key("expires"));
    let again = lab.send("GET", &url, &[("if-none-match", tag.as_str())], axum::body::Body::empty()).await;
    assert_eq!(again.code, 304);
    let old = lab.get("/openapi/v3/apis/batch/v1?hash=0").await;
    assert_eq!((old.code, old.headers["location"].to_str().ok()), (301, Some(url.as_str())));
}

/// table_conversion.go "should return a 406 for a backend which does not implement metadata".
#[tokio::test]
async fn a_review_is_no_table() {
    let lab = Lab::new().await;
    let review = json!({"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}).to_string();
    let uri = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let headers = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io"), ("content-type", "application/json")];
    assert_eq!(lab.send("POST", uri, &headers, review).await.code, 406);
}

/// Pod Security by a namespace's labels: what is enforced refuses pods, what is only warned about warns.
#[tokio::test]
async fn a_namespace_enforces_pod_security() {
    let lab = Lab::new().await;
    let labels =
        json!({"pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/warn": "restricted"});
    let made = lab.post("/api/v1/namespaces", &json!({"metadata": {"name": "safe", "labels": labels}})).await;
    assert_eq!(made.code, 201);
    let account = json!({"metadata": {"name": "default"}});
    assert_eq!(lab.post("/api/v1/namespaces/safe/serviceaccounts", &account).await.code, 201);
    let pods = "/api/v1/namespaces/safe/pods";
    let mut host = pod("host", json!({}));
    host["spec"]["hostNetwork"] = true.into();
    let refused = lab.post(pods, &host).await;
    assert_eq!(
        (refused.code, refused.json()["message"].as_str()),
        (
            403,
            Some(
                "pods \"host\" is forbidden: violates PodSecurity \"baseline:latest\": host namespaces \
                 (hostNetwork=true)"
            )
        )
    );
    let plain = lab.post(pods, &pod("plain", json!({}))).await;
    let warning = plain.headers.get("warning").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    assert_eq!(plain.code, 201);
    assert!(warning.contains("would violate PodSecurity") && warning.contains("runAsNonRoot != true"), "{warning}");
    let strict = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    assert_eq!(lab.merge("/api/v1/namespaces/safe", &strict).await.code, 200);
    let labels = json!({"metadata": {"labels": {"a": "b"}}});
    assert_eq!(lab.merge(&format!("{pods}/plain"), &labels).await.code, 200, "labels are not looked at");
    let image = json!({"spec": {"containers": [{"name": "c", "image": "other"}]}});
    let debug = json!({"spec": {"ephemeralContainers": [{"name": "debug", "image": "i"}]}});
    for (path, change) in [(format!("{pods}/plain"), image), (format!("{pods}/plain/ephemeralcontainers"), debug)] {
        let headers = [("content-type", "application/strategic-merge-patch+json")];
        let refused = lab.send("PATCH", &path, &headers, change.to_string()).await;
        let message = refused.json()["message"].as_str().unwrap_or_default().to_owned();
        assert_eq!(refused.code, 403, "{path}: {message}");
        assert!(message.contains("violates PodSecurity \"restricted:latest\""), "{message}");
    }
    assert_eq!(lab.post(PODS, &host).await.code, 201, "other namespaces enforce nothing");
}
