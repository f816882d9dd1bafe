//! The words of a table: values, their types, keys and data. Plain data; must not speak to the kernel.

use std::{fmt, net::Ipv4Addr};

/// A transport protocol's number (IANA), as `meta l4proto` compares it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Protocol(pub u8);

impl Protocol {
    /// ICMP, 1.
    pub const ICMP: Self = Self(1);
    /// TCP, 6.
    pub const TCP: Self = Self(6);
    /// UDP, 17.
    pub const UDP: Self = Self(17);
    /// SCTP, 132.
    pub const SCTP: Self = Self(132);
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ICMP => f.write_str("icmp"),
            Self::TCP => f.write_str("tcp"),
            Self::UDP => f.write_str("udp"),
            Self::SCTP => f.write_str("sctp"),
            Self(number) => write!(f, "{number}"),
        }
    }
}

/// A link's name, at most 15 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LinkName([u8; 16]);

impl LinkName {
    /// The name, or `None` when it is empty or longer than the kernel allows (15 bytes).
    pub fn new(name: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        (1..16).contains(&name.len()).then(|| bytes[..name.len()].copy_from_slice(name.as_bytes()))?;
        Some(Self(bytes))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        let end = self.0.iter().position(|&b| b == 0).unwrap_or(16);
        std::str::from_utf8(&self.0[..end]).unwrap_or("?")
    }

    pub(crate) fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for LinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

/// What one field of a key or of a map's data is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Type {
    /// `ipv4_addr`
    Address,
    /// `inet_proto`
    Protocol,
    /// `inet_service`
    Port,
    /// A number that `numgen` or `jhash` gives; sets with this field are declared by `typeof`.
    Slot,
    /// `mark`
    Mark,
    /// `ifname`
    Link,
}

/// One field of a key or of a map's data.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Value {
    /// An IPv4 address.
    Address(Ipv4Addr),
    /// A transport protocol.
    Protocol(Protocol),
    /// A transport port.
    Port(u16),
    /// A drawn number.
    Slot(u32),
    /// A packet or connection mark.
    Mark(u32),
    /// A link's name.
    Link(LinkName),
}

impl Value {
    /// The field's type.
    pub fn type_(&self) -> Type {
        match self {
            Self::Address(_) => Type::Address,
            Self::Protocol(_) => Type::Protocol,
            Self::Port(_) => Type::Port,
            Self::Slot(_) => Type::Slot,
            Self::Mark(_) => Type::Mark,
            Self::Link(_) => Type::Link,
        }
    }
}

impl From<Ipv4Addr> for Value {
    fn from(address: Ipv4Addr) -> Self {
        Self::Address(address)
    }
}

impl From<Protocol> for Value {
    fn from(protocol: Protocol) -> Self {
        Self::Protocol(protocol)
    }
}

impl From<u16> for Value {
    fn from(port: u16) -> Self {
        Self::Port(port)
    }
}

/// A key: one value, or several joined (`a . b . c`).
pub type Key = Vec<Value>;

/// What becomes of the packet, or where the walk goes on.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Verdict {
    /// Let the packet pass this hook's chain.
    Accept,
    /// Throw the packet away without a word.
    Drop,
    /// Go back to the calling chain.
    Return,
    /// Walk the named chain, then come back.
    Jump(String),
    /// Walk the named chain, without coming back here.
    Goto(String),
}

impl Verdict {
    /// The chain that the verdict leads to.
    pub fn chain(&self) -> Option<&str> {
        match self {
            Self::Jump(chain) | Self::Goto(chain) => Some(chain),
            _ => None,
        }
    }
}

/// What a map answers for a key.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Data {
    /// Values (an address and a port, a mark).
    Values(Vec<Value>),
    /// A verdict.
    Verdict(Verdict),
}
