//! What the kernel reports about links, addresses and routes, in the room's words. Pure.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_route::{
    address::{AddressAttribute, AddressMessage, AddressScope},
    link::{LinkAttribute, LinkFlags, LinkInfo as Detail, LinkMessage},
    route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteScope},
};

use super::{AddressInfo, LinkInfo, Route, RouteInfo, Scope};

pub(super) fn link_info(message: LinkMessage) -> LinkInfo {
    let flags = message.header.flags;
    let mut info = LinkInfo {
        index: message.header.index,
        name: String::new(),
        up: flags.contains(LinkFlags::Up),
        carrier: flags.contains(LinkFlags::LowerUp),
        kind: None,
        master: None,
        peer: None,
        hardware_address: Vec::new(),
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => info.name = name,
            LinkAttribute::Link(index) => info.peer = Some(index),
            LinkAttribute::Controller(index) => info.master = Some(index),
            LinkAttribute::Address(address) => info.hardware_address = address,
            LinkAttribute::LinkInfo(details) => {
                info.kind = details.iter().find_map(|detail| match detail {
                    Detail::Kind(kind) => Some(kind.to_string()),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    info
}

pub(super) fn address_info(message: &AddressMessage, links: &[LinkInfo]) -> Option<AddressInfo> {
    let mut address = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(local) => address = Some(*local),
            AddressAttribute::Address(other) if address.is_none() => address = Some(*other),
            _ => {}
        }
    }
    Some(AddressInfo {
        device: device_name(message.header.index, links)?,
        address: IpNet::new(address?, message.header.prefix_len).ok()?,
        scope: match message.header.scope {
            AddressScope::Link => Scope::Link,
            AddressScope::Host => Scope::Host,
            _ => Scope::Universe,
        },
    })
}

pub(super) fn route_info(message: &RouteMessage, links: &[LinkInfo]) -> Option<RouteInfo> {
    let mut table = u32::from(message.header.table);
    let mut destination = None;
    let mut info = RouteInfo {
        route: Route {
            destination: IpNet::default(),
            gateway: None,
            device: None,
            source: None,
            scope: match message.header.scope {
                RouteScope::Link => Scope::Link,
                RouteScope::Host => Scope::Host,
                _ => Scope::Universe,
            },
        },
        metric: 0,
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(number) => table = *number,
            RouteAttribute::Destination(address) => destination = ip(address),
            RouteAttribute::Gateway(address) => info.route.gateway = ip(address),
            RouteAttribute::PrefSource(address) => info.route.source = ip(address),
            RouteAttribute::Oif(index) => info.route.device = device_name(*index, links),
            RouteAttribute::Priority(metric) => info.metric = *metric,
            _ => {}
        }
    }
    if table != u32::from(RouteHeader::RT_TABLE_MAIN) {
        return None;
    }
    let network = destination.unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED));
    info.route.destination = IpNet::new(network, message.header.destination_prefix_length).ok()?;
    Some(info)
}

fn device_name(index: u32, links: &[LinkInfo]) -> Option<String> {
    links.iter().find(|link| link.index == index).map(|link| link.name.clone())
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}
