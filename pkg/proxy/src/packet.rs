//! A packet, its way and its end, as the tracer tells them. Plain data.

use std::{fmt, net::Ipv4Addr};

use minisvc_kernel::nft::{LinkName, Protocol};

/// Where a packet enters the node's rules.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum From {
    /// It arrives over a link.
    Link,
    /// A process of the node sends it.
    Here,
}

/// The first packet of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Packet {
    /// Where it enters.
    pub from: From,
    /// Its source address.
    pub source: Ipv4Addr,
    /// Its source port.
    pub source_port: u16,
    /// Its destination address.
    pub destination: Ipv4Addr,
    /// Its destination port.
    pub port: u16,
    /// Its transport protocol.
    pub protocol: Protocol,
    /// The link that it arrives over, where a rule asks.
    pub link: Option<LinkName>,
}

/// What becomes of a packet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Outcome {
    /// It goes on to this address and port, and shows this source address there.
    Delivered {
        /// The address that it reaches.
        address: Ipv4Addr,
        /// The port there.
        port: u16,
        /// The source address that is seen there.
        source: Ipv4Addr,
        /// Whether a rule changed its destination.
        translated: bool,
    },
    /// The sender is told at once that nobody is there.
    Rejected,
    /// Silence.
    Dropped,
}

/// A packet's way, step by step, and how it ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trace {
    /// The rules that matched, in nft's words, each with its chain.
    pub steps: Vec<String>,
    /// The end.
    pub outcome: Outcome,
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| writeln!(f, "{step}"))?;
        write!(f, "{:?}", self.outcome)
    }
}
