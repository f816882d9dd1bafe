//! The endpoints of netexec's HTTP server.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::rc::Rc;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use super::{Exit, State, dial};
use crate::go;
use crate::serve::Answer;
use crate::web::{self, Asked};

const SHELL: &str = "/bin/sh";
const UPLOADS: &str = "/uploads";

pub(super) async fn answer(state: Rc<State>, mut asked: Asked) -> Answer {
    if let Some(path) = &state.http_override {
        match path.parse() {
            Ok(uri) => (asked.uri, asked.method) = (uri, http::Method::GET),
            Err(error) => {
                return web::failure(StatusCode::INTERNAL_SERVER_ERROR, &format!("override request failed: {error}"));
            }
        }
        // The overriding request is a new one, without the headers, the body and the address of the one that came.
        asked.headers.clear();
        asked.body.clear();
    }
    match asked.path() {
        "/clientip" => {
            go::log("GET /clientip");
            match state.http_override {
                Some(_) => web::ok(""),
                None => web::ok(asked.peer.to_string()),
            }
        }
        "/serverport" => {
            go::log("GET /serverport");
            web::ok(state.http_port.to_string())
        }
        "/header" => header(&asked),
        "/dial" => dial::dial(&asked).await,
        "/echo" => echo(&asked),
        "/exit" => exit(&state, &asked).await,
        "/healthz" => {
            go::log("GET /healthz");
            web::answer(if state.ready.on() { StatusCode::OK } else { StatusCode::PRECONDITION_FAILED }, "")
        }
        "/readyz" => {
            go::log("GET /readyz");
            match (state.ending.on(), state.ready.on()) {
                (true, _) => web::answer(StatusCode::SERVICE_UNAVAILABLE, "shutting down"),
                (false, true) => web::ok("ok"),
                (false, false) => web::answer(StatusCode::PRECONDITION_FAILED, ""),
            }
        }
        path @ ("/hostname" | "/hostName") => {
            go::log(format_args!("GET {path}"));
            web::ok(go::hostname())
        }
        "/envvar" => variable(&asked),
        "/redirect" => redirect(&asked),
        "/shell" => shell(&asked).await,
        "/upload" => upload(&asked),
        "/shutdown" => {
            go::log("GET /shutdown");
            std::process::exit(0)
        }
        _ => {
            go::log("GET /");
            web::ok(format!("NOW: {}", go::now(state.started)))
        }
    }
}

fn header(asked: &Asked) -> Answer {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let key = asked.form("key");
    if !key.is_empty() {
        go::log(format_args!("GET /header?key={key}"));
        return web::ok(asked.headers.get(&key).map(text).unwrap_or_default());
    }
    go::log("GET /header");
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in &asked.headers {
        // Go keeps the host apart from the headers.
        if name != http::header::HOST {
            all.entry(go::header_name(name.as_str())).or_default().push(text(value));
        }
    }
    web::ok(json!(all).to_string())
}

/// A status code given as text; `Err` is what is said of one that is none.
fn code(text: &str) -> Result<Option<StatusCode>, String> {
    match text {
        "" => Ok(None),
        text => match text.parse::<u16>().ok().and_then(|code| StatusCode::from_u16(code).ok()) {
            Some(code) => Ok(Some(code)),
            None => Err(format!("argument 'code' must be an integer or empty, got {}\n", go::quote(text))),
        },
    }
}

fn echo(asked: &Asked) -> Answer {
    let (message, status) = (asked.form("msg"), asked.form("code"));
    go::log(format_args!("GET /echo?msg={message}&code={status}"));
    match code(&status) {
        Ok(status) => web::answer(status.unwrap_or(StatusCode::OK), message),
        Err(words) => web::ok(words),
    }
}

fn variable(asked: &Asked) -> Answer {
    let name = asked.form("var");
    if name.is_empty() {
        return web::failure(StatusCode::BAD_REQUEST, "'var' query parameter is required");
    }
    go::log(format_args!("GET /envvar?var={name}"));
    match std::env::var(&name) {
        Ok(value) => web::ok(value),
        Err(_) => {
            let text = format!("env var {} is not set", go::quote(&name));
            web::failure(StatusCode::INTERNAL_SERVER_ERROR, &text)
        }
    }
}

fn redirect(asked: &Asked) -> Answer {
    let (location, status) = (asked.form("location"), asked.form("code"));
    go::log(format_args!("{} /redirect?msg={location}&code={status}", asked.method));
    match code(&status) {
        Ok(status) => web::redirect(asked, &location, status.unwrap_or(StatusCode::FOUND)),
        Err(words) => web::ok(words),
    }
}

async fn exit(state: &State, asked: &Asked) -> Answer {
    let get = |key| asked.form(key);
    let (code, timeout, wait) = (get("code"), get("timeout"), get("wait"));
    go::log(format_args!("GET /exit?code={code}&timeout={timeout}&wait={wait}"));
    let read = |name: &str, text: &str| match text {
        "" => Ok(Duration::ZERO),
        text => go::parse_duration(text).map_err(|_| {
            format!("argument '{name}' must be a valid golang duration or empty, got {}\n", go::quote(text))
        }),
    };
    let (timeout, wait) = match (read("timeout", &timeout), read("wait", &wait)) {
        (Ok(timeout), Ok(wait)) => (timeout, wait),
        (Err(words), _) | (_, Err(words)) => return web::ok(words),
    };
    let code: i32 = match code.as_str() {
        "" => 0,
        text => match text.parse() {
            Ok(code) => code,
            Err(_) => {
                let got = go::quote(text);
                return web::ok(format!("argument 'code' must be an integer [0-127] or empty, got {got}\n"));
            }
        },
    };
    go::log(format_args!(
        "Will begin shutdown in {}, allowing {} for connections to close, then will exit with {code}",
        go::duration(wait),
        go::duration(timeout)
    ));
    tokio::time::sleep(wait).await;
    if timeout.is_zero() {
        std::process::exit(code);
    }
    // A second order changes nothing: the first one is being carried out.
    let _ = state.exit.try_send(Exit { code, timeout });
    web::ok("")
}

async fn shell(asked: &Asked) -> Answer {
    let command = match asked.form("shellCommand") {
        empty if empty.is_empty() => asked.form("cmd"),
        command => command,
    };
    go::log(format_args!("GET /shell?cmd={command}"));
    // Both streams go into one pipe, as they come.
    let (text, error) = tokio::task::spawn_blocking(move || combined(&command))
        .await
        .unwrap_or_else(|error| (String::new(), Some(error.to_string())));
    let mut output = serde_json::Map::new();
    if let Some(error) = error {
        output.insert("error".to_owned(), Value::String(error));
    }
    if !text.is_empty() {
        output.insert("output".to_owned(), Value::String(text));
    }
    let output = Value::Object(output);
    go::log(format_args!("Output: {output}"));
    web::ok(output.to_string())
}

fn combined(command: &str) -> (String, Option<String>) {
    let run = || {
        let (mut reader, writer) = std::io::pipe()?;
        let mut shell = std::process::Command::new(SHELL);
        shell.args(["-c", command]).stdin(std::process::Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
        let mut child = shell.spawn()?;
        // The command's own ends of the pipe must be the last ones.
        drop(shell);
        let mut text = Vec::new();
        std::io::Read::read_to_end(&mut reader, &mut text)?;
        Ok::<_, std::io::Error>((String::from_utf8_lossy(&text).into_owned(), child.wait()?))
    };
    match run() {
        Ok((text, status)) => {
            use std::os::unix::process::ExitStatusExt as _;
            let error = match (status.code(), status.signal()) {
                (Some(0), _) => None,
                (Some(code), _) => Some(format!("exit status {code}")),
                (None, signal) => Some(format!("signal: {}", signal.unwrap_or_default())),
            };
            (text, error)
        }
        Err(error) => (String::new(), Some(format!("fork/exec {SHELL}: {}", go::errno(&error)))),
    }
}

fn upload(asked: &Asked) -> Answer {
    go::log("GET /upload");
    let fail = |error: &str| web::ok(json!({"error": error}).to_string());
    let Some(content) = uploaded(asked) else {
        go::log("Unable to upload file: no form field \"file\"");
        return fail("Unable to upload file.");
    };
    let random: u32 = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), content) as u32;
    let path = format!("{UPLOADS}/upload{random}");
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o700).open(&path);
    let Ok(mut file) = file.inspect_err(|error| go::log(format_args!("Unable to open file for write: {error}"))) else {
        return fail("Unable to open file for write");
    };
    if let Err(error) = file.write_all(content) {
        go::log(format_args!("Unable to write file: {error}"));
        return fail("Unable to write file.");
    }
    go::log(format_args!("Wrote upload to {path}"));
    web::answer(StatusCode::CREATED, json!({"output": path}).to_string())
}

/// The content of the field `file` of a multipart form (RFC 7578).
fn uploaded(asked: &Asked) -> Option<&[u8]> {
    let kind = asked.headers.get(http::header::CONTENT_TYPE)?.to_str().ok()?;
    let boundary = kind.strip_prefix("multipart/form-data")?.split_once("boundary=")?.1;
    let boundary = format!("--{}", boundary.split(';').next()?.trim_matches('"'));
    let mut rest = &asked.body[..];
    loop {
        rest = &rest[find(rest, boundary.as_bytes())? + boundary.len()..];
        let head_end = find(rest, b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&rest[..head_end]);
        let content = &rest[head_end + 4..];
        let end = find(content, format!("\r\n{boundary}").as_bytes())?;
        if head.contains("name=\"file\"") && head.contains("filename") {
            return Some(&content[..end]);
        }
        rest = &content[end..];
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_spelled_as_go_does() {
        assert_eq!(go::header_name("x-forwarded-for"), "X-Forwarded-For");
        assert_eq!(go::header_name("etag"), "Etag");
    }

    #[test]
    fn a_command_tells_output_and_error() {
        assert_eq!(combined("echo out; echo err >&2; exit 3"), ("out\nerr\n".into(), Some("exit status 3".into())));
        assert_eq!(combined("true"), (String::new(), None));
    }

    #[test]
    fn a_form_brings_a_file() {
        let mut headers = http::HeaderMap::new();
        headers.insert(http::header::CONTENT_TYPE, "multipart/form-data; boundary=xx".parse().unwrap());
        let body = "--xx\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--xx\r\nContent-Disposition: form-data; \
                    name=\"file\"; filename=\"f\"\r\n\r\ncon\r\ntent\r\n--xx--\r\n";
        let mut asked = Asked {
            method: http::Method::POST,
            uri: "/upload".parse().unwrap(),
            headers,
            body: body.into(),
            peer: "10.0.0.1:1".parse().unwrap(),
        };
        assert_eq!(uploaded(&asked).unwrap(), b"con\r\ntent");
        asked.body = "--xx\r\n".into();
        assert_eq!(uploaded(&asked), None);
    }
}
