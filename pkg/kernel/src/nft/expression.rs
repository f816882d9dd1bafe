//! Rules as the kernel's register programs: each statement becomes loads, comparisons and actions over 16 registers of
//! four bytes. The comment above each arm is nft's line for it. Must not allocate anything that outlives a rule.

use super::{
    attribute::Writer,
    encode::{encode_verdict, joined, milliseconds},
    number::data,
    statement::{Expression, FibOf, MarkOf, MarkSource, NatTo, Reject, Statement, UpdateKind},
    table::Rule,
};

const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;

/// Where what is hashed is laid out: past any key.
const HASHED: u32 = 8;

/// A rule's expressions: the kernel's name of each and its attributes as bytes.
pub(crate) fn encode(rule: &Rule) -> Vec<(&'static str, Vec<u8>)> {
    let mut program = Program(Vec::new());
    for statement in &rule.statements {
        program.statement(statement);
    }
    program.0
}

/// The kernel's number for the `slot`th register of four bytes: it lists multiples of 16 bytes by their old names.
fn register(slot: u32) -> u32 {
    if slot.is_multiple_of(4) { 1 + slot / 4 } else { 8 + slot }
}

fn slots(expression: Expression) -> u32 {
    match expression {
        Expression::InputLink | Expression::OutputLink => 4,
        _ => 1,
    }
}

struct Program(Vec<(&'static str, Vec<u8>)>);

impl Program {
    fn push(&mut self, name: &'static str, body: impl FnOnce(&mut Writer)) {
        let mut out = Writer::default();
        body(&mut out);
        self.0.push((name, out.bytes));
    }

    fn payload(&mut self, slot: u32, base: u32, offset: u32, length: u32) {
        self.push("payload", |out| {
            out.put_u32(1, register(slot));
            out.put_u32(2, base);
            out.put_u32(3, offset);
            out.put_u32(4, length);
        });
    }

    fn keyed(&mut self, name: &'static str, slot: u32, key: u32) {
        self.push(name, |out| {
            out.put_u32(1, register(slot));
            out.put_u32(2, key);
        });
    }

    fn original(&mut self, slot: u32, key: u32) {
        self.push("ct", |out| {
            out.put_u32(1, register(slot));
            out.put_u32(2, key);
            out.put(3, &[0]);
        });
    }

    /// Loads an expression at a slot.
    fn load(&mut self, slot: u32, expression: Expression) {
        match expression {
            Expression::SourceAddress => self.payload(slot, NETWORK_HEADER, 12, 4),
            Expression::DestinationAddress => self.payload(slot, NETWORK_HEADER, 16, 4),
            Expression::SourcePort => self.payload(slot, TRANSPORT_HEADER, 0, 2),
            Expression::DestinationPort => self.payload(slot, TRANSPORT_HEADER, 2, 2),
            Expression::Mark => self.keyed("meta", slot, 3),
            Expression::InputLink => self.keyed("meta", slot, 6),
            Expression::OutputLink => self.keyed("meta", slot, 7),
            Expression::NetworkProtocol => self.keyed("meta", slot, 15),
            Expression::TransportProtocol => self.keyed("meta", slot, 16),
            Expression::ConnectionState => self.keyed("ct", slot, 0),
            Expression::ConnectionStatus => self.keyed("ct", slot, 2),
            Expression::ConnectionMark => self.keyed("ct", slot, 3),
            Expression::OriginalSource => self.original(slot, 19),
            Expression::OriginalDestination => self.original(slot, 20),
            Expression::OriginalDestinationPort => self.original(slot, 12),
            Expression::Random { modulus, offset } => self.push("numgen", |out| {
                out.put_u32(1, register(slot));
                out.put_u32(2, modulus);
                out.put_u32(3, 1);
                out.put_u32(4, offset);
            }),
            Expression::Hashed { modulus, offset } => {
                self.load(HASHED, Expression::SourceAddress);
                self.load(HASHED + 1, Expression::SourcePort);
                self.hash(slot, 8, modulus, offset);
            }
            Expression::HashedSource { modulus, offset } => {
                self.load(HASHED, Expression::SourceAddress);
                self.hash(slot, 4, modulus, offset);
            }
        }
    }

    /// A hash of so many bytes from [`HASHED`] on. Without a seed of ours the kernel draws one for each rule.
    fn hash(&mut self, slot: u32, length: u32, modulus: u32, offset: u32) {
        self.push("hash", |out| {
            out.put_u32(1, register(HASHED));
            out.put_u32(2, register(slot));
            out.put_u32(3, length);
            out.put_u32(4, modulus);
            if offset != 0 {
                out.put_u32(6, offset);
            }
            out.put_u32(7, 0);
        });
    }

    /// Loads joined expressions from slot 0 on; the next free slot that starts 16 bytes.
    fn load_key(&mut self, key: &[Expression]) -> u32 {
        let mut slot = 0;
        for expression in key {
            self.load(slot, *expression);
            slot += slots(*expression);
        }
        slot.next_multiple_of(4)
    }

    fn compare(&mut self, slot: u32, negate: bool, bytes: &[u8]) {
        self.push("cmp", |out| {
            out.put_u32(1, register(slot));
            out.put_u32(2, u32::from(negate));
            out.nest_unflagged(3, |out| out.put(data::VALUE, bytes));
        });
    }

    fn mask(&mut self, slot: u32, mask: u32) {
        self.push("bitwise", |out| {
            out.put_u32(1, register(slot));
            out.put_u32(2, register(slot));
            out.put_u32(3, 4);
            out.nest_unflagged(4, |out| out.put(data::VALUE, &mask.to_ne_bytes()));
            out.nest_unflagged(5, |out| out.put(data::VALUE, &[0; 4]));
        });
    }

    fn constant(&mut self, slot: u32, bytes: &[u8]) {
        self.push("immediate", |out| {
            out.put_u32(1, register(slot));
            out.nest_unflagged(2, |out| out.put(data::VALUE, bytes));
        });
    }

    fn lookup(&mut self, set: &str, answer: Option<u32>, negate: bool) {
        self.push("lookup", |out| {
            out.put_text(1, set);
            out.put_u32(2, register(0));
            if let Some(answer) = answer {
                out.put_u32(3, answer);
            }
            if negate {
                out.put_u32(5, 1);
            }
        });
    }

    fn nat(&mut self, source: bool, to: &NatTo, flags: u32) {
        let port = match to {
            NatTo::Fixed { address, port } => {
                self.constant(0, &address.octets());
                if let Some(port) = port {
                    self.constant(1, &port.to_be_bytes());
                }
                port.is_some()
            }
            NatTo::Map { key, map } => {
                self.load_key(key);
                self.lookup(map, Some(register(0)), false);
                true
            }
        };
        self.push("nat", |out| {
            out.put_u32(1, u32::from(!source));
            out.put_u32(2, 2);
            out.put_u32(3, register(0));
            if port {
                out.put_u32(5, register(1));
            }
            if flags != 0 {
                // The kernel adds that addresses (1) and ports (2) are given; said here so that it lists what was sent.
                out.put_u32(7, flags | if port { 3 } else { 1 });
            }
        });
    }

    fn statement(&mut self, statement: &Statement) {
        match statement {
            // ip daddr == 10.96.0.10
            Statement::Compare { left, negate, right } => {
                self.load(0, *left);
                let mut bytes = Vec::new();
                joined(&mut bytes, &[*right]);
                self.compare(0, *negate, &bytes);
            }
            // ip saddr != 10.244.0.0/16
            Statement::InNetwork { left, negate, network } => {
                self.load(0, *left);
                let mask = u32::from(network.netmask());
                if network.prefix_len() < 32 {
                    self.mask(0, u32::from_ne_bytes(mask.to_be_bytes()));
                }
                self.compare(0, *negate, &network.network().octets());
            }
            // meta mark & 0x4000 == 0x4000
            Statement::Masked { left, mask, value } => {
                self.load(0, *left);
                self.mask(0, *mask);
                self.compare(0, false, &value.to_ne_bytes());
            }
            // ct state new
            Statement::AnyBit { left, bits } => {
                self.load(0, *left);
                self.mask(0, *bits);
                self.compare(0, true, &[0; 4]);
            }
            // fib saddr type local (RTN_LOCAL is 2)
            Statement::Local { of, negate } => {
                self.push("fib", |out| {
                    out.put_u32(1, register(0));
                    out.put_u32(2, 3);
                    out.put_u32(3, if *of == FibOf::Source { 1 } else { 2 });
                });
                self.compare(0, *negate, &2u32.to_ne_bytes());
            }
            // ip daddr . meta l4proto . th dport @set
            Statement::Member { key, set, negate } => {
                self.load_key(key);
                self.lookup(set, None, *negate);
            }
            // ip daddr . meta l4proto . th dport vmap @map (register 0 is the verdict)
            Statement::VerdictMap { key, map } => {
                self.load_key(key);
                self.lookup(map, Some(0), false);
            }
            // meta mark set 0x4000
            Statement::SetMark { of, to } => {
                match to {
                    MarkSource::Value(value) => self.constant(0, &value.to_ne_bytes()),
                    MarkSource::Expression(expression) => self.load(0, *expression),
                    MarkSource::Map { key, map } => {
                        self.load_key(key);
                        self.lookup(map, Some(register(0)), false);
                    }
                }
                let (name, source) = match of {
                    MarkOf::Packet => ("meta", 3),
                    MarkOf::Connection => ("ct", 4),
                };
                self.push(name, |out| {
                    out.put_u32(2, 3);
                    out.put_u32(source, register(0));
                });
            }
            // update @map { ip saddr . ip daddr timeout 10s : ct mark }
            Statement::Update { kind, set, key, timeout, data } => {
                let free = self.load_key(key);
                if let Some(expression) = data {
                    self.load(free, *expression);
                }
                self.push("dynset", |out| {
                    out.put_text(1, set);
                    let operation = match kind {
                        UpdateKind::Add => 0,
                        UpdateKind::Update => 1,
                        UpdateKind::Delete => 2,
                    };
                    out.put_u32(3, operation);
                    out.put_u32(4, register(0));
                    if data.is_some() {
                        out.put_u32(5, register(free));
                    }
                    if let Some(timeout) = timeout {
                        out.put_u64(6, milliseconds(*timeout));
                    }
                });
            }
            // dnat to 10.244.1.11:80
            Statement::Dnat(to) => self.nat(false, to, 0),
            // snat to 172.30.0.11 fully-random (NF_NAT_RANGE_PROTO_RANDOM_FULLY)
            Statement::Snat { to, fully_random } => self.nat(true, to, if *fully_random { 0x10 } else { 0 }),
            // masquerade
            Statement::Masquerade { fully_random } => self.push("masq", |out| {
                if *fully_random {
                    out.put_u32(1, 0x10);
                }
            }),
            // reject
            Statement::Reject(kind) => self.push("reject", |out| match kind {
                Reject::PortUnreachable => {
                    out.put_u32(1, 0);
                    out.put(2, &[3]);
                }
                Reject::TcpReset => out.put_u32(1, 1),
            }),
            // counter
            Statement::Counter => self.push("counter", |_| {}),
            // goto chain
            Statement::Verdict(verdict) => self.push("immediate", |out| {
                out.put_u32(1, 0);
                out.nest_unflagged(2, |out| encode_verdict(out, verdict));
            }),
        }
    }
}
