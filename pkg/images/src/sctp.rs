//! SCTP sockets in their one-to-one style, which work as TCP's do but keep the bounds of messages. Blocking: programs run
//! each in a thread of its own. Where the kernel has no SCTP, opening one fails in the kernel's words.

use std::io::{self, Read as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

/// IPPROTO_SCTP.
const SCTP: i32 = 132;

fn open(domain: Domain) -> io::Result<Socket> {
    Socket::new(domain, Type::STREAM, Some(Protocol::from(SCTP)))
}

/// A listener on all addresses of both families, or of IPv4 alone.
pub(crate) fn listen(port: u16) -> io::Result<Socket> {
    let both = || {
        let socket = open(Domain::IPV6)?;
        socket.set_only_v6(false)?;
        socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)).into())?;
        Ok::<_, io::Error>(socket)
    };
    let socket = match both() {
        Ok(socket) => socket,
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
        Err(_) => {
            let socket = open(Domain::IPV4)?;
            socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into())?;
            socket
        }
    };
    socket.listen(128)?;
    Ok(socket)
}

/// Connects, sends `request` and reads one message; reading takes at most `limit`.
pub(crate) fn exchange(to: SocketAddr, request: &[u8], limit: Duration) -> Result<Vec<u8>, Failure> {
    let socket = open(Domain::for_address(to)).map_err(Failure::Dial)?;
    socket.connect(&to.into()).map_err(Failure::Dial)?;
    socket.send(request).map_err(Failure::Write)?;
    if !limit.is_zero() {
        socket.set_read_timeout(Some(limit)).map_err(Failure::Read)?;
    }
    read(&socket).map_err(Failure::Read)
}

/// At which step an exchange failed.
#[derive(Debug)]
pub(crate) enum Failure {
    Dial(io::Error),
    Write(io::Error),
    Read(io::Error),
}

/// One message, up to 1,024 bytes as the originals read; empty at the end of the association.
pub(crate) fn read(mut socket: &Socket) -> io::Result<Vec<u8>> {
    let mut message = vec![0; 1024];
    let count = socket.read(&mut message)?;
    message.truncate(count);
    Ok(message)
}
