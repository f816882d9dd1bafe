//! The cloud controller: keeps what it saw, plans, and applies the difference to the last plan. One task owns all of
//! it and takes updates from a channel. Must not judge: `planner` does.

mod apply;
mod world;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    time::Duration,
};

use anyhow::Context;
use k8s_openapi::api::core::v1::Service;
use kube::Client;
use minisvc_kernel::Netns;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use self::{
    apply::{DataPlane, What},
    world::World,
};
use crate::{
    events::{Mood, Recorder},
    gateway,
    health::{Health, Probe, ask_forever},
    observe,
    planner::{CloudPlan, Input, ServiceKey, plan},
    wiring::Plan,
};

/// How soon something that failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// What the edge process needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// The lab's wires.
    pub plan: Plan,
    /// How long a new load balancer stays pending.
    pub delay: Duration,
    /// How often nodes are asked for their health.
    pub probe_interval: Duration,
}

impl Config {
    /// The lesson's times: 2 s pending, health every second.
    pub fn new(plan: Plan) -> Self {
        Self { plan, delay: Duration::from_secs(2), probe_interval: Duration::from_secs(1) }
    }
}

/// Runs the cloud in the calling process' network namespace, which must be the edge's, until `shutdown`: load balancers,
/// health checks, the route of the service range, and the switch ([`SWITCH`](crate::SWITCH)). While the API cannot be
/// reached, what was laid stays as it is.
///
/// # Errors
/// When the edge's kernel objects cannot be reached at the start; later failures are logged and tried again.
pub async fn run(config: Config, client: Client, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    let edge = Netns::current().context("find the edge's namespace")?;
    let data_plane = DataPlane::open(&config.plan, &edge).await.context("open the edge's data plane")?;
    let (updates, mut inbox) = mpsc::unbounded_channel();
    let (wanted, asked) = watch::channel(BTreeSet::new());
    let (answers, mut health) = mpsc::unbounded_channel();
    let (written, mut done) = mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    observe::watch(&client, &updates, &mut tasks);
    tasks.spawn(ask_forever(config.probe_interval, asked, answers));
    let mut cloud = Cloud {
        config,
        recorder: Recorder::new(client.clone()),
        client,
        data_plane,
        world: World::default(),
        health: Health::default(),
        wanted,
        written,
        pending: BTreeMap::new(),
        held: BTreeMap::new(),
        clearing: BTreeSet::new(),
        guarding: BTreeMap::new(),
        told: BTreeMap::new(),
        hosts: None,
        gateway: None,
        retry: None,
        planned: None,
    };
    let mut slices = Some(updates);
    tokio::pin!(shutdown);
    loop {
        let wake = cloud.wake();
        tokio::select! {
            () = &mut shutdown => return Ok(()),
            Some(update) = inbox.recv() => {
                cloud.world.take(update);
                while let Ok(update) = inbox.try_recv() {
                    cloud.world.take(update);
                }
            }
            Some((probe, answer)) = health.recv() => {
                let mut changed = cloud.health.note(probe, answer);
                while let Ok((probe, answer)) = health.try_recv() {
                    changed |= cloud.health.note(probe, answer);
                }
                if !changed && !cloud.gateway_failed() {
                    continue;
                }
            }
            Some(written) = done.recv() => cloud.after_writing(written),
            () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
        }
        if !cloud.world.synced() {
            continue;
        }
        let plan = cloud.step().await;
        if plan.wants_slices
            && let Some(updates) = slices.take()
        {
            observe::watch_slices(&cloud.client, updates, &mut tasks);
        }
    }
}

/// A write that came to its end.
#[derive(Debug)]
struct Written {
    /// As it was before.
    service: Box<Service>,
    what: What,
    ok: bool,
}

struct Cloud {
    config: Config,
    client: Client,
    recorder: Recorder,
    data_plane: DataPlane,
    world: World,
    health: Health,
    wanted: watch::Sender<BTreeSet<Probe>>,
    written: mpsc::UnboundedSender<Written>,
    /// Since when a uid waits.
    pending: BTreeMap<String, Instant>,
    /// Addresses given out whose status is not yet seen.
    held: BTreeMap<String, Ipv4Addr>,
    /// Uids whose address is being taken away.
    clearing: BTreeSet<String>,
    /// Uids whose finalizer is being put on or taken off, until that is seen.
    guarding: BTreeMap<String, bool>,
    /// The last trouble that was told about a uid, so that it is told once.
    told: BTreeMap<String, String>,
    /// The nodes that load balancers were last told to have, ready or not; `None` before the first look.
    hosts: Option<BTreeSet<String>>,
    gateway: Option<Ipv4Addr>,
    retry: Option<Instant>,
    planned: Option<Instant>,
}

impl Cloud {
    /// When to look again without being asked.
    fn wake(&self) -> Option<Instant> {
        let planned = self.planned?;
        // Those that were ripe when the last plan was made have had their turn.
        let ripe = self.pending.values().map(|since| *since + self.config.delay).filter(|at| *at > planned);
        ripe.chain(self.retry).min()
    }

    /// One round: plan, and make it so.
    async fn step(&mut self) -> CloudPlan {
        self.retry = None;
        self.forget_the_gone();
        let mut plan = self.plan();
        if self.start_waiting(&plan) && self.config.delay.is_zero() {
            plan = self.plan();
        }
        self.choose_gateway().await;
        self.ask(&plan);
        let laid = self.data_plane.lay(&plan.balancers, &self.world.resource_version);
        if let Err(error) = &laid {
            tracing::error!(%error, "edge table");
            self.retry = Some(Instant::now() + AGAIN);
        }
        for (key, address) in &plan.assign {
            self.write(key, What::Address(Some(*address)));
        }
        for key in &plan.clear {
            self.write(key, What::Address(None));
        }
        for key in &plan.guard {
            self.write(key, What::Guard(true));
        }
        // What is still laid is not gone yet.
        for key in plan.release.iter().filter(|_| laid.is_ok()) {
            self.write(key, What::Guard(false));
        }
        self.tell(&plan);
        self.tell_of_hosts();
        plan
    }

    fn plan(&mut self) -> CloudPlan {
        let now = Instant::now();
        self.planned = Some(now);
        let ripe = |since: &Instant| now >= *since + self.config.delay;
        let due = self.pending.iter().filter(|(_, since)| ripe(since)).map(|(uid, _)| uid.clone()).collect();
        plan(&Input {
            services: &self.world.services,
            nodes: &self.world.nodes,
            slices: &self.world.slices_by_service(),
            range: self.config.plan.ranges.load_balancers,
            enabled: self.world.enabled(),
            held: &self.held,
            due: &due,
            healthy: self.health.healthy(),
        })
    }

    /// Starts the clock of services that wait from now on; tells whether there are any.
    fn start_waiting(&mut self, plan: &CloudPlan) -> bool {
        let mut any = false;
        for service in plan.waiting.iter().filter_map(|key| self.world.services.get(key)) {
            let uid = uid(service);
            if !self.pending.contains_key(&uid) {
                self.recorder.say(service, Mood::Normal, "EnsuringLoadBalancer", "Ensuring load balancer");
                self.pending.insert(uid, Instant::now());
                any = true;
            }
        }
        any
    }

    fn forget_the_gone(&mut self) {
        let there: BTreeMap<String, &Service> =
            self.world.services.values().map(|service| (uid(service), service)).collect();
        let range = self.config.plan.ranges.load_balancers;
        let address = |uid: &String| {
            let service = there.get(uid)?;
            crate::planner::ServiceView::new(service, range).address
        };
        self.held.retain(|uid, held| there.contains_key(uid) && address(uid) != Some(*held));
        let enabled = self.world.enabled();
        let (held, services) = (&self.held, &there);
        self.pending.retain(|uid, _| {
            enabled && services.contains_key(uid) && !held.contains_key(uid) && {
                // Done, unless it asks for another address than it has.
                let view = services.get(uid).map(|service| crate::planner::ServiceView::new(service, range));
                view.is_some_and(|view| {
                    view.address.is_none() || view.requested.is_some_and(|ip| ip.ok() != view.address)
                })
            }
        });
        self.clearing.retain(|uid| address(uid).is_some());
        let guarded = |uid: &String| Some(crate::planner::ServiceView::new(there.get(uid)?, range).guarded);
        self.guarding.retain(|uid, on| guarded(uid).is_some_and(|guarded| guarded != *on));
        self.told.retain(|uid, _| there.contains_key(uid));
        self.recorder.keep(|uid| there.contains_key(uid));
    }

    /// Whether the node that ClusterIPs go to was just found dead.
    fn gateway_failed(&self) -> bool {
        self.gateway.is_some_and(|address| self.health.failed(&Probe::Alive { address }))
    }

    async fn choose_gateway(&mut self) {
        let dead = |address| self.health.failed(&Probe::Alive { address });
        let chosen = gateway::choose(self.gateway, &self.world.nodes, dead);
        let (Some(address), true) = (chosen, chosen != self.gateway) else { return };
        match self.data_plane.route_services(address).await {
            Ok(()) => self.gateway = Some(address),
            Err(error) => {
                tracing::warn!(%error, "route of the service range");
                self.retry = Some(Instant::now() + AGAIN);
            }
        }
    }

    fn ask(&mut self, plan: &CloudPlan) {
        let mut wanted = plan.probes.clone();
        wanted.extend(self.gateway.map(|address| Probe::Alive { address }));
        // Those found dead are asked until they live again.
        let known = self.world.nodes.values().map(|node| Probe::Alive { address: node.address });
        wanted.extend(known.filter(|probe| self.health.failed(probe)));
        self.health.keep(&wanted);
        self.wanted.send_if_modified(|now| {
            let changed = *now != wanted;
            *now = wanted;
            changed
        });
    }

    fn write(&mut self, key: &ServiceKey, what: What) {
        let Some(service) = self.world.services.get(key) else { return };
        let uid = uid(service);
        let fresh = match what {
            What::Address(Some(address)) => self.held.insert(uid.clone(), address) != Some(address),
            What::Address(None) => self.clearing.insert(uid.clone()),
            What::Guard(on) => self.guarding.insert(uid.clone(), on) != Some(on),
        };
        if !fresh {
            return;
        }
        if let What::Guard(false) = what {
            self.recorder.say(service, Mood::Normal, "DeletingLoadBalancer", "Deleting load balancer");
        }
        let service = Box::new(service.clone());
        let (client, key, told) = (self.client.clone(), key.clone(), self.written.clone());
        tokio::spawn(async move {
            let ok = apply::write(client, &key, &uid, what, AGAIN).await;
            if !ok {
                // It is planned again at once.
                sleep(AGAIN).await;
            }
            let _closed = told.send(Written { service, what, ok });
        });
    }

    fn after_writing(&mut self, written: Written) {
        let Written { service, what, ok } = written;
        let of = uid(&service);
        if !ok {
            match what {
                What::Address(Some(_)) => drop(self.held.remove(&of)),
                What::Address(None) => drop(self.clearing.remove(&of)),
                What::Guard(_) => drop(self.guarding.remove(&of)),
            }
            return;
        }
        match what {
            What::Address(Some(_)) => {
                self.recorder.say(&service, Mood::Normal, "EnsuredLoadBalancer", "Ensured load balancer");
            }
            What::Guard(false) => {
                self.recorder.say(&service, Mood::Normal, "DeletedLoadBalancer", "Deleted load balancer");
            }
            What::Address(None) | What::Guard(true) => {}
        }
    }

    /// Says of each load balancer when nodes come, go or ask to be left out (cloud-provider `updateLoadBalancerHosts`).
    fn tell_of_hosts(&mut self) {
        let included = self.world.nodes.iter().filter(|(_, node)| !node.excluded);
        let hosts: BTreeSet<String> = included.map(|(name, _)| name.clone()).collect();
        let none = hosts.is_empty();
        let Some(before) = self.hosts.replace(hosts) else { return };
        if self.hosts.as_ref() == Some(&before) {
            return;
        }
        let range = self.config.plan.ranges.load_balancers;
        let balanced = |service: &&Service| crate::planner::ServiceView::new(service, range).address.is_some();
        for service in self.world.services.values().filter(balanced) {
            let (mood, reason, text) = match none {
                true => (Mood::Warning, "UnAvailableLoadBalancer", "There are no available nodes for LoadBalancer"),
                false => (Mood::Normal, "UpdatedLoadBalancer", "Updated load balancer with new hosts"),
            };
            self.recorder.say(service, mood, reason, text);
        }
    }

    /// Tells each trouble once, until it is over.
    fn tell(&mut self, plan: &CloudPlan) {
        let refused = plan.refused.iter().map(|(key, reason)| {
            let text = format!("Error syncing load balancer: failed to ensure load balancer: {reason}");
            (key, "SyncLoadBalancerFailed", text)
        });
        let idle = plan.idle.iter().map(|(key, meanwhile)| {
            let text = format!(
                "The cloud is off, so nobody gives this service an external address and it stays <pending>. \
                 Switch it on with: minisvc cloud on{meanwhile}"
            );
            (key, "CloudOff", text)
        });
        let mut troubled = BTreeSet::new();
        for (key, reason, text) in refused.chain(idle) {
            let Some(service) = self.world.services.get(key) else { continue };
            let uid = uid(service);
            troubled.insert(uid.clone());
            if self.told.get(&uid) != Some(&text) {
                self.recorder.say(service, Mood::Warning, reason, &text);
                self.told.insert(uid, text);
            }
        }
        self.told.retain(|uid, _| troubled.contains(uid));
    }
}

fn uid(service: &Service) -> String {
    service.metadata.uid.clone().unwrap_or_default()
}
