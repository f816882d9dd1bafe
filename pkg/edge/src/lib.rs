//! The cloud and the wires: router, switch, outside, load balancers.
