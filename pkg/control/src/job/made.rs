//! The pods that a Job makes. Pure; names, labels and variables are those of Kubernetes' `indexed_job_utils.go`.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource, ObjectFieldSelector, Pod};

use super::policy::{self, Verdict};
use crate::{owners, pods};

/// The finalizer that keeps a pod until it is counted.
pub(super) const TRACKING: &str = "batch.kubernetes.io/job-tracking";
/// Annotation and label with a pod's completion index.
pub(super) const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// Annotations with how often an index failed before, counted and ignored failures apart.
const FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
const IGNORED: &str = "batch.kubernetes.io/job-index-ignored-failure-count";
const VARIABLE: &str = "JOB_COMPLETION_INDEX";
/// Longest prefix of a generated name.
const PREFIX: usize = 58;

pub(super) fn tracked(pod: &Pod) -> bool {
    pod.metadata.finalizers.iter().flatten().any(|f| f == TRACKING)
}

/// The completion index of a pod; `None` without one.
pub(super) fn index(pod: &Pod) -> Option<i32> {
    number(pod, INDEX)
}

fn number(pod: &Pod, annotation: &str) -> Option<i32> {
    pod.metadata.annotations.as_ref()?.get(annotation)?.parse().ok().filter(|n| *n >= 0)
}

/// How often this pod's index failed before it, as counted by `backoffLimitPerIndex`.
pub(super) fn failures(pod: &Pod) -> i32 {
    number(pod, FAILURES).unwrap_or(0)
}

/// The same with ignored failures.
pub(super) fn all_failures(pod: &Pod) -> i32 {
    failures(pod).saturating_add(number(pod, IGNORED).unwrap_or(0))
}

/// A new pod; `index` for indexed Jobs, `replaced` is the failed pod of that index that waits for this one.
pub(super) fn pod(job: &Job, index: Option<i32>, replaced: Option<&Pod>) -> Pod {
    let spec = job.spec.clone().unwrap_or_default();
    let (namespace, owner) = crate::mirror::key_of(&job.metadata);
    let mut pod = pods::from_template(&spec.template, &namespace, &owner);
    pod.metadata.owner_references = Some(vec![owners::reference(job)]);
    let finalizers = pod.metadata.finalizers.get_or_insert_default();
    if !finalizers.iter().any(|f| f == TRACKING) {
        finalizers.push(TRACKING.to_owned());
    }
    let Some(index) = index else { return pod };
    let suffix = format!("-{index}-");
    let room = PREFIX.saturating_sub(suffix.len());
    let prefix = if owner.len() > room { &owner[..room] } else { &owner };
    pod.metadata.generate_name = Some(format!("{prefix}{suffix}"));
    pod.metadata.labels.get_or_insert_default().insert(INDEX.to_owned(), index.to_string());
    let annotations = pod.metadata.annotations.get_or_insert_default();
    annotations.insert(INDEX.to_owned(), index.to_string());
    if spec.backoff_limit_per_index.is_some() {
        let (mut counted, mut ignored) = (0, 0);
        if let Some(before) = replaced {
            counted = failures(before);
            ignored = all_failures(before) - counted;
            match policy::judge(&spec, before) {
                Verdict::Ignore => ignored += 1,
                _ => counted += 1,
            }
        }
        annotations.insert(FAILURES.to_owned(), counted.to_string());
        if ignored > 0 {
            annotations.insert(IGNORED.to_owned(), ignored.to_string());
        }
    }
    let template = pod.spec.get_or_insert_default();
    template.hostname = Some(format!("{owner}-{index}"));
    let init = template.init_containers.iter_mut().flatten();
    template.containers.iter_mut().chain(init).for_each(tell_index);
    pod
}

fn tell_index(container: &mut Container) {
    let variables = container.env.get_or_insert_default();
    if variables.iter().any(|v| v.name == VARIABLE) {
        return;
    }
    let path = format!("metadata.labels['{INDEX}']");
    let field = ObjectFieldSelector { field_path: path, ..ObjectFieldSelector::default() };
    let source = EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() };
    variables.push(EnvVar { name: VARIABLE.to_owned(), value_from: Some(source), ..EnvVar::default() });
}
