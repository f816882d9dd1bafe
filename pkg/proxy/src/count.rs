//! Reads how often each service was connected to on a node. Must not change anything.

use std::net::Ipv4Addr;

use minisvc_kernel::nft::{Connection, Family, ListedElement, Protocol, Set, Type, Value};

use crate::{
    chains::{TABLE, set},
    service::Frontend,
};

/// How often a frontend was connected to on this node since the table was made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectionCount {
    /// The address, protocol and port.
    pub frontend: Frontend,
    /// `namespace/name:port` of the service, or `hostport namespace/name` of a pod.
    pub owner: String,
    /// New connections, also refused ones.
    pub connections: u64,
}

/// The counts of all services on the node whose namespace `connection` lives in. Endpoints that come and go do not
/// reset them; a replaced table does.
///
/// # Errors
/// When the table is not there or the kernel refuses to list it.
pub fn connections(connection: &mut Connection) -> minisvc_kernel::Result<Vec<ConnectionCount>> {
    let shape = Set::new([Type::Address, Type::Protocol, Type::Port]);
    let listed = connection.elements(Family::Ip, TABLE, set::CONNECTIONS, &shape)?;
    Ok(listed.into_iter().filter_map(count).collect())
}

fn count(listed: ListedElement) -> Option<ConnectionCount> {
    let (address, protocol, port): (Ipv4Addr, Protocol, u16) = match listed.key[..] {
        [Value::Address(address), Value::Protocol(protocol), Value::Port(port)] => (address, protocol, port),
        _ => return None,
    };
    let (connections, _) = listed.counter?;
    let frontend = Frontend { address, protocol, port };
    Some(ConnectionCount { frontend, owner: listed.element.comment.unwrap_or_default(), connections })
}
