//! Tables as text in nft's own language: what `nft -f` accepts and a person reads. Must stay in step with `encode`.

use std::fmt::{self, Display, Write};

use super::{
    statement::{Expression, FibOf, MarkOf, MarkSource, NatTo, Reject, Statement, UpdateKind, state, status},
    table::{Base, Chain, ChainKind, DataType, Element, Hook, Rule, Set, Table},
    value::{Data, Type, Value, Verdict},
};

impl Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Protocol(protocol) => write!(f, "{protocol}"),
            Self::Port(port) => write!(f, "{port}"),
            Self::Slot(number) => write!(f, "{number}"),
            Self::Mark(number) => write!(f, "0x{number:08x}"),
            Self::Link(name) => write!(f, "\"{}\"", name.as_str()),
        }
    }
}

impl Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => f.write_str("accept"),
            Self::Drop => f.write_str("drop"),
            Self::Return => f.write_str("return"),
            Self::Jump(chain) => write!(f, "jump {chain}"),
            Self::Goto(chain) => write!(f, "goto {chain}"),
        }
    }
}

impl Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Values(list) => f.write_str(&join(list)),
            Self::Verdict(verdict) => verdict.fmt(f),
        }
    }
}

impl Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SourceAddress => "ip saddr",
            Self::DestinationAddress => "ip daddr",
            Self::TransportProtocol => "meta l4proto",
            Self::SourcePort => "th sport",
            Self::DestinationPort => "th dport",
            Self::InputLink => "iifname",
            Self::OutputLink => "oifname",
            Self::Mark => "meta mark",
            Self::NetworkProtocol => "meta nfproto",
            Self::ConnectionMark => "ct mark",
            Self::ConnectionState => "ct state",
            Self::ConnectionStatus => "ct status",
            Self::OriginalSource => "ct original ip saddr",
            Self::OriginalDestination => "ct original ip daddr",
            Self::OriginalDestinationPort => "ct original proto-dst",
            Self::Random { modulus, offset: 0 } => return write!(f, "numgen random mod {modulus}"),
            Self::Random { modulus, offset } => return write!(f, "numgen random mod {modulus} offset {offset}"),
            Self::Hashed { modulus, offset: 0 } => return write!(f, "jhash ip saddr . th sport mod {modulus}"),
            Self::Hashed { modulus, offset } => {
                return write!(f, "jhash ip saddr . th sport mod {modulus} offset {offset}");
            }
            Self::HashedSource { modulus, offset: 0 } => return write!(f, "jhash ip saddr mod {modulus}"),
            Self::HashedSource { modulus, offset } => {
                return write!(f, "jhash ip saddr mod {modulus} offset {offset}");
            }
        })
    }
}

impl Display for NatTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed { address, port: None } => write!(f, "to {address}"),
            Self::Fixed { address, port: Some(port) } => write!(f, "to {address}:{port}"),
            Self::Map { key, map } => write!(f, "ip to {} map @{map}", join(key)),
        }
    }
}

impl Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not = |negate: &bool| if *negate { "!= " } else { "" };
        match self {
            Self::Compare { left: Expression::NetworkProtocol, negate, .. } => {
                write!(f, "meta nfproto {}ipv4", not(negate))
            }
            Self::Compare { left, negate, right } => write!(f, "{left} {}{right}", not(negate)),
            Self::InNetwork { left, negate, network } => write!(f, "{left} {}{network}", not(negate)),
            Self::Masked { left, mask, value } => write!(f, "{left} & 0x{mask:08x} == 0x{value:08x}"),
            Self::AnyBit { left, bits } => write!(f, "{left} {}", bit_names(*left, *bits)),
            Self::Local { of, negate } => {
                let of = if *of == FibOf::Source { "saddr" } else { "daddr" };
                write!(f, "fib {of} type {}local", not(negate))
            }
            Self::Member { key, set, negate } => write!(f, "{} {}@{set}", join(key), not(negate)),
            Self::VerdictMap { key, map } => write!(f, "{} vmap @{map}", join(key)),
            Self::SetMark { of, to } => {
                let of = if *of == MarkOf::Packet { "meta" } else { "ct" };
                match to {
                    MarkSource::Value(value) => write!(f, "{of} mark set 0x{value:08x}"),
                    MarkSource::Expression(expression) => write!(f, "{of} mark set {expression}"),
                    MarkSource::Map { key, map } => write!(f, "{of} mark set {} map @{map}", join(key)),
                }
            }
            Self::Update { kind, set, key, timeout, data } => {
                let kind = match kind {
                    UpdateKind::Add => "add",
                    UpdateKind::Update => "update",
                    UpdateKind::Delete => "delete",
                };
                write!(f, "{kind} @{set} {{ {}", join(key))?;
                if let Some(timeout) = timeout {
                    write!(f, " timeout {}", seconds(timeout.as_secs()))?;
                }
                if let Some(data) = data {
                    write!(f, " : {data}")?;
                }
                f.write_str(" }")
            }
            Self::Dnat(to) => write!(f, "dnat {to}"),
            Self::Snat { to, fully_random } => {
                write!(f, "snat {to}{}", if *fully_random { " fully-random" } else { "" })
            }
            Self::Masquerade { fully_random } => {
                write!(f, "masquerade{}", if *fully_random { " fully-random" } else { "" })
            }
            Self::Reject(Reject::PortUnreachable) => f.write_str("reject"),
            Self::Reject(Reject::TcpReset) => f.write_str("reject with tcp reset"),
            Self::Counter => f.write_str("counter"),
            Self::Verdict(verdict) => verdict.fmt(f),
        }
    }
}

impl Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, statement) in self.statements.iter().enumerate() {
            write!(f, "{}{statement}", if index == 0 { "" } else { " " })?;
        }
        self.comment.as_ref().map_or(Ok(()), |text| write!(f, " comment \"{text}\""))
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "table {} {} {{", self.family.as_str(), self.name)?;
        let mut first = true;
        let mut gap = |f: &mut fmt::Formatter<'_>| if std::mem::take(&mut first) { Ok(()) } else { f.write_char('\n') };
        for (name, set) in &self.sets {
            gap(f)?;
            write_set(f, name, set)?;
        }
        for (name, chain) in &self.chains {
            gap(f)?;
            write_chain(f, name, chain)?;
        }
        writeln!(f, "}}")
    }
}

fn write_set(f: &mut fmt::Formatter<'_>, name: &str, set: &Set) -> fmt::Result {
    writeln!(f, "\t{} {name} {{", if set.data.is_some() { "map" } else { "set" })?;
    let typeof_ = set.key.contains(&Type::Slot);
    write!(f, "\t\t{} {}", if typeof_ { "typeof" } else { "type" }, types(&set.key, typeof_))?;
    match &set.data {
        Some(DataType::Verdict) => f.write_str(" : verdict\n")?,
        Some(DataType::Values(list)) => writeln!(f, " : {}", types(list, typeof_))?,
        None => f.write_char('\n')?,
    }
    if let Some(size) = set.size {
        writeln!(f, "\t\tsize {size}")?;
    }
    let flags: Vec<&str> = [(set.interval, "interval"), (set.dynamic, "dynamic"), (set.timeout, "timeout")]
        .into_iter()
        .filter_map(|(on, name)| on.then_some(name))
        .collect();
    if !flags.is_empty() {
        writeln!(f, "\t\tflags {}", flags.join(","))?;
    }
    if set.counter {
        writeln!(f, "\t\tcounter")?;
    }
    if let Some(text) = &set.comment {
        writeln!(f, "\t\tcomment \"{text}\"")?;
    }
    let mut lines = set.elements.iter().map(|(key, element)| line(key, element)).peekable();
    if lines.peek().is_some() {
        let lines: Vec<String> = lines.collect();
        writeln!(f, "\t\telements = {{ {} }}", lines.join(",\n\t\t\t     "))?;
    }
    writeln!(f, "\t}}")
}

fn line(key: &[Value], element: &Element) -> String {
    let mut text = match (&element.end, key) {
        (Some(end), [head @ .., Value::Address(low)]) if end[..] != *key => {
            let high = match end.last() {
                Some(Value::Address(high)) => *high,
                _ => *low,
            };
            let network = (0..=32)
                .filter_map(|length| ipnet::Ipv4Net::new(*low, length).ok())
                .find(|network| network.network() == *low && network.broadcast() == high);
            let last = network.map_or(format!("{low}-{high}"), |network| network.to_string());
            if head.is_empty() { last } else { format!("{} . {last}", join(head)) }
        }
        _ => join(key),
    };
    if let Some(timeout) = element.timeout {
        let _ = write!(text, " timeout {}", seconds(timeout.as_secs()));
    }
    if let Some(comment) = &element.comment {
        let _ = write!(text, " comment \"{comment}\"");
    }
    if let Some(data) = &element.data {
        let _ = write!(text, " : {data}");
    }
    text
}

fn write_chain(f: &mut fmt::Formatter<'_>, name: &str, chain: &Chain) -> fmt::Result {
    writeln!(f, "\tchain {name} {{")?;
    if let Some(Base { kind, hook, priority }) = chain.base {
        let kind = match kind {
            ChainKind::Filter => "filter",
            ChainKind::Nat => "nat",
        };
        let hook = match hook {
            Hook::Prerouting => "prerouting",
            Hook::Input => "input",
            Hook::Forward => "forward",
            Hook::Output => "output",
            Hook::Postrouting => "postrouting",
        };
        writeln!(f, "\t\ttype {kind} hook {hook} priority {priority}; policy accept;")?;
    }
    for rule in &chain.rules {
        writeln!(f, "\t\t{rule}")?;
    }
    writeln!(f, "\t}}")
}

/// Things joined as nft joins them.
fn join<T: Display>(list: &[T]) -> String {
    list.iter().map(ToString::to_string).collect::<Vec<_>>().join(" . ")
}

fn types(list: &[Type], typeof_: bool) -> String {
    let name = |each: &Type| match (each, typeof_) {
        (Type::Address, false) => "ipv4_addr",
        (Type::Protocol, false) => "inet_proto",
        (Type::Port, false) => "inet_service",
        (Type::Slot, false) => "integer",
        (Type::Mark, false) => "mark",
        (Type::Link, false) => "ifname",
        (Type::Address, true) => "ip daddr",
        (Type::Protocol, true) => "meta l4proto",
        (Type::Port, true) => "th dport",
        (Type::Slot, true) => "numgen random mod 65536",
        (Type::Mark, true) => "ct mark",
        (Type::Link, true) => "iifname",
    };
    list.iter().map(name).collect::<Vec<_>>().join(" . ")
}

fn bit_names(left: Expression, bits: u32) -> String {
    let names: &[(u32, &str)] = if left == Expression::ConnectionState {
        &[
            (state::INVALID, "invalid"),
            (state::ESTABLISHED, "established"),
            (state::RELATED, "related"),
            (state::NEW, "new"),
        ]
    } else {
        &[(status::SNAT, "snat"), (status::DNAT, "dnat")]
    };
    names.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| *name).collect::<Vec<_>>().join(",")
}

/// nft's way to write a time.
fn seconds(total: u64) -> String {
    let mut text = String::new();
    for (unit, length) in [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)] {
        let count =
            if unit == "d" { total / length } else { total % (length * if unit == "h" { 24 } else { 60 }) / length };
        if count > 0 {
            let _ = write!(text, "{count}{unit}");
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}
