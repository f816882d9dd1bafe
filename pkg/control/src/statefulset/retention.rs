//! Whose the claims of a StatefulSet are, by its `persistentVolumeClaimRetentionPolicy`: the garbage collector deletes
//! them with their owner. Pure; follows Kubernetes' `stateful_set_utils.go` (KEP-1847).

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;

use super::identity::{in_range, ordinal};
use crate::owners;

/// What the policy says of a claim.
#[derive(Debug, PartialEq)]
pub(super) enum Judgement {
    Fine,
    /// Another controller has it: the policy cannot be kept.
    Foreign,
    /// It should have these owners.
    Owners(Vec<OwnerReference>),
}

fn deletes(set: &StatefulSet) -> (bool, bool) {
    let policy = set.spec.persistent_volume_claim_retention_policy.clone().unwrap_or_default();
    (policy.when_deleted.as_deref() == Some("Delete"), policy.when_scaled.as_deref() == Some("Delete"))
}

fn names<K: Resource<DynamicType = ()>>(reference: &OwnerReference, object: &K) -> bool {
    reference.kind == K::kind(&())
        && reference.api_version == K::api_version(&())
        && Some(&reference.name) == object.meta().name.as_ref()
}

fn is<K: Resource>(reference: &OwnerReference, object: &K) -> bool {
    Some(&reference.uid) == object.meta().uid.as_ref()
}

/// Judges the owners of a claim of `pod`.
pub(super) fn judge(set: &StatefulSet, pod: &Pod, claim: &PersistentVolumeClaim) -> Judgement {
    let have = claim.metadata.owner_references.clone().unwrap_or_default();
    // An owner of an earlier life: the garbage collector takes the claim, and a new one follows.
    let stale = |r: &OwnerReference| (names(r, set) && !is(r, set)) || (names(r, pod) && !is(r, pod));
    if have.iter().any(stale) {
        return Judgement::Fine;
    }
    let (when_deleted, when_scaled) = deletes(set);
    let ours = |r: &OwnerReference| is(r, set) || is(r, pod);
    let foreign = (when_deleted || when_scaled) && have.iter().any(|r| !ours(r) && r.controller == Some(true));
    let mut want: Vec<_> = have.iter().filter(|r| !names(r, set) && !names(r, pod)).cloned().collect();
    if foreign {
        return if have.iter().any(ours) { Judgement::Owners(want) } else { Judgement::Foreign };
    }
    let scaled_down = ordinal(set, pod).is_none_or(|o| !in_range(set, o));
    if when_scaled && scaled_down {
        want.push(controller(pod));
    } else if when_deleted {
        want.push(controller(set));
    }
    let key = |r: &OwnerReference| (r.uid.clone(), r.controller == Some(true));
    let sorted = |all: &[OwnerReference]| {
        let mut keys: Vec<_> = all.iter().map(key).collect();
        keys.sort();
        keys
    };
    if sorted(&have) == sorted(&want) { Judgement::Fine } else { Judgement::Owners(want) }
}

fn controller<K: Resource<DynamicType = ()>>(owner: &K) -> OwnerReference {
    owners::reference(owner)
}

/// Whether a claim is on its way out with an earlier pod of that name, so that a new pod has to wait for it.
pub(super) fn stale(set: &StatefulSet, claim: &PersistentVolumeClaim, pod: &Pod) -> bool {
    deletes(set).1 && claim.metadata.owner_references.iter().flatten().any(|r| names(r, pod) && !is(r, pod))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{object, pod, stateful_set};
    use serde_json::json;

    fn claim() -> PersistentVolumeClaim {
        object(json!({ "metadata": { "name": "data-web-0", "namespace": "default" } }))
    }

    fn with(when_deleted: &str, when_scaled: &str) -> StatefulSet {
        let mut set = stateful_set("web", 1);
        set.spec.persistent_volume_claim_retention_policy =
            Some(object(json!({ "whenDeleted": when_deleted, "whenScaled": when_scaled })));
        set
    }

    fn owners_of(judgement: &Judgement) -> Vec<&str> {
        match judgement {
            Judgement::Owners(all) => all.iter().map(|o| o.kind.as_str()).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_policy_decides_about_owners() {
        let (kept, gone) = (pod("web-0").build(), pod("web-1").build());
        assert_eq!(judge(&with("Retain", "Retain"), &kept, &claim()), Judgement::Fine);
        assert_eq!(owners_of(&judge(&with("Delete", "Retain"), &gone, &claim())), ["StatefulSet"]);
        assert_eq!(judge(&with("Retain", "Delete"), &kept, &claim()), Judgement::Fine);
        assert_eq!(owners_of(&judge(&with("Retain", "Delete"), &gone, &claim())), ["Pod"]);
        assert_eq!(owners_of(&judge(&with("Delete", "Delete"), &kept, &claim())), ["StatefulSet"]);
        assert_eq!(owners_of(&judge(&with("Delete", "Delete"), &gone, &claim())), ["Pod"]);
    }

    #[test]
    fn a_plan_applied_is_a_fixpoint() {
        let gone = pod("web-1").build();
        for (deleted, scaled) in
            [("Retain", "Retain"), ("Delete", "Retain"), ("Retain", "Delete"), ("Delete", "Delete")]
        {
            let set = with(deleted, scaled);
            let mut claim = claim();
            if let Judgement::Owners(owners) = judge(&set, &gone, &claim) {
                claim.metadata.owner_references = Some(owners);
            }
            assert_eq!(judge(&set, &gone, &claim), Judgement::Fine, "{deleted} {scaled}");
        }
    }

    #[test]
    fn another_controller_keeps_its_claim() {
        let mut claim = claim();
        claim.metadata.owner_references = Some(vec![object(
            json!({ "apiVersion": "v1", "kind": "Other", "name": "o", "uid": "o", "controller": true }),
        )]);
        assert_eq!(judge(&with("Delete", "Retain"), &pod("web-0").build(), &claim), Judgement::Foreign);
    }
}
