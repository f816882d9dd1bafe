//! `containerLogs`: which run's log is meant, and its text, followed while the container runs.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;

use super::query::Query;
use super::{Body, Refusal};
use crate::log_reader::LogReader;
use crate::logs::{LogKey, LogOptions, log_path};
use crate::node::Node;
use crate::roster::Resident;

/// How often a followed log is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// `containerLogs`.
pub(super) async fn answer(
    node: &Arc<Node>,
    resident: &Resident,
    namespace: &str,
    pod: &str,
    container: &str,
    query: &Query,
) -> Result<Response<Body>, Refusal> {
    let bad = |text: String| (StatusCode::BAD_REQUEST, text);
    let run = run_of(&resident.status(), pod, container, query.flag("previous")).map_err(bad)?;
    let object = resident.pod();
    let uid = object.metadata.uid.as_deref().unwrap_or_default();
    let path = log_path(&node.config.log_dir, &LogKey { namespace, pod, uid, container }, run);
    let options = options(query);
    let opening = tokio::task::spawn_blocking(move || LogReader::open(path, &options)).await;
    let (reader, first) = match opening.map_err(io::Error::other).and_then(|opened| opened) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(bad(format!("unable to retrieve container logs for {container} of pod {pod}: {error}")));
        }
        Err(error) => return Err((StatusCode::INTERNAL_SERVER_ERROR, format!("read the log: {error}"))),
    };
    if let Some(running) = resident.running(container).filter(|running| running.run == run) {
        running.output.read_from_log();
    }
    let (sender, mut chunks) = mpsc::channel::<io::Result<Bytes>>(4);
    let follow = query.flag("follow").then(|| (resident.clone(), container.to_owned(), run));
    tokio::spawn(tell(reader, first, follow, sender));
    let frames = futures::stream::poll_fn(move |context| chunks.poll_recv(context));
    let frames = futures::StreamExt::map(frames, |chunk| chunk.map(Frame::data));
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain"));
    Ok(response)
}

fn options(query: &Query) -> LogOptions {
    let ago = query
        .number::<i64>("sinceSeconds")
        .and_then(|seconds| Timestamp::now().checked_sub(SignedDuration::from_secs(seconds)).ok());
    LogOptions {
        tail: query.number("tailLines"),
        timestamps: query.flag("timestamps"),
        since: query.number("sinceTime").or(ago),
        limit_bytes: query.number("limitBytes"),
    }
}

/// Sends what is there, and what comes while the run goes on.
async fn tell(
    mut reader: LogReader,
    first: Vec<u8>,
    follow: Option<(Resident, String, i32)>,
    to: mpsc::Sender<io::Result<Bytes>>,
) {
    if !first.is_empty() && to.send(Ok(first.into())).await.is_err() {
        return;
    }
    let Some((resident, container, run)) = follow else { return };
    loop {
        let ended = resident.running(&container).is_none_or(|running| running.run != run);
        if ended {
            // Its last words may still be on their way to the file.
            tokio::time::sleep(LOOK).await;
        }
        loop {
            match reader.more() {
                Ok(more) if more.is_empty() => break,
                Ok(more) => {
                    if to.send(Ok(more.into())).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    let _ = to.send(Err(error)).await;
                    return;
                }
            }
        }
        if ended || reader.is_full() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = to.closed() => return,
        }
    }
}

/// The number of the run whose log is meant, or why there is none, in kubelet's words (`validateContainerLogStatus`).
fn run_of(
    status: &k8s_openapi::api::core::v1::PodStatus,
    pod: &str,
    container: &str,
    previous: bool,
) -> Result<i32, String> {
    let all = status.container_statuses.iter().chain(&status.init_container_statuses);
    let all = all.chain(&status.ephemeral_container_statuses).flatten();
    let Some(found) = all.into_iter().find(|status| status.name == container) else {
        return Err(format!("container \"{container}\" in pod \"{pod}\" is not available"));
    };
    let state = found.state.clone().unwrap_or_default();
    let last = found.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let ran = |id: &Option<String>| id.as_deref().is_some_and(|id| !id.is_empty());
    let last_ran = last.is_some_and(|last| ran(&last.container_id));
    // While it waits to be started again, the run before is the newest.
    let before = if state.waiting.is_some() { found.restart_count } else { found.restart_count - 1 };
    if previous {
        return match last_ran {
            true => Ok(before),
            false => Err(format!("previous terminated container \"{container}\" in pod \"{pod}\" not found")),
        };
    }
    if state.running.is_some() || state.terminated.as_ref().is_some_and(|state| ran(&state.container_id)) {
        return Ok(found.restart_count);
    }
    if last_ran {
        return Ok(before);
    }
    if state.terminated.is_some() || last.is_some() {
        return Err(format!("container \"{container}\" in pod \"{pod}\" is terminated"));
    }
    let reason = state.waiting.and_then(|waiting| waiting.reason).unwrap_or_default();
    let why = match reason.as_str() {
        "ErrImagePull" => "image can't be pulled",
        "ImagePullBackOff" => "trying and failing to pull image",
        other => other,
    };
    Err(format!("container \"{container}\" in pod \"{pod}\" is waiting to start: {why}"))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::PodStatus;
    use serde_json::{Value, json};

    use super::*;

    fn run(state: Value, last: Value, restarts: i32, previous: bool) -> Result<i32, String> {
        let status: PodStatus = serde_json::from_value(json!({"containerStatuses": [{
            "name": "c", "image": "", "imageID": "", "ready": false, "restartCount": restarts,
            "state": state, "lastState": last,
        }]}))
        .unwrap();
        run_of(&status, "p", "c", previous)
    }

    #[test]
    fn the_run_that_is_meant() {
        let ended = || json!({"terminated": {"exitCode": 1, "containerID": "minisvc://x"}});
        let crash = || json!({"waiting": {"reason": "CrashLoopBackOff"}});
        assert_eq!(run(json!({"running": {}}), json!({}), 0, false), Ok(0));
        assert_eq!(run(json!({"running": {}}), ended(), 2, false), Ok(2));
        assert_eq!(run(json!({"running": {}}), ended(), 2, true), Ok(1));
        assert_eq!(run(crash(), ended(), 1, false), Ok(1));
        assert_eq!(run(crash(), ended(), 1, true), Ok(1));
        assert_eq!(run(ended(), json!({}), 0, false), Ok(0));
    }

    #[test]
    fn kubelets_words_where_there_is_none() {
        let waiting = |reason: &str| json!({"waiting": {"reason": reason}});
        let text = |reason: &str| run(waiting(reason), json!({}), 0, false).unwrap_err();
        let begin = "container \"c\" in pod \"p\" is waiting to start: ";
        assert_eq!(text("ContainerCreating"), format!("{begin}ContainerCreating"));
        assert_eq!(text("ImagePullBackOff"), format!("{begin}trying and failing to pull image"));
        assert_eq!(
            run(json!({"running": {}}), json!({}), 0, true).unwrap_err(),
            "previous terminated container \"c\" in pod \"p\" not found"
        );
    }
}
