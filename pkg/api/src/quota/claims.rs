//! Claims of devices in quotas: how many of each device class they can come to (upstream's `resource_claims.go`).

use serde_json::Value;

use super::Usage;
use crate::quantity::Amount;

/// The resource of device claims.
pub const CLAIMS: &str = "resourceclaims.resource.k8s.io";

/// What a device class is limited by.
const PER_CLASS: &str = ".deviceclass.resource.k8s.io/devices";

/// What a device class is limited by where pods ask for it as for an extended resource.
const IMPLICIT: &str = "requests.deviceclass.resource.kubernetes.io/";

/// Most devices that one claim can get.
const MOST: i64 = 32;

/// The devices of a claim by class. Of several ways to fulfil a request the dearest counts, for each class.
pub(super) fn usage(claim: &Value) -> Usage {
    let mut used = Usage::new();
    for request in claim["spec"]["devices"]["requests"].as_array().into_iter().flatten() {
        let mut most = Usage::new();
        let alternatives = request["firstAvailable"].as_array().map_or(&[][..], Vec::as_slice);
        let exact = Some(&request["exactly"]).filter(|exact| alternatives.is_empty() && exact.is_object());
        for way in alternatives.iter().chain(exact) {
            let name = format!("{}{PER_CLASS}", way["deviceClassName"].as_str().unwrap_or(""));
            let number = Amount::whole(match way["allocationMode"].as_str() {
                Some("ExactCount") => way["count"].as_i64().unwrap_or(0),
                Some("All") => MOST,
                _ => 0,
            });
            most.entry(name).and_modify(|have| *have = (*have).max(number)).or_insert(number);
        }
        for (name, number) in most {
            used.entry(name).and_modify(|have| *have = have.plus(number)).or_insert(number);
        }
    }
    used
}

/// Adds the names by which pods ask for the classes of a claim: the one that every class has, and its extended resource's
/// where `extended` knows one.
pub fn add_extended(used: &mut Usage, extended: impl Fn(&str) -> Option<String>) {
    let classes: Vec<(String, Amount)> = used
        .iter()
        .filter_map(|(name, number)| Some((name.strip_suffix(PER_CLASS)?.to_owned(), *number)))
        .filter(|(class, number)| !class.is_empty() && number.sign() > 0)
        .collect();
    for (class, number) in classes {
        if let Some(resource) = extended(&class) {
            used.insert(format!("requests.{resource}"), number);
        }
        used.insert(format!("{IMPLICIT}{class}"), number);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_dearest_way_counts_for_each_class() {
        let exact =
            |class: &str, count: i64| json!({"deviceClassName": class, "allocationMode": "ExactCount", "count": count});
        let claim = json!({"spec": {"devices": {"requests": [
            {"name": "a", "exactly": exact("gold", 2)},
            {"name": "b", "exactly": {"deviceClassName": "silver", "allocationMode": "All"}},
            {"name": "c", "firstAvailable": [exact("gold", 1), exact("gold", 3), exact("silver", 1)]},
        ]}}});
        let mut used = usage(&claim);
        let shown =
            |used: &Usage| -> Vec<String> { used.iter().map(|(name, number)| format!("{name}={number}")).collect() };
        assert_eq!(
            shown(&used),
            ["gold.deviceclass.resource.k8s.io/devices=5", "silver.deviceclass.resource.k8s.io/devices=33"]
        );
        add_extended(&mut used, |class| (class == "gold").then(|| "example.com/gold".to_owned()));
        assert_eq!(used["requests.example.com/gold"].to_string(), "5");
        assert_eq!(used["requests.deviceclass.resource.kubernetes.io/silver"].to_string(), "33");
        assert_eq!(used.len(), 5);
    }
}
