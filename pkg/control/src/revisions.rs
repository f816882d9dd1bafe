//! ControllerRevisions: the remembered templates of StatefulSets and DaemonSets, by which a rollout knows old from new
//! and `kubectl rollout undo` finds its way back. Judgement is pure here; `ledger` reads and writes. Follows Kubernetes'
//! `pkg/controller/history`.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use kube::Resource;
use serde_json::{Value, json};

use crate::deployment::safe_hash;
use crate::owners;

pub(crate) mod ledger;

/// Label on revisions, and on the pods made from them.
pub(crate) const HASH: &str = "controller-revision-hash";
/// Longest prefix of a revision's name that the owner's name gives.
const PREFIX: usize = 223;

/// What a revision holds: a strategic merge patch that puts the template back, as kubectl applies it on `undo`. Keys
/// stand in the order of their bytes, as Go writes a map: clients compare the bytes (`Match` of
/// `pkg/controller/daemon/update.go`).
pub(crate) fn data(template: &PodTemplateSpec) -> Value {
    let mut template = serde_json::to_value(template).unwrap_or_default();
    template["$patch"] = json!("replace");
    let mut data = json!({ "spec": { "template": template } });
    data.sort_all_objects();
    data
}

/// The template that a revision remembers; `None` when its data holds none.
pub(crate) fn template(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    let mut template = revision.data.0.get("spec")?.get("template")?.clone();
    template.as_object_mut()?.remove("$patch");
    serde_json::from_value(template).ok()
}

/// A revision that is yet to be written.
pub(crate) fn new<K: Resource<DynamicType = ()>>(
    owner: &K,
    template: &PodTemplateSpec,
    number: i64,
    collisions: i32,
) -> ControllerRevision {
    let data = data(template);
    let hash = safe_hash(&data.to_string(), Some(collisions));
    let name = owner.meta().name.as_deref().unwrap_or_default();
    let prefix = name.get(..PREFIX).unwrap_or(name);
    let mut labels: BTreeMap<String, String> =
        template.metadata.as_ref().and_then(|m| m.labels.clone()).unwrap_or_default();
    labels.insert(HASH.to_owned(), hash.clone());
    let mut revision =
        ControllerRevision { data: RawExtension(data), revision: Some(number), ..ControllerRevision::default() };
    revision.metadata.name = Some(format!("{prefix}-{hash}"));
    revision.metadata.namespace = owner.meta().namespace.clone();
    revision.metadata.labels = Some(labels);
    revision.metadata.annotations = owner.meta().annotations.clone();
    revision.metadata.owner_references = Some(vec![owners::reference(owner)]);
    revision
}

/// What to do so that the present template has the newest revision.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    /// The newest revision is the present template.
    Stands(Arc<ControllerRevision>),
    /// An older revision is the present template: it gets this number.
    Renumber(Arc<ControllerRevision>, i64),
    /// No revision is the present template: one with this number is needed.
    Create(i64),
}

/// Judges the revisions there are, the oldest first.
pub(crate) fn judge(revisions: &[Arc<ControllerRevision>], template: &PodTemplateSpec) -> Step {
    let wanted = data(template);
    let Some(newest) = revisions.last() else { return Step::Create(1) };
    let next = newest.revision.unwrap_or(0) + 1;
    if same(newest, &wanted, template) {
        return Step::Stands(newest.clone());
    }
    match revisions.iter().rev().find(|r| same(r, &wanted, template)) {
        Some(equal) => Step::Renumber(equal.clone(), next),
        None => Step::Create(next),
    }
}

fn same(revision: &ControllerRevision, wanted: &Value, present: &PodTemplateSpec) -> bool {
    revision.data.0 == *wanted || template(revision).is_some_and(|t| t == *present)
}

/// Puts the oldest first: by number, then age, then name.
pub(crate) fn sort(revisions: &mut [Arc<ControllerRevision>]) {
    revisions.sort_by_cached_key(|r| {
        (r.revision, r.metadata.creation_timestamp.as_ref().map(|t| t.0), r.metadata.name.clone())
    });
}

/// Revisions beyond the history limit that nothing lives by, the oldest first. `live` says what is lived by.
pub(crate) fn surplus(
    revisions: &[Arc<ControllerRevision>],
    live: impl Fn(&ControllerRevision) -> bool,
    limit: i32,
) -> Vec<Arc<ControllerRevision>> {
    let Ok(limit) = usize::try_from(limit) else { return Vec::new() };
    let past: Vec<_> = revisions.iter().filter(|r| !live(r)).cloned().collect();
    let excess = past.len().saturating_sub(limit);
    past.into_iter().take(excess).collect()
}

/// The value of a revision's hash label.
pub(crate) fn hash(revision: &ControllerRevision) -> &str {
    revision.metadata.labels.as_ref().and_then(|l| l.get(HASH)).map(String::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests;
