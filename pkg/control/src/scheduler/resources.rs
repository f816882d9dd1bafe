//! What a pod asks for and what a node has left. Pure; follows Kubernetes' `resourcehelper.PodRequests` and the filter of
//! the NodeResourcesFit plugin.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

type List = BTreeMap<String, Quantity>;

/// CPU in thousandths, memory in bytes, and every other resource (`ephemeral-storage`, huge pages, extended resources) in
/// whole units by name. The number of pods is no part of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Amount {
    pub(super) cpu: i64,
    pub(super) memory: i64,
    others: BTreeMap<String, i64>,
}

impl Amount {
    pub(super) fn add(&mut self, other: &Self) {
        self.cpu = self.cpu.saturating_add(other.cpu);
        self.memory = self.memory.saturating_add(other.memory);
        for (name, count) in &other.others {
            let sum = self.others.entry(name.clone()).or_default();
            *sum = sum.saturating_add(*count);
        }
    }

    fn max(mut self, other: Self) -> Self {
        self.cpu = self.cpu.max(other.cpu);
        self.memory = self.memory.max(other.memory);
        for (name, count) in other.others {
            let most = self.others.entry(name).or_default();
            *most = count.max(*most);
        }
        self
    }

    /// Puts the resources that a list names in the place of what was there.
    fn overlay(&mut self, list: &List) {
        for (name, quantity) in list {
            #[expect(clippy::cast_possible_truncation, reason = "rounded up to whole units; the cast saturates")]
            let whole = |factor: f64| (value(&quantity.0) * factor).ceil() as i64;
            match name.as_str() {
                "cpu" => self.cpu = whole(1000.0),
                "memory" => self.memory = whole(1.0),
                "pods" => {}
                _ => drop(self.others.insert(name.clone(), whole(1.0))),
            }
        }
    }

    /// Reads a resource list.
    pub(super) fn of(list: Option<&List>) -> Self {
        let mut amount = Self::default();
        amount.overlay(list.unwrap_or(&List::new()));
        amount
    }

    /// Names of the resources of which `room` has not enough for this beside what is `used`, cpu and memory first.
    pub(super) fn lacking(&self, used: &Self, room: &Self) -> Vec<&str> {
        let mut short = Vec::new();
        let lacks = |asked: i64, used: i64, room: i64| asked > 0 && asked > room.saturating_sub(used);
        if lacks(self.cpu, used.cpu, room.cpu) {
            short.push("cpu");
        }
        if lacks(self.memory, used.memory, room.memory) {
            short.push("memory");
        }
        let of = |amount: &Self, name: &str| amount.others.get(name).copied().unwrap_or(0);
        let others = self.others.iter().filter(|(name, asked)| lacks(**asked, of(used, name), of(room, name)));
        short.extend(others.map(|(name, _)| name.as_str()));
        short
    }
}

/// A quantity as a number; 0 when it does not parse (validation keeps such out).
pub(super) fn value(text: &str) -> f64 {
    minisvc_api::quantity::parse(text).unwrap_or(0.0)
}

/// What a pod asks for: the sum of its containers, or more when an init container wants more together with the sidecars
/// before it; what the pod asks for as a whole overrides it, and the overhead of its runtime comes on top.
pub(super) fn requests(pod: &Pod) -> Amount {
    let Some(spec) = &pod.spec else { return Amount::default() };
    let of = |c: &Container| Amount::of(c.resources.as_ref().and_then(|r| r.requests.as_ref()));
    let mut sum = Amount::default();
    spec.containers.iter().for_each(|c| sum.add(&of(c)));
    let mut sidecars = Amount::default();
    let mut largest = Amount::default();
    for init in spec.init_containers.iter().flatten() {
        let mut asked = of(init);
        if init.restart_policy.as_deref() == Some("Always") {
            sum.add(&asked);
            sidecars.add(&asked);
            asked = sidecars.clone();
        } else {
            asked.add(&sidecars);
        }
        largest = largest.max(asked);
    }
    let mut all = sum.max(largest);
    if let Some(whole) = spec.resources.as_ref().and_then(|r| r.requests.as_ref()) {
        all.overlay(whole);
    }
    all.add(&Amount::of(spec.overhead.as_ref()));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{object, pod};
    use serde_json::json;

    #[test]
    fn what_a_pod_asks_for() {
        let c = |requests: serde_json::Value| json!({ "name": "c", "resources": { "requests": requests } });
        let mut init = c(json!({ "cpu": "2", "example.com/foo": "3" }));
        let mut sidecar = c(json!({ "cpu": "500m" }));
        sidecar["restartPolicy"] = json!("Always");
        let spec = json!({ "initContainers": [sidecar.clone(), init.clone()],
            "containers": [c(json!({ "cpu": "1", "memory": "1Gi" })), c(json!({ "example.com/foo": "1" }))] });
        let asked = requests(&pod("p").spec(spec.clone()).build());
        let foo = |n: i64| BTreeMap::from([("example.com/foo".to_owned(), n)]);
        assert_eq!(asked, Amount { cpu: 2500, memory: 1 << 30, others: foo(3) });
        init["resources"]["requests"] = json!({});
        let mut small = spec;
        small["initContainers"] = json!([init, sidecar]);
        small["overhead"] = json!({ "memory": "1" });
        small["resources"] = json!({ "requests": { "cpu": "4" } });
        let asked = requests(&pod("p").spec(small).build());
        assert_eq!(asked, Amount { cpu: 4000, memory: (1 << 30) + 1, others: foo(1) });
    }

    #[test]
    fn what_is_lacking() {
        let of = |v| Amount::of(Some(&object(v)));
        let room = of(json!({ "cpu": "2", "memory": "1Gi", "pods": "110", "example.com/foo": "5" }));
        let asked = of(json!({ "cpu": "1", "memory": "0", "example.com/foo": "2", "example.com/bar": "1" }));
        let used = of(json!({ "cpu": "1500m", "memory": "2Gi", "example.com/foo": "3" }));
        assert_eq!(asked.lacking(&used, &room), ["cpu", "example.com/bar"]);
        assert_eq!(of(json!({ "example.com/foo": "3" })).lacking(&used, &room), ["example.com/foo"]);
    }
}
