//! The cluster roles and bindings that Kubernetes' users expect to find, read from `roles.txt`. Pure.

use serde_json::{Map, Value, json};

const GROUP: &str = "rbac.authorization.k8s.io";
const TABLE: &str = include_str!("roles.txt");

/// All roles of the table, then all bindings.
pub(super) fn all() -> Vec<Value> {
    let (mut roles, mut bindings): (Vec<Value>, Vec<Value>) = (Vec::new(), Vec::new());
    for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            [name, marks @ ..] if name.starts_with('@') => roles.push(role(&name[1..], marks)),
            ["=", name, role, subjects @ ..] => bindings.push(binding(name, role, subjects)),
            rule => {
                if let Some(rules) = roles.last_mut().and_then(|role| role["rules"].as_array_mut()) {
                    rules.push(self::rule(rule));
                }
            }
        }
    }
    roles.append(&mut bindings);
    roles
}

fn metadata(name: &str, labels: Map<String, Value>) -> Value {
    let mut all = Map::from_iter([("kubernetes.io/bootstrapping".to_owned(), json!("rbac-defaults"))]);
    all.extend(labels);
    json!({"name": name, "labels": all, "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"}})
}

fn role(name: &str, marks: &[&str]) -> Value {
    let label = |to: &str| (format!("{GROUP}/aggregate-to-{to}"), json!("true"));
    let marked = |mark: &str| -> Map<String, Value> {
        marks.iter().filter_map(|word| word.strip_prefix(mark)).map(label).collect()
    };
    let (from, to) = (marked("from="), marked("to="));
    let mut role = json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": "ClusterRole", "metadata": metadata(name, to), "rules": [],
    });
    if !from.is_empty() {
        role["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": from}]});
    }
    role
}

/// `VERBS GROUPS RESOURCES [NAMES]` or `VERBS PATHS`.
fn rule(words: &[&str]) -> Value {
    let list = |word: &str| -> Vec<String> {
        word.split(',').map(|entry| if entry == "-" { String::new() } else { entry.to_owned() }).collect()
    };
    match words {
        [verbs, groups, resources, names @ ..] => {
            let mut rule = json!({"verbs": list(verbs), "apiGroups": list(groups), "resources": list(resources)});
            if let [names] = names {
                rule["resourceNames"] = json!(list(names));
            }
            rule
        }
        [verbs, paths] => json!({"verbs": list(verbs), "nonResourceURLs": list(paths)}),
        _ => json!({"verbs": []}),
    }
}

fn binding(name: &str, role: &str, subjects: &[&str]) -> Value {
    let subject = |word: &&str| match word.split_once(':') {
        Some(("g", group)) => json!({"apiGroup": GROUP, "kind": "Group", "name": group}),
        Some(("s", account)) => {
            let (namespace, name) = account.split_once('/').unwrap_or(("default", account));
            json!({"kind": "ServiceAccount", "namespace": namespace, "name": name})
        }
        Some((_, user)) => json!({"apiGroup": GROUP, "kind": "User", "name": user}),
        None => json!({"apiGroup": GROUP, "kind": "User", "name": word}),
    };
    json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": "ClusterRoleBinding", "metadata": metadata(name, Map::new()),
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": role},
        "subjects": subjects.iter().map(subject).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole() {
        let all = all();
        let named = |kind: &str, name: &str| all.iter().find(|o| o["kind"] == kind && o["metadata"]["name"] == name);
        let admin = named("ClusterRole", "cluster-admin").expect("cluster-admin");
        assert_eq!(admin["rules"][0], json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}));
        assert_eq!(admin["rules"][1], json!({"verbs": ["*"], "nonResourceURLs": ["*"]}));
        let edit = named("ClusterRole", "edit").expect("edit");
        assert_eq!(
            edit["aggregationRule"]["clusterRoleSelectors"][0]["matchLabels"],
            json!({"rbac.authorization.k8s.io/aggregate-to-edit": "true"})
        );
        assert_eq!(edit["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-admin"], "true");
        let view = named("ClusterRole", "system:aggregate-to-view").expect("view's rules");
        assert!(view["rules"].as_array().is_some_and(|rules| rules.len() > 8));
        assert!(view["rules"][0]["apiGroups"] == json!([""]));
        let everybody = named("ClusterRoleBinding", "system:public-info-viewer").expect("a binding");
        assert_eq!(everybody["subjects"].as_array().map(Vec::len), Some(2));
        assert!(all.len() > 40, "{}", all.len());
    }
}
