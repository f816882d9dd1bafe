//! Doors for fuzzing: what clients' bytes meet first, as functions that panic when an invariant breaks. Not for product
//! code.

/// WebSocket frames of a client.
///
/// # Panics
/// When the bytes in one piece mean something else than byte by byte, or when more comes out than went in.
pub fn websocket(bytes: &[u8]) {
    crate::stream::websocket::exercise(bytes);
}

/// SPDY frames of a client.
///
/// # Panics
/// As [`websocket`].
pub fn spdy(bytes: &[u8]) {
    crate::stream::spdy::exercise_frames(bytes);
}

/// Compressed SPDY header blocks of one connection, each after two bytes of its length.
///
/// # Panics
/// When a block unpacks to more than the limit, or when headers written are not those read.
pub fn spdy_headers(bytes: &[u8]) {
    crate::stream::spdy::exercise_headers(bytes);
}
