//! `down`: ends every process of the lab and leaves the machine as it was, from whatever state it is in: running, half
//! started, or killed.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use minisvc_kernel::{Links, Netns, PidFd};
use tokio::time::{Instant, timeout};

use crate::footprint::Footprint;
use crate::leftovers;
use crate::lock::Lock;
use crate::places::Places;
use crate::processes::{self, Process, Role};
use crate::settings::Settings;

const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;

/// How long the control plane may take to close its store before it is killed.
const DRAIN: Duration = Duration::from_secs(5);

/// What `down` did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Down {
    /// Whether anything of a lab was there.
    pub was_up: bool,
    /// The processes that were ended, by role.
    pub stopped: Vec<String>,
    /// Whether the store was kept.
    pub state_kept: bool,
    /// Control groups of other labs, which had been killed, that were removed.
    pub cleared: Vec<String>,
}

/// Ends the lab. Goes on after errors and reports all of them at the end.
///
/// # Errors
/// What could not be undone, each with its cause.
pub async fn down(places: &Places, keep_state: bool) -> Result<Down> {
    let lock = Lock::take(places)?;
    let footprint = Footprint::load(places)?;
    let settings = Settings::load(places)?;
    let mut errors = Vec::new();
    let found = processes::find(&places.run)?;
    let was_up = !found.is_empty() || places.run.exists();
    let stopped = match end(&places.run, found).await {
        Ok(stopped) => stopped,
        Err(error) => {
            errors.push(error);
            Vec::new()
        }
    };
    if let Some(settings) = &settings
        && let Err(error) = remove_link(&settings.link).await
    {
        errors.push(error);
    }
    if let Some(groups) = minisvc_kernel::Cgroups::of_machine()
        && let Err(error) = groups.group(places.cgroup()).remove()
    {
        errors.push(error.into());
    }
    let cleared = leftovers::clear().unwrap_or_else(|error| {
        errors.push(error.into());
        Vec::new()
    });
    errors.extend(footprint.undo());
    if errors.is_empty() {
        remove(&places.run_entries(), &mut errors);
        if !keep_state && was_up {
            remove(&places.state_entries(), &mut errors);
        }
        footprint.remove_folders();
    }
    lock.remove();
    match errors.len() {
        0 => Ok(Down { was_up, stopped, state_kept: keep_state && places.state.exists(), cleared }),
        _ => {
            let list: Vec<String> = errors.iter().map(|error| format!("{error:#}")).collect();
            bail!(
                "not all of the lab could be undone:\n  {}\nrun `minisvc down` again once that is mended",
                list.join("\n  ")
            )
        }
    }
}

/// Ends processes: the control plane is asked first and may drain; nodes and edge take all of theirs with them when
/// killed. Looks again until none is found, since a dying parent may have been starting one.
pub(crate) async fn end(run_dir: &Path, mut found: Vec<Process>) -> Result<Vec<String>> {
    let mut roles = BTreeSet::new();
    for _ in 0..50 {
        if found.is_empty() {
            return Ok(roles.into_iter().collect());
        }
        roles.extend(found.iter().map(|process| process.role.to_string()));
        end_these(found).await;
        found = processes::find(run_dir)?;
    }
    bail!("processes of the lab keep coming back: {:?}", found.iter().map(|p| p.pid).collect::<Vec<_>>())
}

/// Ends just these and waits for their end: the control plane by SIGTERM first, the others by SIGKILL.
pub(crate) async fn end_these(processes: Vec<Process>) {
    let deadline = Instant::now() + DRAIN;
    let mut waiting = Vec::new();
    for process in &processes {
        // It may have ended meanwhile: then there is nothing to do.
        let Ok(handle) = PidFd::open(process.pid) else { continue };
        if process.alive() {
            let _ = handle.signal(if process.role == Role::Serve { SIGTERM } else { SIGKILL });
            waiting.push(handle);
        }
    }
    for handle in &waiting {
        let left = deadline.saturating_duration_since(Instant::now());
        if timeout(left, handle.wait_exit()).await.is_err() {
            let _ = handle.signal(SIGKILL);
            let _ = timeout(DRAIN, handle.wait_exit()).await;
        }
    }
}

/// Removes the VM's end of the link and waits until it is gone: a namespace's links outlive its last process by a moment.
async fn remove_link(name: &str) -> Result<()> {
    let links = Links::open(&Netns::current()?).await?;
    if links.exists(name).await? {
        // It may vanish with the edge's namespace between the question and the order.
        if let Err(error) = links.delete(name).await
            && links.exists(name).await?
        {
            return Err(error.into());
        }
    }
    Ok(())
}

/// Removes the lab's own entries; symlinks are removed, never followed.
fn remove(entries: &[std::path::PathBuf], errors: &mut Vec<anyhow::Error>) {
    for path in entries {
        let done = match std::fs::symlink_metadata(path) {
            Ok(data) if data.is_dir() => std::fs::remove_dir_all(path),
            Ok(_) => std::fs::remove_file(path),
            Err(error) => Err(error),
        };
        match done {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                errors.push(anyhow::Error::new(error).context(format!("remove {}", path.display())));
            }
            _ => {}
        }
    }
}
