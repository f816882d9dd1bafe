//! `nginx`: a static web server with nginx' welcome page, headers, errors and logs, as far as a networking class looks.
//!
//! Serves `/usr/share/nginx/html` where a volume is mounted there, else the welcome page alone.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, ALLOW, CONTENT_LENGTH, CONTENT_TYPE, ETAG, LAST_MODIFIED, LOCATION, REFERER, SERVER, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response};

use crate::serve::{Answer, AtSignal, Server};

const VERSION: &str = "nginx/1.29.3";
const ROOT: &str = "/usr/share/nginx/html";

const WELCOME: &str = "<!DOCTYPE html>
<html>
<head>
<title>Welcome to nginx!</title>
<style>
body { max-width: 36em; margin: 2em auto; font-family: sans-serif; }
</style>
</head>
<body>
<h1>Welcome to nginx!</h1>
<p>This page comes from minisvc's built-in web server, which stands in for the nginx image: same port, same
headers, same log lines. Put files under /usr/share/nginx/html (a volume) to serve your own.</p>
</body>
</html>
";

/// Serves on port 80 (or `PORT`) until SIGTERM, SIGINT or SIGQUIT; ends with 0.
pub(crate) fn run() -> ExitCode {
    let port = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(80);
    Server {
        port,
        at_signal: AtSignal::Exit(0),
        started: |_| {
            eprintln!("{} [notice] 1#1: {VERSION}", error_time());
            eprintln!("{} [notice] 1#1: start worker processes", error_time());
        },
        cannot_listen: |port, error| {
            eprintln!("{} [emerg] 1#1: bind() to 0.0.0.0:{port} failed ({error})", error_time());
        },
        answer: |request: &Request<Incoming>, peer| {
            let answer = respond(request, Path::new(ROOT), peer);
            log(request, &answer, peer);
            answer
        },
    }
    .run()
}

fn respond<B>(request: &Request<B>, root: &Path, peer: SocketAddr) -> Answer {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut answer = error(StatusCode::METHOD_NOT_ALLOWED);
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    let path = request.uri().path();
    if !root.is_dir() && matches!(path, "/" | "/index.html") {
        return page(path, Bytes::from_static(WELCOME.as_bytes()), "Tue, 28 Oct 2025 12:05:10 GMT", "6900b176");
    }
    let Some(file) = inside(root, path) else {
        return error(StatusCode::BAD_REQUEST);
    };
    if file.is_dir() && !path.ends_with('/') {
        let mut answer = error(StatusCode::MOVED_PERMANENTLY);
        if let Ok(target) = HeaderValue::from_str(&format!("{path}/")) {
            answer.headers_mut().insert(LOCATION, target);
        }
        return answer;
    }
    let directory = file.is_dir();
    let file = if directory { file.join("index.html") } else { file };
    match (std::fs::read(&file), std::fs::metadata(&file)) {
        (Ok(content), Ok(metadata)) => {
            let modified =
                metadata.modified().ok().and_then(|time| jiff::Timestamp::try_from(time).ok()).unwrap_or_default();
            let date = modified.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
            page(&file.to_string_lossy(), content.into(), &date, &format!("{:x}", modified.as_second()))
        }
        _ if directory && root.is_dir() => error(StatusCode::FORBIDDEN),
        (Err(cause), _) if cause.kind() == io::ErrorKind::PermissionDenied => error(StatusCode::FORBIDDEN),
        _ => {
            eprintln!(
                "{} [error] 1#1: *1 open() \"{}\" failed (2: No such file or directory), client: {}, server: localhost, request: \"{} {path} {:?}\"",
                error_time(),
                file.display(),
                peer.ip(),
                request.method(),
                request.version(),
            );
            error(StatusCode::NOT_FOUND)
        }
    }
}

/// The file below `root` that `path` names; `None` where the path climbs out.
fn inside(root: &Path, path: &str) -> Option<PathBuf> {
    let mut file = root.to_owned();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." || part.contains('\0') {
            return None;
        }
        file.push(part);
    }
    Some(file)
}

fn page(name: &str, content: Bytes, modified: &str, tag: &str) -> Answer {
    let kind = match name.rsplit('.').next() {
        Some("css") => "text/css",
        Some("js") => "application/javascript",
        Some("json") => "application/json",
        Some("txt") => "text/plain",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("svg") => "image/svg+xml",
        Some("html" | "htm") => "text/html",
        _ if name.ends_with('/') => "text/html",
        _ => "application/octet-stream",
    };
    let tag = format!("\"{tag}-{:x}\"", content.len());
    let mut answer = answer(StatusCode::OK, kind, content);
    set(answer.headers_mut(), LAST_MODIFIED, modified);
    set(answer.headers_mut(), ETAG, &tag);
    answer.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    answer
}

fn error(status: StatusCode) -> Answer {
    let words = match status {
        StatusCode::METHOD_NOT_ALLOWED => "405 Not Allowed".to_owned(),
        status => format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default()),
    };
    let body = format!(
        "<html>\r\n<head><title>{words}</title></head>\r\n<body>\r\n<center><h1>{words}</h1></center>\r\n\
         <hr><center>{VERSION}</center>\r\n</body>\r\n</html>\r\n"
    );
    answer(status, "text/html", body.into())
}

fn answer(status: StatusCode, kind: &'static str, body: Bytes) -> Answer {
    let length = body.len();
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(SERVER, HeaderValue::from_static(VERSION));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CONTENT_LENGTH, length.into());
    answer
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn log<B>(request: &Request<B>, answer: &Answer, peer: SocketAddr) {
    let header = |name: HeaderName| match request.headers().get(name) {
        Some(value) => String::from_utf8_lossy(value.as_bytes()).into_owned(),
        None => "-".to_owned(),
    };
    let length = match *request.method() {
        Method::HEAD => "0",
        _ => answer.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()).unwrap_or("0"),
    };
    let line = format!(
        "{} - - [{}] \"{} {} {:?}\" {} {length} \"{}\" \"{}\" \"{}\"\n",
        peer.ip(),
        access_time(),
        request.method(),
        request.uri(),
        request.version(),
        answer.status().as_u16(),
        header(REFERER),
        header(USER_AGENT),
        header(HeaderName::from_static("x-forwarded-for")),
    );
    let _ = io::stdout().write_all(line.as_bytes());
}

/// `23/Nov/2026:15:06:23 +0000`, the common log format's time.
pub(crate) fn access_time() -> String {
    jiff::Timestamp::now().strftime("%d/%b/%Y:%H:%M:%S +0000").to_string()
}

fn error_time() -> String {
    jiff::Timestamp::now().strftime("%Y/%m/%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(root: &Path, method: &str, path: &str) -> Answer {
        let request = Request::builder().method(method).uri(path).body(()).unwrap();
        respond(&request, root, "10.0.0.1:1".parse().unwrap())
    }

    #[test]
    fn the_welcome_page_and_errors() {
        let none = Path::new("/no/such/directory");
        let welcome = get(none, "GET", "/");
        assert_eq!(welcome.status(), 200);
        assert_eq!(welcome.headers()[CONTENT_TYPE], "text/html");
        assert!(welcome.headers()[SERVER].to_str().unwrap().starts_with("nginx/"));
        assert_eq!(get(none, "GET", "/nothing").status(), 404);
        assert_eq!(get(none, "POST", "/").status(), 405);
        assert!(WELCOME.contains("<title>Welcome to nginx!</title>"));
    }

    #[test]
    fn a_mounted_directory_is_served_and_not_left() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("index.html"), "mine").unwrap();
        std::fs::create_dir(folder.path().join("sub")).unwrap();
        assert_eq!(get(folder.path(), "GET", "/").headers()[CONTENT_LENGTH], "4");
        assert_eq!(get(folder.path(), "GET", "/sub").status(), 301);
        assert_eq!(get(folder.path(), "GET", "/sub/").status(), 403);
        assert_eq!(get(folder.path(), "GET", "/../etc/passwd").status(), 400);
        assert_eq!(get(folder.path(), "HEAD", "/index.html").status(), 200);
    }
}
