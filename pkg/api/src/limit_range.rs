//! What LimitRanges do to new pods and claims: fill in, and refuse (upstream's LimitRanger admission plugin). Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::meta::metadata_mut;
use crate::quantity::Amount;
use crate::quota::{amounts, pod_limits, pod_requests};

const ANNOTATION: &str = "kubernetes.io/limit-ranger";

/// Limits and requests that containers of a pod get from a LimitRange where they state none, noted in an annotation.
pub fn fill_in(limit_range: &Value, pod: &mut Value) {
    let (mut requests, mut limits) = (Map::new(), Map::new());
    for limit in items(limit_range).filter(|limit| limit["type"] == "Container") {
        for (from, to) in [("defaultRequest", &mut requests), ("default", &mut limits)] {
            to.extend(limit[from].as_object().into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())));
        }
    }
    let mut notes = Vec::new();
    for (list, words) in [("containers", "container"), ("initContainers", "init container")] {
        let containers = pod["spec"].get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let name = container["name"].as_str().unwrap_or("").to_owned();
            for (field, kind, defaults) in [("requests", "request", &requests), ("limits", "limit", &limits)] {
                let set = merge(container, field, defaults);
                if !set.is_empty() {
                    notes.push(format!("{} {kind} for {words} {name}", set.join(", ")));
                }
            }
        }
    }
    if !notes.is_empty() {
        let annotations = metadata_mut(pod).entry("annotations").or_insert_with(|| json!({}));
        annotations[ANNOTATION] = format!("LimitRanger plugin set: {}", notes.join("; ")).into();
    }
}

/// Sets what is missing; answers the names of what was set, sorted.
fn merge(container: &mut Value, field: &str, defaults: &Map<String, Value>) -> Vec<String> {
    let mut set = Vec::new();
    for (name, value) in defaults {
        if container["resources"][field].get(name).is_none() {
            container["resources"][field][name] = value.clone();
            set.push(name.clone());
        }
    }
    set.sort_unstable();
    set
}

fn items(limit_range: &Value) -> impl Iterator<Item = &Value> {
    limit_range["spec"]["limits"].as_array().into_iter().flatten()
}

/// What something asks for and may use.
struct Asked {
    requests: BTreeMap<String, Amount>,
    limits: BTreeMap<String, Amount>,
}

/// Why a LimitRange refuses a new object of a resource (`pods`, `persistentvolumeclaims`); several complaints in brackets.
pub fn refusal(limit_range: &Value, resource: &str, object: &Value) -> Option<String> {
    let mut complaints: Vec<String> = Vec::new();
    let resources = |container: &Value| Asked {
        requests: amounts(&container["resources"]["requests"]),
        limits: amounts(&container["resources"]["limits"]),
    };
    for limit in items(limit_range) {
        let kind = limit["type"].as_str().unwrap_or("");
        match (resource, kind) {
            ("pods", "Container") => {
                for list in ["containers", "initContainers"] {
                    for container in object["spec"][list].as_array().into_iter().flatten() {
                        complaints.extend(check(limit, kind, &resources(container)));
                    }
                }
            }
            ("pods", "Pod") => {
                // What the runtime itself takes is not the pod's to answer for.
                let mut bare = json!({"spec": object["spec"]});
                if let Some(spec) = bare["spec"].as_object_mut() {
                    spec.shift_remove("overhead");
                }
                let asked = Asked { requests: pod_requests(&bare), limits: pod_limits(&bare) };
                complaints.extend(check(limit, kind, &asked));
            }
            ("persistentvolumeclaims", "PersistentVolumeClaim") => {
                let asked = Asked { limits: BTreeMap::new(), ..resources(&object["spec"]) };
                complaints.extend(each(limit, "min").filter_map(|(name, min)| below(kind, &name, min, &asked)));
                complaints.extend(each(limit, "max").filter_map(|(name, max)| {
                    let start = format!("maximum {name} usage per {kind} is {max}");
                    match asked.requests.get(&name) {
                        None => Some(format!("{start}.  No request is specified")),
                        Some(request) if *request > max => Some(format!("{start}, but request is {request}")),
                        Some(_) => None,
                    }
                }));
            }
            _ => {}
        }
    }
    let mut seen = Vec::new();
    complaints.retain(|complaint| {
        let new = !seen.contains(complaint);
        seen.push(complaint.clone());
        new
    });
    match complaints.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(format!("[{}]", many.join(", "))),
    }
}

fn each(limit: &Value, field: &str) -> impl Iterator<Item = (String, Amount)> {
    amounts(&limit[field]).into_iter()
}

fn check(limit: &Value, kind: &str, asked: &Asked) -> Vec<String> {
    let min = each(limit, "min").filter_map(|(name, min)| below(kind, &name, min, asked));
    let max = each(limit, "max").filter_map(|(name, max)| above(kind, &name, max, asked));
    let ratio = each(limit, "maxLimitRequestRatio").filter_map(|(name, most)| ratio(kind, &name, most, asked));
    min.chain(max).chain(ratio).collect()
}

fn below(kind: &str, name: &str, min: Amount, asked: &Asked) -> Option<String> {
    let start = format!("minimum {name} usage per {kind} is {min}");
    let Some(request) = asked.requests.get(name) else { return Some(format!("{start}.  No request is specified")) };
    if *request < min {
        return Some(format!("{start}, but request is {request}"));
    }
    let limit = asked.limits.get(name).filter(|limit| **limit < min)?;
    Some(format!("{start}, but limit is {limit}"))
}

fn above(kind: &str, name: &str, max: Amount, asked: &Asked) -> Option<String> {
    let start = format!("maximum {name} usage per {kind} is {max}");
    let Some(limit) = asked.limits.get(name) else { return Some(format!("{start}.  No limit is specified")) };
    if *limit > max {
        return Some(format!("{start}, but limit is {limit}"));
    }
    let request = asked.requests.get(name).filter(|request| **request > max)?;
    Some(format!("{start}, but request is {request}"))
}

fn ratio(kind: &str, name: &str, most: Amount, asked: &Asked) -> Option<String> {
    let start = format!("{name} max limit to request ratio per {kind} is {most}");
    let positive = |map: &BTreeMap<String, Amount>| map.get(name).copied().filter(|amount| amount.sign() != 0);
    let Some(request) = positive(&asked.requests) else {
        return Some(format!("{start}, but no request is specified or request is 0"));
    };
    let Some(limit) = positive(&asked.limits) else {
        return Some(format!("{start}, but no limit is specified or limit is 0"));
    };
    let found = limit.as_f64() / request.as_f64();
    (found > most.as_f64()).then(|| format!("{start}, but provided ratio is {found:.6}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(limit: Value) -> Value {
        json!({"spec": {"limits": [limit]}})
    }

    #[test]
    fn containers_get_defaults_and_a_note() {
        let range = range(
            json!({"type": "Container", "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "100m", "memory": "1Mi"}}),
        );
        let mut pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [
            {"name": "a"}, {"name": "b", "resources": {"requests": {"cpu": "1", "memory": "1"}, "limits": {"cpu": "2"}}}]}});
        fill_in(&range, &mut pod);
        assert_eq!(
            pod["spec"]["containers"][0]["resources"],
            json!({"requests": {"cpu": "100m", "memory": "1Mi"}, "limits": {"cpu": "500m"}})
        );
        assert_eq!(
            pod["metadata"]["annotations"][ANNOTATION],
            "LimitRanger plugin set: cpu, memory request for container a; cpu limit for container a"
        );
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        let pod = |requests: Value, limits: Value| json!({"spec": {"containers": [{"name": "a", "resources": {"requests": requests, "limits": limits}}]}});
        let cases = [
            (
                json!({"type": "Container", "min": {"cpu": "100m"}}),
                pod(json!({"cpu": "50m"}), json!({})),
                "minimum cpu usage per Container is 100m, but request is 50m",
            ),
            (
                json!({"type": "Container", "max": {"memory": "1Gi"}}),
                pod(json!({}), json!({})),
                "maximum memory usage per Container is 1Gi.  No limit is specified",
            ),
            (
                json!({"type": "Pod", "max": {"cpu": "1"}}),
                pod(json!({"cpu": "1"}), json!({"cpu": "2"})),
                "maximum cpu usage per Pod is 1, but limit is 2",
            ),
            (
                json!({"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}}),
                pod(json!({"cpu": "1"}), json!({"cpu": "3"})),
                "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000",
            ),
        ];
        for (limit, pod, words) in cases {
            assert_eq!(refusal(&range(limit), "pods", &pod).as_deref(), Some(words));
        }
        let mut heavy = pod(json!({"cpu": "1"}), json!({"cpu": "1"}));
        heavy["spec"]["overhead"] = json!({"cpu": "1"});
        assert_eq!(refusal(&range(json!({"type": "Pod", "max": {"cpu": "1"}})), "pods", &heavy), None);
        let claim = json!({"spec": {"resources": {"requests": {"storage": "1Gi"}}}});
        let small =
            range(json!({"type": "PersistentVolumeClaim", "min": {"storage": "2Gi"}, "max": {"storage": "3Gi"}}));
        assert_eq!(
            refusal(&small, "persistentvolumeclaims", &claim).as_deref(),
            Some("minimum storage usage per PersistentVolumeClaim is 2Gi, but request is 1Gi")
        );
        assert_eq!(refusal(&small, "pods", &claim), None);
    }
}
