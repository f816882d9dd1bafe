//! Which address a load balancer gets. Pure.

use std::{collections::BTreeSet, net::Ipv4Addr};

use ipnet::Ipv4Net;

/// Why a service gets no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAddress {
    /// The address asked for is not one of ours.
    #[error("requested address {0} is not in the load balancers' range {1}")]
    OutOfRange(Ipv4Addr, Ipv4Net),
    /// Another service has it.
    #[error("requested address {0} is in use by another service")]
    Taken(Ipv4Addr),
    /// All are given out.
    #[error("no free address is left in {0}")]
    Exhausted(Ipv4Net),
}

/// The address for one more service: the requested one, or the lowest free host address of `range`.
///
/// # Errors
/// When the requested one cannot be had, or none is free.
pub fn allocate(range: Ipv4Net, used: &BTreeSet<Ipv4Addr>, requested: Option<Ipv4Addr>) -> Result<Ipv4Addr, NoAddress> {
    if let Some(address) = requested {
        let host = range.contains(&address)
            && (range.prefix_len() > 30 || (address != range.network() && address != range.broadcast()));
        return match (host, used.contains(&address)) {
            (false, _) => Err(NoAddress::OutOfRange(address, range)),
            (true, true) => Err(NoAddress::Taken(address)),
            (true, false) => Ok(address),
        };
    }
    range.hosts().find(|address| !used.contains(address)).ok_or(NoAddress::Exhausted(range))
}
