//! Rules of names, labels, ports and addresses (apimachinery `validation.go`). Each function returns the complaints as
//! Kubernetes words them, none when the text is right; which field they belong to is the caller's business.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const LABEL_1123: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
'[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN_UNDERSCORES: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, \
'_', '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
'_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')";
const SUBDOMAIN_1123: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or \
'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation \
is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const WILDCARD: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must \
consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', \
regex used for validation is '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const QUALIFIED: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', \
and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for \
validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// Which rule the names of a kind follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameRule {
    /// Most kinds: dot-separated lower-case labels, 253 bytes.
    Subdomain,
    /// Namespaces: one label of 63 bytes.
    Label,
    /// Services: one label that starts with a letter.
    Label1035,
    /// RBAC kinds: whatever can stand between two slashes.
    PathSegment,
    /// IPAddresses: an address in its canonical form.
    Address,
}

impl NameRule {
    /// What is wrong with a name under this rule. With `prefix` the text is a `generateName`, which may end in a dash.
    pub fn check(self, name: &str, prefix: bool) -> Vec<String> {
        let masked;
        let name = if prefix && name.len() > 1 && name.ends_with('-') && self != Self::PathSegment {
            masked = format!("{}a", &name[..name.len() - 1]);
            &masked
        } else {
            name
        };
        match self {
            Self::Subdomain => subdomain(name),
            Self::Label => label(name),
            Self::Label1035 => label_1035(name),
            Self::PathSegment => path_segment(name, prefix),
            Self::Address => canonical_ip(name),
        }
    }
}

fn too_long(max: usize) -> String {
    format!("must be no more than {max} bytes")
}

fn lower_alnum(c: u8) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    !bytes.is_empty()
        && bytes.iter().all(|&c| lower_alnum(c) || c == b'-')
        && lower_alnum(bytes[0])
        && lower_alnum(bytes[bytes.len() - 1])
}

/// RFC 1123 label: 63 bytes of `[a-z0-9-]`, alphanumeric at both ends.
pub fn label(text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    if text.len() > 63 {
        complaints.push(too_long(63));
    }
    if !is_label(text) {
        complaints.push(LABEL_1123.to_owned());
    }
    complaints
}

/// RFC 1035 label: as [`label`], but starting with a letter.
pub fn label_1035(text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    if text.len() > 63 {
        complaints.push(too_long(63));
    }
    if !is_label(text) || !text.as_bytes()[0].is_ascii_lowercase() {
        complaints.push(LABEL_1035.to_owned());
    }
    complaints
}

/// RFC 1123 subdomain: labels joined by dots, 253 bytes in all.
pub fn subdomain(text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    if text.len() > 253 {
        complaints.push(too_long(253));
    }
    if !text.split('.').all(is_label) {
        complaints.push(SUBDOMAIN_1123.to_owned());
    }
    complaints
}

/// A subdomain whose labels may begin with an underscore and hold further ones (domains that are searched).
pub fn subdomain_with_underscores(text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    if text.len() > 253 {
        complaints.push(too_long(253));
    }
    let edge = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let label = |label: &str| {
        let label = label.strip_prefix('_').unwrap_or(label).as_bytes();
        let ends = label.first().zip(label.last()).is_some_and(|(first, last)| edge(*first) && edge(*last));
        ends && label.iter().all(|c| edge(*c) || matches!(c, b'-' | b'_'))
    };
    if !text.split('.').all(label) {
        complaints.push(SUBDOMAIN_UNDERSCORES.to_owned());
    }
    complaints
}

/// `*.` and a subdomain (hosts of an Ingress).
pub fn wildcard_subdomain(text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    if text.len() > 253 {
        complaints.push(too_long(253));
    }
    if !text.strip_prefix("*.").is_some_and(|rest| rest.split('.').all(is_label)) {
        complaints.push(WILDCARD.to_owned());
    }
    complaints
}

/// Names that may stand in a path: no slash, no percent sign, not `.` or `..`.
pub fn path_segment(text: &str, prefix: bool) -> Vec<String> {
    let mut complaints = Vec::new();
    if !prefix && (text == "." || text == "..") {
        complaints.push(format!("may not be '{text}'"));
    }
    for bad in ["/", "%"] {
        if text.contains(bad) {
            complaints.push(format!("may not contain '{bad}'"));
        }
    }
    complaints
}

fn qualified_part(text: &str) -> bool {
    let bytes = text.as_bytes();
    !bytes.is_empty()
        && bytes.iter().all(|&c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'))
        && bytes[0].is_ascii_alphanumeric()
        && bytes[bytes.len() - 1].is_ascii_alphanumeric()
}

/// Keys of labels and annotations: an optional subdomain and a slash, then a name of 63 bytes.
pub fn qualified_name(text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let parts: Vec<&str> = text.split('/').collect();
    let name = match parts.as_slice() {
        [name] => *name,
        [prefix, name] => {
            if prefix.is_empty() {
                complaints.push("prefix part must be non-empty".to_owned());
            } else {
                complaints.extend(subdomain(prefix).into_iter().map(|c| format!("prefix part {c}")));
            }
            *name
        }
        _ => {
            let middle = QUALIFIED;
            return vec![format!(
                "a qualified name {middle} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        complaints.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        complaints.push(format!("name part {}", too_long(63)));
    }
    if !qualified_part(name) {
        complaints.push(format!("name part {QUALIFIED}"));
    }
    complaints
}

/// Values of labels: empty, or 63 bytes of the same alphabet as names of keys.
pub fn label_value(text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    if text.len() > 63 {
        complaints.push(too_long(63));
    }
    if !text.is_empty() && !qualified_part(text) {
        complaints.push(LABEL_VALUE.to_owned());
    }
    complaints
}

/// IANA service names as ports carry them: 15 bytes, a letter at least, no doubled dash.
pub fn port_name(text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    if text.len() > 15 {
        complaints.push("must be no more than 15 characters".to_owned());
    }
    if !text.bytes().all(|c| lower_alnum(c) || c == b'-') || text.is_empty() {
        complaints.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !text.bytes().any(|c| c.is_ascii_lowercase()) {
        complaints.push("must contain at least one letter (a-z)".to_owned());
    }
    if text.contains("--") {
        complaints.push("must not contain consecutive hyphens".to_owned());
    }
    if text.starts_with('-') || text.ends_with('-') {
        complaints.push("must not begin or end with a hyphen".to_owned());
    }
    complaints
}

/// Port numbers.
pub fn port_number(port: i64) -> Vec<String> {
    if (1..=65535).contains(&port) { Vec::new() } else { vec!["must be between 1 and 65535, inclusive".to_owned()] }
}

/// Keys of ConfigMaps and Secrets: file names of 253 bytes.
pub fn config_key(text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    if text.len() > 253 {
        complaints.push("must be no more than 253 characters".to_owned());
    }
    if text.is_empty() || !text.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.')) {
        complaints.push(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or \
             'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
                .to_owned(),
        );
    } else if text == "." {
        complaints.push("must not be '.'".to_owned());
    } else if text == ".." {
        complaints.push("must not be '..'".to_owned());
    } else if text.starts_with("..") {
        complaints.push("must not start with '..'".to_owned());
    }
    complaints
}

/// Paths that may not lead out of where they begin (`validatePathNoBacksteps`).
pub fn no_backsteps(path: &str) -> Vec<String> {
    match path.split('/').any(|part| part == "..") {
        true => vec!["must not contain '..'".to_owned()],
        false => Vec::new(),
    }
}

/// Names of environment variables (printable ASCII without `=` since 1.34).
pub fn env_name(text: &str) -> Vec<String> {
    if text.is_empty() {
        return vec!["environment variable name must be non-empty".to_owned()];
    }
    if text.bytes().all(|c| (0x20..0x7f).contains(&c) && c != b'=') {
        Vec::new()
    } else {
        vec![
            "a valid environment variable name must consist only of printable ASCII characters other than '='"
                .to_owned(),
        ]
    }
}

/// The name of an HTTP header.
pub fn http_header(text: &str) -> Vec<String> {
    if !text.is_empty() && text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-') {
        return Vec::new();
    }
    let words = "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for \
                 validation is '[-A-Za-z0-9]+')";
    vec![words.to_owned()]
}

/// An address in strict form (no leading zeros, no IPv4 inside IPv6).
pub fn parse_ip(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

/// IPv4 or IPv6 address.
pub fn ip(text: &str) -> Vec<String> {
    if parse_ip(text).is_some() {
        Vec::new()
    } else {
        vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".to_owned()]
    }
}

/// What is wrong with an address that must be written in its one canonical form (`networking/validation`).
pub fn canonical_ip(text: &str) -> Vec<String> {
    match parse_ip(text) {
        None => ip(text),
        Some(address) if address.to_string() != text => {
            vec![format!("must be in canonical form (\"{address}\")")]
        }
        Some(_) => Vec::new(),
    }
}

/// Addresses that no endpoint and no external IP may have (core validation `ValidateNonSpecialIP`).
pub fn non_special_ip(address: IpAddr) -> Vec<String> {
    let mut complaints = Vec::new();
    match address {
        IpAddr::V4(v4) => {
            if v4 == Ipv4Addr::UNSPECIFIED {
                complaints.push(format!("may not be unspecified ({v4})"));
            }
            if v4.is_loopback() {
                complaints.push("may not be in the loopback range (127.0.0.0/8, ::1/128)".to_owned());
            }
            if v4.is_link_local() {
                complaints.push("may not be in the link-local range (169.254.0.0/16, fe80::/10)".to_owned());
            }
            if v4.octets()[..3] == [224, 0, 0] {
                complaints.push("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)".to_owned());
            }
        }
        IpAddr::V6(v6) => {
            if v6 == Ipv6Addr::UNSPECIFIED {
                complaints.push(format!("may not be unspecified ({v6})"));
            }
            if v6 == Ipv6Addr::LOCALHOST {
                complaints.push("may not be in the loopback range (127.0.0.0/8, ::1/128)".to_owned());
            }
            if v6.segments()[0] & 0xffc0 == 0xfe80 {
                complaints.push("may not be in the link-local range (169.254.0.0/16, fe80::/10)".to_owned());
            }
            if v6.segments()[0] == 0xff02 {
                complaints.push("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)".to_owned());
            }
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each rule with texts that it takes and texts that it refuses.
    type Case = (&'static str, fn(&str) -> Vec<String>, &'static [&'static str], &'static [&'static str]);

    #[test]
    fn rules_take_and_refuse() {
        let cases: &[Case] = &[
            ("label", label, &["a", "1", "a-b", "0a"], &["", "-a", "a-", "A", "a.b", "a_b"]),
            ("label_1035", label_1035, &["a", "a-1"], &["", "1a", "-a", "A"]),
            ("subdomain", subdomain, &["a.b", "1.2.a-b"], &["", ".", "a.", ".a", "a..b", "A.b", "a_b"]),
            ("wildcard", wildcard_subdomain, &["*.a", "*.a.b"], &["*", "a.b", "*.", "*.*.a"]),
            ("qualified", qualified_name, &["a", "A_b.c", "x.io/a"], &["", "/a", "a/", "a/b/c", "-a", "X.io/a", "a b"]),
            ("value", label_value, &["", "a", "A.b_c-1"], &["-", "a/b", "a b", "é"]),
            ("port", port_name, &["http", "p-1", "1a"], &["", "80", "a--b", "-a", "a-", "A", "abcdefghijklmnop"]),
            ("key", config_key, &["a", "A_b.c-d", ".a"], &["", ".", "..", "..a", "a/b", "a b"]),
            ("env", env_name, &["A", "a.b", "1"], &["", "a=b", "é"]),
            ("ip", ip, &["1.2.3.4", "::1"], &["", "1.2.3", "01.2.3.4", "a"]),
        ];
        for (name, rule, good, bad) in cases {
            for text in *good {
                assert!(rule(text).is_empty(), "{name} should take {text:?}: {:?}", rule(text));
            }
            for text in *bad {
                assert!(!rule(text).is_empty(), "{name} should refuse {text:?}");
            }
        }
    }

    #[test]
    fn a_generated_name_may_end_in_a_dash() {
        assert!(NameRule::Subdomain.check("blue-", true).is_empty());
        assert!(!NameRule::Subdomain.check("blue-", false).is_empty());
        assert!(NameRule::PathSegment.check("system:node", false).is_empty());
        assert!(!NameRule::PathSegment.check("a/b", false).is_empty());
    }

    #[test]
    fn special_addresses_are_refused() {
        for bad in ["0.0.0.0", "127.0.0.1", "169.254.1.1", "224.0.0.1", "::", "::1", "fe80::1", "ff02::1"] {
            assert!(!non_special_ip(bad.parse().expect("an address")).is_empty(), "{bad}");
        }
        assert!(non_special_ip("10.0.0.1".parse().expect("an address")).is_empty());
    }
}
