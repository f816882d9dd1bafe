//! The driver of one pod: one task from the pod's arrival on this node to its removal.
//!
//! ```text
//!            ┌────────── terminal already (Succeeded/Failed) ───────────┐
//!  arrival ──┤                                                          ▼
//!            └► sandbox ─► volumes ─► init containers ─► containers ─► done ──┐
//!                  │           │        one by one       side by side         │
//!                  └───────────┴── order to end ──────────────┘               ▼
//!                     (deletion, deadline; preStop, TERM, grace, KILL)   waits for deletion
//!                                                                             │
//!                      removed ◄── DELETE grace 0, same uid ◄── sandbox gone ◄┘
//! ```
//!
//! Beside it runs the writer of the pod's status: one write for ContainerCreating, one for whatever is true after that.
//! Containers keep their own loops (`container.rs`); all meet on the pod's sheet.

mod containers;
mod volumes;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use minisvc_kernel::Cgroup;
use tokio::sync::watch;
use tokio::time::Instant;

use self::volumes::{make_volumes, overfull, refresh, unmount_all};
use crate::admission::admit;
use crate::arrival::{earlier_address, first_sheet};
use crate::backoff::Backoff;
use crate::context::{PodContext, Shared, Stop, StopSignal, cgroup, pause, pod_folder};
use crate::events::reference;
use crate::grant;
use crate::names::{self, namespace};
use crate::node::Node;
use crate::process::grace_seconds;
use crate::room::Refusal;
use crate::root::Names;
use crate::running::Aborted;
use crate::sandbox::Sandbox;
use crate::writer::{write_status, write_statuses};

/// What an evicted pod's containers get (kubelet's `immediateEvictionGracePeriodSeconds`).
const EVICTION_GRACE: Duration = Duration::from_secs(1);

/// Drives the pod until it is gone. `pods` carries its newest object; its sender is dropped when the API removed it.
pub(crate) async fn drive(node: Arc<Node>, mut pods: watch::Receiver<Arc<Pod>>) {
    let pod = pods.borrow_and_update().clone();
    node.roster.arrives(&pod, pods.clone());
    let terminal =
        pod.status.as_ref().is_some_and(|status| matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")));
    if !terminal {
        if let Some(ip) = earlier_address(&pod) {
            node.addresses.lock().skip(ip);
        }
        let granted = Arc::new(grant::first(&pod));
        let sheet = first_sheet(&pod, node.config.node_ip, Timestamp::now());
        let shared = Arc::new(Shared::new(sheet, granted.clone()));
        node.roster.works(&pod, shared.clone());
        let (order, stop) = watch::channel(None);
        let writing = Aborted(tokio::spawn(write_statuses(node.clone(), pods.clone(), shared.clone())));
        match admit(&node, &granted).await {
            Err(Refusal { reason, message }) => {
                node.recorder.warning(&reference(&pod, None), reason.clone(), message.clone());
                let text = format!("Pod was rejected: {message}");
                shared.update(|sheet| sheet.failed = Some((reason, text)));
            }
            Ok(()) => {
                let work = live(node.clone(), pods.clone(), shared.clone(), stop);
                supervise(&node, &mut pods, &shared, order, work).await;
            }
        }
        drop(writing);
        node.ledger.release(&pod);
        shared.update(|sheet| {
            sheet.sandbox_ready = false;
            sheet.over = true;
        });
        let pod = pods.borrow().clone();
        // The last word, which watchers and controllers see before the object goes; a pod already gone needs none.
        if pods.has_changed().is_ok() {
            write_status(&node, &pod, &shared, None).await;
        }
    }
    while pods.borrow_and_update().metadata.deletion_timestamp.is_none() {
        if pods.changed().await.is_err() {
            break;
        }
    }
    if pods.has_changed().is_ok() {
        let newest = pods.borrow().clone();
        remove(&node, &newest).await;
    }
    node.roster.leaves(&pod);
    clean(&node, &pod);
}

/// Runs the pod's work, and hands it the order to end when the object says so.
async fn supervise(
    node: &Node,
    pods: &mut watch::Receiver<Arc<Pod>>,
    shared: &Shared,
    order: watch::Sender<Option<Stop>>,
    work: impl Future<Output = ()>,
) {
    let mut work = std::pin::pin!(work);
    let started = shared.sheet.lock().start_time;
    let mut deleted_at: Option<Instant> = None;
    let mut gone = false;
    let mut evicted = shared.evicted.subscribe();
    loop {
        let pod = pods.borrow_and_update().clone();
        if pod.metadata.deletion_timestamp.is_some() {
            let since = *deleted_at.get_or_insert_with(Instant::now);
            // The clock of the order is ours: the timestamp says when the API expects the pod to be gone.
            let deadline = since + Duration::from_secs(grace_seconds(&pod) as u64);
            order.send_if_modified(|old| {
                let newer = Stop { deadline: old.map_or(deadline, |old: Stop| old.deadline.min(deadline)) };
                old.replace(newer) != Some(newer)
            });
        }
        // The limit may change while the pod runs.
        let limit = pod.spec.as_ref().and_then(|spec| spec.active_deadline_seconds);
        let overdue = async {
            match limit {
                Some(limit) if order.borrow().is_none() => {
                    let left = started.as_second() + limit - Timestamp::now().as_second();
                    tokio::time::sleep(Duration::from_secs(left.max(0) as u64)).await;
                }
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            () = &mut work => return,
            changed = pods.changed(), if !gone => if changed.is_err() {
                // Removed by force: nobody waits for a grace any more, and its place is given to others already.
                gone = true;
                node.ledger.release(&pod);
                let _ = order.send(Some(Stop { deadline: Instant::now() }));
            },
            () = overdue => {
                let text = "Pod was active on the node longer than the specified deadline".to_owned();
                node.recorder.normal(&reference(&pod, None), "DeadlineExceeded", text.clone());
                shared.update(|sheet| sheet.failed = Some(("DeadlineExceeded".into(), text)));
                let grace = Duration::from_secs(grace_seconds(&pod) as u64);
                let _ = order.send(Some(Stop { deadline: Instant::now() + grace }));
            }
            Ok(()) = evicted.changed() => {
                let text = evicted.borrow_and_update().clone().unwrap_or_default();
                node.recorder.warning(&reference(&pod, None), "Evicted", text.clone());
                shared.update(|sheet| sheet.failed = Some(("Evicted".into(), text)));
                let _ = order.send(Some(Stop { deadline: Instant::now() + EVICTION_GRACE }));
            }
        }
    }
}

/// Sandbox, volumes, init containers, containers; ends when all containers ended for good or by order.
async fn live(node: Arc<Node>, pods: watch::Receiver<Arc<Pod>>, shared: Arc<Shared>, mut stop: StopSignal) {
    let mut known = node.services_known.clone();
    let _ = tokio::time::timeout(Duration::from_secs(2), known.wait_for(|known| *known)).await;
    let Some(sandbox) = make_sandbox(&node, &pods, &shared, &mut stop).await else { return };
    let ip = sandbox.ip;
    shared.update(|sheet| {
        sheet.sandbox_ready = true;
        sheet.pod_ip = Some(ip);
    });
    *shared.network.lock() = Some(sandbox.netns.clone());
    let pod = pods.borrow().clone();
    let folder = pod_folder(&node, &pod);
    if let Some(volumes) = make_volumes(&node, &pods, &shared, &folder, ip, &mut stop).await {
        let names = files_of(&node, &pod, ip);
        let network = shared.clone();
        let context = Arc::new(PodContext { node: node.clone(), pod: pods, shared, sandbox, names, volumes, folder });
        let refreshing = Aborted(tokio::spawn(refresh(context.clone())));
        let granting = Aborted(tokio::spawn(grant::follow(context.clone())));
        let (measured, sheet) = (overfull(context.folder.clone(), pod.clone()), context.shared.clone());
        let measuring = Aborted(tokio::spawn(async move {
            let text = measured.await;
            sheet.evicted.send_replace(Some(text));
        }));
        containers::run(&context, stop).await;
        drop((refreshing, measuring, granting));
        *network.network.lock() = None;
        context.sandbox.destroy(&node).await;
    } else {
        sandbox.destroy(&node).await;
    }
}

async fn make_sandbox(
    node: &Node,
    pods: &watch::Receiver<Arc<Pod>>,
    shared: &Shared,
    stop: &mut StopSignal,
) -> Option<Sandbox> {
    let mut backoff = Backoff::setup();
    loop {
        if stop.borrow().is_some() {
            return None;
        }
        let pod = pods.borrow().clone();
        match Sandbox::create(node, &pod).await {
            Ok(sandbox) => return Some(sandbox),
            Err(error) => {
                tracing::warn!(%error, pod = pod.metadata.name, "no sandbox");
                let text = format!("Failed to create pod sandbox: {error}");
                node.recorder.warning(&reference(&pod, None), "FailedCreatePodSandBox", text);
                shared.update(|sheet| sheet.sandbox_ready = false);
                if pause(stop, backoff.after(Duration::ZERO)).await {
                    return None;
                }
            }
        }
    }
}

fn files_of(node: &Node, pod: &Pod, ip: std::net::Ipv4Addr) -> Names {
    let config = &node.config;
    let hostname = names::hostname(pod, &config.node_name);
    let host_hosts = || std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let host_network = pod.spec.as_ref().and_then(|spec| spec.host_network) == Some(true);
    let hosts = names::hosts(
        pod,
        ip,
        &hostname,
        &config.cluster_domain,
        &if host_network { host_hosts() } else { String::new() },
    );
    let host_resolv = std::fs::read_to_string(&config.host_resolv_conf).unwrap_or_default();
    let resolv_conf = names::resolv_conf(pod, config.dns_ip.into(), &config.cluster_domain, &host_resolv);
    // Too long a name has kept the sandbox from being made.
    let hostname = names::full_hostname(pod, &config.node_name, &config.cluster_domain).unwrap_or(hostname);
    Names { hostname, hosts, resolv_conf }
}

/// Takes the object away: grace 0, and only this very pod.
async fn remove(node: &Node, pod: &Pod) {
    use kube::api::{Api, DeleteParams, Preconditions};
    let api: Api<Pod> = Api::namespaced(node.client.clone(), namespace(pod));
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let preconditions = Preconditions { uid: pod.metadata.uid.clone(), ..Default::default() };
    let params =
        DeleteParams { grace_period_seconds: Some(0), preconditions: Some(preconditions), ..Default::default() };
    for _ in 0..600 {
        match api.delete(name, &params).await {
            Ok(_) => return,
            Err(kube::Error::Api(answer)) if matches!(answer.code, 404 | 409) => return,
            Err(error) => {
                tracing::warn!(%error, name, "pod not removed; trying again");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    }
}

/// Removes the pod's files and logs.
fn clean(node: &Node, pod: &Pod) {
    if let Some(Err(error)) = cgroup(node, pod).as_ref().map(Cgroup::remove) {
        tracing::warn!(%error, "a pod's control group stays");
    }
    let folder = pod_folder(node, pod);
    unmount_all(&folder);
    if let Err(error) = std::fs::remove_dir_all(&folder)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, folder = %folder.display(), "a pod's folder stays");
    }
    let word = |value: &Option<String>| value.clone().unwrap_or_default();
    let logs = crate::logs::pod_folder(
        &node.config.log_dir,
        namespace(pod),
        &word(&pod.metadata.name),
        &word(&pod.metadata.uid),
    );
    let _ = std::fs::remove_dir_all(logs);
}
