//! The shape of every message of Kubernetes' stable groups: field names, protobuf numbers, types, and what patches must
//! know. Read once from `tables/types.txt` (facts of the Go struct tags, made by `tables/generate.go`).
//!
//! Must not know what fields mean: protobuf, merge keys and OpenAPI each take from it what they need.

use std::collections::HashMap;
use std::sync::LazyLock;

/// How often a field's element occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One value.
    Single,
    /// A list of values.
    List,
    /// A map from string to value.
    Map,
}

/// The type of a field's element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// UTF-8 text; enumerations are text as well.
    String,
    /// `true` or `false`.
    Bool,
    /// Any whole number.
    Integer,
    /// A floating-point number.
    Float,
    /// Bytes, base64 in JSON.
    Bytes,
    /// Another message, by schema name such as `io.k8s.api.core.v1.ServicePort`.
    Message(&'static str),
}

/// One field of a [`Message`].
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Name in JSON; `-` for a message whose fields are inlined in its parent.
    pub json: &'static str,
    /// Field number in protobuf.
    pub number: u32,
    /// One, list or map.
    pub shape: Shape,
    /// Type of the value, the list's items or the map's values.
    pub element: Element,
    /// A pointer in Go: its zero value is distinct from its absence.
    pub pointer: bool,
    /// Go's `omitempty`: JSON leaves the zero value of a non-pointer out.
    pub omit_empty: bool,
    /// Inlined in JSON: its fields belong to the parent object.
    pub inline: bool,
    /// Server-side apply owns the value as a whole (`+structType=atomic`, `+mapType=atomic`).
    pub atomic: bool,
    flags: &'static str,
}

impl Field {
    fn flag(&self, key: &str) -> Option<&'static str> {
        self.flags.split(' ').find_map(|flag| flag.strip_prefix(key)?.strip_prefix('='))
    }

    /// `x-kubernetes-patch-strategy`: `merge`, `retainKeys` or `merge,retainKeys`.
    pub fn patch_strategy(&self) -> Option<&'static str> {
        self.flag("p")
    }

    /// `x-kubernetes-patch-merge-key`: the key by which strategic merge pairs the items of a list.
    pub fn patch_merge_key(&self) -> Option<&'static str> {
        self.flag("k")
    }

    /// `x-kubernetes-list-type`: `atomic`, `set` or `map`.
    pub fn list_type(&self) -> Option<&'static str> {
        self.flag("l").map(|value| value.split(':').next().unwrap_or(value))
    }

    /// `x-kubernetes-list-map-keys`, in order; empty unless the list type is `map`.
    pub fn list_map_keys(&self) -> Vec<&'static str> {
        let keys = self.flag("l").and_then(|value| value.split_once(':')).map(|(_, keys)| keys);
        keys.map(|keys| keys.split(',').collect()).unwrap_or_default()
    }

    /// The schema's `default` as JSON text, such as `"TCP"` with its quotes.
    pub fn default_json(&self) -> Option<&'static str> {
        self.flag("d")
    }
}

/// One message: the schema of an object.
#[derive(Debug)]
pub struct Message {
    /// Upstream schema name, such as `io.k8s.api.core.v1.Service`.
    pub name: &'static str,
    /// Server-side apply owns the whole object (`+structType=atomic`), such as a label selector.
    pub atomic: bool,
    /// In the order of the Go struct.
    pub fields: Vec<Field>,
}

impl Message {
    /// The field of that JSON name, looking through inlined messages.
    pub fn field(&self, json: &str) -> Option<&'static Field>
    where
        Self: 'static,
    {
        let table = message(self.name)?;
        table.fields.iter().find(|field| !field.inline && field.json == json).or_else(|| {
            table.fields.iter().filter(|field| field.inline).find_map(|field| match field.element {
                Element::Message(inner) => message(inner)?.field(json),
                _ => None,
            })
        })
    }
}

static TABLE: LazyLock<HashMap<&'static str, Message>> = LazyLock::new(|| parse(include_str!("../tables/types.txt")));

/// The message of that upstream schema name.
pub fn message(schema: &str) -> Option<&'static Message> {
    TABLE.get(schema)
}

/// The schema name of a kind in a group and version, such as `io.k8s.api.apps.v1.Deployment` for `apps`, `v1`,
/// `Deployment`. Options and Status, which are registered in every group, resolve to meta/v1. `None` when the table
/// does not know the kind.
pub fn schema_of(group: &str, version: &str, kind: &str) -> Option<&'static str> {
    const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";
    let short = group.split('.').next().unwrap_or_default();
    let package = match group {
        "" => format!("io.k8s.api.core.{version}."),
        "apiextensions.k8s.io" => format!("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.{version}."),
        "apiregistration.k8s.io" => format!("io.k8s.kube-aggregator.pkg.apis.apiregistration.{version}."),
        "meta.k8s.io" => META.to_owned(),
        _ => format!("io.k8s.api.{short}.{version}."),
    };
    let meta = || matches!(kind, "DeleteOptions" | "CreateOptions" | "UpdateOptions" | "PatchOptions" | "Status");
    message(&format!("{package}{kind}"))
        .or_else(|| meta().then(|| message(&format!("{META}{kind}")))?)
        .map(|message| message.name)
}

fn parse(text: &'static str) -> HashMap<&'static str, Message> {
    let mut table: HashMap<&'static str, Message> = HashMap::new();
    let mut current: Option<Message> = None;
    for line in text.lines() {
        if let Some(head) = line.strip_prefix('@') {
            if let Some(done) = current.take() {
                table.insert(done.name, done);
            }
            let (name, flags) = head.split_once(' ').unwrap_or((head, ""));
            current = Some(Message { name, atomic: flags == "a", fields: Vec::new() });
        } else if let (Some(message), Some(field)) = (&mut current, field(line)) {
            message.fields.push(field);
        }
    }
    if let Some(done) = current {
        table.insert(done.name, done);
    }
    for message in table.values_mut() {
        message.fields.shrink_to_fit();
    }
    table
}

/// One field line; `None` for comments.
fn field(line: &'static str) -> Option<Field> {
    if line.starts_with('#') {
        return None;
    }
    let mut parts = line.splitn(4, ' ');
    let (json, number, kind) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
    let flags = parts.next().unwrap_or_default();
    let has = |name: &str| flags.split(' ').any(|flag| flag == name);
    let shape = match () {
        () if kind.contains('[') => Shape::List,
        () if kind.contains('{') => Shape::Map,
        () => Shape::Single,
    };
    let element = match kind.trim_start_matches(['*', '[', '{']) {
        "s" => Element::String,
        "b" => Element::Bool,
        "i" => Element::Integer,
        "f" => Element::Float,
        "y" => Element::Bytes,
        name => Element::Message(name),
    };
    Some(Field {
        json,
        number,
        shape,
        element,
        pointer: kind.starts_with('*'),
        omit_empty: has("o") || has("z"),
        inline: has("n"),
        atomic: has("a"),
        flags,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_that_a_field_names_exists_or_is_special() {
        let special = [
            "ExtraValue",
            "AttestationValue",
            "Verbs",
            "Quantity",
            "IntOrString",
            "Time",
            "MicroTime",
            "FieldsV1",
            "Duration",
        ];
        for message in TABLE.values() {
            for field in &message.fields {
                if let Element::Message(name) = field.element {
                    let known = super::message(name).is_some() || special.iter().any(|s| name.ends_with(s));
                    let json = name.starts_with("io.k8s.apiextensions-apiserver") || name.ends_with("RawExtension");
                    assert!(known || json, "{} {} names {name}", message.name, field.json);
                }
            }
        }
        assert!(TABLE.len() > 400, "{}", TABLE.len());
    }

    #[test]
    fn a_field_says_what_its_line_says() {
        let ports = message("io.k8s.api.core.v1.ServiceSpec").unwrap().field("ports").unwrap();
        assert_eq!((ports.number, ports.shape, ports.pointer), (1, Shape::List, false));
        assert_eq!(ports.element, Element::Message("io.k8s.api.core.v1.ServicePort"));
        assert_eq!(ports.list_map_keys(), ["port", "protocol"]);
        let replicas = message("io.k8s.api.apps.v1.DeploymentSpec").unwrap().field("replicas").unwrap();
        assert!(replicas.pointer && replicas.element == Element::Integer);
    }

    #[test]
    fn inlined_fields_belong_to_the_parent() {
        let volume = message("io.k8s.api.core.v1.Volume").unwrap();
        assert_eq!(volume.field("configMap").unwrap().number, 19);
        assert!(volume.field("-").is_none());
    }

    #[test]
    fn kinds_resolve_to_schemas() {
        assert_eq!(schema_of("", "v1", "Service"), Some("io.k8s.api.core.v1.Service"));
        assert_eq!(schema_of("rbac.authorization.k8s.io", "v1", "ClusterRole"), Some("io.k8s.api.rbac.v1.ClusterRole"));
        assert_eq!(
            schema_of("apps", "v1", "DeleteOptions"),
            Some("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions")
        );
        assert_eq!(schema_of("apps", "v1", "Nonsense"), None);
    }
}
