//! The kernel's table of connections: read it, and forget entries, over netlink. Must not decide which ones.

use std::{net::Ipv4Addr, time::Duration};

use crate::{
    Error, Netns, Result,
    nft::{
        Protocol,
        attribute::{Attributes, Writer, flag},
        netlink::Netlink,
    },
};

/// Numbers of linux/netfilter/nfnetlink_conntrack.h.
mod number {
    pub(super) const SUBSYSTEM: u16 = 1 << 8;
    pub(super) const GET: u16 = 1;
    pub(super) const DELETE: u16 = 2;
    pub(super) const ORIGINAL: u16 = 1;
    pub(super) const REPLY: u16 = 2;
    pub(super) const STATUS: u16 = 3;
    pub(super) const PROTOCOL_INFO: u16 = 4;
    pub(super) const TIMEOUT: u16 = 7;
    pub(super) const MARK: u16 = 8;
    pub(super) const ID: u16 = 12;
    pub(super) const TUPLE_ADDRESSES: u16 = 1;
    pub(super) const TUPLE_PROTOCOL: u16 = 2;
    pub(super) const SOURCE: u16 = 1;
    pub(super) const DESTINATION: u16 = 2;
    pub(super) const PROTOCOL_NUMBER: u16 = 1;
    pub(super) const SOURCE_PORT: u16 = 2;
    pub(super) const DESTINATION_PORT: u16 = 3;
    pub(super) const TCP: u16 = 1;
    pub(super) const TCP_STATE: u16 = 1;
}

/// One direction of a connection, as its packets look on arrival.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Direction {
    /// Source address.
    pub source: Ipv4Addr,
    /// Destination address.
    pub destination: Ipv4Addr,
    /// Source port; 0 for protocols without ports.
    pub source_port: u16,
    /// Destination port; 0 for protocols without ports.
    pub destination_port: u16,
}

/// A connection that the kernel tracks. Where addresses are translated, the reply is not the mirrored original.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flow {
    /// Transport protocol.
    pub protocol: Protocol,
    /// Packets from the side that began: to the address that it asked for.
    pub original: Direction,
    /// Packets back: from the side that really answers.
    pub reply: Direction,
    /// Bits of `ct status` (see [`crate::nft::status`]; 2 is "replied", 8 is "confirmed").
    pub status: u32,
    /// How long the entry lives without packets.
    pub timeout: Option<Duration>,
    /// The connection's mark.
    pub mark: u32,
    /// The kernel's number of this entry.
    pub id: u32,
    /// The kernel's number of the TCP state (3 established, 7 time wait), for TCP.
    pub tcp_state: Option<u8>,
}

/// A netfilter socket inside one network namespace, for its table of connections.
pub struct Conntrack {
    netlink: Netlink,
}

impl Conntrack {
    /// Opens a socket inside `namespace`; it may then be used from any thread.
    ///
    /// # Errors
    /// When the namespace cannot be entered or netfilter sockets are refused.
    pub fn open(namespace: &Netns) -> Result<Self> {
        Ok(Self { netlink: Netlink::open(namespace)? })
    }

    /// All IPv4 connections.
    ///
    /// # Errors
    /// When the kernel refuses the dump.
    pub fn flows(&mut self) -> Result<Vec<Flow>> {
        self.netlink
            .dump(
                |sequence| request(number::GET, flag::DUMP, sequence, |_| {}),
                |reply, flows| flows.extend(flow(reply.attributes())),
            )
            .map_err(|cause| Error::new("list", "tracked connections", cause))
    }

    /// Forgets one connection; the next packet of it is a new one to the kernel. One that is gone already is fine.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn forget(&mut self, flow: &Flow) -> Result<()> {
        let build = |sequence| {
            request(number::DELETE, flag::ACK, sequence, |out| {
                direction(out, number::ORIGINAL, flow.protocol, &flow.original);
                out.put_u32(number::ID, flow.id);
            })
        };
        match self.netlink.ask(build, |_| {}) {
            Err(cause) if cause.raw_os_error() != Some(libc::ENOENT) => {
                let to = flow.original;
                let target = format!("{} connection to {}:{}", flow.protocol, to.destination, to.destination_port);
                Err(Error::new("forget", target, cause))
            }
            _ => Ok(()),
        }
    }

    /// Forgets the connections that `stale` says yes to; how many they were.
    ///
    /// # Errors
    /// When the kernel refuses the dump or one deletion.
    pub fn forget_where(&mut self, stale: impl Fn(&Flow) -> bool) -> Result<usize> {
        let flows: Vec<Flow> = self.flows()?.into_iter().filter(stale).collect();
        flows.iter().try_for_each(|flow| self.forget(flow))?;
        Ok(flows.len())
    }
}

fn request(kind: u16, flags: u16, sequence: u32, body: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut out = Writer::default();
    let mark = out.start(number::SUBSYSTEM | kind, flags, sequence, libc::AF_INET as u8, 0);
    body(&mut out);
    out.finish(mark);
    out.bytes
}

fn direction(out: &mut Writer, kind: u16, protocol: Protocol, tuple: &Direction) {
    out.nest(kind, |out| {
        out.nest(number::TUPLE_ADDRESSES, |out| {
            out.put(number::SOURCE, &tuple.source.octets());
            out.put(number::DESTINATION, &tuple.destination.octets());
        });
        out.nest(number::TUPLE_PROTOCOL, |out| {
            out.put(number::PROTOCOL_NUMBER, &[protocol.0]);
            out.put(number::SOURCE_PORT, &tuple.source_port.to_be_bytes());
            out.put(number::DESTINATION_PORT, &tuple.destination_port.to_be_bytes());
        });
    });
}

fn flow(attributes: Attributes<'_>) -> Option<Flow> {
    let (protocol, original) = tuple(attributes.inside(number::ORIGINAL)?)?;
    let (_, reply) = tuple(attributes.inside(number::REPLY)?)?;
    let tcp_state = attributes
        .inside(number::PROTOCOL_INFO)
        .and_then(|info| info.inside(number::TCP)?.get(number::TCP_STATE)?.first().copied());
    Some(Flow {
        protocol,
        original,
        reply,
        status: attributes.u32(number::STATUS).unwrap_or_default(),
        timeout: attributes.u32(number::TIMEOUT).map(|seconds| Duration::from_secs(seconds.into())),
        mark: attributes.u32(number::MARK).unwrap_or_default(),
        id: attributes.u32(number::ID).unwrap_or_default(),
        tcp_state,
    })
}

fn tuple(attributes: Attributes<'_>) -> Option<(Protocol, Direction)> {
    let addresses = attributes.inside(number::TUPLE_ADDRESSES)?;
    let transport = attributes.inside(number::TUPLE_PROTOCOL)?;
    let address = |kind| Some(Ipv4Addr::from(<[u8; 4]>::try_from(addresses.get(kind)?).ok()?));
    let port = |kind| {
        let bytes = transport.get(kind).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u16::from_be_bytes)
    };
    let protocol = Protocol(*transport.get(number::PROTOCOL_NUMBER)?.first()?);
    let direction = Direction {
        source: address(number::SOURCE)?,
        destination: address(number::DESTINATION)?,
        source_port: port(number::SOURCE_PORT),
        destination_port: port(number::DESTINATION_PORT),
    };
    Some((protocol, direction))
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use minisvc_testkit::isolated;

    use super::*;
    use crate::nft::{
        Base, Chain, ChainKind, Connection, Expression, Family, Hook, NatTo, Rule, Statement, Table, Transaction,
        status,
    };

    #[test]
    fn flows_are_listed_and_forgotten() {
        isolated(|| {
            let here = Netns::current().unwrap();
            let mut table = Table::new(Family::Ip, "try");
            let base = Some(Base { kind: ChainKind::Nat, hook: Hook::Output, priority: -100 });
            let rule = Rule::new([
                Statement::Compare { left: Expression::TransportProtocol, negate: false, right: Protocol::UDP.into() },
                Statement::Compare { left: Expression::DestinationPort, negate: false, right: 53.into() },
                Statement::Dnat(NatTo::Fixed { address: Ipv4Addr::new(127, 0, 0, 2), port: Some(5353) }),
            ]);
            table.chains.insert("out".into(), Chain { base, rules: vec![rule] });
            Connection::open(&here).unwrap().commit(&Transaction::replace(&table)).unwrap();

            let server = UdpSocket::bind("127.0.0.2:5353").unwrap();
            let client = UdpSocket::bind("127.0.0.1:4000").unwrap();
            client.send_to(b"?", "127.0.0.1:53").unwrap();
            let mut buffer = [0; 8];
            let (_, from) = server.recv_from(&mut buffer).unwrap();
            server.send_to(b"!", from).unwrap();
            client.recv_from(&mut buffer).unwrap();

            let mut conntrack = Conntrack::open(&here).unwrap();
            let flows = conntrack.flows().unwrap();
            let flow = flows.iter().find(|flow| flow.original.destination_port == 53).expect("our flow is tracked");
            assert_eq!(flow.protocol, Protocol::UDP);
            assert_eq!(flow.original.source_port, 4000);
            assert_eq!((flow.reply.source, flow.reply.source_port), (Ipv4Addr::new(127, 0, 0, 2), 5353));
            assert_ne!(flow.status & status::DNAT, 0);
            let to_server = |flow: &Flow| flow.reply.source == Ipv4Addr::new(127, 0, 0, 2);
            assert_eq!(conntrack.forget_where(to_server).unwrap(), 1);
            assert!(!conntrack.flows().unwrap().iter().any(to_server));
            conntrack.forget(flow).unwrap();
        });
    }
}
