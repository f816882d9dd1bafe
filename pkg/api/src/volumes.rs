//! Names around persistent volumes that server, controllers, nodes and clients share.

use k8s_openapi::api::core::v1::Volume;

/// The provisioner behind the class `standard`: folders of the machine's.
pub const PROVISIONER: &str = "minisvc.io/folder";
/// The class that a fresh lab has, as kind's and minikube's.
pub const STANDARD_CLASS: &str = "standard";
/// Keeps a claim while pods use it (`StorageObjectInUseProtection`).
pub const CLAIM_FINALIZER: &str = "kubernetes.io/pvc-protection";
/// Keeps a volume while it belongs to a claim.
pub const VOLUME_FINALIZER: &str = "kubernetes.io/pv-protection";
/// Marks the class of claims that name none.
pub const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";
/// The same, as it was called before 1.6.
pub const OLD_DEFAULT_CLASS: &str = "storageclass.beta.kubernetes.io/is-default-class";
/// The class of a claim or volume, as it was said before 1.6.
pub const OLD_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

/// The claim that a volume of the pod `pod` needs, and whether it is the pod's own (`ephemeral`, KEP-1698).
pub fn claim_of(pod: &str, volume: &Volume) -> Option<(String, bool)> {
    let named = volume.persistent_volume_claim.as_ref().map(|source| (source.claim_name.clone(), false));
    named.or_else(|| volume.ephemeral.as_ref().map(|_| (format!("{pod}-{}", volume.name), true)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_is_named_or_the_pods_own() {
        let volume = |value| serde_json::from_value::<Volume>(value).unwrap();
        let named = volume(json!({"name": "v", "persistentVolumeClaim": {"claimName": "data"}}));
        assert_eq!(claim_of("web-0", &named), Some(("data".into(), false)));
        let own = volume(json!({"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}));
        assert_eq!(claim_of("web-0", &own), Some(("web-0-scratch".into(), true)));
        assert_eq!(claim_of("web-0", &volume(json!({"name": "v", "emptyDir": {}}))), None);
    }
}
