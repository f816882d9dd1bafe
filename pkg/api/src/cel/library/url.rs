//! URLs as Go's `url.ParseRequestURI` reads them: absolute, or a path from the root.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::value::{Key, Val};

/// A URL in parts.
#[derive(Debug)]
pub struct Url {
    /// As it was written.
    pub text: String,
    /// `https`, or empty for a path.
    pub scheme: String,
    /// With its port.
    pub host: String,
    /// As it was escaped.
    pub path: String,
    query: String,
}

impl Url {
    /// Reads a URL; `None` for what is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bad = text.is_empty() || text.chars().any(|c| c.is_control() || c == ' ');
        if bad || !escapes(text) {
            return None;
        }
        let (scheme, rest) = match text.split_once(':') {
            Some((scheme, rest)) if is_scheme(scheme) => (scheme.to_lowercase(), rest),
            _ if text.starts_with('/') => (String::new(), text),
            _ => return None,
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (host, path) = match rest.strip_prefix("//") {
            Some(rest) if !scheme.is_empty() => {
                let at = rest.find('/').unwrap_or(rest.len());
                (&rest[..at], &rest[at..])
            }
            _ if rest.starts_with('/') => ("", rest),
            _ => return None,
        };
        let host = host.rsplit('@').next().unwrap_or_default();
        let port =
            host.rsplit_once(':').filter(|(name, _)| !name.contains(':') || name.ends_with(']')).map(|(_, port)| port);
        let open = host.contains('[') != host.contains(']');
        if open || port.is_some_and(|port| !port.bytes().all(|byte| byte.is_ascii_digit())) {
            return None;
        }
        Some(Self {
            text: text.to_owned(),
            scheme,
            host: host.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
        })
    }

    /// The host without its port and brackets.
    pub(super) fn hostname(&self) -> &str {
        if let Some(inner) = self.host.strip_prefix('[') {
            return inner.split(']').next().unwrap_or_default();
        }
        self.host.split(':').next().unwrap_or_default()
    }

    /// The port or nothing.
    pub(super) fn port(&self) -> &str {
        let after = self.host.rsplit(']').next().unwrap_or_default();
        after.rsplit_once(':').map_or("", |(_, port)| port)
    }

    /// Names to lists of values.
    pub(super) fn queries(&self) -> Val {
        let mut out: BTreeMap<Key, Vec<Val>> = BTreeMap::new();
        for pair in self.query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            out.entry(Key::Str(Arc::from(decode(name)))).or_default().push(Val::text(decode(value)));
        }
        Val::Map(Arc::new(out.into_iter().map(|(key, values)| (key, Val::list(values))).collect()))
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

/// Whether every `%` is followed by two hexadecimal digits.
fn escapes(text: &str) -> bool {
    text.split('%').skip(1).all(|part| part.len() >= 2 && part.bytes().take(2).all(|byte| byte.is_ascii_hexdigit()))
}

fn decode(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digits: Vec<u8> = bytes.by_ref().take(2).collect();
                let value = std::str::from_utf8(&digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok());
                out.extend(value);
            }
            byte => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
