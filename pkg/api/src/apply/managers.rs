//! `metadata.managedFields`: one entry per manager, operation, version and subresource (apimachinery
//! `managedfields/internal/managedfields.go`, `capmanagers.go`). Must not compare objects.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::set::FieldSet;
use crate::time;

/// How many managers of updates are kept apart; older ones are merged into one.
pub(super) const MAX_UPDATE_MANAGERS: usize = 10;

/// The name of that one.
const ANCIENT: &str = "ancient-changes";

/// Who owns: an entry's identity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// `kubectl`.
    pub manager: String,
    /// By apply, not by another write.
    pub applied: bool,
    /// Version of the writes; empty for appliers, who are the same in every version.
    pub api_version: String,
    /// `status`, `scale` or empty.
    pub subresource: String,
}

/// What one manager owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owned {
    /// The fields.
    pub set: FieldSet,
    /// The version that their paths are of.
    pub api_version: String,
    /// When the set last changed, RFC 3339.
    pub time: Option<String>,
}

/// All managers of an object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Managed(pub(super) BTreeMap<Identity, Owned>);

impl Managed {
    /// Whether nobody owns anything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Managers and what they own.
    pub fn entries(&self) -> impl Iterator<Item = (&Identity, &Owned)> {
        self.0.iter()
    }

    /// Reads the list; null is an empty one.
    ///
    /// # Errors
    /// An entry without operation, version or fields type, or with fields that cannot be read.
    pub fn decode(value: &Value) -> Result<Self, String> {
        let mut managed = Self::default();
        for (index, entry) in value.as_array().into_iter().flatten().enumerate() {
            let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
            let applied = match text("operation").as_str() {
                "Apply" => true,
                "Update" => false,
                _ => return Err("operation must be `Apply` or `Update`".to_owned()),
            };
            let api_version = text("apiVersion");
            if api_version.is_empty() {
                return Err("apiVersion must not be empty".to_owned());
            }
            match text("fieldsType").as_str() {
                "FieldsV1" => {}
                "" => return Err(format!("missing fieldsType in managed fields entry {index}")),
                other => return Err(format!("invalid fieldsType {other:?} in managed fields entry {index}")),
            }
            let set = match &entry["fieldsV1"] {
                Value::Null => FieldSet::default(),
                fields => FieldSet::from_fields_v1(fields).map_err(|cause| format!("error decoding set: {cause}"))?,
            };
            let identity = Identity {
                manager: text("manager"),
                applied,
                api_version: if applied { String::new() } else { api_version.clone() },
                subresource: text("subresource"),
            };
            let time = entry["time"].as_str().map(str::to_owned);
            managed.0.insert(identity, Owned { set, api_version, time });
        }
        Ok(managed)
    }

    /// The list as it is stored: appliers first, then by time and name.
    pub fn encode(&self) -> Value {
        let mut entries: Vec<(&Identity, &Owned)> = self.0.iter().collect();
        entries.sort_by(|(a, x), (b, y)| {
            let key = |identity: &Identity, owned: &Owned| (!identity.applied, seconds(owned));
            key(a, x)
                .cmp(&key(b, y))
                .then_with(|| a.manager.cmp(&b.manager))
                .then_with(|| x.api_version.cmp(&y.api_version))
                .then_with(|| a.subresource.cmp(&b.subresource))
        });
        let entry = |(identity, owned): (&Identity, &Owned)| {
            let mut map = Map::new();
            map.insert("manager".into(), identity.manager.clone().into());
            map.insert("operation".into(), if identity.applied { "Apply" } else { "Update" }.into());
            map.insert("apiVersion".into(), owned.api_version.clone().into());
            if let Some(time) = &owned.time {
                map.insert("time".into(), time.clone().into());
            }
            map.insert("fieldsType".into(), json!("FieldsV1"));
            map.insert("fieldsV1".into(), owned.set.to_fields_v1());
            if !identity.subresource.is_empty() {
                map.insert("subresource".into(), identity.subresource.clone().into());
            }
            Value::Object(map)
        };
        entries.into_iter().map(entry).collect()
    }

    /// Merges the oldest updates of each version until there are no more than [`MAX_UPDATE_MANAGERS`].
    pub(super) fn cap(&mut self) {
        let mut updaters: Vec<Identity> = self.0.keys().filter(|identity| !identity.applied).cloned().collect();
        let mut count = updaters.len();
        updaters.sort_by(|a, b| seconds(&self.0[a]).cmp(&seconds(&self.0[b])).then_with(|| a.cmp(b)));
        let mut first_of_version: BTreeMap<String, Identity> = BTreeMap::new();
        for identity in updaters {
            if count <= MAX_UPDATE_MANAGERS {
                return;
            }
            let version = self.0[&identity].api_version.clone();
            let bucket = Identity {
                manager: ANCIENT.to_owned(),
                applied: false,
                api_version: version.clone(),
                subresource: String::new(),
            };
            let Some(first) = first_of_version.get(&version) else {
                first_of_version.insert(version, identity);
                continue;
            };
            if !self.0.contains_key(&bucket)
                && let Some(owned) = self.0.remove(first)
            {
                self.0.insert(bucket.clone(), owned);
            }
            if identity != bucket
                && let Some(merged) = self.0.remove(&identity)
                && let Some(ancient) = self.0.get_mut(&bucket)
            {
                ancient.set = ancient.set.union(&merged.set);
                ancient.time = merged.time;
                count -= 1;
            }
        }
    }
}

fn seconds(owned: &Owned) -> i64 {
    owned.time.as_deref().and_then(time::parse).map_or(0, |at| at.as_second())
}
