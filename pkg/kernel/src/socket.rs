//! Sockets born in another network namespace, to be used from anywhere. Must not keep a thread there.

use std::{
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    time::Duration,
};

use crate::{
    error::{Error, Result},
    namespace::Netns,
};

/// A listening TCP socket in `ns`, non-blocking and with SO_REUSEADDR, ready for a runtime's `from_std`.
///
/// # Errors
/// `AddrInUse`, `AddrNotAvailable` when the namespace has no such address.
pub fn listen_tcp(ns: &Netns, address: SocketAddr) -> Result<TcpListener> {
    let wrap = |error| Error::new("listen on tcp", address, error);
    let listener = ns.run(|| TcpListener::bind(address))?.map_err(wrap)?;
    listener.set_nonblocking(true).map_err(wrap)?;
    Ok(listener)
}

/// A bound UDP socket in `ns`, non-blocking.
///
/// # Errors
/// As [`listen_tcp`].
pub fn bind_udp(ns: &Netns, address: SocketAddr) -> Result<UdpSocket> {
    let wrap = |error| Error::new("bind udp", address, error);
    let socket = ns.run(|| UdpSocket::bind(address))?.map_err(wrap)?;
    socket.set_nonblocking(true).map_err(wrap)?;
    Ok(socket)
}

/// A TCP connection from inside `ns`, blocking; waits no longer than `timeout` for the peer.
///
/// # Errors
/// `TimedOut`, `ConnectionRefused` and the other reasons of connect(2).
pub fn connect_tcp(ns: &Netns, address: SocketAddr, timeout: Duration) -> Result<TcpStream> {
    ns.run(|| TcpStream::connect_timeout(&address, timeout))?
        .map_err(|error| Error::new("connect tcp to", address, error))
}
