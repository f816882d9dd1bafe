//! `agnhost guestbook`: a key-value store with replicas that register by address, and a frontend for both.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::{Value, json};

use super::Mode;
use crate::flags::{Flag, Flags};
use crate::serve::Answer;
use crate::web::{self, Asked};
use crate::{client, go};

pub(super) const MODE: Mode = Mode {
    name: "guestbook",
    about: "Creates a HTTP server with various endpoints representing a guestbook app",
    flags: &[Flag::text("http-port", "80"), Flag::text("backend-port", "6379"), Flag::text("replicaof", "")],
    words: Some(0),
    run: |flags| super::block_on(serve(flags)),
};

/// How long one question to another guestbook may take.
const LIMIT: Duration = Duration::from_secs(5);
/// How long a replica tries to register.
const PATIENCE: Duration = Duration::from_secs(15);

struct Book {
    backend_port: String,
    entries: RefCell<BTreeMap<String, Value>>,
    replicas: RefCell<Vec<String>>,
}

async fn serve(flags: Flags) -> ExitCode {
    let book = Rc::new(Book {
        backend_port: flags.text("backend-port").to_owned(),
        entries: RefCell::default(),
        replicas: RefCell::default(),
    });
    let primary = flags.text("replicaof").to_owned();
    if !primary.is_empty() {
        tokio::task::spawn_local(register(book.clone(), primary));
    }
    let Ok(port) = flags.text("http-port").parse() else {
        go::fatal(format_args!("listen tcp: lookup tcp/{}: unknown port", flags.text("http-port")));
    };
    web::serve_forever(super::listen(port), None, move |asked| {
        let book = book.clone();
        async move {
            match asked.path() {
                "/register" => book.registered(&asked),
                "/get" => book.get(&asked),
                "/set" => book.set(&asked).await,
                "/guestbook" => book.frontend(&asked).await,
                _ => web::not_found(),
            }
        }
    })
    .await;
    ExitCode::SUCCESS
}

async fn ask(host: &str, port: &str, request: &str) -> Result<String, String> {
    let got = client::get(&format!("http://{host}:{port}/{request}"), LIMIT).await?;
    Ok(String::from_utf8_lossy(&got.body).into_owned())
}

async fn register(book: Rc<Book>, primary: String) {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        match try_register(&book, &primary).await {
            Ok(()) => return go::log(format_args!("Registered to node: {primary}")),
            Err(error) => {
                go::log(format_args!("encountered error while registering to primary: {error}. Retrying in 1s."))
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    go::fatal("Timed out while registering to primary.")
}

async fn try_register(book: &Book, primary: &str) -> Result<(), String> {
    let port = book.backend_port.parse().map_err(|_| "unknown port".to_owned())?;
    let to = client::resolve(primary, port).await?;
    // The kernel says which address of ours leads there; nothing is sent.
    let mine = async {
        let socket = tokio::net::UdpSocket::bind(("0.0.0.0", 0)).await?;
        socket.connect(to).await?;
        socket.local_addr()
    };
    let mine = mine.await.map_err(|error| go::errno(&error))?.ip();
    let request = format!("register?host={mine}");
    go::log(format_args!("Registering to primary: {primary}:{port}/{request}"));
    let answer = ask(primary, &book.backend_port, &request).await?;
    let answer: Value = serde_json::from_str(&answer).map_err(|error| error.to_string())?;
    let entries = answer["data"].as_object().ok_or_else(|| format!("no entries in {answer}"))?;
    book.entries.replace(entries.clone().into_iter().collect());
    Ok(())
}

impl Book {
    fn registered(&self, asked: &Asked) -> Answer {
        let replica = asked.query("host");
        go::log(format_args!("GET /register?host={replica}"));
        let answer = web::ok(json!({"data": *self.entries.borrow()}).to_string());
        go::log(format_args!("Node '{replica}' registered."));
        self.replicas.borrow_mut().push(replica);
        answer
    }

    fn get(&self, asked: &Asked) -> Answer {
        let key = asked.query("key");
        go::log(format_args!("GET /get?key={key}"));
        let entries = self.entries.borrow();
        let data = match key.as_str() {
            "" => json!(*entries),
            key => entries.get(key).cloned().unwrap_or_else(|| json!("")),
        };
        web::ok(json!({"data": data}).to_string())
    }

    async fn set(&self, asked: &Asked) -> Answer {
        let (key, value) = (asked.query("key"), asked.query("value"));
        go::log(format_args!("GET /set?key={key}&value={value}"));
        if key.is_empty() {
            return web::failure(StatusCode::BAD_REQUEST, "cannot set with empty key.");
        }
        let request = format!("set?key={}&value={}", escape(&key), escape(&value));
        self.entries.borrow_mut().insert(key, Value::String(value));
        let replicas = self.replicas.borrow().clone();
        for replica in replicas {
            if let Err(error) = ask(&replica, &self.backend_port, &request).await {
                let text = format!("encountered error while propagating to replica '{replica}': {error}");
                return web::failure(StatusCode::EXPECTATION_FAILED, &text);
            }
        }
        web::ok(json!({"message": "Updated"}).to_string())
    }

    async fn frontend(&self, asked: &Asked) -> Answer {
        let (command, key, value) = (asked.query("cmd").to_lowercase(), asked.query("key"), asked.query("value"));
        go::log(format_args!("GET /guestbook?cmd={command}&key={key}&value={value}"));
        let host = match command.as_str() {
            "get" => "agnhost-replica",
            "set" if key.is_empty() => {
                return web::failure(StatusCode::BAD_REQUEST, "cannot set with empty key.");
            }
            "set" => "agnhost-primary",
            other => return web::failure(StatusCode::BAD_REQUEST, &format!("unsupported cmd: '{other}'")),
        };
        let request = format!("{command}?key={}&value={}", escape(&key), escape(&value));
        match ask(host, &self.backend_port, &request).await {
            Ok(answer) => web::ok(answer),
            Err(error) => web::failure(StatusCode::EXPECTATION_FAILED, &format!("encountered error: {error}")),
        }
    }
}

fn escape(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_kept() {
        super::super::block_on(async {
            let book = Book { backend_port: "6379".into(), entries: RefCell::default(), replicas: RefCell::default() };
            let asked = |uri: &str| Asked {
                method: http::Method::GET,
                uri: uri.parse().unwrap(),
                headers: http::HeaderMap::new(),
                body: bytes::Bytes::new(),
                peer: "10.0.0.1:1".parse().unwrap(),
            };
            assert_eq!(book.set(&asked("/set?key=&value=1")).await.status(), 400);
            assert_eq!(book.set(&asked("/set?key=a%20b&value=1")).await.status(), 200);
            assert_eq!(book.entries.borrow()["a b"], "1");
            assert_eq!(book.frontend(&asked("/guestbook?cmd=x")).await.status(), 400);
        });
    }
}
