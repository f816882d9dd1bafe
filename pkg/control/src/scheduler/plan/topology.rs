//! Where a pod may be for the sake of others: hard topology spread, pod affinity and anti-affinity. Pure; follows the
//! filters of Kubernetes' PodTopologySpread and InterPodAffinity plugins. What is only wished for is `score`'s.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::{Pod, PodAffinityTerm};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use super::place::{Place, Tenant};
use super::score::required;
use super::{Board, Refusal};
use crate::labels::{Labels, is_empty, selects};
use crate::pods;
use crate::scheduler::filter::{affinity_matches, untolerated};

/// A constraint of a pod.
pub(super) struct Spread {
    key: String,
    skew: i32,
    domains: i32,
    selector: Option<LabelSelector>,
    namespace: String,
    /// `nodeAffinityPolicy: Honor`: nodes that the pod's selectors rule out do not count.
    by_affinity: bool,
    /// `nodeTaintsPolicy: Honor`: nor do nodes whose taints it does not tolerate.
    by_taints: bool,
}

impl Spread {
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// `maxSkew`.
    pub(super) fn skew(&self) -> i32 {
        self.skew
    }

    fn selects(&self, labels: Option<&Labels>) -> bool {
        self.selector.as_ref().is_some_and(|s| selects(s, labels))
    }

    /// Whether a node is one of those that are compared.
    pub(super) fn counts(&self, pod: &Pod, place: &Place) -> bool {
        (!self.by_affinity || affinity_matches(pod, &place.node))
            && (!self.by_taints || untolerated(pod, place.taints(), &["NoSchedule", "NoExecute"]).is_none())
    }

    /// Pods of the constraint's kind in a place. A selector without requirements counts none (`countPodsMatchSelector`).
    pub(super) fn matching(&self, place: &Place) -> i32 {
        if self.selector.as_ref().is_some_and(is_empty) {
            return 0;
        }
        let counted = place.tenants.iter().filter(|t| {
            !pods::terminating(&t.pod)
                && t.namespace() == self.namespace
                && self.selects(t.pod.metadata.labels.as_ref())
        });
        i32::try_from(counted.count()).unwrap_or(i32::MAX)
    }
}

impl Board {
    /// Why a pod must not go to a place for the sake of others.
    pub(super) fn topology(&self, pod: &Pod, place: &Place, spreads: &[Spread]) -> Option<Refusal> {
        for spread in spreads {
            let Some(here) = place.label(&spread.key) else {
                let text = "node(s) didn't match pod topology spread constraints (missing required label)";
                return Some(Refusal::new(text, true));
            };
            let mut counts: HashMap<&str, i32> = HashMap::new();
            // Only nodes that have the keys of all constraints are compared.
            let whole = |p: &&Place| spreads.iter().all(|s| p.label(&s.key).is_some());
            for other in self.places.iter().filter(whole).filter(|p| spread.counts(pod, p)) {
                if let Some(domain) = other.label(&spread.key) {
                    *counts.entry(domain).or_default() += spread.matching(other);
                }
            }
            let domains = i32::try_from(counts.len()).unwrap_or(i32::MAX);
            let least = if spread.domains > domains { 0 } else { counts.values().min().copied().unwrap_or(0) };
            let mine = i32::from(spread.selects(pod.metadata.labels.as_ref()));
            if counts.get(here).copied().unwrap_or(0) + mine - least > spread.skew {
                return Some(Refusal::new("node(s) didn't match pod topology spread constraints", false));
            }
        }
        self.affinity(pod, place)
    }

    fn affinity(&self, pod: &Pod, place: &Place) -> Option<Refusal> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let labels = pod.metadata.labels.as_ref();
        let required = required(pod);
        if !required.is_empty() {
            // A pod is company when all terms are about it.
            let company = |t: &Tenant| required.iter().all(|term| self.matches(term, namespace, t));
            let near =
                |term: &PodAffinityTerm| self.near(place, &term.topology_key).any(|p| p.tenants.iter().any(company));
            // The first of a group that wants to be together may go anywhere.
            let first = || {
                required.iter().all(|term| self.about(term, namespace, namespace, labels))
                    && !self.places.iter().any(|p| {
                        p.tenants.iter().any(company) && required.iter().any(|t| p.label(&t.topology_key).is_some())
                    })
            };
            let labelled = required.iter().all(|term| place.label(&term.topology_key).is_some());
            if !labelled || !(required.iter().all(near) || first()) {
                return Some(Refusal::new("node(s) didn't match pod affinity rules", true));
            }
        }
        for term in anti_affinity(pod) {
            let has = |p: &Place| p.tenants.iter().any(|t| self.matches(&term, namespace, t));
            if self.near(place, &term.topology_key).any(has) {
                return Some(Refusal::new("node(s) didn't match pod anti-affinity rules", false));
            }
        }
        let objects = |other: &Place, t: &Tenant| {
            t.anti_affinity.iter().any(|term| {
                other.label(&term.topology_key).is_some_and(|l| place.label(&term.topology_key) == Some(l))
                    && self.about(term, t.namespace(), namespace, labels)
            })
        };
        let objecting = self.places.iter().any(|other| other.tenants.iter().any(|t| objects(other, t)));
        objecting.then(|| Refusal::new("node(s) didn't satisfy existing pods anti-affinity rules", false))
    }

    /// Places in the same domain.
    fn near<'a>(&'a self, place: &'a Place, key: &'a str) -> impl Iterator<Item = &'a Place> {
        self.places.iter().filter(move |p| p.label(key).is_some() && p.label(key) == place.label(key))
    }

    pub(super) fn matches(&self, term: &PodAffinityTerm, own: &str, tenant: &Tenant) -> bool {
        self.about(term, own, tenant.namespace(), tenant.pod.metadata.labels.as_ref())
    }

    /// Whether a term of a pod in namespace `own` is about a pod with these labels in `namespace`.
    pub(super) fn about(&self, term: &PodAffinityTerm, own: &str, namespace: &str, labels: Option<&Labels>) -> bool {
        let named = term.namespaces.as_deref().unwrap_or_default();
        let there = named.iter().any(|n| n == namespace)
            || match &term.namespace_selector {
                Some(selector) => selects(selector, self.namespaces.get(namespace)),
                None => named.is_empty() && own == namespace,
            };
        there && term.label_selector.as_ref().is_some_and(|s| selects(s, labels))
    }
}

/// The constraints of a pod with an action: `DoNotSchedule` or `ScheduleAnyway`.
pub(super) fn spreads(pod: &Pod, action: &str) -> Vec<Spread> {
    let constraints = pod.spec.as_ref().and_then(|s| s.topology_spread_constraints.as_ref());
    let such = constraints.into_iter().flatten().filter(|c| c.when_unsatisfiable == action);
    such.map(|c| {
        let mut selector = c.label_selector.clone();
        for key in c.match_label_keys.iter().flatten() {
            if let (Some(selector), Some(value)) =
                (&mut selector, pod.metadata.labels.as_ref().and_then(|l| l.get(key)))
            {
                let same = LabelSelectorRequirement {
                    key: key.clone(),
                    operator: "In".into(),
                    values: Some(vec![value.clone()]),
                };
                selector.match_expressions.get_or_insert_default().push(same);
            }
        }
        Spread {
            key: c.topology_key.clone(),
            skew: c.max_skew,
            domains: c.min_domains.unwrap_or(1),
            selector,
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            by_affinity: c.node_affinity_policy.as_deref() != Some("Ignore"),
            by_taints: c.node_taints_policy.as_deref() == Some("Honor"),
        }
    })
    .collect()
}

/// The required anti-affinity terms of a pod.
pub(super) fn anti_affinity(pod: &Pod) -> Vec<PodAffinityTerm> {
    let affinity = pod.spec.as_ref().and_then(|s| s.affinity.as_ref()?.pod_anti_affinity.as_ref());
    affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.clone()).unwrap_or_default()
}
