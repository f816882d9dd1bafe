//! The verbs, generic over registry rows. A new kind must not need a line here.

pub(crate) mod apply;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod object;
pub(crate) mod ownership;
pub(crate) mod patch;
pub(crate) mod subresource;
pub(crate) mod update;
pub(crate) mod watch;

pub(crate) use object::retyped;
pub(crate) use watch::Lines;
