//! `minisvc outside`: a shell or command in the place outside the cluster.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use minisvc_kernel::{Netns, Spawn, Stdio};
use minisvc_lab::edge_note::EdgeNote;
use minisvc_lab::places::Places;

pub(super) fn run(places: &Places, command: &[OsString]) -> Result<ExitCode> {
    let note = EdgeNote::of_living(places).context("no lab runs here; start one with: minisvc up")?;
    let words = super::shell::command_or_shell(command);
    let mut spawn = Spawn::new(&words[0]).args(words[1..].to_vec());
    spawn.join_net = Some(Netns::open(&note.outside)?);
    spawn.env = std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .collect();
    (spawn.stdin, spawn.stdout, spawn.stderr) = (Stdio::Inherit, Stdio::Inherit, Stdio::Inherit);
    let child = spawn.spawn()?;
    Ok(ExitCode::from(u8::try_from(child.wait_blocking()?.code()).unwrap_or(1)))
}
