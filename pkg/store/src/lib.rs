//! Memory: every object, its revision and the log of changes. Allocates ClusterIPs and NodePorts inside the commit.
//! Durable before answering. Knows no HTTP; must be the only room that sees sled.

mod types;

pub use types::{Event, EventKind, Gone, Key, Listing, StoreError, Stored, Write};
