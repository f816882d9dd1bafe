//! `echoserver`: repeats a request to whoever sent it, on port 8080 and, over TLS with a certificate of its own, on port
//! 8443, in the layout of the image of Kubernetes' samples.

use std::process::ExitCode;

use http::StatusCode;
use http::header::CONTENT_TYPE;

use crate::serve::Answer;
use crate::web::{self, Asked};
use crate::{go, serve, tls};

/// Where it is asked without TLS, and with.
const PLAIN: u16 = 8080;
const SECURE: u16 = 8443;

/// Serves until killed.
pub(crate) fn run() -> ExitCode {
    serve::until_terminated(async {
        let open = |port: u16| {
            serve::listen(port)
                .inspect_err(|error| eprintln!("bind() to 0.0.0.0:{port} failed: {}", go::errno(error)))
                .ok()
        };
        let (Some(plain), Some(secure)) = (open(PLAIN), open(SECURE)) else { return };
        let acceptor = match tls::acceptor("localhost.crt", "localhost.key") {
            Ok(acceptor) => acceptor,
            Err(why) => return eprintln!("cannot load certificate: {why}"),
        };
        let hostname = go::hostname();
        let echo = move |scheme: &'static str, port: u16| {
            let hostname = hostname.clone();
            move |asked: Asked| {
                println!("{} {} {}", asked.peer.ip(), asked.method, asked.uri);
                std::future::ready(answer(&asked, &hostname, scheme, port))
            }
        };
        tokio::join!(
            web::serve_forever(plain, None, echo("http", PLAIN)),
            web::serve_forever(secure, Some(acceptor), echo("https", SECURE)),
        );
    })
}

fn answer(asked: &Asked, hostname: &str, scheme: &str, port: u16) -> Answer {
    let host = asked.headers.get(http::header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let mut text = format!("\n\nHostname: {hostname}\n\nPod Information:\n");
    let mut informed = false;
    for (title, variable) in
        [("node name", "NODE_NAME"), ("pod name", "POD_NAME"), ("pod namespace", "POD_NAMESPACE"), ("pod IP", "POD_IP")]
    {
        if let Ok(value) = std::env::var(variable) {
            text += &format!("\t{title}:\t{value}\n");
            informed = true;
        }
    }
    if !informed {
        text += "\t-no pod information available-\n";
    }
    text += &format!(
        "\nServer values:\n\tserver_version=minisvc echoserver\n\nRequest Information:\n\tclient_address={}\n\
         \tmethod={}\n\treal path={}\n\tquery={}\n\trequest_version=1.1\n\trequest_scheme={scheme}\n\
         \trequest_uri={scheme}://{host}:{port}{}\n\nRequest Headers:\n",
        asked.peer.ip(),
        asked.method,
        asked.uri,
        asked.uri.query().unwrap_or_default(),
        asked.uri,
        host = host.split(':').next().unwrap_or_default(),
    );
    let mut headers: Vec<String> = asked
        .headers
        .iter()
        .map(|(name, value)| format!("\t{name}={}\n", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    headers.sort();
    text.extend(headers);
    text += "\nRequest Body:\n";
    match asked.body.is_empty() {
        true => text += "\t-no body in request-\n",
        false => text += &String::from_utf8_lossy(&asked.body),
    }
    text += "\n\n";
    let mut answer = web::answer(StatusCode::OK, text);
    web::set(&mut answer, CONTENT_TYPE, "text/plain");
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_repeated() {
        let asked = Asked {
            method: http::Method::PUT,
            uri: "/a?b=c".parse().unwrap(),
            headers: [(http::header::HOST, "x:80".parse().unwrap())].into_iter().collect(),
            body: "hello".into(),
            peer: "10.0.0.1:1".parse().unwrap(),
        };
        let answer = answer(&asked, "pod-1", "http", 8080);
        let body = format!("{:?}", answer.body());
        for part in
            ["Hostname: pod-1", "method=PUT", "client_address=10.0.0.1", "http://x:8080/a?b=c", "host=x:80", "hello"]
        {
            assert!(body.contains(part), "{part} is not in {body}");
        }
    }
}
