//! A running container and its newest spec: what changes in place, and what needs a new start (KEP-1287).

use k8s_openapi::api::core::v1::{Container, ResourceRequirements};
use minisvc_kernel::Share;

use super::Life;
use crate::grant;
use crate::resources::{self, Change};
use crate::running::Running;

impl Life {
    /// Gives the container new resources while it runs; answers, in kubelet's words, once it has to be started anew.
    pub(super) async fn follow(&self, container: &Container, running: &Running) -> String {
        let mut pods = self.context.pod.clone();
        let mut granted = self.context.shared.granted.subscribe();
        let mut has = container.resources.clone().unwrap_or_default();
        loop {
            pods.borrow_and_update();
            granted.borrow_and_update();
            if let Some(newest) = self.context.container(&self.name) {
                if newest.image != container.image {
                    return format!("Container {} definition changed, will be restarted", self.name);
                }
                match resources::change(&has, &newest) {
                    Change::Nothing => {}
                    Change::Restart => return format!("Container {} resize requires restart", self.name),
                    Change::InPlace => {
                        has = newest.resources.clone().unwrap_or_default();
                        self.resize(running, &has);
                    }
                }
            }
            tokio::select! {
                changed = pods.changed() => if changed.is_err() {
                    std::future::pending::<()>().await;
                },
                Ok(()) = granted.changed() => {}
            }
        }
    }

    fn resize(&self, running: &Running, has: &ResourceRequirements) {
        let spec = self.context.granted();
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
        grant::done(&self.context);
    }
}
