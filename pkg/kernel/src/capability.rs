//! Capabilities by their names, and the short list that a container keeps. Must not change the calling process.

use std::str::FromStr;

pub use caps::Capability;

/// What a container keeps unless asked otherwise: containerd's default list (oci/spec.go, `defaultUnixCaps`).
pub const CONTAINER_DEFAULT: [Capability; 14] = [
    Capability::CAP_CHOWN,
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_FSETID,
    Capability::CAP_FOWNER,
    Capability::CAP_MKNOD,
    Capability::CAP_NET_RAW,
    Capability::CAP_SETGID,
    Capability::CAP_SETUID,
    Capability::CAP_SETFCAP,
    Capability::CAP_SETPCAP,
    Capability::CAP_NET_BIND_SERVICE,
    Capability::CAP_SYS_CHROOT,
    Capability::CAP_KILL,
    Capability::CAP_AUDIT_WRITE,
];

/// The capability called `name`, with or without "CAP_", in any case, as Kubernetes' `securityContext.capabilities`
/// writes it. Nothing for unknown names.
pub fn capability(name: &str) -> Option<Capability> {
    let name = name.to_ascii_uppercase();
    let bare = name.strip_prefix("CAP_").unwrap_or(&name);
    Capability::from_str(&format!("CAP_{bare}")).ok()
}

/// Every capability that there is.
pub fn every_capability() -> Vec<Capability> {
    let mut all: Vec<_> = caps::all().into_iter().collect();
    all.sort_by_key(Capability::index);
    all
}

/// The set as the 64 bits of capset(2).
pub(crate) fn bits(capabilities: &[Capability]) -> u64 {
    capabilities.iter().fold(0, |bits, capability| bits | capability.bitmask())
}
