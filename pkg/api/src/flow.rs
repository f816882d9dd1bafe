//! API Priority and Fairness as objects: which FlowSchema a request falls under and which priority level that names
//! (KEP-1040; apiserver `pkg/util/flowcontrol/rule.go`). Pure over objects. Must not count or hold back requests: this
//! server's limits of requests at work know no levels.

mod configuration;

use std::collections::BTreeMap;

use serde_json::Value;

pub use configuration::{Configuration, bootstrap, revised};

/// API group of both kinds.
pub const GROUP: &str = "flowcontrol.apiserver.k8s.io";

/// `flowschemas` in the store.
pub const SCHEMAS: &str = "flowschemas.flowcontrol.apiserver.k8s.io";

/// `prioritylevelconfigurations` in the store.
pub const LEVELS: &str = "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io";

/// What a request is sorted by.
#[derive(Debug, Clone, Copy, Default)]
pub struct Request<'a> {
    /// Name of the user, after impersonation.
    pub user: &'a str,
    /// The user's groups.
    pub groups: &'a [String],
    /// `get`, `list`, ...; the method in lower case outside resources.
    pub verb: &'a str,
    /// False for `/version` and the like: then only `path` counts.
    pub resource_request: bool,
    /// API group, empty for core.
    pub group: &'a str,
    /// Plural.
    pub resource: &'a str,
    /// Empty for none.
    pub subresource: &'a str,
    /// Empty outside namespaces.
    pub namespace: &'a str,
    /// The whole path.
    pub path: &'a str,
}

/// FlowSchemas in the order in which they are tried, with the priority level of each.
#[derive(Debug, Default)]
pub struct Order(Vec<Entry>);

/// One FlowSchema that names an existing level.
#[derive(Debug)]
pub struct Entry {
    rules: Vec<Value>,
    /// uid of the FlowSchema; empty for a mandatory one that is not there.
    pub schema_uid: String,
    /// uid of its level; empty for a mandatory one that is not there.
    pub level_uid: String,
}

// === impl Order ===

impl Order {
    /// From all schemas and levels that there are: by precedence, then by name. Those that name no existing level take no
    /// part; the two mandatory ones stand in where they are missing.
    pub fn new<'a>(schemas: impl IntoIterator<Item = &'a Value>, levels: impl IntoIterator<Item = &'a Value>) -> Order {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let imagined: Vec<Value> =
            bootstrap().iter().filter(|one| one.mandatory).map(|one| one.object.clone()).collect();
        let of_kind = |kind: &'static str| imagined.iter().filter(move |object| object["kind"] == kind);
        let mut known: BTreeMap<String, String> = of_kind("PriorityLevelConfiguration")
            .map(|object| (text(&object["metadata"]["name"]), String::new()))
            .collect();
        known.extend(levels.into_iter().map(|o| (text(&o["metadata"]["name"]), text(&o["metadata"]["uid"]))));
        let mut all: Vec<&Value> = schemas.into_iter().collect();
        for mandatory in of_kind("FlowSchema") {
            if !all.iter().any(|one| one["metadata"]["name"] == mandatory["metadata"]["name"]) {
                all.push(mandatory);
            }
        }
        all.sort_by_key(|one| {
            (one["spec"]["matchingPrecedence"].as_i64().unwrap_or(0), text(&one["metadata"]["name"]))
        });
        let entries = all.into_iter().filter_map(|one| {
            let level_uid = known.get(one["spec"]["priorityLevelConfiguration"]["name"].as_str()?)?.clone();
            let rules = one["spec"]["rules"].as_array().cloned().unwrap_or_default();
            Some(Entry { rules, schema_uid: text(&one["metadata"]["uid"]), level_uid })
        });
        Order(entries.collect())
    }

    /// The schema that a request falls under: there always is one, since `catch-all` takes everybody.
    pub fn classify(&self, request: &Request<'_>) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.rules.iter().any(|rule| fits(rule, request)))
    }
}

/// The condition `Dangling` of a schema: status, reason and message (apiserver `apf_controller.go`).
pub fn dangling(level: &str, exists: bool) -> (&'static str, &'static str, String) {
    let start = format!("This FlowSchema references the PriorityLevelConfiguration object named {level:?}");
    match exists {
        true => ("False", "Found", format!("{start} and it exists")),
        false => ("True", "NotFound", format!("{start} but there is no such object")),
    }
}

/// Seats that each level's shares come to, of `total` (KEP-1040, "Assured Concurrency"), by name.
pub fn nominal_seats<'a>(levels: impl IntoIterator<Item = &'a Value>, total: usize) -> BTreeMap<String, u64> {
    let shares = |level: &Value| {
        let spec = &level["spec"];
        let part = if spec["type"] == "Exempt" { &spec["exempt"] } else { &spec["limited"] };
        part["nominalConcurrencyShares"].as_u64().unwrap_or(0)
    };
    let all: BTreeMap<String, u64> = levels
        .into_iter()
        .map(|level| (level["metadata"]["name"].as_str().unwrap_or_default().to_owned(), shares(level)))
        .collect();
    let sum = all.values().sum::<u64>().max(1);
    all.into_iter().map(|(name, part)| (name, (total as u64 * part).div_ceil(sum))).collect()
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn fits(rule: &Value, request: &Request<'_>) -> bool {
    if !items(&rule["subjects"]).any(|subject| is_subject(subject, request)) {
        return false;
    }
    match request.resource_request {
        true => items(&rule["resourceRules"]).any(|rule| is_resource(rule, request)),
        false => items(&rule["nonResourceRules"]).any(|rule| is_path(rule, request)),
    }
}

fn is_subject(subject: &Value, request: &Request<'_>) -> bool {
    match subject["kind"].as_str() {
        Some("User") => subject["user"]["name"].as_str().is_some_and(|name| name == "*" || name == request.user),
        Some("Group") => subject["group"]["name"]
            .as_str()
            .is_some_and(|name| name == "*" || request.groups.iter().any(|group| group == name)),
        Some("ServiceAccount") => {
            let account = &subject["serviceAccount"];
            let Some(rest) = request.user.strip_prefix("system:serviceaccount:") else { return false };
            let Some((namespace, name)) = rest.split_once(':') else { return false };
            account["namespace"] == *namespace && (account["name"] == "*" || account["name"] == *name)
        }
        _ => false,
    }
}

/// Whether a list holds the word, or nothing but `*`.
fn has(list: &Value, wanted: &str) -> bool {
    let list = list.as_array().map_or(&[][..], Vec::as_slice);
    matches!(list, [only] if only == "*") || list.iter().any(|one| one == wanted)
}

fn is_resource(rule: &Value, request: &Request<'_>) -> bool {
    let below;
    let resource = match request.subresource {
        "" => request.resource,
        subresource => {
            below = format!("{}/{subresource}", request.resource);
            &below
        }
    };
    has(&rule["verbs"], request.verb)
        && has(&rule["resources"], resource)
        && has(&rule["apiGroups"], request.group)
        && match request.namespace {
            "" => rule["clusterScope"] == true,
            namespace => has(&rule["namespaces"], namespace),
        }
}

fn is_path(rule: &Value, request: &Request<'_>) -> bool {
    has(&rule["verbs"], request.verb)
        && items(&rule["nonResourceURLs"]).filter_map(Value::as_str).any(|pattern| {
            let start = pattern.trim_end_matches('*').trim_end_matches('/');
            let below = request.path.strip_prefix(start).is_some_and(|rest| rest.starts_with('/'));
            pattern == "*" || pattern == request.path || below
        })
}

#[cfg(test)]
mod tests;
