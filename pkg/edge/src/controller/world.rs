//! What the controller has seen of the API so far. Must not decide anything.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    core::v1::{ConfigMap, Node, Service},
    discovery::v1::EndpointSlice,
};
use kube::{Resource, ResourceExt};

use crate::{
    observe::{Change, SWITCH, Update},
    planner::{NodeView, ServiceKey, by_service},
};

/// All that was seen.
#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) services: BTreeMap<ServiceKey, Service>,
    pub(super) nodes: BTreeMap<String, NodeView>,
    slices: BTreeMap<ServiceKey, EndpointSlice>,
    switch: BTreeMap<ServiceKey, ConfigMap>,
    /// Services, nodes and switch were listed.
    listed: [bool; 3],
    /// The last one seen, for the log.
    pub(super) resource_version: String,
}

impl World {
    /// Notes an update.
    pub(super) fn take(&mut self, update: Update) {
        match update {
            Update::Services(change) => {
                self.listed[0] |= matches!(*change, Change::All(_));
                self.resource_version = newest(&change).unwrap_or(std::mem::take(&mut self.resource_version));
                note(&mut self.services, *change);
            }
            Update::Nodes(change) => {
                self.listed[1] |= matches!(*change, Change::All(_));
                self.resource_version = newest(&change).unwrap_or(std::mem::take(&mut self.resource_version));
                self.note_nodes(*change);
            }
            Update::Slices(change) => note(&mut self.slices, *change),
            Update::Switch(change) => {
                self.listed[2] |= matches!(*change, Change::All(_));
                note(&mut self.switch, *change);
            }
        }
    }

    /// Whether everything was listed once.
    pub(super) fn synced(&self) -> bool {
        self.listed == [true; 3]
    }

    /// Whether the cloud is on: unless the switch says "false".
    pub(super) fn enabled(&self) -> bool {
        let switch = self.switch.values().find(|map| map.name_any() == SWITCH.1);
        let value = switch.and_then(|map| map.data.as_ref()?.get(SWITCH.2));
        value.is_none_or(|value| value.trim() != "false")
    }

    /// The slices by the service that they belong to.
    pub(super) fn slices_by_service(&self) -> BTreeMap<ServiceKey, Vec<EndpointSlice>> {
        by_service(self.slices.values().cloned())
    }

    fn note_nodes(&mut self, change: Change<Node>) {
        let view = |node: &Node| Some((node.name_any(), NodeView::new(node)?));
        match change {
            Change::All(nodes) => self.nodes = nodes.iter().filter_map(view).collect(),
            Change::Delete(node) => drop(self.nodes.remove(&node.name_any())),
            Change::Apply(node) => match view(&node) {
                Some((name, view)) => drop(self.nodes.insert(name, view)),
                None => drop(self.nodes.remove(&node.name_any())),
            },
        }
    }
}

fn key<K: Resource>(object: &K) -> ServiceKey {
    ServiceKey { namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
}

fn note<K: Resource>(all: &mut BTreeMap<ServiceKey, K>, change: Change<K>) {
    match change {
        Change::All(objects) => *all = objects.into_iter().map(|object| (key(&object), object)).collect(),
        Change::Apply(object) => drop(all.insert(key(&object), object)),
        Change::Delete(object) => drop(all.remove(&key(&object))),
    }
}

fn newest<K: Resource>(change: &Change<K>) -> Option<String> {
    match change {
        Change::All(objects) => objects.last().and_then(ResourceExt::resource_version),
        Change::Apply(object) | Change::Delete(object) => object.resource_version(),
    }
}
