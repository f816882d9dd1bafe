//! One node with what runs on it: room, ports, labels. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod, PodAffinityTerm, Taint};
use minisvc_api::node_fit::{NO_PORTS, clash};
pub(super) use minisvc_api::node_fit::{Port, host_ports};

use super::topology::anti_affinity;
use super::{Refusal, owner, priority};
use crate::pods;
use crate::scheduler::resources::{Amount, requests, value};

/// A pod on a node.
#[derive(Clone)]
pub(super) struct Tenant {
    pub(super) pod: Arc<Pod>,
    /// Its required terms.
    pub(super) anti_affinity: Vec<PodAffinityTerm>,
}

impl Tenant {
    pub(super) fn namespace(&self) -> &str {
        self.pod.metadata.namespace.as_deref().unwrap_or_default()
    }
}

#[derive(Clone)]
pub(super) struct Place {
    pub(super) node: Arc<Node>,
    pub(super) name: String,
    pub(super) tenants: Vec<Tenant>,
    /// How many pods of each owner are here, by its uid.
    pub(super) owners: HashMap<String, usize>,
    used: Amount,
    ports: Vec<Port>,
    room: Amount,
    slots: usize,
}

impl Place {
    pub(super) fn new(node: &Arc<Node>) -> Self {
        let allocatable = node.status.as_ref().and_then(|s| s.allocatable.as_ref());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of pods")]
        let slots = allocatable.and_then(|a| a.get("pods")).map_or(110, |q| value(&q.0) as usize);
        Self {
            node: node.clone(),
            name: node.metadata.name.clone().unwrap_or_default(),
            tenants: Vec::new(),
            owners: HashMap::new(),
            used: Amount::default(),
            ports: Vec::new(),
            room: Amount::of(allocatable),
            slots,
        }
    }

    pub(super) fn add(&mut self, pod: &Arc<Pod>) {
        self.used.add(&requests(pod));
        self.ports.extend(host_ports(pod));
        if let Some(owner) = owner(pod).filter(|_| !pods::terminating(pod)) {
            *self.owners.entry(owner).or_default() += 1;
        }
        self.tenants.push(Tenant { pod: pod.clone(), anti_affinity: anti_affinity(pod) });
    }

    /// The place as it is when only those stay whom `stays` names.
    pub(super) fn without(&self, stays: impl Fn(&Pod) -> bool) -> Self {
        let mut left = Self::new(&self.node);
        self.tenants.iter().filter(|t| stays(&t.pod)).for_each(|t| left.add(&t.pod));
        left
    }

    /// Whether pods of less priority are on their way out to make room.
    pub(super) fn makes_room(&self, above: i32) -> bool {
        let preempted = |pod: &Pod| {
            pods::condition(pod, "DisruptionTarget")
                .is_some_and(|c| c.status == "True" && c.reason.as_deref() == Some("PreemptionByScheduler"))
        };
        self.tenants.iter().any(|t| priority(&t.pod) < above && pods::terminating(&t.pod) && preempted(&t.pod))
    }

    pub(super) fn taints(&self) -> &[Taint] {
        self.node.spec.as_ref().and_then(|s| s.taints.as_deref()).unwrap_or_default()
    }

    pub(super) fn label(&self, key: &str) -> Option<&str> {
        self.node.metadata.labels.as_ref()?.get(key).map(String::as_str)
    }

    /// Used share of the scarcest resource with the pod on it, in thousandths.
    pub(super) fn load(&self, asked: &Amount) -> i64 {
        let share = |used: i64, room: i64| if room > 0 { used.saturating_mul(1000) / room } else { 0 };
        let cpu = share(self.used.cpu.saturating_add(asked.cpu), self.room.cpu);
        cpu.max(share(self.used.memory.saturating_add(asked.memory), self.room.memory))
    }

    /// Why there is no room: ports, number of pods, resources. It lasts where the whole node is too small.
    pub(super) fn refuses(&self, asked: &Amount, ports: &[Port]) -> Option<Refusal> {
        if ports.iter().any(|port| self.ports.iter().any(|taken| clash(taken, port))) {
            return Some(Refusal::new(NO_PORTS, false));
        }
        let mut reasons = Vec::new();
        if self.tenants.len() >= self.slots {
            reasons.push("Too many pods".to_owned());
        }
        reasons.extend(asked.lacking(&self.used, &self.room).into_iter().map(|r| format!("Insufficient {r}")));
        let lasting = !asked.lacking(&Amount::default(), &self.room).is_empty();
        (!reasons.is_empty()).then_some(Refusal { reasons, lasting })
    }
}
