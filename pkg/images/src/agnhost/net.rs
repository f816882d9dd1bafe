//! `agnhost net`: runners that leave a connection half closed, to test how long the kernel's connection table keeps it.

use std::process::ExitCode;
use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::Mode;
use crate::flags::{Flag, Flags};
use crate::{client, go, web};

pub(super) const MODE: Mode = Mode {
    name: "net",
    about: "Creates webserver or runner for various networking tests",
    flags: &[
        Flag::text("serve", ""),
        Flag::text("runner", ""),
        Flag::text("options", ""),
        Flag::int("delay-shutdown", "0"),
    ],
    words: Some(0),
    run: |flags| super::block_on(net(flags)),
};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ServerOptions {
    local_addr: String,
    post_fin_timeout_seconds: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ClientOptions {
    remote_addr: String,
    timeout_seconds: u64,
    post_fin_timeout_seconds: u64,
    leak_connection: bool,
}

async fn net(flags: Flags) -> ExitCode {
    let (serve, runner) = (flags.text("serve").to_owned(), flags.text("runner"));
    if serve.is_empty() && runner.is_empty() {
        go::fatal("Must set either --runner or --serve, see --help");
    }
    if let Ok(seconds @ 1..) = u64::try_from(flags.int("delay-shutdown")) {
        tokio::task::spawn_local(async move {
            super::terminated().await;
            go::log(format_args!("Sleeping {seconds} seconds before terminating..."));
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            std::process::exit(0)
        });
    }
    if serve.is_empty() {
        let mut output = String::new();
        let outcome = execute(runner, flags.text("options").as_bytes(), &mut output).await;
        if let Err(error) = &outcome {
            go::log(format_args!("Error: {error}"));
        }
        print!("output:\n\n{output}");
        return if outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let listener = TcpListener::bind(address(&serve)).await;
    let listener =
        listener.unwrap_or_else(|error| go::fatal(format_args!("listen tcp {serve}: {}", go::errno(&error))));
    go::log(format_args!("Running server on {serve}"));
    web::serve_forever(listener, None, |asked| async move {
        let Some(runner) = asked.path().strip_prefix("/run/") else { return web::not_found() };
        if runner.contains('/') {
            let parts: Vec<&str> = asked.path().split('/').collect();
            return web::failure(StatusCode::BAD_REQUEST, &format!("invalid request to run: [{}]", parts.join(" ")));
        }
        if asked.body.is_empty() {
            return web::failure(StatusCode::BAD_REQUEST, "Missing request body");
        }
        let mut output = String::new();
        match execute(runner, &asked.body, &mut output).await {
            Ok(()) => web::ok(format!("ok\noutput:\n\n{output}")),
            Err(error) => {
                let text = format!("Error from runner: {error}\noutput:\n\n{output}");
                web::failure(StatusCode::INTERNAL_SERVER_ERROR, &text)
            }
        }
    })
    .await;
    ExitCode::SUCCESS
}

/// `:80` means all addresses.
fn address(text: &str) -> String {
    if text.starts_with(':') { format!("[::]{text}") } else { text.to_owned() }
}

async fn execute(runner: &str, options: &[u8], output: &mut String) -> Result<(), String> {
    let bad = |error: serde_json::Error| format!("Invalid options JSON: {error}");
    match runner {
        "nat-closewait-server" => server(serde_json::from_slice(options).map_err(bad)?, output).await,
        "nat-closewait-client" => half_closed(serde_json::from_slice(options).map_err(bad)?, output).await,
        other => Err(format!("Invalid runner: '{other}', see --help")),
    }
}

fn note(output: &mut String, line: impl std::fmt::Display) {
    output.push_str(&format!("# closewait.go: {line}\n"));
}

async fn server(options: ServerOptions, output: &mut String) -> Result<(), String> {
    note(output, format_args!("Run {options:?}"));
    let words = |error: std::io::Error| format!("listen tcp {}: {}", options.local_addr, go::errno(&error));
    let listener = TcpListener::bind(address(&options.local_addr)).await.map_err(words)?;
    note(output, format_args!("Server listening on {}", options.local_addr));
    let (mut stream, _) = listener.accept().await.map_err(words)?;
    note(output, "Client connected");
    // The client is in CLOSE_WAIT from here on; the other direction stays open.
    stream.shutdown().await.map_err(words)?;
    note(output, format_args!("Server sent FIN, waiting {} seconds", options.post_fin_timeout_seconds));
    tokio::time::sleep(Duration::from_secs(options.post_fin_timeout_seconds)).await;
    note(output, "Done");
    Ok(())
}

async fn half_closed(options: ClientOptions, output: &mut String) -> Result<(), String> {
    note(output, format_args!("Run {options:?}"));
    let (host, port) = options.remote_addr.rsplit_once(':').ok_or("missing port in address")?;
    let port = port.parse().map_err(|_| format!("lookup tcp/{port}: unknown port"))?;
    let to = client::resolve(host.trim_matches(['[', ']']), port).await?;
    let dialled = |error: std::io::Error| format!("dial tcp {to}: connect: {}", go::errno(&error));
    let mut stream = TcpStream::connect(to).await.map_err(dialled)?;
    note(output, "Connected to server");
    let mut byte = [0];
    let read = stream.read(&mut byte);
    let read = match options.timeout_seconds {
        0 => read.await,
        seconds => tokio::time::timeout(Duration::from_secs(seconds), read)
            .await
            .map_err(|_| format!("read tcp {to}: i/o timeout"))?,
    };
    match read {
        Ok(0) => {}
        Ok(_) => return Err("Got data but expected EOF".to_owned()),
        Err(error) => return Err(format!("read tcp {to}: {}", go::errno(&error))),
    }
    let seconds = options.post_fin_timeout_seconds;
    note(output, format_args!("Server has half-closed the connection, waiting {seconds} seconds"));
    if options.leak_connection {
        note(output, "Leaking client connection (assigning to global variable)");
    }
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    note(output, "Done");
    if options.leak_connection {
        // It stays open as long as the program runs.
        std::mem::forget(stream);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_closed_connection_ends_both_runners() {
        super::super::block_on(async {
            let (mut at_server, mut at_client) = (String::new(), String::new());
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let server = format!(r#"{{"LocalAddr":"{free}"}}"#);
            let client = format!(r#"{{"RemoteAddr":"{free}","TimeoutSeconds":5}}"#);
            let (served, asked) =
                tokio::join!(execute("nat-closewait-server", server.as_bytes(), &mut at_server), async {
                    for _ in 0..100 {
                        let asked = execute("nat-closewait-client", client.as_bytes(), &mut at_client).await;
                        if !asked.as_ref().is_err_and(|error| error.contains("refused")) {
                            return asked;
                        }
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    Err("nobody listens".to_owned())
                });
            assert_eq!((served, asked), (Ok(()), Ok(())));
            assert!(at_client.contains("half-closed") && at_server.contains("sent FIN"), "{at_client}{at_server}");
        });
    }

    #[test]
    fn an_unknown_runner_is_named() {
        let error = super::super::block_on(execute("x", b"{}", &mut String::new())).unwrap_err();
        assert_eq!(error, "Invalid runner: 'x', see --help");
    }
}
