//! Workshop for tests only: private namespaces and goldens. Product code must never depend on this room.

mod golden;
mod isolated;

pub use golden::assert_golden;
pub use isolated::isolated;
