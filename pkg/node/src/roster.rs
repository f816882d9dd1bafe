//! The pods that live on this node, found by namespace and name: for the node's server. Must not keep what left.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::context::Shared;
use crate::names::namespace;
use crate::running::SharedRunning;
use crate::server::Occupant;
use crate::status::pod_status;

/// Pods by namespace and name.
#[derive(Default)]
pub(crate) struct Roster(Mutex<HashMap<(String, String), Resident>>);

/// A pod that lives here.
#[derive(Clone)]
pub(crate) struct Resident {
    uid: String,
    pod: watch::Receiver<Arc<Pod>>,
    /// None for a pod that had ended before this node's process came.
    pub(crate) shared: Option<Arc<Shared>>,
}

fn key(pod: &Pod) -> (String, String) {
    (namespace(pod).to_owned(), pod.metadata.name.clone().unwrap_or_default())
}

impl Roster {
    /// A pod that arrived, with the receiver of its newest object.
    pub(crate) fn arrives(&self, pod: &Pod, newest: watch::Receiver<Arc<Pod>>) {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        self.0.lock().insert(key(pod), Resident { uid, pod: newest, shared: None });
    }

    /// What its tasks share, once they begin.
    pub(crate) fn works(&self, pod: &Pod, shared: Arc<Shared>) {
        if let Some(resident) = self.0.lock().get_mut(&key(pod))
            && Some(&resident.uid) == pod.metadata.uid.as_ref()
        {
            resident.shared = Some(shared);
        }
    }

    /// A pod that is gone, unless another has taken its name.
    pub(crate) fn leaves(&self, pod: &Pod) {
        let mut residents = self.0.lock();
        if residents.get(&key(pod)).is_some_and(|resident| Some(&resident.uid) == pod.metadata.uid.as_ref()) {
            residents.remove(&key(pod));
        }
    }

    /// The pod of that name.
    pub(crate) fn find(&self, namespace: &str, name: &str) -> Option<Resident> {
        self.0.lock().get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    /// The containers that run, for those who count what they use.
    pub(crate) fn occupants(&self) -> Vec<Occupant> {
        let residents: Vec<((String, String), Resident)> =
            self.0.lock().iter().map(|(key, resident)| (key.clone(), resident.clone())).collect();
        let mut all = Vec::new();
        for ((namespace, pod), resident) in residents {
            let Some(shared) = &resident.shared else { continue };
            for (container, running) in shared.running.lock().iter() {
                all.push(Occupant {
                    namespace: namespace.clone(),
                    pod: pod.clone(),
                    container: container.clone(),
                    since: running.since,
                    pid: running.child.pid,
                    shares: running.shares_processes(),
                });
            }
        }
        all
    }

    /// All of them, as the API would show them.
    pub(crate) fn objects(&self) -> Vec<Pod> {
        let residents: Vec<Resident> = self.0.lock().values().cloned().collect();
        residents
            .into_iter()
            .map(|resident| Pod { status: Some(resident.status()), ..(*resident.pod()).clone() })
            .collect()
    }
}

impl Resident {
    /// The newest object.
    pub(crate) fn pod(&self) -> Arc<Pod> {
        self.pod.borrow().clone()
    }

    /// The pod's state as this node knows it, which the API may not have heard yet.
    pub(crate) fn status(&self) -> PodStatus {
        let pod = self.pod();
        match &self.shared {
            Some(shared) => pod_status(&pod, &mut shared.sheet.lock().clone(), Timestamp::now()),
            None => pod.status.clone().unwrap_or_default(),
        }
    }

    /// The container of that name, if it runs.
    pub(crate) fn running(&self, container: &str) -> Option<SharedRunning> {
        self.shared.as_ref()?.running.lock().get(container).cloned()
    }
}
