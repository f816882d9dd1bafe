//! Functions on texts (cel-go `ext/strings.go`, apiserver `pkg/cel/library/regex.go`). Places count characters.

use std::sync::Arc;

use super::super::cost::tenth;
use super::super::eval::{Error, Run};
use super::super::value::{Key, Val};
use super::{Answer, numbers, paid, times};
use crate::field::quote;
use crate::time;

/// A value as `string()` writes it.
pub(in super::super) fn show(value: &Val) -> Option<String> {
    Some(match value {
        Val::Str(text) => text.to_string(),
        Val::Bool(value) => value.to_string(),
        Val::Int(number) => number.to_string(),
        Val::Uint(number) => number.to_string(),
        Val::Double(number) => numbers::double(*number),
        Val::Bytes(bytes) => String::from_utf8(bytes.to_vec()).ok()?,
        Val::Time(moment) => time::format(*moment),
        Val::Duration(nanos) => times::write(*nanos),
        Val::Ip(address) => address.to_string(),
        Val::Cidr(range) => range.to_string(),
        _ => return None,
    })
}

pub(super) fn apply(run: &mut Run<'_>, name: &str, args: &[Val]) -> Answer {
    let [Val::Str(text), rest @ ..] = args else {
        return match (name, args) {
            ("join", [Val::List(items)]) => Some(join(run, items, "")),
            ("join", [Val::List(items), Val::Str(between)]) => Some(join(run, items, between)),
            _ => None,
        };
    };
    let through = tenth(text.len() as u64);
    match (name, rest) {
        ("contains", [Val::Str(part)]) => {
            paid(run, through.saturating_mul(tenth(part.len() as u64)), || Ok(Val::Bool(text.contains(&**part))))
        }
        ("startsWith", [Val::Str(part)]) => {
            paid(run, tenth(part.len() as u64), || Ok(Val::Bool(text.starts_with(&**part))))
        }
        ("endsWith", [Val::Str(part)]) => {
            paid(run, tenth(part.len() as u64), || Ok(Val::Bool(text.ends_with(&**part))))
        }
        ("matches" | "find" | "findAll", [Val::Str(pattern), limit @ ..]) => {
            Some(search(run, name, text, pattern, limit))
        }
        ("charAt", [Val::Int(at)]) => paid(run, through, || {
            let length = text.chars().count();
            match usize::try_from(*at) {
                Ok(at) if at == length => Ok(Val::text("")),
                Ok(at) if at < length => Ok(Val::text(text.chars().nth(at).map(String::from).unwrap_or_default())),
                _ => Err(Error::failed(format!("index out of range: {at}"))),
            }
        }),
        ("indexOf" | "lastIndexOf", [Val::Str(part), start @ ..]) => {
            let cost = through.saturating_mul(tenth(part.len() as u64));
            paid(run, cost, || index_of(name == "lastIndexOf", text, part, start))
        }
        ("lowerAscii", []) => paid(run, through, || Ok(Val::text(text.to_ascii_lowercase()))),
        ("upperAscii", []) => paid(run, through, || Ok(Val::text(text.to_ascii_uppercase()))),
        ("trim", []) => paid(run, through, || Ok(Val::text(text.trim()))),
        ("replace", [Val::Str(old), Val::Str(new)]) => Some(replace(run, text, old, new, -1)),
        ("replace", [Val::Str(old), Val::Str(new), Val::Int(times)]) => Some(replace(run, text, old, new, *times)),
        ("split", [Val::Str(at)]) => Some(split(run, text, at, -1)),
        ("split", [Val::Str(at), Val::Int(limit)]) => Some(split(run, text, at, *limit)),
        ("substring", [Val::Int(from)]) => paid(run, through, || substring(text, *from, None)),
        ("substring", [Val::Int(from), Val::Int(to)]) => paid(run, through, || substring(text, *from, Some(*to))),
        ("format", [Val::List(items)]) => Some(format(run, text, items)),
        ("strings.quote", []) => paid(run, through, || Ok(Val::text(quote(text)))),
        ("jsonpatch.escapeKey", []) => paid(run, through, || Ok(Val::text(text.replace('~', "~0").replace('/', "~1")))),
        _ => None,
    }
}

fn search(run: &mut Run<'_>, name: &str, text: &Arc<str>, pattern: &Arc<str>, limit: &[Val]) -> Result<Val, Error> {
    let expression = run.pattern(pattern)?;
    run.charge(tenth(text.len() as u64 + 1).saturating_mul((pattern.len() as u64).div_ceil(4).max(1)))?;
    match (name, limit) {
        ("matches", []) => Ok(Val::Bool(expression.is_match(text))),
        ("find", []) => Ok(Val::text(expression.find(text).map_or("", |found| found.as_str()))),
        ("findAll", limit) => {
            let most = match limit {
                [] => usize::MAX,
                [Val::Int(most)] => usize::try_from(*most).unwrap_or(usize::MAX),
                _ => return Err(Error::NoOverload),
            };
            let found: Vec<Val> =
                expression.find_iter(text).take(most).map(|found| Val::text(found.as_str())).collect();
            run.charge(found.len() as u64)?;
            Ok(Val::list(found))
        }
        _ => Err(Error::NoOverload),
    }
}

fn join(run: &mut Run<'_>, items: &[Val], between: &str) -> Result<Val, Error> {
    let mut out = String::new();
    for (index, item) in items.iter().enumerate() {
        let Val::Str(item) = item else { return Err(Error::NoOverload) };
        run.charge(tenth((item.len() + between.len()) as u64))?;
        if index > 0 {
            out.push_str(between);
        }
        out.push_str(item);
    }
    Ok(Val::text(out))
}

fn index_of(last: bool, text: &str, part: &str, start: &[Val]) -> Result<Val, Error> {
    let length = text.chars().count();
    let start = match start {
        [] if last => length,
        [] => 0,
        [Val::Int(at)] => match usize::try_from(*at) {
            Ok(at) if at <= length => at,
            _ => return Err(Error::failed(format!("index out of range: {at}"))),
        },
        _ => return Err(Error::NoOverload),
    };
    let bytes = |characters: usize| text.char_indices().nth(characters).map_or(text.len(), |(at, _)| at);
    let found = if last {
        let most = bytes(start).saturating_add(part.len()).min(text.len());
        let most = (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text[..most].rfind(part)
    } else {
        text[bytes(start)..].find(part).map(|at| at + bytes(start))
    };
    let place = found.map_or(-1, |at| i64::try_from(text[..at].chars().count()).unwrap_or(-1));
    Ok(Val::Int(place))
}

fn replace(run: &mut Run<'_>, text: &str, old: &str, new: &str, times: i64) -> Result<Val, Error> {
    let times = usize::try_from(times).unwrap_or(usize::MAX);
    let found = if old.is_empty() { text.chars().count() + 1 } else { text.matches(old).count() }.min(times);
    let grown = (found as u64).saturating_mul(new.len() as u64);
    run.charge(tenth((text.len() as u64).saturating_add(grown)))?;
    Ok(Val::text(text.replacen(old, new, times)))
}

fn split(run: &mut Run<'_>, text: &str, at: &str, limit: i64) -> Result<Val, Error> {
    run.charge(tenth(text.len() as u64))?;
    let most = match limit {
        0 => return Ok(Val::list(Vec::new())),
        limit => usize::try_from(limit).unwrap_or(usize::MAX),
    };
    let parts: Vec<Val> = if at.is_empty() {
        // Character by character, the last taking what is left.
        let mut parts: Vec<String> = text.chars().take(most.saturating_sub(1)).map(String::from).collect();
        let rest: String = text.chars().skip(parts.len()).collect();
        if !rest.is_empty() {
            parts.push(rest);
        }
        parts.into_iter().map(Val::text).collect()
    } else {
        text.splitn(most, at).map(Val::text).collect()
    };
    run.charge(parts.len() as u64)?;
    Ok(Val::list(parts))
}

fn substring(text: &str, from: i64, to: Option<i64>) -> Result<Val, Error> {
    let length = text.chars().count();
    let place = |at: i64| match usize::try_from(at) {
        Ok(at) if at <= length => Ok(at),
        _ => Err(Error::failed(format!("index out of range: {at}"))),
    };
    let (start, end) = (place(from)?, to.map_or(Ok(length), place)?);
    if start > end {
        return Err(Error::failed(format!("invalid substring range. start: {start}, end: {end}")));
    }
    Ok(Val::text(text.chars().skip(start).take(end - start).collect::<String>()))
}

/// `"%s is %d".format([a, b])`.
fn format(run: &mut Run<'_>, text: &str, items: &[Val]) -> Result<Val, Error> {
    run.charge(tenth(text.len() as u64))?;
    let (mut out, mut next) = (String::new(), items.iter());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let mut places = None;
        if let Some(after) = rest.strip_prefix('.') {
            let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
            let wanted: usize =
                after[..digits].parse().map_err(|_| Error::failed("error while parsing formatting string"))?;
            places = Some(wanted.min(1000));
            rest = &after[digits..];
        }
        let clause = rest.chars().next().ok_or_else(|| Error::failed("unexpected end of string"))?;
        rest = &rest[clause.len_utf8()..];
        if clause == '%' {
            out.push('%');
            continue;
        }
        let item = next.next().ok_or_else(|| Error::failed(format!("index {} out of range", items.len())))?;
        let written = clause_of(clause, places, item)?;
        run.charge(tenth(written.len() as u64))?;
        out.push_str(&written);
    }
    out.push_str(rest);
    Ok(Val::text(out))
}

fn clause_of(clause: char, places: Option<usize>, item: &Val) -> Result<String, Error> {
    let wrong = |what: &str| {
        let message = format!("error during formatting: {what}, was given {}", item.type_name());
        Err(Error::failed(message))
    };
    match (clause, item) {
        ('s', item) => Ok(plain(item)),
        ('d', Val::Int(number)) => Ok(number.to_string()),
        ('d', Val::Uint(number)) => Ok(number.to_string()),
        ('d', Val::Double(number)) if !number.is_finite() => Ok(plain(item)),
        ('d', _) => wrong("decimal clause can only be used on integers"),
        ('f', Val::Double(number)) => Ok(format!("{number:.*}", places.unwrap_or(6))),
        ('f', Val::Int(number)) => Ok(format!("{:.*}", places.unwrap_or(6), *number as f64)),
        ('f', _) => wrong("fixed-point clause can only be used on doubles"),
        ('e', Val::Double(number)) => {
            let text = format!("{number:.*e}", places.unwrap_or(6));
            let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
            let (sign, power) = power.strip_prefix('-').map_or(("+", power), |power| ("-", power));
            Ok(format!("{digits}e{sign}{power:0>2}"))
        }
        ('e', _) => wrong("scientific clause can only be used on doubles"),
        ('b', Val::Int(number)) => Ok(signed(*number, |number| format!("{number:b}"))),
        ('b', Val::Uint(number)) => Ok(format!("{number:b}")),
        ('b', Val::Bool(value)) => Ok(u8::from(*value).to_string()),
        ('b', _) => wrong("only integers and bools can be formatted as binary"),
        ('o', Val::Int(number)) => Ok(signed(*number, |number| format!("{number:o}"))),
        ('o', Val::Uint(number)) => Ok(format!("{number:o}")),
        ('o', _) => wrong("octal clause can only be used on integers"),
        ('x' | 'X', item) => {
            let text = match item {
                Val::Int(number) => signed(*number, |number| format!("{number:x}")),
                Val::Uint(number) => format!("{number:x}"),
                Val::Str(text) => text.bytes().map(|byte| format!("{byte:02x}")).collect(),
                Val::Bytes(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
                _ => return wrong("only integers, byte buffers, and strings can be formatted as hex"),
            };
            Ok(if clause == 'X' { text.to_uppercase() } else { text })
        }
        (other, _) => {
            Err(Error::failed(format!("could not parse formatting clause: unrecognized formatting clause \"{other}\"")))
        }
    }
}

fn signed(number: i64, write: impl Fn(u64) -> String) -> String {
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}", write(number.unsigned_abs()))
}

/// A value as `%s` writes it, whatever it is.
fn plain(value: &Val) -> String {
    match value {
        Val::Null => "null".to_owned(),
        Val::List(items) => format!("[{}]", items.iter().map(plain).collect::<Vec<_>>().join(", ")),
        Val::Map(map) => {
            let entry = |(key, value): (&Key, &Val)| format!("{}: {}", plain(&Val::from(key)), plain(value));
            format!("{{{}}}", map.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
        Val::Optional(Some(inner)) => format!("optional({})", plain(inner)),
        Val::Type(name) => name.to_string(),
        Val::Quantity(amount) => amount.to_string(),
        other => show(other).unwrap_or_else(|| other.type_name().to_owned()),
    }
}
