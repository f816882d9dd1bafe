//! The Kubernetes channel protocols over WebSocket: each message's first byte names a channel. In version 5 the
//! client can also end one channel (255 and its number). Must not know what channels are for.

use std::collections::HashMap;

use base64::Engine as _;
use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::sync::{mpsc, watch};

use super::websocket::{self, Decoder, Incoming};
use super::{Connection, Form, Inlet, Out, Outlet, QUEUE, lingered, write_frames};

/// The channel on which version 5 tells the end of another.
const END: u8 = 255;

/// How a subprotocol differs from version 4.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// The client can end one channel.
    pub(crate) ends: bool,
    /// Messages are text: the channel as a digit, then the bytes in base64.
    pub(crate) encoded: bool,
}

impl Dialect {
    /// That of the subprotocol of this name.
    pub(crate) fn of(protocol: &str) -> Dialect {
        Dialect { ends: protocol.starts_with("v5."), encoded: protocol.contains("base64.") }
    }

    /// A client's message as channel and bytes.
    fn read(self, message: bytes::Bytes) -> Option<(u8, bytes::Bytes)> {
        let first = *message.first()?;
        let rest = message.slice(1..);
        if !self.encoded {
            return Some((first, rest));
        }
        let bytes = base64::engine::general_purpose::STANDARD.decode(&rest).ok()?;
        Some((first.checked_sub(b'0')?, bytes.into()))
    }
}

/// A connection's channels.
pub(crate) struct Channels {
    pub(crate) connection: Connection,
    frames: mpsc::Sender<Out>,
    dialect: Dialect,
    inlets: HashMap<u8, Inlet>,
}

impl Channels {
    /// Starts to read and write; bytes of channels other than `incoming` are dropped.
    pub(crate) fn start<S>(io: S, incoming: &[u8], dialect: Dialect) -> Channels
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (reader, writer) = tokio::io::split(io);
        let (frames, outgoing) = mpsc::channel(QUEUE);
        let (done, finished) = watch::channel(false);
        let (left, gone) = watch::channel(false);
        let mut inlets = HashMap::new();
        let mut senders = HashMap::new();
        for number in incoming {
            let (sender, chunks) = mpsc::channel(QUEUE);
            senders.insert(*number, sender);
            inlets.insert(*number, Inlet { chunks, grants: None });
        }
        tokio::spawn(write_frames(writer, outgoing, done));
        tokio::spawn(read(reader, senders, frames.clone(), finished, left, dialect));
        let connection = Connection { frames: frames.clone(), gone, farewell: websocket::close() };
        Channels { connection, frames, dialect, inlets }
    }

    /// Takes what comes in on a channel; once.
    pub(crate) fn inlet(&mut self, number: u8) -> Option<Inlet> {
        self.inlets.remove(&number)
    }

    /// Where to send on a channel.
    pub(crate) fn outlet(&self, number: u8) -> Outlet {
        Outlet { frames: self.frames.clone(), form: Form::Channel { number, encoded: self.dialect.encoded } }
    }
}

async fn read(
    mut from: impl AsyncRead + Unpin,
    mut channels: HashMap<u8, mpsc::Sender<bytes::Bytes>>,
    frames: mpsc::Sender<Out>,
    mut finished: watch::Receiver<bool>,
    left: watch::Sender<bool>,
    dialect: Dialect,
) {
    let (mut decoder, mut buffer) = (Decoder::default(), BytesMut::new());
    let reading = async {
        loop {
            match decoder.next(&mut buffer) {
                Ok(Some(Incoming::Message(message))) => match dialect.read(message) {
                    Some((END, number)) if dialect.ends => {
                        number.first().map(|number| channels.remove(number));
                    }
                    // Clients of the older versions open channels by empty messages.
                    Some((_, bytes)) if bytes.is_empty() => {}
                    Some((number, bytes)) => {
                        if let Some(channel) = channels.get(&number)
                            && channel.send(bytes).await.is_err()
                        {
                            channels.remove(&number);
                        }
                    }
                    None => {}
                },
                Ok(Some(Incoming::Ping(payload))) => {
                    let _ = frames.send(Out::Frame(websocket::pong(&payload))).await;
                }
                Ok(Some(Incoming::Close)) => return,
                Ok(None) => match from.read_buf(&mut buffer).await {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                },
                Err(error) => return tracing::debug!(%error, "a client's WebSocket ends"),
            }
        }
    };
    tokio::select! { () = reading => {}, () = lingered(&mut finished) => {} }
    left.send_replace(true);
    let _ = frames.send(Out::Frame(websocket::close())).await;
    let _ = frames.send(Out::Close).await;
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::super::websocket::tests::masked;
    use super::*;

    #[tokio::test]
    async fn channels_carry_bytes_end_one_by_one_and_close() {
        let (mut client, server) = tokio::io::duplex(4096);
        let mut channels = Channels::start(server, &[0, 4], Dialect::of("v5.channel.k8s.io"));
        for message in [&[0, b'h', b'i'][..], &[9, b'?'], &[4, b'{'], &[END, 0]] {
            client.write_all(&masked(0x82, message)).await.unwrap();
        }
        let (mut stdin, mut resize) = (channels.inlet(0).unwrap(), channels.inlet(4).unwrap());
        assert_eq!(stdin.next().await.as_deref(), Some(&b"hi"[..]));
        assert_eq!(stdin.next().await, None);
        assert_eq!(resize.next().await.as_deref(), Some(&b"{"[..]));
        let stdout = channels.outlet(1);
        stdout.send(b"out").await.unwrap();
        stdout.finish().await;
        channels.connection.close().await;
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, [&[0x82, 4, 1, b'o', b'u', b't'][..], &[0x88, 2, 3, 232]].concat());
        drop(client);
        channels.connection.gone().await;
        assert_eq!(resize.next().await, None);
    }

    #[tokio::test]
    async fn in_base64_channels_are_digits() {
        let (mut client, server) = tokio::io::duplex(4096);
        let mut channels = Channels::start(server, &[0], Dialect::of("base64.channel.k8s.io"));
        client.write_all(&masked(0x81, b"0aGk=")).await.unwrap();
        assert_eq!(channels.inlet(0).unwrap().next().await.as_deref(), Some(&b"hi"[..]));
        channels.outlet(1).send(b"out").await.unwrap();
        channels.connection.close().await;
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, [&[0x81, 5][..], b"1b3V0", &[0x88, 2, 3, 232]].concat());
    }
}
