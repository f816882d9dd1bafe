//! Links, addresses and routes of one network namespace, over rtnetlink. The socket is opened inside the namespace
//! once; no thread stays there. Must be the only place that names rtnetlink's types.
//!
//! An open socket keeps its namespace, and so its links, alive: drop [`Links`] when the namespace is to vanish.

mod report;

use std::{
    net::IpAddr,
    os::fd::{AsRawFd, FromRawFd, IntoRawFd},
};

use futures::{StreamExt, TryStreamExt};
use ipnet::IpNet;
use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage, AddressScope},
    link::{InfoData, InfoVeth, LinkMessage},
    route::{RouteAddress, RouteAttribute, RouteMessage, RouteScope},
};
use netlink_sys::{AsyncSocket, TokioSocket, protocols::NETLINK_ROUTE};
use rtnetlink::{Handle, LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder};

use self::report::{address_info, link_info, route_info};
use crate::{
    error::{Error, Result},
    namespace::Netns,
};

/// How far an address or a route reaches (rtnetlink(7), `rtm_scope`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Everywhere.
    #[default]
    Universe,
    /// Only on the link; never chosen as source for packets to elsewhere.
    Link,
    /// Only on this machine.
    Host,
}

/// A route of the main table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    /// Where the packets go; 0.0.0.0/0 is the default route.
    pub destination: IpNet,
    /// The next router, where there is one.
    pub gateway: Option<IpAddr>,
    /// The link to send on; may be left to the gateway's route.
    pub device: Option<String>,
    /// The source address that packets of this machine get.
    pub source: Option<IpAddr>,
    /// How far the destination is.
    pub scope: Scope,
}

impl Route {
    /// A route to `destination` through the router `gateway`.
    pub fn via(destination: impl Into<IpNet>, gateway: impl Into<IpAddr>) -> Self {
        Self {
            destination: destination.into(),
            gateway: Some(gateway.into()),
            device: None,
            source: None,
            scope: Scope::Universe,
        }
    }

    /// A route to `destination` directly on `device`, scope link.
    pub fn on_link(destination: impl Into<IpNet>, device: impl Into<String>) -> Self {
        Self {
            destination: destination.into(),
            gateway: None,
            device: Some(device.into()),
            source: None,
            scope: Scope::Link,
        }
    }
}

/// A link as the kernel reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkInfo {
    /// Its number in the namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Whether it was set up (IFF_UP); says nothing of the other end.
    pub up: bool,
    /// Whether it can carry packets: up, and the other end too (IFF_LOWER_UP).
    pub carrier: bool,
    /// "veth", "bridge" and so on; nothing for physical links and loopback.
    pub kind: Option<String>,
    /// The number of the bridge that it is a port of.
    pub master: Option<u32>,
    /// For a veth, the number that its other end has in the other namespace.
    pub peer: Option<u32>,
    /// Hardware address in bytes.
    pub hardware_address: Vec<u8>,
}

/// An address as the kernel reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressInfo {
    /// The link's name.
    pub device: String,
    /// The address with its prefix length.
    pub address: IpNet,
    /// Its scope.
    pub scope: Scope,
}

/// A route of the main table as the kernel reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteInfo {
    /// The route in the words used to make one.
    pub route: Route,
    /// Its metric; 0 is preferred over all.
    pub metric: u32,
}

/// The links of one namespace. Clones share one socket.
#[derive(Clone, Debug)]
pub struct Links {
    handle: Handle,
}

impl Links {
    /// Opens a route socket in `ns`; its task runs on the current tokio runtime until the last clone is dropped.
    ///
    /// # Errors
    /// When the namespace cannot be entered or the socket not be made.
    pub async fn open(ns: &Netns) -> Result<Self> {
        let wrap = |error| Error::new("open", "route socket", error);
        let socket = ns
            .run(|| {
                let mut socket = netlink_sys::Socket::new(NETLINK_ROUTE)?;
                socket.bind_auto()?;
                Ok(socket)
            })?
            .map_err(wrap)?;
        // SAFETY: the descriptor is an open netlink socket that nobody else owns.
        let mut socket = unsafe { TokioSocket::from_raw_fd(socket.into_raw_fd()) };
        // Leave the request out of error answers, and let dumps of many links not overflow the buffer.
        socket.socket_mut().set_cap_ack(true).map_err(wrap)?;
        let (connection, handle, _messages) = rtnetlink::from_socket(socket);
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    /// Makes a veth pair, both ends down; the end `peer` is born in `peer_ns`.
    ///
    /// # Errors
    /// `AlreadyExists` when either name is taken.
    pub async fn create_veth(&self, name: &str, peer: &str, peer_ns: &Netns) -> Result<()> {
        let far = LinkMessageBuilder::<LinkUnspec>::new().name(peer).setns_by_fd(peer_ns.fd().as_raw_fd()).build();
        let message = LinkVeth::new(name, peer).set_info_data(InfoData::Veth(InfoVeth::Peer(far))).build();
        self.handle.link().add(message).execute().await.map_err(|error| failed("create veth", name, error))
    }

    /// Makes a bridge, down.
    ///
    /// # Errors
    /// `AlreadyExists` when the name is taken, `Unsupported` when the kernel lacks bridges.
    pub async fn create_bridge(&self, name: &str) -> Result<()> {
        let message = LinkBridge::new(name).down().build();
        self.handle.link().add(message).execute().await.map_err(|error| failed("create bridge", name, error))
    }

    /// Makes `link` a port of `bridge`.
    ///
    /// # Errors
    /// `NotFound` (ENODEV) when either is missing.
    pub async fn set_master(&self, link: &str, bridge: &str) -> Result<()> {
        let index = self.index(bridge).await?;
        self.change("set bridge of", link, |message| message.controller(index)).await
    }

    /// Sets the link up.
    ///
    /// # Errors
    /// ENODEV when it is missing.
    pub async fn set_up(&self, link: &str) -> Result<()> {
        self.change("set up", link, LinkMessageBuilder::up).await
    }

    /// Sets the link down.
    ///
    /// # Errors
    /// ENODEV when it is missing.
    pub async fn set_down(&self, link: &str) -> Result<()> {
        self.change("set down", link, LinkMessageBuilder::down).await
    }

    /// Gives the link a hardware address of six bytes.
    ///
    /// # Errors
    /// ENODEV when it is missing, EINVAL for a broken address.
    pub async fn set_hardware_address(&self, link: &str, address: [u8; 6]) -> Result<()> {
        self.change("set hardware address of", link, |message| message.address(address.to_vec())).await
    }

    /// Removes the link, and with a veth its other end.
    ///
    /// # Errors
    /// ENODEV when it is missing.
    pub async fn delete(&self, link: &str) -> Result<()> {
        let message = LinkUnspec::new_with_name(link).build();
        self.handle.link().del_with_message(message).execute().await.map_err(|error| failed("delete link", link, error))
    }

    /// Whether the namespace has a link of that name.
    ///
    /// # Errors
    /// When the kernel refuses the question.
    pub async fn exists(&self, link: &str) -> Result<bool> {
        match self.index(link).await {
            Ok(_) => Ok(true),
            Err(error) if error.errno() == Some(libc::ENODEV) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives `link` the address; an address that is there already is fine.
    ///
    /// # Errors
    /// ENODEV when the link is missing.
    pub async fn add_address(&self, link: &str, address: IpNet, scope: Scope) -> Result<()> {
        let index = self.index(link).await?;
        let mut request = self.handle.address().add(index, address.addr(), address.prefix_len()).replace();
        request.message_mut().header.scope = match scope {
            Scope::Universe => AddressScope::Universe,
            Scope::Link => AddressScope::Link,
            Scope::Host => AddressScope::Host,
        };
        match request.execute().await {
            Err(error) if errno(&error) == Some(libc::EEXIST) => Ok(()),
            result => result.map_err(|error| failed("add address to", format!("{link}: {address}"), error)),
        }
    }

    /// Takes the address from `link`; one that is not there is fine.
    ///
    /// # Errors
    /// ENODEV when the link is missing.
    pub async fn delete_address(&self, link: &str, address: IpNet) -> Result<()> {
        let mut message = AddressMessage::default();
        message.header.index = self.index(link).await?;
        message.header.prefix_len = address.prefix_len();
        message.header.family = family(address.addr());
        message.attributes.push(AddressAttribute::Local(address.addr()));
        match self.handle.address().del(message).execute().await {
            Err(error) if errno(&error) == Some(libc::EADDRNOTAVAIL) => Ok(()),
            result => result.map_err(|error| failed("delete address from", format!("{link}: {address}"), error)),
        }
    }

    /// Adds the route to the main table, or replaces the one to the same destination.
    ///
    /// # Errors
    /// `NetworkUnreachable` when the gateway is on no link, ENODEV when the device is missing.
    pub async fn replace_route(&self, route: &Route) -> Result<()> {
        let message = self.route_message(route).await?;
        let mut request = NetlinkMessage::from(RouteNetlinkMessage::NewRoute(message));
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
        self.request(request).await.map_err(|error| failed("replace route to", route.destination, error))
    }

    /// Removes the route; one that is not there is fine.
    ///
    /// # Errors
    /// ENODEV when its device is missing.
    pub async fn delete_route(&self, route: &Route) -> Result<()> {
        let message = self.route_message(route).await?;
        match self.handle.route().del(message).execute().await {
            Err(error) if errno(&error) == Some(libc::ESRCH) => Ok(()),
            result => result.map_err(|error| failed("delete route to", route.destination, error)),
        }
    }

    /// All links of the namespace.
    ///
    /// # Errors
    /// When the kernel refuses the question.
    pub async fn links(&self) -> Result<Vec<LinkInfo>> {
        let messages: Vec<LinkMessage> =
            self.handle.link().get().execute().try_collect().await.map_err(|error| failed("list", "links", error))?;
        Ok(messages.into_iter().map(link_info).collect())
    }

    /// All addresses of the namespace.
    ///
    /// # Errors
    /// When the kernel refuses the question.
    pub async fn addresses(&self) -> Result<Vec<AddressInfo>> {
        let links = self.links().await?;
        let messages: Vec<AddressMessage> = self
            .handle
            .address()
            .get()
            .execute()
            .try_collect()
            .await
            .map_err(|error| failed("list", "addresses", error))?;
        Ok(messages.into_iter().filter_map(|message| address_info(&message, &links)).collect())
    }

    /// The IPv4 routes of the main table.
    ///
    /// # Errors
    /// When the kernel refuses the question.
    pub async fn routes(&self) -> Result<Vec<RouteInfo>> {
        let links = self.links().await?;
        let question = RouteMessageBuilder::<std::net::Ipv4Addr>::new().build();
        let messages: Vec<RouteMessage> = self
            .handle
            .route()
            .get(question)
            .execute()
            .try_collect()
            .await
            .map_err(|error| failed("list", "routes", error))?;
        Ok(messages.into_iter().filter_map(|message| route_info(&message, &links)).collect())
    }

    async fn index(&self, link: &str) -> Result<u32> {
        let mut answers = self.handle.link().get().match_name(link).execute();
        match answers.next().await {
            Some(Ok(message)) => Ok(message.header.index),
            Some(Err(error)) => Err(failed("find link", link, error)),
            None => Err(Error::from_errno("find link", link, libc::ENODEV)),
        }
    }

    async fn change(
        &self,
        operation: &'static str,
        link: &str,
        edit: impl FnOnce(LinkMessageBuilder<LinkUnspec>) -> LinkMessageBuilder<LinkUnspec>,
    ) -> Result<()> {
        let message = edit(LinkUnspec::new_with_name(link)).build();
        self.handle.link().change(message).execute().await.map_err(|error| failed(operation, link, error))
    }

    async fn route_message(&self, route: &Route) -> Result<RouteMessage> {
        let mut builder = RouteMessageBuilder::<IpAddr>::new().scope(match route.scope {
            Scope::Universe => RouteScope::Universe,
            Scope::Link => RouteScope::Link,
            Scope::Host => RouteScope::Host,
        });
        if let Some(device) = &route.device {
            builder = builder.output_interface(self.index(device).await?);
        }
        let mut message = builder.build();
        message.header.address_family = family(route.destination.addr());
        message.header.destination_prefix_length = route.destination.prefix_len();
        if route.destination.prefix_len() > 0 {
            let network = route.destination.network();
            message.attributes.push(RouteAttribute::Destination(RouteAddress::from(network)));
        }
        if let Some(gateway) = route.gateway {
            message.attributes.push(RouteAttribute::Gateway(RouteAddress::from(gateway)));
        }
        if let Some(source) = route.source {
            message.attributes.push(RouteAttribute::PrefSource(RouteAddress::from(source)));
        }
        Ok(message)
    }

    async fn request(&self, request: NetlinkMessage<RouteNetlinkMessage>) -> Result<(), rtnetlink::Error> {
        let mut answers = self.handle.clone().request(request)?;
        while let Some(answer) = answers.next().await {
            if let NetlinkPayload::Error(error) = answer.payload
                && error.code.is_some()
            {
                return Err(rtnetlink::Error::NetlinkError(error));
            }
        }
        Ok(())
    }
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

fn errno(error: &rtnetlink::Error) -> Option<i32> {
    match error {
        rtnetlink::Error::NetlinkError(message) => Some(message.raw_code().abs()),
        _ => None,
    }
}

fn failed(operation: &'static str, target: impl std::fmt::Display, error: rtnetlink::Error) -> Error {
    match errno(&error) {
        Some(number) => Error::from_errno(operation, target, number),
        None => Error::new(operation, target, std::io::Error::other(error)),
    }
}
