//! The query of a request to the node's server. Pure.

use percent_encoding::percent_decode_str;

/// Names and values, in order.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(text: &str) -> Query {
        let decode = |part: &str| percent_decode_str(&part.replace('+', " ")).decode_utf8_lossy().into_owned();
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        });
        Query(pairs.collect())
    }

    /// The values of a repeated name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The first value, unless it is missing or empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// Whether it is given, and neither `0` nor `false`.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.all(name).next().is_some_and(|value| !matches!(value, "0" | "false"))
    }

    /// A number, where it is one.
    pub(super) fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.get(name)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_keep_their_words() {
        let query = Query::parse("command=sh&command=-c&command=echo+a%20b%3Dc&stdin=1&tty=false&tailLines=3");
        assert_eq!(query.all("command").collect::<Vec<_>>(), ["sh", "-c", "echo a b=c"]);
        assert!(query.flag("stdin") && !query.flag("tty") && !query.flag("stdout"));
        assert_eq!((query.number("tailLines"), query.number::<usize>("stdin2")), (Some(3), None));
    }
}
