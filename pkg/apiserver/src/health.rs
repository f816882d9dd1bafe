//! `/healthz`, `/livez`, `/readyz` and what below `/metrics/slis` counts of them. Must not know who asks.
//!
//! The checks have kube-apiserver's names, because scripts, probes and people ask for those. `etcd` asks this server's own
//! store whether its writer is at work; a post-start hook is good once this server's start has done what that hook does.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use ::http::StatusCode;
use axum::response::Response;
use minisvc_store::{Key, StoreError, Write};

use crate::http::query::Query;
use crate::http::respond;
use crate::server::Inner;
use crate::standing::not_found;

/// The three places that are asked.
pub(crate) const PLACES: [&str; 3] = ["healthz", "livez", "readyz"];

/// What a check looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// That there is an answer at all.
    Here,
    /// Whether the store's writer is at work.
    Store,
    /// Whether the start is done.
    Started,
    /// Whether this server is not about to end. Of `/readyz` only.
    Staying,
}

/// All checks in the order of their lines; those of [`READY`] are of `/readyz` only.
const CHECKS: &[(&str, Look)] = &[
    ("ping", Look::Here),
    ("log", Look::Here),
    ("etcd", Look::Store),
    ("etcd-readiness", Look::Store),
    ("informer-sync", Look::Started),
    ("poststarthook/start-apiserver-admission-initializer", Look::Started),
    ("poststarthook/generic-apiserver-start-informers", Look::Started),
    ("poststarthook/priority-and-fairness-config-consumer", Look::Started),
    ("poststarthook/priority-and-fairness-filter", Look::Started),
    ("poststarthook/storage-object-count-tracker-hook", Look::Started),
    ("poststarthook/start-apiextensions-informers", Look::Started),
    ("poststarthook/start-apiextensions-controllers", Look::Started),
    ("poststarthook/crd-informer-synced", Look::Started),
    ("poststarthook/start-system-namespaces-controller", Look::Started),
    ("poststarthook/start-cluster-authentication-info-controller", Look::Started),
    ("poststarthook/start-service-ip-repair-controllers", Look::Started),
    ("poststarthook/rbac/bootstrap-roles", Look::Started),
    ("poststarthook/scheduling/bootstrap-system-priority-classes", Look::Started),
    ("poststarthook/priority-and-fairness-config-producer", Look::Started),
    ("poststarthook/bootstrap-controller", Look::Started),
    ("poststarthook/start-kube-aggregator-informers", Look::Started),
    ("poststarthook/apiservice-status-local-available-controller", Look::Started),
    ("poststarthook/apiservice-status-remote-available-controller", Look::Started),
    ("poststarthook/apiservice-registration-controller", Look::Started),
    ("poststarthook/apiservice-discovery-controller", Look::Started),
    ("poststarthook/kube-apiserver-autoregistration", Look::Started),
    ("autoregister-completion", Look::Started),
    ("poststarthook/apiservice-openapi-controller", Look::Started),
    ("poststarthook/apiservice-openapiv3-controller", Look::Started),
    ("poststarthook/storage-readiness", Look::Started),
    ("shutdown", Look::Staying),
];

/// Checks of `/readyz` only.
const READY: &[&str] = &["etcd-readiness", "informer-sync", "shutdown"];

/// What has been seen so far.
#[derive(Debug, Default)]
pub(crate) struct Health {
    started: AtomicBool,
    /// By check and place.
    seen: Mutex<BTreeMap<(&'static str, &'static str), Seen>>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    last_good: bool,
    good: u64,
    bad: u64,
}

impl Health {
    /// The start is done.
    pub(crate) fn started(&self) {
        self.started.store(true, Ordering::Release);
    }

    fn note(&self, check: &'static str, place: &'static str, good: bool) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = seen.entry((check, place)).or_default();
        seen.last_good = good;
        *(if good { &mut seen.good } else { &mut seen.bad }) += 1;
    }

    /// `/metrics/slis` (KEP-3466): how each check ended last, and how often each way.
    pub(crate) fn metrics(&self) -> String {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = "# HELP kubernetes_healthcheck Whether the check was good when it was last asked.\n\
                        # TYPE kubernetes_healthcheck gauge\n"
            .to_owned();
        for ((name, place), seen) in seen.iter() {
            let last = u8::from(seen.last_good);
            let _ = writeln!(text, "kubernetes_healthcheck{{name=\"{name}\",type=\"{place}\"}} {last}");
        }
        text.push_str(
            "# HELP kubernetes_healthchecks_total How often the check was asked, by its outcome.\n\
             # TYPE kubernetes_healthchecks_total counter\n",
        );
        for ((name, place), seen) in seen.iter() {
            for (status, count) in [("error", seen.bad), ("success", seen.good)].into_iter().filter(|(_, n)| *n > 0) {
                let labels = format!("name=\"{name}\",status=\"{status}\",type=\"{place}\"");
                let _ = writeln!(text, "kubernetes_healthchecks_total{{{labels}}} {count}");
            }
        }
        text
    }
}

/// The paths of all checks.
pub(crate) fn paths() -> impl Iterator<Item = String> {
    PLACES.into_iter().flat_map(|place| {
        let below = checks(place).map(move |(name, _)| format!("/{place}/{name}"));
        std::iter::once(format!("/{place}")).chain(below)
    })
}

fn checks(place: &str) -> impl Iterator<Item = (&'static str, Look)> {
    let ready = place == "readyz";
    CHECKS.iter().copied().filter(move |(name, _)| ready || !READY.contains(name))
}

/// Answers below one of [`PLACES`] (apiserver `healthz.handleRootHealth`).
pub(crate) async fn answer(server: &Inner, place: &'static str, below: &str, query: &Query) -> Response {
    if below.is_empty() {
        let (code, text) = all(server, place, query).await;
        return respond::text(code, text);
    }
    let Some((_, look)) = checks(place).find(|(name, _)| *name == below) else { return not_found() };
    match see(server, look).await {
        Ok(()) => respond::text(StatusCode::OK, "ok"),
        Err(why) => respond::text(StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {why}\n")),
    }
}

/// Asks every check of a place that is not excluded.
pub(crate) async fn all(server: &Inner, place: &'static str, query: &Query) -> (StatusCode, String) {
    let excluded: Vec<&str> = query.all("exclude").collect();
    let (mut lines, mut failed) = (String::new(), false);
    for (name, look) in checks(place) {
        if excluded.contains(&name) {
            let _ = writeln!(lines, "[+]{name} excluded: ok");
            continue;
        }
        let seen = see(server, look).await;
        server.health.note(name, place, seen.is_ok());
        match seen {
            Ok(()) => drop(writeln!(lines, "[+]{name} ok")),
            Err(why) => {
                // Anybody may ask: the reason is for the log.
                tracing::warn!(place, check = name, why, "a health check failed");
                failed = true;
                let _ = writeln!(lines, "[-]{name} failed: reason withheld");
            }
        }
    }
    let mut unknown: Vec<&str> =
        excluded.into_iter().filter(|wanted| checks(place).all(|(name, _)| name != *wanted)).collect();
    if !unknown.is_empty() {
        unknown.sort_unstable();
        unknown.dedup();
        let quoted: Vec<String> = unknown.iter().map(|name| format!("{name:?}")).collect();
        let quoted = quoted.join(",");
        let _ = writeln!(lines, "warn: some health checks cannot be excluded: no matches for {quoted}");
    }
    match (failed, query.has("verbose")) {
        (true, _) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{lines}{place} check failed\n")),
        (false, true) => (StatusCode::OK, format!("{lines}{place} check passed\n")),
        (false, false) => (StatusCode::OK, "ok".to_owned()),
    }
}

async fn see(server: &Inner, look: Look) -> Result<(), String> {
    match look {
        Look::Here => Ok(()),
        Look::Started if server.health.started.load(Ordering::Acquire) => Ok(()),
        Look::Started => Err("not finished".to_owned()),
        Look::Staying if server.shutdown.is_cancelled() => Err("process is shutting down".to_owned()),
        Look::Staying => Ok(()),
        Look::Store => {
            // A change of what is never there waits its turn like every write, and ends before the disk.
            let key = Key::new("health", "", "check");
            match server.store.commit(Write::Delete { key, expected: None }, true).await {
                Ok(_) | Err(StoreError::NotFound(_)) => Ok(()),
                Err(why) => Err(why.to_string()),
            }
        }
    }
}
