//! A pod's spec as Kubernetes' own server holds it, written out as JSON: all fields by their Go names, those that are not
//! set as well. Refused updates are shown as differences of this form. Must not judge.

use serde_json::Value;

use crate::messages::{Element, Field, Message, Shape, message};
use crate::quantity::Amount;

const SPEC: &str = "io.k8s.api.core.v1.PodSpec";

/// Names that are more than the JSON name with a capital, whichever message they stand in.
const NAMES: &[(&str, &str)] = &[
    ("apiGroup", "APIGroup"),
    ("apiVersion", "APIVersion"),
    ("awsElasticBlockStore", "AWSElasticBlockStore"),
    ("cephfs", "CephFS"),
    ("chapAuthDiscovery", "DiscoveryCHAPAuth"),
    ("chapAuthSession", "SessionCHAPAuth"),
    ("csi", "CSI"),
    ("diskURI", "DataDiskURI"),
    ("dnsConfig", "DNSConfig"),
    ("dnsPolicy", "DNSPolicy"),
    ("fc", "FC"),
    ("fsGroup", "FSGroup"),
    ("fsGroupChangePolicy", "FSGroupChangePolicy"),
    ("fsType", "FSType"),
    ("gcePersistentDisk", "GCEPersistentDisk"),
    ("gmsaCredentialSpec", "GMSACredentialSpec"),
    ("gmsaCredentialSpecName", "GMSACredentialSpecName"),
    ("grpc", "GRPC"),
    ("httpGet", "HTTPGet"),
    ("httpHeaders", "HTTPHeaders"),
    ("ip", "IP"),
    ("iqn", "IQN"),
    ("iscsi", "ISCSI"),
    ("iscsiInterface", "ISCSIInterface"),
    ("nfs", "NFS"),
    ("os", "OS"),
    ("pdName", "PDName"),
    ("rbd", "RBD"),
    ("seLinuxChangePolicy", "SELinuxChangePolicy"),
    ("seLinuxOptions", "SELinuxOptions"),
    ("serviceAccount", "DeprecatedServiceAccount"),
    ("sslEnabled", "SSLEnabled"),
    ("storageos", "StorageOS"),
    ("tcpSocket", "TCPSocket"),
    ("tty", "TTY"),
    ("wwids", "WWIDs"),
];

/// Names of single messages.
const OF_MESSAGES: &[(&str, &str, &str)] = &[
    ("GlusterfsVolumeSource", "endpoints", "EndpointsName"),
    ("RBDVolumeSource", "monitors", "CephMonitors"),
    ("RBDVolumeSource", "image", "RBDImage"),
    ("RBDVolumeSource", "pool", "RBDPool"),
    ("RBDVolumeSource", "user", "RadosUser"),
];

/// A pod's spec in the internal form, one value to a line.
pub(super) fn written(spec: &Value) -> String {
    of(SPEC, spec)
}

/// Any message of the group in the internal form, by its schema's name.
pub(super) fn of(schema: &str, value: &Value) -> String {
    let mut out = String::new();
    match message(schema) {
        Some(table) => of_message(&mut out, table, value, 0),
        None => plain(&mut out, value, 0),
    }
    out
}

fn of_message(out: &mut String, table: &Message, value: &Value, depth: usize) {
    let mut fields = Vec::new();
    collect(table, value, &mut fields);
    list(out, ('{', '}'), fields.into_iter(), depth, |out, (name, field, value), depth| {
        text(out, &name);
        out.push_str(": ");
        match field {
            Some(field) => of_field(out, field, value, depth),
            None => plain(out, value, depth),
        }
    });
}

/// The fields of a message with those of the messages that it holds inline. A template's metadata are inline here, and
/// have their JSON names, as all that is not the group's own.
fn collect<'a>(table: &Message, value: &'a Value, into: &mut Vec<(String, Option<&'static Field>, &'a Value)>) {
    let Some(table) = message(table.name) else { return };
    for field in &table.fields {
        let short = table.name.rsplit('.').next().unwrap_or_default();
        match field.element {
            Element::Message(inner) if field.inline => {
                if let Some(inner) = message(inner) {
                    collect(inner, value, into);
                }
            }
            _ if short == "PersistentVolumeClaimTemplate" && field.json == "metadata" => {
                let metadata = value["metadata"].as_object().into_iter().flatten();
                into.extend(metadata.map(|(name, value)| (name.clone(), None, value)));
            }
            _ => into.push((name(short, field.json), Some(field), &value[field.json])),
        }
    }
}

fn name(message: &str, json: &str) -> String {
    let own = OF_MESSAGES.iter().find(|(of, name, _)| *of == message && *name == json).map(|(_, _, go)| *go);
    if let Some(go) = own.or_else(|| NAMES.iter().find(|(name, _)| *name == json).map(|(_, go)| *go)) {
        return go.to_owned();
    }
    let mut letters = json.chars();
    letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
}

fn of_field(out: &mut String, field: &Field, value: &Value, depth: usize) {
    match (field.shape, value) {
        (Shape::List, Value::Array(items)) => {
            list(out, ('[', ']'), items.iter(), depth, |out, item, depth| single(out, field.element, item, depth));
        }
        (Shape::Map, Value::Object(map)) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            list(out, ('{', '}'), entries.into_iter(), depth, |out, (key, value), depth| {
                text(out, key);
                out.push_str(": ");
                single(out, field.element, value, depth);
            });
        }
        (Shape::List | Shape::Map, _) => out.push_str("null"),
        (Shape::Single, Value::Null) if field.pointer => out.push_str("null"),
        (Shape::Single, value) => single(out, field.element, value, depth),
    }
}

/// One value; what is missing is its type's zero.
fn single(out: &mut String, element: Element, value: &Value, depth: usize) {
    match (element, value) {
        (Element::Message(name), _) if name.ends_with(".Quantity") => {
            let amount = Amount::parse(value.as_str().unwrap_or("0")).unwrap_or(Amount::ZERO);
            text(out, &amount.to_string());
        }
        (Element::Message(name), Value::Null) if name.ends_with(".IntOrString") => out.push('0'),
        (Element::Message(name), value) => match message(name).filter(|_| name.starts_with("io.k8s.api.")) {
            Some(table) => of_message(out, table, value, depth),
            None => plain(out, value, depth),
        },
        (Element::String | Element::Bytes, Value::Null) => out.push_str("\"\""),
        (Element::Bool, Value::Null) => out.push_str("false"),
        (Element::Integer | Element::Float, Value::Null) => out.push('0'),
        (_, value) => plain(out, value, depth),
    }
}

/// A value as its JSON says.
fn plain(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::String(value) => text(out, value),
        Value::Array(items) => list(out, ('[', ']'), items.iter(), depth, plain),
        Value::Object(map) => list(out, ('{', '}'), map.iter(), depth, |out, (key, value), depth| {
            text(out, key);
            out.push_str(": ");
            plain(out, value, depth);
        }),
        other => out.push_str(&other.to_string()),
    }
}

fn list<T>(
    out: &mut String,
    marks: (char, char),
    items: impl ExactSizeIterator<Item = T>,
    depth: usize,
    mut write: impl FnMut(&mut String, T, usize),
) {
    let count = items.len();
    out.push(marks.0);
    for (i, item) in items.enumerate() {
        out.push_str(if i == 0 { "\n" } else { ",\n" });
        out.push_str(&" ".repeat(depth + 1));
        write(out, item, depth + 1);
    }
    if count > 0 {
        out.push('\n');
        out.push_str(&" ".repeat(depth));
    }
    out.push(marks.1);
}

/// Go's encoder keeps out what HTML and JavaScript would read.
fn text(out: &mut String, text: &str) {
    for c in Value::from(text).to_string().chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Two specs and their difference, as Kubernetes 1.37.1's own packages printed it.
    #[test]
    fn a_refused_update_is_shown_as_kubernetes_shows_it() {
        let read = |text: &str| written(&serde_json::from_str(text).expect("a pod's spec"));
        let old = read(include_str!("../../../../../testdata/pod-updates/old.json"));
        let new = read(include_str!("../../../../../testdata/pod-updates/new.json"));
        let found = super::super::line_diff::unified(&old, &new);
        assert_eq!(found, include_str!("../../../../../testdata/pod-updates/difference.txt"));
    }

    #[test]
    fn all_fields_stand_there_by_their_go_names() {
        let spec = json!({
            "containers": [{"name": "c", "image": "a<b", "resources": {"limits": {"cpu": "1000m"}},
                "readinessProbe": {"httpGet": {"port": "web"}}}],
            "serviceAccount": "default", "securityContext": {}, "nodeSelector": {},
            "affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": "zone", "labelSelector": {"matchLabels": {"a": "b"}}}]}},
            "volumes": [{"name": "v", "emptyDir": {}}, {"name": "e", "ephemeral": {"volumeClaimTemplate": {
                "metadata": {"labels": {"a": "b"}}, "spec": {"accessModes": ["ReadWriteOnce"]}}}}],
        });
        let found = written(&spec);
        for part in [
            "{\n \"Volumes\": [\n  {\n   \"Name\": \"v\",\n   \"HostPath\": null,\n   \"EmptyDir\": {\n    \"Medium\": \"\",\n    \"SizeLimit\": null,",
            "    \"VolumeClaimTemplate\": {\n     \"labels\": {\n      \"a\": \"b\"\n     },\n     \"Spec\": {\n      \"AccessModes\": [\n       \"ReadWriteOnce\"\n      ],\n      \"Selector\": null,",
            "   \"Image\": \"a\\u003cb\",\n   \"Command\": null,",
            "   \"Resources\": {\n    \"Limits\": {\n     \"cpu\": \"1\"\n    },\n    \"Requests\": null,\n    \"Claims\": null\n   },",
            "    \"HTTPGet\": {\n     \"Path\": \"\",\n     \"Port\": \"web\",",
            "\n \"NodeSelector\": {},\n \"ServiceAccountName\": \"\",\n \"DeprecatedServiceAccount\": \"default\",",
            "\n \"HostNetwork\": false,\n \"HostPID\": false,",
            "     \"LabelSelector\": {\n      \"matchLabels\": {\n       \"a\": \"b\"\n      }\n     },",
            "\n \"SchedulingGroup\": null,\n \"EvictionResponders\": null\n}",
        ] {
            assert!(found.contains(part), "no {part}\nin {found}");
        }
    }
}
