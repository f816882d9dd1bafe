//! The packet tracer: walks a connection's first packet through a table, the very value that goes to the kernel, and
//! tells each step and the outcome. Must never decide anything by itself that a rule does not say.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use minisvc_kernel::nft::{
    Chain, Data, Element, Expression, FibOf, Hook, Key, MarkOf, MarkSource, NatTo, Protocol, Reject, Rule, Set,
    Statement, Table, UpdateKind, Value, Verdict, state, status,
};

use crate::packet::{From, Outcome, Packet, Trace};

/// How deep chains may call each other, as in the kernel.
const DEPTH: usize = 16;

/// A table to walk through, with what its dynamic sets have learnt.
pub struct Tracer<'a> {
    table: &'a Table,
    local: BTreeSet<Ipv4Addr>,
    learnt: BTreeMap<(String, Key), Element>,
}

impl<'a> Tracer<'a> {
    /// A tracer for a table on a node that has these addresses (loopback is always there).
    pub fn new(table: &'a Table, local: impl IntoIterator<Item = Ipv4Addr>) -> Self {
        Self { table, local: local.into_iter().collect(), learnt: BTreeMap::new() }
    }

    /// Walks one packet. `dice` answers each draw with a number below the given one.
    pub fn trace(&mut self, packet: &Packet, dice: &mut dyn FnMut(u32) -> u32) -> Trace {
        let mut walk = Walk {
            tracer: self,
            packet: *packet,
            original: *packet,
            mark: 0,
            connection_mark: 0,
            status: 0,
            dice,
            steps: Vec::new(),
        };
        let end = walk.hooks();
        let now = walk.packet;
        let outcome = match end {
            End::Accept => Outcome::Delivered {
                address: now.destination,
                port: now.port,
                source: now.source,
                translated: walk.status & status::DNAT != 0,
            },
            End::Reject => Outcome::Rejected,
            End::Drop => Outcome::Dropped,
        };
        Trace { steps: walk.steps, outcome }
    }

    /// Every outcome that the dice can lead to, from the same memory; nothing is learnt.
    pub fn outcomes(&mut self, packet: &Packet) -> BTreeSet<Outcome> {
        let memory = self.learnt.clone();
        let mut outcomes = BTreeSet::new();
        // Each run follows a list of draws; the last draw that has another face left is turned for the next run.
        let mut draws: Vec<(u32, u32)> = Vec::new();
        loop {
            self.learnt.clone_from(&memory);
            let mut at = 0;
            let mut dice = |faces: u32| {
                if at == draws.len() {
                    draws.push((0, faces));
                }
                at += 1;
                draws[at - 1].0
            };
            outcomes.insert(self.trace(packet, &mut dice).outcome);
            while draws.last().is_some_and(|(face, faces)| face + 1 >= *faces) {
                draws.pop();
            }
            match draws.last_mut() {
                Some((face, _)) => *face += 1,
                None => break,
            }
        }
        self.learnt = memory;
        outcomes
    }
}

/// How a hook ends for the packet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Accept,
    Reject,
    Drop,
}

/// How a rule or chain ends: on with the next one, back to the caller, or for good.
enum Flow {
    Next,
    Return,
    End(End),
}

struct Walk<'t, 'a, 'd> {
    tracer: &'t mut Tracer<'a>,
    packet: Packet,
    original: Packet,
    mark: u32,
    connection_mark: u32,
    status: u32,
    dice: &'d mut dyn FnMut(u32) -> u32,
    steps: Vec<String>,
}

impl Walk<'_, '_, '_> {
    fn hooks(&mut self) -> End {
        let first = if self.packet.from == From::Here { Hook::Output } else { Hook::Prerouting };
        if let end @ (End::Reject | End::Drop) = self.hook(first) {
            return end;
        }
        if self.packet.from == From::Link {
            let next = if self.is_local(self.packet.destination) { Hook::Input } else { Hook::Forward };
            let end = self.hook(next);
            if next == Hook::Input || end != End::Accept {
                return end;
            }
        }
        self.hook(Hook::Postrouting)
    }

    fn hook(&mut self, hook: Hook) -> End {
        let table = self.tracer.table;
        let mut chains: Vec<(i32, &String, &Chain)> = table
            .chains
            .iter()
            .filter_map(|(name, chain)| chain.base.filter(|b| b.hook == hook).map(|b| (b.priority, name, chain)))
            .collect();
        chains.sort_by_key(|(priority, ..)| *priority);
        for (_, name, chain) in chains {
            if let Flow::End(end @ (End::Reject | End::Drop)) = self.chain(name, chain, 0) {
                return end;
            }
        }
        End::Accept
    }

    fn chain(&mut self, name: &str, chain: &Chain, depth: usize) -> Flow {
        for rule in &chain.rules {
            match self.rule(name, rule, depth) {
                Flow::Next => {}
                end => return end,
            }
        }
        Flow::Next
    }

    fn rule(&mut self, chain: &str, rule: &Rule, depth: usize) -> Flow {
        let noted = self.steps.len();
        self.steps.push(format!("{chain}: {rule}"));
        for statement in &rule.statements {
            match self.statement(statement, depth) {
                Some(Flow::Next) => {}
                Some(end) => return end,
                None => {
                    // The rule stopped: no step, unless what it did before is seen by later rules.
                    self.steps.truncate(noted);
                    return Flow::Next;
                }
            }
        }
        Flow::Next
    }

    /// `None` where the rule stops because a comparison fails or a map has no answer.
    fn statement(&mut self, statement: &Statement, depth: usize) -> Option<Flow> {
        let matched = |yes: bool| yes.then_some(Flow::Next);
        match statement {
            Statement::Compare { left, negate, right } => matched((self.load(*left) == *right) != *negate),
            Statement::InNetwork { left, negate, network } => match self.load(*left) {
                Value::Address(address) => matched(network.contains(&address) != *negate),
                _ => None,
            },
            Statement::Masked { left, mask, value } => matched(self.number(*left) & mask == *value),
            Statement::AnyBit { left, bits } => matched(self.number(*left) & bits != 0),
            Statement::Local { of, negate } => {
                let address = if *of == FibOf::Source { self.packet.source } else { self.packet.destination };
                matched(self.is_local(address) != *negate)
            }
            Statement::Member { key, set, negate } => {
                let key = self.key(key);
                matched(self.find(set, &key).is_some() != *negate)
            }
            Statement::VerdictMap { key, map } => {
                let key = self.key(key);
                match self.find(map, &key) {
                    Some(Element { data: Some(Data::Verdict(verdict)), .. }) => Some(self.verdict(&verdict, depth)),
                    _ => None,
                }
            }
            Statement::SetMark { of, to } => {
                let value = match to {
                    MarkSource::Value(value) => *value,
                    MarkSource::Expression(expression) => self.number(*expression),
                    MarkSource::Map { key, map } => match self.answer(key, map)?.first()? {
                        Value::Mark(number) | Value::Slot(number) => *number,
                        _ => return None,
                    },
                };
                match of {
                    MarkOf::Packet => self.mark = value,
                    MarkOf::Connection => self.connection_mark = value,
                }
                Some(Flow::Next)
            }
            Statement::Update { kind, set, key, timeout, data } => {
                let place = (set.clone(), self.key(key));
                let answer = data.map(|data| Data::Values(vec![self.load(data)]));
                let element = Element { data: answer, timeout: *timeout, ..Element::default() };
                match kind {
                    UpdateKind::Delete => {
                        self.tracer.learnt.remove(&place);
                    }
                    UpdateKind::Add | UpdateKind::Update => {
                        self.tracer.learnt.entry(place).or_insert(element);
                    }
                }
                Some(Flow::Next)
            }
            Statement::Dnat(to) => {
                let (address, port) = self.target(to)?;
                self.packet.destination = address;
                self.packet.port = port.unwrap_or(self.packet.port);
                self.status |= status::DNAT;
                Some(Flow::End(End::Accept))
            }
            Statement::Snat { to, .. } => {
                let (address, _) = self.target(to)?;
                self.packet.source = address;
                self.status |= status::SNAT;
                Some(Flow::End(End::Accept))
            }
            Statement::Masquerade { .. } => {
                self.packet.source = self.tracer.local.first().copied().unwrap_or(self.packet.source);
                self.status |= status::SNAT;
                Some(Flow::End(End::Accept))
            }
            Statement::Reject(Reject::PortUnreachable | Reject::TcpReset) => Some(Flow::End(End::Reject)),
            Statement::Counter => Some(Flow::Next),
            Statement::Verdict(verdict) => Some(self.verdict(verdict, depth)),
        }
    }

    fn verdict(&mut self, verdict: &Verdict, depth: usize) -> Flow {
        let walk = |this: &mut Self, name: &String| match this.tracer.table.chains.get(name) {
            Some(chain) if depth < DEPTH => this.chain(name, chain, depth + 1),
            _ => Flow::End(End::Drop),
        };
        match verdict {
            Verdict::Accept => Flow::End(End::Accept),
            Verdict::Drop => Flow::End(End::Drop),
            Verdict::Return => Flow::Return,
            Verdict::Jump(name) => match walk(self, name) {
                Flow::End(end) => Flow::End(end),
                Flow::Next | Flow::Return => Flow::Next,
            },
            Verdict::Goto(name) => match walk(self, name) {
                Flow::End(end) => Flow::End(end),
                Flow::Next | Flow::Return => Flow::Return,
            },
        }
    }

    fn target(&mut self, to: &NatTo) -> Option<(Ipv4Addr, Option<u16>)> {
        match to {
            NatTo::Fixed { address, port } => Some((*address, *port)),
            NatTo::Map { key, map } => match self.answer(key, map)?[..] {
                [Value::Address(address), Value::Port(port)] => Some((address, Some(port))),
                _ => None,
            },
        }
    }

    fn answer(&mut self, key: &[Expression], map: &str) -> Option<Vec<Value>> {
        let key = self.key(key);
        match self.find(map, &key)?.data? {
            Data::Values(values) => Some(values),
            Data::Verdict(_) => None,
        }
    }

    fn find(&self, name: &str, key: &Key) -> Option<Element> {
        let set: &Set = self.tracer.table.sets.get(name)?;
        if set.dynamic {
            return self.tracer.learnt.get(&(name.to_owned(), key.clone())).cloned();
        }
        if !set.interval {
            return set.elements.get(key).cloned();
        }
        let within = |low: &Key, high: &Key| {
            low.len() == key.len() && (0..key.len()).all(|i| low[i] <= key[i] && key[i] <= high[i])
        };
        let mut all = set.elements.iter();
        all.find(|(low, element)| within(low, element.end.as_ref().unwrap_or(low))).map(|(_, e)| e.clone())
    }

    fn key(&mut self, expressions: &[Expression]) -> Key {
        expressions.iter().map(|expression| self.load(*expression)).collect()
    }

    fn number(&mut self, expression: Expression) -> u32 {
        match self.load(expression) {
            Value::Mark(number) | Value::Slot(number) => number,
            _ => 0,
        }
    }

    fn load(&mut self, expression: Expression) -> Value {
        match expression {
            Expression::SourceAddress => self.packet.source.into(),
            Expression::DestinationAddress => self.packet.destination.into(),
            Expression::TransportProtocol => self.packet.protocol.into(),
            Expression::SourcePort => self.packet.source_port.into(),
            Expression::DestinationPort => self.packet.port.into(),
            Expression::InputLink | Expression::OutputLink => Value::Link(self.packet.link.unwrap_or_default()),
            Expression::Mark => Value::Mark(self.mark),
            Expression::NetworkProtocol => Protocol(2).into(),
            Expression::ConnectionMark => Value::Mark(self.connection_mark),
            Expression::ConnectionState => Value::Mark(state::NEW),
            Expression::ConnectionStatus => Value::Mark(self.status),
            Expression::OriginalSource => self.original.source.into(),
            Expression::OriginalDestination => self.original.destination.into(),
            Expression::OriginalDestinationPort => self.original.port.into(),
            Expression::Random { modulus, offset }
            | Expression::Hashed { modulus, offset }
            | Expression::HashedSource { modulus, offset } => Value::Slot(offset + (self.dice)(modulus)),
        }
    }

    fn is_local(&self, address: Ipv4Addr) -> bool {
        address.is_loopback() || self.tracer.local.contains(&address)
    }
}
