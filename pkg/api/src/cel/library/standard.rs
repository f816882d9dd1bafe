//! The standard library: sizes, conversions, optionals.

use std::sync::Arc;

use super::super::cost::tenth;
use super::super::eval::{Error, Run};
use super::super::value::Val;
use super::{Answer, paid, texts, times};

fn conversion(from: &Val, to: &str) -> Error {
    Error::failed(format!("type conversion error from '{}' to '{to}'", from.type_name()))
}

pub(super) fn apply(run: &mut Run<'_>, name: &str, args: &[Val]) -> Answer {
    match (name, args) {
        ("size", [value @ (Val::Str(_) | Val::Bytes(_) | Val::List(_) | Val::Map(_))]) => {
            // Texts are counted anew each time.
            let cost = if let Val::Str(text) = value { 1 + text.len() as u64 / 1000 } else { 1 };
            paid(run, cost, || Ok(Val::Int(i64::try_from(value.size()).unwrap_or(i64::MAX))))
        }
        ("type", [value]) => paid(run, 1, || Ok(Val::Type(Arc::from(value.type_name())))),
        ("dyn", [value]) => paid(run, 1, || Ok(value.clone())),
        ("bool", [Val::Bool(value)]) => paid(run, 1, || Ok(Val::Bool(*value))),
        ("bool", [Val::Str(text)]) => paid(run, 1, || match &**text {
            "1" | "t" | "true" | "TRUE" | "True" | "T" => Ok(Val::Bool(true)),
            "0" | "f" | "false" | "FALSE" | "False" | "F" => Ok(Val::Bool(false)),
            _ => Err(conversion(&args[0], "bool")),
        }),
        ("int", [value]) => paid(run, 1, || int(value)),
        ("uint", [value]) => paid(run, 1, || uint(value)),
        ("double", [value]) => paid(run, 1, || match value {
            Val::Double(number) => Ok(Val::Double(*number)),
            Val::Int(number) => Ok(Val::Double(*number as f64)),
            Val::Uint(number) => Ok(Val::Double(*number as f64)),
            Val::Str(text) => text.parse().map(Val::Double).map_err(|_| conversion(value, "double")),
            _ => Err(Error::NoOverload),
        }),
        ("string", [value]) => paid(run, tenth(value.size()), || {
            texts::show(value).map(Val::text).ok_or_else(|| conversion(value, "string"))
        }),
        ("bytes", [Val::Bytes(_)]) => paid(run, 1, || Ok(args[0].clone())),
        ("bytes", [Val::Str(text)]) => paid(run, tenth(text.len() as u64), || Ok(Val::Bytes(text.as_bytes().into()))),
        ("optional.of", [value]) => paid(run, 1, || Ok(value.clone().some())),
        ("optional.ofNonZeroValue", [value]) => {
            paid(run, 1, || Ok(if value.is_zero() { Val::NONE } else { value.clone().some() }))
        }
        ("optional.none", []) => paid(run, 1, || Ok(Val::NONE)),
        ("hasValue", [Val::Optional(value)]) => paid(run, 1, || Ok(Val::Bool(value.is_some()))),
        ("value", [Val::Optional(value)]) => paid(run, 1, || match value {
            Some(value) => Ok((**value).clone()),
            None => Err(Error::failed("optional.none() dereference")),
        }),
        ("optional.unwrap" | "unwrapOpt", [Val::List(items)]) => paid(run, tenth(items.len() as u64), || {
            let there = items.iter().filter_map(|item| match item {
                Val::Optional(value) => value.as_ref().map(|value| Ok((**value).clone())),
                _ => Some(Err(Error::NoOverload)),
            });
            Ok(Val::list(there.collect::<Result<_, _>>()?))
        }),
        _ => times::convert(run, name, args),
    }
}

fn int(value: &Val) -> Result<Val, Error> {
    match value {
        Val::Int(number) => Ok(Val::Int(*number)),
        Val::Uint(number) => i64::try_from(*number).map(Val::Int).map_err(|_| Error::failed("integer overflow")),
        Val::Double(number) if number.is_finite() && number.abs() < 9.2e18 => Ok(Val::Int(*number as i64)),
        Val::Double(_) => Err(Error::failed("integer overflow")),
        Val::Str(text) => text.parse().map(Val::Int).map_err(|_| conversion(value, "int")),
        Val::Time(moment) => Ok(Val::Int(moment.as_second())),
        Val::Duration(nanos) => Ok(Val::Int(*nanos)),
        _ => Err(Error::NoOverload),
    }
}

fn uint(value: &Val) -> Result<Val, Error> {
    let too_much = || Error::failed("unsigned integer overflow");
    match value {
        Val::Uint(number) => Ok(Val::Uint(*number)),
        Val::Int(number) => u64::try_from(*number).map(Val::Uint).map_err(|_| too_much()),
        Val::Double(number) if *number >= 0.0 && *number < 1.8e19 => Ok(Val::Uint(*number as u64)),
        Val::Double(_) => Err(too_much()),
        Val::Str(text) => text.parse().map(Val::Uint).map_err(|_| conversion(value, "uint")),
        _ => Err(Error::NoOverload),
    }
}
