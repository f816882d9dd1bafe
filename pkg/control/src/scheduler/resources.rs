//! What a pod asks for. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// CPU in thousandths, memory in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Amount {
    pub(super) cpu: i64,
    pub(super) memory: i64,
}

impl Amount {
    pub(super) fn add(&mut self, other: Self) {
        self.cpu += other.cpu;
        self.memory += other.memory;
    }

    fn max(self, other: Self) -> Self {
        Self { cpu: self.cpu.max(other.cpu), memory: self.memory.max(other.memory) }
    }

    /// Reads cpu and memory out of a resource list.
    pub(super) fn of(list: Option<&BTreeMap<String, Quantity>>) -> Self {
        let get = |name: &str| list.and_then(|l| l.get(name)).map_or(0.0, |q| value(&q.0));
        #[expect(clippy::cast_possible_truncation, reason = "rounded up to whole units")]
        Self { cpu: (get("cpu") * 1000.0).ceil() as i64, memory: get("memory").ceil() as i64 }
    }
}

/// A quantity as a number; 0 when it does not parse (validation keeps such out).
pub(super) fn value(text: &str) -> f64 {
    minisvc_api::quantity::parse(text).unwrap_or(0.0)
}

/// What a pod asks for: the sum of its containers, or its largest init container (sidecars count as containers).
pub(super) fn requests(pod: &Pod) -> Amount {
    let Some(spec) = &pod.spec else { return Amount::default() };
    let of = |c: &Container| Amount::of(c.resources.as_ref().and_then(|r| r.requests.as_ref()));
    let mut sum = Amount::default();
    spec.containers.iter().for_each(|c| sum.add(of(c)));
    let mut largest = Amount::default();
    for init in spec.init_containers.iter().flatten() {
        if init.restart_policy.as_deref() == Some("Always") {
            sum.add(of(init));
        } else {
            largest = largest.max(of(init));
        }
    }
    sum.max(largest)
}
