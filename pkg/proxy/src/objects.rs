//! What the API server says, kept by the loop: objects by name, and which services and pods changed. Must not plan.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use k8s_openapi::api::{
    core::v1::{Node, Pod, Service},
    discovery::v1::EndpointSlice,
};
use kube::{Resource, runtime::watcher::Event};

use crate::planner::{Name, name_of, service_of};

/// What an event changed: an object's name, the object before and after.
type Changed<K> = (Name, Option<Arc<K>>, Option<Arc<K>>);

/// One kind's objects, filled by a watch.
pub(crate) struct Kept<K> {
    objects: BTreeMap<Name, Arc<K>>,
    arriving: Option<BTreeSet<Name>>,
    pub(crate) complete: bool,
}

impl<K> Default for Kept<K> {
    fn default() -> Self {
        Self { objects: BTreeMap::new(), arriving: None, complete: false }
    }
}

impl<K: Resource> Kept<K> {
    pub(crate) fn get(&self, name: &Name) -> Option<&Arc<K>> {
        self.objects.get(name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Name, &Arc<K>)> {
        self.objects.iter()
    }

    /// Takes in an event; gives what changed: the old and the new object.
    pub(crate) fn take(&mut self, event: Event<K>) -> Vec<Changed<K>> {
        match event {
            Event::Init => {
                self.arriving = Some(BTreeSet::new());
                Vec::new()
            }
            Event::InitApply(object) | Event::Apply(object) => {
                let name = name_of(object.meta());
                if let Some(arriving) = &mut self.arriving {
                    arriving.insert(name.clone());
                }
                let object = Arc::new(object);
                let old = self.objects.insert(name.clone(), object.clone());
                vec![(name, old, Some(object))]
            }
            Event::Delete(object) => {
                let name = name_of(object.meta());
                let old = self.objects.remove(&name);
                vec![(name, old, None)]
            }
            Event::InitDone => {
                self.complete = true;
                let Some(arrived) = self.arriving.take() else { return Vec::new() };
                let gone: Vec<Name> = self.objects.keys().filter(|name| !arrived.contains(*name)).cloned().collect();
                gone.into_iter()
                    .map(|name| {
                        let old = self.objects.remove(&name);
                        (name, old, None)
                    })
                    .collect()
            }
        }
    }
}

/// All that a proxy looks at.
#[derive(Default)]
pub(crate) struct Objects {
    pub(crate) services: Kept<Service>,
    pub(crate) slices: Kept<EndpointSlice>,
    pub(crate) pods: Kept<Pod>,
    pub(crate) nodes: Kept<Node>,
    /// The names of each service's slices.
    slices_of: BTreeMap<Name, BTreeSet<Name>>,
    /// Services whose plan may have changed.
    pub(crate) dirty_services: BTreeSet<Name>,
    /// Pods whose host ports may have changed.
    pub(crate) dirty_pods: BTreeSet<Name>,
    /// Whether the node's object changed.
    pub(crate) dirty_node: bool,
    /// The newest resource version among the changes.
    pub(crate) revision: u64,
}

impl Objects {
    /// Whether all kinds have been listed once, so that the rules would be whole. Pods and the node may come later:
    /// a node that is just joining has neither.
    pub(crate) fn complete(&self) -> bool {
        self.services.complete && self.slices.complete && self.nodes.complete
    }

    /// Whether anything waits to be planned.
    pub(crate) fn dirty(&self) -> bool {
        self.dirty_node || !self.dirty_services.is_empty() || !self.dirty_pods.is_empty()
    }

    fn saw<K: Resource>(&mut self, object: Option<&Arc<K>>) {
        let version = object.and_then(|object| object.meta().resource_version.as_deref()?.parse().ok());
        self.revision = self.revision.max(version.unwrap_or_default());
    }

    pub(crate) fn service(&mut self, event: Event<Service>) {
        for (name, _, new) in self.services.take(event) {
            self.saw(new.as_ref());
            self.dirty_services.insert(name);
        }
    }

    pub(crate) fn slice(&mut self, event: Event<EndpointSlice>) {
        for (name, old, new) in self.slices.take(event) {
            self.saw(new.as_ref());
            let (before, now) = (old.as_deref().and_then(service_of), new.as_deref().and_then(service_of));
            if let Some(service) = before {
                if let Some(names) = self.slices_of.get_mut(&service) {
                    names.remove(&name);
                    if names.is_empty() {
                        self.slices_of.remove(&service);
                    }
                }
                self.dirty_services.insert(service);
            }
            if let Some(service) = now {
                self.slices_of.entry(service.clone()).or_default().insert(name);
                self.dirty_services.insert(service);
            }
        }
    }

    pub(crate) fn pod(&mut self, event: Event<Pod>) {
        for (name, old, new) in self.pods.take(event) {
            if [&old, &new].into_iter().flatten().any(|pod| has_host_port(pod)) {
                self.saw(new.as_ref());
                self.dirty_pods.insert(name);
            }
        }
    }

    pub(crate) fn node(&mut self, event: Event<Node>) {
        self.dirty_node |= !self.nodes.take(event).is_empty();
    }

    /// A service's slices.
    pub(crate) fn slices_of(&self, service: &Name) -> Vec<&EndpointSlice> {
        let names = self.slices_of.get(service).into_iter().flatten();
        names.filter_map(|name| self.slices.get(name).map(Arc::as_ref)).collect()
    }
}

fn has_host_port(pod: &Pod) -> bool {
    let spec = pod.spec.as_ref();
    let containers = spec.into_iter().flat_map(|s| s.containers.iter().chain(s.init_containers.iter().flatten()));
    containers.flat_map(|container| container.ports.iter().flatten()).any(|port| port.host_port.unwrap_or(0) != 0)
}
