//! The cloud and the wires: router, switch, outside, load balancers. Knows services, nodes and endpoint slices only
//! through the Kubernetes API; must not know pods, and changes nothing on the VM but one link and its routes.

pub mod allocation;
pub mod balancer;
pub mod health;
pub mod planner;
pub mod wiring;

mod controller;
mod events;
mod gateway;
mod observe;

pub use controller::{Config, run};
pub use observe::SWITCH;
