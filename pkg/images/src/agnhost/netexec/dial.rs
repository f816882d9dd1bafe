//! netexec's `/dial`: asks another server several times and tells all answers and errors.

use std::net::SocketAddr;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Map, Value};

use crate::serve::Answer;
use crate::web::{self, Asked};
use crate::{client, flags, go, sctp};

/// How long one try may take.
const LIMIT: Duration = Duration::from_secs(5);

#[derive(Clone, Copy)]
enum Protocol {
    Http,
    Udp,
    Sctp,
}

pub(super) async fn dial(asked: &Asked) -> Answer {
    let get = |key| asked.query(key);
    let (host, port, request, protocol, tries) =
        (get("host"), get("port"), get("request"), get("protocol"), get("tries"));
    go::log(format_args!("GET /dial?host={host}&protocol={protocol}&port={port}&request={request}&tries={tries}"));
    let bad = |text: &str| web::failure(StatusCode::BAD_REQUEST, text);
    let tries: i64 = match tries.as_str() {
        "" => 1,
        text => match text.parse() {
            Ok(tries) => tries,
            Err(_) => return bad(&format!("tries parameter is invalid. {}", flags::number_error("Atoi", text))),
        },
    };
    if request.is_empty() {
        return bad("request parameter not specified. <nil>");
    }
    let protocol = match protocol.to_lowercase().as_str() {
        "" | "http" => Protocol::Http,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => return bad(&format!("unsupported protocol. {protocol}")),
    };
    let address = match port.parse::<u16>() {
        Ok(number) => client::resolve(host.trim_matches(['[', ']']), number).await,
        Err(_) => Err(format!("lookup tcp/{port}: unknown port")),
    };
    let address = match address {
        Ok(address) => address,
        Err(error) => return bad(&format!("host and/or port param are invalid. {error}")),
    };
    let (mut responses, mut errors, mut last) = (Vec::new(), Vec::new(), false);
    for _ in 0..tries {
        match once(protocol, address, &request).await {
            Ok(response) => {
                last = !response.is_empty();
                responses.push(Value::String(response));
            }
            Err(error) => {
                last = false;
                errors.push(Value::String(error));
            }
        }
    }
    let mut output = Map::new();
    if !errors.is_empty() {
        output.insert("errors".to_owned(), Value::Array(errors));
    }
    // As in the original, answers are told only where the last try had one.
    if last {
        output.insert("responses".to_owned(), Value::Array(responses));
    }
    web::ok(Value::Object(output).to_string())
}

async fn once(protocol: Protocol, address: SocketAddr, request: &str) -> Result<String, String> {
    match protocol {
        Protocol::Http => {
            let got = client::get(&format!("http://{address}/{request}"), LIMIT).await?;
            Ok(String::from_utf8_lossy(&got.body).into_owned())
        }
        Protocol::Udp => udp(address, request).await,
        Protocol::Sctp => {
            let request = request.to_owned();
            let exchange = move || sctp::exchange(address, request.as_bytes(), LIMIT);
            match tokio::task::spawn_blocking(exchange).await {
                Ok(Ok(answer)) if answer.is_empty() => Err("reading from sctp connection failed. err:'EOF'".to_owned()),
                Ok(Ok(answer)) => Ok(String::from_utf8_lossy(&answer).into_owned()),
                Ok(Err(sctp::Failure::Dial(error))) => Err(format!("sctp dial failed. err:{}", go::errno(&error))),
                Ok(Err(sctp::Failure::Write(error))) => {
                    Err(format!("sctp connection write failed. err:{}", go::errno(&error)))
                }
                Ok(Err(sctp::Failure::Read(error))) => {
                    Err(format!("reading from sctp connection failed. err:'{}'", go::errno(&error)))
                }
                Err(error) => Err(format!("sctp dial failed. err:{error}")),
            }
        }
    }
}

async fn udp(address: SocketAddr, request: &str) -> Result<String, String> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let dialled = |error: std::io::Error| format!("udp dial failed. err:dial udp {address}: {}", go::errno(&error));
    let socket = tokio::net::UdpSocket::bind(any).await.map_err(dialled)?;
    socket.connect(address).await.map_err(dialled)?;
    let local = socket.local_addr().map(|local| local.to_string()).unwrap_or_default();
    socket.send(request.as_bytes()).await.map_err(|error| {
        format!("udp connection write failed. err:write udp {local}->{address}: write: {}", go::errno(&error))
    })?;
    let mut answer = vec![0; 2048];
    let reason = match tokio::time::timeout(LIMIT, socket.recv(&mut answer)).await {
        Ok(Ok(length)) if length > 0 => return Ok(String::from_utf8_lossy(&answer[..length]).into_owned()),
        Ok(Ok(_)) => "<nil>".to_owned(),
        Ok(Err(error)) => format!("read udp {local}->{address}: read: {}", go::errno(&error)),
        Err(_) => format!("read udp {local}->{address}: i/o timeout"),
    };
    Err(format!("reading from udp connection failed. err:'{reason}'"))
}
