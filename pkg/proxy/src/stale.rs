//! Which tracked connections lead nowhere any more. UDP and SCTP clients go on with the entry that the kernel has, so
//! entries to endpoints that left, and entries from before a service had endpoints, must be forgotten (kube-proxy
//! `pkg/proxy/conntrack/cleanup.go`). An endpoint that still serves keeps what flows to it, as with TCP. Pure.

use std::collections::{BTreeSet, HashMap};

use minisvc_kernel::{conntrack::Flow, nft::Protocol};

use crate::{
    ruleset::Ruleset,
    service::{Frontend, ServicePlan},
};

/// The frontends of a plan whose clients have no connections that end by themselves.
pub(crate) fn connectionless(plan: &ServicePlan) -> impl Iterator<Item = Frontend> {
    plan.frontends.iter().map(|(frontend, _)| *frontend).filter(|each| each.protocol != Protocol::TCP)
}

/// For changed frontends: who may answer there now; none for those that are gone.
pub(crate) struct Answering(HashMap<Frontend, BTreeSet<(std::net::Ipv4Addr, u16)>>);

impl Answering {
    /// Reads from the rules who answers at these frontends.
    pub(crate) fn new(frontends: impl IntoIterator<Item = Frontend>, ruleset: &Ruleset) -> Self {
        let answers = |frontend: &Frontend| {
            ruleset.frontend(frontend).into_iter().flat_map(|plan| plan.serving.iter().copied()).collect()
        };
        Self(frontends.into_iter().map(|frontend| (frontend, answers(&frontend))).collect())
    }

    /// Whether there is nothing to look for.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a connection goes to one of the frontends but to nobody who answers there.
    pub(crate) fn is_stale(&self, flow: &Flow) -> bool {
        let to = flow.original;
        let frontend = Frontend { address: to.destination, protocol: flow.protocol, port: to.destination_port };
        let answering = self.0.get(&frontend);
        answering.is_some_and(|endpoints| !endpoints.contains(&(flow.reply.source, flow.reply.source_port)))
    }
}
