//! What rules are made of: expressions that load a field and statements that decide or act. Plain data.

use std::{net::Ipv4Addr, time::Duration};

use ipnet::Ipv4Net;

use super::value::{Value, Verdict};

/// Something that is read from the packet, its connection or the dice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Expression {
    /// `ip saddr`
    SourceAddress,
    /// `ip daddr`
    DestinationAddress,
    /// `meta l4proto`
    TransportProtocol,
    /// `th sport`
    SourcePort,
    /// `th dport`
    DestinationPort,
    /// `iifname`
    InputLink,
    /// `oifname`
    OutputLink,
    /// `meta mark`
    Mark,
    /// `meta nfproto`; compare with `Value::Protocol(Protocol(2))` for IPv4 in tables of family inet.
    NetworkProtocol,
    /// `ct mark`
    ConnectionMark,
    /// `ct state`, bits of [`state`].
    ConnectionState,
    /// `ct status`, bits of [`status`].
    ConnectionStatus,
    /// `ct original ip saddr`
    OriginalSource,
    /// `ct original ip daddr`
    OriginalDestination,
    /// `ct original proto-dst`
    OriginalDestinationPort,
    /// `numgen random mod MODULUS offset OFFSET`
    Random {
        /// How many faces the dice has.
        modulus: u32,
        /// What is added to the face.
        offset: u32,
    },
    /// `jhash ip saddr . th sport mod MODULUS offset OFFSET`: a number that one client socket always gets.
    Hashed {
        /// How many numbers there are.
        modulus: u32,
        /// What is added to the number.
        offset: u32,
    },
    /// `jhash ip saddr mod MODULUS offset OFFSET`: a number that one client always gets.
    HashedSource {
        /// How many numbers there are.
        modulus: u32,
        /// What is added to the number.
        offset: u32,
    },
}

/// Bits of `ct state` (include/net/netfilter/nf_tables.h, `NF_CT_STATE_BIT`).
pub mod state {
    /// The packet fits no connection.
    pub const INVALID: u32 = 1;
    /// The packet belongs to a known connection.
    pub const ESTABLISHED: u32 = 2;
    /// The packet starts a connection that belongs to another one, or is an error about one.
    pub const RELATED: u32 = 4;
    /// The packet starts a connection.
    pub const NEW: u32 = 8;
}

/// Bits of `ct status` (linux/netfilter/nf_conntrack_common.h).
pub mod status {
    /// The connection's source is translated.
    pub const SNAT: u32 = 1 << 4;
    /// The connection's destination is translated.
    pub const DNAT: u32 = 1 << 5;
}

/// Which address `fib` looks up.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FibOf {
    /// `fib saddr`
    Source,
    /// `fib daddr`
    Destination,
}

/// Which mark a statement sets.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MarkOf {
    /// `meta mark`, which the packet carries.
    Packet,
    /// `ct mark`, which the connection keeps.
    Connection,
}

/// Where a mark's value comes from.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum MarkSource {
    /// A constant.
    Value(u32),
    /// An expression of four bytes.
    Expression(Expression),
    /// A map's answer; the rule ends here without one.
    Map {
        /// The key's expressions.
        key: Vec<Expression>,
        /// The map's name.
        map: String,
    },
}

/// Where address translation leads.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum NatTo {
    /// A constant address and, if given, port.
    Fixed {
        /// The new address.
        address: Ipv4Addr,
        /// The new port, if it changes.
        port: Option<u16>,
    },
    /// What a map answers with: address and port. The rule ends here without an answer.
    Map {
        /// The key's expressions.
        key: Vec<Expression>,
        /// The map's name; its data is `address . port`.
        map: String,
    },
}

/// How a packet is refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reject {
    /// ICMP port unreachable, the default of nft's `reject` in family ip.
    PortUnreachable,
    /// A TCP reset; only for TCP.
    TcpReset,
}

/// What an update of a dynamic set or map does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum UpdateKind {
    /// Add the element if it is not there.
    Add,
    /// Add the element, or start its time anew.
    Update,
    /// Remove the element.
    Delete,
}

/// One statement of a rule. A comparison that fails ends the rule; what follows is not done.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Statement {
    /// `LEFT == VALUE` or `LEFT != VALUE`.
    Compare {
        /// What is read.
        left: Expression,
        /// `!=` instead of `==`.
        negate: bool,
        /// What it is compared with.
        right: Value,
    },
    /// `ip saddr NET` and its kin.
    InNetwork {
        /// `SourceAddress`, `DestinationAddress` or one of the original ones.
        left: Expression,
        /// `!=` instead of `==`.
        negate: bool,
        /// The network.
        network: Ipv4Net,
    },
    /// `LEFT & MASK == VALUE`, for marks.
    Masked {
        /// What is read; four bytes.
        left: Expression,
        /// Which bits count.
        mask: u32,
        /// What they must be.
        value: u32,
    },
    /// `ct state new,established`, `ct status dnat`: at least one of the bits is set.
    AnyBit {
        /// `ConnectionState` or `ConnectionStatus`.
        left: Expression,
        /// The bits.
        bits: u32,
    },
    /// `fib saddr type local`: the address is one of this namespace's own.
    Local {
        /// Which address.
        of: FibOf,
        /// `!=` instead of `==`.
        negate: bool,
    },
    /// `KEY @SET`. Counts the packet in the element's counter where the set has them.
    Member {
        /// The key's expressions.
        key: Vec<Expression>,
        /// The set's name.
        set: String,
        /// `!=` instead of `==`.
        negate: bool,
    },
    /// `KEY vmap @MAP`: the map's verdict; the rule goes on without an answer.
    VerdictMap {
        /// The key's expressions.
        key: Vec<Expression>,
        /// The map's name.
        map: String,
    },
    /// `meta mark set …`, `ct mark set …`
    SetMark {
        /// Which mark.
        of: MarkOf,
        /// Its new value.
        to: MarkSource,
    },
    /// `update @MAP { KEY timeout T : DATA }`
    Update {
        /// Add, update or delete.
        kind: UpdateKind,
        /// The dynamic set or map.
        set: String,
        /// The key's expressions.
        key: Vec<Expression>,
        /// How long the element lives.
        timeout: Option<Duration>,
        /// A map's data.
        data: Option<Expression>,
    },
    /// `dnat to …`
    Dnat(NatTo),
    /// `snat to …`
    Snat {
        /// The new source.
        to: NatTo,
        /// Draw the source port at random, so that two ends never race for one.
        fully_random: bool,
    },
    /// `masquerade`
    Masquerade {
        /// Draw the source port at random.
        fully_random: bool,
    },
    /// `reject`
    Reject(Reject),
    /// `counter`
    Counter,
    /// `accept`, `drop`, `return`, `jump X`, `goto X`
    Verdict(Verdict),
}
