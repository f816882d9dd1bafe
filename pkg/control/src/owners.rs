//! Owner references: who controls an object, and how to say so. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;

/// The reference with `controller: true`.
pub(crate) fn controller(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references.iter().flatten().find(|o| o.controller == Some(true))
}

/// Whether `owner` controls the object.
pub(crate) fn controlled_by(meta: &ObjectMeta, owner: &ObjectMeta) -> bool {
    controller(meta).is_some_and(|o| owner.uid.as_deref() == Some(&o.uid))
}

/// The reference that makes `owner` the controller, blocking its foreground deletion.
pub(crate) fn reference<K: Resource<DynamicType = ()>>(owner: &K) -> OwnerReference {
    OwnerReference {
        api_version: K::api_version(&()).into_owned(),
        kind: K::kind(&()).into_owned(),
        name: owner.meta().name.clone().unwrap_or_default(),
        uid: owner.meta().uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// What a controller does about an object that it might own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It is ours and matches.
    Keep,
    /// It has no controller and matches: take it.
    Adopt,
    /// It is ours and matches no more: let go.
    Release,
    /// Not ours.
    Ignore,
}

/// Decides as Kubernetes' `ControllerRefManager.ClaimObject`.
pub(crate) fn claim(object: &ObjectMeta, owner: &ObjectMeta, matches: bool) -> Claim {
    match controller(object) {
        Some(_) if !controlled_by(object, owner) => Claim::Ignore,
        Some(_) if matches => Claim::Keep,
        Some(_) if owner.deletion_timestamp.is_some() => Claim::Ignore,
        Some(_) => Claim::Release,
        None if !matches || owner.deletion_timestamp.is_some() || object.deletion_timestamp.is_some() => Claim::Ignore,
        None => Claim::Adopt,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(uid: &str, owner: Option<&str>) -> ObjectMeta {
        let reference = |uid: &str| OwnerReference { uid: uid.into(), controller: Some(true), ..Default::default() };
        ObjectMeta { uid: Some(uid.into()), owner_references: owner.map(|o| vec![reference(o)]), ..Default::default() }
    }

    #[test]
    fn claims() {
        let owner = meta("o", None);
        assert_eq!(claim(&meta("p", Some("o")), &owner, true), Claim::Keep);
        assert_eq!(claim(&meta("p", Some("o")), &owner, false), Claim::Release);
        assert_eq!(claim(&meta("p", Some("x")), &owner, true), Claim::Ignore);
        assert_eq!(claim(&meta("p", None), &owner, true), Claim::Adopt);
        assert_eq!(claim(&meta("p", None), &owner, false), Claim::Ignore);
        let mut dying = meta("o", None);
        dying.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH));
        assert_eq!(claim(&meta("p", None), &dying, true), Claim::Ignore);
    }
}
