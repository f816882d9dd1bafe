//! Judgement: controllers and scheduler as planners over the Kubernetes API. Knows no store and no kernel.
//!
//! Each controller is a loop around a pure planner: watches fill mirrors, a change asks for work on a key, the planner
//! compares what is with what should be, the loop writes the difference, and the answers enter the mirrors at once.

use std::future::Future;
use std::time::Duration;

use anyhow::Context;
use ipnet::Ipv4Net;
use kube::Client;
use tokio::task::JoinSet;

mod autoscaler;
mod cronjob;
mod daemonset;
mod deployment;
mod disruption;
mod endpoints;
mod expiry;
mod finished;
#[cfg(test)]
mod fixtures;
mod garbage;
mod intstr;
mod job;
mod kinds;
mod labels;
mod migration;
mod mirror;
mod namespaces;
mod nodes;
mod owners;
mod podgc;
mod pods;
mod podset;
mod queue;
mod recorder;
mod replicaset;
mod replication;
mod revisions;
mod scaling;
mod scheduler;
mod statefulset;
mod volumes;
mod world;

use recorder::Recorder;
use world::World;

/// What the controllers need to know of the lab.
#[derive(Debug, Clone)]
pub struct Config {
    /// PEM text of the certificate authority, for the ConfigMap `kube-root-ca.crt` of every namespace.
    pub root_ca: String,
    /// The range that nodes get their pod addresses from (`10.244.0.0/16`).
    pub pod_cidr: Ipv4Net,
    /// Prefix length of one node's share of it (24).
    pub node_prefix: u8,
    /// A node that gave no sign of life (lease or status) for so long is not ready. Nodes renew their lease every 5 s,
    /// so 12 s forgive one lost renewal and make a killed node NotReady within as much; Kubernetes' default is 50 s.
    pub node_grace: Duration,
    /// How long pods without a toleration of their own stay on an unreachable or unready node, in seconds. Kubernetes'
    /// admission gives every pod 300; those count as "none of its own" here.
    pub default_toleration_seconds: u32,
    /// Where folders of provisioned volumes lie; every node must reach them under this path.
    pub volumes: std::path::PathBuf,
}

impl Default for Config {
    /// The lab's values, without a certificate.
    fn default() -> Self {
        Self {
            root_ca: String::new(),
            pod_cidr: Ipv4Net::new_assert(std::net::Ipv4Addr::new(10, 244, 0, 0), 16),
            node_prefix: 24,
            node_grace: Duration::from_secs(12),
            default_toleration_seconds: 10,
            volumes: "/var/lib/minisvc/volumes".into(),
        }
    }
}

/// How long the API server may take to answer at start.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs all controllers and the scheduler until `shutdown`.
///
/// # Errors
/// A part that ends by itself ends the run, and the error names it; so does a server that does not answer discovery.
pub async fn run(config: Config, client: Client, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    tokio::pin!(shutdown);
    tokio::select! {
        outcome = all(config, client) => outcome,
        () = &mut shutdown => Ok(()),
    }
}

async fn all(config: Config, client: Client) -> anyhow::Result<()> {
    // Dropping the set at shutdown ends every part.
    let mut parts: JoinSet<(&'static str, anyhow::Result<()>)> = JoinSet::new();
    let (recorder, writers) = Recorder::new(&client);
    for writer in writers {
        parts.spawn(async move {
            writer.await;
            ("event recorder", Ok(()))
        });
    }
    let world = World::new(config, client, recorder);
    world.feed(&mut parts);
    let kinds = std::sync::Arc::new(kinds(&world.client).await?);
    tokio::select! {
        () = world.synced() => {}
        ended = parts.join_next() => return Err(obituary(ended)),
    }
    tracing::debug!(kinds = kinds.len(), "mirrors are filled, controllers start");
    macro_rules! part {
        ($name:literal, $work:expr) => {{
            let work = $work;
            parts.spawn(async move {
                work.await;
                ($name, Ok(()))
            });
        }};
    }
    part!("deployment controller", deployment::run(world.clone()));
    part!("replicaset controller", replicaset::run(world.clone()));
    part!("daemonset controller", daemonset::run(world.clone()));
    part!("statefulset controller", statefulset::run(world.clone()));
    part!("replication controller", replication::run(world.clone()));
    part!("job controller", job::run(world.clone()));
    part!("cronjob controller", cronjob::run(world.clone()));
    part!("ttl-after-finished controller", finished::run(world.clone()));
    part!("disruption controller", disruption::run(world.clone()));
    part!("horizontal pod autoscaler", autoscaler::run(world.clone()));
    part!("pod garbage collector", podgc::run(world.clone()));
    part!("endpoints controller", endpoints::run(world.clone()));
    part!("persistentvolume controller", volumes::run(world.clone()));
    part!("volume protection controller", volumes::protect(world.clone()));
    part!("ephemeral volume controller", volumes::ephemeral(world.clone()));
    part!("scheduler", scheduler::run(world.clone()));
    part!("node controller", nodes::run(world.clone()));
    part!("namespace controller", namespaces::run(world.clone()));
    part!("expiry", expiry::run(world.clone()));
    part!("storage version migrator", migration::run(world.clone()));
    garbage::start(&world, &kinds, &mut parts);
    let ended = parts.join_next().await;
    Err(obituary(ended))
}

async fn kinds(client: &Client) -> anyhow::Result<Vec<kinds::Kind>> {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        match kinds::discover(client).await {
            Ok(kinds) => return Ok(kinds.all),
            Err(error) if tokio::time::Instant::now() > end => {
                return Err(error).context("discover the server's kinds");
            }
            Err(error) => tracing::debug!(%error, "discovery failed, will try again"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn obituary(ended: Option<Result<(&'static str, anyhow::Result<()>), tokio::task::JoinError>>) -> anyhow::Error {
    match ended {
        Some(Ok((name, Err(error)))) => error.context(format!("the {name} ended")),
        Some(Ok((name, Ok(())))) => anyhow::anyhow!("the {name} ended"),
        Some(Err(error)) => anyhow::anyhow!(error).context("a controller died"),
        None => anyhow::anyhow!("no controller runs"),
    }
}
