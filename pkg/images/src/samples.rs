//! The small web servers of well-known tutorials: Kubernetes' own ("Kubernetes Basics", "Exposing an External IP
//! Address", "Connect a Frontend to a Backend", "HorizontalPodAutoscaler Walkthrough"), minikube's, kind's, and what
//! Ingress examples send their requests to. Ports, paths and what they print as in the originals.

mod http_echo;
mod whoami;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use ring::rand::{SecureRandom as _, SystemRandom};

pub(crate) use http_echo::run as http_echo;
pub(crate) use whoami::run as whoami;

use crate::nginx::access_time;
use crate::serve::{self, Answer};
use crate::web::{self, Asked};
use crate::{client, go};

/// How long the sample front end waits for its back end.
const BACKEND: Duration = Duration::from_secs(60);

/// The port that the variable `PORT` asks for.
fn port(default: u16) -> u16 {
    std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(default)
}

/// Serves what `answer` says on `port` until a signal ends the program.
fn site<F, A>(port: u16, answer: F) -> ExitCode
where
    F: Fn(Asked) -> A + 'static,
    A: Future<Output = Answer> + 'static,
{
    serve::until_terminated(async move {
        let listener = serve::listen(port)
            .unwrap_or_else(|error| go::fatal(format_args!("listen tcp :{port}: bind: {}", go::errno(&error))));
        web::serve_forever(listener, None, answer).await;
    })
}

fn plain(text: String) -> Answer {
    let mut answer = web::ok(text);
    web::set(&mut answer, CONTENT_TYPE, "text/plain");
    answer
}

/// `hello-app`: says hello, its version (the first argument) and its host.
pub(crate) fn hello_app(args: &[String]) -> ExitCode {
    let version = args.first().cloned().unwrap_or_else(|| "1.0.0".to_owned());
    let port = port(8080);
    go::log(format_args!("Server listening on port {port}"));
    site(port, move |asked| {
        go::log(format_args!("Serving request: {}", asked.path()));
        let text = format!("Hello, world!\nVersion: {version}\nHostname: {}\n", go::hostname());
        std::future::ready(web::ok(text))
    })
}

/// `kubernetes-bootcamp`: says hello, its host and its version (the first argument), and counts in its log.
pub(crate) fn bootcamp(args: &[String]) -> ExitCode {
    let version = args.first().cloned().unwrap_or_else(|| "1".to_owned());
    let (host, began) = (go::hostname(), Instant::now());
    let time = || jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string();
    println!("Kubernetes Bootcamp App Started At: {} | Running On:  {host} \n", time());
    let requests = std::cell::Cell::new(0);
    site(8080, move |_| {
        requests.set(requests.get() + 1);
        let uptime = began.elapsed().as_millis() as f64 / 1e3;
        println!(
            "Running On: {host} | Total Requests: {} | App Uptime: {uptime} seconds | Log Time: {}",
            requests.get(),
            time()
        );
        std::future::ready(plain(format!("Hello Kubernetes bootcamp! | Running on: {host} | v={version}\n")))
    })
}

/// `node-hello`: says hello and nothing else.
pub(crate) fn node_hello() -> ExitCode {
    site(port(8080), |_| std::future::ready(web::ok("Hello Kubernetes!")))
}

/// `hello-backend`: the greeting that the sample front end asks for.
pub(crate) fn hello_backend() -> ExitCode {
    site(80, |asked| {
        std::future::ready(match asked.path() {
            "/" => {
                let mut answer = web::ok("{\"message\":\"Hello\"}\n");
                web::set(&mut answer, CONTENT_TYPE, "application/json");
                answer
            }
            "/healthz" | "/readiness" => web::ok(""),
            _ => web::not_found(),
        })
    })
}

/// `hello-frontend`: hands every request to the service that is called `hello`.
pub(crate) fn hello_frontend() -> ExitCode {
    site(80, |asked| async move {
        let answer =
            match client::send(asked.method.clone(), &behind(&asked), asked.body, "hello-frontend", BACKEND).await {
                Ok(got) => {
                    let mut answer = web::answer(got.status, got.body);
                    if let Some(kind) = got.headers.get(CONTENT_TYPE) {
                        answer.headers_mut().insert(CONTENT_TYPE, kind.clone());
                    }
                    answer
                }
                Err(why) => {
                    eprintln!("{} [error] 1#1: {why}", access_time());
                    web::failure(StatusCode::BAD_GATEWAY, "502 Bad Gateway")
                }
            };
        println!("{} - - [{}] \"{} {}\" {}", asked.peer.ip(), access_time(), asked.method, asked.uri, answer.status());
        answer
    })
}

fn behind(asked: &Asked) -> String {
    format!("http://hello{}", asked.uri.path_and_query().map_or("/", |path| path.as_str()))
}

/// `hpa-example`: computes for a moment, then says OK.
pub(crate) fn hpa_example() -> ExitCode {
    site(80, |asked| {
        let mut x = 0.0001_f64;
        for _ in 0..=1_000_000 {
            x += x.sqrt();
        }
        println!("{} - - [{}] \"{} {}\" 200", asked.peer.ip(), access_time(), asked.method, asked.uri);
        // The sum is looked at, or nothing would be computed.
        std::future::ready(web::ok(if x > 0.0 { "OK!" } else { "" }))
    })
}

/// `echo-server`: repeats a request to whoever sent it, below the name of the host that served it.
pub(crate) fn echo_server() -> ExitCode {
    let port = port(8080);
    println!("Echo server listening on port {port}.");
    site(port, |asked| {
        println!("{} | {} {}", asked.peer, asked.method, asked.uri);
        std::future::ready(plain(echoed(&asked, &go::hostname())))
    })
}

fn echoed(asked: &Asked, hostname: &str) -> String {
    let mut text = format!(
        "Request served by {hostname}\n\n{} {} HTTP/1.1\n\nHost: {}\n",
        asked.method,
        asked.uri,
        host(&asked.headers)
    );
    headers(&asked.headers).into_iter().for_each(|(name, value)| text += &format!("{name}: {value}\n"));
    text + "\n" + &String::from_utf8_lossy(&asked.body)
}

/// `nginx-hello`: NGINX' demo of who answered; as plain text, or as a page where the first argument says so.
pub(crate) fn nginx_hello(args: &[String]) -> ExitCode {
    let page = args.first().is_some_and(|word| word == "html");
    site(port(80), move |asked| {
        println!("{} - - [{}] \"{} {}\" 200", asked.peer.ip(), access_time(), asked.method, asked.uri);
        let addresses = whoami::addresses();
        let address = addresses.iter().find(|address| !address.is_loopback());
        let address = address.map(|address| format!("{address}:{}", port(80))).unwrap_or_default();
        let mut id = [0; 16];
        let id =
            SystemRandom::new().fill(&mut id).map(|()| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        let rows = [
            ("Server address", address),
            ("Server name", go::hostname()),
            ("Date", access_time()),
            ("URI", asked.uri.to_string()),
            ("Request ID", id.unwrap_or_default()),
        ];
        std::future::ready(if page { html(&rows) } else { plain(lines(&rows)) })
    })
}

fn lines(rows: &[(&str, String)]) -> String {
    rows.iter().map(|(name, value)| format!("{name}: {value}\n")).collect()
}

fn html(rows: &[(&str, String)]) -> Answer {
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let rows: String = rows
        .iter()
        .map(|(name, value)| format!("<p><span>{name}:</span> <span>{}</span></p>\n", escape(value)))
        .collect();
    web::ok(format!(
        "<!DOCTYPE html>\n<html>\n<head><title>Hello World</title></head>\n<body>\n{rows}</body>\n</html>\n"
    ))
}

fn host(headers: &HeaderMap) -> String {
    let host = headers.get(http::header::HOST).map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned());
    host.unwrap_or_default()
}

/// All headers but the host's, named as Go spells them (`User-Agent`), sorted.
fn headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let mut all: Vec<_> = headers
        .iter()
        .filter(|(name, _)| **name != http::header::HOST)
        .map(|(name, value)| (go::header_name(name.as_str()), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    all.sort();
    all
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(super) fn asked(method: &str, uri: &str, body: &str) -> Asked {
        Asked {
            method: method.parse().unwrap(),
            uri: uri.parse().unwrap(),
            headers: [("host", "shop.example"), ("user-agent", "curl/8"), ("accept", "*/*")]
                .into_iter()
                .map(|(name, value)| (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap()))
                .collect(),
            body: body.to_owned().into(),
            peer: "10.0.0.1:4242".parse().unwrap(),
        }
    }

    #[test]
    fn an_echo_has_the_request_and_who_served_it() {
        assert_eq!(
            echoed(&asked("POST", "/a?b=c", "hi"), "pod-1"),
            "Request served by pod-1\n\nPOST /a?b=c HTTP/1.1\n\nHost: shop.example\nAccept: */*\nUser-Agent: curl/8\n\nhi"
        );
    }

    #[test]
    fn the_front_end_asks_the_same_path_of_the_back_end() {
        assert_eq!(behind(&asked("GET", "/x?y=1", "")), "http://hello/x?y=1");
    }
}
