//! SPDY/3.1, the server's side, as far as clients of Kubernetes use it: streams that clients open, data both ways,
//! half-closes, resets, pings. Frames in `frame.rs`, compressed header blocks in `headers.rs`, the running connection in
//! `session.rs`.

pub(super) mod frame;
mod headers;
mod session;

pub(crate) use session::{Session, Stream};
