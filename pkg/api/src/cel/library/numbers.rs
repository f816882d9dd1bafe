//! Quantities and versions (apiserver `pkg/cel/library/quantity.go`, `semverlib.go`).

use std::cmp::Ordering;
use std::sync::Arc;

use super::super::cost::tenth;
use super::super::eval::{Error, Run};
use super::super::value::Val;
use super::semver::Semver;
use super::{Answer, paid};
use crate::quantity::Amount;

/// A floating number as Go's `%g` writes it.
pub(super) fn double(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    let size = number.abs();
    if number.is_nan() || size == 0.0 || (1e-4..1e21).contains(&size) {
        return number.to_string();
    }
    let text = format!("{number:e}");
    let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, power) = power.strip_prefix('-').map_or(("+", power), |power| ("-", power));
    format!("{digits}e{sign}{power:0>2}")
}

fn number(order: Ordering) -> Val {
    Val::Int(match order {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    })
}

pub(super) fn apply(run: &mut Run<'_>, name: &str, args: &[Val]) -> Answer {
    match args {
        [Val::Str(text), rest @ ..] => {
            let cost = tenth(text.len() as u64);
            let lenient = match rest {
                [] => false,
                [Val::Bool(lenient)] => *lenient,
                _ => return None,
            };
            match name {
                "quantity" => paid(run, cost, || Amount::parse(text).map(Val::Quantity).map_err(Error::failed)),
                "isQuantity" => paid(run, cost, || Ok(Val::Bool(Amount::parse(text).is_ok()))),
                "semver" => paid(run, cost, || {
                    let parsed = Semver::parse(text, lenient);
                    parsed
                        .map(|found| Val::Semver(Arc::new(found)))
                        .ok_or_else(|| Error::failed("No Major.Minor.Patch elements found"))
                }),
                "isSemver" => paid(run, cost, || Ok(Val::Bool(Semver::parse(text, lenient).is_some()))),
                _ => None,
            }
        }
        [Val::Quantity(own), rest @ ..] => quantities(run, name, *own, rest),
        [Val::Semver(own), rest @ ..] => match (name, rest) {
            ("major", []) => paid(run, 1, || Ok(Val::Int(i64::try_from(own.major).unwrap_or(i64::MAX)))),
            ("minor", []) => paid(run, 1, || Ok(Val::Int(i64::try_from(own.minor).unwrap_or(i64::MAX)))),
            ("patch", []) => paid(run, 1, || Ok(Val::Int(i64::try_from(own.patch).unwrap_or(i64::MAX)))),
            ("isLessThan", [Val::Semver(other)]) => paid(run, 1, || Ok(Val::Bool(own < other))),
            ("isGreaterThan", [Val::Semver(other)]) => paid(run, 1, || Ok(Val::Bool(own > other))),
            ("compareTo", [Val::Semver(other)]) => paid(run, 1, || Ok(number(own.cmp(other)))),
            _ => None,
        },
        _ => None,
    }
}

fn quantities(run: &mut Run<'_>, name: &str, own: Amount, rest: &[Val]) -> Answer {
    match (name, rest) {
        ("sign", []) => paid(run, 1, || Ok(Val::Int(i64::from(own.sign())))),
        ("isInteger", []) => paid(run, 1, || Ok(Val::Bool(own.is_whole() && own.as_f64().abs() < 9.2e18))),
        ("asInteger", []) => paid(run, 1, || {
            if own.is_whole() && own.as_f64().abs() < 9.2e18 {
                return Ok(Val::Int(own.as_f64() as i64));
            }
            Err(Error::failed("cannot convert value to integer"))
        }),
        ("asApproximateFloat", []) => paid(run, 1, || Ok(Val::Double(own.as_f64()))),
        ("add", [Val::Quantity(other)]) => paid(run, 1, || Ok(Val::Quantity(own.plus(*other)))),
        ("add", [Val::Int(other)]) => paid(run, 1, || Ok(Val::Quantity(own.plus(Amount::whole(*other))))),
        ("sub", [Val::Quantity(other)]) => paid(run, 1, || Ok(Val::Quantity(own.minus(*other)))),
        ("sub", [Val::Int(other)]) => paid(run, 1, || Ok(Val::Quantity(own.minus(Amount::whole(*other))))),
        ("isLessThan", [Val::Quantity(other)]) => paid(run, 1, || Ok(Val::Bool(own < *other))),
        ("isGreaterThan", [Val::Quantity(other)]) => paid(run, 1, || Ok(Val::Bool(own > *other))),
        ("compareTo", [Val::Quantity(other)]) => paid(run, 1, || Ok(number(own.cmp(other)))),
        _ => None,
    }
}
