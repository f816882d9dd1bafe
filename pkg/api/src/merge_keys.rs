//! How lists and objects merge: strategic-merge keys and server-side-apply list types, by schema and field.
//!
//! Must not merge anything: the patch module does, asking here at each field on its way down.

use crate::messages::{Element, Shape, message};

/// How patches treat one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeKey {
    /// Strategic merge: the key that pairs list items (`x-kubernetes-patch-merge-key`); `None` for lists of scalars.
    pub patch_key: Option<&'static str>,
    /// Server-side apply: the keys of an associative list (`x-kubernetes-list-map-keys`); empty otherwise.
    pub list_map_keys: Vec<&'static str>,
    /// `x-kubernetes-patch-strategy` and `x-kubernetes-list-type`.
    pub strategy: Strategy,
}

/// What `patchStrategy` and `listType` say of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strategy {
    /// Strategic merge merges the list (by key, or as a set of scalars) instead of replacing it.
    pub merge: bool,
    /// `$retainKeys` applies to the object or the list's items.
    pub retain_keys: bool,
    /// Server-side apply's view of the field.
    pub list_type: ListType,
}

/// Server-side apply's view of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListType {
    /// One owner for the whole value: a list without a list type, or an object marked atomic.
    Atomic,
    /// A list of scalars, each with its owner.
    Set,
    /// A list of objects told apart by `list_map_keys`.
    Map,
    /// An object or map whose fields have owners of their own, or a scalar.
    Granular,
}

/// How patches treat `field` of an object of `schema` (`io.k8s.api.core.v1.ServiceSpec`, `ports`); fields of inlined
/// messages are found under the outer schema. `None` when the schema or the field is unknown: treat as granular if it
/// is an object and as atomic if it is a list.
pub fn merge_key(schema: &str, field: &str) -> Option<MergeKey> {
    let field = message(schema)?.field(field)?;
    let patch = field.patch_strategy().unwrap_or_default();
    let has = |word| patch.split(',').any(|strategy| strategy == word);
    let inner_atomic = matches!(field.element, Element::Message(name) if is_atomic(name));
    let list_type = match (field.shape, field.list_type()) {
        (Shape::List, Some("set")) => ListType::Set,
        (Shape::List, Some("map")) => ListType::Map,
        (Shape::List, _) => ListType::Atomic,
        (Shape::Single, _) if field.atomic || inner_atomic => ListType::Atomic,
        (Shape::Map, _) if field.atomic => ListType::Atomic,
        _ => ListType::Granular,
    };
    Some(MergeKey {
        patch_key: field.patch_merge_key(),
        list_map_keys: field.list_map_keys(),
        strategy: Strategy { merge: has("merge"), retain_keys: has("retainKeys"), list_type },
    })
}

/// The schema of what `field` of `schema` holds: of the object itself, of each item of a list, of each value of a map.
/// `None` for scalars and for what the table does not know.
pub fn item_schema(schema: &str, field: &str) -> Option<&'static str> {
    match message(schema)?.field(field)?.element {
        Element::Message(name) => Some(name),
        _ => None,
    }
}

/// Whether `field` of `schema` is a map with free keys (labels, data, limits), not a struct. `false` when unknown.
pub fn is_map(schema: &str, field: &str) -> bool {
    message(schema).and_then(|message| message.field(field)).is_some_and(|field| field.shape == Shape::Map)
}

/// The default of a field that the schema itself states, as JSON text: a Service port without `protocol` has the key
/// `"TCP"` in server-side apply.
pub fn default_json(schema: &str, field: &str) -> Option<&'static str> {
    message(schema)?.field(field)?.default_json()
}

/// Objects that server-side apply owns as a whole: those marked so, and the scalars that JSON or protobuf dress as
/// messages (quantities, times, ports by number or name).
fn is_atomic(schema: &str) -> bool {
    message(schema).is_some_and(|message| message.atomic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_ports_merge_by_port_and_apply_by_port_and_protocol() {
        let key = merge_key("io.k8s.api.core.v1.ServiceSpec", "ports").unwrap();
        assert_eq!(key.patch_key, Some("port"));
        assert_eq!(key.list_map_keys, ["port", "protocol"]);
        assert_eq!(key.strategy, Strategy { merge: true, retain_keys: false, list_type: ListType::Map });
        assert_eq!(default_json("io.k8s.api.core.v1.ServicePort", "protocol"), Some("\"TCP\""));
    }

    #[test]
    fn volumes_retain_keys_and_selectors_are_atomic() {
        let volumes = merge_key("io.k8s.api.core.v1.PodSpec", "volumes").unwrap();
        assert!(volumes.strategy.merge && volumes.strategy.retain_keys);
        let strategy = merge_key("io.k8s.api.apps.v1.DeploymentSpec", "strategy").unwrap();
        assert!(strategy.strategy.retain_keys && !strategy.strategy.merge);
        let selector = merge_key("io.k8s.api.core.v1.ServiceSpec", "selector").unwrap();
        assert_eq!(selector.strategy.list_type, ListType::Atomic);
        let label_selector = merge_key("io.k8s.api.apps.v1.DeploymentSpec", "selector").unwrap();
        assert_eq!(label_selector.strategy.list_type, ListType::Atomic);
        let labels = merge_key("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "labels").unwrap();
        assert_eq!(labels.strategy.list_type, ListType::Granular);
    }

    #[test]
    fn the_way_down_to_a_container_port() {
        let mut schema = "io.k8s.api.apps.v1.Deployment";
        for field in ["spec", "template", "spec", "containers", "ports"] {
            schema = item_schema(schema, field).unwrap();
        }
        assert_eq!(schema, "io.k8s.api.core.v1.ContainerPort");
        assert!(merge_key(schema, "nonsense").is_none());
        assert!(is_map("io.k8s.api.core.v1.ServiceSpec", "selector"));
    }

    #[test]
    fn lists_without_a_merge_key_are_replaced() {
        let subsets = merge_key("io.k8s.api.core.v1.Endpoints", "subsets").unwrap();
        assert_eq!((subsets.patch_key, subsets.strategy.merge), (None, false));
        assert_eq!(subsets.strategy.list_type, ListType::Atomic);
        let finalizers = merge_key("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "finalizers").unwrap();
        assert_eq!((finalizers.strategy.merge, finalizers.strategy.list_type), (true, ListType::Set));
    }
}
