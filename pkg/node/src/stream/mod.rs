//! Streams over one connection, as kubectl speaks them: WebSocket channels and SPDY. What comes in is an [`Inlet`], what
//! goes out an [`Outlet`]; who uses them need not know which protocol carries them. Must not know pods.

pub(crate) mod channels;
pub(crate) mod spdy;
pub(crate) mod tunnel;
pub(crate) mod websocket;

use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{mpsc, watch};

/// Chunks that wait in one direction before the sender has to.
pub(super) const QUEUE: usize = 64;
/// The most that one frame carries out.
const CHUNK: usize = 32 * 1024;
/// How long the other side may still talk after our last word.
pub(super) const LINGER: Duration = Duration::from_secs(2);
/// Consumed bytes after which a SPDY peer is granted more (half of the protocol's first window).
const GRANT: u32 = 32 * 1024;

/// The connection is gone.
#[derive(Debug, thiserror::Error)]
#[error("the connection is gone")]
pub(crate) struct Gone;

/// What the writer of a connection is handed.
pub(super) enum Out {
    /// Bytes to send.
    Frame(Bytes),
    /// Nothing comes after this.
    Close,
}

/// Bytes that come in; they end when the other side has no more or is gone.
#[derive(Debug)]
pub(crate) struct Inlet {
    chunks: mpsc::Receiver<Bytes>,
    grants: Option<Grants>,
}

/// What a SPDY stream owes the other side: permission to send more.
#[derive(Debug)]
struct Grants {
    frames: mpsc::Sender<Out>,
    stream: u32,
    consumed: u32,
}

impl Inlet {
    /// The next bytes; nothing at the end.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        let chunk = self.chunks.recv().await?;
        if let Some(grants) = &mut self.grants {
            grants.consumed = grants.consumed.saturating_add(u32::try_from(chunk.len()).unwrap_or(u32::MAX));
            if grants.consumed >= GRANT {
                let update = spdy::frame::window_update(grants.stream, std::mem::take(&mut grants.consumed));
                let _ = grants.frames.send(Out::Frame(update)).await;
            }
        }
        Some(chunk)
    }
}

/// Where bytes go out.
#[derive(Debug, Clone)]
pub(crate) struct Outlet {
    frames: mpsc::Sender<Out>,
    form: Form,
}

/// How an outlet's bytes are framed.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// A channel of the WebSocket protocols.
    Channel { number: u8, encoded: bool },
    /// A SPDY stream.
    Spdy { stream: u32 },
}

impl Outlet {
    /// Sends; waits while the connection is slow.
    pub(crate) async fn send(&self, bytes: &[u8]) -> Result<(), Gone> {
        for chunk in bytes.chunks(CHUNK) {
            let frame = match self.form {
                Form::Channel { number, encoded: false } => websocket::message(&[&[number], chunk]),
                Form::Channel { number, encoded: true } => {
                    let text = base64::engine::general_purpose::STANDARD.encode(chunk);
                    websocket::text(&[&[b'0' + number], text.as_bytes()])
                }
                Form::Spdy { stream } => spdy::frame::data(stream, chunk, false),
            };
            self.frames.send(Out::Frame(frame)).await.map_err(|_| Gone)?;
        }
        Ok(())
    }

    /// Says that nothing more comes.
    pub(crate) async fn finish(&self) {
        let frame = match self.form {
            // Only clients can end one channel; theirs do not know it from us.
            Form::Channel { .. } => return,
            Form::Spdy { stream } => spdy::frame::data(stream, &[], true),
        };
        let _ = self.frames.send(Out::Frame(frame)).await;
    }
}

/// The whole connection: when it is gone, and its end.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    frames: mpsc::Sender<Out>,
    gone: watch::Receiver<bool>,
    /// The protocol's last frame.
    farewell: Bytes,
}

impl Connection {
    /// Waits until the other side is gone.
    pub(crate) async fn gone(&self) {
        let _ = self.gone.clone().wait_for(|gone| *gone).await;
    }

    /// Sends what is waiting, then the protocol's last word.
    pub(crate) async fn close(&self) {
        let _ = self.frames.send(Out::Frame(self.farewell.clone())).await;
        let _ = self.frames.send(Out::Close).await;
    }
}

/// Writes frames until [`Out::Close`] or until nobody can send any more; `done` turns true at the end.
pub(super) async fn write_frames(
    mut to: impl AsyncWrite + Unpin,
    mut frames: mpsc::Receiver<Out>,
    done: watch::Sender<bool>,
) {
    while let Some(Out::Frame(frame)) = frames.recv().await {
        if to.write_all(&frame).await.is_err() || (frames.is_empty() && to.flush().await.is_err()) {
            break;
        }
    }
    let _ = to.flush().await;
    let _ = to.shutdown().await;
    frames.close();
    done.send_replace(true);
}

/// Resolves [`LINGER`] after the writer's end.
pub(super) async fn lingered(done: &mut watch::Receiver<bool>) {
    let _ = done.wait_for(|done| *done).await;
    tokio::time::sleep(LINGER).await;
}
