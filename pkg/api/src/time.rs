//! Times as Kubernetes writes them (`metav1.Time`, `metav1.MicroTime`) and ages as it prints them. Nobody here reads a
//! clock: `now` is always passed in.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

/// RFC 3339 in UTC with whole seconds: `2024-05-06T07:08:09Z`.
pub fn format(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// RFC 3339 in UTC with six decimals, as Lease and Event use it.
pub fn format_micro(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Reads either form.
pub fn parse(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// The time in a field, when there is one and it can be read.
pub fn of(value: &Value) -> Option<Timestamp> {
    value.as_str().and_then(parse)
}

/// Seconds from `then` to `now`; may be negative.
pub fn seconds_since(then: Timestamp, now: Timestamp) -> i64 {
    now.as_second() - then.as_second()
}

/// How long ago in kubectl's short form (apimachinery `duration.HumanDuration`); `<unknown>` for a missing time.
pub fn age(then: Option<Timestamp>, now: Timestamp) -> String {
    match then {
        Some(then) => human(seconds_since(then, now)),
        None => "<unknown>".to_owned(),
    }
}

/// A length in seconds in kubectl's short form: `5s`, `2m5s`, `10m`, `3h2m`, `2d3h`, `9d`, `2y1d`.
pub fn human(seconds: i64) -> String {
    if seconds < -1 {
        return "<invalid>".to_owned();
    }
    if seconds < 0 {
        return "0s".to_owned();
    }
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |big: i64, unit: &str, small: i64, small_unit: &str| {
        if small == 0 { format!("{big}{unit}") } else { format!("{big}{unit}{small}{small_unit}") }
    };
    if seconds < 120 {
        format!("{seconds}s")
    } else if minutes < 10 {
        two(minutes, "m", seconds % 60, "s")
    } else if minutes < 180 {
        format!("{minutes}m")
    } else if hours < 8 {
        two(hours, "h", minutes % 60, "m")
    } else if hours < 48 {
        format!("{hours}h")
    } else if hours < 192 {
        two(days, "d", hours % 24, "h")
    } else if days < 730 {
        format!("{days}d")
    } else if days < 2920 {
        two(days / 365, "y", days % 365, "d")
    } else {
        format!("{}y", days / 365)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_read_as_kubectl_prints_them() {
        let cases = [
            (-5, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (599, "9m59s"),
            (600, "10m"),
            (10_799, "179m"),
            (10_800, "3h"),
            (10_860, "3h1m"),
            (28_800, "8h"),
            (172_799, "47h"),
            (172_800, "2d"),
            (176_400, "2d1h"),
            (691_200, "8d"),
            (63_071_999, "729d"),
            (63_072_000, "2y"),
            (63_158_400, "2y1d"),
            (252_288_000, "8y"),
        ];
        for (seconds, text) in cases {
            assert_eq!(human(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn times_are_written_in_utc() {
        let at: Timestamp = "2024-05-06T07:08:09.123456789Z".parse().expect("a time");
        assert_eq!(format(at), "2024-05-06T07:08:09Z");
        assert_eq!(format_micro(at), "2024-05-06T07:08:09.123456Z");
        assert_eq!(parse("2024-05-06T09:08:09+02:00").map(format).as_deref(), Some("2024-05-06T07:08:09Z"));
        assert_eq!(age(None, at), "<unknown>");
        assert_eq!(age(parse("2024-05-06T07:07:59Z"), at), "10s");
    }
}
