//! ServiceCIDRs: the finalizer that keeps them while addresses need them, and the condition Ready (upstream's
//! service-cidr-controller). ClusterIPs come from the range that the server was started with; of any other the
//! condition says so.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;
use minisvc_api::meta;
use minisvc_store::{Stored, Write};
use serde_json::{Value, json};

use super::addresses;
use crate::server::Inner;

pub(super) const RESOURCE: &str = "servicecidrs.networking.k8s.io";
const FINALIZER: &str = "networking.k8s.io/service-cidr-finalizer";

impl Inner {
    /// Brings every range to the state that follows from what there is.
    pub(super) async fn follow_ranges(&self) {
        let all = self.store.list(RESOURCE, None).items;
        let taken: Vec<IpAddr> = self
            .store
            .list(addresses::RESOURCE, None)
            .items
            .iter()
            .filter_map(|address| address.key.name.parse().ok())
            .collect();
        for range in &all {
            let own = self.config.service_cidr.to_string();
            let mut value = (*range.value).clone();
            let changed = settle(&mut value, &own, needed(range, &all, &taken), Timestamp::now());
            let (key, expected) = (range.key.clone(), Some(range.revision));
            if meta::is_deleting(&value) && meta::finalizers(&value).is_empty() {
                self.settle(Write::Delete { key, expected }).await;
            } else if changed {
                self.settle(Write::Update { key, expected, value }).await;
            }
        }
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
fn settle(value: &mut Value, own: &str, needed: bool, now: Timestamp) -> bool {
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
    let is_own = value["spec"]["cidrs"].as_array().into_iter().flatten().any(|cidr| cidr == own);
    let (status, reason, message) = match (deleting, is_own) {
        (true, _) => (
            "False",
            "Terminating",
            "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR",
        ),
        (false, true) => ("True", "", "Kubernetes Service CIDR is ready"),
        (false, false) => {
            ("False", "NotAllocatable", "ClusterIPs are only taken from the range that minisvc was started with")
        }
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
