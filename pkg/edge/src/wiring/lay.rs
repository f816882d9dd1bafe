//! Lays a plan's wires with the kernel's links and routes. Each step is fine when it was done before; a wire whose
//! other end was left behind in a dead namespace is made anew.

use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};
use minisvc_kernel::{
    Error, LinkInfo, Links, Netns, Result, Route, Scope,
    nft::{Connection, Family, Transaction},
    set_sysctl, set_sysctls,
};

use crate::balancer::{self, Balancers};

use super::{
    clash::Occupied,
    plan::{NodeWire, Plan},
};

/// Settings of a namespace that routes for others.
const ROUTER: [(&str, &str); 7] = [
    ("net.ipv4.ip_forward", "1"),
    // Answers may leave by another way than questions came: a ClusterIP goes through whichever node.
    ("net.ipv4.conf.all.rp_filter", "0"),
    ("net.ipv4.conf.default.rp_filter", "0"),
    // The edge sends packets back to the fabric that they came from; nobody is to learn a shortcut from that.
    ("net.ipv4.conf.all.send_redirects", "0"),
    ("net.ipv4.conf.default.send_redirects", "0"),
    ("net.ipv4.conf.all.accept_redirects", "0"),
    ("net.ipv4.conf.default.accept_redirects", "0"),
];

/// Lays the inside of the edge: forwarding, the fabric with the edge's and the API server's address, the way outside.
///
/// # Errors
/// Names the link, address or setting that the kernel refused.
pub async fn lay_edge(plan: &Plan, edge: &Netns, outside: &Netns) -> Result<()> {
    become_router(edge)?;
    raise_guard(plan, edge)?;
    let links = Links::open(edge).await?;
    links.set_up("lo").await?;
    if !links.exists(Plan::FABRIC).await? {
        links.create_bridge(Plan::FABRIC).await?;
        // A bridge without an address of its own takes the lowest of its ports', and a new one with the next port:
        // whoever asked in between would send to an address that is nobody's any more.
        let [a, b, c, d] = plan.edge_on_fabric.octets();
        links.set_hardware_address(Plan::FABRIC, [0x02, 0x00, a, b, c, d]).await?;
    }
    let fabric = plan.ranges.nodes.prefix_len();
    links.add_address(Plan::FABRIC, address(plan.edge_on_fabric, fabric), Scope::Universe).await?;
    links.add_address(Plan::FABRIC, address(plan.api_server, 32), Scope::Universe).await?;
    links.set_up(Plan::FABRIC).await?;

    let prefix = plan.ranges.outside.prefix_len();
    let far = connect(&links, Plan::OUT, outside, Plan::ETH).await?;
    links.add_address(Plan::OUT, address(plan.edge_outside, prefix), Scope::Universe).await?;
    links.set_up(Plan::OUT).await?;
    far.add_address(Plan::ETH, address(plan.outside, prefix), Scope::Universe).await?;
    far.set_up(Plan::ETH).await?;
    far.replace_route(&Route::via(everywhere(), plan.edge_outside)).await
}

/// Lays the VM's link to the edge and the VM's routes through it: the whole footprint on the VM. [`remove_vm`] undoes it.
///
/// # Errors
/// As [`lay_edge`]; `AlreadyExists` when the link's name is taken by something else.
pub async fn lay_vm(plan: &Plan, vm: &Netns, edge: &Netns) -> Result<()> {
    let links = Links::open(vm).await?;
    let prefix = plan.ranges.link.prefix_len();
    let far = connect(&links, &plan.vm_link, edge, Plan::HOST).await?;
    far.add_address(Plan::HOST, address(plan.edge_on_link, prefix), Scope::Universe).await?;
    far.set_up(Plan::HOST).await?;
    links.add_address(&plan.vm_link, address(plan.vm_address, prefix), Scope::Universe).await?;
    links.set_up(&plan.vm_link).await?;
    for range in plan.vm_routes() {
        let route = Route { device: Some(plan.vm_link.clone()), ..Route::via(range, plan.edge_on_link) };
        links.replace_route(&route).await?;
    }
    Ok(())
}

/// Removes the VM's link; its routes go with it. One that is not there is fine.
///
/// # Errors
/// When the kernel refuses.
pub async fn remove_vm(plan: &Plan, vm: &Netns) -> Result<()> {
    let links = Links::open(vm).await?;
    if links.exists(&plan.vm_link).await? { remove(&links, &plan.vm_link).await } else { Ok(()) }
}

/// Lays node `number`'s wire: a port of the fabric at the edge, `eth0` with address and routes in the node, the edge's
/// route to its pods. The first node also gets the edge's route for services, unless there is one.
///
/// # Errors
/// As [`lay_edge`]; `InvalidInput` for a node that the plan does not have.
pub async fn lay_node(plan: &Plan, number: u8, edge: &Netns, node: &Netns) -> Result<()> {
    let Some(wire) = plan.nodes.iter().find(|wire| wire.number == number) else {
        let reason = std::io::Error::new(std::io::ErrorKind::InvalidInput, "the plan has no such node");
        return Err(Error::new("lay the wire of", format!("node {number}"), reason));
    };
    become_router(node)?;
    let links = Links::open(edge).await?;
    let far = connect(&links, &wire.link, node, Plan::ETH).await?;
    links.set_master(&wire.link, Plan::FABRIC).await?;
    links.set_up(&wire.link).await?;
    let fabric = plan.ranges.nodes.prefix_len();
    far.set_up("lo").await?;
    // The routes to pods name the node's address as their source; the kernel would remove them all when the wire, and
    // the address with it, goes for a moment. On the loopback too, the address never goes.
    far.add_address("lo", address(wire.address, 32), Scope::Universe).await?;
    far.add_address(Plan::ETH, address(wire.address, fabric), Scope::Universe).await?;
    far.set_up(Plan::ETH).await?;
    far.replace_route(&Route::via(everywhere(), plan.edge_on_fabric)).await?;
    // The node's own connections to services must be routed somewhere to reach the output hook.
    far.replace_route(&Route::via(plan.ranges.services.trunc(), plan.edge_on_fabric)).await?;
    for NodeWire { address, pods, .. } in plan.nodes.iter().filter(|other| other.number != number) {
        far.replace_route(&Route::via(*pods, *address)).await?;
    }
    links.replace_route(&Route::via(wire.pods, wire.address)).await?;
    let services = IpNet::from(plan.ranges.services.trunc());
    let routed = links.routes().await?.iter().any(|info| info.route.destination == services);
    if routed { Ok(()) } else { links.replace_route(&Route::via(services, wire.address)).await }
}

/// What the VM uses, by its addresses and routes, but for the lab's own link `vm_link`.
///
/// # Errors
/// When the kernel refuses the question.
pub async fn occupied(vm: &Netns, vm_link: &str) -> Result<Vec<Occupied>> {
    let links = Links::open(vm).await?;
    let mut all = Vec::new();
    for info in links.addresses().await?.into_iter().filter(|info| info.device != vm_link) {
        if let IpNet::V4(range) = info.address {
            all.push(Occupied { range: range.trunc(), by: format!("address {range} on {}", info.device) });
        }
    }
    for info in links.routes().await? {
        let device = info.route.device.unwrap_or_default();
        if let IpNet::V4(range) = info.route.destination
            && range.prefix_len() > 0
            && device != vm_link
        {
            let by = match info.route.gateway {
                Some(gateway) => format!("route via {gateway} on {device}"),
                None => format!("route on {device}"),
            };
            all.push(Occupied { range: range.trunc(), by });
        }
    }
    Ok(all)
}

/// Puts the guard up before there is anything to guard, unless a table stands already.
fn raise_guard(plan: &Plan, edge: &Netns) -> Result<()> {
    let mut nftables = Connection::open(edge)?;
    if nftables.tables()?.contains(&(Family::Ip, balancer::TABLE.to_owned())) {
        return Ok(());
    }
    nftables.commit(&Transaction::replace(&balancer::table(&plan.ranges, &Balancers::default())))
}

/// Makes a veth between the namespace of `links` and `far`, unless there is one, and opens the far side. An end without
/// the right other end (its namespace died and lingers, or another took its place) is removed first; a link of another
/// kind is somebody else's and makes this fail with `AlreadyExists`.
async fn connect(links: &Links, near_name: &str, far: &Netns, far_name: &str) -> Result<Links> {
    let there = Links::open(far).await?;
    if let (Some(near), Some(far)) = (veth(links, near_name).await?, veth(&there, far_name).await?)
        && near.peer == Some(far.index)
        && far.peer == Some(near.index)
    {
        return Ok(there);
    }
    for (links, name) in [(links, near_name), (&there, far_name)] {
        if veth(links, name).await?.is_some() {
            remove(links, name).await?;
        }
    }
    links.create_veth(near_name, far_name, far).await?;
    Ok(there)
}

/// Removes a link; one that went by itself meanwhile, with its other end's dying namespace, is as good.
async fn remove(links: &Links, name: &str) -> Result<()> {
    match links.delete(name).await {
        Err(error) if links.exists(name).await? => Err(error),
        _ => Ok(()),
    }
}

async fn veth(links: &Links, name: &str) -> Result<Option<LinkInfo>> {
    let all = links.links().await?;
    Ok(all.into_iter().find(|link| link.name == name && link.kind.as_deref() == Some("veth")))
}

fn become_router(ns: &Netns) -> Result<()> {
    set_sysctls(ns, &ROUTER)?;
    // Only where these parts of the kernel exist: the bridge's frames are not the IP rules' business, and the lab has
    // no IPv6.
    for (key, value) in [("net.bridge.bridge-nf-call-iptables", "0"), ("net.ipv6.conf.default.disable_ipv6", "1")] {
        match set_sysctl(ns, key, value) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            result => result?,
        }
    }
    Ok(())
}

fn address(address: Ipv4Addr, prefix: u8) -> IpNet {
    Ipv4Net::new_assert(address, prefix).into()
}

fn everywhere() -> Ipv4Net {
    Ipv4Net::default()
}
