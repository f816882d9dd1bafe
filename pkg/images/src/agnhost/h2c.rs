//! `agnhost h2c-server`: HTTP/2 without TLS, by prior knowledge; answers `ok` to everything.

use std::convert::Infallible;
use std::process::ExitCode;

use bytes::Bytes;
use http::Response;
use http::header::{CONTENT_TYPE, HeaderValue};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use super::{Local, Mode};
use crate::flags::Flag;
use crate::go;

pub(super) const MODE: Mode = Mode {
    name: "h2c-server",
    about: "Starts a simple HTTP/2 cleartext (h2c) server",
    flags: &[Flag::int("port", "80")],
    words: Some(0),
    run: |flags| {
        super::block_on(async {
            let Some(port) = flags.port("port") else {
                go::fatal(format_args!(
                    "Error from net.Listen(): listen tcp: address {}: invalid port",
                    flags.int("port")
                ));
            };
            serve(port).await
        })
    },
};

async fn serve(port: u16) -> ExitCode {
    let listener = super::listen(port);
    go::log(format_args!("Serving h2c on port {port}.\n"));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => go::fatal(format_args!("Error from Accept(): {}", go::errno(&error))),
        };
        tokio::task::spawn_local(async move {
            let service = service_fn(|_| async {
                let mut answer = Response::new(Full::new(Bytes::from_static(b"ok")));
                answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
                Ok::<_, Infallible>(answer)
            });
            // A client that breaks off is its own business.
            let _ =
                hyper::server::conn::http2::Builder::new(Local).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
