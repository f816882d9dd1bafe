//! The three small pages that probes and Prometheus ask for: `/metrics`, `/health`, `/ready`. HTTP/1.1, one request a
//! connection; anything else is 404.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::SharedZone;
use crate::corefile::Corefile;
use crate::counters::Counters;

/// For a client to send its request and take the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Binds those of the three ports that the Corefile names; the future that is returned serves them and ends only with an error.
pub(crate) async fn serve(
    corefile: &Corefile,
    zone: SharedZone,
    counters: Arc<Counters>,
) -> anyhow::Result<impl Future<Output = anyhow::Result<()>> + use<>> {
    let metrics = bind(corefile.metrics, "metrics").await?;
    let health = bind(corefile.health, "health").await?;
    let ready = bind(corefile.ready, "readiness").await?;
    let for_ready = zone.clone();
    Ok(async move {
        let metrics = pages(metrics, move |path| (path == "/metrics").then(|| (200, counters.text(&zone.load()))));
        let health = pages(health, |path| (path == "/health").then(|| (200, "OK".into())));
        let ready = pages(ready, move |path| {
            let synced = for_ready.load().is_synced();
            (path == "/ready").then(|| if synced { (200, "OK".into()) } else { (503, "kubernetes".into()) })
        });
        tokio::try_join!(metrics, health, ready).map(|_| ())
    })
}

async fn bind(address: Option<SocketAddr>, what: &str) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = address else { return Ok(None) };
    let listener = TcpListener::bind(address).await;
    listener.map(Some).with_context(|| format!("listen for {what} on {address}"))
}

type Page = Option<(u16, String)>;

async fn pages(listener: Option<TcpListener>, page: impl Fn(&str) -> Page) -> anyhow::Result<()> {
    let Some(listener) = listener else { return std::future::pending().await };
    loop {
        let (mut stream, _) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, or a client that is gone already: neither ends the server.
                tracing::debug!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // One at a time: the pages are small and their readers few.
        let _ = timeout(PATIENCE, respond(&mut stream, &page)).await;
    }
}

async fn respond(stream: &mut TcpStream, page: &impl Fn(&str) -> Page) -> std::io::Result<()> {
    let mut request = [0; 2048];
    let mut length = 0;
    while !request[..length].windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut request[length..]).await? {
            0 => return Ok(()),
            more => length += more,
        }
    }
    let text = String::from_utf8_lossy(&request[..length]);
    let path = text.split_whitespace().nth(1).and_then(|path| path.split('?').next()).unwrap_or_default();
    let (code, body) = page(path).unwrap_or_else(|| (404, "404 page not found\n".into()));
    let reason = match code {
        200 => "OK",
        503 => "Service Unavailable",
        _ => "Not Found",
    };
    let head = format!(
        "HTTP/1.1 {code} {reason}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}
