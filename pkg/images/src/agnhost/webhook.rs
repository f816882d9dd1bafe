//! `agnhost webhook`: an HTTPS server of admission webhooks, one per path. `decide` says what each answers; here reviews are
//! read and written, in the version in which they come.

mod decide;

use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::Mode;
use crate::flags::{Flag, Flags};
use crate::serve::Answer;
use crate::web::{self, Asked};
use crate::{go, tls};

pub(super) const MODE: Mode = Mode {
    name: "webhook",
    about: "Starts an HTTPS server of admission webhooks, one per path",
    flags: &[
        Flag::text("tls-cert-file", ""),
        Flag::text("tls-private-key-file", ""),
        Flag::int("port", "443"),
        Flag::text("sidecar-image", ""),
    ],
    words: Some(0),
    run: |flags| super::block_on(serve(flags)),
};

async fn serve(flags: Flags) -> ExitCode {
    let sidecar: Rc<str> = flags.text("sidecar-image").into();
    serve_tls(&flags, move |asked| answer(asked, sidecar.clone())).await
}

/// Serves HTTPS with the certificate and on the port that the flags name.
pub(super) async fn serve_tls<F, A>(flags: &Flags, answer: F) -> ExitCode
where
    F: Fn(Asked) -> A + 'static,
    A: Future<Output = Answer> + 'static,
{
    let files = (flags.text("tls-cert-file"), flags.text("tls-private-key-file"));
    let tls = tls::acceptor(files.0, files.1).unwrap_or_else(|error| go::fatal(error));
    let port = flags.port("port");
    let port =
        port.unwrap_or_else(|| go::fatal(format_args!("listen tcp: address {}: invalid port", flags.int("port"))));
    let listener = super::listen(port);
    web::serve_forever(listener, Some(tls), answer).await;
    ExitCode::SUCCESS
}

async fn answer(asked: Asked, sidecar: Rc<str>) -> Answer {
    if asked.path() == "/readyz" {
        return web::ok("ok");
    }
    if !decide::PATHS.contains(&asked.path()) {
        return web::not_found();
    }
    let kind = asked.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if kind != b"application/json" {
        go::log(format_args!("contentType={}, expect application/json", String::from_utf8_lossy(kind)));
        return web::ok("");
    }
    let review: Value = match serde_json::from_slice(&asked.body) {
        Ok(review) => review,
        Err(cause) => return refused(&format!("Request could not be decoded: {cause}")),
    };
    let known = ["admission.k8s.io/v1", "admission.k8s.io/v1beta1"];
    let version = review["apiVersion"].as_str().unwrap_or_default();
    if review["kind"] != "AdmissionReview" || !known.contains(&version) {
        let kind = review["kind"].as_str().unwrap_or_default();
        return refused(&format!("Unsupported group version kind: {version}, Kind={kind}"));
    }
    let request = &review["request"];
    go::log(format_args!("{} {} {}", asked.path(), request["operation"], request["name"]));
    if let Some(time) = decide::delay(asked.path(), request) {
        match time {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
    }
    // Where the original has no answer to give, its connection breaks.
    let Some(mut response) = decide::answer(asked.path(), request, &sidecar) else {
        return web::failure(StatusCode::INTERNAL_SERVER_ERROR, "no answer to such a request");
    };
    response["uid"] = request["uid"].clone();
    json_answer(&json!({"kind": "AdmissionReview", "apiVersion": version, "response": response}))
}

/// 200 with a JSON document.
pub(super) fn json_answer(document: &Value) -> Answer {
    let mut answer = web::ok(document.to_string());
    web::set(&mut answer, CONTENT_TYPE, "application/json");
    answer
}

/// 400 in Go's manner, and a line in the log.
pub(super) fn refused(why: &str) -> Answer {
    go::log(why);
    web::failure(StatusCode::BAD_REQUEST, why)
}

/// How long the slow path takes.
const SLOW: Duration = Duration::from_secs(5);
