//! Names around persistent volumes that server, controllers and clients share.

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
