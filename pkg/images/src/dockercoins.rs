//! The five-service demo application: `rng` draws bytes, `hasher` hashes them, `worker` asks both in a loop and counts in
//! redis, `webui` shows the counters. Ports, paths and log words after the originals (container.training).

use std::process::ExitCode;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use ring::digest;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::serve::Answer;
use crate::web::{self, Asked};
use crate::{client, go, serve};

/// What rng and hasher take for each request, to have something to measure.
const WORK: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(10);

fn listener() -> tokio::net::TcpListener {
    serve::listen(80).unwrap_or_else(|error| go::fatal(format_args!("cannot listen on port 80: {}", go::errno(&error))))
}

fn logged(asked: &Asked, answer: Answer) -> Answer {
    println!("{} \"{} {}\" {}", asked.peer.ip(), asked.method, asked.uri, answer.status().as_u16());
    answer
}

/// `dockercoins/rng`: `GET /N` answers N random bytes.
pub(crate) fn rng() -> ExitCode {
    serve::until_terminated(async {
        let hostname = go::hostname();
        println!(" * Running on http://0.0.0.0:80/");
        web::serve_forever(listener(), None, move |asked| {
            let hostname = hostname.clone();
            async move {
                let answer = match asked.path() {
                    "/" => web::ok(format!("RNG running on {hostname}\n")),
                    path => match path[1..].parse::<usize>().ok().filter(|count| *count <= 1 << 24) {
                        Some(count) => {
                            tokio::time::sleep(WORK).await;
                            let mut bytes = vec![0; count];
                            match SystemRandom::new().fill(&mut bytes) {
                                Ok(()) => {
                                    let mut answer = web::ok(bytes);
                                    web::set(&mut answer, CONTENT_TYPE, "application/octet-stream");
                                    answer
                                }
                                Err(_) => web::failure(StatusCode::INTERNAL_SERVER_ERROR, "no random bytes"),
                            }
                        }
                        None => web::not_found(),
                    },
                };
                logged(&asked, answer)
            }
        })
        .await;
    })
}

/// `dockercoins/hasher`: `POST /` answers the SHA-256 of the body.
pub(crate) fn hasher() -> ExitCode {
    serve::until_terminated(async {
        let hostname = go::hostname();
        println!("== minisvc's built-in hasher listens on port 80");
        web::serve_forever(listener(), None, move |asked| {
            let hostname = hostname.clone();
            async move {
                let answer = match (&asked.method, asked.path()) {
                    (&Method::GET, "/") => web::ok(format!("HASHER running on {hostname}\n")),
                    (&Method::POST, "/") => {
                        tokio::time::sleep(WORK).await;
                        web::ok(hash(&asked.body))
                    }
                    _ => web::not_found(),
                };
                logged(&asked, answer)
            }
        })
        .await;
    })
}

fn hash(bytes: &[u8]) -> String {
    digest::digest(&digest::SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `dockercoins/worker`: mines coins for ever.
pub(crate) fn worker() -> ExitCode {
    serve::until_terminated(async {
        loop {
            let (mut done, mut since) = (0, Instant::now());
            let error = loop {
                if since.elapsed() > Duration::from_secs(1) {
                    println!("{done} units of work done, updating hash counter");
                    if let Err(error) = redis(&["INCRBY", "hashes", &done.to_string()]).await {
                        break error;
                    }
                    (done, since) = (0, Instant::now());
                }
                match work().await {
                    Ok(()) => done += 1,
                    Err(error) => break error,
                }
            };
            println!("In work loop: {error}\nWaiting 10s and restarting.");
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
    })
}

async fn work() -> Result<(), String> {
    tokio::time::sleep(WORK).await;
    let drawn = client::get("http://rng/32", LIMIT).await?.body;
    let coin = client::send(Method::POST, "http://hasher/", drawn.clone(), "worker", LIMIT).await?.body;
    let coin = String::from_utf8_lossy(&coin).into_owned();
    if !coin.starts_with('0') {
        println!("No coin found");
        return Ok(());
    }
    println!("Coin found: {}...", coin.get(..8).unwrap_or(&coin));
    let drawn: String = drawn.iter().map(|byte| format!("{byte:02x}")).collect();
    if redis(&["HSET", "wallet", &coin, &drawn]).await? == "0" {
        println!("We already had that coin");
    }
    Ok(())
}

/// `dockercoins/webui`: the counters as a page and as JSON.
pub(crate) fn webui() -> ExitCode {
    serve::until_terminated(async {
        println!("WEBUI running on port 80");
        web::serve_forever(listener(), None, |asked| async move {
            match asked.path() {
                "/" => web::redirect(&asked, "/index.html", StatusCode::FOUND),
                "/index.html" => web::ok(PAGE),
                "/json" => match counters().await {
                    Ok(body) => {
                        let mut answer = web::ok(body);
                        web::set(&mut answer, CONTENT_TYPE, "application/json; charset=utf-8");
                        answer
                    }
                    Err(error) => web::failure(StatusCode::INTERNAL_SERVER_ERROR, &format!("Redis error: {error}")),
                },
                _ => web::not_found(),
            }
        })
        .await;
    })
}

async fn counters() -> Result<Bytes, String> {
    let coins: i64 = redis(&["HLEN", "wallet"]).await?.parse().unwrap_or(0);
    let hashes: i64 = redis(&["GET", "hashes"]).await?.parse().unwrap_or(0);
    let now = jiff::Timestamp::now().as_millisecond() as f64 / 1e3;
    Ok(json!({"coins": coins, "hashes": hashes, "now": now}).to_string().into())
}

const PAGE: &str = "<!DOCTYPE html>
<html>
<head>
<title>DockerCoins WebUI</title>
<style>
body { font-family: sans-serif; margin: 3em; text-align: center; }
#speed { font-size: 300%; }
</style>
</head>
<body>
<h1>DockerCoin Miner WebUI</h1>
<p>Current mining speed: about <span id=\"speed\">?</span> hashes/second</p>
<p id=\"total\"></p>
<script>
let last = null;
async function look() {
  try {
    const seen = await (await fetch('json')).json();
    if (last && seen.now > last.now) {
      const speed = (seen.hashes - last.hashes) / (seen.now - last.now);
      document.getElementById('speed').textContent = speed.toFixed(1);
    }
    document.getElementById('total').textContent = `${seen.hashes} hashes, ${seen.coins} coins`;
    last = seen;
  } catch (error) {
    document.getElementById('speed').textContent = '?';
  }
}
setInterval(look, 1000);
look();
</script>
</body>
</html>
";

/// One command to the server that is called `redis`; answers a number or a text, empty for none.
async fn redis(words: &[&str]) -> Result<String, String> {
    let exchange = async {
        let to = client::resolve("redis", 6379).await?;
        let failed = |error: std::io::Error| format!("Error connecting to redis:6379. {}.", go::errno(&error));
        let mut stream = BufReader::new(TcpStream::connect(to).await.map_err(failed)?);
        let mut command = format!("*{}\r\n", words.len());
        words.iter().for_each(|word| command.push_str(&format!("${}\r\n{word}\r\n", word.len())));
        stream.write_all(command.as_bytes()).await.map_err(failed)?;
        let mut line = String::new();
        stream.read_line(&mut line).await.map_err(failed)?;
        let line = line.trim_end();
        match line.split_at_checked(1) {
            Some((":" | "+", value)) => Ok(value.to_owned()),
            Some(("$", length)) => match length.parse::<usize>().ok().filter(|length| *length <= 1 << 20) {
                None => Ok(String::new()),
                Some(length) => {
                    let mut value = vec![0; length];
                    stream.read_exact(&mut value).await.map_err(failed)?;
                    Ok(String::from_utf8_lossy(&value).into_owned())
                }
            },
            _ => Err(line.to_owned()),
        }
    };
    tokio::time::timeout(LIMIT, exchange).await.unwrap_or_else(|_| Err("redis does not answer in time".to_owned()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn bytes_are_hashed() {
        assert_eq!(super::hash(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
