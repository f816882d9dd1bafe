//! Quality of service of a pod (core `qos.go`). The API server says it once, when the pod is made; everyone else reads it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::quantity;

/// Cpu and memory by name, summed over containers; what is zero does not count.
type Sums = BTreeMap<&'static str, f64>;

/// `Guaranteed`, `Burstable` or `BestEffort`, of a pod's spec: its own resources where it has some, else its containers'.
pub fn class(spec: &Value) -> &'static str {
    let own = ["requests", "limits"].iter().any(|side| RESOURCES.iter().any(|n| !spec["resources"][side][n].is_null()));
    let holders: Vec<&Value> = match own {
        true => vec![spec],
        false => {
            let lists = ["containers", "initContainers"].into_iter();
            lists.flat_map(|list| spec[list].as_array().into_iter().flatten()).collect()
        }
    };
    let (mut requests, mut limits) = (Sums::new(), Sums::new());
    let mut limited = true;
    for holder in holders {
        add(&mut requests, &holder["resources"]["requests"]);
        limited &= add(&mut limits, &holder["resources"]["limits"]) == RESOURCES.len();
    }
    if requests.is_empty() && limits.is_empty() {
        return "BestEffort";
    }
    let equal = requests.len() == limits.len()
        && requests.iter().all(|(name, asked)| limits.get(name).is_some_and(|limit| same(*asked, *limit)));
    if limited && equal { "Guaranteed" } else { "Burstable" }
}

const RESOURCES: [&str; 2] = ["cpu", "memory"];

/// Adds a resource list to the sums; how many of the resources it had.
fn add(sums: &mut Sums, list: &Value) -> usize {
    let mut found = 0;
    for name in RESOURCES {
        let amount = list[name].as_str().and_then(|text| quantity::parse(text).ok()).unwrap_or(0.0);
        if amount > 0.0 {
            *sums.entry(name).or_default() += amount;
            found += 1;
        }
    }
    found
}

/// Equal but for the rounding of sums.
fn same(a: f64, b: f64) -> bool {
    (a - b).abs() <= a.abs() * 1e-9
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn classes() {
        let both = json!({"cpu": "1", "memory": "1Gi"});
        let cases = [
            (json!({}), "BestEffort"),
            (json!({"requests": {"cpu": "0"}}), "BestEffort"),
            (json!({"requests": {"example.com/gpu": "1"}}), "BestEffort"),
            (json!({"requests": {"cpu": "1"}}), "Burstable"),
            (json!({"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}), "Burstable"),
            (json!({"limits": both, "requests": {"cpu": "500m", "memory": "1Gi"}}), "Burstable"),
            (json!({"limits": both, "requests": {"cpu": "1"}}), "Burstable"),
            (json!({"limits": both, "requests": both}), "Guaranteed"),
            (json!({"limits": both, "requests": {"cpu": "1000m", "memory": "1024Mi"}}), "Guaranteed"),
        ];
        for (resources, expected) in cases {
            assert_eq!(class(&json!({"containers": [{"resources": resources}]})), expected, "{resources}");
        }
    }

    #[test]
    fn every_container_counts_unless_the_pod_has_its_own() {
        let both = json!({"cpu": "1", "memory": "1Gi"});
        let guaranteed = json!({"resources": {"limits": both, "requests": both}});
        let mut spec = json!({"containers": [guaranteed, guaranteed], "initContainers": [guaranteed]});
        assert_eq!(class(&spec), "Guaranteed");
        spec["initContainers"] = json!([{}]);
        assert_eq!(class(&spec), "Burstable");
        spec["resources"] = guaranteed["resources"].clone();
        assert_eq!(class(&spec), "Guaranteed");
    }
}
