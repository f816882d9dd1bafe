//! `color`: the lesson's web server. Tells which pod answers, in the pod's colour, and which address it saw.
//!
//! Behaviour after the original's (jpetazzo/color), in our own words: the page's HTML lines end in a bare carriage
//! return and only the one visible line in a line feed, so that a terminal shows exactly that line.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION, USER_AGENT};
use http::{HeaderValue, Method, StatusCode, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response};

use crate::serve::{Answer, AtSignal, Server};

const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// Serves on `PORT` (80 unless set) until killed.
pub(crate) fn run() -> ExitCode {
    let port = match std::env::var("PORT").ok().filter(|port| !port.is_empty()).map(|port| port.parse::<u16>()) {
        None => 80,
        Some(Ok(port)) => port,
        Some(Err(_)) => {
            println!("Cannot start the HTTP server: PORT is not a port number.");
            println!("Set the PORT environment variable to a number from 1 to 65535.");
            return ExitCode::FAILURE;
        }
    };
    let identity = Identity::of_process();
    Server {
        port,
        at_signal: AtSignal::DieOrExit(2),
        started: |port| println!("Starting HTTP server ({}) listening on port {port}.", platform()),
        cannot_listen: |port, error| {
            println!("Cannot start the HTTP server: listen on port {port}: {error}.");
            println!("If the port is taken or not allowed, set the PORT environment variable to another one.");
        },
        answer: move |request: &Request<Incoming>, peer| identity.answer(request, peer),
    }
    .run()
}

/// Who answers.
struct Identity {
    hostname: String,
    namespace: Option<String>,
}

impl Identity {
    fn of_process() -> Identity {
        let namespace = std::env::var("NAMESPACE")
            .ok()
            .filter(|namespace| !namespace.is_empty())
            .or_else(|| std::fs::read_to_string(NAMESPACE_FILE).ok())
            .filter(|namespace| !namespace.is_empty());
        Identity { hostname: std::env::var("HOSTNAME").unwrap_or_default(), namespace }
    }

    fn answer<B>(&self, request: &Request<B>, peer: SocketAddr) -> Answer {
        if request.version() == Version::HTTP_11 && !request.headers().contains_key(HOST) {
            return text(
                StatusCode::BAD_REQUEST,
                "text/plain; charset=utf-8",
                "400 Bad Request: missing required Host header",
            );
        }
        if request.method() != Method::CONNECT
            && let Some(clean) = unclean(request.uri().path())
        {
            return moved(request, &clean);
        }
        let uri = request.uri().to_string();
        let agent = request.headers().get(USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
        let line =
            format!("{peer} {} {uri} {:?} [{}]\n", request.method(), request.version(), String::from_utf8_lossy(agent));
        // Whoever reads the log may be gone; the page is served all the same.
        let _ = io::stdout().write_all(line.as_bytes());
        text(StatusCode::OK, "text/html; charset=utf-8", self.page(&uri, peer))
    }

    /// The whole body.
    fn page(&self, uri: &str, peer: SocketAddr) -> String {
        let color = color_of(&self.hostname);
        let (who, background, circles) = match &self.namespace {
            Some(namespace) => (
                format!("pod {namespace}/{}", self.hostname),
                namespace.as_str(),
                format!("{}{}", circle(color_of(namespace)), circle(color)),
            ),
            None => (self.hostname.clone(), "", circle(color).to_owned()),
        };
        // Every line before the last must stay shorter than the last, or its end would show in a terminal.
        format!(
            "<!DOCTYPE html>\r<html>\r<head>\r<meta charset=\"utf-8\">\r<style>\rbody{{\rbackground:{background};\r}}\rdiv{{\r\
             background:{color};\rcolor:white;\rmargin:3em;\rpadding:2em;\r\
             font-family:sans-serif;\rtext-align:center;\rtext-shadow:0 0 3px black;\r}}\r</style>\r\
             </head>\r<body>\r<div>\r\
             {circles}This is {who} on {}, serving {} for {peer}.\n",
            platform(),
            uri.replace('<', "&lt;"),
        )
    }
}

fn text(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let body = body.into();
    let mut answer = Response::new(Full::new(body.clone()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_LENGTH, body.len().into());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

/// 301 to the clean path, as Go's ServeMux does by itself.
fn moved<B>(request: &Request<B>, clean: &str) -> Answer {
    let target = match request.uri().query() {
        Some(query) => format!("{clean}?{query}"),
        None => clean.to_owned(),
    };
    let body = match *request.method() {
        Method::GET => {
            format!("<a href=\"{}\">Moved Permanently</a>.\n\n", target.replace('&', "&amp;").replace('"', "&#34;"))
        }
        _ => String::new(),
    };
    let mut answer = text(StatusCode::MOVED_PERMANENTLY, "text/html; charset=utf-8", body);
    if let Ok(target) = HeaderValue::from_str(&target) {
        answer.headers_mut().insert(LOCATION, target);
    }
    answer
}

/// The path that Go's ServeMux would redirect to, where `path` is not clean: no empty, `.` or `..` parts, a final
/// slash kept.
fn unclean(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let mut clean = format!("/{}", parts.join("/"));
    if path.ends_with('/') && clean.len() > 1 {
        clean.push('/');
    }
    (clean != path && !path.is_empty() && path != "*").then_some(clean)
}

/// The text before the first dash.
fn color_of(name: &str) -> &str {
    name.split('-').next().unwrap_or_default()
}

fn circle(color: &str) -> &'static str {
    match color {
        "red" => "🔴",
        "orange" => "🟠",
        "yellow" => "🟡",
        "green" => "🟢",
        "blue" => "🔵",
        "purple" => "🟣",
        "brown" => "🟤",
        "black" => "⚫",
        "white" => "⚪",
        _ => "",
    }
}

/// `linux/amd64`, in Go's names.
fn platform() -> String {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        other => other,
    };
    format!("{}/{arch}", std::env::consts::OS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(namespace: Option<&str>) -> Identity {
        Identity { hostname: "blue-7d4b9c6f8-bz4fl".into(), namespace: namespace.map(str::to_owned) }
    }

    fn visible(body: &str) -> &str {
        body.trim_end_matches('\n').rsplit('\r').next().unwrap()
    }

    #[test]
    fn the_visible_line_is_the_lessons() {
        let page = identity(Some("default")).page("/", "10.244.1.1:40508".parse().unwrap());
        assert_eq!(
            visible(&page),
            format!("🔵This is pod default/blue-7d4b9c6f8-bz4fl on {}, serving / for 10.244.1.1:40508.", platform())
        );
        let page = identity(Some("green")).page("/a?b", "[fd00::1]:8".parse().unwrap());
        assert!(visible(&page).starts_with("🟢🔵This is pod green/blue-"), "{page}");
        assert!(visible(&page).ends_with("serving /a?b for [fd00::1]:8."), "{page}");
        let page = identity(None).page("/", "1.2.3.4:5".parse().unwrap());
        assert!(visible(&page).starts_with("🔵This is blue-7d4b9c6f8-bz4fl on"), "{page}");
    }

    #[test]
    fn a_terminal_shows_one_line() {
        let page = identity(Some("default")).page("/", "10.244.1.1:40508".parse().unwrap());
        assert_eq!(page.matches('\n').count(), 1);
        assert!(page.ends_with('\n'));
        let longest = page.trim_end().rsplit('\r').skip(1).map(str::len).max().unwrap();
        assert!(longest < 50, "an HTML line of {longest} columns would show");
    }

    #[test]
    fn paths_are_cleaned_as_go_does() {
        for (path, clean) in [
            ("//", Some("/")),
            ("/a//b", Some("/a/b")),
            ("/a/../b/", Some("/b/")),
            ("/../..", Some("/")),
            ("/a/.", Some("/a")),
            ("/", None),
            ("/a/", None),
            ("/a.b", None),
        ] {
            assert_eq!(unclean(path).as_deref(), clean, "{path}");
        }
    }

    #[test]
    fn an_unclean_path_is_moved_with_its_query() {
        let request = Request::get("/a//b?c=d").header("host", "x").body(()).unwrap();
        let answer = identity(None).answer(&request, "1.2.3.4:5".parse().unwrap());
        assert_eq!(answer.status(), 301);
        assert_eq!(answer.headers()[LOCATION], "/a/b?c=d");
    }
}
