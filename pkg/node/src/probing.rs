//! All probes of one running container: what they check, and what their verdicts do to the container.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Probe};
use tokio::sync::mpsc;

use crate::context::PodContext;
use crate::probe::http::{self, Answer, Asker};
use crate::probe::{self, Report, check};
use crate::process;
use crate::running::{Running, SharedRunning};

pub(crate) fn has_probes(container: &Container) -> bool {
    container.startup_probe.is_some() || container.readiness_probe.is_some() || container.liveness_probe.is_some()
}

/// All probes of one running container; startup first, then the other two side by side.
pub(crate) async fn probing(
    context: Arc<PodContext>,
    about: Arc<k8s_openapi::api::core::v1::ObjectReference>,
    container: Container,
    running: SharedRunning,
    index: usize,
    kill: mpsc::Sender<(String, Duration)>,
) {
    let unhealthy = |kind: &str, text: String| {
        context.node.recorder.warning(&about, "Unhealthy", format!("{kind} probe failed: {text}"));
    };
    let warning = |kind: &str, text: String| {
        context.node.recorder.warning(&about, "ProbeWarning", format!("{kind} probe warning: {text}"));
    };
    let pod_grace = process::grace_seconds(&context.pod());
    let fatal = |kind: &str, probe: &Probe| {
        let grace = probe.termination_grace_period_seconds.unwrap_or(pod_grace).max(0) as u64;
        let text = format!("Container {} failed {kind} probe, will be restarted", container.name);
        let _ = kill.try_send((text, Duration::from_secs(grace)));
    };
    let (context, container, running) = (&context, &container, &running);
    if let Some(startup) = &container.startup_probe {
        let mut started = false;
        probe::run(
            startup,
            true,
            || try_once(context, container, running, startup, |text| warning("Startup", text)),
            |report| match report {
                Report::Verdict(true) => {
                    started = true;
                    false
                }
                Report::Verdict(false) => {
                    fatal("startup", startup);
                    false
                }
                Report::Failure(text) => {
                    unhealthy("Startup", text);
                    true
                }
            },
        )
        .await;
        if !started {
            return;
        }
        context.shared.update(|sheet| {
            sheet.records[index].started = true;
            sheet.records[index].ready = container.readiness_probe.is_none();
        });
    }
    let readiness = async {
        let Some(readiness) = &container.readiness_probe else { return };
        probe::run(
            readiness,
            true,
            || try_once(context, container, running, readiness, |text| warning("Readiness", text)),
            |report| {
                match report {
                    Report::Verdict(ready) => {
                        let changed = context.shared.sheet.lock().records[index].ready != ready;
                        if changed {
                            context.shared.update(|sheet| sheet.records[index].ready = ready);
                        }
                    }
                    Report::Failure(text) => unhealthy("Readiness", text),
                }
                true
            },
        )
        .await;
    };
    let liveness = async {
        let Some(liveness) = &container.liveness_probe else { return };
        probe::run(
            liveness,
            false,
            || try_once(context, container, running, liveness, |text| warning("Liveness", text)),
            |report| match report {
                Report::Verdict(alive) => {
                    if !alive {
                        fatal("liveness", liveness);
                    }
                    alive
                }
                Report::Failure(text) => {
                    unhealthy("Liveness", text);
                    true
                }
            },
        )
        .await;
    };
    tokio::join!(readiness, liveness);
}

/// One try; a warning of its own is told as such.
async fn try_once(
    context: &PodContext,
    container: &Container,
    running: &Running,
    probe: &Probe,
    warn: impl Fn(String),
) -> Result<(), String> {
    let address = context.sandbox.ip.into();
    if let Some(exec) = &probe.exec {
        running.exec(exec.command.as_deref().unwrap_or_default()).await
    } else if let Some(action) = &probe.http_get {
        match http::get(address, container, action, Asker::Probe).await? {
            Answer::Fine => {}
            Answer::Elsewhere(text) => warn(text),
        }
        Ok(())
    } else if let Some(action) = &probe.tcp_socket {
        let host = action.host.as_deref().and_then(|host| host.parse().ok());
        check::tcp(host.unwrap_or(address), check::port(container, &action.port)?).await
    } else if let Some(action) = &probe.grpc {
        let port = u16::try_from(action.port).map_err(|_| format!("invalid port number: {}", action.port))?;
        check::grpc(address, port, action.service.as_deref().unwrap_or_default()).await
    } else {
        Ok(())
    }
}
