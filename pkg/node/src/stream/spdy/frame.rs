//! SPDY frames as bytes (SPDY protocol draft 3.1, section 2.2): taking apart, putting together. Must not keep state.

use bytes::{Buf as _, Bytes, BytesMut};

/// The longest control frame that is taken.
const LONGEST_CONTROL: usize = 64 * 1024;
/// The longest data frame that is taken.
const LONGEST_DATA: usize = 4 << 20;

const VERSION: u16 = 3;
const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;
const WINDOW_UPDATE: u16 = 9;

const FIN: u8 = 1;

/// RST_STREAM: the other side broke the rules.
pub(super) const PROTOCOL_ERROR: u32 = 1;
/// RST_STREAM: the stream was not looked at.
pub(super) const REFUSED_STREAM: u32 = 3;

/// A frame that came in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// A new stream with its compressed headers.
    Open { stream: u32, block: Bytes, last: bool },
    /// Further compressed headers, of HEADERS or SYN_REPLY.
    Headers { stream: u32, block: Bytes, last: bool },
    /// A stream is given up.
    Reset { stream: u32 },
    /// To be answered by the same.
    Ping { id: u32 },
    /// No more streams come.
    GoAway,
    /// Bytes of a stream.
    Data { stream: u32, data: Bytes, last: bool },
    /// SETTINGS, WINDOW_UPDATE and what the future may bring: nothing to do.
    Other,
}

/// The other side does not speak SPDY/3.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("version {0} of SPDY")]
    Version(u16),
    #[error("a frame of {0} bytes")]
    TooLong(usize),
    #[error("a frame of type {0} is cut short")]
    Short(u16),
}

/// The next frame in `buffer`, which is taken out; nothing while more bytes are needed.
pub(super) fn decode(buffer: &mut BytesMut) -> Result<Option<Frame>, Malformed> {
    let Some(head) = buffer.get(..8) else { return Ok(None) };
    let word = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
    let flags = head[4];
    let length = usize::from(head[5]) << 16 | usize::from(head[6]) << 8 | usize::from(head[7]);
    let control = word >> 31 == 1;
    if control && (word >> 16) as u16 & 0x7fff != VERSION {
        return Err(Malformed::Version((word >> 16) as u16 & 0x7fff));
    }
    if length > if control { LONGEST_CONTROL } else { LONGEST_DATA } {
        return Err(Malformed::TooLong(length));
    }
    if buffer.len() < 8 + length {
        return Ok(None);
    }
    buffer.advance(8);
    let mut body = buffer.split_to(length).freeze();
    let last = flags & FIN != 0;
    if !control {
        return Ok(Some(Frame::Data { stream: word, data: body, last }));
    }
    let kind = word as u16;
    let needs = match kind {
        SYN_STREAM => 10,
        SYN_REPLY | HEADERS | PING | GOAWAY => 4,
        RST_STREAM => 8,
        _ => 0,
    };
    if body.len() < needs {
        return Err(Malformed::Short(kind));
    }
    let stream = if needs > 0 { body.get_u32() & 0x7fff_ffff } else { 0 };
    Ok(Some(match kind {
        SYN_STREAM => {
            // The associated stream, priority and slot.
            body.advance(6);
            Frame::Open { stream, block: body, last }
        }
        SYN_REPLY | HEADERS => Frame::Headers { stream, block: body, last },
        RST_STREAM => Frame::Reset { stream },
        PING => Frame::Ping { id: stream },
        GOAWAY => Frame::GoAway,
        _ => Frame::Other,
    }))
}

fn control(kind: u16, body: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(8 + body.len());
    frame.extend_from_slice(&(0x8000 | VERSION).to_be_bytes());
    frame.extend_from_slice(&kind.to_be_bytes());
    frame.extend_from_slice(&(body.len() as u32 & 0xff_ffff).to_be_bytes());
    frame.extend_from_slice(body);
    frame.into()
}

/// Accepts a stream; `block` is its compressed headers.
pub(super) fn reply(stream: u32, block: &[u8]) -> Bytes {
    control(SYN_REPLY, &[&stream.to_be_bytes(), block].concat())
}

/// Gives a stream up.
pub(super) fn reset(stream: u32, status: u32) -> Bytes {
    control(RST_STREAM, &[stream.to_be_bytes(), status.to_be_bytes()].concat())
}

/// The answer to a ping.
pub(super) fn ping(id: u32) -> Bytes {
    control(PING, &id.to_be_bytes())
}

/// The last word: no stream after `last` was looked at.
pub(super) fn go_away(last: u32) -> Bytes {
    control(GOAWAY, &[last.to_be_bytes(), [0; 4]].concat())
}

/// Lets the other side send `delta` bytes more.
pub(in crate::stream) fn window_update(stream: u32, delta: u32) -> Bytes {
    control(WINDOW_UPDATE, &[stream.to_be_bytes(), (delta & 0x7fff_ffff).to_be_bytes()].concat())
}

/// Bytes of a stream; with `last` nothing comes after them.
pub(in crate::stream) fn data(stream: u32, data: &[u8], last: bool) -> Bytes {
    let mut frame = Vec::with_capacity(8 + data.len());
    frame.extend_from_slice(&(stream & 0x7fff_ffff).to_be_bytes());
    frame.extend_from_slice(&(data.len() as u32 & 0xff_ffff).to_be_bytes());
    frame[4] = if last { FIN } else { 0 };
    frame.extend_from_slice(data);
    frame.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let open = control(SYN_STREAM, &[0, 0, 0, 5, 0, 0, 0, 0, 0, 0, b'h']);
        let all = [open, reply(5, b"r"), data(5, b"abc", true), reset(5, 1), ping(7), go_away(5), window_update(5, 9)];
        let mut buffer = BytesMut::from(&all.concat()[..]);
        let mut frames = Vec::new();
        while let Some(frame) = decode(&mut buffer).unwrap() {
            frames.push(frame);
        }
        let bytes = Bytes::from_static;
        assert_eq!(
            frames,
            [
                Frame::Open { stream: 5, block: bytes(b"h"), last: false },
                Frame::Headers { stream: 5, block: bytes(b"r"), last: false },
                Frame::Data { stream: 5, data: bytes(b"abc"), last: true },
                Frame::Reset { stream: 5 },
                Frame::Ping { id: 7 },
                Frame::GoAway,
                Frame::Other,
            ]
        );
        assert!(buffer.is_empty());
    }

    #[test]
    fn what_is_wrong_is_told_apart() {
        let wrong = |bytes: &[u8]| decode(&mut BytesMut::from(bytes)).unwrap_err();
        assert_eq!(wrong(&[0, 0, 0, 1, 0, 0xff, 0xff, 0xff]), Malformed::TooLong(0xff_ffff));
        assert_eq!(wrong(&[0x80, 2, 0, 1, 0, 0, 0, 0]), Malformed::Version(2));
        assert_eq!(wrong(&control(SYN_STREAM, &[0; 9])), Malformed::Short(SYN_STREAM));
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let mut buffer = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = decode(&mut buffer) {}
            prop_assert!(buffer.len() <= bytes.len());
        }
    }
}
