//! exec and attach: bytes between a client's streams and a process. A client that leaves an exec before its end takes the
//! command along, which nobody could end any more; what a finished command left in the background stays. A client that
//! leaves an attach leaves the container as it is.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use minisvc_kernel::Child;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe::Sender;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::query::Query;
use super::remote::{Remote, SPDY, WEBSOCKET, Wanted, exited, failed, size, success};
use super::{Body, Refusal, upgrade};
use crate::attach::Source;
use crate::plumbing::{Ours, Tap};
use crate::running::{Aborted, SharedRunning};
use crate::stream::{Inlet, Outlet};
use crate::terminal::Terminal;

/// How long a command whose client left has between SIGHUP and SIGKILL.
const GRACE: Duration = Duration::from_secs(2);
const SIGHUP: i32 = 1;
const SIGKILL: i32 = 9;

/// A command while its client listens. Dropped before the command's end, it ends the command's process group.
struct Attended {
    child: Arc<Child>,
    ended: bool,
}

impl Drop for Attended {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let child = Arc::clone(&self.child);
        tokio::spawn(async move {
            let _ = child.signal_group(SIGHUP);
            if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
                let _ = child.signal_group(SIGKILL);
                let _ = child.wait().await;
            }
        });
    }
}

/// How long after a command's end its output may stay silent before what it left behind is no longer waited for.
const SILENCE: Duration = Duration::from_secs(1);

fn wanted(query: &Query) -> Result<Wanted, Refusal> {
    Wanted::of(query)
        .ok_or_else(|| (StatusCode::BAD_REQUEST, "you must specify at least 1 of stdin, stdout, stderr".to_owned()))
}

/// `exec`: runs a command in the container.
pub(super) fn exec(
    running: SharedRunning,
    query: &Query,
    request: Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let wanted = wanted(query)?;
    let command: Vec<String> = query.all("command").map(str::to_owned).collect();
    if command.is_empty() {
        return Err((StatusCode::BAD_REQUEST, "you must specify a command".to_owned()));
    }
    let (upgrade, response) = upgrade::agree(request, WEBSOCKET, SPDY)?;
    tokio::spawn(async move {
        let Some(mut remote) = Remote::open(upgrade, wanted).await else { return };
        let connection = remote.connection.clone();
        let status = tokio::select! {
            status = run(&running, &command, wanted, &mut remote) => status,
            () = connection.gone() => return,
        };
        remote.end(&status).await;
    });
    Ok(response)
}

async fn run(running: &SharedRunning, command: &[String], wanted: Wanted, remote: &mut Remote) -> Value {
    let ends = if wanted.tty { running.new_terminal() } else { Ours::pipes(wanted.stdin) };
    let (ours, theirs) = match ends {
        Ok(ends) => ends,
        Err(error) => return failed(&format!("error executing command in container: prepare its streams: {error}")),
    };
    // In a task of its own: a client that leaves in this moment must not leave a command that nobody knows of.
    let (running, command) = (Arc::clone(running), command.to_vec());
    let entered = tokio::spawn(async move {
        let child = running.enter(&command, theirs, wanted.tty).await?;
        Ok::<_, String>(Attended { child: Arc::new(child), ended: false })
    });
    let mut attended = match entered.await.map_err(|error| error.to_string()).flatten() {
        Ok(attended) => attended,
        Err(error) => return failed(&format!("error executing command in container: {error}")),
    };
    let _resizing = remote.resize.take().zip(ours.terminal.clone()).map(|(sizes, near)| resizing(sizes, near));
    let _typing = remote.stdin.take().map(|typed| {
        let (pipe, terminal) = (ours.stdin, ours.terminal);
        Aborted(tokio::spawn(type_in(typed, pipe, terminal)))
    });
    let (ended, end) = watch::channel(false);
    let mut copies = JoinSet::new();
    for (tap, source) in ours.sources {
        let to = match source {
            Source::Stdout => remote.stdout.clone(),
            Source::Stderr => remote.stderr.clone(),
        };
        copies.spawn(copy(tap, to, end.clone()));
    }
    let exit = attended.child.wait().await;
    attended.ended = true;
    ended.send_replace(true);
    while copies.join_next().await.is_some() {}
    match exit {
        Ok(exit) => exited(exit.code()),
        Err(error) => failed(&error.to_string()),
    }
}

/// Copies output until its end; after the command's end only as long as something comes.
async fn copy(from: Tap, to: Option<Outlet>, mut ended: watch::Receiver<bool>) {
    let mut chunk = Vec::new();
    loop {
        let left_behind = async {
            let _ = ended.wait_for(|ended| *ended).await;
            tokio::time::sleep(SILENCE).await;
        };
        tokio::select! {
            heard = from.read_into(&mut chunk) => if heard.is_none() { return },
            () = left_behind => return,
        }
        if let Some(to) = &to
            && to.send(&chunk).await.is_err()
        {
            return;
        }
        chunk.clear();
    }
}

/// Types what the client types; its end is the end of the pipe.
async fn type_in(mut typed: Inlet, mut pipe: Option<Sender>, terminal: Option<Arc<Terminal>>) {
    while let Some(bytes) = typed.next().await {
        let written = match (&mut pipe, &terminal) {
            (_, Some(terminal)) => terminal.write_all(&bytes).await,
            (Some(pipe), None) => pipe.write_all(&bytes).await,
            (None, None) => return,
        };
        if written.is_err() {
            return;
        }
    }
}

fn resizing(mut sizes: Inlet, terminal: Arc<Terminal>) -> Aborted {
    Aborted(tokio::spawn(async move {
        while let Some(text) = sizes.next().await {
            if let Some((rows, columns)) = size(&text) {
                terminal.resize(rows, columns);
            }
        }
    }))
}

/// `attach`: joins the container's own streams. With `once` the container's input ends with its first client's
/// (`stdinOnce`). Without, the client's end of input is the end of the attach, and the container keeps waiting for the
/// next client (containerd's `ContainerIO.Attach`).
pub(super) fn attach(
    running: SharedRunning,
    once: bool,
    query: &Query,
    request: Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let mut wanted = wanted(query)?;
    wanted.tty = wanted.tty || running.terminal.is_some() && query.flag("tty");
    let (upgrade, response) = upgrade::agree(request, WEBSOCKET, SPDY)?;
    tokio::spawn(async move {
        let Some(mut remote) = Remote::open(upgrade, wanted).await else { return };
        let connection = remote.connection.clone();
        let (said_all, mut left) = watch::channel(false);
        let typing =
            remote.stdin.take().map(|typed| Aborted(tokio::spawn(type_to(running.clone(), typed, once, said_all))));
        let _resizing = remote.resize.take().zip(running.terminal.clone()).map(|(sizes, near)| resizing(sizes, near));
        let listening = async {
            let mut output = running.output.listen();
            loop {
                let left = async {
                    if left.wait_for(|left| *left).await.is_err() {
                        std::future::pending::<()>().await;
                    }
                };
                // What was said before the client left is still handed on.
                let heard = tokio::select! {
                    biased;
                    heard = output.recv() => heard,
                    () = left => None,
                };
                let Some((source, bytes)) = heard else { return };
                let to = match source {
                    Source::Stdout => &remote.stdout,
                    Source::Stderr => &remote.stderr,
                };
                if let Some(to) = to
                    && to.send(&bytes).await.is_err()
                {
                    return;
                }
            }
        };
        tokio::select! {
            () = listening => drop(typing),
            () = connection.gone() => {
                let typed = typing.is_some();
                drop(typing);
                if typed && once {
                    running.close_stdin().await;
                }
                return;
            }
        }
        remote.end(&success()).await;
    });
    Ok(response)
}

async fn type_to(running: SharedRunning, mut typed: Inlet, once: bool, said_all: watch::Sender<bool>) {
    while let Some(bytes) = typed.next().await {
        if running.type_in(&bytes).await.is_err() {
            return;
        }
    }
    if once {
        running.close_stdin().await;
    } else if running.takes_input().await {
        said_all.send_replace(true);
    }
}
