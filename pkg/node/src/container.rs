//! The life of one container: image, start, probes, end, restart. One future per container, owned by its pod's driver.

mod following;
mod starting;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Container;
use minisvc_kernel::Exit;
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::starting::NotStarted;
use crate::backoff::Backoff;
use crate::context::{PodContext, Stop, StopSignal, pause, stopped};
use crate::logs::{LogKey, LogOptions, read_logs};
use crate::probing::{has_probes, probing};
use crate::process;
use crate::running::{Aborted, Running, SharedRunning, stop_signal};
use crate::status::{End, Role, State};

/// How long a container's end stays visible before the back-off is told.
const END_VISIBLE: Duration = Duration::from_secs(1);
/// How often what failed without a back-off is tried again (kubelet's sync).
const SYNC: Duration = Duration::from_secs(10);
/// How long a container's last words may take from its end into the log.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// What a container gets at least after its preStop hook used up the grace (kubelet's minimum).
const LEAST_GRACE: Duration = Duration::from_secs(2);

/// Runs the container to its end: until it needs no restart, or the order to end came and was followed.
pub(crate) async fn run(context: Arc<PodContext>, index: usize, mut stop: StopSignal) {
    let (name, role) = context.shared.update(|sheet| (sheet.records[index].name.clone(), sheet.records[index].role));
    let life = Life { about: context.about(&name, role), context, index, name, role };
    life.run(&mut stop).await;
}

struct Life {
    context: Arc<PodContext>,
    index: usize,
    name: String,
    role: Role,
    about: Arc<k8s_openapi::api::core::v1::ObjectReference>,
}

impl Life {
    async fn run(&self, stop: &mut StopSignal) {
        let recorder = &self.context.node.recorder;
        let (mut images, mut restarts, mut setup) = (Backoff::images(), Backoff::restarts(), Backoff::setup());
        // It ended in an earlier life of this node, for good.
        if matches!(self.context.shared.sheet.lock().records[self.index].state, State::Terminated(_)) {
            return;
        }
        loop {
            if stop.borrow().is_some() {
                return;
            }
            let Some(container) = self.context.container(&self.name) else { return };
            let end = match self.start(&container, stop).await {
                Ok(running) => {
                    self.context.shared.running.lock().insert(self.name.clone(), running.clone());
                    let end = self.live(&container, running, stop).await;
                    self.context.shared.running.lock().remove(&self.name);
                    end
                }
                Err(NotStarted::Image { reason, text }) => {
                    recorder.warning(&self.about, "Failed", format!("Error: {reason}"));
                    self.wait(reason, Some(text.clone()));
                    // Only pulls are tried ever more seldom.
                    let pulled = reason == "ErrImagePull";
                    let delay = if pulled { images.after(Duration::ZERO) } else { SYNC };
                    if pulled {
                        if pause(stop, END_VISIBLE).await {
                            return;
                        }
                        let image = container.image.as_deref().unwrap_or_default();
                        recorder.normal(&self.about, "BackOff", format!("Back-off pulling image \"{image}\""));
                        recorder.warning(&self.about, "Failed", "Error: ImagePullBackOff");
                        let why = format!("Back-off pulling image \"{image}\": {reason}: {text}");
                        self.wait("ImagePullBackOff", Some(why));
                    }
                    if pause(stop, delay - END_VISIBLE).await {
                        return;
                    }
                    self.context.node.reread_catalogue();
                    continue;
                }
                Err(NotStarted::Config(text)) => {
                    recorder.warning(&self.about, "Failed", format!("Error: {text}"));
                    self.wait("CreateContainerConfigError", Some(text));
                    if pause(stop, setup.after(Duration::ZERO)).await {
                        return;
                    }
                    continue;
                }
                Err(NotStarted::Ended(end, ran)) => (*end, ran),
                Err(NotStarted::Exec(text)) => {
                    recorder.warning(
                        &self.about,
                        "Failed",
                        format!("Error: failed to start container \"{}\": {text}", self.name),
                    );
                    let now = Timestamp::now();
                    (
                        End {
                            exit_code: 128,
                            signal: None,
                            reason: "StartError".into(),
                            message: Some(text),
                            started: Some(now),
                            finished: now,
                            id: None,
                        },
                        Duration::ZERO,
                    )
                }
            };
            let (end, ran) = end;
            let code = end.exit_code;
            let kind = match self.role {
                Role::Init | Role::Sidecar => "init_container",
                Role::App => "container",
                Role::Ephemeral => "ephemeral_container",
            };
            *self.context.node.ends.lock().entry((kind, code, end.reason.clone())).or_default() += 1;
            self.context.shared.update(|sheet| {
                let record = &mut sheet.records[self.index];
                record.state = State::Terminated(end.clone());
                record.ready = false;
                record.started = false;
            });
            if stop.borrow().is_some() || !self.context.shared.sheet.lock().records[self.index].policy.after(code) {
                return;
            }
            let delay = restarts.after(ran);
            if delay > Duration::ZERO {
                if end.reason == "StartError" {
                    self.context.shared.update(|sheet| sheet.records[self.index].last = Some(end.clone()));
                    self.wait("RunContainerError", end.message.clone());
                }
                if pause(stop, END_VISIBLE.min(delay)).await {
                    return;
                }
                let words = self.context.pod_words();
                let text =
                    format!("back-off {} restarting failed container={} pod={words}", go_duration(delay), self.name);
                recorder.warning(
                    &self.about,
                    "BackOff",
                    format!("Back-off restarting failed container {} in pod {words}", self.name),
                );
                self.context.shared.update(|sheet| {
                    let record = &mut sheet.records[self.index];
                    record.last = Some(end.clone());
                    record.state = State::Waiting { reason: "CrashLoopBackOff".into(), message: Some(text) };
                });
                if pause(stop, delay.saturating_sub(END_VISIBLE)).await {
                    return;
                }
            }
        }
    }

    fn wait(&self, reason: &str, message: Option<String>) {
        self.context
            .shared
            .update(|sheet| sheet.records[self.index].state = State::Waiting { reason: reason.into(), message });
    }

    /// From start to end, with probes. Answers the end and how long it ran.
    async fn live(&self, container: &Container, running: SharedRunning, stop: &mut StopSignal) -> (End, Duration) {
        let (kill, mut killed) = mpsc::channel::<(String, Duration)>(1);
        let probing = has_probes(container).then(|| {
            let (context, about) = (self.context.clone(), self.about.clone());
            let (container, running, index) = (container.clone(), running.clone(), self.index);
            Aborted(tokio::spawn(async move { probing(context, about, container, running, index, kill).await }))
        });
        let grace = Duration::from_secs(process::grace_seconds(&self.context.pod()) as u64);
        let recorder = &self.context.node.recorder;
        let exit = tokio::select! {
            exit = running.child.wait() => exit.map_err(|error| error.to_string()),
            stop_now = stopped(stop) => {
                if stop_now.deadline > Instant::now() {
                    tokio::time::sleep(self.context.node.config.drain).await;
                }
                recorder.normal(&self.about, "Killing", format!("Stopping container {}", self.name));
                self.end(container, &running, stop_now, Some(stop)).await
            }
            Some((text, grace)) = killed.recv() => {
                recorder.normal(&self.about, "Killing", text);
                self.end(container, &running, Stop { deadline: Instant::now() + grace }, Some(stop)).await
            }
            text = self.follow(container, &running) => {
                recorder.normal(&self.about, "Killing", text);
                self.end(container, &running, Stop { deadline: Instant::now() + grace }, Some(stop)).await
            }
        };
        drop(probing);
        running.clear();
        // Whoever sees the end may read the whole log. What shares the node's processes may hold the pipes open.
        let _ = tokio::time::timeout(LAST_WORDS, running.output.ended()).await;
        let end = self.ended(container, &running, exit);
        running.leave_cgroup();
        (end, running.began.elapsed())
    }

    /// How the container ended, with its last words.
    fn ended(&self, container: &Container, running: &Running, exit: Result<Exit, String>) -> End {
        let code = match exit {
            Ok(exit @ (Exit::Code(_) | Exit::Signal(_))) => exit.code(),
            Err(text) => {
                tracing::warn!(text, container = self.name, "how a container ended is not known");
                255
            }
        };
        let fall_back = container.termination_message_policy.as_deref() == Some("FallbackToLogsOnError") && code != 0;
        let message = running.termination_message();
        let reason = match code {
            0 => "Completed",
            137 if running.ran_out_of_memory() => "OOMKilled",
            _ => "Error",
        };
        End {
            exit_code: code,
            signal: None,
            reason: reason.into(),
            message: message.or_else(|| fall_back.then(|| self.last_of_log(running.run)).flatten()),
            started: Some(running.since),
            finished: Timestamp::now(),
            id: Some(running.id.clone()),
        }
    }

    /// The end of the log as a termination message: at most 80 lines and 2048 bytes.
    fn last_of_log(&self, run: i32) -> Option<String> {
        let pod = self.context.pod();
        let key = LogKey {
            namespace: crate::names::namespace(&pod),
            pod: pod.metadata.name.as_deref().unwrap_or_default(),
            uid: pod.metadata.uid.as_deref().unwrap_or_default(),
            container: &self.name,
        };
        let options = LogOptions { tail: Some(80), ..Default::default() };
        let text = read_logs(&self.context.node.config.log_dir, &key, run, &options).ok()?;
        let text = String::from_utf8_lossy(&text[text.len().saturating_sub(2048)..]).into_owned();
        Some(text).filter(|text| !text.is_empty())
    }

    /// preStop, the signal, the grace, the kill. A later order may bring the deadline forward.
    async fn end(
        &self,
        container: &Container,
        running: &Running,
        by: Stop,
        later: Option<&mut StopSignal>,
    ) -> Result<Exit, String> {
        let mut later = later.map(|signal| signal.clone());
        let mut deadline = by.deadline;
        let pre_stop = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref());
        if let Some(hook) = pre_stop.filter(|_| deadline > Instant::now()) {
            let result = tokio::select! {
                result = running.hook(&self.context, container, hook) => result,
                () = overdue(&mut later, deadline) => Err("the grace period is over".into()),
                _ = running.child.wait() => Ok(()),
            };
            if let Err(text) = result {
                tracing::debug!(text, container = self.name, "preStop hook");
                self.context.node.recorder.warning(&self.about, "FailedPreStopHook", "PreStopHook failed");
            }
            if later.as_ref().is_none_or(|later| later.borrow().is_none_or(|stop| stop.deadline >= by.deadline)) {
                deadline = deadline.max(Instant::now() + LEAST_GRACE);
            }
        }
        let signal = if deadline <= Instant::now() { 9 } else { stop_signal(container) };
        running.end(signal, overdue(&mut later, deadline)).await
    }
}

/// Waits for `deadline`, or for an earlier one that a later order brings.
async fn overdue(later: &mut Option<StopSignal>, mut deadline: Instant) {
    let Some(later) = later else { return tokio::time::sleep_until(deadline).await };
    loop {
        let newest = *later.borrow_and_update();
        deadline = newest.map_or(deadline, |stop| stop.deadline.min(deadline));
        tokio::select! {
            () = tokio::time::sleep_until(deadline) => return,
            changed = later.changed() => if changed.is_err() { return },
        }
    }
}

/// `10s`, `1m20s`, `5m0s`: Go's way to write durations, which kubelet's messages have.
fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 { format!("{seconds}s") } else { format!("{}m{}s", seconds / 60, seconds % 60) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_like_gos() {
        let words = [10, 80, 300].map(|seconds| go_duration(Duration::from_secs(seconds)));
        assert_eq!(words, ["10s", "1m20s", "5m0s"]);
    }
}
