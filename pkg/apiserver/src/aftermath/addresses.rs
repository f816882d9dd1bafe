//! One IPAddress per ClusterIP, made and removed with its Service (KEP-1880).

use std::net::IpAddr;

use jiff::Timestamp;
use minisvc_store::{Key, Stored, Write};
use serde_json::{Value, json};

use crate::server::Inner;

pub(super) const RESOURCE: &str = "ipaddresses.networking.k8s.io";
/// The label that names who keeps an address.
pub(super) const MANAGED_BY: &str = "ipaddress.kubernetes.io/managed-by";
/// The API server itself, which gives out the addresses of services.
pub(super) const MANAGER: &str = "ipallocator.k8s.io";

impl Inner {
    /// Gives a service's new ClusterIPs their IPAddresses, and takes away those of the addresses that it had `before` and
    /// no longer has.
    pub(super) async fn follow_service(&self, before: &[String], service: &Stored, gone: bool) {
        let wanted = if gone { Vec::new() } else { cluster_ips(&service.value) };
        if wanted == before {
            return;
        }
        let (namespace, name) = (&*service.key.namespace, &*service.key.name);
        for old in before.iter().filter(|old| !wanted.contains(old)) {
            let key = Key::new(RESOURCE, "", old.as_str());
            if self.store.get(&key).is_some_and(|address| is_of(&address.value, namespace, name)) {
                self.settle(Write::Delete { key, expected: None }).await;
            }
        }
        for new in wanted.iter().filter(|new| !before.contains(new)) {
            let key = Key::new(RESOURCE, "", new.as_str());
            if self.store.get(&key).is_none() {
                let value = address(new, namespace, name);
                self.settle(Write::Create { key, value }).await;
            }
        }
        if gone {
            self.follow_ranges().await;
        }
    }

    /// What a service's addresses are now, to be compared with after a write.
    pub(super) fn addresses_of(&self, key: &Key) -> Vec<String> {
        self.store.get(key).map(|service| cluster_ips(&service.value)).unwrap_or_default()
    }

    /// At start: every service has its IPAddresses, and nobody has those of services that are gone.
    pub(super) async fn settle_addresses(&self) {
        let services = self.store.list("services", None).items;
        for service in &services {
            self.follow_service(&[], service, false).await;
        }
        for address in self.store.list(RESOURCE, None).items {
            let parent = &address.value["spec"]["parentRef"];
            let ours = address.value["metadata"]["labels"][MANAGED_BY] == MANAGER;
            let text = |field: &str| parent[field].as_str().unwrap_or_default();
            let key = Key::new("services", text("namespace"), text("name"));
            if ours && !self.addresses_of(&key).iter().any(|own| **own == *address.key.name) {
                self.settle(Write::Delete { key: address.key.clone(), expected: None }).await;
            }
        }
    }
}

/// Whether an IPAddress belongs to a service.
fn is_of(address: &Value, namespace: &str, name: &str) -> bool {
    let parent = &address["spec"]["parentRef"];
    parent["resource"] == "services" && parent["namespace"] == namespace && parent["name"] == name
}

fn cluster_ips(service: &Value) -> Vec<String> {
    let all = service["spec"]["clusterIPs"].as_array().into_iter().flatten().filter_map(Value::as_str);
    all.filter(|text| text.parse::<IpAddr>().is_ok()).map(str::to_owned).collect()
}

/// The IPAddress of a service's ClusterIP.
fn address(text: &str, namespace: &str, service: &str) -> Value {
    let family = if text.contains(':') { "IPv6" } else { "IPv4" };
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IPAddress",
        "metadata": {
            "name": text, "uid": uuid::Uuid::new_v4().to_string(),
            "creationTimestamp": minisvc_api::time::format(Timestamp::now()),
            "labels": {"ipaddress.kubernetes.io/ip-family": family, MANAGED_BY: MANAGER},
        },
        "spec": {"parentRef": {"group": "", "resource": "services", "namespace": namespace, "name": service}},
    })
}
