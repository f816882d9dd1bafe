//! Discovery of API services among this server's own: as a list of groups, as one group, and aggregated (kube-aggregator
//! `handler_apis.go`, `handler_discovery.go`).

use serde_json::{Value, json};

use super::{Remote, priority_of};

/// Remotes group by group, the highest first, and in each the versions, the highest first.
fn by_group(remotes: &[Remote]) -> Vec<Vec<&Remote>> {
    let mut sorted: Vec<&Remote> = remotes.iter().filter(|remote| !remote.group.is_empty()).collect();
    sorted.sort_by_key(|remote| (remote.group.clone(), -remote.version_priority, remote.version.clone()));
    let mut groups: Vec<Vec<&Remote>> = Vec::new();
    for remote in sorted {
        match groups.last_mut().filter(|group| group[0].group == remote.group) {
            Some(group) => group.push(remote),
            None => groups.push(vec![remote]),
        }
    }
    groups.sort_by_key(|group| (-priority(group), group[0].group.clone()));
    groups
}

fn priority(group: &[&Remote]) -> i64 {
    group.iter().map(|remote| remote.group_priority).max().unwrap_or(0)
}

/// Where a group goes in a list that is in order; `name` tells an entry's group.
fn place(list: &[Value], group: &[&Remote], name: impl Fn(&Value) -> &str) -> usize {
    let own = (-priority(group), group[0].group.as_str());
    let after = |entry: &Value| (-priority_of(name(entry)), name(entry)) > own;
    list.iter().position(after).unwrap_or(list.len())
}

fn version_of(remote: &Remote) -> Value {
    json!({"groupVersion": format!("{}/{}", remote.group, remote.version), "version": remote.version})
}

fn add_versions(entry: &mut Value, group: &[&Remote]) {
    let Some(versions) = entry["versions"].as_array_mut() else { return };
    for remote in group {
        if !versions.iter().any(|one| one["version"] == *remote.version) {
            versions.push(version_of(remote));
        }
    }
}

fn group_of(group: &[&Remote]) -> Value {
    let versions: Vec<Value> = group.iter().map(|remote| version_of(remote)).collect();
    json!({"name": group[0].group, "preferredVersion": versions[0], "versions": versions})
}

/// Adds to an `APIGroupList`.
pub fn add_groups(document: &mut Value, remotes: &[Remote]) {
    let Some(list) = document["groups"].as_array_mut() else { return };
    for group in by_group(remotes) {
        match list.iter_mut().find(|entry| entry["name"] == *group[0].group) {
            Some(entry) => add_versions(entry, &group),
            None => {
                let at = place(list, &group, |entry| entry["name"].as_str().unwrap_or_default());
                list.insert(at, group_of(&group));
            }
        }
    }
}

/// The `APIGroup` of this name, from this server's own, where it has one, and the remotes.
pub fn add_group(own: Option<Value>, name: &str, remotes: &[Remote]) -> Option<Value> {
    let groups = by_group(remotes);
    let Some(group) = groups.iter().find(|group| group[0].group == name) else { return own };
    let Some(mut own) = own else {
        let mut document = json!({"kind": "APIGroup", "apiVersion": "v1"});
        if let (Value::Object(document), Value::Object(group)) = (&mut document, group_of(group)) {
            document.extend(group);
        }
        return Some(document);
    };
    add_versions(&mut own, group);
    Some(own)
}

/// Adds to an `APIGroupDiscoveryList`. `found` gives what is known of a version (`APIVersionDiscovery`, with its freshness).
pub fn add_aggregated(document: &mut Value, remotes: &[Remote], found: impl Fn(&Remote) -> Value) {
    let Some(list) = document["items"].as_array_mut() else { return };
    for group in by_group(remotes) {
        let name = |entry: &Value| entry["metadata"]["name"].as_str().map(str::to_owned).unwrap_or_default();
        let versions: Vec<Value> = group.iter().map(|remote| found(remote)).collect();
        match list.iter_mut().find(|entry| name(entry) == group[0].group) {
            Some(entry) => {
                let Some(own) = entry["versions"].as_array_mut() else { continue };
                own.retain(|one| !group.iter().any(|remote| one["version"] == *remote.version));
                own.extend(versions);
            }
            None => {
                let at = place(list, &group, |entry| entry["metadata"]["name"].as_str().unwrap_or_default());
                list.insert(at, json!({"metadata": {"name": group[0].group}, "versions": versions}));
            }
        }
    }
}

/// The resources of an `APIResourceList` as aggregated discovery lists them (apiserver `ConvertGroupVersionIntoToDiscovery`).
pub fn resources_of_legacy(list: &Value, group: &str, version: &str) -> Vec<Value> {
    let all: Vec<&Value> = list["resources"].as_array().into_iter().flatten().collect();
    let kind = |one: &Value| {
        let or = |field: &str, default: &str| match one[field].as_str() {
            Some(text) if !text.is_empty() => text.to_owned(),
            _ => default.to_owned(),
        };
        json!({"group": or("group", group), "version": or("version", version), "kind": or("kind", "")})
    };
    let mut out: Vec<Value> = Vec::new();
    let split = |one: &Value| {
        let name = one["name"].as_str().unwrap_or_default();
        name.split_once('/').map_or((name.to_owned(), None), |(parent, sub)| (parent.to_owned(), Some(sub.to_owned())))
    };
    for one in &all {
        let (name, None) = split(one) else { continue };
        let scope = if one["namespaced"] == true { "Namespaced" } else { "Cluster" };
        let mut resource = json!({
            "resource": name, "responseKind": kind(one), "scope": scope,
            "singularResource": one["singularName"].as_str().unwrap_or_default(), "verbs": one["verbs"],
        });
        for field in ["shortNames", "categories"] {
            if one[field].is_array() {
                resource[field] = one[field].clone();
            }
        }
        out.push(resource);
    }
    for one in all {
        let (parent, Some(sub)) = split(one) else { continue };
        let below = json!({"subresource": sub, "responseKind": kind(one), "verbs": one["verbs"]});
        let found = out.iter().position(|resource| resource["resource"] == *parent);
        let at = found.unwrap_or_else(|| {
            // A subresource whose parent is not listed still needs a place to hang below.
            let scope = if one["namespaced"] == true { "Namespaced" } else { "Cluster" };
            out.push(
                json!({"resource": parent, "scope": scope, "singularResource": "", "verbs": [], "responseKind": {}}),
            );
            out.len() - 1
        });
        match out[at]["subresources"].as_array_mut() {
            Some(list) => list.push(below),
            None => out[at]["subresources"] = json!([below]),
        }
    }
    out
}
