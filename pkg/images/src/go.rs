//! The forms in which Go programs print: log lines, durations, quoted text, times. Stand-ins of Go programs speak so.

use std::fmt::Write as _;
use std::time::Duration;

/// A line of Go's standard logger, to standard error: `2026/11/26 21:29:16 text`.
pub(crate) fn log(text: impl std::fmt::Display) {
    eprintln!("{} {text}", jiff::Timestamp::now().strftime("%Y/%m/%d %H:%M:%S"));
}

/// A header's name as Go spells it: `x-forwarded-for` as `X-Forwarded-For`.
pub(crate) fn header_name(name: &str) -> String {
    let part = |part: &str| part[..1.min(part.len())].to_ascii_uppercase() + part.get(1..).unwrap_or_default();
    name.split('-').map(part).collect::<Vec<_>>().join("-")
}

/// Logs and ends the program with 1.
pub(crate) fn fatal(text: impl std::fmt::Display) -> ! {
    log(text);
    std::process::exit(1)
}

/// `2026-11-26 21:29:16.123456789 +0000 UTC m=+1.000000000`, with the time since `started`.
pub(crate) fn now(started: std::time::Instant) -> String {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S.%9f +0000 UTC");
    let since = started.elapsed();
    format!("{now} m=+{}.{:09}", since.as_secs(), since.subsec_nanos())
}

/// A duration in Go's notation, such as `1h2m3.5s` or `300ms`; negative ones are zero here.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("time: invalid duration {}", quote(text));
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = rest;
    let mut seconds = 0.0;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..end].parse().map_err(|_| wrong())?;
        rest = &rest[end..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let scale = match &rest[..end] {
            "ns" => 1e-9,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "" => return Err(format!("time: missing unit in duration {}", quote(text))),
            unit => return Err(format!("time: unknown unit {} in duration {}", quote(unit), quote(text))),
        };
        seconds += number * scale;
        rest = &rest[end..];
    }
    if negative { Ok(Duration::ZERO) } else { Duration::try_from_secs_f64(seconds).map_err(|_| wrong()) }
}

/// `1m2.5s`, `300ms`, `0s`: a duration as Go prints it.
pub(crate) fn duration(duration: Duration) -> String {
    let decimal = |number: f64, unit: &str| {
        let text = format!("{number:.9}");
        format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
    };
    let nanoseconds = duration.as_nanos();
    match nanoseconds {
        0 => return "0s".to_owned(),
        1..1_000 => return format!("{nanoseconds}ns"),
        1_000..1_000_000 => return decimal(nanoseconds as f64 / 1e3, "\u{b5}s"),
        1_000_000..1_000_000_000 => return decimal(nanoseconds as f64 / 1e6, "ms"),
        _ => {}
    }
    let (hours, minutes) = (duration.as_secs() / 3600, duration.as_secs() / 60 % 60);
    let mut text = String::new();
    if hours > 0 {
        let _ = write!(text, "{hours}h");
    }
    if hours > 0 || minutes > 0 {
        let _ = write!(text, "{minutes}m");
    }
    let seconds = (duration.as_secs() % 60) as f64 + f64::from(duration.subsec_nanos()) / 1e9;
    text + &decimal(seconds, "s")
}

/// Text in double quotes, as `%q` prints it.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(quoted, "\\x{:02x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// What Go says of a failed system call: the words of the C library in lower case, without the number.
pub(crate) fn errno(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

/// The name of this host.
pub(crate) fn hostname() -> String {
    match std::fs::read_to_string("/proc/sys/kernel/hostname") {
        Ok(name) => name.trim().to_owned(),
        Err(error) => fatal(format_args!("Error occurred: failed to get hostname:{}", errno(&error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_printed_as_go_does() {
        for (text, printed) in [
            ("1h2m3.5s", "1h2m3.5s"),
            ("90s", "1m30s"),
            ("300ms", "300ms"),
            ("1.5us", "1.5\u{b5}s"),
            ("0", "0s"),
            ("-5s", "0s"),
            ("3600s", "1h0m0s"),
        ] {
            assert_eq!(duration(parse_duration(text).unwrap()), printed, "{text}");
        }
        assert_eq!(parse_duration("").unwrap_err(), "time: invalid duration \"\"");
        assert_eq!(parse_duration("5").unwrap_err(), "time: missing unit in duration \"5\"");
        assert_eq!(parse_duration("5x").unwrap_err(), "time: unknown unit \"x\" in duration \"5x\"");
    }

    #[test]
    fn text_is_quoted() {
        assert_eq!(quote("a\"b\\\n\u{1}\u{e9}"), "\"a\\\"b\\\\\\n\\x01\u{e9}\"");
    }

    #[test]
    fn errors_have_gos_words() {
        assert_eq!(errno(&std::io::Error::from_raw_os_error(111)), "connection refused");
    }
}
