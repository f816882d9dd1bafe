//! What objects count for in ResourceQuotas, and what a quota says to one more (upstream `pkg/quota/v1` and the
//! ResourceQuota admission plugin). Pure: whoever asks brings the quota, its use and the object.

mod claims;
mod pods;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::quantity::Amount;
pub use claims::{CLAIMS, add_extended};
pub(crate) use pods::stated;
pub use pods::{limits as pod_limits, requests as pod_requests};

/// Amounts by the names that quotas use: `pods`, `requests.cpu`, `count/jobs.batch`.
pub type Usage = BTreeMap<String, Amount>;

/// Resources that are counted by their plain names beside `count/…`.
const PLAIN: &[&str] =
    &["configmaps", "secrets", "services", "replicationcontrollers", "resourcequotas", "persistentvolumeclaims"];

/// `(scope, operator, values)` of a quota's scopes and scope selector.
type Scope<'a> = (&'a str, &'a str, Vec<&'a str>);

/// What one object of a resource (`pods`, `jobs.batch`) counts for.
pub fn usage(resource: &str, object: &Value, now: Timestamp) -> Usage {
    let mut used = Usage::new();
    used.insert(format!("count/{resource}"), Amount::whole(1));
    if PLAIN.contains(&resource) {
        used.insert(resource.to_owned(), Amount::whole(1));
    }
    match resource {
        "pods" => used.extend(pods::usage(object, now)),
        "services" => used.extend(service(object)),
        "persistentvolumeclaims" => used.extend(claim(object)),
        CLAIMS => used.extend(claims::usage(object)),
        _ => {}
    }
    used
}

/// Whether objects of a resource can count for anything that is limited.
pub fn is_counted(limited: &Usage, resource: &str) -> bool {
    matches!(resource, "pods" | "services" | "persistentvolumeclaims" | CLAIMS)
        || PLAIN.contains(&resource) && limited.contains_key(resource)
        || limited.contains_key(&format!("count/{resource}"))
}

/// Node ports are counted by what the service asks for: they may not be given out yet.
fn service(object: &Value) -> Usage {
    let ports = object["spec"]["ports"].as_array().map_or(&[][..], Vec::as_slice);
    let all = i64::try_from(ports.len()).unwrap_or(0);
    let given = ports.iter().filter(|port| port["nodePort"].as_i64().unwrap_or(0) != 0).count();
    let (node_ports, balancers) = match object["spec"]["type"].as_str() {
        Some("NodePort") => (all, 0),
        Some("LoadBalancer") if object["spec"]["allocateLoadBalancerNodePorts"] == false => {
            (i64::try_from(given).unwrap_or(0), 1)
        }
        Some("LoadBalancer") => (all, 1),
        _ => (0, 0),
    };
    [("services.nodeports", node_ports), ("services.loadbalancers", balancers)]
        .map(|(name, number)| (name.to_owned(), Amount::whole(number)))
        .into()
}

fn claim(object: &Value) -> Usage {
    // The annotation is what classes were named by before they had a field, and goes first.
    let annotated = object["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"].as_str();
    let class = annotated.or(object["spec"]["storageClassName"].as_str()).filter(|class| !class.is_empty());
    let wanted = amount(&object["spec"]["resources"]["requests"]["storage"]);
    // A claim that could not grow as far as it was once asked to still has what was set aside.
    let size = wanted.max(amount(&object["status"]["allocatedResources"]["storage"])).rounded_up();
    let mut used: Usage = [("requests.storage".to_owned(), size)].into();
    if let Some(class) = class {
        let prefix = format!("{class}.storageclass.storage.k8s.io");
        used.insert(format!("{prefix}/persistentvolumeclaims"), Amount::whole(1));
        used.insert(format!("{prefix}/requests.storage"), size);
    }
    used
}

/// The attributes classes that a claim names, has, or is on its way to.
fn attributes_classes(claim: &Value) -> Vec<&str> {
    let status = &claim["status"];
    let named = [
        &claim["spec"]["volumeAttributesClassName"],
        &status["currentVolumeAttributesClassName"],
        &status["modifyVolumeStatus"]["targetVolumeAttributesClassName"],
    ];
    named.into_iter().filter_map(Value::as_str).filter(|name| !name.is_empty()).collect()
}

fn amount(value: &Value) -> Amount {
    value.as_str().and_then(|text| Amount::parse(text).ok()).unwrap_or(Amount::ZERO)
}

/// The amounts of a map such as `spec.hard`.
pub fn amounts(map: &Value) -> Usage {
    map.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), amount(value))).collect()
}

/// Whether an object is one that a quota's scopes speak of. Quotas with scopes count pods alone, or claims by their
/// attributes class.
pub fn in_scope(quota: &Value, resource: &str, object: &Value) -> bool {
    scopes(quota).iter().all(|(scope, operator, values)| match resource {
        "pods" => pods::in_scope(object, scope, operator, values),
        "persistentvolumeclaims" if *scope == "VolumeAttributesClass" => match attributes_classes(object).as_slice() {
            [] => pods::selects(None, operator, values),
            names => names.iter().any(|name| pods::selects(Some(name), operator, values)),
        },
        _ => false,
    })
}

fn scopes(quota: &Value) -> Vec<Scope<'_>> {
    let plain = quota["spec"]["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let selected = quota["spec"]["scopeSelector"]["matchExpressions"].as_array().into_iter().flatten().map(|e| {
        let values = e["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        (e["scopeName"].as_str().unwrap_or(""), e["operator"].as_str().unwrap_or(""), values)
    });
    plain.map(|scope| (scope, "Exists", Vec::new())).chain(selected).collect()
}

/// Adds what an object counts for to the use of a quota's own resources.
pub fn add(used: &mut Usage, more: &Usage) {
    for (name, amount) in more {
        if let Some(sum) = used.get_mut(name) {
            *sum = sum.plus(*amount);
        }
    }
}

/// The use of a quota before anything was counted: zero of everything that it limits.
pub fn nothing(quota: &Value) -> Usage {
    amounts(&quota["spec"]["hard"]).into_keys().map(|name| (name, Amount::ZERO)).collect()
}

/// Why a quota refuses an object: a container that does not say what it needs, or too much of something. `wanted` is what
/// the object counts for, `old` what its former state did, `used` what is in use now. In the words of the admission plugin.
pub fn refusal(
    quota: &Value,
    resource: &str,
    object: &Value,
    wanted: &Usage,
    old: Option<&Usage>,
    used: &Usage,
) -> Option<String> {
    let name = crate::meta::name(quota);
    let hard = amounts(&quota["spec"]["hard"]);
    if resource == "pods"
        && let Some(missing) = pods::unspecified(object, &hard)
    {
        return Some(format!("failed quota: {name}: must specify {missing}"));
    }
    let mut exceeded: [Vec<String>; 3] = Default::default();
    for (what, more) in wanted {
        let Some(limit) = hard.get(what) else { continue };
        let before = old.and_then(|old| old.get(what)).copied();
        let more = before.map_or(*more, |before| more.minus(before));
        let have = used.get(what).copied().unwrap_or(Amount::ZERO);
        if more.sign() > 0 && have.plus(more) > *limit {
            for (list, value) in exceeded.iter_mut().zip([more, have, *limit]) {
                list.push(format!("{what}={value}"));
            }
        }
    }
    if exceeded[0].is_empty() {
        return None;
    }
    let [requested, have, limited] = exceeded.map(|list| list.join(","));
    Some(format!("exceeded quota: {name}, requested: {requested}, used: {have}, limited: {limited}"))
}

#[cfg(test)]
mod tests;
