//! Switchboard: services and slices to a ruleset, its packet tracer, and the loop that applies it. Must not touch the
//! kernel but through `minisvc-kernel`, and must not relay traffic: everything is address translation in the kernel.

mod chains;
mod config;
mod count;
mod endpoints;
mod health;
mod objects;
mod packet;
mod planner;
mod ruleset;
mod run;
mod service;
mod stale;
mod trace;

pub use chains::{LOCAL_SLOTS, MASQUERADE, TABLE};
pub use config::{Config, NodeView};
pub use count::{ConnectionCount, connections};
pub use endpoints::Backend;
pub use packet::{From, Outcome, Packet, Trace};
pub use planner::{Name, Planner, plan};
pub use ruleset::Ruleset;
pub use run::run;
pub use service::{Frontend, FrontendPlan, HealthCheck, Refusal, ServicePlan, Way, plan_service};
pub use trace::Tracer;
