//! Memory: every object, its revision and the log of changes. Allocates ClusterIPs and NodePorts inside the commit.
//! Durable before answering. Knows no HTTP; must be the only room that sees sled.

mod alloc;
mod disk;
mod memory;
mod sled_store;
mod stage;
mod store;
mod types;
mod watch;
mod writer;

pub use alloc::carry_over_service;
pub use sled_store::SledStore;
pub use store::{BoxFuture, OpenError, Options, Store};
pub use types::{Event, EventKind, Gone, Key, Listing, StoreError, Stored, Write};
pub use watch::{Batch, Watch};
