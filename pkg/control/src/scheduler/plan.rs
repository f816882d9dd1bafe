//! The board on which pods are placed: nodes, what runs on each, and the best place for the next pod. Pure.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use super::filter::refuses;
use super::resources::{Amount, requests};
use super::storage::TAKEN;
use crate::labels::Labels;
use crate::{owners, pods};

mod place;
mod preempt;
mod score;
mod topology;
use place::{Place, Port, host_ports};
pub(super) use preempt::Preemption;
use topology::{Spread, spreads};

/// Where a pod goes.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    Node(String),
    /// Others have to make room first.
    Preempt(Preemption),
    /// Others make room already; the sentence of FailedScheduling.
    Waits(String),
    /// The sentence of FailedScheduling.
    Nowhere(String),
}

/// All nodes and what runs on them.
#[derive(Default)]
pub(super) struct Board {
    places: Vec<Place>,
    /// Labels of namespaces, by name.
    namespaces: HashMap<String, Labels>,
    budgets: Vec<Arc<PodDisruptionBudget>>,
    /// Pods that others made room for, and the number of the place where.
    nominated: Vec<(Arc<Pod>, usize)>,
    /// Nodes where the next pod's volumes cannot be had, and why.
    barred: HashMap<String, &'static str>,
}

/// A pod that looks for a node.
struct Wish<'a> {
    pod: &'a Arc<Pod>,
    asked: Amount,
    ports: Vec<Port>,
    /// Hard constraints.
    spreads: Vec<Spread>,
    /// Soft ones.
    soft: Vec<Spread>,
}

impl<'a> Wish<'a> {
    fn new(pod: &'a Arc<Pod>) -> Self {
        let (spreads, soft) = (spreads(pod, "DoNotSchedule"), spreads(pod, "ScheduleAnyway"));
        Self { pod, asked: requests(pod), ports: host_ports(pod), spreads, soft }
    }
}

/// Why a pod must not go to a place.
struct Refusal {
    reasons: Vec<String>,
    /// It would not help if others left.
    lasting: bool,
}

impl Refusal {
    fn new(reason: impl Into<String>, lasting: bool) -> Self {
        Self { reasons: vec![reason.into()], lasting }
    }
}

/// The priority of a pod; 0 without.
fn priority(pod: &Pod) -> i32 {
    pod.spec.as_ref().and_then(|s| s.priority).unwrap_or(0)
}

impl Board {
    /// A board from nodes and the pods bound to them.
    pub(super) fn new(nodes: &[Arc<Node>], pods: &[Arc<Pod>]) -> Self {
        let mut places: Vec<_> = nodes.iter().map(Place::new).collect();
        places.sort_by(|a, b| a.name.cmp(&b.name));
        let mut board = Self { places, ..Self::default() };
        let by_name: HashMap<_, _> = board.places.iter().enumerate().map(|(n, p)| (p.name.clone(), n)).collect();
        for pod in pods.iter().filter(|p| !pods::terminal(p)) {
            if let Some(place) = pods::node(pod).and_then(|n| by_name.get(n)) {
                board.places[*place].add(pod);
            }
        }
        board
    }

    /// The board with what namespace selectors look at: each namespace's labels.
    pub(super) fn with_namespaces(mut self, namespaces: HashMap<String, Labels>) -> Self {
        self.namespaces = namespaces;
        self
    }

    /// The board with the budgets that preemption spares where it can.
    pub(super) fn with_budgets(mut self, budgets: Vec<Arc<PodDisruptionBudget>>) -> Self {
        self.budgets = budgets;
        self
    }

    /// Puts a pod on a node.
    pub(super) fn place(&mut self, pod: &Arc<Pod>, node: &str) {
        self.nominated.retain(|(p, _)| p.metadata.uid != pod.metadata.uid);
        if let Some(place) = self.places.iter_mut().find(|p| p.name == node) {
            place.add(pod);
        }
    }

    /// Keeps room on a node for a pod, against all of less priority.
    pub(super) fn nominate(&mut self, pod: &Arc<Pod>, node: &str) {
        self.nominated.retain(|(p, _)| p.metadata.uid != pod.metadata.uid);
        if let Some(place) = self.places.iter().position(|p| p.name == node) {
            self.nominated.push((pod.clone(), place));
        }
    }

    /// Notes where the next pod cannot have its volumes.
    pub(super) fn bar(&mut self, nodes: HashMap<String, &'static str>) {
        self.barred = nodes;
    }

    /// The sentence of FailedScheduling for a pod that no node suits, for a reason of its own.
    pub(super) fn refuse_everywhere(&self, why: &str) -> String {
        let total = self.places.len();
        let preemption =
            format!("preemption: 0/{total} nodes are available: {total} Preemption is not helpful for scheduling.");
        match total {
            0 => "no nodes available to schedule pods".into(),
            _ => format!("0/{total} nodes are available: {why}. {preemption}"),
        }
    }

    /// Finds the best node: where room was made, then by what is wished for (`score`), then fewest pods of the same owner,
    /// then the least load. Kubernetes adds the last two to the sum; here they only decide between equals, so that a
    /// lab's few pods spread evenly. Where there is no node, it looks whether pods of less priority can make room.
    pub(super) fn judge(&mut self, pod: &Arc<Pod>) -> Verdict {
        if self.places.is_empty() {
            return Verdict::Nowhere("no nodes available to schedule pods".into());
        }
        let wish = Wish::new(pod);
        let promised = self.nominated.iter().find(|(p, _)| p.metadata.uid == pod.metadata.uid).map(|(_, at)| *at);
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        let (mut open, mut hopeful) = (Vec::new(), Vec::new());
        for at in 0..self.places.len() {
            let Some(refusal) = self.refusal(at, &wish) else {
                open.push(at);
                continue;
            };
            if !refusal.lasting {
                hopeful.push(at);
            }
            for reason in refusal.reasons {
                *reasons.entry(reason).or_default() += 1;
            }
        }
        if let Some(at) = self.best(&wish, &open, promised) {
            return Verdict::Node(self.places[at].name.clone());
        }
        let total = self.places.len();
        let parts = listed(&reasons);
        let why = format!("0/{total} nodes are available: {parts}.");
        if pod.spec.as_ref().and_then(|s| s.preemption_policy.as_deref()) == Some("Never") {
            return Verdict::Nowhere(format!("{why} preemption: not eligible due to preemptionPolicy=Never."));
        }
        if promised.is_some_and(|at| hopeful.contains(&at) && self.places[at].makes_room(priority(pod))) {
            let text = "not eligible due to a terminating pod on the nominated node.";
            return Verdict::Waits(format!("{why} preemption: {text}"));
        }
        match self.preempt(&wish, &hopeful) {
            Ok(found) => Verdict::Preempt(Preemption { why, ..found }),
            Err(mut reasons) => {
                if hopeful.len() < total {
                    reasons.insert("Preemption is not helpful for scheduling".into(), total - hopeful.len());
                }
                let parts = listed(&reasons);
                Verdict::Nowhere(format!("{why} preemption: 0/{total} nodes are available: {parts}."))
            }
        }
    }

    /// The best of the places that are open to a pod.
    fn best(&self, wish: &Wish<'_>, open: &[usize], promised: Option<usize>) -> Option<usize> {
        let owner = owner(wish.pod);
        let rank = |(at, score): &(usize, i64)| {
            let place = &self.places[*at];
            let same = owner.as_ref().and_then(|o| place.owners.get(o)).copied().unwrap_or(0);
            (promised != Some(*at), Reverse(*score), same, place.load(&wish.asked), place.tenants.len())
        };
        let scored = open.iter().copied().zip(self.scores(wish, open));
        scored.min_by_key(rank).map(|(at, _)| at)
    }

    /// Why the pod must not go to a place, also beside those that room is kept for.
    fn refusal(&mut self, at: usize, wish: &Wish<'_>) -> Option<Refusal> {
        let mine = priority(wish.pod);
        let guests = self
            .nominated
            .iter()
            .filter(|(p, place)| *place == at && priority(p) >= mine && p.metadata.uid != wish.pod.metadata.uid);
        let guests: Vec<_> = guests.map(|(p, _)| p.clone()).collect();
        if !guests.is_empty() {
            let alone = self.places[at].clone();
            guests.iter().for_each(|p| self.places[at].add(p));
            let refused = self.refusal_now(at, wish);
            self.places[at] = alone;
            if refused.is_some() {
                return refused;
            }
        }
        self.refusal_now(at, wish)
    }

    fn refusal_now(&self, at: usize, wish: &Wish<'_>) -> Option<Refusal> {
        let place = &self.places[at];
        refuses(wish.pod, &place.node)
            .map(|reason| Refusal::new(reason, true))
            .or_else(|| place.refuses(&wish.asked, &wish.ports))
            .or_else(|| self.barred.get(&place.name).map(|why| Refusal::new(*why, *why != TAKEN)))
            .or_else(|| self.topology(wish.pod, place, &wish.spreads))
    }
}

/// `1 Too many pods, 2 node(s) were unschedulable`.
fn listed(reasons: &BTreeMap<String, usize>) -> String {
    let mut parts: Vec<_> = reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    parts.sort();
    parts.join(", ")
}

fn owner(pod: &Pod) -> Option<String> {
    owners::controller(&pod.metadata).map(|o| o.uid.clone())
}

#[cfg(test)]
mod tests;
