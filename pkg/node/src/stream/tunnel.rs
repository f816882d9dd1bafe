//! A plain byte stream inside a WebSocket's binary messages, cut anywhere: how kubectl carries SPDY over WebSocket
//! (`SPDY/3.1+portforward.k8s.io`, KEP-4006).

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream};

use super::websocket::{self, Decoder, Incoming};

/// Bytes on their way in one direction.
const ROOM: usize = 64 * 1024;

/// The stream inside the WebSocket `io`.
pub(crate) fn open<S>(io: S) -> DuplexStream
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (inner, outer) = tokio::io::duplex(ROOM);
    tokio::spawn(carry(io, outer));
    inner
}

async fn carry(io: impl AsyncRead + AsyncWrite, stream: DuplexStream) {
    let (mut from, mut to) = tokio::io::split(io);
    let (mut source, mut sink) = tokio::io::split(stream);
    let (pongs, mut waiting) = tokio::sync::mpsc::channel(4);
    let inwards = async {
        let (mut decoder, mut buffer) = (Decoder::default(), BytesMut::new());
        loop {
            match decoder.next(&mut buffer) {
                Ok(Some(Incoming::Message(message))) => {
                    if sink.write_all(&message).await.is_err() {
                        return;
                    }
                }
                Ok(Some(Incoming::Ping(payload))) => drop(pongs.send(websocket::pong(&payload)).await),
                Ok(Some(Incoming::Close)) => break,
                Ok(None) => match from.read_buf(&mut buffer).await {
                    Ok(0) | Err(_) => break,
                    Ok(_) => {}
                },
                Err(error) => {
                    tracing::debug!(%error, "a client's WebSocket ends");
                    break;
                }
            }
        }
        let _ = sink.shutdown().await;
    };
    let outwards = async {
        let mut buffer = vec![0; ROOM / 2];
        loop {
            let frame = tokio::select! {
                pong = waiting.recv() => pong,
                read = source.read(&mut buffer) => match read {
                    Ok(0) | Err(_) => None,
                    Ok(read) => Some(websocket::message(&[&buffer[..read]])),
                },
            };
            let Some(frame) = frame else { break };
            if to.write_all(&frame).await.is_err() || to.flush().await.is_err() {
                return;
            }
        }
        let _ = to.write_all(&websocket::close()).await;
        let _ = to.shutdown().await;
    };
    let mut outwards = std::pin::pin!(outwards);
    tokio::select! {
        // The peer left: what is still to say gets its moment.
        () = inwards => drop(tokio::time::timeout(super::LINGER, outwards).await),
        () = &mut outwards => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::websocket::tests::masked;
    use super::*;

    #[tokio::test]
    async fn bytes_pass_whatever_the_messages() {
        let (mut client, server) = tokio::io::duplex(4096);
        let mut stream = open(server);
        client.write_all(&masked(0x82, b"ab")).await.unwrap();
        client.write_all(&masked(0x89, b"!")).await.unwrap();
        client.write_all(&masked(0x82, b"cd")).await.unwrap();
        let mut word = [0; 4];
        stream.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"abcd");
        let mut pong = [0; 3];
        client.read_exact(&mut pong).await.unwrap();
        assert_eq!(pong, [0x8a, 1, b'!']);
        stream.write_all(b"xyz").await.unwrap();
        drop(stream);
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, [&[0x82, 3, b'x', b'y', b'z'][..], &[0x88, 2, 3, 232]].concat());
    }
}
