//! One try of a probe or a hook over the network: ports and TCP. Errors are kubelet's words.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Container;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::net::TcpStream;

pub(crate) use super::grpc::grpc;

/// The number of a port given by number or by name.
pub(crate) fn port(container: &Container, port: &IntOrString) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => {
            let named = container.ports.iter().flatten().find(|port| port.name.as_deref() == Some(name));
            match named {
                Some(port) => port.container_port,
                None => {
                    name.parse().map_err(|_| format!("couldn't find port: {name} in container {}", container.name))?
                }
            }
        }
    };
    u16::try_from(number).ok().filter(|port| *port > 0).ok_or_else(|| format!("invalid port number: {number}"))
}

/// A TCP connection.
pub(super) async fn connect(address: IpAddr, port: u16) -> Result<TcpStream, String> {
    TcpStream::connect((address, port)).await.map_err(|error| {
        let text = match error.kind() {
            std::io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
            std::io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
            _ => error.to_string(),
        };
        format!("dial tcp {address}:{port}: {text}")
    })
}

/// A TCP connection can be made.
pub(crate) async fn tcp(address: IpAddr, port: u16) -> Result<(), String> {
    connect(address, port).await.map(drop)
}
