//! The lab's wires: which links, addresses and routes make the lab's network, as a plan
//! computed from ranges, and the laying of that plan. Everything may be laid again over what is there, after the edge
//! or a node was killed. Must not touch the VM beyond one link and the routes through it.

mod clash;
mod lay;
mod plan;

pub use clash::{Clash, Occupied, Remark, avoid_clashes};
pub use lay::{lay_edge, lay_node, lay_vm, occupied, remove_vm};
pub use plan::{BadRange, NodeWire, Plan, RangeName, Ranges};

#[cfg(test)]
mod tests;
