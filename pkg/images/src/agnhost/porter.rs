//! `agnhost porter`: serves each value of `SERVE_PORT_n`, `SERVE_TCP_PORT_n`, `SERVE_TLS_PORT_n`, `SERVE_UDP_PORT_n` and
//! `SERVE_SCTP_PORT_n` on port n.

use std::net::Ipv4Addr;
use std::process::ExitCode;

use http::header::CONTENT_TYPE;
use serde_json::json;

use super::Mode;
use crate::flags::{Flag, Flags};
use crate::{datagrams, go, sctp, tls, web};

pub(super) const MODE: Mode = Mode {
    name: "porter",
    about: "Serves requested data on ports specified in ENV variables",
    flags: &[Flag::bool("json-response", "false")],
    words: Some(0),
    run: |flags| super::block_on(serve(flags)),
};

/// How one port is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Tcp,
    Tls,
    Udp,
    Sctp,
}

const PREFIXES: &[(&str, Way)] = &[
    ("SERVE_PORT_", Way::Tcp),
    ("SERVE_TCP_PORT_", Way::Tcp),
    ("SERVE_UDP_PORT_", Way::Udp),
    ("SERVE_SCTP_PORT_", Way::Sctp),
    ("SERVE_TLS_PORT_", Way::Tls),
];

async fn serve(flags: Flags) -> ExitCode {
    let as_json = flags.bool("json-response");
    for (name, value) in std::env::vars() {
        if let Some((way, port)) = wanted(&name) {
            tokio::task::spawn_local(serve_port(way, port.to_owned(), value, as_json));
        }
    }
    std::future::pending().await
}

fn wanted(variable: &str) -> Option<(Way, &str)> {
    PREFIXES.iter().find_map(|(prefix, way)| Some((*way, variable.strip_prefix(prefix)?)))
}

async fn serve_port(way: Way, text: String, value: String, as_json: bool) {
    let failed = |reason: String| match way {
        Way::Tcp => go::log(format_args!("server on port {} failed: {reason}", go::quote(&text))),
        Way::Tls => go::log(format_args!("tls server on port {} failed: {reason}", go::quote(&text))),
        Way::Udp => go::fatal(format_args!("UDP: failed to listen on port {text}: {reason}")),
        Way::Sctp => go::fatal(format_args!("Failed to listen SCTP. error:{reason}")),
    };
    let Ok(port) = text.parse::<u16>() else { return failed(format!("address {text}: invalid port")) };
    match way {
        Way::Udp => match datagrams::bind(Some(Ipv4Addr::UNSPECIFIED.into()), port) {
            Ok(socket) => {
                go::log(format_args!("Started UDP server on port {port}"));
                datagrams::serve(socket, move |_, _| Some(value.clone().into_bytes())).await;
            }
            Err(error) => failed(go::errno(&error)),
        },
        Way::Sctp => match sctp::listen(port) {
            Ok(listener) => {
                go::log("Started SCTP server");
                std::thread::spawn(move || {
                    while let Ok((socket, _)) = listener.accept() {
                        if let Err(error) = socket.send(value.as_bytes()) {
                            go::log(format_args!("Failed to send response {}", go::errno(&error)));
                        }
                    }
                });
            }
            Err(error) => failed(go::errno(&error)),
        },
        Way::Tcp | Way::Tls => {
            let file = |name: &str, default: &str| match std::env::var(name) {
                Ok(path) if !path.is_empty() => path,
                _ => default.to_owned(),
            };
            let acceptor = match way {
                Way::Tls => {
                    match tls::acceptor(&file("CERT_FILE", "localhost.crt"), &file("KEY_FILE", "localhost.key")) {
                        Ok(acceptor) => Some(acceptor),
                        Err(reason) => return failed(reason),
                    }
                }
                _ => None,
            };
            let listener = match tokio::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await {
                Ok(listener) => listener,
                Err(error) => return failed(format!("listen tcp 0.0.0.0:{port}: bind: {}", go::errno(&error))),
            };
            web::serve_forever(listener, acceptor, move |asked| {
                let answer = match as_json {
                    false => web::ok(value.clone()),
                    true => {
                        let body = json!({"Method": asked.method.as_str(), "Body": value});
                        let mut answer = web::ok(body.to_string());
                        web::set(&mut answer, CONTENT_TYPE, "application/json");
                        answer
                    }
                };
                std::future::ready(answer)
            })
            .await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_say_port_and_way() {
        assert_eq!(wanted("SERVE_PORT_80"), Some((Way::Tcp, "80")));
        assert_eq!(wanted("SERVE_TLS_PORT_443"), Some((Way::Tls, "443")));
        assert_eq!(wanted("SERVE_TCP_PORT_8"), Some((Way::Tcp, "8")));
        assert_eq!((wanted("SERVE_UDP_PORT_5"), wanted("PORT_5")), (Some((Way::Udp, "5")), None));
    }
}
