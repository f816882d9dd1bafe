//! Web servers in the manner of Go's net/http: routes are one asynchronous function over a whole request. Bodies are
//! read before the answer and bounded; content types are guessed as Go guesses them.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, LOCATION};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::serve::{self, Answer};

/// The largest request body that is read, bytes.
const BODY_LIMIT: usize = 64 << 20;

/// A request, read to its end.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) peer: SocketAddr,
}

impl Asked {
    pub(crate) fn path(&self) -> &str {
        self.uri.path()
    }

    /// The first value of `key` in the query, unescaped; empty where there is none.
    pub(crate) fn query(&self, key: &str) -> String {
        value(self.uri.query().unwrap_or_default(), key).unwrap_or_default()
    }

    /// The value of `key` in a form that was posted, else in the query.
    pub(crate) fn form(&self, key: &str) -> String {
        let kind = self.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        let posted = matches!(self.method, Method::POST | Method::PUT | Method::PATCH)
            && kind.starts_with(b"application/x-www-form-urlencoded");
        let posted = posted.then(|| value(&String::from_utf8_lossy(&self.body), key)).flatten();
        posted.unwrap_or_else(|| self.query(key))
    }
}

fn value(pairs: &str, key: &str) -> Option<String> {
    pairs.split('&').find_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (unescape(name) == key).then(|| unescape(value))
    })
}

fn unescape(text: &str) -> String {
    let text = text.replace('+', " ");
    percent_encoding::percent_decode_str(&text).decode_utf8_lossy().into_owned()
}

/// Serves `listener` until `stop` turns true.
pub(crate) async fn serve<F, A>(listener: TcpListener, tls: Option<TlsAcceptor>, stop: watch::Receiver<bool>, answer: F)
where
    F: Fn(Asked) -> A + 'static,
    A: Future<Output = Answer> + 'static,
{
    let answer = Rc::new(answer);
    let whole = move |request: Request<Incoming>, peer| {
        let answer = answer.clone();
        async move {
            let (head, body) = request.into_parts();
            match Limited::new(body, BODY_LIMIT).collect().await {
                Ok(body) => {
                    let (method, uri, headers) = (head.method, head.uri, head.headers);
                    answer(Asked { method, uri, headers, body: body.to_bytes(), peer }).await
                }
                Err(error) => failure(StatusCode::BAD_REQUEST, &error.to_string()),
            }
        }
    };
    serve::accept(listener, tls, stop, Rc::new(whole)).await;
}

/// Serves for ever.
pub(crate) async fn serve_forever<F, A>(listener: TcpListener, tls: Option<TlsAcceptor>, answer: F)
where
    F: Fn(Asked) -> A + 'static,
    A: Future<Output = Answer> + 'static,
{
    let (_never, stop) = watch::channel(false);
    serve(listener, tls, stop, answer).await;
}

/// An answer with this body; its content type is guessed.
pub(crate) fn answer(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let body = body.into();
    let kind = sniff(&body);
    let mut answer = Response::new(Full::new(body.clone()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_LENGTH, body.len().into());
    if !body.is_empty() {
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    answer
}

/// 200 with this body.
pub(crate) fn ok(body: impl Into<Bytes>) -> Answer {
    answer(StatusCode::OK, body)
}

/// Go's `http.Error`: plain text and a line feed.
pub(crate) fn failure(status: StatusCode, text: &str) -> Answer {
    let mut answer = answer(status, format!("{text}\n"));
    set(&mut answer, CONTENT_TYPE, "text/plain; charset=utf-8");
    set(&mut answer, HeaderName::from_static("x-content-type-options"), "nosniff");
    answer
}

/// Go's `404 page not found`.
pub(crate) fn not_found() -> Answer {
    failure(StatusCode::NOT_FOUND, "404 page not found")
}

/// Sets a header; a value that can be none is left out.
pub(crate) fn set(answer: &mut Answer, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}

/// Go's `http.Redirect`: a location without scheme is taken from the request's folder.
pub(crate) fn redirect(asked: &Asked, location: &str, status: StatusCode) -> Answer {
    let mut target = location.to_owned();
    if !target.contains("://") && !target.starts_with('/') {
        let folder = asked.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        target = format!("{folder}/{target}");
    }
    let body = match asked.method {
        Method::GET => {
            let words = status.canonical_reason().unwrap_or_default();
            let escaped = target.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&#34;");
            format!("<a href=\"{escaped}\">{words}</a>.\n\n")
        }
        _ => String::new(),
    };
    let mut answer = answer(status, body);
    if matches!(asked.method, Method::GET | Method::HEAD) {
        set(&mut answer, CONTENT_TYPE, "text/html; charset=utf-8");
    }
    set(&mut answer, LOCATION, &target);
    answer
}

/// The media type that Go's `DetectContentType` finds, as far as these servers send it.
fn sniff(body: &[u8]) -> &'static str {
    const MARKUP: [&str; 8] = ["<!doctype html", "<html", "<head", "<script", "<body", "<h1", "<div", "<a "];
    let start = String::from_utf8_lossy(&body[..body.len().min(512)]).trim_start().to_ascii_lowercase();
    if MARKUP.iter().any(|tag| start.starts_with(tag)) {
        return "text/html; charset=utf-8";
    }
    if start.starts_with("<?xml") {
        return "text/xml; charset=utf-8";
    }
    let binary = |byte: &u8| matches!(byte, 0..=8 | 11 | 14..=26 | 28..=31);
    match body.iter().take(512).any(binary) {
        true if body.starts_with(b"\x1f\x8b") => "application/x-gzip",
        true if body.starts_with(b"\x89PNG\r\n\x1a\n") => "image/png",
        true => "application/octet-stream",
        false => "text/plain; charset=utf-8",
    }
}

/// A flag that tasks of one thread share.
#[derive(Debug, Clone, Default)]
pub(crate) struct Switch(Rc<Cell<bool>>);

impl Switch {
    pub(crate) fn set(&self, on: bool) {
        self.0.set(on);
    }

    pub(crate) fn on(&self) -> bool {
        self.0.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(uri: &str) -> Asked {
        Asked {
            method: Method::GET,
            uri: uri.parse().unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            peer: "10.0.0.1:1".parse().unwrap(),
        }
    }

    #[test]
    fn forms_win_over_the_query() {
        let mut request = asked("/echo?msg=a%20b+c&code=201&x");
        assert_eq!((request.form("msg"), request.form("x"), request.form("y")), ("a b c".into(), "".into(), "".into()));
        request.method = Method::POST;
        request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        request.body = Bytes::from_static(b"msg=posted");
        assert_eq!((request.form("msg"), request.form("code")), ("posted".into(), "201".into()));
    }

    #[test]
    fn redirects_as_go_does() {
        let answer = redirect(&asked("/a/b"), "c?d", StatusCode::FOUND);
        assert_eq!((answer.status().as_u16(), answer.headers()[LOCATION].to_str().unwrap()), (302, "/a/c?d"));
        let answer = redirect(&asked("/a/b"), "http://x/", StatusCode::TEMPORARY_REDIRECT);
        assert_eq!(answer.headers()[LOCATION], "http://x/");
    }

    #[test]
    fn content_is_recognised() {
        assert_eq!(sniff(b"netserver-0"), "text/plain; charset=utf-8");
        assert_eq!(sniff(b"<a href=\"/x\">x</a>"), "text/html; charset=utf-8");
        assert_eq!(sniff(b"a\0b"), "application/octet-stream");
    }
}
