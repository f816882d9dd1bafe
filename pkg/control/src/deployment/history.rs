//! Which ReplicaSet belongs to which template and revision: hashes, names, annotations. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, ReplicaSetSpec};
use k8s_openapi::api::core::v1::PodTemplateSpec;

use super::plan::{Step, replicas_of};
use crate::owners;

pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
pub(super) const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
pub(super) const MAXIMUM: &str = "deployment.kubernetes.io/max-replicas";
/// Annotations that are not handed down from a Deployment to its ReplicaSets.
const OWN: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    HISTORY,
    DESIRED,
    MAXIMUM,
    "deprecated.deployment.rollback.to",
];
/// The label that tells the pods of one template from those of another.
pub(crate) const HASH: &str = "pod-template-hash";

/// Hash of a template in Kubernetes' safe alphabet. The bits differ from Kubernetes' own, which hashes a dump of Go
/// structures; nothing may depend on them.
fn template_hash(template: &PodTemplateSpec, collisions: Option<i32>) -> String {
    safe_hash(&serde_json::to_string(template).unwrap_or_default(), collisions)
}

/// 32 bits of FNV-1a over a text and the collision count, in Kubernetes' safe alphabet.
pub(crate) fn safe_hash(text: &str, collisions: Option<i32>) -> String {
    const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let suffix = collisions.map(|c| c.to_string()).unwrap_or_default();
    let bytes = text.bytes().chain(suffix.bytes());
    let hash = bytes.fold(0x811c_9dc5_u32, |h, b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193));
    hash.to_string().bytes().map(|digit| char::from(ALPHABET[usize::from(digit) % ALPHABET.len()])).collect()
}

/// Whether a set has the deployment's present template, the hash label aside.
pub(super) fn same_template(deployment: &Deployment, set: &ReplicaSet) -> bool {
    let wanted = &deployment.spec.template;
    let Some(mut have) = set.spec.template.clone() else { return false };
    if let Some(labels) = have.metadata.as_mut().and_then(|m| m.labels.as_mut()) {
        labels.remove(HASH);
    }
    bare(&have) == bare(wanted)
}

/// A template without the difference between absent and empty metadata.
fn bare(template: &PodTemplateSpec) -> PodTemplateSpec {
    let mut template = template.clone();
    let metadata = template.metadata.get_or_insert_default();
    metadata.creation_timestamp = None;
    metadata.labels.get_or_insert_default();
    metadata.annotations.get_or_insert_default();
    template
}

/// The set of the present template, the oldest if there are several (`FindNewReplicaSet`).
pub(super) fn find_new(deployment: &Deployment, sets: &[Arc<ReplicaSet>]) -> Option<Arc<ReplicaSet>> {
    let mut sets: Vec<_> = sets.iter().filter(|s| same_template(deployment, s)).collect();
    sets.sort_by_key(|s| age(s));
    sets.first().map(|s| (*s).clone())
}

/// Sorting key: the oldest first, by name among equals.
pub(super) fn age(set: &ReplicaSet) -> (Option<jiff::Timestamp>, Option<String>) {
    (set.metadata.creation_timestamp.as_ref().map(|t| t.0), set.metadata.name.clone())
}

/// Revision of a set; 0 when it has none.
pub(super) fn revision(set: &ReplicaSet) -> i64 {
    annotation(set, REVISION).and_then(|r| r.parse().ok()).unwrap_or(0)
}

pub(super) fn annotation<'a>(set: &'a ReplicaSet, key: &str) -> Option<&'a String> {
    set.metadata.annotations.as_ref()?.get(key)
}

/// The annotations with which a scaled set remembers the deployment's size.
pub(super) fn sizes(deployment: &Deployment, surge: i32) -> BTreeMap<String, String> {
    let desired = replicas_of(deployment);
    [(DESIRED.to_owned(), desired.to_string()), (MAXIMUM.to_owned(), (desired + surge).to_string())].into()
}

/// What the new set's annotations should be besides its sizes (`SetNewReplicaSetAnnotations`); only those that change.
pub(super) fn handed_down(deployment: &Deployment, set: Option<&ReplicaSet>, next: i64) -> BTreeMap<String, String> {
    let from = deployment.metadata.annotations.iter().flatten();
    let mut all: BTreeMap<String, String> =
        from.filter(|(k, _)| !OWN.contains(&k.as_str())).map(|(k, v)| (k.clone(), v.clone())).collect();
    let old = set.map_or(0, revision);
    if old < next {
        all.insert(REVISION.to_owned(), next.to_string());
        if let Some(set) = set.filter(|_| old > 0) {
            let mut history: Vec<String> =
                annotation(set, HISTORY).map(|h| h.split(',').map(str::to_owned).collect()).unwrap_or_default();
            history.push(old.to_string());
            all.insert(HISTORY.to_owned(), history.join(","));
        }
    }
    all.retain(|k, v| set.and_then(|s| annotation(s, k)) != Some(v));
    all
}

/// A new set for the present template, of size 0.
pub(super) fn new_set(step: &Step<'_>, next: i64) -> ReplicaSet {
    let deployment = step.deployment;
    let spec = deployment.spec.clone();
    let hash = template_hash(&spec.template, deployment.status.as_ref().and_then(|s| s.collision_count));
    let mut template = spec.template;
    let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
    labels.insert(HASH.to_owned(), hash.clone());
    let labels = labels.clone();
    let mut selector = spec.selector;
    selector.match_labels.get_or_insert_default().insert(HASH.to_owned(), hash.clone());
    let mut annotations = handed_down(deployment, None, next);
    annotations.extend(sizes(deployment, step.surge));
    let mut set = ReplicaSet {
        spec: ReplicaSetSpec {
            min_ready_seconds: spec.min_ready_seconds,
            replicas: Some(0),
            selector,
            template: Some(template),
        },
        ..ReplicaSet::default()
    };
    set.metadata.namespace = deployment.metadata.namespace.clone();
    set.metadata.name = Some(format!("{}-{hash}", deployment.metadata.name.as_deref().unwrap_or_default()));
    set.metadata.labels = Some(labels);
    set.metadata.annotations = Some(annotations);
    set.metadata.owner_references = Some(vec![owners::reference(deployment)]);
    set
}
