//! The API services of what this server answers itself, which are there without being asked for (kube-aggregator
//! `autoregister`, kubernetes `crdregistration`): built-in ones from the start on, custom kinds' as long as they are served.

use futures::future::join_all;
use jiff::Timestamp;
use minisvc_api::aggregation::{self, RESOURCE};
use minisvc_api::discovery;
use minisvc_store::{Key, Write};
use serde_json::Value;

use crate::server::Inner;

impl Inner {
    /// Writes what is missing or changed, and takes away what is no longer served. Built-in ones only `at_start`.
    pub(crate) async fn register(&self, at_start: bool) {
        let catalog = self.catalog();
        let rows = catalog.rows();
        let mut wanted: Vec<(Value, bool)> = Vec::new();
        for group in std::iter::once("").chain(discovery::groups(rows)) {
            for version in discovery::versions(rows, group) {
                let mut own = rows.iter().filter(|row| row.group == group && row.version == version).peekable();
                let custom = own.peek().is_some() && own.all(|row| row.custom.is_some());
                wanted.extend(aggregation::local(group, version, custom).map(|object| (object, custom)));
            }
        }
        // Made durable together: at the start there are some thirty.
        let mut writes = Vec::new();
        for (object, custom) in &wanted {
            if !custom && !at_start {
                continue;
            }
            let key = Key::new(RESOURCE, "", object["metadata"]["name"].as_str().unwrap_or_default());
            let write = match self.store.get(&key) {
                None => Write::Create { key, value: fresh(object) },
                Some(stored) if aggregation::is_managed(&stored.value) && stored.value["spec"] != object["spec"] => {
                    let mut value = (*stored.value).clone();
                    value["spec"] = object["spec"].clone();
                    Write::Update { key, expected: Some(stored.revision), value }
                }
                Some(_) => continue,
            };
            writes.push(self.settle(write));
        }
        for stored in self.store.list(RESOURCE, None).items {
            let name = &stored.value["metadata"]["name"];
            let is_wanted = wanted.iter().any(|(object, _)| object["metadata"]["name"] == *name);
            let ours = aggregation::is_kept(&stored.value) || (at_start && aggregation::is_managed(&stored.value));
            if ours && !is_wanted {
                writes.push(self.settle(Write::Delete { key: stored.key.clone(), expected: Some(stored.revision) }));
            }
        }
        if !writes.is_empty() {
            join_all(writes).await;
            self.aggregator.forget();
        }
    }
}

/// What creation adds.
fn fresh(object: &Value) -> Value {
    let (mut value, now) = (object.clone(), Timestamp::now());
    value["metadata"]["uid"] = uuid::Uuid::new_v4().to_string().into();
    value["metadata"]["creationTimestamp"] = minisvc_api::time::format(now).into();
    value["status"] = aggregation::local_status(now);
    value
}
