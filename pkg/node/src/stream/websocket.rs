//! WebSocket (RFC 6455), the server's side: the handshake's answer, frames in, frames out. No extensions. Must not know
//! what messages mean.

use base64::Engine as _;
use bytes::{Buf as _, Bytes, BytesMut};

/// The longest message that is taken.
const LONGEST: usize = 4 << 20;
/// RFC 6455 section 1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// What came in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// A whole message, text or binary.
    Message(Bytes),
    /// To be answered by a pong with the same bytes.
    Ping(Bytes),
    /// The other side ends.
    Close,
}

/// The other side does not speak WebSocket.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("reserved bits are set")]
    Reserved,
    #[error("opcode {0} is unknown")]
    Opcode(u8),
    #[error("a client's frame is not masked")]
    Unmasked,
    #[error("a control frame is longer than 125 bytes or in parts")]
    Control,
    #[error("a message is longer than {LONGEST} bytes")]
    TooLong,
    #[error("a message goes on that never began, or begins inside another")]
    Order,
}

/// `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key`.
pub(crate) fn accept(key: &str) -> String {
    let digest =
        ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, format!("{}{GUID}", key.trim()).as_bytes());
    base64::engine::general_purpose::STANDARD.encode(digest.as_ref())
}

/// Takes a client's frames apart.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    partial: Option<BytesMut>,
}

impl Decoder {
    /// The next whole thing in `buffer`, which is taken out; nothing while more bytes are needed.
    pub(crate) fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Incoming>, Malformed> {
        loop {
            let Some((last, opcode, payload)) = frame(buffer)? else { return Ok(None) };
            match (opcode, &mut self.partial) {
                (CLOSE, _) => return Ok(Some(Incoming::Close)),
                (PING, _) => return Ok(Some(Incoming::Ping(payload.freeze()))),
                (PONG, _) => {}
                (TEXT | BINARY, None) if last => return Ok(Some(Incoming::Message(payload.freeze()))),
                (TEXT | BINARY, None) => self.partial = Some(payload),
                (CONTINUATION, Some(partial)) => {
                    if partial.len() + payload.len() > LONGEST {
                        return Err(Malformed::TooLong);
                    }
                    partial.extend_from_slice(&payload);
                    if last {
                        return Ok(self.partial.take().map(|message| Incoming::Message(message.freeze())));
                    }
                }
                (CONTINUATION | TEXT | BINARY, _) => return Err(Malformed::Order),
                (other, _) => return Err(Malformed::Opcode(other)),
            }
        }
    }
}

/// One frame: whether it is its message's last, its opcode, its bytes.
fn frame(buffer: &mut BytesMut) -> Result<Option<(bool, u8, BytesMut)>, Malformed> {
    let [first, second, ..] = buffer[..] else { return Ok(None) };
    let (last, opcode) = (first & 0x80 != 0, first & 0x0f);
    if first & 0x70 != 0 {
        return Err(Malformed::Reserved);
    }
    if second & 0x80 == 0 {
        return Err(Malformed::Unmasked);
    }
    let short = usize::from(second & 0x7f);
    if opcode >= CLOSE && (short > 125 || !last) {
        return Err(Malformed::Control);
    }
    let wide = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let Some(extended) = buffer.get(2..2 + wide) else { return Ok(None) };
    let length = match wide {
        0 => short,
        _ => usize::try_from(extended.iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte)))
            .map_err(|_| Malformed::TooLong)?,
    };
    if length > LONGEST {
        return Err(Malformed::TooLong);
    }
    let head = 2 + wide + 4;
    if buffer.len() < head + length {
        return Ok(None);
    }
    let mut mask = [0; 4];
    mask.copy_from_slice(&buffer[head - 4..head]);
    buffer.advance(head);
    let mut payload = buffer.split_to(length);
    for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    Ok(Some((last, opcode, payload)))
}

/// See [`crate::strangers::websocket`].
pub(crate) fn exercise(bytes: &[u8]) {
    let all = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let (mut decoder, mut buffer, mut out) = (Decoder::default(), BytesMut::new(), Vec::new());
        for piece in pieces {
            buffer.extend_from_slice(piece);
            loop {
                match decoder.next(&mut buffer) {
                    Ok(Some(Incoming::Close)) => return (out, None),
                    Ok(Some(incoming)) => out.push(incoming),
                    Ok(None) => break,
                    Err(malformed) => return (out, Some(malformed)),
                }
            }
        }
        (out, None)
    };
    let whole = all(&mut std::iter::once(bytes));
    assert_eq!(whole, all(&mut bytes.chunks(1)), "in one piece and byte by byte");
    let size = |incoming: &Incoming| match incoming {
        Incoming::Message(bytes) | Incoming::Ping(bytes) => bytes.len(),
        Incoming::Close => 0,
    };
    assert!(whole.0.iter().map(size).sum::<usize>() <= bytes.len(), "more came out than went in");
}

/// A binary message of these parts.
pub(crate) fn message(parts: &[&[u8]]) -> Bytes {
    encode(BINARY, parts)
}

/// A text message of these parts.
pub(crate) fn text(parts: &[&[u8]]) -> Bytes {
    encode(TEXT, parts)
}

/// The answer to a ping.
pub(crate) fn pong(payload: &[u8]) -> Bytes {
    encode(PONG, &[payload])
}

/// The end, without complaint (1000).
pub(crate) fn close() -> Bytes {
    encode(CLOSE, &[&1000u16.to_be_bytes()])
}

fn encode(opcode: u8, parts: &[&[u8]]) -> Bytes {
    let length = parts.iter().map(|part| part.len()).sum::<usize>();
    let mut frame = Vec::with_capacity(length + 10);
    frame.push(0x80 | opcode);
    match length {
        0..126 => frame.push(length as u8),
        126..0x1_0000 => {
            frame.push(126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            frame.push(127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    for part in parts {
        frame.extend_from_slice(part);
    }
    frame.into()
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A client's frame.
    pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 4];
        let mut frame = vec![first];
        match payload.len() {
            0..126 => frame.push(0x80 | payload.len() as u8),
            length => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&(length as u16).to_be_bytes());
            }
        }
        frame.extend_from_slice(&mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }

    #[test]
    fn the_rfcs_handshake() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn messages_come_whole_whatever_their_pieces() {
        let mut bytes = masked(0x02, b"he");
        bytes.extend(masked(0x89, b"p"));
        bytes.extend(masked(0x80, b"llo"));
        bytes.extend(masked(0x82, &[7; 300]));
        bytes.extend(masked(0x88, &[3, 232]));
        let mut expected = vec![
            Incoming::Ping(Bytes::from_static(b"p")),
            Incoming::Message(Bytes::from_static(b"hello")),
            Incoming::Message(Bytes::from(vec![7; 300])),
            Incoming::Close,
        ];
        expected.reverse();
        let (mut decoder, mut buffer) = (Decoder::default(), BytesMut::new());
        for byte in bytes {
            buffer.extend_from_slice(&[byte]);
            while let Some(found) = decoder.next(&mut buffer).unwrap() {
                assert_eq!(Some(found), expected.pop());
            }
        }
        assert!(expected.is_empty() && buffer.is_empty());
    }

    #[test]
    fn what_is_wrong_is_told_apart() {
        let wrong = |bytes: &[u8]| Decoder::default().next(&mut BytesMut::from(bytes)).unwrap_err();
        assert_eq!(wrong(&[0x82, 0x01, 0]), Malformed::Unmasked);
        assert_eq!(wrong(&masked(0xc2, b"")), Malformed::Reserved);
        assert_eq!(wrong(&masked(0x80, b"x")), Malformed::Order);
        assert_eq!(wrong(&masked(0x83, b"x")), Malformed::Opcode(3));
        assert_eq!(wrong(&masked(0x09, b"x")), Malformed::Control);
        assert_eq!(wrong(&[0x82, 0xff, 1, 0, 0, 0, 0, 0, 0, 0]), Malformed::TooLong);
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let (mut decoder, mut buffer) = (Decoder::default(), BytesMut::from(&bytes[..]));
            while let Ok(Some(_)) = decoder.next(&mut buffer) {}
            prop_assert!(buffer.len() <= bytes.len());
        }
    }
}
