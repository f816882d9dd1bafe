//! From one Service and its EndpointSlices to the records of its names. Pure.

use std::net::IpAddr;
use std::sync::Arc;

use hickory_proto::rr::Name;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;

use super::address::dashed;

/// A named or unnamed port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// In lower case; empty for an unnamed port, which has no SRV name of its own.
    pub name: Box<str>,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: &'static str,
    /// The service's port, or the endpoint's for a headless service.
    pub number: u16,
}

/// One address behind a headless service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The pod's host name, or its address with dashes.
    pub host: Box<str>,
    /// Where it is.
    pub address: IpAddr,
    /// The slice's ports.
    pub ports: Arc<[Port]>,
}

/// What the names of one service lead to.
#[derive(Debug, Clone, PartialEq)]
pub enum ServiceRecords {
    /// A service with cluster addresses.
    Addresses {
        /// `clusterIPs`.
        addresses: Vec<IpAddr>,
        /// Its ports.
        ports: Vec<Port>,
    },
    /// A headless service: its ready endpoints. Without any, the service's name does not exist (specification 2.4.1 as
    /// amended to match CoreDNS).
    Endpoints(Vec<Endpoint>),
    /// An ExternalName service.
    Alias(Name),
}

impl ServiceRecords {
    /// The reverse names: each address with the name, dot at its end, that it leads back to. `owner` is the service's.
    pub(super) fn reverse(&self, owner: &str) -> Vec<(IpAddr, String)> {
        match self {
            Self::Addresses { addresses, .. } => addresses.iter().map(|address| (*address, owner.into())).collect(),
            Self::Endpoints(endpoints) => {
                let mut names: Vec<_> = endpoints.iter().map(|e| (e.address, format!("{}.{owner}", e.host))).collect();
                names.sort();
                names.dedup();
                names
            }
            Self::Alias(_) => Vec::new(),
        }
    }
}

/// The ready endpoints of one slice.
pub type SliceEndpoints = Vec<Endpoint>;

/// What DNS needs of a slice. An endpoint counts unless its condition `ready` is false; the endpoints controller sets it
/// for services with `publishNotReadyAddresses`.
pub fn plan_slice(slice: &EndpointSlice) -> SliceEndpoints {
    let ports: Arc<[Port]> = slice
        .ports
        .iter()
        .flatten()
        .filter_map(|port| self::port(port.name.as_deref(), port.protocol.as_deref(), port.port?))
        .collect();
    let ready = |ready: Option<bool>| ready.unwrap_or(true);
    let mut planned = Vec::new();
    for endpoint in slice.endpoints.iter().flatten().filter(|e| ready(e.conditions.as_ref().and_then(|c| c.ready))) {
        for address in endpoint.addresses.iter().filter_map(|address| address.parse::<IpAddr>().ok()) {
            let host = endpoint.hostname.as_deref().filter(|host| !host.is_empty());
            let host = host.map_or_else(|| dashed(address), str::to_ascii_lowercase);
            planned.push(Endpoint { host: host.into(), address, ports: ports.clone() });
        }
    }
    planned
}

/// The records of a service with the endpoints of its slices; `None` while it has no address.
pub fn plan_service<'a>(
    service: &Service,
    slices: impl IntoIterator<Item = &'a SliceEndpoints>,
) -> Option<ServiceRecords> {
    let spec = service.spec.as_ref()?;
    if spec.type_.as_deref() == Some("ExternalName") {
        let target = spec.external_name.as_deref()?.trim_end_matches('.');
        return Name::from_ascii(format!("{target}.")).ok().map(ServiceRecords::Alias);
    }
    if spec.cluster_ip.as_deref() == Some("None") {
        return Some(ServiceRecords::Endpoints(slices.into_iter().flatten().cloned().collect()));
    }
    let several = spec.cluster_ips.iter().flatten();
    let one = spec.cluster_ip.iter().filter(|_| spec.cluster_ips.as_ref().is_none_or(Vec::is_empty));
    let addresses: Vec<IpAddr> = several.chain(one).filter_map(|address| address.parse().ok()).collect();
    if addresses.is_empty() {
        return None;
    }
    let ports = spec.ports.iter().flatten();
    let ports =
        ports.filter_map(|port| self::port(port.name.as_deref(), port.protocol.as_deref(), port.port)).collect();
    Some(ServiceRecords::Addresses { addresses, ports })
}

fn port(name: Option<&str>, protocol: Option<&str>, number: i32) -> Option<Port> {
    let protocol = match protocol.unwrap_or("TCP") {
        "TCP" => "tcp",
        "UDP" => "udp",
        "SCTP" => "sctp",
        _ => return None,
    };
    let name = name.unwrap_or_default().to_ascii_lowercase().into();
    Some(Port { name, protocol, number: u16::try_from(number).ok()? })
}
