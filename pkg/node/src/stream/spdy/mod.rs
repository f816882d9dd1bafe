//! SPDY/3.1, the server's side, as far as clients of Kubernetes use it: streams that clients open, data both ways,
//! half-closes, resets, pings. Frames in `frame.rs`, compressed header blocks in `headers.rs`, the running connection in
//! `session.rs`.

pub(super) mod frame;
mod headers;
mod session;

pub(crate) use session::{Session, Stream};

/// See [`crate::strangers::spdy`].
pub(crate) fn exercise_frames(bytes: &[u8]) {
    let all = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let (mut buffer, mut out) = (bytes::BytesMut::new(), Vec::new());
        for piece in pieces {
            buffer.extend_from_slice(piece);
            loop {
                match frame::decode(&mut buffer) {
                    Ok(Some(frame)) => out.push(frame),
                    Ok(None) => break,
                    Err(malformed) => return (out, Some(malformed)),
                }
            }
        }
        (out, None)
    };
    let whole = all(&mut std::iter::once(bytes));
    assert_eq!(whole, all(&mut bytes.chunks(1)), "in one piece and byte by byte");
    for frame in whole.0 {
        if let frame::Frame::Data { stream, data, last } = frame {
            let mut again = bytes::BytesMut::from(&frame::data(stream, &data, last)[..]);
            assert_eq!(frame::decode(&mut again), Ok(Some(frame::Frame::Data { stream, data, last })));
        }
    }
}

/// See [`crate::strangers::spdy_headers`].
pub(crate) fn exercise_headers(mut bytes: &[u8]) {
    let mut reader = headers::Reader::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let (block, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)).min(rest.len()));
        bytes = rest;
        let Ok(read) = reader.read(block) else { return };
        let size: usize = read.iter().map(|(name, value)| name.len() + value.len()).sum();
        // Bytes that are no UTF-8 become three each.
        assert!(size <= headers::LONGEST * 3, "{size} bytes of headers");
        let list: Vec<(&str, &str)> = read.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        if size < headers::LONGEST / 2 {
            let block = headers::Writer::new().and_then(|mut writer| writer.write(&list)).expect("it can be written");
            assert_eq!(headers::Reader::new().read(&block).expect("and read"), read);
        }
    }
}
