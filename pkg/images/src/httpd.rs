//! `httpd`: Apache's "It works!" page with its headers and log.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use bytes::Bytes;
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_TYPE, ETAG, LAST_MODIFIED, SERVER};
use http::{HeaderValue, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response};

use crate::nginx::access_time;
use crate::serve::{Answer, AtSignal, Server};

const VERSION: &str = "Apache/2.4.65 (Unix)";
const PAGE: &str = "<html><body><h1>It works!</h1></body></html>\n";

/// Serves on port 80 until SIGTERM, SIGINT or SIGQUIT; ends with 0.
pub(crate) fn run() -> ExitCode {
    Server {
        port: 80,
        at_signal: AtSignal::Exit(0),
        started: |_| eprintln!("[core:notice] AH00094: Command line: 'httpd -D FOREGROUND'"),
        cannot_listen: |port, error| {
            eprintln!("(98){error}: AH00072: make_sock: could not bind to address [::]:{port}");
            eprintln!("no listening sockets available, shutting down");
        },
        answer: |request: &Request<Incoming>, peer| {
            let answer = respond(request.uri().path());
            log(request, &answer, peer);
            answer
        },
    }
    .run()
}

fn respond(path: &str) -> Answer {
    let (status, kind, body) = match path {
        "/" | "/index.html" => (StatusCode::OK, "text/html", Bytes::from_static(PAGE.as_bytes())),
        _ => (
            StatusCode::NOT_FOUND,
            "text/html; charset=iso-8859-1",
            Bytes::from_static(
                b"<html><head>\n<title>404 Not Found</title>\n</head><body>\n<h1>Not Found</h1>\n\
                  <p>The requested URL was not found on this server.</p>\n</body></html>\n",
            ),
        ),
    };
    let length = body.len();
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(SERVER, HeaderValue::from_static(VERSION));
    if status == StatusCode::OK {
        headers.insert(LAST_MODIFIED, HeaderValue::from_static("Mon, 11 Jun 2007 18:53:14 GMT"));
        headers.insert(ETAG, HeaderValue::from_static("\"2d-432a5e4a73a80\""));
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    }
    headers.insert(CONTENT_LENGTH, length.into());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

fn log(request: &Request<Incoming>, answer: &Answer, peer: SocketAddr) {
    let length = answer.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()).unwrap_or("-");
    let line = format!(
        "{} - - [{}] \"{} {} {:?}\" {} {length}\n",
        peer.ip(),
        access_time(),
        request.method(),
        request.uri(),
        request.version(),
        answer.status().as_u16(),
    );
    let _ = io::stdout().write_all(line.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_works_or_is_not_found() {
        let answer = respond("/");
        assert_eq!((answer.status(), answer.headers()[CONTENT_LENGTH].to_str().unwrap()), (StatusCode::OK, "45"));
        assert_eq!(respond("/x").status(), 404);
    }
}
