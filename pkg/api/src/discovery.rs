//! What the server serves, in both forms that clients ask for: legacy documents per group and version, and the
//! aggregated list (KEP-3352). Everything comes from the rows that a server serves and
//! [`VIRTUAL`].
//!
//! Must not negotiate: the server picks the form by `Accept` and sends the media type named here.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::registry::{Row, Subresource};

/// The rows that a server serves.
type Rows<'a> = &'a [&'static Row];

/// Media type of the legacy documents.
pub const CONTENT_TYPE_LEGACY: &str = "application/json";

/// Media type of the aggregated documents. Must be sent with exactly these parameters, else clients read the body as a
/// legacy document.
pub const CONTENT_TYPE_AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// A kind that is only ever posted and answered at once, never stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VirtualKind {
    /// `authorization.k8s.io`.
    pub group: &'static str,
    /// `v1`.
    pub version: &'static str,
    /// `SelfSubjectAccessReview`.
    pub kind: &'static str,
    /// `selfsubjectaccessreviews`.
    pub plural: &'static str,
    /// `selfsubjectaccessreview`.
    pub singular: &'static str,
    /// Asked about one namespace, in that namespace.
    pub namespaced: bool,
}

/// The kinds that the server answers itself: verb `create` only.
pub static VIRTUAL: &[VirtualKind] = &[
    VirtualKind { namespaced: true, ..review("", "Binding", "bindings", "binding") },
    review("authentication.k8s.io", "SelfSubjectReview", "selfsubjectreviews", "selfsubjectreview"),
    review("authentication.k8s.io", "TokenReview", "tokenreviews", "tokenreview"),
    VirtualKind {
        namespaced: true,
        ..review(
            "authorization.k8s.io",
            "LocalSubjectAccessReview",
            "localsubjectaccessreviews",
            "localsubjectaccessreview",
        )
    },
    review("authorization.k8s.io", "SelfSubjectAccessReview", "selfsubjectaccessreviews", "selfsubjectaccessreview"),
    review("authorization.k8s.io", "SelfSubjectRulesReview", "selfsubjectrulesreviews", "selfsubjectrulesreview"),
    review("authorization.k8s.io", "SubjectAccessReview", "subjectaccessreviews", "subjectaccessreview"),
];

const fn review(group: &'static str, kind: &'static str, plural: &'static str, singular: &'static str) -> VirtualKind {
    VirtualKind { group, version: "v1", kind, plural, singular, namespaced: false }
}

/// Kubernetes' own order of its groups (kube-apiserver's group priorities); kubectl resolves a name that several
/// groups have to the first. Groups not named here follow in the order of the rows.
const ORDER: &[&str] = &[
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "resource.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "storagemigration.k8s.io",
];

/// `GET /api`; `address` is where every client finds the server, `ADDRESS:PORT`.
pub fn api_versions(rows: Rows<'_>, address: &str) -> Value {
    json!({
        "kind": "APIVersions",
        "versions": versions(rows, ""),
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    })
}

/// `GET /apis`.
pub fn api_group_list(rows: Rows<'_>) -> Value {
    let groups: Vec<Value> = groups(rows).into_iter().map(|group| group_value(rows, group)).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `GET /apis/NAME`; `None` for a group that is not served, and for the core group, which has no such document.
pub fn api_group(rows: Rows<'_>, name: &str) -> Option<Value> {
    let name = groups(rows).into_iter().find(|group| *group == name)?;
    let mut document = json!({"kind": "APIGroup", "apiVersion": "v1"});
    if let (Value::Object(document), Value::Object(group)) = (&mut document, group_value(rows, name)) {
        document.extend(group);
    }
    Some(document)
}

/// `GET /api/v1` (group empty) and `GET /apis/GROUP/VERSION`; `None` when not served.
pub fn api_resource_list(rows: Rows<'_>, group: &str, version: &str) -> Option<Value> {
    let resources = resources(rows, group, version);
    if resources.is_empty() {
        return None;
    }
    let mut list = Vec::new();
    for resource in &resources {
        list.push(resource.legacy());
        list.extend(resource.subresources.iter().map(|sub| sub.legacy(resource)));
    }
    list.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
    let mut document = Map::new();
    document.insert("kind".into(), "APIResourceList".into());
    if !group.is_empty() {
        document.insert("apiVersion".into(), "v1".into());
    }
    document.insert("groupVersion".into(), group_version(group, version).into());
    document.insert("resources".into(), list.into());
    Some(Value::Object(document))
}

/// `GET /api` for clients that accept [`CONTENT_TYPE_AGGREGATED`].
pub fn aggregated_core(rows: Rows<'_>) -> Value {
    aggregated(rows, vec![""])
}

/// `GET /apis` for clients that accept [`CONTENT_TYPE_AGGREGATED`].
pub fn aggregated_groups(rows: Rows<'_>) -> Value {
    aggregated(rows, groups(rows))
}

/// The `ETag` of a serialised document, with its quotes.
pub fn etag(body: &[u8]) -> String {
    format!("\"{:X}\"", Sha256::digest(body))
}

/// The served groups without core, in Kubernetes' order.
pub fn groups(rows: Rows<'_>) -> Vec<&'static str> {
    let mut groups: Vec<&str> = Vec::new();
    let served = rows.iter().map(|row| row.group).chain(VIRTUAL.iter().map(|kind| kind.group));
    for group in served.filter(|group| !group.is_empty()) {
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    groups.sort_by_key(|group| ORDER.iter().position(|known| known == group).unwrap_or(ORDER.len()));
    groups
}

/// The versions of a group, the preferred one first.
pub fn versions(rows: Rows<'_>, group: &str) -> Vec<&'static str> {
    let served = rows.iter().map(|row| (row.group, row.version));
    let mut versions: Vec<&str> = Vec::new();
    for (_, version) in
        served.chain(VIRTUAL.iter().map(|kind| (kind.group, kind.version))).filter(|(name, _)| *name == group)
    {
        if !versions.contains(&version) {
            versions.push(version);
        }
    }
    versions.sort_by_key(|version| std::cmp::Reverse(version_rank(version)));
    versions
}

/// Stable before beta before alpha, higher numbers first (apimachinery `version.CompareKubeAwareVersionStrings`).
fn version_rank(version: &str) -> (u8, u32, u32) {
    let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0);
    let rest = version.trim_start_matches('v');
    let major = digits(rest);
    match (rest.split_once("beta"), rest.split_once("alpha")) {
        (Some((_, minor)), _) => (1, major, digits(minor)),
        (_, Some((_, minor))) => (0, major, digits(minor)),
        _ => (2, major, 0),
    }
}

fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

fn group_value(rows: Rows<'_>, name: &str) -> Value {
    let versions: Vec<Value> = versions(rows, name)
        .into_iter()
        .map(|version| json!({"groupVersion": group_version(name, version), "version": version}))
        .collect();
    json!({"name": name, "preferredVersion": versions.first(), "versions": versions})
}

fn aggregated(rows: Rows<'_>, groups: Vec<&str>) -> Value {
    let items: Vec<Value> = groups
        .into_iter()
        .map(|group| {
            let versions: Vec<Value> = versions(rows, group)
                .into_iter()
                .map(|version| {
                    let resources: Vec<Value> =
                        resources(rows, group, version).iter().map(Resource::aggregated).collect();
                    json!({"version": version, "resources": resources, "freshness": "Current"})
                })
                .collect();
            let metadata = if group.is_empty() { json!({}) } else { json!({"name": group}) };
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

/// A group, version and kind.
type Gvk = (&'static str, &'static str, &'static str);

/// A row or virtual kind as discovery sees it.
struct Resource {
    gvk: Gvk,
    plural: &'static str,
    singular: &'static str,
    namespaced: bool,
    verbs: &'static [&'static str],
    short_names: &'static [&'static str],
    categories: &'static [&'static str],
    subresources: Vec<Below>,
    /// The row that it comes from; `None` for what is never stored.
    row: Option<&'static Row>,
}

/// What hangs below a resource.
struct Below {
    name: &'static str,
    gvk: Gvk,
    verbs: &'static [&'static str],
}

impl Resource {
    fn legacy(&self) -> Value {
        let mut value = json!({
            "name": self.plural, "singularName": self.singular, "namespaced": self.namespaced, "kind": self.gvk.2,
            "verbs": self.verbs,
        });
        self.add_names(&mut value);
        if let Some(row) = self.row.filter(|row| row.verbs.contains(&"create")) {
            value["storageVersionHash"] = storage_hash(row.stored()).into();
        }
        value
    }

    fn aggregated(&self) -> Value {
        let mut value = json!({
            "resource": self.plural,
            "responseKind": self.response_kind(self.gvk),
            "scope": if self.namespaced { "Namespaced" } else { "Cluster" },
            "singularResource": self.singular,
            "verbs": self.verbs,
        });
        self.add_names(&mut value);
        if !self.subresources.is_empty() {
            let below = self.subresources.iter();
            value["subresources"] = below
                .map(|sub| json!({"subresource": sub.name, "responseKind": self.response_kind(sub.gvk), "verbs": sub.verbs}))
                .collect();
        }
        value
    }

    /// Of built-in kinds the group and version of the list around them go without saying.
    fn response_kind(&self, (group, version, kind): Gvk) -> Value {
        let custom = self.row.is_some_and(|row| row.custom.is_some());
        let own = !custom && (group, version) == (self.gvk.0, self.gvk.1);
        let (group, version) = if own { ("", "") } else { (group, version) };
        json!({"group": group, "version": version, "kind": kind})
    }

    fn add_names(&self, value: &mut Value) {
        if !self.short_names.is_empty() {
            value["shortNames"] = self.short_names.into();
        }
        if !self.categories.is_empty() {
            value["categories"] = self.categories.into();
        }
    }
}

impl Below {
    fn legacy(&self, parent: &Resource) -> Value {
        let mut value = json!({
            "name": format!("{}/{}", parent.plural, self.name), "singularName": "", "namespaced": parent.namespaced,
        });
        if (self.gvk.0, self.gvk.1) != (parent.gvk.0, parent.gvk.1) {
            value["group"] = self.gvk.0.into();
            value["version"] = self.gvk.1.into();
        }
        value["kind"] = self.gvk.2.into();
        value["verbs"] = self.verbs.into();
        value
    }
}

/// Tells clients whether what they stored before is stored in the same version still (apiserver `StorageVersionHash`).
fn storage_hash(row: &Row) -> String {
    let gvk = format!("{}/{}/{}", row.group, row.version, row.kind);
    BASE64_STANDARD.encode(&Sha256::digest(gvk)[..8])
}

fn resources(rows: Rows<'_>, group: &str, version: &str) -> Vec<Resource> {
    let served = rows.iter().copied().filter(|row| row.group == group && row.version == version);
    let stored = served.map(|row| Resource {
        gvk: (row.group, row.version, row.kind),
        plural: row.plural,
        singular: row.singular,
        namespaced: row.namespaced,
        verbs: row.verbs,
        short_names: row.short_names,
        categories: row.categories,
        subresources: row.subresources.iter().map(|sub| below(row, *sub)).collect(),
        row: Some(row),
    });
    let virtual_kinds = VIRTUAL.iter().filter(|kind| kind.group == group && kind.version == version);
    let answered = virtual_kinds.map(|kind| Resource {
        gvk: (kind.group, kind.version, kind.kind),
        plural: kind.plural,
        singular: kind.singular,
        namespaced: kind.namespaced,
        verbs: &["create"],
        short_names: &[],
        categories: &[],
        subresources: Vec::new(),
        row: None,
    });
    let mut resources: Vec<Resource> = stored.chain(answered).collect();
    resources.sort_by_key(|resource| resource.plural);
    resources
}

fn below(row: &Row, sub: Subresource) -> Below {
    const CHANGE: &[&str] = &["get", "patch", "update"];
    const STREAM: &[&str] = &["create", "get"];
    let own = (row.group, row.version, row.kind);
    let (name, gvk, verbs): (_, Gvk, &[&str]) = match sub {
        Subresource::Status => ("status", own, CHANGE),
        Subresource::Approval => ("approval", own, CHANGE),
        Subresource::Scale => ("scale", ("autoscaling", "v1", "Scale"), CHANGE),
        Subresource::Binding => ("binding", ("", "v1", "Binding"), &["create"]),
        Subresource::Eviction => ("eviction", ("policy", "v1", "Eviction"), &["create"]),
        Subresource::EphemeralContainers => ("ephemeralcontainers", own, CHANGE),
        Subresource::Resize => ("resize", own, CHANGE),
        Subresource::Token => ("token", ("authentication.k8s.io", "v1", "TokenRequest"), &["create"]),
        Subresource::Finalize => ("finalize", own, &["update"]),
        Subresource::Log => ("log", own, &["get"]),
        Subresource::Exec => ("exec", ("", "v1", "PodExecOptions"), STREAM),
        Subresource::Attach => ("attach", ("", "v1", "PodAttachOptions"), STREAM),
        Subresource::PortForward => ("portforward", ("", "v1", "PodPortForwardOptions"), STREAM),
        Subresource::Proxy => {
            let options = match row.kind {
                "Service" => "ServiceProxyOptions",
                "Node" => "NodeProxyOptions",
                _ => "PodProxyOptions",
            };
            ("proxy", ("", "v1", options), &["create", "delete", "get", "patch", "update"])
        }
    };
    Below { name, gvk, verbs }
}

#[cfg(test)]
mod tests;
