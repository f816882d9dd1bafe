//! `agnhost netexec`: servers for HTTP(S), UDP and SCTP that tell who they are, dial others, run commands and end on
//! demand. The endpoints are in `routes`, dialling others in `dial`, the words of UDP and SCTP in `words`.

mod dial;
mod routes;
mod words;

use std::net::IpAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use super::Mode;
use crate::flags::{Flag, Flags};
use crate::web::{self, Switch};
use crate::{datagrams, go, tls};

pub(super) const MODE: Mode = Mode {
    name: "netexec",
    about: "Creates HTTP(S), UDP, and (optionally) SCTP servers with various endpoints",
    flags: &[
        Flag::int("http-port", "8080"),
        Flag::text("tls-cert-file", ""),
        Flag::text("tls-private-key-file", ""),
        Flag::int("udp-port", "8081"),
        Flag::int("sctp-port", "-1"),
        Flag::text("http-override", ""),
        Flag::text("udp-listen-addresses", ""),
        Flag::int("delay-shutdown", "0"),
    ],
    words: Some(0),
    run: |flags| super::block_on(serve(flags)),
};

/// What the endpoints share.
struct State {
    started: Instant,
    http_port: u16,
    /// Whether a UDP or SCTP server runs; without one the server never counts as healthy.
    ready: Switch,
    ending: Switch,
    /// Answers every request as if it had asked for this.
    http_override: Option<String>,
    exit: mpsc::Sender<Exit>,
}

/// An order to end: how long connections may take to finish, and the exit code.
struct Exit {
    code: i32,
    timeout: Duration,
}

async fn serve(flags: Flags) -> ExitCode {
    let (exit, mut exits) = mpsc::channel(1);
    let port = |name: &str| {
        flags.port(name).unwrap_or_else(|| go::fatal(format_args!("listen: address {}: invalid port", flags.int(name))))
    };
    let state = Rc::new(State {
        started: Instant::now(),
        http_port: port("http-port"),
        ready: Switch::default(),
        ending: Switch::default(),
        http_override: Some(flags.text("http-override").to_owned()).filter(|path| !path.is_empty()),
        exit,
    });
    tokio::task::spawn_local(end_at_sigterm(state.clone(), u64::try_from(flags.int("delay-shutdown")).unwrap_or(0)));
    if flags.int("udp-port") != -1 {
        let port = port("udp-port");
        for address in addresses(flags.text("udp-listen-addresses")).unwrap_or_else(|error| go::fatal(error)) {
            let socket = datagrams::bind(address, port).unwrap_or_else(|error| {
                let address = format!("{}:{port}", address.map(|one| one.to_string()).unwrap_or_default());
                let error = go::errno(&error);
                go::fatal(format_args!(
                    "Error occurred: failed to create listener for UDP address {address}:listen udp {address}: bind: {error}"
                ))
            });
            let shown = address.map(|address| address.to_string()).unwrap_or_default();
            go::log(format_args!("Started UDP server on port {shown} {port}"));
            state.ready.set(true);
            tokio::task::spawn_local(datagrams::serve(socket, move |datagram, peer| {
                words::answer(datagram, peer, port, "UDP")
            }));
        }
    }
    if flags.int("sctp-port") != -1 {
        words::serve_sctp(port("sctp-port"));
        state.ready.set(true);
    }
    let tls = match flags.text("tls-cert-file") {
        "" => None,
        file => Some(tls::acceptor(file, flags.text("tls-private-key-file")).unwrap_or_else(|error| go::fatal(error))),
    };
    let listener = super::listen(state.http_port);
    go::log(format_args!("Started HTTP server on port {}", state.http_port));
    let (stop, stopped) = watch::channel(false);
    let routes = state.clone();
    let serving = web::serve(listener, tls, stopped, move |asked| routes::answer(routes.clone(), asked));
    let mut serving = std::pin::pin!(serving);
    let order = tokio::select! {
        () = &mut serving => return ExitCode::FAILURE,
        order = exits.recv() => order,
    };
    stop.send_replace(true);
    let Some(order) = order else { return ExitCode::FAILURE };
    let outcome = match tokio::time::timeout(order.timeout, serving).await {
        Ok(()) => "<nil>",
        Err(_) => "context deadline exceeded",
    };
    go::log(format_args!("Graceful shutdown completed with: {outcome}"));
    std::process::exit(order.code)
}

async fn end_at_sigterm(state: Rc<State>, delay_seconds: u64) {
    super::terminated().await;
    state.ending.set(true);
    if delay_seconds > 0 {
        go::log(format_args!("Sleeping {delay_seconds} seconds before terminating..."));
        tokio::time::sleep(Duration::from_secs(delay_seconds)).await;
    }
    std::process::exit(0)
}

/// The addresses of a comma-separated list, each once; `None` alone: all addresses.
fn addresses(list: &str) -> Result<Vec<Option<IpAddr>>, String> {
    if list.is_empty() {
        return Ok(vec![None]);
    }
    let mut all = Vec::new();
    for text in list.split(',') {
        let address = text.parse().map_err(|_| format!("parseAddress: invalid address {text}"))?;
        if !all.contains(&Some(address)) {
            all.push(Some(address));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_addresses_are_read() {
        assert_eq!(addresses("").unwrap(), [None]);
        assert_eq!(addresses("10.0.0.1,::1,10.0.0.1").unwrap().len(), 2);
        assert_eq!(addresses("10.0.0.1,x").unwrap_err(), "parseAddress: invalid address x");
    }
}
