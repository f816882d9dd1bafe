//! What the node has granted a pod of the resources that its spec asks for (KEP-1287): at first all of it, and after a
//! resize what fits; the rest waits until others give something back.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
use serde_json::{Value, json};

use crate::context::PodContext;
use crate::events::reference;

/// The pod as the node granted it when it arrived. One that lived here before keeps what its containers had.
pub(crate) fn first(pod: &Pod) -> Pod {
    let mut granted = pod.clone();
    let status = pod.status.as_ref();
    let statuses: Vec<_> = status
        .iter()
        .flat_map(|status| [&status.init_container_statuses, &status.container_statuses])
        .flat_map(|statuses| statuses.iter().flatten())
        .filter(|status| status.container_id.is_some())
        .collect();
    for container in containers(&mut granted) {
        let had = statuses.iter().find(|status| status.name == container.name);
        if let Some(resources) = had.and_then(|status| status.resources.clone()) {
            container.resources = Some(resources);
        }
    }
    granted
}

fn containers(pod: &mut Pod) -> impl Iterator<Item = &mut Container> {
    pod.spec.iter_mut().flat_map(|spec| spec.init_containers.iter_mut().flatten().chain(&mut spec.containers))
}

/// What a pod's containers, and it as a whole, ask for.
fn asked(pod: &Pod) -> Vec<Option<ResourceRequirements>> {
    let some = |resources: &Option<ResourceRequirements>| resources.clone().filter(|one| *one != Default::default());
    let spec = pod.spec.iter();
    spec.flat_map(|spec| {
        let own = std::iter::once(some(&spec.resources));
        let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
        own.chain(containers.map(|container| some(&container.resources))).collect::<Vec<_>>()
    })
    .collect()
}

/// Follows the pod's spec: grants what fits, tells what has to wait, tries again when something became free. For ever.
pub(crate) async fn follow(context: Arc<PodContext>) {
    let mut pods = context.pod.clone();
    let mut freed = context.node.ledger.freed();
    let mut told: Option<(Option<i64>, String)> = None;
    loop {
        freed.borrow_and_update();
        let pod = pods.borrow_and_update().clone();
        if asked(&pod) == asked(&context.shared.granted.borrow()) {
            told = None;
            context.node.ledger.contented(&pod);
            context.shared.update(|sheet| sheet.deferred = None);
        } else {
            match context.node.ledger.resize(&pod) {
                Ok(()) => {
                    told = None;
                    grant(&context, &pod);
                }
                Err(refusal) => {
                    let news = Some((pod.metadata.generation, refusal.reason.clone()));
                    if told != news {
                        let text = summary(&format!("Pod resize {}", refusal.reason), &pod, Some(&refusal.message));
                        context.node.recorder.warning(&reference(&pod, None), "ResizeDeferred", text);
                        told = news;
                    }
                    context.shared.update(|sheet| sheet.deferred = Some(refusal.message));
                }
            }
        }
        tokio::select! {
            changed = pods.changed() => if changed.is_err() { return },
            Ok(()) = freed.changed(), if told.is_some() => {}
        }
    }
}

fn grant(context: &PodContext, pod: &Arc<Pod>) {
    let text = summary("Pod resize started", pod, None);
    context.node.recorder.normal(&reference(pod, None), "ResizeStarted", text);
    context.shared.update(|sheet| {
        sheet.deferred = None;
        sheet.resizing = true;
        sheet.grant(pod);
    });
    context.shared.granted.send_replace(pod.clone());
    done(context);
}

/// Tells that a resize is done, once all containers have what was granted.
pub(crate) fn done(context: &PodContext) {
    let over = context.shared.update(|sheet| {
        let over = sheet.resizing && !sheet.in_progress();
        sheet.resizing &= !over;
        over
    });
    if over {
        let pod = context.pod();
        let text = summary("Pod resize completed", &context.shared.granted.borrow(), None);
        context.node.recorder.normal(&reference(&pod, None), "ResizeCompleted", text);
    }
}

/// Kubelet's words about a resize: what the containers ask for, as JSON.
fn summary(words: &str, pod: &Pod, error: Option<&str>) -> String {
    let list = |containers: Option<&[Container]>| -> Vec<Value> {
        let all = containers.unwrap_or_default().iter();
        all.map(|one| json!({"name": one.name, "resources": one.resources.clone().unwrap_or_default()})).collect()
    };
    let spec = pod.spec.as_ref();
    let mut said = serde_json::Map::new();
    for (field, containers) in [
        ("initContainers", list(spec.and_then(|spec| spec.init_containers.as_deref()))),
        ("containers", list(spec.map(|spec| spec.containers.as_slice()))),
    ] {
        if !containers.is_empty() {
            said.insert(field.to_owned(), containers.into());
        }
    }
    said.insert("generation".to_owned(), pod.metadata.generation.unwrap_or_default().into());
    if let Some(error) = error {
        said.insert("error".to_owned(), error.into());
    }
    format!("{words}: {}", Value::Object(said))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(value: Value) -> Pod {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_pod_keeps_what_it_was_granted_before() {
        let spec = json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "2"}}}]});
        let new = pod(json!({"metadata": {"name": "p"}, "spec": spec}));
        assert_eq!(asked(&first(&new)), asked(&new));
        let status = json!({"containerStatuses": [{"name": "c", "image": "x", "imageID": "", "ready": true,
            "restartCount": 0, "containerID": "minisvc://abc", "resources": {"requests": {"cpu": "1"}}}]});
        let old = pod(json!({"metadata": {"name": "p"}, "spec": spec, "status": status}));
        let resources = first(&old).spec.unwrap().containers[0].resources.clone().unwrap();
        assert_eq!(resources.requests.unwrap()["cpu"].0, "1");
        assert_ne!(asked(&first(&old)), asked(&old));
    }

    #[test]
    fn a_resize_is_told_as_kubelet_does() {
        let spec =
            json!({"containers": [{"name": "c", "resources": {"limits": {"cpu": "2"}, "requests": {"cpu": "1"}}}]});
        let text = summary("Pod resize started", &pod(json!({"metadata": {"generation": 2}, "spec": spec})), None);
        let words =
            r#"{"containers":[{"name":"c","resources":{"limits":{"cpu":"2"},"requests":{"cpu":"1"}}}],"generation":2}"#;
        assert_eq!(text, format!("Pod resize started: {words}"));
    }
}
