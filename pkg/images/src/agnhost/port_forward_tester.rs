//! `agnhost port-forward-tester`: one connection, what is expected of the client first, then chunks of data at a pace.
//! Told by variables of the environment; lines of standard output say how far it has come, exit codes where it broke off.

use std::process::ExitCode;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::Mode;
use crate::{client, go};

/// Between the end of what is sent and the end of the connection, so that the peer reads all before a reset (Go's
/// net/http, `rstAvoidanceDelay`).
const LINGER: Duration = Duration::from_millis(500);

pub(super) const MODE: Mode = Mode {
    name: "port-forward-tester",
    about: "Creates a TCP server that sends chunks of data",
    flags: &[],
    words: Some(0),
    run: |_| {
        let plan = Plan::read(|name| std::env::var(name).unwrap_or_default());
        match super::block_on(serve(&plan)) {
            Ok(()) => ExitCode::SUCCESS,
            Err((code, reason)) => {
                println!("{reason}");
                ExitCode::from(code)
            }
        }
    },
};

/// What the environment asks for. Numbers stay text until they are needed: a wrong one is met only then.
#[derive(Debug)]
struct Plan {
    host: String,
    port: String,
    expected: Vec<u8>,
    chunks: String,
    size: String,
    interval: String,
}

/// The exit code, and what is printed before.
type Failed = (u8, String);

impl Plan {
    fn read(variable: impl Fn(&str) -> String) -> Plan {
        let host = Some(variable("BIND_ADDRESS")).filter(|host| !host.is_empty());
        Plan {
            host: host.unwrap_or_else(|| "localhost".to_owned()),
            port: variable("BIND_PORT"),
            expected: variable("EXPECTED_CLIENT_DATA").into_bytes(),
            chunks: variable("CHUNKS"),
            size: variable("CHUNK_SIZE"),
            interval: variable("CHUNK_INTERVAL"),
        }
    }
}

/// A variable's whole number.
fn number(name: &str, text: &str) -> Result<usize, Failed> {
    text.parse().map_err(|_| {
        let quoted = go::quote(text);
        (1, format!("Error parsing {name} {quoted}: strconv.Atoi: parsing {quoted}: invalid syntax"))
    })
}

async fn serve(plan: &Plan) -> Result<(), Failed> {
    let port = plan.port.parse();
    let port = port.map_err(|_| (1, format!("Error resolving: address {}: invalid port", plan.port)))?;
    let address = client::resolve(&plan.host, port).await.map_err(|why| (1, format!("Error resolving: {why}")))?;
    let listener = TcpListener::bind(address).await;
    let listener =
        listener.map_err(|error| (1, format!("Error listening: listen tcp {address}: {}", go::errno(&error))))?;
    let accepted = listener.accept().await;
    let (stream, _) = accepted.map_err(|error| (1, format!("Error accepting connection: {}", go::errno(&error))))?;
    // The original listens on while it talks; nobody accepts.
    talk(plan, stream).await?;
    drop(listener);
    Ok(())
}

async fn talk(plan: &Plan, mut stream: TcpStream) -> Result<(), Failed> {
    println!("Accepted client connection");
    if !plan.expected.is_empty() {
        let mut heard = vec![0; plan.expected.len()];
        let outcome = stream.read(&mut heard).await;
        let (read, why) = match &outcome {
            Ok(0) => (0, "EOF".to_owned()),
            Ok(read) => (*read, "<nil>".to_owned()),
            Err(error) => (0, go::errno(error)),
        };
        if read != plan.expected.len() {
            let wanted = plan.expected.len();
            return Err((2, format!("Expected to read {wanted} bytes from client, but got {read} instead. err={why}")));
        }
        if heard != plan.expected {
            let quoted = |bytes: &[u8]| go::quote(&String::from_utf8_lossy(bytes));
            let (wanted, heard) = (quoted(&plan.expected), quoted(&heard));
            return Err((3, format!("Expect to read {wanted}, but got {heard}. err={why}")));
        }
        println!("Received expected client data");
    }
    let chunks = number("CHUNKS", &plan.chunks)?;
    let size = number("CHUNK_SIZE", &plan.size)?;
    let interval = Duration::from_millis(number("CHUNK_INTERVAL", &plan.interval)? as u64);
    let data = vec![b'x'; size];
    for chunk in 1..=chunks {
        stream.write_all(&data).await.map_err(|error| {
            let why = go::errno(&error);
            (4, format!("Expected to write {size} bytes from client, but wrote less instead. err={why}"))
        })?;
        if chunk < chunks {
            tokio::time::sleep(interval).await;
        }
    }
    println!("Shutting down connection");
    // A peer that is gone already has all that it wanted.
    let _ = stream.shutdown().await;
    tokio::time::sleep(LINGER).await;
    drop(stream);
    println!("Done");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(expected: &str, chunks: &str) -> Plan {
        Plan::read(|name| match name {
            "EXPECTED_CLIENT_DATA" => expected.to_owned(),
            "CHUNKS" => chunks.to_owned(),
            "CHUNK_SIZE" => "7".to_owned(),
            "CHUNK_INTERVAL" => "1".to_owned(),
            _ => String::new(),
        })
    }

    /// What a client that says `said` hears, and how the server ended.
    async fn met(plan: &Plan, said: &str) -> (Vec<u8>, Result<(), Failed>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        client.write_all(said.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        let mut heard = Vec::new();
        let (ended, _) = tokio::join!(talk(plan, stream), client.read_to_end(&mut heard));
        (heard, ended)
    }

    #[tokio::test]
    async fn chunks_come_after_what_was_expected() {
        assert_eq!(plan("", "1").host, "localhost");
        assert_eq!(met(&plan("abc", "10"), "abc").await, (vec![b'x'; 70], Ok(())));
        assert_eq!(met(&plan("", "2"), "").await, (vec![b'x'; 14], Ok(())));
        let (_, short) = met(&plan("abc", "1"), "").await;
        assert_eq!(short.unwrap_err(), (2, "Expected to read 3 bytes from client, but got 0 instead. err=EOF".into()));
        let (_, other) = met(&plan("abc", "1"), "xyz").await;
        assert_eq!(other.unwrap_err(), (3, "Expect to read \"abc\", but got \"xyz\". err=<nil>".into()));
        let (_, number) = met(&plan("", "many"), "").await;
        let text = "Error parsing CHUNKS \"many\": strconv.Atoi: parsing \"many\": invalid syntax";
        assert_eq!(number.unwrap_err(), (1, text.to_owned()));
    }
}
