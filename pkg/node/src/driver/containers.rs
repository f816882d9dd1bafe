//! The order of a pod's containers: init containers one after another, sidecars among them kept running, then all
//! others side by side; sidecars end after the rest, the last one first (KEP-753). Ephemeral ones join while it runs.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::arrival::first_record;
use crate::container;
use crate::context::{PodContext, Stop, StopSignal, ephemeral, pause, stopped};
use crate::process::grace_seconds;
use crate::status::{Role, State};

/// A sidecar that runs, and the way to tell it to end.
struct Sidecar {
    order: watch::Sender<Option<Stop>>,
    running: tokio::task::JoinHandle<()>,
}

/// Runs all containers; ends when all ended for good or by order.
pub(super) async fn run(context: &Arc<PodContext>, stop: StopSignal) {
    let roles: Vec<Role> = context.shared.sheet.lock().records.iter().map(|record| record.role).collect();
    let mut sidecars: Vec<Sidecar> = Vec::new();
    let mut ready = true;
    for (index, role) in roles.iter().enumerate() {
        match role {
            Role::Init => container::run(context.clone(), index, stop.clone()).await,
            Role::Sidecar => {
                let (order, signal) = watch::channel(None);
                let running = tokio::spawn(container::run(context.clone(), index, signal));
                sidecars.push(Sidecar { order, running });
                started(context, index, stop.clone()).await;
            }
            Role::App | Role::Ephemeral => continue,
        }
        let done = match context.shared.sheet.lock().records[index].state {
            State::Terminated(ref end) => *role == Role::Init && end.exit_code == 0,
            _ => *role == Role::Sidecar,
        };
        if !done || stop.borrow().is_some() {
            ready = false;
            break;
        }
    }
    if ready {
        if roles.iter().any(|role| matches!(role, Role::Init | Role::Sidecar)) {
            initialized(context);
        }
        let apps = roles.iter().enumerate().filter(|(_, role)| **role == Role::App);
        let apps = apps.map(|(index, _)| container::run(context.clone(), index, stop.clone()));
        let (end, over) = watch::channel(None);
        let visitors = tokio::spawn(visitors(context.clone(), stop.clone(), over));
        futures::future::join_all(apps).await;
        // With the last of them those who came to look go too.
        let _ = end.send(Some(last_order(context, &stop)));
        let _ = visitors.await;
    }
    // A later order may bring the deadline forward.
    for sidecar in sidecars.into_iter().rev() {
        let mut stop = stop.clone();
        let _ = sidecar.order.send(Some(last_order(context, &stop)));
        let mut running = sidecar.running;
        loop {
            tokio::select! {
                _ = &mut running => break,
                Ok(()) = stop.changed() => { let _ = sidecar.order.send(Some(last_order(context, &stop))); }
            }
        }
    }
}

/// The pod's order to end, or one with its whole grace where the pod ended by itself.
fn last_order(context: &PodContext, stop: &StopSignal) -> Stop {
    let grace = Duration::from_secs(grace_seconds(&context.pod()) as u64);
    stop.borrow().unwrap_or(Stop { deadline: Instant::now() + grace })
}

/// The wait for init containers is over.
fn initialized(context: &PodContext) {
    context.shared.update(|sheet| {
        for record in sheet.records.iter_mut().filter(|record| record.role == Role::App) {
            if matches!(&record.state, State::Waiting { reason, .. } if reason == "PodInitializing") {
                record.state = State::waiting("ContainerCreating");
            }
        }
    });
}

/// Waits until a sidecar has started, so that the next container may follow.
async fn started(context: &PodContext, index: usize, mut stop: StopSignal) {
    while !context.shared.sheet.lock().records[index].started {
        if pause(&mut stop, Duration::from_millis(10)).await {
            return;
        }
    }
}

/// Starts each ephemeral container once, when it appears in the pod; ends with all of them, by order.
async fn visitors(context: Arc<PodContext>, stop: StopSignal, mut over: StopSignal) {
    let mut pods = context.pod.clone();
    let mut running = JoinSet::new();
    let (order, signal) = watch::channel(None);
    let mut known: Vec<String> = Vec::new();
    let mut ordered = stop.clone();
    loop {
        let pod = pods.borrow_and_update().clone();
        for container in pod.spec.iter().flat_map(|spec| spec.ephemeral_containers.iter().flatten()) {
            if known.contains(&container.name) {
                continue;
            }
            known.push(container.name.clone());
            let index = context.shared.update(|sheet| {
                let place = sheet.records.iter().position(|record| record.name == container.name);
                place.unwrap_or_else(|| {
                    let record = first_record(&pod, &ephemeral(container), Role::Ephemeral, None, Timestamp::now());
                    sheet.records.push(record);
                    sheet.records.len() - 1
                })
            });
            running.spawn(container::run(context.clone(), index, signal.clone()));
        }
        tokio::select! {
            Ok(()) = pods.changed() => {}
            Some(_) = running.join_next() => {}
            by = stopped(&mut ordered) => {
                let _ = order.send(Some(by));
                break;
            }
            by = stopped(&mut over) => {
                let _ = order.send(Some(by));
                break;
            }
        }
    }
    loop {
        tokio::select! {
            ended = running.join_next() => if ended.is_none() { return },
            Ok(()) = ordered.changed() => {
                let by = *ordered.borrow_and_update();
                let _ = order.send(by);
            }
        }
    }
}
