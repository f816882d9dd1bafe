//! nftables as values, and the netlink way to the kernel: a [`Table`] is plain data, a [`Transaction`] changes one
//! table all or nothing, a [`Connection`] lives in one network namespace. Only the part of nftables that the lab uses.
//! Must not know why a rule exists, and must not run the `nft` program.
//!
//! A table made here reads like prose in `nft list ruleset` (names, comments, key byte order, `typeof` where a type
//! has no name), and what nft lists can be loaded again.

pub(crate) mod attribute;
mod change;
mod connection;
mod encode;
mod expression;
mod listing;
pub(crate) mod netlink;
mod number;
mod statement;
mod table;
mod text;
mod typeof_;
mod value;

pub use change::{Change, Transaction};
pub use connection::Connection;
pub use listing::{ListedChain, ListedElement, ListedRule, Listing};
pub use statement::{Expression, FibOf, MarkOf, MarkSource, NatTo, Reject, Statement, UpdateKind, state, status};
pub use table::{Base, Chain, ChainKind, DataType, Element, Family, Hook, Rule, Set, Table};
pub use value::{Data, Key, LinkName, Protocol, Type, Value, Verdict};

#[cfg(test)]
mod tests;
