//! Who has to leave so that a pod of more priority finds room: as few and as unimportant pods as possible, and none that
//! a budget protects where that can be. Pure; follows Kubernetes' DefaultPreemption plugin.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use super::{Board, Wish, priority};
use crate::labels::{is_empty, selects};

/// A node and the pods that leave it.
#[derive(Debug, PartialEq, Default)]
pub(in crate::scheduler) struct Preemption {
    pub(in crate::scheduler) node: String,
    /// The most important first.
    pub(in crate::scheduler) victims: Vec<Arc<Pod>>,
    /// Pods of less priority that room was kept for on this node: they have to look elsewhere.
    pub(in crate::scheduler) outbid: Vec<Arc<Pod>>,
    /// The sentence of FailedScheduling.
    pub(in crate::scheduler) why: String,
}

/// What a candidate costs; the cheapest is taken.
type Cost = (usize, i32, i64, usize, Reverse<Timestamp>);

/// When a pod started; one that did not yet starts now.
fn started(pod: &Pod) -> Timestamp {
    pod.status.as_ref().and_then(|s| s.start_time.as_ref()).map_or(Timestamp::MAX, |t| t.0)
}

/// More important pods come first: more priority, then the longer run.
fn importance(pod: &Pod) -> (Reverse<i32>, Timestamp) {
    (Reverse(priority(pod)), started(pod))
}

impl Board {
    /// The cheapest way to make room in one of the places, or why there is none, by the number of places.
    pub(super) fn preempt(&mut self, wish: &Wish<'_>, places: &[usize]) -> Result<Preemption, BTreeMap<String, usize>> {
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        let mut best: Option<(Cost, usize, Vec<Arc<Pod>>)> = None;
        for at in places {
            match self.victims(*at, wish) {
                Ok((victims, violations)) => {
                    let cost = cost(&victims, violations);
                    if best.as_ref().is_none_or(|(c, ..)| cost < *c) {
                        best = Some((cost, *at, victims));
                    }
                }
                Err(refusals) => refusals.into_iter().for_each(|r| *reasons.entry(r).or_default() += 1),
            }
        }
        let Some((_, at, victims)) = best else { return Err(reasons) };
        let mine = priority(wish.pod);
        let outbid = self.nominated.iter().filter(|(p, place)| *place == at && priority(p) < mine);
        let outbid = outbid.map(|(p, _)| p.clone()).collect();
        Ok(Preemption { node: self.places[at].name.clone(), victims, outbid, why: String::new() })
    }

    /// The pods that have to leave a place, the most important first, and how many of them a budget protects; or why
    /// that does not help.
    fn victims(&mut self, at: usize, wish: &Wish<'_>) -> Result<(Vec<Arc<Pod>>, usize), Vec<String>> {
        let mine = priority(wish.pod);
        let mut lower: Vec<_> =
            self.places[at].tenants.iter().map(|t| t.pod.clone()).filter(|p| priority(p) < mine).collect();
        if lower.is_empty() {
            return Err(vec!["No preemption victims found for incoming pod".into()]);
        }
        lower.sort_by_key(|p| importance(p));
        let alone = self.places[at].without(|p| priority(p) >= mine);
        let before = std::mem::replace(&mut self.places[at], alone);
        let outcome = match self.refusal(at, wish) {
            Some(refusal) => Err(refusal.reasons),
            None => Ok(self.reprieve(at, wish, lower)),
        };
        self.places[at] = before;
        outcome
    }

    /// Lets as many stay as can: first those that a budget protects, and of both the most important first.
    fn reprieve(&mut self, at: usize, wish: &Wish<'_>, lower: Vec<Arc<Pod>>) -> (Vec<Arc<Pod>>, usize) {
        let (protected, free) = protected(lower, &self.budgets);
        let known = protected.len();
        let mut victims = Vec::new();
        let mut violations = 0;
        for (number, pod) in protected.into_iter().chain(free).enumerate() {
            let before = self.places[at].clone();
            self.places[at].add(&pod);
            if self.refusal(at, wish).is_some() {
                self.places[at] = before;
                violations += usize::from(number < known);
                victims.push(pod);
            }
        }
        victims.sort_by_key(|p| importance(p));
        (victims, violations)
    }
}

/// Parts pods into those whose leaving a budget forbids and others; each pod before uses up what its budgets allow.
fn protected(pods: Vec<Arc<Pod>>, budgets: &[Arc<PodDisruptionBudget>]) -> (Vec<Arc<Pod>>, Vec<Arc<Pod>>) {
    let mut allowed: Vec<i32> =
        budgets.iter().map(|b| b.status.as_ref().and_then(|s| s.disruptions_allowed).unwrap_or(0)).collect();
    pods.into_iter().partition(|pod| {
        let mut violated = false;
        for (budget, allowed) in budgets.iter().zip(&mut allowed) {
            let selector = budget.spec.as_ref().and_then(|s| s.selector.as_ref());
            let covers = pod.metadata.labels.as_ref().is_some_and(|l| !l.is_empty())
                && budget.metadata.namespace == pod.metadata.namespace
                && selector.is_some_and(|s| !is_empty(s) && selects(s, pod.metadata.labels.as_ref()));
            let name = pod.metadata.name.as_ref();
            let counted = budget.status.as_ref().and_then(|s| s.disrupted_pods.as_ref());
            if covers && !counted.is_some_and(|d| name.is_some_and(|n| d.contains_key(n))) {
                *allowed -= 1;
                violated |= *allowed < 0;
            }
        }
        violated
    })
}

/// Violated budgets, then the highest priority among the victims, then the sum of priorities, then their number, then
/// whose most important victims run for the shortest time.
fn cost(victims: &[Arc<Pod>], violations: usize) -> Cost {
    let highest = victims.iter().map(|p| priority(p)).max().unwrap_or(i32::MIN);
    let sum = victims.iter().map(|p| i64::from(priority(p)) + (1 << 31)).sum();
    let earliest = victims.iter().filter(|p| priority(p) == highest).map(|p| started(p)).min();
    (violations, highest, sum, victims.len(), Reverse(earliest.unwrap_or(Timestamp::MAX)))
}

#[cfg(test)]
mod tests;
