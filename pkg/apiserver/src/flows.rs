//! Priority and fairness over HTTP: which FlowSchema and priority level a request falls under, told in its answer's headers
//! (apiserver `pkg/server/filters/priority-and-fairness.go`), and the objects that every server has, kept as they should be.
//! Nothing is held back by levels: `limits` counts requests at work for all alike.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use futures::future::join_all;
use http::{HeaderName, HeaderValue};
use jiff::Timestamp;
use minisvc_api::flow::{self, LEVELS, Order, SCHEMAS};
use minisvc_store::{Key, Store, Stored, Write};
use parking_lot::RwLock;
use serde_json::{Value, json};

use crate::http::path::RequestInfo;
use crate::identity::Identity;
use crate::server::Inner;

const SCHEMA_UID: HeaderName = HeaderName::from_static("x-kubernetes-pf-flowschema-uid");
const LEVEL_UID: HeaderName = HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid");

/// How often the objects of the start are looked after.
const PERIOD: Duration = Duration::from_secs(60);

/// The schemas in order, made anew after each write of one.
#[derive(Default)]
pub(crate) struct Flows(RwLock<Option<Arc<Order>>>);

/// Where a request belongs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flow {
    schema_uid: String,
    level_uid: String,
}

impl Flows {
    fn order(&self, store: &dyn Store) -> Arc<Order> {
        if let Some(order) = &*self.0.read() {
            return order.clone();
        }
        // Whoever writes forgets after the commit: what is read under the lock is never older than the next `forget`.
        let mut kept = self.0.write();
        let (schemas, levels) = (store.list(SCHEMAS, None).items, store.list(LEVELS, None).items);
        let order = Arc::new(Order::new(schemas.iter().map(|s| &*s.value), levels.iter().map(|l| &*l.value)));
        *kept = Some(order.clone());
        order
    }

    fn forget(&self) {
        *self.0.write() = None;
    }
}

impl Flow {
    /// Sorts a request.
    pub(crate) fn of(server: &Inner, identity: &Identity, info: &RequestInfo) -> Flow {
        let request = flow::Request {
            user: &identity.user,
            groups: &identity.groups,
            verb: &info.verb,
            resource_request: info.resource_request,
            group: &info.group,
            resource: &info.resource,
            subresource: &info.subresource,
            namespace: &info.namespace,
            path: &info.path,
        };
        let order = server.flows.order(&*server.store);
        let found = order.classify(&request);
        found.map_or_else(Flow::default, |entry| Flow {
            schema_uid: entry.schema_uid.clone(),
            level_uid: entry.level_uid.clone(),
        })
    }

    /// Tells the client.
    pub(crate) fn tell(&self, response: &mut Response) {
        for (name, uid) in [(SCHEMA_UID, &self.schema_uid), (LEVEL_UID, &self.level_uid)] {
            response.headers_mut().extend(HeaderValue::from_str(uid).ok().map(|uid| (name, uid)));
        }
    }
}

/// The metric of levels, in Prometheus' text form.
pub(crate) fn metrics(server: &Inner, text: &mut String) {
    const NAME: &str = "apiserver_flowcontrol_nominal_limit_seats";
    let limits = &server.config.limits;
    let levels = server.store.list(LEVELS, None).items;
    let seats = flow::nominal_seats(levels.iter().map(|level| &*level.value), limits.reading + limits.writing);
    let _ = writeln!(
        text,
        "# HELP {NAME} What a level's shares of the requests at work come to; levels are not held to it."
    );
    let _ = writeln!(text, "# TYPE {NAME} gauge");
    for (level, seats) in seats {
        let _ = writeln!(text, "{NAME}{{priority_level=\"{level}\"}} {seats}");
    }
}

impl Inner {
    /// After a write of a schema or level: the order is made anew, and the condition `Dangling` says what is so.
    pub(crate) async fn follow_flows(&self) {
        self.flows.forget();
        for schema in self.store.list(SCHEMAS, None).items {
            let level = schema.value["spec"]["priorityLevelConfiguration"]["name"].as_str().unwrap_or_default();
            let exists = self.store.get(&Key::new(LEVELS, "", level)).is_some();
            if let Some(value) = settled(&schema.value, level, exists, Timestamp::now()) {
                self.settle(Write::Update { key: schema.key.clone(), expected: Some(schema.revision), value }).await;
            }
        }
    }

    /// Restores the objects of the start where they are gone, or changed against the rules, until the server ends.
    pub(crate) async fn keep_flows(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(PERIOD) => self.restore_flows().await,
                () = self.shutdown.cancelled() => return,
            }
        }
    }

    /// One look at all of them.
    pub(crate) async fn restore_flows(&self) {
        let mut writes = Vec::new();
        for wanted in flow::bootstrap() {
            let resource = if wanted.object["kind"] == "FlowSchema" { SCHEMAS } else { LEVELS };
            let name = wanted.object["metadata"]["name"].as_str().unwrap_or_default();
            let key = Key::new(resource, "", name);
            let write = match self.store.get(&key) {
                None => Some(Write::Create { key, value: fresh(&wanted.object) }),
                Some(stored) => flow::revised(&stored.value, wanted).map(|mut value| {
                    bump(&mut value, &stored);
                    Write::Update { key, expected: Some(stored.revision), value }
                }),
            };
            writes.extend(write.map(|write| self.settle(write)));
        }
        if !writes.is_empty() {
            // At once, so that the store makes them durable together.
            join_all(writes).await;
            self.follow_flows().await;
        }
    }
}

/// What creation adds to an object.
fn fresh(wanted: &Value) -> Value {
    let mut value = wanted.clone();
    let metadata = &mut value["metadata"];
    metadata["uid"] = uuid::Uuid::new_v4().to_string().into();
    metadata["creationTimestamp"] = minisvc_api::time::format(Timestamp::now()).into();
    metadata["generation"] = 1.into();
    value["status"] = json!({});
    // The levels of the start are written with it, so that nothing is left to say of them.
    let level = value["spec"]["priorityLevelConfiguration"]["name"].as_str().map(str::to_owned);
    level.and_then(|level| settled(&value, &level, true, Timestamp::now())).unwrap_or(value)
}

fn bump(value: &mut Value, stored: &Stored) {
    if value["spec"] != stored.value["spec"] {
        let generation = value["metadata"]["generation"].as_i64().unwrap_or(0);
        value["metadata"]["generation"] = (generation + 1).into();
    }
}

/// The schema with its condition, where it says something else.
fn settled(schema: &Value, level: &str, exists: bool, now: Timestamp) -> Option<Value> {
    let (status, reason, message) = flow::dangling(level, exists);
    let mut conditions = schema["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let at = conditions.iter().position(|one| one["type"] == "Dangling");
    let same = |one: &Value| one["status"] == status && one["reason"] == reason && one["message"] == message;
    if at.is_some_and(|at| same(&conditions[at])) {
        return None;
    }
    let new = json!({
        "type": "Dangling", "status": status, "lastTransitionTime": minisvc_api::time::format(now), "reason": reason,
        "message": message,
    });
    match at {
        Some(at) => conditions[at] = new,
        None => conditions.push(new),
    }
    let mut value = schema.clone();
    value["status"]["conditions"] = conditions.into();
    Some(value)
}
