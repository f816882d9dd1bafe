//! Hands: sandboxes, containers, images, probes, logs. One driver task per pod. Knows no store: all it hears and says
//! goes through the Kubernetes API. Must not touch services' rules; host ports are the proxy's.

mod address;
mod admission;
mod arrival;
mod attach;
mod backoff;
mod config;
mod container;
mod context;
mod credentials;
mod driver;
mod environment;
mod events;
mod grant;
mod log_reader;
pub mod logs;
mod machine;
mod names;
mod node;
mod objects;
mod plumbing;
mod pods;
mod probe;
mod probing;
mod process;
mod quantity;
mod resources;
mod restart;
mod room;
mod root;
mod roster;
mod running;
mod sandbox;
mod server;
mod status;
#[doc(hidden)]
pub mod strangers;
mod stream;
mod terminal;
mod volumes;
mod writer;

pub use config::{Config, ServerKeys};

/// Runs the kubelet of one node until `shutdown` completes. To be called in the node's own namespaces, by their PID 1
/// (which also calls `minisvc_kernel::reap_orphans`), on a runtime with IO and time.
///
/// Containers are not stopped at the end: they go with the node's namespaces.
///
/// # Errors
/// When the node's network cannot be prepared, or one of its tasks ends by itself.
pub async fn run(config: Config, client: kube::Client, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    let (known, services_known) = tokio::sync::watch::channel(false);
    std::fs::create_dir_all(&config.run_dir)?;
    std::fs::create_dir_all(&config.log_dir)?;
    let node = node::Node::new(config, client, services_known).await?;
    tokio::select! {
        () = shutdown => Ok(()),
        ended = server::serve(node.clone()) => ended.and_then(|()| anyhow::bail!("the node's server ended")),
        () = node::keep_registered(node.clone()) => anyhow::bail!("the node's registration ended"),
        () = pods::dispatch(node.clone()) => anyhow::bail!("the watch on pods ended"),
        () = pods::follow_services(node.clone(), known) => anyhow::bail!("the watch on services ended"),
    }
}
