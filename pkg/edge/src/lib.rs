//! The cloud and the wires: router, switch, outside, load balancers.

pub mod wiring;
