//! A few lines of HTTP/1.1 over the lab's unix socket: enough to create, list and watch. One connection for each request.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// The API of one lab.
pub(crate) struct Api {
    pub(crate) socket: PathBuf,
}

impl Api {
    /// One request; answers the JSON body of a 2xx.
    pub(crate) fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let mut reader = self.send(method, path, body, true)?;
        let (status, _) = head(&mut reader)?;
        let mut text = Vec::new();
        reader.read_to_end(&mut text)?;
        if !(200..300).contains(&status) {
            bail!("{method} {path}: {status} {}", String::from_utf8_lossy(&text));
        }
        // The body may come chunked: what matters is the JSON between the first brace and the last.
        let text = String::from_utf8(text)?;
        let joined = dechunk(&text);
        serde_json::from_str(&joined).with_context(|| format!("{method} {path}: {joined:.200}"))
    }

    /// Follows a watch; `each` gets every event's object and says when it has seen enough.
    pub(crate) fn watch(&self, path: &str, mut each: impl FnMut(&str, &Value) -> bool) -> Result<()> {
        let mut reader = self.send("GET", path, None, false)?;
        let (status, _) = head(&mut reader)?;
        anyhow::ensure!(status == 200, "GET {path}: {status}");
        let mut line = String::new();
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                bail!("GET {path}: the watch ended");
            }
            if !line.starts_with('{') {
                continue;
            }
            let event: Value = serde_json::from_str(&line)?;
            if each(event["type"].as_str().unwrap_or(""), &event["object"]) {
                return Ok(());
            }
        }
    }

    fn send(&self, method: &str, path: &str, body: Option<&Value>, close: bool) -> Result<BufReader<UnixStream>> {
        let mut stream =
            UnixStream::connect(&self.socket).with_context(|| format!("connect {}", self.socket.display()))?;
        let body = body.map(Value::to_string).unwrap_or_default();
        let connection = if close { "close" } else { "keep-alive" };
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: minisvc\r\nConnection: {connection}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        Ok(BufReader::new(stream))
    }
}

fn head(reader: &mut BufReader<UnixStream>) -> Result<(u16, Vec<String>)> {
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let status = first.split(' ').nth(1).and_then(|code| code.parse().ok()).context("no status line")?;
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            return Ok((status, headers));
        }
        headers.push(line);
    }
}

/// Takes the chunk sizes of RFC 9112 section 7.1 out; a body without them is left as it is.
fn dechunk(text: &str) -> String {
    if text.starts_with('{') || text.starts_with('[') {
        return text.to_owned();
    }
    let mut rest = text;
    let mut whole = String::new();
    while let Some((size, tail)) = rest.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else { break };
        if size == 0 {
            break;
        }
        whole.push_str(&tail[..size.min(tail.len())]);
        rest = tail.get(size + 2..).unwrap_or("");
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_joined() {
        assert_eq!(dechunk("4\r\n{\"a\"\r\n3\r\n:1}\r\n0\r\n\r\n"), "{\"a\":1}");
        assert_eq!(dechunk("{}"), "{}");
    }
}
