//! `echoserver`: repeats a request to whoever sent it, on port 8080, in the layout of the image of Kubernetes' samples.

use std::process::ExitCode;

use http::StatusCode;
use http::header::CONTENT_TYPE;

use crate::serve::Answer;
use crate::web::{self, Asked};
use crate::{go, serve};

/// Serves until killed.
pub(crate) fn run() -> ExitCode {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return ExitCode::FAILURE;
    };
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let listener = match serve::listen(8080) {
            Ok(listener) => listener,
            Err(error) => {
                eprintln!("bind() to 0.0.0.0:8080 failed: {}", go::errno(&error));
                return ExitCode::FAILURE;
            }
        };
        let (Ok(mut terminate), Ok(mut quit)) = (
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()),
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::quit()),
        ) else {
            return ExitCode::FAILURE;
        };
        let hostname = go::hostname();
        let serving = web::serve_forever(listener, None, move |asked| {
            println!("{} {} {}", asked.peer.ip(), asked.method, asked.uri);
            std::future::ready(answer(&asked, &hostname))
        });
        tokio::select! { () = serving => {}, _ = terminate.recv() => {}, _ = quit.recv() => {} }
        ExitCode::SUCCESS
    })
}

fn answer(asked: &Asked, hostname: &str) -> Answer {
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
         \tmethod={}\n\treal path={}\n\tquery={}\n\trequest_version=1.1\n\trequest_scheme=http\n\
         \trequest_uri=http://{host}:8080{}\n\nRequest Headers:\n",
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
        let answer = answer(&asked, "pod-1");
        let body = format!("{:?}", answer.body());
        for part in
            ["Hostname: pod-1", "method=PUT", "client_address=10.0.0.1", "http://x:8080/a?b=c", "host=x:80", "hello"]
        {
            assert!(body.contains(part), "{part} is not in {body}");
        }
    }
}
