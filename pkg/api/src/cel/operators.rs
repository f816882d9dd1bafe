//! Operators: arithmetic that never wraps, comparison, membership, indexing.

use std::cmp::Ordering;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::cost::tenth;
use super::eval::{Error, Run};
use super::value::Val;

type Outcome = Result<Val, Error>;

/// The value of an operator; `None` when the name is none of an operator.
pub(super) fn apply(run: &mut Run<'_>, name: &str, args: &[Val]) -> Option<Outcome> {
    Some(match (name, args) {
        ("!_", [Val::Bool(value)]) => run.charge(1).map(|()| Val::Bool(!value)),
        ("-_", [Val::Int(value)]) => value.checked_neg().map(Val::Int).ok_or_else(overflow),
        ("-_", [Val::Double(value)]) => Ok(Val::Double(-value)),
        ("_==_", [a, b]) => run.equal(a, b).map(Val::Bool),
        ("_!=_", [a, b]) => run.equal(a, b).map(|same| Val::Bool(!same)),
        ("_<_", [a, b]) => compare(run, a, b, |order| order == Ordering::Less),
        ("_<=_", [a, b]) => compare(run, a, b, |order| order != Ordering::Greater),
        ("_>_", [a, b]) => compare(run, a, b, |order| order == Ordering::Greater),
        ("_>=_", [a, b]) => compare(run, a, b, |order| order != Ordering::Less),
        ("_+_", [a, b]) => add(run, a, b),
        ("_-_" | "_*_" | "_/_" | "_%_", [a, b]) => run.charge(1).and_then(|()| arithmetic(name, a, b)),
        ("@in", [item, place]) => within(run, item, place),
        ("_[_]", [place, index]) => run.charge(1).and_then(|()| at(place, index)),
        ("_[?_]", [place, index]) => run.charge(1).and_then(|()| match at(place, index) {
            Ok(value @ Val::Optional(_)) if matches!(place, Val::Optional(_)) => Ok(value),
            Ok(value) => Ok(value.some()),
            Err(Error::Failed(_)) => Ok(Val::NONE),
            Err(error) => Err(error),
        }),
        ("!_" | "-_", _) => Err(Error::NoOverload),
        _ => return None,
    })
}

fn overflow() -> Error {
    Error::failed("return error for overflow")
}

fn compare(run: &mut Run<'_>, a: &Val, b: &Val, holds: impl Fn(Ordering) -> bool) -> Outcome {
    let texts = matches!(a, Val::Str(_) | Val::Bytes(_));
    run.charge(if texts { tenth(a.size().min(b.size())) } else { 1 })?;
    match (a.order(b), a, b) {
        (Some(order), _, _) => Ok(Val::Bool(holds(order))),
        // Not a number is in no order with any other.
        (None, Val::Double(_), Val::Double(_) | Val::Int(_) | Val::Uint(_))
        | (None, Val::Int(_) | Val::Uint(_), Val::Double(_)) => Ok(Val::Bool(false)),
        _ => Err(Error::NoOverload),
    }
}

fn moment(value: Option<Timestamp>) -> Outcome {
    value.map(Val::Time).ok_or_else(|| Error::failed("timestamp overflow"))
}

fn add(run: &mut Run<'_>, a: &Val, b: &Val) -> Outcome {
    match (a, b) {
        (Val::Str(a), Val::Str(b)) => {
            run.charge(tenth((a.len() + b.len()) as u64))?;
            Ok(Val::text(format!("{a}{b}")))
        }
        (Val::Bytes(a), Val::Bytes(b)) => {
            run.charge(tenth((a.len() + b.len()) as u64))?;
            Ok(Val::Bytes([&**a, &**b].concat().into()))
        }
        (Val::List(a), Val::List(b)) => {
            run.charge(tenth((a.len() + b.len()) as u64))?;
            Ok(Val::List(Arc::new(a.plus(b)?)))
        }
        _ => {
            run.charge(1)?;
            match (a, b) {
                (Val::Time(at), Val::Duration(nanos)) | (Val::Duration(nanos), Val::Time(at)) => {
                    moment(at.checked_add(SignedDuration::from_nanos(*nanos)).ok())
                }
                _ => arithmetic("_+_", a, b),
            }
        }
    }
}

fn arithmetic(name: &str, a: &Val, b: &Val) -> Outcome {
    match (a, b) {
        (Val::Int(a), Val::Int(b)) => {
            let made = match name {
                "_+_" => a.checked_add(*b),
                "_-_" => a.checked_sub(*b),
                "_*_" => a.checked_mul(*b),
                "_/_" if *b == 0 => return Err(Error::failed("division by zero")),
                "_/_" => a.checked_div(*b),
                _ if *b == 0 => return Err(Error::failed("modulus by zero")),
                _ => a.checked_rem(*b),
            };
            made.map(Val::Int).ok_or_else(|| Error::failed("integer overflow"))
        }
        (Val::Uint(a), Val::Uint(b)) => {
            let made = match name {
                "_+_" => a.checked_add(*b),
                "_-_" => a.checked_sub(*b),
                "_*_" => a.checked_mul(*b),
                "_/_" if *b == 0 => return Err(Error::failed("division by zero")),
                "_/_" => a.checked_div(*b),
                _ if *b == 0 => return Err(Error::failed("modulus by zero")),
                _ => a.checked_rem(*b),
            };
            made.map(Val::Uint).ok_or_else(|| Error::failed("unsigned integer overflow"))
        }
        (Val::Double(a), Val::Double(b)) => match name {
            "_+_" => Ok(Val::Double(a + b)),
            "_-_" => Ok(Val::Double(a - b)),
            "_*_" => Ok(Val::Double(a * b)),
            "_/_" => Ok(Val::Double(a / b)),
            _ => Err(Error::NoOverload),
        },
        (Val::Duration(a), Val::Duration(b)) => {
            let made = match name {
                "_+_" => a.checked_add(*b),
                "_-_" => a.checked_sub(*b),
                _ => return Err(Error::NoOverload),
            };
            made.map(Val::Duration).ok_or_else(|| Error::failed("duration overflow"))
        }
        (Val::Time(a), Val::Duration(nanos)) if name == "_-_" => {
            moment(a.checked_sub(SignedDuration::from_nanos(*nanos)).ok())
        }
        (Val::Time(a), Val::Time(b)) if name == "_-_" => {
            let nanos = i64::try_from(a.duration_since(*b).as_nanos());
            nanos.map(Val::Duration).map_err(|_| Error::failed("duration overflow"))
        }
        _ => Err(Error::NoOverload),
    }
}

fn within(run: &mut Run<'_>, item: &Val, place: &Val) -> Outcome {
    match place {
        Val::Map(map) => {
            run.charge(1)?;
            Ok(Val::Bool(item.key().is_some_and(|key| map.contains_key(&key))))
        }
        Val::List(items) => {
            for other in items.iter() {
                if run.equal(item, other)? {
                    return Ok(Val::Bool(true));
                }
            }
            Ok(Val::Bool(false))
        }
        _ => Err(Error::NoOverload),
    }
}

fn at(place: &Val, index: &Val) -> Outcome {
    match place {
        Val::Optional(None) => Ok(Val::NONE),
        Val::Optional(Some(inner)) => match at(&Val::clone(&Arc::clone(inner)), index) {
            Ok(value) => Ok(value.some()),
            Err(Error::Failed(_)) => Ok(Val::NONE),
            Err(error) => Err(error),
        },
        Val::List(items) => {
            let wanted = match index {
                Val::Int(at) => i128::from(*at),
                Val::Uint(at) => i128::from(*at),
                Val::Double(at) if at.fract() == 0.0 => *at as i128,
                _ => return Err(Error::NoOverload),
            };
            let found = usize::try_from(wanted).ok().and_then(|at| items.get(at));
            found.cloned().ok_or_else(|| Error::failed(format!("index out of bounds: {wanted}")))
        }
        Val::Map(map) => {
            let key = index.key().ok_or(Error::NoOverload)?;
            map.get(&key).cloned().ok_or_else(|| {
                let shown = match index {
                    Val::Str(text) => text.to_string(),
                    other => super::library::texts::show(other).unwrap_or_default(),
                };
                Error::failed(format!("no such key: {shown}"))
            })
        }
        _ => Err(Error::NoOverload),
    }
}
