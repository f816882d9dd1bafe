//! Making a plan so: the edge's table, stale datagram flows, the services' route, and statuses through the API.

use std::{net::Ipv4Addr, time::Duration};

use k8s_openapi::api::core::v1::Service;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use minisvc_kernel::{
    Links, Netns, Result, Route,
    conntrack::Conntrack,
    nft::{Connection, Protocol, Table, Transaction},
};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{
    balancer::{Balancers, Frontend, Pool, table},
    planner::{CLEANUP, ServiceKey},
    wiring::Plan,
};

/// The edge's side of the kernel.
pub(super) struct DataPlane {
    plan: Plan,
    links: Links,
    nftables: Connection,
    flows: Conntrack,
    /// What the kernel holds as far as is known.
    laid: Option<(Table, Balancers)>,
}

impl DataPlane {
    pub(super) async fn open(plan: &Plan, edge: &Netns) -> Result<Self> {
        Ok(Self {
            plan: plan.clone(),
            links: Links::open(edge).await?,
            nftables: Connection::open(edge)?,
            flows: Conntrack::open(edge)?,
            laid: None,
        })
    }

    /// Makes the kernel's table that of `balancers`; by deltas where the last one is known.
    pub(super) fn lay(&mut self, balancers: &Balancers, resource_version: &str) -> Result<()> {
        if self.laid.as_ref().is_some_and(|(_, laid)| laid == balancers) {
            return Ok(());
        }
        let started = Instant::now();
        let wanted = table(&self.plan.ranges, balancers);
        let transaction = match &self.laid {
            Some((laid, _)) => Transaction::between(laid, &wanted),
            None => Transaction::replace(&wanted),
        };
        let elements = transaction.elements();
        let before = self.laid.take().map(|(_, balancers)| balancers).unwrap_or_default();
        self.nftables.commit(&transaction)?;
        self.laid = Some((wanted, balancers.clone()));
        self.forget_stale_flows(&before, balancers);
        let took = started.elapsed().as_secs_f64() * 1e3;
        let pools = balancers.pools.len();
        tracing::info!("rv={resource_version} edge: {pools} frontends, {elements} elements changed, {took:.1} ms");
        Ok(())
    }

    /// Datagrams have no end that would free them from a target that left: their flows are forgotten, so that the next
    /// one is balanced anew.
    fn forget_stale_flows(&mut self, before: &Balancers, now: &Balancers) {
        let lost = |(at, pool): &(&Frontend, &Pool)| {
            at.protocol != Protocol::TCP && now.pools.get(at).is_none_or(|new| !new.targets.is_superset(&pool.targets))
        };
        if !before.pools.iter().any(|one| lost(&one)) {
            return;
        }
        let stale = |flow: &minisvc_kernel::conntrack::Flow| {
            let to = &flow.original;
            let at = Frontend { address: to.destination, protocol: flow.protocol, port: to.destination_port };
            let target = (flow.reply.source, flow.reply.source_port);
            at.protocol != Protocol::TCP
                && before.pools.contains_key(&at)
                && now.pools.get(&at).is_none_or(|pool| !pool.targets.contains(&target))
        };
        if let Err(error) = self.flows.forget_where(stale) {
            tracing::warn!(%error, "forget flows");
        }
    }

    /// Hands packets to ClusterIPs to this node.
    pub(super) async fn route_services(&self, node: Ipv4Addr) -> Result<()> {
        self.links.replace_route(&Route::via(self.plan.ranges.services.trunc(), node)).await
    }
}

/// What is written of a service.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    /// Its address, or that it has none.
    Address(Option<Ipv4Addr>),
    /// Whether it carries the finalizer.
    Guard(bool),
}

/// Writes until it is done or in vain: the service is gone, or another one of the same name. Tells whether it is written.
pub(super) async fn write(client: Client, key: &ServiceKey, uid: &str, what: What, pause: Duration) -> bool {
    let services: Api<Service> = Api::namespaced(client, &key.namespace);
    let params = PatchParams::default();
    let body = match what {
        What::Address(address) => {
            let ingress = address.map(|address| json!([{ "ip": address.to_string(), "ipMode": "VIP" }]));
            json!({ "metadata": { "uid": uid }, "status": { "loadBalancer": { "ingress": ingress } } })
        }
        What::Guard(on) => {
            let field = if on { "finalizers" } else { "$deleteFromPrimitiveList/finalizers" };
            json!({ "metadata": { "uid": uid, field: [CLEANUP] } })
        }
    };
    loop {
        let outcome = match what {
            What::Address(_) => services.patch_status(&key.name, &params, &Patch::Merge(&body)).await,
            What::Guard(_) => services.patch(&key.name, &params, &Patch::Strategic(&body)).await,
        };
        match outcome {
            Ok(_) => return true,
            Err(kube::Error::Api(status)) if [404, 409, 422].contains(&status.code) => {
                tracing::warn!(service = %key, message = %status.message, ?what, "not written");
                return false;
            }
            Err(error) => tracing::warn!(service = %key, %error, ?what, "not written, will try again"),
        }
        sleep(pause).await;
    }
}
