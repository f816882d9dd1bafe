//! Functions on lists (apiserver `pkg/cel/library/lists.go`, cel-go `ext/lists.go` and `ext/sets.go`).

use std::cmp::Ordering;

use super::super::eval::{Error, Run};
use super::super::operators;
use super::super::value::Val;
use super::{Answer, paid};

/// Most elements that `lists.range` makes, and deepest that `flatten` goes.
const MOST: i64 = 100_000;

pub(super) fn apply(run: &mut Run<'_>, name: &str, args: &[Val]) -> Answer {
    if let ("lists.range", [Val::Int(count)]) = (name, args) {
        let count = (*count).max(0);
        if count > MOST {
            return Some(Err(Error::TooDear));
        }
        return paid(run, count.unsigned_abs(), || Ok(Val::list((0..count).map(Val::Int).collect())));
    }
    let [Val::List(items), rest @ ..] = args else { return None };
    let through = (items.len() as u64).max(1);
    match (name, rest) {
        ("isSorted", []) => paid(run, through, || {
            let mut sorted = true;
            for pair in items.windows(2) {
                sorted &= pair[0].order(&pair[1]).ok_or(Error::NoOverload)? != Ordering::Greater;
            }
            Ok(Val::Bool(sorted))
        }),
        ("sum", []) => Some(sum(run, items)),
        ("min" | "max", []) => paid(run, through, || {
            let wanted = if name == "min" { Ordering::Less } else { Ordering::Greater };
            let mut best = items.first().ok_or_else(|| Error::failed(format!("{name} called on empty list")))?;
            for item in &items[1..] {
                if item.order(best).ok_or(Error::NoOverload)? == wanted {
                    best = item;
                }
            }
            Ok(best.clone())
        }),
        ("indexOf", [wanted]) => Some(place(run, items.iter().enumerate(), wanted)),
        ("lastIndexOf", [wanted]) => Some(place(run, items.iter().enumerate().rev(), wanted)),
        ("includes", [wanted]) => {
            Some(place(run, items.iter().enumerate(), wanted).map(|at| Val::Bool(at != Val::Int(-1))))
        }
        ("slice", [Val::Int(from), Val::Int(to)]) => paid(run, through, || {
            let place = |at: i64| usize::try_from(at).ok().filter(|at| *at <= items.len());
            match (place(*from), place(*to)) {
                (None, _) => Err(Error::failed(format!(
                    "cannot slice({from}, {to}), negative indexes not supported or list is length {}",
                    items.len()
                ))),
                (_, None) => Err(Error::failed(format!("cannot slice({from}, {to}), list is length {}", items.len()))),
                (Some(from), Some(to)) if from > to => Err(Error::failed(format!(
                    "cannot slice({from}, {to}), start index must be less than or equal to end index"
                ))),
                (Some(from), Some(to)) => Ok(Val::list(items[from..to].to_vec())),
            }
        }),
        ("flatten", depth) => {
            let depth = match depth {
                [] => 1,
                [Val::Int(depth)] if *depth < 0 => return Some(Err(Error::failed("level must be non-negative"))),
                [Val::Int(depth)] => *depth,
                _ => return None,
            };
            let mut out = Vec::new();
            Some(flatten(run, items, depth, &mut out).map(|()| Val::list(out)))
        }
        ("sort", []) => paid(run, through.saturating_mul(u64::from(through.ilog2()) + 1), || {
            let mut sorted = items.to_vec();
            if sorted.windows(2).any(|pair| pair[0].order(&pair[1]).is_none()) {
                return Err(Error::failed("list elements must be comparable"));
            }
            sorted.sort_by(|a, b| a.order(b).unwrap_or(Ordering::Equal));
            Ok(Val::list(sorted))
        }),
        ("distinct", []) => Some(distinct(run, items)),
        ("reverse", []) => paid(run, through, || Ok(Val::list(items.iter().rev().cloned().collect()))),
        ("first", []) => paid(run, 1, || Ok(items.first().map_or(Val::NONE, |item| item.clone().some()))),
        ("last", []) => paid(run, 1, || Ok(items.last().map_or(Val::NONE, |item| item.clone().some()))),
        ("sets.contains", [Val::List(other)]) => Some(contains(run, items, other).map(Val::Bool)),
        ("sets.intersects", [Val::List(other)]) => Some(intersects(run, items, other).map(Val::Bool)),
        ("sets.equivalent", [Val::List(other)]) => {
            Some(contains(run, items, other).and_then(|all| Ok(Val::Bool(all && contains(run, other, items)?))))
        }
        _ => None,
    }
}

fn sum(run: &mut Run<'_>, items: &[Val]) -> Result<Val, Error> {
    let Some(first) = items.first() else { return Ok(Val::Int(0)) };
    let mut sum = first.clone();
    if !matches!(sum, Val::Int(_) | Val::Uint(_) | Val::Double(_) | Val::Duration(_)) {
        return Err(Error::NoOverload);
    }
    for item in &items[1..] {
        sum = operators::apply(run, "_+_", &[sum, item.clone()]).unwrap_or(Err(Error::NoOverload))?;
    }
    Ok(sum)
}

fn place<'a>(run: &mut Run<'_>, mut items: impl Iterator<Item = (usize, &'a Val)>, wanted: &Val) -> Result<Val, Error> {
    for (at, item) in items.by_ref() {
        if run.equal(item, wanted)? {
            return Ok(Val::Int(i64::try_from(at).unwrap_or(-1)));
        }
    }
    Ok(Val::Int(-1))
}

fn flatten(run: &mut Run<'_>, items: &[Val], depth: i64, out: &mut Vec<Val>) -> Result<(), Error> {
    for item in items {
        run.charge(1)?;
        match item {
            Val::List(inner) if depth > 0 => flatten(run, inner, depth - 1, out)?,
            other => out.push(other.clone()),
        }
    }
    Ok(())
}

fn distinct(run: &mut Run<'_>, items: &[Val]) -> Result<Val, Error> {
    let mut out: Vec<Val> = Vec::new();
    'items: for item in items {
        for known in &out {
            if run.equal(known, item)? {
                continue 'items;
            }
        }
        out.push(item.clone());
    }
    Ok(Val::list(out))
}

/// Whether the first has all of the second.
fn contains(run: &mut Run<'_>, all: &[Val], some: &[Val]) -> Result<bool, Error> {
    for item in some {
        let mut found = false;
        for other in all {
            if run.equal(item, other)? {
                found = true;
                break;
            }
        }
        if !found {
            return Ok(false);
        }
    }
    Ok(true)
}

fn intersects(run: &mut Run<'_>, one: &[Val], other: &[Val]) -> Result<bool, Error> {
    for item in one {
        for candidate in other {
            if run.equal(item, candidate)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
