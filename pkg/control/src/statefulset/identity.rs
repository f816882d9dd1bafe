//! Who is who in a StatefulSet: names, ordinals, pods and their claims. Pure; follows Kubernetes'
//! `stateful_set_utils.go`.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Pod, PodTemplateSpec, Volume,
};

use crate::revisions::HASH;
use crate::{owners, pods};

/// Label with a pod's own name, so that a Service can select one pod.
pub(super) const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
/// Label with a pod's ordinal.
pub(super) const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

pub(super) fn replicas_of(set: &StatefulSet) -> i32 {
    set.spec.replicas.unwrap_or(1)
}

/// The first ordinal (`.spec.ordinals.start`).
pub(super) fn start(set: &StatefulSet) -> i32 {
    set.spec.ordinals.as_ref().and_then(|o| o.start).unwrap_or(0)
}

/// Parent's name and ordinal out of a pod's name; `None` when the name has no ordinal.
pub(super) fn parse(name: &str) -> Option<(&str, i32)> {
    let (parent, digits) = name.rsplit_once('-')?;
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    Some((parent, digits.parse().ok().filter(|_| plain)?))
}

/// The ordinal of a pod that belongs to this set by its name.
pub(super) fn ordinal(set: &StatefulSet, pod: &Pod) -> Option<i32> {
    let (parent, ordinal) = parse(pod.metadata.name.as_deref()?)?;
    (Some(parent) == set.metadata.name.as_deref()).then_some(ordinal)
}

/// Whether an ordinal is one that the set wants to have.
pub(super) fn in_range(set: &StatefulSet, ordinal: i32) -> bool {
    ordinal >= start(set) && ordinal < start(set) + replicas_of(set)
}

/// Whether a set's pods may come and go side by side.
pub(super) fn parallel(set: &StatefulSet) -> bool {
    set.spec.pod_management_policy.as_deref() == Some("Parallel")
}

/// The pod of an ordinal, from a template of a revision.
pub(super) fn pod(set: &StatefulSet, template: &PodTemplateSpec, revision: &str, ordinal: i32) -> Pod {
    let (namespace, owner) = crate::mirror::key_of(&set.metadata);
    let name = format!("{owner}-{ordinal}");
    let mut pod = pods::from_template(template, &namespace, &owner);
    pod.metadata.generate_name = None;
    pod.metadata.owner_references = Some(vec![owners::reference(set)]);
    identify(&mut pod, &name, ordinal);
    pod.metadata.labels.get_or_insert_default().insert(HASH.to_owned(), revision.to_owned());
    let spec = pod.spec.get_or_insert_default();
    spec.hostname = Some(name);
    spec.subdomain = set.spec.service_name.clone().filter(|s| !s.is_empty());
    store(set, &mut pod, ordinal);
    pod
}

fn identify(pod: &mut Pod, name: &str, ordinal: i32) {
    pod.metadata.name = Some(name.to_owned());
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(POD_NAME.to_owned(), name.to_owned());
    labels.insert(POD_INDEX.to_owned(), ordinal.to_string());
}

/// Points the pod's volumes at its claims.
fn store(set: &StatefulSet, pod: &mut Pod, ordinal: i32) {
    let claims = claims(set, ordinal);
    if claims.is_empty() {
        return;
    }
    let volumes = pod.spec.get_or_insert_default().volumes.get_or_insert_default();
    volumes.retain(|v| claims.iter().all(|(name, _)| *name != v.name));
    for (name, claim) in claims.into_iter().rev() {
        let source =
            PersistentVolumeClaimVolumeSource { claim_name: claim.metadata.name.unwrap_or_default(), read_only: None };
        volumes.insert(0, Volume { name, persistent_volume_claim: Some(source), ..Volume::default() });
    }
}

/// The claims of an ordinal, each with the name of its volume.
pub(super) fn claims(set: &StatefulSet, ordinal: i32) -> Vec<(String, PersistentVolumeClaim)> {
    let (namespace, owner) = crate::mirror::key_of(&set.metadata);
    let labels = set.spec.selector.match_labels.clone().unwrap_or_default();
    let templates = set.spec.volume_claim_templates.iter().flatten();
    templates
        .map(|template| {
            let mut claim = template.clone();
            let volume = template.metadata.name.clone().unwrap_or_default();
            claim.metadata.name = Some(format!("{volume}-{owner}-{ordinal}"));
            claim.metadata.namespace = Some(namespace.clone());
            claim.metadata.labels.get_or_insert_default().extend(labels.clone());
            claim.metadata.uid = None;
            claim.metadata.creation_timestamp = None;
            claim.status = None;
            (volume, claim)
        })
        .collect()
}

/// The pod as it should be when its labels or volumes lost its identity; `None` when all is well.
pub(super) fn repaired(set: &StatefulSet, pod: &Pod, ordinal: i32) -> Option<Pod> {
    let name = pod.metadata.name.clone()?;
    let labels = pod.metadata.labels.as_ref();
    let known = labels.and_then(|l| l.get(POD_NAME)) == Some(&name);
    let volumes = || pod.spec.iter().flat_map(|s| s.volumes.iter().flatten());
    let stored = claims(set, ordinal).iter().all(|(volume, claim)| {
        let source = volumes().find(|v| v.name == *volume).and_then(|v| v.persistent_volume_claim.as_ref());
        source.is_some_and(|s| Some(&s.claim_name) == claim.metadata.name.as_ref())
    });
    if known && stored {
        return None;
    }
    let mut pod = pod.clone();
    identify(&mut pod, &name, ordinal);
    store(set, &mut pod, ordinal);
    Some(pod)
}
