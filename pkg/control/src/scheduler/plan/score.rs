//! How well a pod would stand on each of the places where it may go, for what it, the nodes and the pods there wish for.
//! Pure; follows the score plugins TaintToleration, NodeAffinity, PodTopologySpread and InterPodAffinity of Kubernetes'
//! scheduler with their default weights.

use std::collections::{HashMap, HashSet};

use k8s_openapi::api::core::v1::{Pod, PodAffinityTerm};

use super::topology::Spread;
use super::{Board, Wish};
use crate::scheduler::filter::{preference, soft_taints};

/// What one plugin gives at most (`MaxNodeScore`).
const MOST: i64 = 100;
/// The label of a node's own name; such domains are counted place by place.
const HOSTNAME: &str = "kubernetes.io/hostname";
/// What a pod that has to be with others is worth to those (`hardPodAffinityWeight`).
const HARD: i64 = 1;

impl Board {
    /// The sum of what the plugins give to each of `at`, numbers of places, in that order.
    pub(super) fn scores(&self, wish: &Wish<'_>, at: &[usize]) -> Vec<i64> {
        let pod = wish.pod;
        let nodes = || at.iter().map(|at| &self.places[*at]);
        let taints = nodes().map(|p| soft_taints(pod, p.taints())).collect();
        let likes = nodes().map(|p| preference(pod, &p.node)).collect();
        let plugins = [
            (3, normal(taints, true)),
            (2, normal(likes, false)),
            (2, self.spread_score(pod, &wish.soft, at)),
            (2, self.company_score(pod, at)),
        ];
        let sum = |n: usize| plugins.iter().map(|(weight, scores)| weight * scores[n]).sum();
        (0..at.len()).map(sum).collect()
    }

    /// The fewer pods of its kind a domain has, the better, by `whenUnsatisfiable: ScheduleAnyway`.
    fn spread_score(&self, pod: &Pod, soft: &[Spread], at: &[usize]) -> Vec<i64> {
        if soft.is_empty() {
            return vec![0; at.len()];
        }
        // Places that lack one of the keys get nothing.
        let whole = |n: usize| soft.iter().all(|s| self.places[n].label(s.key()).is_some());
        let candidates: Vec<usize> = at.iter().copied().filter(|n| whole(*n)).collect();
        let mut counts: Vec<HashMap<&str, i32>> = Vec::new();
        for spread in soft {
            let label = |n: usize| self.places[n].label(spread.key());
            let mut domains: HashMap<&str, i32> = candidates.iter().filter_map(|n| Some((label(*n)?, 0))).collect();
            for (n, place) in self.places.iter().enumerate().filter(|(n, p)| whole(*n) && spread.counts(pod, p)) {
                if let Some(count) = label(n).and_then(|l| domains.get_mut(l)) {
                    *count += spread.matching(place);
                }
            }
            counts.push(domains);
        }
        let raw = |n: usize| {
            let mut sum = 0.0;
            for (spread, domains) in soft.iter().zip(&counts) {
                let host = spread.key() == HOSTNAME;
                let size = if host { candidates.len() } else { domains.len() };
                let count = match self.places[n].label(spread.key()) {
                    Some(_) if host => spread.matching(&self.places[n]),
                    Some(domain) => domains.get(domain).copied().unwrap_or(0),
                    None => continue,
                };
                #[expect(clippy::cast_precision_loss, reason = "a number of domains")]
                let weight = ((size + 2) as f64).ln();
                sum += f64::from(count) * weight + f64::from(spread.skew() - 1);
            }
            #[expect(clippy::cast_possible_truncation, reason = "a sum of counts; the cast saturates")]
            let whole = sum.round() as i64;
            whole
        };
        let known: HashMap<usize, i64> = candidates.iter().map(|n| (*n, raw(*n))).collect();
        let least = known.values().copied().min().unwrap_or(0);
        let most = known.values().copied().max().unwrap_or(0);
        let score = |n: &usize| match known.get(n) {
            None => 0,
            Some(_) if most == 0 => MOST,
            Some(raw) => MOST * (most + least - raw) / most,
        };
        at.iter().map(score).collect()
    }

    /// Near those whom the pod likes or who like it, far from the others.
    fn company_score(&self, pod: &Pod, at: &[usize]) -> Vec<i64> {
        let own = pod.metadata.namespace.as_deref().unwrap_or_default();
        let labels = pod.metadata.labels.as_ref();
        let (likes, dislikes) = (preferred(pod, true), preferred(pod, false));
        let asks = !likes.is_empty() || !dislikes.is_empty();
        let mut sums: HashMap<(&str, &str), i64> = HashMap::new();
        for place in &self.places {
            for tenant in &place.tenants {
                let there = &*tenant.pod;
                let wishes = there.spec.as_ref().is_some_and(|s| s.affinity.is_some());
                if !asks && !wishes {
                    continue;
                }
                let mine = likes.iter().chain(&dislikes).filter(|(term, _)| self.matches(term, own, tenant));
                let theirs = required(there).iter().map(|term| (term, HARD));
                let theirs = theirs.chain(preferred(there, true)).chain(preferred(there, false));
                let theirs = theirs.filter(|(term, _)| wishes && self.about(term, tenant.namespace(), own, labels));
                for (term, weight) in mine.copied().chain(theirs) {
                    if let Some(domain) = place.label(&term.topology_key) {
                        *sums.entry((&term.topology_key, domain)).or_default() += weight;
                    }
                }
            }
        }
        let keys: HashSet<&str> = sums.keys().map(|(key, _)| *key).collect();
        let raw = |at: &usize| -> i64 {
            let domains = keys.iter().filter_map(|key| Some((*key, self.places[*at].label(key)?)));
            domains.filter_map(|domain| sums.get(&domain)).sum()
        };
        let raw: Vec<i64> = at.iter().map(raw).collect();
        let (least, most) = (raw.iter().copied().min().unwrap_or(0), raw.iter().copied().max().unwrap_or(0));
        raw.into_iter().map(|score| if most > least { MOST * (score - least) / (most - least) } else { 0 }).collect()
    }
}

/// Brings scores to 0..=100 by the highest (`DefaultNormalizeScore`); `turned`: less is better.
fn normal(scores: Vec<i64>, turned: bool) -> Vec<i64> {
    let most = scores.iter().copied().max().unwrap_or(0);
    let share = |score: i64| if most == 0 { 0 } else { MOST * score / most };
    scores.into_iter().map(|score| if turned { MOST - share(score) } else { share(score) }).collect()
}

/// The terms that a pod prefers to hold with their weights, those of pods to avoid negative.
fn preferred(pod: &Pod, near: bool) -> Vec<(&PodAffinityTerm, i64)> {
    let affinity = pod.spec.as_ref().and_then(|s| s.affinity.as_ref());
    let terms = affinity.and_then(|a| {
        if near {
            a.pod_affinity.as_ref()?.preferred_during_scheduling_ignored_during_execution.as_ref()
        } else {
            a.pod_anti_affinity.as_ref()?.preferred_during_scheduling_ignored_during_execution.as_ref()
        }
    });
    let sign = if near { 1 } else { -1 };
    terms.into_iter().flatten().map(|t| (&t.pod_affinity_term, sign * i64::from(t.weight))).collect()
}

/// The terms of pods that a pod has to be with.
pub(super) fn required(pod: &Pod) -> &[PodAffinityTerm] {
    let affinity = pod.spec.as_ref().and_then(|s| s.affinity.as_ref()?.pod_affinity.as_ref());
    affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_deref()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
