//! Which slices to create, update and delete so that a set of endpoints is there, touching as few slices as can be.
//! Pure; follows Kubernetes' `endpointslice/reconciler.go`.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::backends::{Backend, families, headless};
use super::{CONTROLLER, HEADLESS, MANAGED_BY, SERVICE_NAME, triggers};
use crate::labels::Labels;
use crate::owners;

/// Endpoints in one slice that is made from pods.
const CAPACITY: usize = 100;

/// Endpoints that share family and ports.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Group {
    pub(super) family: &'static str,
    pub(super) ports: Vec<EndpointPort>,
    pub(super) endpoints: Vec<Endpoint>,
}

/// Everything the slices of one owner should say.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) namespace: Option<String>,
    pub(super) prefix: String,
    pub(super) labels: Labels,
    pub(super) annotations: Option<Labels>,
    pub(super) owner: OwnerReference,
    pub(super) groups: Vec<Group>,
    /// Families that keep an empty slice when they have no endpoints.
    pub(super) placeholders: Vec<&'static str>,
    /// Endpoints in one slice.
    pub(super) capacity: usize,
}

/// What to do to get there.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    pub(super) create: Vec<EndpointSlice>,
    pub(super) update: Vec<EndpointSlice>,
    pub(super) delete: Vec<Arc<EndpointSlice>>,
}

impl Plan {
    pub(super) fn is_empty(&self) -> bool {
        self.create.is_empty() && self.update.is_empty() && self.delete.is_empty()
    }

    /// Writes on the slices that are written when their change happened.
    pub(super) fn stamp(&mut self, trigger: Option<Timestamp>) {
        let all = self.create.iter_mut().chain(&mut self.update);
        all.for_each(|slice| triggers::stamp(&mut slice.metadata, trigger));
    }
}

/// What the slices of a service should say.
pub(super) fn wanted(service: &Service, backends: &[Backend]) -> Wanted {
    let name = service.metadata.name.clone().unwrap_or_default();
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.remove(HEADLESS);
    labels.insert(SERVICE_NAME.into(), name.clone());
    labels.insert(MANAGED_BY.into(), CONTROLLER.into());
    if headless(service) {
        labels.insert(HEADLESS.into(), String::new());
    }
    let mut groups: Vec<Group> = Vec::new();
    for backend in backends {
        let endpoint = Endpoint {
            addresses: vec![backend.ip.clone()],
            conditions: Some(EndpointConditions {
                ready: Some(backend.ready),
                serving: Some(backend.serving),
                terminating: Some(backend.terminating),
            }),
            hostname: backend.hostname.clone(),
            node_name: backend.node.clone(),
            zone: backend.zone.clone(),
            target_ref: Some(backend.target.clone()),
            ..Endpoint::default()
        };
        add(&mut groups, backend.family, &backend.ports, endpoint);
    }
    Wanted {
        namespace: service.metadata.namespace.clone(),
        prefix: format!("{name}-"),
        labels,
        annotations: None,
        owner: owners::reference(service),
        groups,
        placeholders: families(service),
        capacity: CAPACITY,
    }
}

/// Adds an endpoint to the group of its family and ports.
pub(super) fn add(groups: &mut Vec<Group>, family: &'static str, ports: &[EndpointPort], endpoint: Endpoint) {
    match groups.iter_mut().find(|g| g.family == family && g.ports == ports) {
        Some(group) => group.endpoints.push(endpoint),
        None => groups.push(Group { family, ports: ports.to_vec(), endpoints: vec![endpoint] }),
    }
}

/// What makes an endpoint the same one when its conditions change.
fn identity(endpoint: &Endpoint) -> (String, Option<String>) {
    let uid = endpoint.target_ref.as_ref().and_then(|t| t.uid.clone());
    (endpoint.addresses.first().cloned().unwrap_or_default(), uid)
}

/// An existing slice and what becomes of it.
struct Draft {
    slice: Arc<EndpointSlice>,
    endpoints: Vec<Endpoint>,
    changed: bool,
}

/// Plans the way from the slices there are to those wanted.
pub(super) fn reconcile(wanted: &Wanted, existing: &[Arc<EndpointSlice>]) -> Plan {
    let mut plan = Plan::default();
    let mut fresh: Vec<(&'static str, Vec<EndpointPort>, Vec<Endpoint>)> = Vec::new();
    let mut spare: Vec<Arc<EndpointSlice>> = existing.to_vec();
    let mut kept: HashMap<&str, usize> = HashMap::new();
    for group in &wanted.groups {
        let fits = |s: &Arc<EndpointSlice>| {
            s.address_type == group.family && s.ports.as_deref().unwrap_or_default() == group.ports
        };
        let (mut drafts, rest): (Vec<_>, Vec<_>) = spare.into_iter().partition(fits);
        spare = rest;
        drafts.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
        let mut left = HashMap::new();
        for endpoint in &group.endpoints {
            left.entry(identity(endpoint)).or_insert(endpoint);
        }
        let mut drafts: Vec<_> = drafts.into_iter().map(|slice| Draft::new(slice, &mut left)).collect();
        let mut left: Vec<_> =
            group.endpoints.iter().filter(|e| left.remove(&identity(e)).is_some()).cloned().collect();
        fill(&mut drafts, &mut left, wanted.capacity);
        for draft in drafts {
            if draft.endpoints.is_empty() {
                spare.push(draft.slice);
                continue;
            }
            *kept.entry(group.family).or_default() += 1;
            let same = !draft.changed && same_meta(&draft.slice, wanted);
            if !same {
                plan.update.push(slice(wanted, Some(&draft.slice), group.family, &group.ports, draft.endpoints));
            }
        }
        for chunk in left.chunks(wanted.capacity) {
            *kept.entry(group.family).or_default() += 1;
            fresh.push((group.family, group.ports.clone(), chunk.to_vec()));
        }
    }
    for family in &wanted.placeholders {
        if !kept.contains_key(family) {
            fresh.push((family, Vec::new(), Vec::new()));
        }
    }
    // A slice that is not needed becomes one that is: an update instead of a delete and a create.
    for (family, ports, endpoints) in fresh {
        let reusable = spare.iter().position(|s| s.address_type == family && s.metadata.deletion_timestamp.is_none());
        match reusable.map(|n| spare.remove(n)) {
            Some(old) => {
                let new = slice(wanted, Some(&old), family, &ports, endpoints);
                let had = (old.ports.as_deref().unwrap_or_default(), old.endpoints.as_deref().unwrap_or_default());
                let has = (new.ports.as_deref().unwrap_or_default(), new.endpoints.as_deref().unwrap_or_default());
                if had != has || !same_meta(&old, wanted) {
                    plan.update.push(new);
                }
            }
            None => plan.create.push(slice(wanted, None, family, &ports, endpoints)),
        }
    }
    plan.delete = spare;
    plan
}

impl Draft {
    /// Keeps what is still wanted of a slice, in its order, and takes it out of `left`.
    fn new(slice: Arc<EndpointSlice>, left: &mut HashMap<(String, Option<String>), &Endpoint>) -> Self {
        let mut changed = false;
        let mut endpoints = Vec::new();
        for old in slice.endpoints.iter().flatten() {
            match left.remove(&identity(old)) {
                Some(new) => {
                    changed |= new != old;
                    endpoints.push(new.clone());
                }
                None => changed = true,
            }
        }
        Self { slice, endpoints, changed }
    }
}

/// Puts new endpoints where a write is due anyway; of the rest, what does not make up a whole slice goes into the
/// fullest slice that holds it. What stays in `left` belongs into new slices. As long as endpoints only come, no two
/// slices can then be merged into one: all but one are more than half full.
fn fill(drafts: &mut [Draft], left: &mut Vec<Endpoint>, capacity: usize) {
    for draft in drafts.iter_mut().filter(|d| d.changed && !d.endpoints.is_empty()) {
        let room = capacity.saturating_sub(draft.endpoints.len()).min(left.len());
        draft.endpoints.extend(left.drain(..room));
    }
    let remainder = left.len() % capacity;
    if remainder == 0 {
        return;
    }
    let holding = drafts.iter_mut().filter(|d| !d.endpoints.is_empty() && d.endpoints.len() + remainder <= capacity);
    if let Some(draft) = holding.max_by_key(|d| d.endpoints.len()) {
        draft.endpoints.extend(left.drain(left.len() - remainder..));
        draft.changed = true;
    }
}

fn same_meta(slice: &EndpointSlice, wanted: &Wanted) -> bool {
    let meta = &slice.metadata;
    meta.labels.as_ref() == Some(&wanted.labels)
        && wanted.annotations.as_ref().is_none_or(|a| meta.annotations.clone().unwrap_or_default() == *a)
        && meta.owner_references.iter().flatten().any(|o| *o == wanted.owner)
}

fn slice(
    wanted: &Wanted,
    old: Option<&EndpointSlice>,
    family: &str,
    ports: &[EndpointPort],
    endpoints: Vec<Endpoint>,
) -> EndpointSlice {
    let mut slice = EndpointSlice { address_type: family.to_owned(), ..EndpointSlice::default() };
    match old {
        Some(old) => slice.metadata = old.metadata.clone(),
        None => {
            slice.metadata.namespace = wanted.namespace.clone();
            slice.metadata.generate_name = Some(wanted.prefix.clone());
        }
    }
    slice.metadata.labels = Some(wanted.labels.clone());
    slice.metadata.owner_references = Some(vec![wanted.owner.clone()]);
    if let Some(annotations) = &wanted.annotations {
        slice.metadata.annotations = (!annotations.is_empty()).then(|| annotations.clone());
    }
    slice.ports = Some(ports.to_vec());
    slice.endpoints = Some(endpoints);
    slice
}

#[cfg(test)]
mod tests;
