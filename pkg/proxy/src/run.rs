//! The loop: watches the API, plans, commits the difference to the kernel, keeps what the kernel holds true to it.

use std::{
    collections::BTreeSet,
    future::Future,
    pin::pin,
    time::{Duration, Instant},
};

use anyhow::Context;
use futures::{Stream, StreamExt, TryStreamExt};
use k8s_openapi::api::{
    core::v1::{Node, Pod, Service},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api, Client,
    runtime::{WatchStreamExt, watcher, watcher::Event},
};
use minisvc_kernel::{
    Netns,
    conntrack::Conntrack,
    nft::{Change, Connection, Transaction},
    set_sysctl, until_beat,
};

use crate::{
    chains::set,
    config::{Config, NodeView},
    health::{HealthServer, eligible},
    objects::Objects,
    planner::{Name, Planner},
    service::{Frontend, ServicePlan},
    stale::{Answering, connectionless},
};

/// How long changes are gathered before they are planned together.
const GATHER: Duration = Duration::from_millis(2);
/// How often the kernel's generation is compared with ours.
const LOOK: Duration = Duration::from_secs(2);
/// How long a refused transaction waits for its next try.
const RETRY: Duration = Duration::from_millis(500);
/// What the node's kernel must allow: host ports on 127.0.0.1 lead out of loopback (the rules keep strangers away from
/// it), and refusals are ICMP messages, which by default are held back when more than a few a second go to one client:
/// then "refused" would become silence.
const SETTINGS: [(&str, &str); 2] = [("net.ipv4.conf.all.route_localnet", "1"), ("net.ipv4.icmp_ratelimit", "0")];
/// `ERESTART`: the kernel's generation is not the one that a transaction was made for.
const OTHER_GENERATION: i32 = 85;

/// Proxies services on one node until `shutdown`: rules in `netns` follow the Services, EndpointSlices, the Node and
/// the host ports of its pods that `client` sees. The rules stay when this ends, so that traffic goes on.
///
/// # Errors
/// When the namespace's netfilter cannot be reached. All later failures are logged and retried.
pub async fn run(
    config: Config,
    netns: Netns,
    client: Client,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let mut services = pin!(watched(Api::<Service>::all(client.clone()), watcher::Config::default()));
    let mut slices = pin!(watched(Api::<EndpointSlice>::all(client.clone()), watcher::Config::default()));
    let own_name = format!("metadata.name={}", config.node);
    let mut nodes = pin!(watched(Api::<Node>::all(client.clone()), watcher::Config::default().fields(&own_name)));
    let here = format!("spec.nodeName={}", config.node);
    let mut pods = pin!(watched(Api::<Pod>::all(client), watcher::Config::default().fields(&here)));
    let mut shutdown = pin!(shutdown);

    let mut objects = Objects::default();
    let mut keeper = Keeper::new(config, netns)?;
    let mut due: Option<tokio::time::Instant> = None;
    let mut look = pin!(tokio::time::sleep(until_beat(LOOK)));
    loop {
        tokio::select! {
            () = &mut shutdown => return Ok(()),
            Some(event) = services.next() => objects.service(event),
            Some(event) = slices.next() => objects.slice(event),
            Some(event) = nodes.next() => objects.node(event),
            Some(event) = pods.next() => objects.pod(event),
            () = tokio::time::sleep_until(due.unwrap_or_else(tokio::time::Instant::now)), if due.is_some() => {
                due = keeper.sync(&mut objects).then(|| tokio::time::Instant::now() + RETRY);
                continue;
            }
            () = &mut look => {
                look.set(tokio::time::sleep(until_beat(LOOK)));
                if due.is_none() && keeper.started && keeper.was_changed_by_others() {
                    due = Some(tokio::time::Instant::now());
                }
                continue;
            }
        }
        if due.is_none() && objects.complete() && (objects.dirty() || !keeper.started) {
            due = Some(tokio::time::Instant::now() + GATHER);
        }
    }
}

/// A watch that never ends: failures are logged and retried with the library's back-off.
fn watched<K>(api: Api<K>, config: watcher::Config) -> impl Stream<Item = Event<K>>
where
    K: kube::Resource<DynamicType = ()> + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    watcher(api, config)
        .backoff(watcher::ExponentialBackoff::from(minisvc_api::pauses::watch()))
        .inspect_err(|error| tracing::warn!("proxy: watch {}: {error}", K::plural(&())))
        .filter_map(|event| std::future::ready(event.ok()))
}

/// Keeps the kernel's rules as planned.
struct Keeper {
    config: Config,
    planner: Planner,
    rules: Connection,
    conntrack: Conntrack,
    health: HealthServer,
    /// Whether the kernel has had the rules once.
    started: bool,
    /// Whether the next commit must replace the whole table.
    replace: bool,
    generation: u32,
}

impl Keeper {
    fn new(config: Config, netns: Netns) -> anyhow::Result<Self> {
        let rules = Connection::open(&netns).context("reach nftables of the node")?;
        let conntrack = Conntrack::open(&netns).context("reach the node's tracked connections")?;
        for (key, value) in SETTINGS {
            if let Err(error) = set_sysctl(&netns, key, value) {
                tracing::warn!("proxy: {error}");
            }
        }
        let planner = Planner::new(&config, NodeView::new(&config, None));
        let health = HealthServer::new(netns);
        Ok(Self { config, planner, rules, conntrack, health, started: false, replace: true, generation: 0 })
    }

    /// Plans what changed and commits it. Whether it must be tried again.
    fn sync(&mut self, objects: &mut Objects) -> bool {
        let start = Instant::now();
        let mut changed: BTreeSet<Frontend> = BTreeSet::new();
        if std::mem::take(&mut objects.dirty_node) || !self.started {
            self.renew(objects);
            self.health.set_eligible(objects.nodes.get(&self.own_name()).is_some_and(|node| eligible(node)));
        }
        let before = self.planner.services().count();
        for name in std::mem::take(&mut objects.dirty_services) {
            let before = datagrams(self.planner.plan_of(&name));
            let slices = objects.slices_of(&name);
            let service = objects.services.get(&name).map(AsRef::as_ref);
            if self.planner.set_service(&name, service, slices.iter().copied()) {
                changed.extend(before.into_iter().chain(datagrams(self.planner.plan_of(&name))));
            }
        }
        for name in std::mem::take(&mut objects.dirty_pods) {
            let before = datagrams(self.planner.plan_of_pod(&name));
            if self.planner.set_pod(&name, objects.pods.get(&name).map(AsRef::as_ref)) {
                changed.extend(before.into_iter().chain(datagrams(self.planner.plan_of_pod(&name))));
            }
        }
        let change = self.planner.take_change();
        let whole = self.replace;
        if !whole && change.is_empty() {
            self.health.set_checks(&self.planner.health_checks());
            // The rules may be the same, and yet an endpoint on its way out be gone.
            self.forget(changed);
            return false;
        }
        let summary = summary(&change, before, self.planner.services().count());
        let transaction = if whole { Transaction::replace(self.planner.ruleset().table()) } else { change };
        if let Err(error) = self.commit(transaction) {
            tracing::warn!("proxy: {error}; the whole table is replaced next");
            self.replace = true;
            self.health.set_well(false);
            return true;
        }
        self.replace = false;
        if !self.started {
            changed.extend(self.planner.services().flat_map(|(_, plan)| connectionless(plan)));
        }
        self.started = true;
        self.health.set_well(true);
        self.health.set_checks(&self.planner.health_checks());
        self.forget(changed);
        let milliseconds = start.elapsed().as_secs_f64() * 1000.0;
        let whole = if whole { " (whole table)" } else { "" };
        tracing::info!("rv={} proxy: {summary} {milliseconds:.1} ms{whole}", objects.revision);
        false
    }

    /// A planner for the node as it is now, if that is another one than so far: then every service is planned anew.
    fn renew(&mut self, objects: &mut Objects) {
        let node = NodeView::new(&self.config, objects.nodes.get(&self.own_name()).map(AsRef::as_ref));
        if self.started && node == *self.planner.node() {
            return;
        }
        self.planner = Planner::new(&self.config, node);
        self.replace = true;
        objects.dirty_services.extend(objects.services.iter().map(|(name, _)| name.clone()));
        objects.dirty_pods.extend(objects.pods.iter().map(|(name, _)| name.clone()));
    }

    /// The node's name among the objects.
    fn own_name(&self) -> Name {
        (String::new(), self.config.node.clone())
    }

    fn commit(&mut self, mut transaction: Transaction) -> minisvc_kernel::Result<()> {
        transaction.generation = (!self.replace).then_some(self.generation);
        match self.rules.commit(&transaction) {
            Err(error) if error.errno() == Some(OTHER_GENERATION) => {
                // Somebody else changed some table. If it was not ours, the delta still fits.
                transaction.generation = None;
                self.rules.commit(&transaction)?;
                self.generation = self.rules.generation()?;
                self.check()
            }
            other => {
                other?;
                self.generation = self.rules.generation()?;
                Ok(())
            }
        }
    }

    /// Compares what the kernel holds with what is meant.
    fn check(&mut self) -> minisvc_kernel::Result<()> {
        let table = self.planner.ruleset().table();
        let listing = self.rules.read(table.family, &table.name)?;
        let differences = listing.map_or_else(|| vec!["it is gone".to_owned()], |held| held.differences(table));
        match differences.first() {
            None => Ok(()),
            Some(first) => {
                let cause = std::io::Error::other(format!("changed by somebody else: {first}"));
                Err(minisvc_kernel::Error::new("keep table", &table.name, cause))
            }
        }
    }

    /// Whether somebody else changed our table; then the next sync replaces it.
    fn was_changed_by_others(&mut self) -> bool {
        let Ok(generation) = self.rules.generation() else { return false };
        if generation == self.generation {
            return false;
        }
        self.generation = generation;
        if let Err(error) = self.check() {
            tracing::warn!("proxy: {error}; the whole table is replaced");
            self.replace = true;
        }
        self.replace
    }

    fn forget(&mut self, changed: BTreeSet<Frontend>) {
        let answering = Answering::new(changed, self.planner.ruleset());
        if answering.is_empty() {
            return;
        }
        match self.conntrack.forget_where(|flow| answering.is_stale(flow)) {
            Ok(0) => {}
            Ok(count) => tracing::debug!("proxy: forgot {count} connections to endpoints that left"),
            Err(error) => tracing::warn!("proxy: {error}"),
        }
    }
}

/// The frontends of a plan that take datagrams.
fn datagrams(plan: Option<&ServicePlan>) -> Vec<Frontend> {
    plan.into_iter().flat_map(connectionless).collect()
}

/// What a change does, in a few words: `+1 service +10 backends`.
fn summary(change: &Transaction, before: usize, after: usize) -> String {
    let (mut added, mut removed) = (0, 0);
    for each in &change.changes {
        match each {
            Change::AddElements(name, list) if is_backends(name) => added += list.len(),
            Change::DeleteElements(name, list) if is_backends(name) => removed += list.len(),
            _ => {}
        }
    }
    let services = after as i64 - before as i64;
    let mut words = Vec::new();
    match services {
        0 => {}
        1 | -1 => words.push(format!("{services:+} service")),
        many => words.push(format!("{many:+} services")),
    }
    if added > 0 {
        words.push(format!("+{added} backends"));
    }
    if removed > 0 {
        words.push(format!("-{removed} backends"));
    }
    if words.is_empty() { format!("{} elements", change.elements()) } else { words.join(" ") }
}

fn is_backends(name: &str) -> bool {
    name == set::BACKENDS || name == set::AFFINITY_BACKENDS
}
