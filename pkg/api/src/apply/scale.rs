//! Ownership through the scale subresource: the replicas field of an object seen as that of its Scale and back
//! (apimachinery `managedfields/scalehandler.go`). Must not read replicas themselves.

use serde_json::Value;

use super::element::Element;
use super::managers::{Identity, Managed, Owned};
use super::set::FieldSet;

const SCALE_VERSION: &str = "autoscaling/v1";

fn in_scale() -> Vec<Element> {
    ["spec", "replicas"].map(|name| Element::Field(name.to_owned())).to_vec()
}

/// The managed fields of an object's Scale: those entries that own the replicas. `path` is where an object of
/// `api_version` has its replicas.
pub fn scale_entries(managed_fields: &Value, api_version: &str, path: &[Element]) -> Value {
    let Ok(managed) = Managed::decode(managed_fields) else { return Value::Null };
    let mut replicas = FieldSet::default();
    replicas.insert(&in_scale());
    let entries = managed.0.into_iter().filter(|(_, owned)| owned.api_version == api_version && owned.set.has(path));
    let entries = entries.map(|(identity, owned)| {
        (identity, Owned { set: replicas.clone(), api_version: SCALE_VERSION.to_owned(), time: owned.time })
    });
    let scale = Managed(entries.collect());
    if scale.is_empty() { Value::Null } else { scale.encode() }
}

/// The managed fields of the object after its Scale was written with `scale_fields`.
pub fn scaled_entries(parent_fields: &Value, scale_fields: &Value, api_version: &str, path: &[Element]) -> Value {
    let (Ok(parent), Ok(mut scale)) = (Managed::decode(parent_fields), Managed::decode(scale_fields)) else {
        return parent_fields.clone();
    };
    let mut replicas = FieldSet::default();
    replicas.insert(path);
    // The same manager, as it is called among the object's.
    let own = |identity: Identity| Identity {
        api_version: if identity.applied { String::new() } else { api_version.to_owned() },
        ..identity
    };
    scale.0.retain(|_, owned| owned.set.has(&in_scale()));
    scale.0 = scale.0.into_iter().map(|(identity, owned)| (own(identity), owned)).collect();
    let mut out = Managed::default();
    for (identity, mut owned) in parent.0 {
        let concerned = owned.api_version == api_version && owned.set.has(path);
        if concerned && scale.0.remove(&identity).is_none() {
            owned.set = owned.set.difference(&replicas);
        }
        if !owned.set.is_empty() {
            out.0.insert(identity, owned);
        }
    }
    for (identity, owned) in scale.0 {
        let slot = out.0.entry(identity).or_insert_with(|| Owned {
            set: FieldSet::default(),
            api_version: api_version.to_owned(),
            time: None,
        });
        slot.set = slot.set.union(&replicas);
        slot.time = owned.time.or_else(|| slot.time.take());
    }
    if out.is_empty() { Value::Null } else { out.encode() }
}
