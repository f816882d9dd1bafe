//! Switchboard: services and slices to a ruleset, its packet tracer, and the loop that applies it. Must not touch the
//! kernel but through `minisvc-kernel`, and must not relay traffic: everything is address translation in the kernel.

mod chains;
mod config;
mod endpoints;
mod planner;
mod ruleset;
mod service;
mod trace;

pub use chains::{LOCAL_SLOTS, MASQUERADE, TABLE};
pub use config::{Config, NodeView};
pub use endpoints::Backend;
pub use planner::{Name, Planner, plan};
pub use ruleset::Ruleset;
pub use service::{Frontend, FrontendPlan, HealthCheck, Refusal, ServicePlan, Way, plan_service};
pub use trace::{From, Outcome, Packet, Trace, Tracer};
