//! `reset`: back to the lesson's start. The control plane is stopped, its store emptied and started anew above the old
//! revisions, so that every watcher of the old store lists again; nodes and edge keep running, keys and kubeconfig stay.
//! Files in provisioned volumes go with their claims.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use minisvc_store::{Options, SledStore};
use tokio::time::{Instant, sleep};

use crate::lock::Lock;
use crate::places::Places;
use crate::processes::{self, Role};
use crate::ready::{self, Readiness};
use crate::settings::Settings;
use crate::{access, down, start};

const PATIENCE: Duration = Duration::from_secs(30);

/// Resets the running lab and waits until it is Ready again.
///
/// # Errors
/// When no lab runs, or it does not become Ready.
pub async fn reset(places: &Places) -> Result<()> {
    let lock = Lock::take(places)?;
    let outcome = locked(places).await;
    lock.remove();
    outcome
}

async fn locked(places: &Places) -> Result<()> {
    let settings = Settings::load(places)?.context("no lab runs here; start one with: minisvc up")?;
    let serve = processes::find(&places.run)?.into_iter().filter(|process| process.role == Role::Serve).collect();
    down::end_these(serve).await;
    SledStore::reset(&places.store(), &Options::default()).context("empty the store")?;
    forget_volumes(&places.volumes())?;
    let child = start::start(places, &Role::Serve, &[])?;
    let client = access::client(&places.kubeconfig_of("admin")).await?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let readiness = ready::look(&client, &settings).await;
        if readiness == Readiness::Ready {
            return Ok(());
        }
        ensure!(child.try_wait()?.is_none(), "serve ended: see {}", places.log_of("serve").display());
        ensure!(Instant::now() < deadline, "not Ready within {} s: {readiness}", PATIENCE.as_secs());
        sleep(Duration::from_millis(10)).await;
    }
}

/// Pods run on for a moment and may still write: what came meanwhile is removed at the next attempt.
fn forget_volumes(folder: &Path) -> Result<()> {
    for _ in 0..5 {
        match std::fs::remove_dir_all(folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {}
            outcome => return outcome.context("remove the files of volumes"),
        }
    }
    bail!("remove the files of volumes: pods keep writing into {}", folder.display())
}
