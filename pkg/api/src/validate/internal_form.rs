//! Objects as Kubernetes' own server holds them, as JSON: all fields by their Go names, those that are not set as well.
//! Refusals show values in this form, and refused updates of pods as its difference. Must not judge.

use serde_json::{Map, Value};

use crate::messages::{Element, Field, Message, Shape, message};
use crate::quantity::Amount;

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

/// A message in the internal form, by its schema's name without `io.k8s.api.`, such as `core.v1.PodSpec`; none is null.
pub(super) fn internal(schema: &str, value: &Value) -> Value {
    match message(&format!("io.k8s.api.{schema}")) {
        Some(table) if value.is_object() => of_message(table, value),
        _ => value.clone(),
    }
}

/// The internal form with one value to a line, as Go's encoder writes it.
pub(super) fn written(schema: &str, value: &Value) -> String {
    let pretty = serde_json::to_string_pretty(&internal(schema, value)).unwrap_or_default();
    let mut text = String::with_capacity(pretty.len());
    for (i, line) in pretty.lines().enumerate() {
        if i > 0 {
            text.push('\n');
        }
        // Go's indent is half of ours; texts hold no line's end.
        let bare = line.trim_start_matches(' ');
        text.extend(std::iter::repeat_n(' ', (line.len() - bare.len()) / 2));
        text.push_str(bare);
    }
    // Go keeps out what HTML and JavaScript would read.
    for c in ['<', '>', '&', '\u{2028}', '\u{2029}'] {
        if text.contains(c) {
            text = text.replace(c, &format!("\\u{:04x}", c as u32));
        }
    }
    text
}

fn of_message(table: &Message, value: &Value) -> Value {
    let mut all = Map::new();
    collect(table, value, &mut all);
    Value::Object(all)
}

/// The fields of a message with those of the messages that it holds inline. Templates hold their metadata inline, which
/// keep their JSON names, as all that is not the group's own.
fn collect(table: &Message, value: &Value, into: &mut Map<String, Value>) {
    let short = table.name.rsplit('.').next().unwrap_or_default();
    for field in &table.fields {
        match field.element {
            Element::Message(inner) if field.inline => {
                if let Some(inner) = message(inner) {
                    collect(inner, value, into);
                }
            }
            Element::Message(inner) if field.json == "metadata" && inner.ends_with(".ObjectMeta") => {
                let metadata = value["metadata"].as_object().into_iter().flatten();
                into.extend(metadata.map(|(name, value)| (name.clone(), value.clone())));
            }
            _ => drop(into.insert(name(short, field.json), of_field(field, &value[field.json]))),
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

fn of_field(field: &Field, value: &Value) -> Value {
    match (field.shape, value) {
        (Shape::List, Value::Array(items)) => items.iter().map(|item| single(field.element, item)).collect(),
        (Shape::Map, Value::Object(map)) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            let entries = entries.into_iter().map(|(key, value)| (key.clone(), single(field.element, value)));
            Value::Object(entries.collect())
        }
        (Shape::List | Shape::Map, _) => Value::Null,
        (Shape::Single, Value::Null) if field.pointer => Value::Null,
        (Shape::Single, value) => single(field.element, value),
    }
}

/// One value; what is missing is its type's zero.
fn single(element: Element, value: &Value) -> Value {
    match (element, value) {
        (Element::Message(name), _) if name.ends_with(".Quantity") => {
            let amount = Amount::parse(value.as_str().unwrap_or("0")).unwrap_or(Amount::ZERO);
            amount.to_string().into()
        }
        (Element::Message(name), Value::Null) if name.ends_with(".IntOrString") => 0.into(),
        (Element::Message(name), value) => match message(name).filter(|_| name.starts_with("io.k8s.api.")) {
            Some(table) => of_message(table, value),
            None => value.clone(),
        },
        (Element::String | Element::Bytes, Value::Null) => "".into(),
        (Element::Bool, Value::Null) => false.into(),
        (Element::Integer | Element::Float, Value::Null) => 0.into(),
        (_, value) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Two specs and their difference, as Kubernetes 1.37.1's own packages printed it.
    #[test]
    fn a_refused_update_is_shown_as_kubernetes_shows_it() {
        let read = |text: &str| written("core.v1.PodSpec", &serde_json::from_str(text).expect("a pod's spec"));
        let old = read(include_str!("../../../../testdata/pod-updates/old.json"));
        let new = read(include_str!("../../../../testdata/pod-updates/new.json"));
        let found = super::super::line_diff::unified(&old, &new);
        assert_eq!(found, include_str!("../../../../testdata/pod-updates/difference.txt"));
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
        let found = written("core.v1.PodSpec", &spec);
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
