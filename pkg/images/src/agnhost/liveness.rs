//! `agnhost liveness`: healthy for ten seconds, then no more. `agnhost fake-gitserver`: says what it is.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use http::StatusCode;

use super::Mode;
use crate::{go, web};

pub(super) const MODE: Mode = Mode {
    name: "liveness",
    about: "Starts a server that is alive for 10 seconds",
    flags: &[],
    words: Some(0),
    run: |_| {
        super::block_on(async {
            let started = Instant::now();
            let listener = super::listen(8080);
            web::serve_forever(listener, None, move |asked| {
                let age = started.elapsed();
                std::future::ready(match asked.path() {
                    "/started" => web::ok(go::duration(age)),
                    "/healthz" if age > Duration::from_secs(10) => {
                        let text = format!("error: {}", age.as_secs_f64());
                        web::answer(StatusCode::INTERNAL_SERVER_ERROR, text)
                    }
                    "/healthz" => web::ok("ok"),
                    "/redirect" => web::redirect(&asked, &asked.query("loc"), StatusCode::FOUND),
                    _ => web::not_found(),
                })
            })
            .await;
            ExitCode::SUCCESS
        })
    },
};

pub(super) const GIT: Mode = Mode {
    name: "fake-gitserver",
    about: "Fakes a git server",
    flags: &[],
    words: Some(0),
    run: |_| {
        super::block_on(async {
            let listener = super::listen(8000);
            web::serve_forever(listener, None, |_| std::future::ready(web::ok("I am a fake git server"))).await;
            ExitCode::SUCCESS
        })
    },
};
