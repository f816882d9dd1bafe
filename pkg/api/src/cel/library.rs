//! Functions of expressions, one file per library. Each says by value whether it takes what it is given.

pub(super) mod formats;
pub(super) mod lists;
pub(super) mod network;
pub(super) mod numbers;
pub(super) mod rights;
pub(super) mod semver;
pub(super) mod standard;
pub(super) mod texts;
pub(super) mod times;
pub(super) mod url;

use super::eval::{Error, Run};
use super::value::Val;

/// What a library answers: `None` when it knows no such function of such values.
pub(super) type Answer = Option<Result<Val, Error>>;

/// Calls a function; for a member the receiver is the first of `args`.
pub(super) fn apply(run: &mut Run<'_>, name: &str, member: bool, args: &[Val]) -> Result<Val, Error> {
    let answer = standard::apply(run, name, args)
        .or_else(|| texts::apply(run, name, args))
        .or_else(|| lists::apply(run, name, args))
        .or_else(|| times::apply(run, name, args))
        .or_else(|| network::apply(run, name, args))
        .or_else(|| numbers::apply(run, name, args))
        .or_else(|| formats::apply(run, name, args))
        .or_else(|| if member { rights::apply(run, name, args) } else { None });
    answer.unwrap_or(Err(Error::NoOverload))
}

/// Pays for one call, then answers.
pub(super) fn paid(run: &mut Run<'_>, cost: u64, value: impl FnOnce() -> Result<Val, Error>) -> Answer {
    Some(run.charge(cost).and_then(|()| value()))
}
