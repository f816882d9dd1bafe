//! The lab's settings as the edge room's plan of wires, and back. Lays nothing by itself.

use anyhow::{Context as _, Result};
use minisvc_edge::wiring::{self, Plan, RangeName, Ranges};
use minisvc_kernel::Netns;

use crate::settings::Settings;

/// The plan of the lab's wires.
///
/// # Errors
/// When a range is too small.
pub fn plan(settings: &Settings) -> Result<Plan> {
    Ok(Plan::new(ranges(settings), settings.nodes, &settings.link)?)
}

/// Moves ranges that the lesson does not quote out of the way of what this machine uses; answers what was moved.
///
/// # Errors
/// A clash on a range that stays: names both sides and the flag.
pub(crate) async fn avoid_clashes(settings: &mut Settings, explicit: &[&'static str]) -> Result<Vec<String>> {
    let occupied = wiring::occupied(&Netns::current()?, &settings.link).await.context("read addresses and routes")?;
    let fixed: Vec<RangeName> =
        RangeName::ALL.into_iter().filter(|name| explicit.contains(&name.flag().trim_start_matches('-'))).collect();
    let (moved, remarks) = wiring::avoid_clashes(ranges(settings), &fixed, &occupied)?;
    settings.node_cidr = moved.nodes;
    settings.link_cidr = moved.link;
    settings.outside_cidr = moved.outside;
    Ok(remarks.iter().map(ToString::to_string).collect())
}

/// Lays the machine's link and every node's wire. Safe to repeat: what stands stays.
///
/// # Errors
/// What the kernel refused.
pub(crate) async fn lay(settings: &Settings, edge: &Netns, nodes: &[(u8, Netns)]) -> Result<()> {
    let plan = plan(settings)?;
    wiring::lay_vm(&plan, &Netns::current()?, edge).await.context("lay the machine's link")?;
    for (number, node) in nodes {
        wiring::lay_node(&plan, *number, edge, node).await.with_context(|| format!("lay the wire of node{number}"))?;
    }
    Ok(())
}

fn ranges(settings: &Settings) -> Ranges {
    Ranges {
        nodes: settings.node_cidr,
        pods: settings.pod_cidr,
        services: settings.service_cidr,
        load_balancers: settings.lb_cidr,
        outside: settings.outside_cidr,
        link: settings.link_cidr,
    }
}
