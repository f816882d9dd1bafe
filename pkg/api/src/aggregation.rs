//! API services as objects (apiregistration.k8s.io/v1, kube-aggregator): which there are without being asked for, where the
//! others' requests go, whether they are available, and how their discovery joins this server's. Pure over objects.

mod availability;
mod merge;

use jiff::Timestamp;
use serde_json::{Value, json};

pub use availability::{Verdict, judge, with_condition};
pub use merge::{add_aggregated, add_group, add_groups, resources_of_legacy};

/// API group.
pub const GROUP: &str = "apiregistration.k8s.io";

/// `apiservices` in the store.
pub const RESOURCE: &str = "apiservices.apiregistration.k8s.io";

/// Says that the server itself keeps an object: `onstart` at its start only, `true` always.
const MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";

/// Group and version priorities of what is built in (kube-apiserver `app/aggregator.go`, `pkg/controlplane/apiserver/aggregator.go`).
const PRIORITIES: &[(&str, &str, i64, i64)] = &[
    ("", "v1", 18_000, 1),
    ("apps", "v1", 17_800, 15),
    ("events.k8s.io", "v1", 17_750, 15),
    ("authentication.k8s.io", "v1", 17_700, 15),
    ("authorization.k8s.io", "v1", 17_600, 15),
    ("autoscaling", "v1", 17_500, 15),
    ("autoscaling", "v2", 17_500, 30),
    ("batch", "v1", 17_400, 15),
    ("certificates.k8s.io", "v1", 17_300, 15),
    ("networking.k8s.io", "v1", 17_200, 15),
    ("policy", "v1", 17_100, 15),
    ("rbac.authorization.k8s.io", "v1", 17_000, 15),
    ("storage.k8s.io", "v1", 16_800, 15),
    ("apiextensions.k8s.io", "v1", 16_700, 15),
    ("admissionregistration.k8s.io", "v1", 16_700, 15),
    ("scheduling.k8s.io", "v1", 16_600, 15),
    ("coordination.k8s.io", "v1", 16_500, 15),
    ("node.k8s.io", "v1", 16_300, 15),
    ("discovery.k8s.io", "v1", 16_200, 15),
    ("resource.k8s.io", "v1", 16_200, 21),
    ("flowcontrol.apiserver.k8s.io", "v1", 16_100, 21),
    ("storagemigration.k8s.io", "v1", 15_800, 15),
];

/// The group's own object stands before all others and has none itself.
const OWN_PRIORITY: i64 = 20_001;

/// Priority of the groups of custom kinds (kubernetes `crdregistration_controller.go`).
const CUSTOM: (i64, i64) = (1000, 100);

/// An API service whose requests go to a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// `v1beta1.metrics.k8s.io`.
    pub name: String,
    /// `metrics.k8s.io`.
    pub group: String,
    /// `v1beta1`.
    pub version: String,
    /// Where its group stands among the others; higher first.
    pub group_priority: i64,
    /// Where the version stands in its group.
    pub version_priority: i64,
    /// Namespace and name of the Service, and its port.
    pub service: (String, String, u16),
    /// Whom to trust as its signer: PEM in base64; empty for nobody.
    pub ca_bundle: String,
    /// Believe any certificate.
    pub insecure: bool,
    /// Its condition says that it is available.
    pub available: bool,
}

impl Remote {
    /// `None` for one that this server answers itself.
    pub fn of(object: &Value) -> Option<Remote> {
        let (spec, service) = (&object["spec"], object["spec"]["service"].as_object()?);
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        let port = service.get("port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok()).unwrap_or(443);
        let mut conditions = object["status"]["conditions"].as_array().into_iter().flatten();
        Some(Remote {
            name: text(object["metadata"].get("name")),
            group: text(spec.get("group")),
            version: text(spec.get("version")),
            group_priority: spec["groupPriorityMinimum"].as_i64().unwrap_or(0),
            version_priority: spec["versionPriority"].as_i64().unwrap_or(0),
            service: (text(service.get("namespace")), text(service.get("name")), port),
            ca_bundle: text(spec.get("caBundle")),
            insecure: spec["insecureSkipTLSVerify"] == true,
            available: conditions.any(|one| one["type"] == "Available" && one["status"] == "True"),
        })
    }

    /// The name that its certificate must be for.
    pub fn server_name(&self) -> String {
        format!("{}.{}.svc", self.service.1, self.service.0)
    }

    /// `/apis/GROUP/VERSION`, where its discovery is.
    pub fn path(&self) -> String {
        match self.group.as_str() {
            "" => format!("/api/{}", self.version),
            group => format!("/apis/{group}/{}", self.version),
        }
    }
}

/// The object of a group and version that this server answers itself; `None` for one that is not registered.
pub fn local(group: &str, version: &str, custom: bool) -> Option<Value> {
    let built_in = PRIORITIES.iter().find(|(known, of, ..)| *known == group && *of == version);
    let (group_priority, version_priority) = match (built_in, custom) {
        (Some((.., group, version)), _) => (*group, *version),
        (None, true) => CUSTOM,
        (None, false) => return None,
    };
    let managed = if custom { "true" } else { "onstart" };
    let mut spec =
        json!({"version": version, "groupPriorityMinimum": group_priority, "versionPriority": version_priority});
    if !group.is_empty() {
        spec["group"] = group.into();
    }
    Some(json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": "APIService",
        "metadata": {"name": format!("{version}.{group}"), "labels": {MANAGED: managed}},
        "spec": spec,
    }))
}

/// Whether the server keeps an object for a custom kind.
pub fn is_kept(object: &Value) -> bool {
    object["metadata"]["labels"][MANAGED] == "true"
}

/// Whether the server made an object, for whatever it serves.
pub fn is_managed(object: &Value) -> bool {
    object["metadata"]["labels"][MANAGED].is_string()
}

/// The status of one that this server answers itself, as its creation sets it.
pub fn local_status(now: Timestamp) -> Value {
    let message = "Local APIServices are always available";
    json!({"conditions": [{
        "type": "Available", "status": "True", "lastTransitionTime": crate::time::format(now), "reason": "Local",
        "message": message,
    }]})
}

/// Where a group of this server stands among the others.
fn priority_of(group: &str) -> i64 {
    if group == GROUP {
        return OWN_PRIORITY;
    }
    PRIORITIES.iter().find(|(known, ..)| *known == group).map_or(CUSTOM.0, |(_, _, priority, _)| *priority)
}

#[cfg(test)]
mod tests;
