//! `wget` with the options of BusyBox' that people type: `-q`, `-O FILE`, `-T SECONDS`, `-S`, `--post-data`, `--spider`.
//! Plain HTTP only.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use http::Method;

use crate::client;
use crate::flags::{Flag, Flags};

const FLAGS: &[Flag] = &[
    Flag::bool("quiet", "false").or('q'),
    Flag::bool("server-response", "false").or('S'),
    Flag::bool("spider", "false"),
    Flag::bool("no-check-certificate", "false"),
    Flag::text("output-document", "").or('O'),
    Flag::int("timeout", "900").or('T'),
    Flag::int("tries", "1").or('t'),
    Flag::text("user-agent", "Wget").or('U'),
    Flag::text("post-data", ""),
];

/// Runs as `wget`.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    // -qO- and -qO FILE are two options each.
    let words: Vec<String> = arguments
        .iter()
        .flat_map(|word| match word.strip_prefix("-q").filter(|rest| !rest.is_empty()) {
            Some(rest) => vec!["-q".to_owned(), format!("-{rest}")],
            None => vec![word.clone()],
        })
        .collect();
    let outcome = Flags::parse(FLAGS, &words).and_then(|flags| match flags.words.as_slice() {
        [url] => fetch(&flags, url),
        _ => Err("usage: wget [-qS] [--spider] [-O FILE] [-T SEC] [-U AGENT] [--post-data STR] URL".to_owned()),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("wget: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn fetch(flags: &Flags, url: &str) -> Result<(), String> {
    let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    if url.starts_with("https://") {
        return Err("minisvc's built-in wget speaks plain HTTP only".to_owned());
    }
    let uri: http::Uri = url.parse().map_err(|_| format!("bad address '{url}'"))?;
    let host = uri.host().unwrap_or_default();
    let quiet = flags.bool("quiet");
    if !quiet {
        eprintln!("Connecting to {host} ({host}:{})", uri.port_u16().unwrap_or(80));
    }
    let (method, body) = match (flags.text("post-data"), flags.bool("spider")) {
        ("", true) => (Method::HEAD, Bytes::new()),
        ("", false) => (Method::GET, Bytes::new()),
        (data, _) => (Method::POST, Bytes::from(data.to_owned())),
    };
    let limit = Duration::from_secs(u64::try_from(flags.int("timeout")).unwrap_or(900).max(1));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let got = runtime.block_on(client::send(method, &url, body, flags.text("user-agent"), limit));
    // The thread of a name that is still being looked up is not waited for.
    runtime.shutdown_background();
    let got = got.map_err(|error| plain(host, &error))?;
    let words = got.status.canonical_reason().unwrap_or_default();
    if flags.bool("server-response") {
        eprintln!("  HTTP/1.1 {} {words}", got.status.as_u16());
        for (name, value) in &got.headers {
            eprintln!("  {name}: {}", String::from_utf8_lossy(value.as_bytes()));
        }
    }
    if !got.status.is_success() {
        return Err(format!("server returned error: HTTP/1.1 {} {words}", got.status.as_u16()));
    }
    if flags.bool("spider") {
        if !quiet {
            eprintln!("remote file exists");
        }
        return Ok(());
    }
    let last = uri.path().rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("index.html");
    let file = match flags.text("output-document") {
        "" => last,
        file => file,
    };
    match file {
        "-" => std::io::stdout().write_all(&got.body),
        file => std::fs::write(file, &got.body),
    }
    .map_err(|error| format!("can't open '{file}': {error}"))?;
    if !quiet && file != "-" {
        eprintln!("saving to '{file}'\n'{file}' saved");
    }
    Ok(())
}

/// The client's Go words as BusyBox would put them.
fn plain(host: &str, error: &str) -> String {
    if error.contains("no such host") {
        return format!("bad address '{host}'");
    }
    if error.contains("deadline exceeded") {
        return "download timed out".to_owned();
    }
    if let Some(reason) = error.rsplit("connect: ").next().filter(|_| error.contains("dial tcp")) {
        let mut letters = reason.chars();
        let reason: String =
            letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default();
        return format!("can't connect to remote host ({host}): {reason}");
    }
    error.to_owned()
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn errors_are_busyboxs() {
        assert_eq!(plain("x", "Get \"http://x\": lookup x: no such host"), "bad address 'x'");
        assert_eq!(
            plain("10.0.0.1", "Get \"u\": dial tcp 10.0.0.1:80: connect: connection refused"),
            "can't connect to remote host (10.0.0.1): Connection refused"
        );
    }
}
