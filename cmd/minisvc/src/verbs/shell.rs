//! `minisvc shell PLACE`: a shell or command inside a node or the edge.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Result, bail};
use minisvc_kernel::{NamespaceKind, enter_and_exec};
use minisvc_lab::places::Places;
use minisvc_lab::processes::{self, Role};

pub(super) fn run(places: &Places, place: &str, command: &[OsString]) -> Result<ExitCode> {
    let found = processes::find(&places.run)?;
    let Some(process) = found.iter().find(|p| p.role != Role::Serve && p.role.to_string() == place) else {
        let known: Vec<String> = found.iter().filter(|p| p.role != Role::Serve).map(|p| p.role.to_string()).collect();
        match known.is_empty() {
            true => bail!("no lab runs here; start one with: minisvc up"),
            false => bail!("{place} does not run; there are: {}", known.join(", ")),
        }
    };
    use NamespaceKind::{Ipc, Mount, Net, Pid, Uts};
    let kinds: &[NamespaceKind] = if process.role == Role::Edge { &[Net] } else { &[Net, Mount, Pid, Uts, Ipc] };
    Ok(enter_and_exec(process.pid, kinds, &command_or_shell(command), false)?)
}

/// The command given, or the user's shell.
pub(super) fn command_or_shell(command: &[OsString]) -> Vec<OsString> {
    if command.is_empty() {
        vec![std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into())]
    } else {
        command.to_vec()
    }
}
