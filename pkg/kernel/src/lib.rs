//! The door: namespaces, links, routes, nftables, conntrack, spawn. Knows no Kubernetes; the only unsafe.

#![allow(unsafe_code)]

mod beat;
mod capability;
mod cgroup;
mod child;
pub mod conntrack;
mod enter;
mod error;
mod links;
mod mounts;
mod namespace;
pub mod nft;
mod privilege;
mod process;
mod pty;
mod rootfs;
mod seccomp;
mod socket;
mod spawn;
mod sysctl;

pub use beat::until_beat;
pub use capability::{CONTAINER_DEFAULT, Capability, capability, every_capability};
pub use cgroup::{Cgroup, Cgroups, Share};
pub use child::{Child, Exit, reap_orphans};
pub use enter::enter_and_exec;
pub use error::{Error, Result};
pub use links::{AddressInfo, LinkInfo, Links, Route, RouteInfo, Scope};
pub use mounts::{is_mount_point, mount_tmpfs, unmount};
pub use namespace::{NamespaceKind, Netns, new_ipc_namespace, open_namespace};
pub use privilege::{Missing, missing};
pub use process::{PidFd, alive, kill_session, raise_file_limit, set_child_subreaper, signal, start_time};
pub use pty::{Pty, open_pty, set_window_size};
pub use rootfs::{Base, Mount, RootFs};
pub use socket::{bind_udp, connect_tcp, listen_tcp};
pub use spawn::{Namespaces, Program, Spawn, Stdio};
pub use sysctl::{get_sysctl, set_sysctl, set_sysctls};
