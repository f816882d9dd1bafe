//! The board on which pods are placed: nodes, what runs on each, and the best place for the next pod. Pure.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod, PodAffinityTerm};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::filter::{affinity_matches, preference, refuses, untolerated};
use super::resources::{Amount, requests, value};
use crate::labels::{Labels, selects};
use crate::{owners, pods};

/// Where a pod goes.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    Node(String),
    /// The sentence of FailedScheduling.
    Nowhere(String),
}

/// A pod on a node, as far as others care.
struct Tenant {
    namespace: String,
    labels: Labels,
    terminating: bool,
    anti_affinity: Vec<PodAffinityTerm>,
}

struct Place {
    node: Arc<Node>,
    name: String,
    tenants: Vec<Tenant>,
    owners: HashMap<String, usize>,
    used: Amount,
    ports: Vec<(String, String, i32)>,
    room: Amount,
    slots: usize,
}

/// All nodes and what runs on them.
pub(super) struct Board {
    places: Vec<Place>,
}

const TOO_MANY: &str = "Too many pods";

impl Board {
    /// A board from nodes and the pods bound to them.
    pub(super) fn new(nodes: &[Arc<Node>], pods: &[Arc<Pod>]) -> Self {
        let mut places: Vec<_> = nodes.iter().map(Place::new).collect();
        places.sort_by(|a, b| a.name.cmp(&b.name));
        let mut board = Self { places };
        let by_name: HashMap<_, _> = board.places.iter().enumerate().map(|(n, p)| (p.name.clone(), n)).collect();
        for pod in pods.iter().filter(|p| !pods::terminal(p)) {
            if let Some(place) = pods::node(pod).and_then(|n| by_name.get(n)) {
                board.places[*place].add(pod);
            }
        }
        board
    }

    /// Puts a pod on a node.
    pub(super) fn place(&mut self, pod: &Pod, node: &str) {
        if let Some(place) = self.places.iter_mut().find(|p| p.name == node) {
            place.add(pod);
        }
    }

    /// Finds the best node: preferences first, then fewest pods of the same owner, then the least load.
    pub(super) fn judge(&self, pod: &Pod) -> Verdict {
        if self.places.is_empty() {
            return Verdict::Nowhere("no nodes available to schedule pods".into());
        }
        let asked = requests(pod);
        let ports = host_ports(pod);
        let spread = spreads(pod);
        let owner = owner(pod);
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        let mut preemptable = 0;
        let mut best = None;
        for place in &self.places {
            let refused = refuses(pod, &place.node);
            let static_refusal = refused.is_some();
            let refused = refused
                .map(|r| vec![r])
                .or_else(|| place.refuses(&asked, &ports))
                .or_else(|| self.topology(pod, place, &spread));
            if let Some(refused) = refused {
                preemptable += usize::from(!static_refusal);
                for reason in refused {
                    *reasons.entry(reason).or_default() += 1;
                }
                continue;
            }
            let soft = usize::from(untolerated(pod, place.taints(), &["PreferNoSchedule"]).is_some());
            let same = owner.as_ref().and_then(|o| place.owners.get(o)).copied().unwrap_or(0);
            let score = (soft, Reverse(preference(pod, &place.node)), same, place.load(&asked), place.tenants.len());
            if best.as_ref().is_none_or(|(s, _)| score < *s) {
                best = Some((score, place));
            }
        }
        match best {
            Some((_, place)) => Verdict::Node(place.name.clone()),
            None => Verdict::Nowhere(self.sentence(&reasons, preemptable)),
        }
    }

    /// `0/3 nodes are available: 1 Too many pods, 2 node(s) were unschedulable. preemption: ...`.
    fn sentence(&self, reasons: &BTreeMap<String, usize>, preemptable: usize) -> String {
        let total = self.places.len();
        let mut parts: Vec<_> = reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        parts.sort();
        let mut preemption = Vec::new();
        if preemptable > 0 {
            preemption.push(format!("{preemptable} No preemption victims found for incoming pod"));
        }
        if preemptable < total {
            preemption.push(format!("{} Preemption is not helpful for scheduling", total - preemptable));
        }
        format!(
            "0/{total} nodes are available: {}. preemption: 0/{total} nodes are available: {}.",
            parts.join(", "),
            preemption.join(", ")
        )
    }

    /// Hard topology spread, pod affinity and anti-affinity.
    fn topology(&self, pod: &Pod, place: &Place, spreads: &[Spread]) -> Option<Vec<String>> {
        let no = |reason: &str| Some(vec![reason.to_owned()]);
        for spread in spreads {
            let Some(here) = place.label(&spread.key) else {
                return no("node(s) didn't match pod topology spread constraints (missing required label)");
            };
            let mut counts: HashMap<&str, i32> = HashMap::new();
            for other in self.places.iter().filter(|p| affinity_matches(pod, &p.node)) {
                if let Some(domain) = other.label(&spread.key) {
                    *counts.entry(domain).or_default() += other.count(&spread.namespace, &spread.selector);
                }
            }
            let domains = i32::try_from(counts.len()).unwrap_or(i32::MAX);
            let least = if spread.domains > domains { 0 } else { counts.values().min().copied().unwrap_or(0) };
            let mine = i32::from(selects(&spread.selector, pod.metadata.labels.as_ref()));
            if counts.get(here).copied().unwrap_or(0) + mine - least > spread.skew {
                return no("node(s) didn't match pod topology spread constraints");
            }
        }
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let labels = pod.metadata.labels.clone().unwrap_or_default();
        let affinity = pod.spec.as_ref().and_then(|s| s.affinity.as_ref());
        let required = affinity
            .and_then(|a| a.pod_affinity.as_ref()?.required_during_scheduling_ignored_during_execution.as_ref());
        for term in required.into_iter().flatten() {
            let near = self.near(place, &term.topology_key).any(|p| p.has(term, namespace));
            // The first of a group that wants to be together may go anywhere.
            let first =
                matches(term, namespace, namespace, &labels) && !self.places.iter().any(|p| p.has(term, namespace));
            if !(near || first && place.label(&term.topology_key).is_some()) {
                return no("node(s) didn't match pod affinity rules");
            }
        }
        for term in anti_affinity(pod) {
            if self.near(place, &term.topology_key).any(|p| p.has(&term, namespace)) {
                return no("node(s) didn't match pod anti-affinity rules");
            }
        }
        let objecting = self.places.iter().any(|other| {
            other.tenants.iter().any(|t| {
                t.anti_affinity.iter().any(|term| {
                    other.label(&term.topology_key).is_some_and(|l| place.label(&term.topology_key) == Some(l))
                        && matches(term, &t.namespace, namespace, &labels)
                })
            })
        });
        if objecting {
            return no("node(s) didn't satisfy existing pods anti-affinity rules");
        }
        None
    }

    /// Places in the same domain.
    fn near<'a>(&'a self, place: &'a Place, key: &'a str) -> impl Iterator<Item = &'a Place> {
        self.places.iter().filter(move |p| p.label(key).is_some() && p.label(key) == place.label(key))
    }
}

impl Place {
    fn new(node: &Arc<Node>) -> Self {
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

    fn add(&mut self, pod: &Pod) {
        self.used.add(requests(pod));
        self.ports.extend(host_ports(pod));
        if let Some(owner) = owner(pod).filter(|_| !pods::terminating(pod)) {
            *self.owners.entry(owner).or_default() += 1;
        }
        self.tenants.push(Tenant {
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            labels: pod.metadata.labels.clone().unwrap_or_default(),
            terminating: pods::terminating(pod),
            anti_affinity: anti_affinity(pod),
        });
    }

    fn taints(&self) -> &[k8s_openapi::api::core::v1::Taint] {
        self.node.spec.as_ref().and_then(|s| s.taints.as_deref()).unwrap_or_default()
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.node.metadata.labels.as_ref()?.get(key).map(String::as_str)
    }

    /// Used share of the scarcest resource with the pod on it, in thousandths.
    fn load(&self, asked: &Amount) -> i64 {
        let share = |used: i64, room: i64| if room > 0 { used * 1000 / room } else { 0 };
        let cpu = share(self.used.cpu + asked.cpu, self.room.cpu);
        cpu.max(share(self.used.memory + asked.memory, self.room.memory))
    }

    fn refuses(&self, asked: &Amount, ports: &[(String, String, i32)]) -> Option<Vec<String>> {
        let mut reasons = Vec::new();
        if self.tenants.len() >= self.slots {
            reasons.push(TOO_MANY.to_owned());
        }
        if asked.cpu > 0 && self.used.cpu + asked.cpu > self.room.cpu {
            reasons.push("Insufficient cpu".to_owned());
        }
        if asked.memory > 0 && self.used.memory + asked.memory > self.room.memory {
            reasons.push("Insufficient memory".to_owned());
        }
        let clash = |(ip, protocol, port): &(String, String, i32)| {
            let any = |a: &str| a.is_empty() || a == "0.0.0.0";
            self.ports.iter().any(|(i, pr, po)| pr == protocol && po == port && (i == ip || any(i) || any(ip)))
        };
        if ports.iter().any(clash) {
            reasons = vec!["node(s) didn't have free ports for the requested pod ports".to_owned()];
        }
        (!reasons.is_empty()).then_some(reasons)
    }

    fn count(&self, namespace: &str, selector: &LabelSelector) -> i32 {
        let counted = self
            .tenants
            .iter()
            .filter(|t| !t.terminating && t.namespace == namespace && selects(selector, Some(&t.labels)));
        i32::try_from(counted.count()).unwrap_or(i32::MAX)
    }

    fn has(&self, term: &PodAffinityTerm, namespace: &str) -> bool {
        self.tenants.iter().any(|t| matches(term, namespace, &t.namespace, &t.labels))
    }
}

/// Whether a term of a pod in `own` namespace is about a pod with these labels. Namespace selectors other than "all"
/// are not looked at.
fn matches(term: &PodAffinityTerm, own: &str, namespace: &str, labels: &Labels) -> bool {
    let named = term.namespaces.as_deref().unwrap_or_default();
    let everywhere = term.namespace_selector.is_some();
    let there = everywhere || if named.is_empty() { own == namespace } else { named.iter().any(|n| n == namespace) };
    there && term.label_selector.as_ref().is_some_and(|s| selects(s, Some(labels)))
}

struct Spread {
    key: String,
    skew: i32,
    domains: i32,
    selector: LabelSelector,
    namespace: String,
}

fn spreads(pod: &Pod) -> Vec<Spread> {
    let constraints = pod.spec.as_ref().and_then(|s| s.topology_spread_constraints.as_ref());
    let hard = constraints.into_iter().flatten().filter(|c| c.when_unsatisfiable == "DoNotSchedule");
    hard.map(|c| {
        let mut selector = c.label_selector.clone().unwrap_or_default();
        for key in c.match_label_keys.iter().flatten() {
            if let Some(value) = pod.metadata.labels.as_ref().and_then(|l| l.get(key)) {
                selector.match_labels.get_or_insert_default().insert(key.clone(), value.clone());
            }
        }
        Spread {
            key: c.topology_key.clone(),
            skew: c.max_skew,
            domains: c.min_domains.unwrap_or(0),
            selector,
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
        }
    })
    .collect()
}

fn anti_affinity(pod: &Pod) -> Vec<PodAffinityTerm> {
    let affinity = pod.spec.as_ref().and_then(|s| s.affinity.as_ref()?.pod_anti_affinity.as_ref());
    affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.clone()).unwrap_or_default()
}

fn owner(pod: &Pod) -> Option<String> {
    owners::controller(&pod.metadata).map(|o| o.uid.clone())
}

/// Address, protocol, port.
fn host_ports(pod: &Pod) -> Vec<(String, String, i32)> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let host = spec.host_network == Some(true);
    let ports = spec.containers.iter().flat_map(|c| c.ports.iter().flatten());
    ports
        .filter_map(|p| {
            let port = p.host_port.filter(|p| *p > 0).or(host.then_some(p.container_port))?;
            let protocol = p.protocol.clone().unwrap_or_else(|| "TCP".into());
            Some((p.host_ip.clone().unwrap_or_default(), protocol, port))
        })
        .collect()
}

#[cfg(test)]
mod tests;
