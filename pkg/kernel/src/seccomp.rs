//! The filter that keeps a container's processes from the few calls that reach the whole machine. Must stay a short
//! deny list: it stands behind dropped capabilities, not in place of them.

use std::{collections::BTreeMap, sync::OnceLock};

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use crate::error::{Error, Result};

/// Calls that a container never makes on purpose: after docker's and containerd's default profiles, which allow them
/// to nobody without extra capabilities.
const DENIED: &[libc::c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_move_pages,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
];

const NEW_NAMESPACES: [i32; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// The compiled filter, made once: denied calls answer EPERM, `clone3` ENOSYS so that the C library falls back to
/// `clone`, whose flags can be looked at.
pub(crate) fn filters() -> Result<&'static [BpfProgram; 2]> {
    static FILTERS: OnceLock<[BpfProgram; 2]> = OnceLock::new();
    if let Some(filters) = FILTERS.get() {
        return Ok(filters);
    }
    let built = build().map_err(|error| Error::new("compile", "seccomp filter", std::io::Error::other(error)))?;
    Ok(FILTERS.get_or_init(|| built))
}

fn build() -> std::result::Result<[BpfProgram; 2], seccompiler::BackendError> {
    let mut denied: BTreeMap<i64, Vec<SeccompRule>> = DENIED.iter().map(|call| (*call, vec![])).collect();
    let mut clone = Vec::new();
    for flag in NEW_NAMESPACES {
        let bit = u64::from(flag as u32);
        let has = SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(bit), bit)?;
        clone.push(SeccompRule::new(vec![has])?);
    }
    denied.insert(libc::SYS_clone, clone);
    let absent = BTreeMap::from([(libc::SYS_clone3, vec![])]);
    Ok([program(denied, libc::EPERM)?, program(absent, libc::ENOSYS)?])
}

fn program(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    errno: i32,
) -> std::result::Result<BpfProgram, seccompiler::BackendError> {
    let architecture = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(errno as u32), architecture)?.try_into()
}
