//! The rolling update of a DaemonSet: which old pods go and which new ones come, as far as maxUnavailable or maxSurge
//! allows. Pure; follows `rollingUpdate` of Kubernetes' `pkg/controller/daemon/update.go`.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Pod;

use super::plan::{Plan, current, pod_for};
use crate::pods;

/// What a rolling update is judged by.
pub(super) struct Roll<'a> {
    pub(super) set: &'a DaemonSet,
    /// The label of the present template's revision.
    pub(super) hash: &'a str,
    /// Names of nodes, whether a pod should start there, and whether one may stay.
    pub(super) fit: &'a [(&'a str, (bool, bool))],
    pub(super) on: &'a BTreeMap<&'a str, Vec<&'a Arc<Pod>>>,
    pub(super) available: &'a dyn Fn(&Pod) -> bool,
}

/// The new and the old pod of a node; more than one of a sort are for the main step to clear.
enum Pair<'a> {
    Crowd,
    Of(Option<&'a Arc<Pod>>, Option<&'a Arc<Pod>>),
}

fn room(n: i32) -> usize {
    usize::try_from(n).unwrap_or(0)
}

impl<'a> Roll<'a> {
    fn pair(&self, name: &str) -> Option<Pair<'a>> {
        let there = self.on.get(name)?;
        let (mut new, mut old) = (None, None);
        for pod in there.iter().copied().filter(|p| !pods::terminating(p)) {
            let slot = if current(self.hash, pod) { &mut new } else { &mut old };
            if slot.replace(pod).is_some() {
                return Some(Pair::Crowd);
            }
        }
        Some(Pair::Of(new, old))
    }

    /// Nodes that pods are on or come to in this step.
    fn nodes(&self) -> impl Iterator<Item = (&'a str, bool, Pair<'a>)> {
        self.fit.iter().filter_map(|(name, (start, _))| match self.pair(name) {
            Some(pair) => Some((*name, *start, pair)),
            None => start.then_some((*name, true, Pair::Of(None, None))),
        })
    }

    /// Old pods go, those that are not available at once, and the main step makes new ones when they are gone.
    pub(super) fn replace(&self, most: i32, plan: &mut Plan) {
        let mut missing = 0;
        let (mut healthy, mut broken) = (Vec::new(), Vec::new());
        for (_, _, pair) in self.nodes() {
            match pair {
                Pair::Of(Some(new), None) => missing += i32::from(!(self.available)(new)),
                Pair::Of(None, Some(old)) if (self.available)(old) => healthy.push(old.clone()),
                Pair::Of(None, Some(old)) => {
                    missing += 1;
                    broken.push(old.clone());
                }
                Pair::Of(..) | Pair::Crowd => missing += 1,
            }
        }
        plan.delete.extend(broken);
        plan.delete.extend(healthy.into_iter().take(room(most - missing)));
    }

    /// New pods come beside old ones; an old one goes when its successor is available, or when there are more than enough
    /// on nodes that the set has left.
    pub(super) fn surge(&self, most: i32, wanted: usize, plan: &mut Plan) {
        let (mut surging, mut available) = (0, 0_usize);
        let (mut next, mut left) = (Vec::new(), Vec::new());
        for (name, start, pair) in self.nodes() {
            let Pair::Of(new, old) = pair else {
                surging += 1;
                continue;
            };
            available += usize::from(old.or(new).is_some_and(|p| (self.available)(p)));
            match (new, old) {
                (Some(new), Some(_)) => surging += i32::from(!(self.available)(new)),
                (None, Some(old)) if !start && (self.available)(old) => left.push(old.clone()),
                (None, Some(old)) if !start => plan.delete.push(old.clone()),
                (None, Some(old)) if (self.available)(old) => next.push(name),
                (None, Some(_)) => plan.create.push(pod_for(self.set, self.hash, Some(name))),
                (_, None) => {}
            }
        }
        plan.delete.extend(left.into_iter().take(available.saturating_sub(wanted)));
        let come = next.into_iter().take(room(most - surging));
        plan.create.extend(come.map(|name| pod_for(self.set, self.hash, Some(name))));
    }
}
