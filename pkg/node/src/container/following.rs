//! A running container and its newest spec: what changes in place, and what needs a new start (KEP-1287).

use k8s_openapi::api::core::v1::{Container, ResourceRequirements};
use minisvc_kernel::Share;

use super::Life;
use crate::context::find_container;
use crate::machine;
use crate::resources::{self, Change};
use crate::running::Running;

impl Life {
    /// Gives the container new resources while it runs; answers, in kubelet's words, once it has to be started anew.
    pub(super) async fn follow(&self, container: &Container, running: &Running) -> String {
        let mut pods = self.context.pod.clone();
        let mut has = container.resources.clone().unwrap_or_default();
        loop {
            let pod = pods.borrow_and_update().clone();
            if let Some(newest) = find_container(&pod, &self.name) {
                if newest.image != container.image {
                    return format!("Container {} definition changed, will be restarted", self.name);
                }
                let change = resources::change(&has, &newest);
                let infeasible = resources::infeasible(&pod, machine::cores(), machine::memory_bytes());
                self.context.shared.update(|sheet| sheet.infeasible = infeasible.clone());
                match change {
                    Change::Nothing => {}
                    _ if infeasible.is_some() => {}
                    Change::Restart => return format!("Container {} resize requires restart", self.name),
                    Change::InPlace => {
                        has = newest.resources.clone().unwrap_or_default();
                        self.resize(running, &has);
                    }
                }
            }
            if pods.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    fn resize(&self, running: &Running, has: &ResourceRequirements) {
        let spec = self.context.pod().spec.clone().unwrap_or_default();
        let share = resources::share(has, spec.resources.as_ref());
        // No group may have more than the one around it: that one is opened first, and closed last.
        let of_pod = self.context.cgroup();
        let pods = resources::pod_share(&spec);
        let open = of_pod.as_ref().map(|group| group.share(&Share { cpu_quota: None, memory: None, ..pods }));
        let own = running.cgroup.as_ref().map(|group| group.share(&share));
        let closed = of_pod.as_ref().map(|group| group.share(&pods));
        for failure in [open, own, closed].into_iter().flatten().filter_map(Result::err) {
            tracing::warn!(error = %failure, container = self.name, "resources not given");
            self.context.node.recorder.warning(&self.about, "ResizeError", failure.to_string());
        }
        self.context.shared.update(|sheet| sheet.records[self.index].resources = Some(has.clone()));
    }
}
