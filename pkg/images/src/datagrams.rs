//! UDP servers that answer one datagram with one.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

/// A socket on `port` of `address`, or of all addresses of both families.
pub(crate) fn bind(address: Option<IpAddr>, port: u16) -> io::Result<UdpSocket> {
    let open = |address: IpAddr, only_v6: bool| {
        let address = SocketAddr::new(address, port);
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(only_v6)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        UdpSocket::from_std(socket.into())
    };
    match address {
        Some(address) => open(address, true),
        None => match open(Ipv6Addr::UNSPECIFIED.into(), false) {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => open(Ipv4Addr::UNSPECIFIED.into(), false),
            outcome => outcome,
        },
    }
}

/// Answers what `answer` gives for each datagram, for ever. Errors of one client hurt no other.
pub(crate) async fn serve(socket: UdpSocket, answer: impl Fn(&[u8], SocketAddr) -> Option<Vec<u8>>) {
    let mut datagram = vec![0; 65_536];
    loop {
        let Ok((length, peer)) = socket.recv_from(&mut datagram).await else { continue };
        let named = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        if let Some(answer) = answer(&datagram[..length], named) {
            let _ = socket.send_to(&answer, peer).await;
        }
    }
}
