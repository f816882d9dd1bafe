//! `agnhost connect`: tries one connection and says in fixed words why it failed: UNKNOWN, TIMEOUT, DNS, REFUSED, OTHER.

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use tokio::net::{TcpStream, UdpSocket};

use super::Mode;
use crate::flags::{Flag, Flags};
use crate::{client, go, sctp};

pub(super) const MODE: Mode = Mode {
    name: "connect",
    about: "Attempts a TCP, UDP or SCTP connection and returns useful errors",
    flags: &[
        Flag::duration("timeout", "0s"),
        Flag::text("protocol", "tcp"),
        Flag::text("udp-data", "hostname"),
        Flag::text("sctp-data", "hostname"),
    ],
    words: Some(1),
    run: |flags| {
        let outcome = super::block_on(connect(&flags));
        match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(words) => {
                eprintln!("{words}");
                ExitCode::FAILURE
            }
        }
    },
};

async fn connect(flags: &Flags) -> Result<(), String> {
    let destination = &flags.words[0];
    let limit = flags.duration("timeout");
    match flags.text("protocol") {
        "" | "tcp" => tcp(destination, limit).await,
        "udp" => udp(destination, limit, flags.text("udp-data")).await,
        "sctp" => over_sctp(destination, limit, flags.text("sctp-data")).await,
        other => Err(format!("Unsupported protocol\n{other}")),
    }
}

/// The work within the limit, where there is one.
async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    match limit.is_zero() {
        true => Some(work.await),
        false => tokio::time::timeout(limit, work).await.ok(),
    }
}

/// Host and port of `host:port`, `[v6]:port`.
fn split(destination: &str) -> Result<(&str, &str), String> {
    let wrong = |reason: &str| format!("address {destination}: {reason}");
    match destination.strip_prefix('[') {
        Some(rest) => match rest.split_once("]:") {
            Some(split) => Ok(split),
            None => Err(wrong("missing port in address")),
        },
        None => match destination.rsplit_once(':') {
            None => Err(wrong("missing port in address")),
            Some((host, _)) if host.contains(':') => Err(wrong("too many colons in address")),
            Some(split) => Ok(split),
        },
    }
}

async fn resolve(destination: &str, network: &str) -> Result<SocketAddr, String> {
    let (host, port) = split(destination).map_err(|error| format!("DNS: {error}"))?;
    let port = port.parse().map_err(|_| format!("DNS: lookup {network}/{port}: unknown port"))?;
    let host = if host.is_empty() { "127.0.0.1" } else { host };
    client::resolve(host, port).await.map_err(|error| format!("DNS: {error}"))
}

async fn tcp(destination: &str, limit: Duration) -> Result<(), String> {
    split(destination).map_err(|error| format!("UNKNOWN: {error}"))?;
    let address = resolve(destination, "tcp").await?;
    match within(limit, TcpStream::connect(address)).await {
        None => Err("TIMEOUT".to_owned()),
        Some(Ok(_)) => Ok(()),
        Some(Err(error)) => Err(match error.kind() {
            io::ErrorKind::TimedOut => "TIMEOUT".to_owned(),
            io::ErrorKind::ConnectionRefused => "REFUSED".to_owned(),
            _ => format!("OTHER: dial tcp {address}: connect: {}", go::errno(&error)),
        }),
    }
}

async fn udp(destination: &str, limit: Duration, data: &str) -> Result<(), String> {
    let address = resolve(destination, "udp").await?;
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let other = |error: io::Error| format!("OTHER: dial udp {address}: {}", go::errno(&error));
    let socket = UdpSocket::bind(any).await.map_err(other)?;
    socket.connect(address).await.map_err(other)?;
    let local = socket.local_addr().map(|local| local.to_string()).unwrap_or_default();
    let named = |verb: &str, error: &io::Error| {
        let words = format!("{verb} udp {local}->{address}: {verb}: {}", go::errno(error));
        match error.kind() {
            io::ErrorKind::ConnectionRefused => format!("REFUSED: {words}"),
            io::ErrorKind::TimedOut => format!("TIMEOUT: {words}"),
            _ => format!("UNKNOWN: {words}"),
        }
    };
    socket.send(format!("{data}\n").as_bytes()).await.map_err(|error| named("write", &error))?;
    let mut answer = [0; 1024];
    match within(limit, socket.recv(&mut answer)).await {
        None => Err(format!("TIMEOUT: read udp {local}->{address}: i/o timeout")),
        Some(Err(error)) => Err(named("read", &error)),
        Some(Ok(0)) => {
            Err("OTHER: No data received from the server. Cannot guarantee the server received the request.".to_owned())
        }
        Some(Ok(_)) => Ok(()),
    }
}

async fn over_sctp(destination: &str, limit: Duration, data: &str) -> Result<(), String> {
    let address = resolve(destination, "sctp").await?;
    let message = format!("{data}\n");
    // A thread of its own, so that the program can end while the kernel still tries.
    let (told, outcome) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || told.send(sctp::exchange(address, message.as_bytes(), Duration::ZERO)));
    // As in the original, no limit means that it is over at once.
    match tokio::time::timeout(limit, outcome).await {
        Err(_) => Err("TIMEOUT".to_owned()),
        Ok(Ok(Ok(_))) => Ok(()),
        Ok(Ok(Err(sctp::Failure::Dial(error) | sctp::Failure::Write(error) | sctp::Failure::Read(error)))) => {
            Err(format!("OTHER: {}", go::errno(&error)))
        }
        Ok(Err(error)) => Err(format!("OTHER: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_split_as_go_does() {
        assert_eq!(split("a:80").unwrap(), ("a", "80"));
        assert_eq!(split("[::1]:80").unwrap(), ("::1", "80"));
        assert_eq!(split("a").unwrap_err(), "address a: missing port in address");
        assert_eq!(split("::1:80").unwrap_err(), "address ::1:80: too many colons in address");
    }

    #[test]
    fn failures_have_fixed_words() {
        let try_one = |destination: &str, protocol: &str| {
            let words = [destination.to_owned(), format!("--protocol={protocol}"), "--timeout=2s".to_owned()];
            super::super::block_on(async { connect(&Flags::parse(MODE.flags, &words).unwrap()).await })
        };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        assert_eq!(try_one(&address, "tcp"), Ok(()));
        drop(listener);
        assert_eq!(try_one(&address, "tcp").unwrap_err(), "REFUSED");
        assert!(try_one(&address, "udp").unwrap_err().starts_with("REFUSED: read udp 127.0.0.1:"));
        assert_eq!(try_one("nowhere", "tcp").unwrap_err(), "UNKNOWN: address nowhere: missing port in address");
        assert_eq!(try_one("nowhere", "udp").unwrap_err(), "DNS: address nowhere: missing port in address");
        assert_eq!(try_one(&address, "quic").unwrap_err(), "Unsupported protocol\nquic");
    }
}
