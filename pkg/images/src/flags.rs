//! Command-line flags as Go's pflag reads them: `--name=value`, `--name value`, `--yes`, `-n value`; underscores in names
//! count as dashes. Errors in pflag's and cobra's words.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::go;

/// One flag that a program knows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flag {
    pub(crate) name: &'static str,
    pub(crate) short: Option<char>,
    pub(crate) kind: Kind,
    pub(crate) default: &'static str,
}

/// What a flag's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Int,
    Bool,
    Duration,
}

impl Flag {
    pub(crate) const fn text(name: &'static str, default: &'static str) -> Flag {
        Flag { name, short: None, kind: Kind::Text, default }
    }

    pub(crate) const fn int(name: &'static str, default: &'static str) -> Flag {
        Flag { name, short: None, kind: Kind::Int, default }
    }

    pub(crate) const fn bool(name: &'static str, default: &'static str) -> Flag {
        Flag { name, short: None, kind: Kind::Bool, default }
    }

    pub(crate) const fn duration(name: &'static str, default: &'static str) -> Flag {
        Flag { name, short: None, kind: Kind::Duration, default }
    }

    pub(crate) const fn or(mut self, short: char) -> Flag {
        self.short = Some(short);
        self
    }
}

/// Flags of every program that logs as Kubernetes' do; read and not used.
const LOGGING: &[Flag] = &[
    Flag::text("v", "0").or('v'),
    Flag::text("vmodule", ""),
    Flag::text("log-flush-frequency", "5s"),
    Flag::bool("logtostderr", "true"),
    Flag::bool("alsologtostderr", "false"),
    Flag::text("stderrthreshold", "2"),
];

/// What a command line says.
#[derive(Debug, Default)]
pub(crate) struct Flags {
    values: BTreeMap<&'static str, String>,
    /// The words that are no flags.
    pub(crate) words: Vec<String>,
}

/// The word that asks for help instead.
pub(crate) const HELP: &str = "help";

impl Flags {
    /// Reads `arguments`; the error is what the program prints after `Error: `, or [`HELP`].
    pub(crate) fn parse(known: &[Flag], arguments: &[String]) -> Result<Flags, String> {
        let mut flags = Flags::default();
        for flag in known {
            flags.values.insert(flag.name, flag.default.to_owned());
        }
        let all = || known.iter().chain(LOGGING);
        let mut rest = arguments.iter();
        while let Some(word) = rest.next() {
            if word == "--" {
                flags.words.extend(rest.by_ref().cloned());
            } else if word == "--help" || word == "-h" {
                return Err(HELP.to_owned());
            } else if let Some(long) = word.strip_prefix("--") {
                let (name, value) = match long.split_once('=') {
                    Some((name, value)) => (name, Some(value.to_owned())),
                    None => (long, None),
                };
                let name = name.replace('_', "-");
                let flag = all().find(|flag| flag.name == name).ok_or_else(|| format!("unknown flag: --{name}"))?;
                let value = match value {
                    Some(value) => value,
                    None if flag.kind == Kind::Bool => "true".to_owned(),
                    None => rest.next().cloned().ok_or_else(|| format!("flag needs an argument: --{name}"))?,
                };
                flags.set(flag, &format!("--{name}"), value)?;
            } else if word.len() > 1 && word.starts_with('-') {
                let letter = word[1..].chars().next().unwrap_or_default();
                let flag = all()
                    .find(|flag| flag.short == Some(letter))
                    .ok_or_else(|| format!("unknown shorthand flag: '{letter}' in {word}"))?;
                let attached = word[1 + letter.len_utf8()..].trim_start_matches('=');
                let value = match attached {
                    "" if flag.kind == Kind::Bool => "true".to_owned(),
                    "" => {
                        rest.next().cloned().ok_or_else(|| format!("flag needs an argument: '{letter}' in {word}"))?
                    }
                    value => value.to_owned(),
                };
                flags.set(flag, &format!("-{letter}, --{}", flag.name), value)?;
            } else {
                flags.words.push(word.clone());
            }
        }
        Ok(flags)
    }

    fn set(&mut self, flag: &Flag, called: &str, value: String) -> Result<(), String> {
        let reason = match flag.kind {
            Kind::Text => None,
            Kind::Int => value.parse::<i64>().err().map(|_| number_error("ParseInt", &value)),
            Kind::Bool => boolean(&value).is_none().then(|| number_error("ParseBool", &value)),
            Kind::Duration => go::parse_duration(&value).err(),
        };
        if let Some(reason) = reason {
            return Err(format!("invalid argument {} for {} flag: {reason}", go::quote(&value), go::quote(called)));
        }
        self.values.insert(flag.name, value);
        Ok(())
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        self.values.get(name).map(String::as_str).unwrap_or_default()
    }

    pub(crate) fn int(&self, name: &str) -> i64 {
        self.text(name).parse().unwrap_or_default()
    }

    /// A number that shall be a port; `None` where it cannot be one, as for -1.
    pub(crate) fn port(&self, name: &str) -> Option<u16> {
        u16::try_from(self.int(name)).ok()
    }

    pub(crate) fn bool(&self, name: &str) -> bool {
        boolean(self.text(name)).unwrap_or_default()
    }

    pub(crate) fn duration(&self, name: &str) -> Duration {
        go::parse_duration(self.text(name)).unwrap_or_default()
    }
}

/// What Go's strconv says of text that is no number.
pub(crate) fn number_error(function: &str, text: &str) -> String {
    format!("strconv.{function}: parsing {}: invalid syntax", go::quote(text))
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[Flag] = &[
        Flag::int("http-port", "8080"),
        Flag::bool("udp", "false"),
        Flag::duration("run-duration", "0").or('d'),
        Flag::text("file-mode", ""),
    ];

    fn parse(line: &str) -> Result<Flags, String> {
        Flags::parse(KNOWN, &line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn every_spelling_is_read() {
        let flags = parse("--http-port=80 --udp -d 5s a --file_mode /x -- --b").unwrap();
        assert_eq!(
            (flags.int("http-port"), flags.bool("udp"), flags.duration("run-duration").as_secs()),
            (80, true, 5)
        );
        assert_eq!((flags.text("file-mode"), flags.words.join(" ")), ("/x", "a --b".to_owned()));
        let flags = parse("--http-port 81 --udp=false -d7s -v 2").unwrap();
        assert_eq!(
            (flags.port("http-port"), flags.bool("udp"), flags.duration("run-duration").as_secs()),
            (Some(81), false, 7)
        );
        assert_eq!(parse("").unwrap().int("http-port"), 8080);
        assert_eq!(parse("--http-port=-1").unwrap().port("http-port"), None);
    }

    #[test]
    fn errors_are_pflags() {
        let error = |line| parse(line).unwrap_err();
        assert_eq!(error("--no"), "unknown flag: --no");
        assert_eq!(error("-n"), "unknown shorthand flag: 'n' in -n");
        assert_eq!(error("--http-port"), "flag needs an argument: --http-port");
        assert_eq!(
            error("--http-port=x"),
            r#"invalid argument "x" for "--http-port" flag: strconv.ParseInt: parsing "x": invalid syntax"#
        );
        assert_eq!(error("--help"), HELP);
    }
}
