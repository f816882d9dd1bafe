//! ServiceCIDRs: the finalizer that keeps them while addresses need them, the condition Ready by which the store takes
//! addresses from them (upstream's service-cidr-controller), and the range of the start, which comes back when it is
//! deleted (its default-service-cidr-controller).

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;
use minisvc_api::meta;
use minisvc_store::{Key, Stored, Write};
use serde_json::{Value, json};

use super::addresses;
use crate::bootstrap::objects;
use crate::server::Inner;

pub(super) const RESOURCE: &str = "servicecidrs.networking.k8s.io";
const FINALIZER: &str = "networking.k8s.io/service-cidr-finalizer";

impl Inner {
    /// Brings every range to the state that follows from what there is.
    pub(super) async fn follow_ranges(&self) {
        // Once more when one went: it may have been the one of the start.
        while self.follow_ranges_once().await {}
    }

    /// Whether a range went.
    async fn follow_ranges_once(&self) -> bool {
        let key = Key::new(RESOURCE, "", objects::RANGE);
        if self.store.get(&key).is_none() {
            let mut value = objects::service_range(&self.config);
            let metadata = meta::metadata_mut(&mut value);
            metadata.insert("uid".into(), uuid::Uuid::new_v4().to_string().into());
            metadata.insert("creationTimestamp".into(), minisvc_api::time::format(Timestamp::now()).into());
            self.settle(Write::Create { key, value }).await;
        }
        let all = self.store.list(RESOURCE, None).items;
        let taken: Vec<IpAddr> = self
            .store
            .list(addresses::RESOURCE, None)
            .items
            .iter()
            // What others have noted down holds no range.
            .filter(|address| address.value["metadata"]["labels"][addresses::MANAGED_BY] == addresses::MANAGER)
            .filter_map(|address| address.key.name.parse().ok())
            .collect();
        let mut went = false;
        for range in &all {
            let mut value = (*range.value).clone();
            let changed = settle(&mut value, needed(range, &all, &taken), Timestamp::now());
            let (key, expected) = (range.key.clone(), Some(range.revision));
            if meta::is_deleting(&value) && meta::finalizers(&value).is_empty() {
                self.settle(Write::Delete { key, expected }).await;
                went = true;
            } else if changed {
                self.settle(Write::Update { key, expected, value }).await;
            }
        }
        went
    }
}

fn nets(range: &Stored) -> Vec<IpNet> {
    let all = range.value["spec"]["cidrs"].as_array().into_iter().flatten().filter_map(Value::as_str);
    all.filter_map(|text| text.parse().ok()).collect()
}

/// Whether some address has no other range to be in.
fn needed(range: &Stored, all: &[Arc<Stored>], taken: &[IpAddr]) -> bool {
    let holds = |range: &Stored, address: &IpAddr| nets(range).iter().any(|net| net.contains(address));
    let others = || all.iter().filter(|other| other.key != range.key && !meta::is_deleting(&other.value));
    taken.iter().any(|address| holds(range, address) && !others().any(|other| holds(other, address)))
}

/// Sets finalizer and condition; whether anything changed.
fn settle(value: &mut Value, needed: bool, now: Timestamp) -> bool {
    let deleting = meta::is_deleting(value);
    let held = meta::finalizers(value).contains(&FINALIZER);
    if deleting && !needed {
        if held {
            let kept: Vec<String> =
                meta::finalizers(value).into_iter().filter(|f| *f != FINALIZER).map(str::to_owned).collect();
            meta::metadata_mut(value).insert("finalizers".into(), json!(kept));
        }
        return held;
    }
    if !deleting && !held {
        let mut all: Vec<String> = meta::finalizers(value).into_iter().map(str::to_owned).collect();
        all.push(FINALIZER.into());
        meta::metadata_mut(value).insert("finalizers".into(), json!(all));
    }
    let (status, reason, message) = if deleting {
        (
            "False",
            "Terminating",
            "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR",
        )
    } else {
        ("True", "", "Kubernetes Service CIDR is ready")
    };
    let conditions = &value["status"]["conditions"];
    let same = |c: &Value| c["type"] == "Ready" && c["status"] == status && c["message"] == message;
    if conditions.as_array().into_iter().flatten().any(same) {
        return !deleting && !held;
    }
    value["status"] = json!({"conditions": [{
        "type": "Ready", "status": status, "reason": reason, "message": message,
        "lastTransitionTime": minisvc_api::time::format(now),
    }]});
    true
}
