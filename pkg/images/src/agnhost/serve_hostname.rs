//! `agnhost serve-hostname`: the pod's name over HTTP, TCP or UDP.

use std::process::ExitCode;
use std::time::Duration;

use http::header::CONNECTION;
use tokio::io::AsyncWriteExt as _;

use super::Mode;
use crate::datagrams;
use crate::flags::{Flag, Flags};
use crate::{go, web};

pub(super) const MODE: Mode = Mode {
    name: "serve-hostname",
    about: "Serves the hostname",
    flags: &[
        Flag::bool("tcp", "false"),
        Flag::bool("udp", "false"),
        Flag::bool("http", "true"),
        Flag::bool("close", "false"),
        Flag::int("port", "9376"),
    ],
    words: Some(0),
    run: |flags| super::block_on(serve(flags)),
};

async fn serve(flags: Flags) -> ExitCode {
    let (tcp, udp, http) = (flags.bool("tcp"), flags.bool("udp"), flags.bool("http"));
    if http && (tcp || udp) {
        go::fatal("Can't server TCP/UDP mode and HTTP mode at the same time");
    }
    let Some(port) = flags.port("port") else {
        go::fatal(format_args!("listen tcp: address {}: invalid port", flags.int("port")));
    };
    let hostname = go::hostname();
    if tcp {
        let listener = super::listen(port);
        let hostname = hostname.clone();
        tokio::task::spawn_local(async move {
            loop {
                match listener.accept().await {
                    Ok((mut stream, peer)) => {
                        go::log(format_args!("TCP request from {peer}"));
                        let _ = stream.write_all(hostname.as_bytes()).await;
                    }
                    Err(error) => go::fatal(format_args!("Error from Accept(): {}", go::errno(&error))),
                }
            }
        });
    }
    if udp {
        let socket = datagrams::bind(None, port)
            .unwrap_or_else(|error| go::fatal(format_args!("Error from ListenUDP(): {}", go::errno(&error))));
        let hostname = hostname.clone();
        tokio::task::spawn_local(datagrams::serve(socket, move |_, peer| {
            go::log(format_args!("UDP request from {peer}"));
            Some(hostname.clone().into_bytes())
        }));
    }
    if http {
        let (listener, close) = (super::listen(port), flags.bool("close"));
        tokio::task::spawn_local(web::serve_forever(listener, None, move |asked| {
            go::log(format_args!("HTTP request from {}", asked.peer));
            let mut answer = web::ok(hostname.clone());
            if close {
                web::set(&mut answer, CONNECTION, "close");
            }
            std::future::ready(answer)
        }));
    }
    go::log(format_args!("Serving on port {port}."));
    super::terminated().await;
    go::log("Shutting down after receiving signal: terminated.");
    go::log("Awaiting pod deletion.");
    tokio::time::sleep(Duration::from_secs(60)).await;
    ExitCode::SUCCESS
}
