//! The streams of exec and attach, whichever protocol carries them: what is typed, what is said, how it ended.

use std::time::Duration;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use super::query::Query;
use super::upgrade::{Protocol, Upgrade};
use crate::stream::channels::{Channels, Dialect};
use crate::stream::spdy::{Session, Stream};
use crate::stream::{Connection, Inlet, Outlet};

/// The subprotocols of exec and attach over WebSocket.
pub(super) const WEBSOCKET: &[&str] = &[
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io",
    "",
];
/// Those over SPDY.
pub(super) const SPDY: &[&str] = &["v4.channel.k8s.io"];

/// Time for a SPDY client to open its streams (kubelet's DefaultStreamCreationTimeout).
const CREATION: Duration = Duration::from_secs(30);

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;

/// Which streams the client wants.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) stdin: bool,
    pub(super) stdout: bool,
    pub(super) stderr: bool,
    pub(super) tty: bool,
}

impl Wanted {
    /// As the query says; a terminal has no stream of errors beside its output.
    pub(super) fn of(query: &Query) -> Option<Wanted> {
        let tty = query.flag("tty");
        let flag = |long: &str, short: &str| query.flag(long) || query.flag(short);
        let wanted = Wanted {
            stdin: flag("stdin", "input"),
            stdout: flag("stdout", "output"),
            stderr: flag("stderr", "error") && !tty,
            tty,
        };
        (wanted.stdin || wanted.stdout || wanted.stderr).then_some(wanted)
    }
}

/// The client's streams.
pub(super) struct Remote {
    pub(super) stdin: Option<Inlet>,
    pub(super) resize: Option<Inlet>,
    pub(super) stdout: Option<Outlet>,
    pub(super) stderr: Option<Outlet>,
    error: Outlet,
    /// Before version 4 errors are plain text, and success is silent.
    plain_errors: bool,
    pub(super) connection: Connection,
    /// The session's other end; dropping it would refuse further streams.
    _session: Option<Session>,
}

impl Remote {
    /// Waits for the client's streams; nothing when it leaves or dawdles.
    pub(super) async fn open(upgrade: Upgrade, wanted: Wanted) -> Option<Remote> {
        let protocol = upgrade.protocol;
        let io = upgrade.stream().await?;
        match protocol {
            Protocol::WebSocket(name) => Some(Remote::channels(io, wanted, name)),
            Protocol::Spdy(_) => tokio::time::timeout(CREATION, Remote::streams(io, wanted)).await.ok().flatten(),
        }
    }

    fn channels(io: TokioIo<Upgraded>, wanted: Wanted, protocol: &str) -> Remote {
        let mut incoming = Vec::new();
        if wanted.stdin {
            incoming.push(STDIN);
        }
        if wanted.tty {
            incoming.push(RESIZE);
        }
        let mut channels = Channels::start(io, &incoming, Dialect::of(protocol));
        Remote {
            stdin: channels.inlet(STDIN),
            resize: channels.inlet(RESIZE),
            stdout: wanted.stdout.then(|| channels.outlet(STDOUT)),
            stderr: wanted.stderr.then(|| channels.outlet(STDERR)),
            error: channels.outlet(ERROR),
            plain_errors: !protocol.starts_with('v'),
            connection: channels.connection,
            _session: None,
        }
    }

    async fn streams(io: TokioIo<Upgraded>, wanted: Wanted) -> Option<Remote> {
        let mut session = Session::start(io);
        let (mut stdin, mut stdout, mut stderr, mut error, mut resize) = (None, None, None, None, None);
        loop {
            let missing = (wanted.stdin && stdin.is_none())
                || (wanted.stdout && stdout.is_none())
                || (wanted.stderr && stderr.is_none())
                || (wanted.tty && resize.is_none());
            if let (false, Some(error)) = (missing, &error) {
                let error: &Stream = error;
                return Some(Remote {
                    stdin: stdin.map(|stream: Stream| stream.inlet),
                    resize: resize.map(|stream: Stream| stream.inlet),
                    stdout: stdout.map(|stream: Stream| stream.outlet),
                    stderr: stderr.map(|stream: Stream| stream.outlet),
                    error: error.outlet.clone(),
                    plain_errors: false,
                    connection: session.connection.clone(),
                    _session: Some(session),
                });
            }
            let stream = session.accept().await?;
            let place = match stream.headers.get("streamtype").map(String::as_str) {
                Some("stdin") => &mut stdin,
                Some("stdout") => &mut stdout,
                Some("stderr") => &mut stderr,
                Some("error") => &mut error,
                Some("resize") => &mut resize,
                other => {
                    tracing::debug!(?other, "an unknown kind of stream");
                    continue;
                }
            };
            *place = Some(stream);
        }
    }

    /// Says how it ended, ends every stream, then the connection.
    pub(super) async fn end(self, status: &Value) {
        for outlet in self.stdout.iter().chain(&self.stderr) {
            outlet.finish().await;
        }
        match (self.plain_errors, status["message"].as_str()) {
            (false, _) => drop(self.error.send(status.to_string().as_bytes()).await),
            (true, Some(text)) => drop(self.error.send(text.as_bytes()).await),
            (true, None) => {}
        }
        self.error.finish().await;
        self.connection.close().await;
    }
}

/// All went well.
pub(super) fn success() -> Value {
    json!({"metadata": {}, "status": "Success"})
}

/// The command ended with this code.
pub(super) fn exited(code: i32) -> Value {
    if code == 0 {
        return success();
    }
    json!({
        "metadata": {},
        "status": "Failure",
        "message": format!("command terminated with non-zero exit code: exit status {code}"),
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
    })
}

/// Something else went wrong.
pub(super) fn failed(text: &str) -> Value {
    json!({
        "metadata": {},
        "status": "Failure",
        "message": format!("Internal error occurred: {text}"),
        "reason": "InternalError",
        "details": {"causes": [{"message": text}]},
        "code": 500,
    })
}

/// Rows and columns of a terminal's new size, as JSON says it: `{"Width":80,"Height":24}`.
pub(super) fn size(text: &[u8]) -> Option<(u16, u16)> {
    // Over SPDY several may come in one piece; the last one counts.
    let sizes = serde_json::Deserializer::from_slice(text).into_iter::<Value>();
    let last = sizes.filter_map(Result::ok).last()?;
    let number = |name: &str| last[name].as_u64().and_then(|number| u16::try_from(number).ok()).filter(|n| *n > 0);
    Some((number("Height")?, number("Width")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_nonsense_is_not() {
        assert_eq!(size(br#"{"Width":80,"Height":24}"#), Some((24, 80)));
        assert_eq!(size(b"{\"Width\":80,\"Height\":24}\n{\"Width\":81,\"Height\":25}\n"), Some((25, 81)));
        assert_eq!(size(br#"{"Width":0,"Height":24}"#), None);
        assert_eq!(size(b"wide"), None);
    }

    #[test]
    fn a_terminal_has_no_stream_of_errors() {
        let wanted = Wanted::of(&Query::parse("stdin=true&stdout=true&stderr=true&tty=true")).unwrap();
        assert!(wanted.stdin && wanted.stdout && !wanted.stderr);
        assert!(Wanted::of(&Query::parse("tty=true")).is_none());
    }

    #[test]
    fn exit_codes_travel_as_causes() {
        assert_eq!(exited(0), success());
        assert_eq!(exited(3)["details"]["causes"][0], json!({"reason": "ExitCode", "message": "3"}));
    }
}
