//! The FlowSchemas and priority levels that every server has (apiserver `pkg/apis/flowcontrol/bootstrap`), and how they
//! are kept as they should be (kubernetes `pkg/registry/flowcontrol/ensurer`). Data and a pure rule.

use std::sync::LazyLock;

use serde_json::{Value, json};

/// Says whether the server keeps an object's spec as it was made.
const AUTO_UPDATE: &str = "apf.kubernetes.io/autoupdate-spec";

/// One object of the start.
#[derive(Debug)]
pub struct Configuration {
    /// Its spec is always the server's; `exempt` and `catch-all`.
    pub mandatory: bool,
    /// The whole object, with defaults.
    pub object: Value,
}

/// All of them, levels first.
pub fn bootstrap() -> &'static [Configuration] {
    static ALL: LazyLock<Vec<Configuration>> = LazyLock::new(|| levels().into_iter().chain(schemas()).collect());
    &ALL
}

fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": format!("{}/v1", super::GROUP), "kind": kind,
        "metadata": {"name": name, "annotations": {AUTO_UPDATE: "true"}}, "spec": spec,
    })
}

fn levels() -> Vec<Configuration> {
    let level =
        |mandatory, name, spec| Configuration { mandatory, object: object("PriorityLevelConfiguration", name, spec) };
    let queued = |name, shares: i32, lendable: i32, queues: i32, hand: i32| {
        let queuing = json!({"queues": queues, "handSize": hand, "queueLengthLimit": 50});
        let limited = json!({
            "nominalConcurrencyShares": shares, "limitResponse": {"type": "Queue", "queuing": queuing},
            "lendablePercent": lendable,
        });
        level(false, name, json!({"type": "Limited", "limited": limited}))
    };
    let rejecting = json!({
        "nominalConcurrencyShares": 5, "limitResponse": {"type": "Reject"}, "lendablePercent": 0,
    });
    let exempt = json!({"nominalConcurrencyShares": 0, "lendablePercent": 0});
    vec![
        level(true, "catch-all", json!({"type": "Limited", "limited": rejecting})),
        level(true, "exempt", json!({"type": "Exempt", "exempt": exempt})),
        queued("system", 30, 33, 64, 6),
        queued("node-high", 40, 25, 64, 6),
        queued("leader-election", 10, 0, 16, 4),
        queued("workload-high", 40, 50, 128, 6),
        queued("workload-low", 100, 90, 128, 6),
        queued("global-default", 20, 50, 128, 6),
    ]
}

fn group(name: &str) -> Value {
    json!({"kind": "Group", "group": {"name": name}})
}

fn user(name: &str) -> Value {
    json!({"kind": "User", "user": {"name": name}})
}

/// A rule for resources; cluster-wide ones as well where `cluster` says so.
fn resources(verbs: &[&str], group: &str, resources: &[&str], cluster: bool) -> Value {
    let mut rule = json!({"verbs": verbs, "apiGroups": [group], "resources": resources, "namespaces": ["*"]});
    if cluster {
        rule["clusterScope"] = true.into();
    }
    rule
}

/// Everything that these subjects ask for.
fn everything(subjects: Vec<Value>) -> Value {
    json!({
        "subjects": subjects, "resourceRules": [resources(&["*"], "*", &["*"], true)],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    })
}

fn schemas() -> Vec<Configuration> {
    let schema = |mandatory, name, level: &str, precedence: i32, distinguisher: &str, rule: Value| {
        let mut spec = json!({
            "priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence, "rules": [rule],
        });
        if !distinguisher.is_empty() {
            spec["distinguisherMethod"] = json!({"type": distinguisher});
        }
        Configuration { mandatory, object: object("FlowSchema", name, spec) }
    };
    let everybody = || vec![group("system:unauthenticated"), group("system:authenticated")];
    let nodes = || vec![group("system:nodes")];
    let own = || json!({"kind": "ServiceAccount", "serviceAccount": {"name": "*", "namespace": "kube-system"}});
    let probes = json!({
        "subjects": everybody(),
        "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}],
    });
    let leases = |verbs: &[&str]| resources(verbs, "coordination.k8s.io", &["leases"], false);
    let elections = json!({
        "subjects": [user("system:kube-controller-manager"), user("system:kube-scheduler"), own()],
        "resourceRules": [leases(&["get", "create", "update"])],
    });
    let heartbeats = json!({
        "subjects": nodes(),
        "resourceRules": [resources(&["*"], "", &["nodes", "nodes/status"], true), leases(&["*"])],
    });
    let (by_user, by_namespace) = ("ByUser", "ByNamespace");
    vec![
        schema(true, "exempt", "exempt", 1, "", everything(vec![group("system:masters")])),
        schema(true, "catch-all", "catch-all", 10_000, by_user, everything(everybody())),
        schema(false, "system-nodes", "system", 500, by_user, everything(nodes())),
        schema(false, "system-node-high", "node-high", 400, by_user, heartbeats),
        schema(false, "probes", "exempt", 2, "", probes),
        schema(false, "system-leader-election", "leader-election", 100, by_user, elections),
        schema(
            false,
            "kube-controller-manager",
            "workload-high",
            800,
            by_namespace,
            everything(vec![user("system:kube-controller-manager")]),
        ),
        schema(
            false,
            "kube-scheduler",
            "workload-high",
            800,
            by_namespace,
            everything(vec![user("system:kube-scheduler")]),
        ),
        schema(false, "kube-system-service-accounts", "workload-high", 900, by_namespace, everything(vec![own()])),
        schema(
            false,
            "service-accounts",
            "workload-low",
            9000,
            by_user,
            everything(vec![group("system:serviceaccounts")]),
        ),
        schema(false, "global-default", "global-default", 9900, by_user, everything(everybody())),
    ]
}

/// What a stored object of the start should become, where that is not what it is. A suggested one that somebody wants
/// otherwise (its annotation says `false`, or it was changed and says nothing) keeps its spec.
pub fn revised(stored: &Value, wanted: &Configuration) -> Option<Value> {
    let said = match stored["metadata"]["annotations"][AUTO_UPDATE].as_str() {
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Some(true),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Some(false),
        _ => None,
    };
    let follows = wanted.mandatory || said.unwrap_or_else(|| stored["metadata"]["generation"] == 1);
    let mut new = stored.clone();
    // The level `exempt` may lend and borrow as its administrator likes.
    let free = wanted.mandatory && stored["spec"]["type"] == "Exempt";
    if follows && !free {
        new["spec"] = wanted.object["spec"].clone();
    }
    if said != Some(follows) {
        new["metadata"]["annotations"][AUTO_UPDATE] = follows.to_string().into();
    }
    (new != *stored).then_some(new)
}
