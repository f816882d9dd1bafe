//! How much strangers may ask for at a time, and how long they may take. The figures are kube-apiserver's where it has
//! one. Must not answer requests.

use std::sync::Arc;
use std::time::Duration;

use minisvc_api::status::Status;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::http::path::RequestInfo;
use crate::http::query::Query;
use crate::identity::{Identity, MASTERS};

/// The server's limits. `Default` gives the lab's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections that one listener serves at a time; further ones wait in the kernel's queue.
    pub connections: usize,
    /// Time for a TLS handshake.
    pub handshake: Duration,
    /// Time for the first byte after it, and for the headers of a request on HTTP/1. As long as Go's servers keep an
    /// idle connection, because on HTTP/1 the wait for the next request counts as well.
    pub headers: Duration,
    /// How long a connection may take none of the bytes that wait for it; then it is cut. Logs, exec, attach,
    /// port-forward and proxies are exempt: somebody may be reading them page by page.
    pub stall: Duration,
    /// Time from a request's headers to its answer, its body included (`--request-timeout`). Watches and connections
    /// to pods have none.
    pub request: Duration,
    /// Requests that only read, at work at a time (`--max-requests-inflight`); further ones get 429.
    pub reading: usize,
    /// Requests that write, at work at a time (`--max-mutating-requests-inflight`).
    pub writing: usize,
    /// HTTP/2 streams open at a time on one connection.
    pub streams: u32,
}

/// Counts the requests at work.
#[derive(Debug)]
pub(crate) struct Gate {
    reading: Arc<Semaphore>,
    writing: Arc<Semaphore>,
}

/// Too many requests are at work: 429.
#[derive(Debug)]
pub(crate) struct Busy;

/// Subresources that keep their connection as long as both ends like (kube-apiserver `app/server.go`).
const LONG_RUNNING: [&str; 5] = ["attach", "exec", "proxy", "log", "portforward"];

// === impl Limits ===

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 4096,
            handshake: Duration::from_secs(10),
            headers: Duration::from_secs(90),
            stall: Duration::from_secs(60),
            request: Duration::from_secs(60),
            reading: 400,
            writing: 200,
            streams: 250,
        }
    }
}

impl Limits {
    /// How long this request may take; `None` for those that have no end of their own.
    ///
    /// # Errors
    /// 400 when the query's `timeout` is no duration.
    pub(crate) fn time_for(&self, info: &RequestInfo, query: &Query) -> Result<Option<Duration>, Status> {
        if is_long_running(info) {
            return Ok(None);
        }
        let wanted = match query.get("timeout") {
            "" => Duration::ZERO,
            text => duration(text).map_err(|cause| {
                Status::bad_request(format!("invalid timeout specified in the request URL - time: {cause}"))
            })?,
        };
        Ok(Some(if wanted.is_zero() { self.request } else { wanted.min(self.request) }))
    }
}

// === impl Gate ===

impl Gate {
    pub(crate) fn new(limits: &Limits) -> Gate {
        let room = |size: usize| Arc::new(Semaphore::new(size.min(Semaphore::MAX_PERMITS)));
        Gate { reading: room(limits.reading), writing: room(limits.writing) }
    }

    /// Lets a request in until the answer is dropped. Watches and connections to pods are not counted, and
    /// `system:masters` always get in.
    pub(crate) fn enter(&self, identity: &Identity, info: &RequestInfo) -> Result<Option<OwnedSemaphorePermit>, Busy> {
        if is_long_running(info) {
            return Ok(None);
        }
        let reads = matches!(info.verb.as_str(), "get" | "list" | "watch");
        let room = if reads { &self.reading } else { &self.writing };
        match room.clone().try_acquire_owned() {
            Ok(place) => Ok(Some(place)),
            Err(_) if identity.is_member(MASTERS) => Ok(None),
            Err(_) => Err(Busy),
        }
    }
}

/// Whether a request may last as long as it likes.
pub(crate) fn is_long_running(info: &RequestInfo) -> bool {
    info.verb == "watch" || (info.resource_request && LONG_RUNNING.contains(&info.subresource.as_str()))
}

/// Go's `time.ParseDuration`, with its errors (without their `time: `). Negative ones count as zero.
fn duration(text: &str) -> Result<Duration, String> {
    let quoted = format!("{text:?}");
    let invalid = || format!("invalid duration {quoted}");
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total = 0.0_f64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..end].parse().map_err(|_| invalid())?;
        rest = &rest[end..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "" => return Err(format!("missing unit in duration {quoted}")),
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            other => return Err(format!("unknown unit {other:?} in duration {quoted}")),
        };
        total += number * unit;
        rest = &rest[end..];
    }
    // Go's durations end at 292 years.
    if total > 9.3e9 {
        return Err(invalid());
    }
    Ok(if negative { Duration::ZERO } else { Duration::try_from_secs_f64(total).map_err(|_| invalid())? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_go_reads_them() {
        for (text, expected) in [
            ("30s", Ok(Duration::from_secs(30))),
            ("1m30s", Ok(Duration::from_secs(90))),
            ("1.5h", Ok(Duration::from_secs(5400))),
            ("250ms", Ok(Duration::from_millis(250))),
            ("0", Ok(Duration::ZERO)),
            ("-5s", Ok(Duration::ZERO)),
            ("30", Err("missing unit in duration \"30\"")),
            ("3x", Err("unknown unit \"x\" in duration \"3x\"")),
            ("soon", Err("invalid duration \"soon\"")),
            ("1..2s", Err("invalid duration \"1..2s\"")),
            ("", Err("invalid duration \"\"")),
            ("9999999999h", Err("invalid duration \"9999999999h\"")),
        ] {
            assert_eq!(duration(text), expected.map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn watches_and_masters_always_get_in() {
        let gate = Gate::new(&Limits { reading: 1, writing: 0, ..Limits::default() });
        let ask = |user: &str, group: &str, verb: &str, subresource: &str| {
            let info = RequestInfo {
                resource_request: true,
                verb: verb.into(),
                subresource: subresource.into(),
                ..RequestInfo::default()
            };
            gate.enter(&Identity::new(user, [group]), &info)
        };
        let held = ask("ann", "staff", "list", "").unwrap();
        assert!(held.is_some());
        assert!(ask("ann", "staff", "get", "").is_err());
        assert!(ask("ann", "staff", "create", "").is_err());
        assert!(ask("ann", "staff", "watch", "").unwrap().is_none());
        assert!(ask("ann", "staff", "get", "log").unwrap().is_none());
        assert!(ask("root", MASTERS, "create", "").unwrap().is_none());
        drop(held);
        assert!(ask("ann", "staff", "get", "").unwrap().is_some());
    }
}
