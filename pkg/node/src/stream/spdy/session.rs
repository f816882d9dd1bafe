//! One SPDY connection at work: accepts every stream that the client opens and hands it on.
//!
//! Data is sent without waiting for windows: clients of Kubernetes (spdystream) never grant any, and the connection's
//! own back-pressure bounds what waits. What we consume is granted, for clients that do count.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::sync::{mpsc, watch};

use super::super::{Connection, Form, Grants, Inlet, Out, Outlet, QUEUE, lingered, write_frames};
use super::frame::{self, Frame};
use super::headers::{Reader, Writer};

/// Streams open at a time.
const STREAMS: usize = 1024;

/// A connection and the streams that its client opens.
pub(crate) struct Session {
    pub(crate) connection: Connection,
    opened: mpsc::Receiver<Stream>,
}

/// A stream that the client opened.
pub(crate) struct Stream {
    /// Names are in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) inlet: Inlet,
    pub(crate) outlet: Outlet,
    /// Turns true when the client gave the stream up.
    pub(crate) reset: Arc<AtomicBool>,
}

impl Session {
    /// Starts to read and write.
    pub(crate) fn start<S>(io: S) -> Session
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (reader, writer) = tokio::io::split(io);
        let (frames, outgoing) = mpsc::channel(QUEUE);
        let (done, mut finished) = watch::channel(false);
        let (left, gone) = watch::channel(false);
        let (open, opened) = mpsc::channel(QUEUE);
        tokio::spawn(write_frames(writer, outgoing, done));
        let connection = Connection { frames: frames.clone(), gone, farewell: frame::go_away(0x7fff_ffff) };
        let state = State { frames: frames.clone(), open, streams: HashMap::new(), last: 0 };
        tokio::spawn(async move {
            tokio::select! { () = state.read(reader) => {}, () = lingered(&mut finished) => {} }
            left.send_replace(true);
            let _ = frames.send(Out::Close).await;
        });
        Session { connection, opened }
    }

    /// The next stream; nothing when the connection is gone.
    pub(crate) async fn accept(&mut self) -> Option<Stream> {
        self.opened.recv().await
    }
}

struct State {
    frames: mpsc::Sender<Out>,
    open: mpsc::Sender<Stream>,
    /// Streams whose client has not ended its half.
    streams: HashMap<u32, (mpsc::Sender<Bytes>, Arc<AtomicBool>)>,
    last: u32,
}

impl State {
    async fn read(mut self, mut from: impl AsyncRead + Unpin) {
        let mut buffer = BytesMut::new();
        let (mut reader, mut writer) = match Writer::new() {
            Ok(writer) => (Reader::new(), writer),
            Err(error) => return tracing::warn!(%error, "no SPDY"),
        };
        loop {
            let next = match frame::decode(&mut buffer) {
                Ok(Some(next)) => next,
                Ok(None) => match from.read_buf(&mut buffer).await {
                    Ok(0) | Err(_) => return,
                    Ok(_) => continue,
                },
                Err(error) => return tracing::debug!(%error, "a client's SPDY connection ends"),
            };
            if let Err(text) = self.handle(next, &mut reader, &mut writer).await {
                return tracing::debug!(text, "a client's SPDY connection ends");
            }
        }
    }

    async fn handle(&mut self, next: Frame, reader: &mut Reader, writer: &mut Writer) -> Result<(), String> {
        match next {
            Frame::Open { stream, block, last } => {
                let headers = reader.read(&block).map_err(|error| error.to_string())?;
                if stream.is_multiple_of(2) || stream <= self.last {
                    return self.say(frame::reset(stream, frame::PROTOCOL_ERROR)).await;
                }
                self.last = stream;
                if self.streams.len() >= STREAMS {
                    return self.say(frame::reset(stream, frame::REFUSED_STREAM)).await;
                }
                let block = writer.write(&[]).map_err(|error| error.to_string())?;
                self.say(frame::reply(stream, &block)).await?;
                let (sender, chunks) = mpsc::channel(QUEUE);
                let reset = Arc::new(AtomicBool::new(false));
                if !last {
                    self.streams.insert(stream, (sender, reset.clone()));
                }
                let grants = Some(Grants { frames: self.frames.clone(), stream, consumed: 0 });
                let outlet = Outlet { frames: self.frames.clone(), form: Form::Spdy { stream } };
                let opened = Stream { headers, inlet: Inlet { chunks, grants }, outlet, reset };
                // Nobody listens any more: the connection is about to end.
                let _ = self.open.send(opened).await;
            }
            Frame::Headers { stream, block, last } => {
                reader.read(&block).map_err(|error| error.to_string())?;
                if last {
                    self.streams.remove(&stream);
                }
            }
            Frame::Data { stream, data, last } => {
                if let Some((chunks, _)) = self.streams.get(&stream) {
                    let lost = !data.is_empty() && chunks.send(data).await.is_err();
                    if last || lost {
                        self.streams.remove(&stream);
                    }
                }
            }
            Frame::Reset { stream } => {
                if let Some((_, reset)) = self.streams.remove(&stream) {
                    reset.store(true, Ordering::Relaxed);
                }
            }
            // Pings with even numbers would be answers to ours, of which there are none.
            Frame::Ping { id } if !id.is_multiple_of(2) => self.say(frame::ping(id)).await?,
            Frame::Ping { .. } | Frame::GoAway | Frame::Other => {}
        }
        Ok(())
    }

    async fn say(&self, bytes: Bytes) -> Result<(), String> {
        self.frames.send(Out::Frame(bytes)).await.map_err(|_| "nobody writes".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    /// SYN_STREAM.
    fn open(writer: &mut Writer, stream: u32, headers: &[(&str, &str)]) -> Vec<u8> {
        let block = writer.write(headers).unwrap();
        let mut frame = vec![0x80, 3, 0, 1, 0];
        frame.extend_from_slice(&(10 + block.len() as u32).to_be_bytes()[1..]);
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.extend_from_slice(&[0; 6]);
        [frame, block].concat()
    }

    async fn answer(client: &mut (impl AsyncRead + Unpin), buffer: &mut BytesMut) -> Frame {
        loop {
            if let Some(frame) = frame::decode(buffer).unwrap() {
                return frame;
            }
            assert_ne!(client.read_buf(buffer).await.unwrap(), 0, "the connection ended early");
        }
    }

    #[tokio::test]
    async fn streams_open_carry_bytes_half_close_and_reset() {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let mut session = Session::start(server);
        let (mut writer, mut buffer) = (Writer::new().unwrap(), BytesMut::new());
        client.write_all(&open(&mut writer, 1, &[("streamtype", "stdin")])).await.unwrap();
        client.write_all(&open(&mut writer, 3, &[("streamtype", "stdout")])).await.unwrap();
        // Not odd: refused, without harm to the others.
        client.write_all(&open(&mut writer, 4, &[])).await.unwrap();
        client.write_all(&frame::ping(1)).await.unwrap();
        client.write_all(&frame::data(1, &[7; 40_000], true)).await.unwrap();
        client.write_all(&frame::reset(3, 1)).await.unwrap();
        let mut stdin = session.accept().await.unwrap();
        let mut stdout = session.accept().await.unwrap();
        assert_eq!(stdin.headers.get("streamtype").map(String::as_str), Some("stdin"));
        assert_eq!(stdin.inlet.next().await.map(|data| data.len()), Some(40_000));
        assert_eq!(stdin.inlet.next().await, None);
        assert_eq!(stdout.inlet.next().await, None);
        assert!(stdout.reset.load(Ordering::Relaxed) && !stdin.reset.load(Ordering::Relaxed));
        stdout.outlet.send(b"out").await.unwrap();
        stdout.outlet.finish().await;
        session.connection.close().await;
        let mut reader = Reader::new();
        for stream in [1, 3] {
            let Frame::Headers { stream: of, block, last: false } = answer(&mut client, &mut buffer).await else {
                panic!("no reply");
            };
            assert_eq!((of, reader.read(&block).unwrap().len()), (stream, 0));
        }
        assert_eq!(answer(&mut client, &mut buffer).await, Frame::Reset { stream: 4 });
        assert_eq!(answer(&mut client, &mut buffer).await, Frame::Ping { id: 1 });
        // The grant for what was consumed.
        assert_eq!(answer(&mut client, &mut buffer).await, Frame::Other);
        let data = |data: &'static [u8], last| Frame::Data { stream: 3, data: Bytes::from_static(data), last };
        assert_eq!(answer(&mut client, &mut buffer).await, data(b"out", false));
        assert_eq!(answer(&mut client, &mut buffer).await, data(b"", true));
        assert_eq!(answer(&mut client, &mut buffer).await, Frame::GoAway);
        drop(client);
        session.connection.gone().await;
        assert!(session.accept().await.is_none());
    }
}
