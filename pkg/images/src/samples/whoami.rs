//! `whoami`: who answers, who asked and what was asked, as text and as JSON.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;
use std::rc::Rc;

use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use serde_json::json;

use super::{headers, host, site};
use crate::flags::{Flag, Flags};
use crate::go;
use crate::serve::Answer;
use crate::web::{self, Asked};

const FLAGS: &[Flag] = &[Flag::text("port", ""), Flag::text("name", ""), Flag::bool("verbose", "false")];

/// Largest answer of `/data`, bytes.
const LARGEST: u64 = 64 << 20;

/// Serves until killed.
pub(crate) fn run(args: &[String]) -> ExitCode {
    // Go's `flag` takes one dash or two.
    let dashed: Vec<String> = args
        .iter()
        .map(|word| if word.starts_with('-') && !word.starts_with("--") { format!("-{word}") } else { word.clone() })
        .collect();
    let flags = match Flags::parse(FLAGS, &dashed) {
        Ok(flags) => flags,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    let set = |flag: &str, variable: &str| match flags.text(flag) {
        "" => std::env::var(variable).unwrap_or_default(),
        text => text.to_owned(),
    };
    let (port, name) = (set("port", "WHOAMI_PORT_NUMBER"), set("name", "WHOAMI_NAME"));
    let port = match port.as_str() {
        "" => 80,
        text => text.parse().unwrap_or_else(|_| go::fatal(format_args!("listen tcp: address {text}: invalid port"))),
    };
    go::log(format_args!("Starting up on port {port}"));
    let health = Rc::new(Cell::new(StatusCode::OK));
    let verbose = flags.bool("verbose");
    site(port, move |asked| {
        let (name, health) = (name.clone(), health.clone());
        async move {
            if verbose {
                go::log(format_args!("{} - \"{} {} HTTP/1.1\"", asked.peer, asked.method, asked.uri));
            }
            if let Ok(wait) = go::parse_duration(&asked.query("wait")) {
                tokio::time::sleep(wait).await;
            }
            match asked.path() {
                "/api" => api(&asked, &name),
                "/bench" => super::plain("1".to_owned()),
                "/data" => data(&asked),
                "/health" => healthy(&asked, &health),
                "/echo" => web::failure(StatusCode::NOT_IMPLEMENTED, "this stand-in speaks no WebSocket"),
                _ => web::ok(text(&asked, &name, &go::hostname(), &addresses())),
            }
        }
    })
}

fn text(asked: &Asked, name: &str, hostname: &str, addresses: &[IpAddr]) -> String {
    let mut text = if name.is_empty() { String::new() } else { format!("Name: {name}\n") };
    text += &format!("Hostname: {hostname}\n");
    addresses.iter().for_each(|address| text += &format!("IP: {address}\n"));
    text += &format!(
        "RemoteAddr: {}\n{} {} HTTP/1.1\r\nHost: {}\r\n",
        asked.peer,
        asked.method,
        asked.uri,
        host(&asked.headers)
    );
    // The client's name stands before all other headers.
    let (first, rest): (Vec<_>, Vec<_>) =
        headers(&asked.headers).into_iter().partition(|(name, _)| name == "User-Agent");
    first.into_iter().chain(rest).for_each(|(name, value)| text += &format!("{name}: {value}\r\n"));
    text + "\r\n"
}

fn api(asked: &Asked, name: &str) -> Answer {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    headers(&asked.headers).into_iter().for_each(|(name, value)| all.entry(name).or_default().push(value));
    let mut body = json!({
        "hostname": go::hostname(), "ip": addresses(), "headers": all, "url": asked.uri.to_string(),
        "host": host(&asked.headers), "method": asked.method.as_str(), "remoteAddr": asked.peer.to_string(),
    });
    if !name.is_empty() {
        body["name"] = json!(name);
    }
    let mut answer = web::ok(format!("{body}\n"));
    web::set(&mut answer, CONTENT_TYPE, "application/json");
    answer
}

/// `POST` says what the others are answered.
fn healthy(asked: &Asked, health: &Cell<StatusCode>) -> Answer {
    if asked.method != Method::POST {
        return web::answer(health.get(), "");
    }
    let text = String::from_utf8_lossy(&asked.body);
    match text.trim().parse().ok().and_then(|code| StatusCode::from_u16(code).ok()) {
        Some(status) => {
            go::log(format_args!("Update health check status code [{}]", status.as_u16()));
            health.set(status);
            web::ok("")
        }
        None => web::failure(StatusCode::BAD_REQUEST, &format!("not a status code: {}", go::quote(&text))),
    }
}

fn data(asked: &Asked) -> Answer {
    let size: u64 = asked.query("size").parse().ok().filter(|size| *size > 0).unwrap_or(1);
    let scale = match asked.query("unit").to_lowercase().as_str() {
        "kb" => 1 << 10,
        "mb" => 1 << 20,
        "gb" => 1 << 30,
        "tb" => 1 << 40,
        _ => 1,
    };
    match size.checked_mul(scale).filter(|size| *size <= LARGEST) {
        Some(size) => {
            let body: Vec<u8> = (0..size).map(|at| b"-ABCDEFGHIJKLMNOPQRSTUVWXYZ"[at as usize % 27]).collect();
            super::plain(String::from_utf8_lossy(&body).into_owned())
        }
        None => web::failure(StatusCode::BAD_REQUEST, "this stand-in sends 64 MB at most"),
    }
}

/// The addresses of this host's links, as the kernel's tables of local addresses tell them: IPv4 first.
pub(super) fn addresses() -> Vec<IpAddr> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let mut all = ipv4(&read("/proc/net/fib_trie"));
    all.extend(ipv6(&read("/proc/net/if_inet6")));
    all
}

/// A local address stands in the line above its `/32 host LOCAL`; each table repeats them.
fn ipv4(trie: &str) -> Vec<IpAddr> {
    let mut all: Vec<IpAddr> = Vec::new();
    let lines: Vec<&str> = trie.lines().collect();
    for pair in lines.windows(2) {
        let address = pair[0].split_whitespace().last().and_then(|word| word.parse::<Ipv4Addr>().ok());
        if let (Some(address), true) = (address, pair[1].trim() == "/32 host LOCAL")
            && !all.contains(&address.into())
        {
            all.push(address.into());
        }
    }
    all.sort_by_key(|address| !address.is_loopback());
    all
}

fn ipv6(table: &str) -> Vec<IpAddr> {
    let bits = |line: &str| line.split(' ').next().and_then(|word| u128::from_str_radix(word, 16).ok());
    table.lines().filter_map(bits).map(|bits| IpAddr::V6(Ipv6Addr::from(bits))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::tests::asked;

    #[test]
    fn the_kernels_tables_tell_addresses() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.244.1.5\n        /32 host LOCAL\n     |-- 10.244.1.255\n        \
                    /32 link BROADCAST\n     |-- 127.0.0.1\n        /32 host LOCAL\nLocal:\n     |-- 10.244.1.5\n        /32 host LOCAL\n";
        assert_eq!(ipv4(trie), ["127.0.0.1", "10.244.1.5"].map(|text| text.parse::<IpAddr>().unwrap()));
        let table = "00000000000000000000000000000001 01 80 10 80       lo\n";
        assert_eq!(ipv6(table), [IpAddr::V6(Ipv6Addr::LOCALHOST)]);
    }

    #[test]
    fn the_text_is_who_answers_and_the_request() {
        let addresses = ["127.0.0.1".parse().unwrap()];
        assert_eq!(
            text(&asked("GET", "/x", ""), "shop", "pod-1", &addresses),
            "Name: shop\nHostname: pod-1\nIP: 127.0.0.1\nRemoteAddr: 10.0.0.1:4242\nGET /x HTTP/1.1\r\nHost: shop.example\r\n\
             User-Agent: curl/8\r\nAccept: */*\r\n\r\n"
        );
    }

    #[test]
    fn health_is_what_was_posted() {
        let health = Cell::new(StatusCode::OK);
        assert_eq!(healthy(&asked("POST", "/health", "503"), &health).status(), 200);
        assert_eq!(healthy(&asked("GET", "/health", ""), &health).status(), 503);
        assert_eq!(healthy(&asked("POST", "/health", "bad"), &health).status(), 400);
        assert_eq!(data(&asked("GET", "/data?size=2&unit=kb", "")).headers()["content-length"], "2048");
        assert_eq!(data(&asked("GET", "/data?size=2&unit=TB", "")).status(), 400);
    }
}
