//! Versions as Semantic Versioning 2.0.0 orders them.

use std::cmp::Ordering;

/// A version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Semver {
    /// First number.
    pub major: u64,
    /// Second number.
    pub minor: u64,
    /// Third number.
    pub patch: u64,
    before: Vec<String>,
}

impl Semver {
    /// Reads a version; `lenient` also takes a leading `v`, missing numbers and leading zeros.
    pub(super) fn parse(text: &str, lenient: bool) -> Option<Self> {
        let text = if lenient { text.strip_prefix('v').unwrap_or(text) } else { text };
        let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
        let (numbers, before) = text.split_once('-').map_or((text, None), |(numbers, before)| (numbers, Some(before)));
        let plain =
            |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if build.is_some_and(|build| !build.split('.').all(plain)) {
            return None;
        }
        let mut parts: Vec<&str> = numbers.split('.').collect();
        if lenient && parts.len() < 3 {
            parts.resize(3, "0");
        }
        let number = |part: &str| {
            let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            (digits && (lenient || part.len() == 1 || !part.starts_with('0'))).then(|| part.parse().ok()).flatten()
        };
        let [major, minor, patch] = parts.as_slice() else { return None };
        let before: Vec<String> = before.map(|text| text.split('.').map(str::to_owned).collect()).unwrap_or_default();
        let good = |part: &String| {
            let number = part.bytes().all(|byte| byte.is_ascii_digit());
            plain(part) && !(number && part.len() > 1 && part.starts_with('0'))
        };
        if !before.iter().all(good) {
            return None;
        }
        Some(Self { major: number(major)?, minor: number(minor)?, patch: number(patch)?, before })
    }
}

impl PartialOrd for Semver {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Semver {
    fn cmp(&self, other: &Self) -> Ordering {
        let numbers = (self.major, self.minor, self.patch).cmp(&(other.major, other.minor, other.patch));
        if numbers != Ordering::Equal {
            return numbers;
        }
        match (self.before.is_empty(), other.before.is_empty()) {
            (true, true) => return Ordering::Equal,
            (true, false) => return Ordering::Greater,
            (false, true) => return Ordering::Less,
            _ => {}
        }
        for (a, b) in self.before.iter().zip(&other.before) {
            let order = match (a.parse::<u64>(), b.parse::<u64>()) {
                (Ok(a), Ok(b)) => a.cmp(&b),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                _ => a.cmp(b),
            };
            if order != Ordering::Equal {
                return order;
            }
        }
        self.before.len().cmp(&other.before.len())
    }
}
