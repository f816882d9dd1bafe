//! One try of a probe or a hook over the network: HTTP, TCP. Errors are kubelet's words.

use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, HTTPGetAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) use super::grpc::grpc;

/// As much of an answer as is looked at.
const ANSWER_BYTES: usize = 10 * 1024;

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

async fn connect(address: IpAddr, port: u16) -> Result<TcpStream, String> {
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

/// A GET answers with 200 to 399.
pub(crate) async fn http(address: IpAddr, container: &Container, action: &HTTPGetAction) -> Result<(), String> {
    let port = port(container, &action.port)?;
    if action.scheme.as_deref().is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")) {
        return Err("minisvc cannot probe over HTTPS yet; use a tcpSocket or exec probe".into());
    }
    let path = action.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/");
    let slash = if path.starts_with('/') { "" } else { "/" };
    let url = format!("http://{address}:{port}{slash}{path}");
    let host = action.host.as_deref().filter(|host| !host.is_empty());
    let (address, mut host_header) = match host {
        Some(host) => (host.parse().unwrap_or(address), format!("{host}:{port}")),
        None => (address, format!("{address}:{port}")),
    };
    let mut headers = String::new();
    for header in action.http_headers.iter().flatten() {
        if header.name.eq_ignore_ascii_case("host") {
            host_header.clone_from(&header.value);
        } else {
            headers.push_str(&format!("{}: {}\r\n", header.name, header.value));
        }
    }
    for (name, value) in [("User-Agent", "kube-probe/1.37"), ("Accept", "*/*")] {
        if !headers.to_ascii_lowercase().contains(&format!("{}:", name.to_ascii_lowercase())) {
            headers.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    let request = format!("GET {slash}{path} HTTP/1.1\r\nHost: {host_header}\r\n{headers}Connection: close\r\n\r\n");
    let fail = |text: String| format!("Get \"{url}\": {text}");
    let mut stream = connect(address, port).await.map_err(fail)?;
    stream.write_all(request.as_bytes()).await.map_err(|error| fail(error.to_string()))?;
    let mut answer = Vec::new();
    let mut buffer = [0u8; 2048];
    while !answer.contains(&b'\n') && answer.len() < ANSWER_BYTES {
        match stream.read(&mut buffer).await {
            Ok(0) => return Err(fail("EOF".into())),
            Ok(read) => answer.extend_from_slice(&buffer[..read]),
            Err(error) => return Err(fail(error.to_string())),
        }
    }
    // The rest is read so that the server is not cut off, but not waited for.
    let mut rest = Vec::new();
    let mut limited = stream.take(ANSWER_BYTES as u64);
    let _ = tokio::time::timeout(Duration::from_millis(50), limited.read_to_end(&mut rest)).await;
    let line = String::from_utf8_lossy(&answer);
    let status = line.split_whitespace().nth(1).and_then(|status| status.parse::<u16>().ok());
    match status {
        Some(status @ 200..=399) if line.starts_with("HTTP/") => {
            tracing::trace!(status, url, "probe");
            Ok(())
        }
        Some(status) if line.starts_with("HTTP/") => Err(format!("HTTP probe failed with statuscode: {status}")),
        _ => Err(fail("malformed HTTP response".into())),
    }
}
