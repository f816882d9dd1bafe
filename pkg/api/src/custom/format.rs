//! String formats of schemas (kube-openapi `strfmt`): those that are checked; all others are accepted.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether a text is of a format; a format that is not known holds for every text.
pub(super) fn matches(format: &str, text: &str) -> bool {
    match format {
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "ip" => text.parse::<IpAddr>().is_ok(),
        "cidr" => text.parse::<ipnet::IpNet>().is_ok(),
        "mac" => mac(text),
        "uuid" | "uuid3" | "uuid4" | "uuid5" => uuid(format, text),
        "date" => text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
        "date-time" | "datetime" => crate::time::parse(text).is_some(),
        "duration" => duration(text),
        "byte" => {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD.decode(text).is_ok()
        }
        "hostname" => !text.is_empty() && text.len() <= 255 && text.split('.').all(host_label),
        "email" => text.split_once('@').is_some_and(|(user, host)| !user.is_empty() && host.split('.').all(host_label)),
        "uri" => {
            text.split_once(':').is_some_and(|(scheme, rest)| {
                scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                    && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
                    && !rest.is_empty()
                    && !text.contains(char::is_whitespace)
            }) || (text.starts_with('/') && !text.contains(char::is_whitespace))
        }
        _ => true,
    }
}

fn host_label(label: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    !label.is_empty()
        && label.len() <= 63
        && label.chars().all(plain)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn mac(text: &str) -> bool {
    let parts: Vec<&str> = text.split([':', '-']).collect();
    matches!(parts.len(), 6 | 8) && parts.iter().all(|part| part.len() == 2 && u8::from_str_radix(part, 16).is_ok())
}

fn uuid(format: &str, text: &str) -> bool {
    let bare: String = text.chars().filter(|c| *c != '-').collect();
    let version = bare.chars().nth(12);
    bare.len() == 32
        && bare.chars().all(|c| c.is_ascii_hexdigit())
        && format.strip_prefix("uuid").is_none_or(|wanted| wanted.is_empty() || wanted.chars().next() == version)
}

/// Go's durations (`1h30m`, `1.5s`), also with words for units as `strfmt` reads them.
fn duration(text: &str) -> bool {
    let mut rest = text.trim_start_matches(['+', '-']);
    if rest == "0" {
        return true;
    }
    let mut any = false;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let after = rest[number..].trim_start();
        let unit = after.find(|c: char| c.is_ascii_digit() || c.is_whitespace()).unwrap_or(after.len());
        let known = ["ns", "us", "µs", "ms", "s", "m", "h", "d", "w", "second", "minute", "hour", "day", "week"];
        let name = after[..unit].trim_end_matches('s');
        if rest[..number].parse::<f64>().is_err() || !(known.contains(&&after[..unit]) || known.contains(&name)) {
            return false;
        }
        (rest, any) = (after[unit..].trim_start(), true);
    }
    any
}
