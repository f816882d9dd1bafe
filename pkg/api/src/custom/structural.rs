//! A structural schema: the OpenAPI schema of a custom kind, read once (apiextensions `apiserver/schema`). What it drops
//! and what it fills in. Must not complain: `super::check` does.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Map, Value};

use super::OBJECT_META;
use crate::shape;

/// One place of a schema.
#[derive(Debug, Default)]
pub struct Structural {
    /// `object`, `array`, `string`, `integer`, `number`, `boolean`; empty for any.
    pub(super) kind: String,
    pub(super) nullable: bool,
    pub(super) int_or_string: bool,
    /// Fields that are not named stay.
    pub(crate) preserve: bool,
    pub(super) embedded: bool,
    pub(super) default: Option<Value>,
    pub(crate) properties: BTreeMap<String, Structural>,
    /// The schema of entries with free keys.
    pub(crate) additional: Option<Box<Structural>>,
    pub(crate) items: Option<Box<Structural>>,
    /// `atomic`, `set`, `map` or empty.
    pub(crate) list_type: String,
    pub(crate) list_map_keys: Vec<String>,
    pub(crate) atomic_map: bool,
    pub(super) checks: Checks,
}

/// What a value must satisfy beyond its type.
#[derive(Debug, Default)]
pub(super) struct Checks {
    /// The schema as written, for what is read at use: bounds, lengths, required fields.
    pub(super) raw: Map<String, Value>,
    pub(super) pattern: Option<Regex>,
    pub(super) all_of: Vec<Structural>,
    pub(super) any_of: Vec<Structural>,
    pub(super) one_of: Vec<Structural>,
    pub(super) not: Option<Box<Structural>>,
}

impl Structural {
    /// Reads a `JSONSchemaProps`. What it does not understand it leaves out.
    pub fn read(schema: &Value) -> Self {
        let text = |key: &str| schema[key].as_str().unwrap_or_default().to_owned();
        let flag = |key: &str| schema[key].as_bool().unwrap_or(false);
        let list = |key: &str| schema[key].as_array().into_iter().flatten().map(Self::read).collect::<Vec<_>>();
        let properties: BTreeMap<String, Self> =
            schema["properties"].as_object().into_iter().flatten().map(|(k, v)| (k.clone(), Self::read(v))).collect();
        let below =
            |key: &str| schema.get(key).filter(|value| value.is_object()).map(|value| Box::new(Self::read(value)));
        let additional = match &schema["additionalProperties"] {
            Value::Bool(true) => Some(Box::new(Self { preserve: true, ..Self::default() })),
            _ => below("additionalProperties"),
        };
        let items = below("items");
        let mut raw = schema.as_object().cloned().unwrap_or_default();
        for key in ["properties", "additionalProperties", "items", "allOf", "anyOf", "oneOf", "not", "description"] {
            raw.shift_remove(key);
        }
        let strings = schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten();
        Self {
            kind: text("type"),
            nullable: flag("nullable"),
            int_or_string: flag("x-kubernetes-int-or-string"),
            preserve: flag("x-kubernetes-preserve-unknown-fields"),
            embedded: flag("x-kubernetes-embedded-resource"),
            default: schema.get("default").filter(|value| !value.is_null()).cloned(),
            properties,
            additional,
            items,
            list_type: text("x-kubernetes-list-type"),
            list_map_keys: strings.filter_map(|key| key.as_str().map(str::to_owned)).collect(),
            atomic_map: text("x-kubernetes-map-type") == "atomic",
            checks: Checks {
                pattern: schema["pattern"].as_str().and_then(|pattern| Regex::new(pattern).ok()),
                all_of: list("allOf"),
                any_of: list("anyOf"),
                one_of: list("oneOf"),
                not: below("not"),
                raw,
            },
        }
    }

    /// Whether the value here may have fields.
    pub(crate) fn is_object(&self) -> bool {
        self.kind == "object" || (self.kind.is_empty() && !self.int_or_string)
    }

    /// Whether `apiVersion`, `kind` and `metadata` here are those of an object.
    pub(crate) fn is_embedded(&self) -> bool {
        self.embedded
    }

    /// What a value is expected to be when it is something else: `map`, `list`, `string` and so on.
    pub(crate) fn mismatch(&self, value: &Value) -> Option<&'static str> {
        let (right, wanted) = match self.kind.as_str() {
            _ if self.int_or_string => (value.is_number() || value.is_string(), "any scalar"),
            "object" => (value.is_object(), "map"),
            "array" => (value.is_array(), "list"),
            "string" => (value.is_string(), "string"),
            "boolean" => (value.is_boolean(), "boolean"),
            "integer" | "number" => (value.is_number(), "numeric (int or float)"),
            _ => (true, ""),
        };
        (!right).then_some(wanted)
    }

    /// The default that the schema states.
    pub(crate) fn default_value(&self) -> Option<&Value> {
        self.default.as_ref()
    }

    /// Drops what the schema does not name, and notes its path in `unknown`. `root` is the object itself, whose type and
    /// metadata are kept.
    pub(super) fn prune(&self, value: &mut Value, root: bool, path: &mut String, unknown: &mut Vec<String>) {
        self.prune_inner(value, root, self.preserve, path, unknown);
    }

    fn prune_inner(&self, value: &mut Value, root: bool, keep: bool, path: &mut String, unknown: &mut Vec<String>) {
        let length = path.len();
        match value {
            Value::Object(map) => {
                let mut gone = Vec::new();
                for (key, value) in map.iter_mut() {
                    if (root || self.embedded) && matches!(key.as_str(), "apiVersion" | "kind" | "metadata") {
                        if key == "metadata" && !root {
                            prune_metadata(value, path, unknown);
                        }
                        continue;
                    }
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(key);
                    match self.properties.get(key).or(self.additional.as_deref()) {
                        Some(inner) => inner.prune(value, false, path, unknown),
                        None if keep => {}
                        None => {
                            unknown.push(path.clone());
                            gone.push(key.clone());
                        }
                    }
                    path.truncate(length);
                }
                for key in gone {
                    map.shift_remove(&key);
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    path.push_str(&format!("[{index}]"));
                    match self.items.as_deref() {
                        Some(inner) if keep => inner.prune_inner(item, false, true, path, unknown),
                        Some(inner) => inner.prune(item, false, path, unknown),
                        None if keep => {}
                        None => Self::default().prune(item, false, path, unknown),
                    }
                    path.truncate(length);
                }
            }
            _ => {}
        }
    }

    /// Whether pruning and filling would leave a value as it is. `root` as in `prune`.
    pub(super) fn agrees(&self, value: &Value, root: bool) -> bool {
        self.agrees_inner(value, root, self.preserve)
    }

    fn agrees_inner(&self, value: &Value, root: bool, keep: bool) -> bool {
        match value {
            Value::Object(map) => {
                let filled = self.properties.iter().all(|(key, inner)| match map.get(key) {
                    None => inner.default.is_none(),
                    Some(value) => !value.is_null() || inner.nullable,
                });
                filled
                    && map.iter().all(|(key, value)| {
                        if (root || self.embedded) && matches!(key.as_str(), "apiVersion" | "kind" | "metadata") {
                            return root || key != "metadata" || shape::unknown_fields(OBJECT_META, value).is_empty();
                        }
                        match self.properties.get(key).or(self.additional.as_deref()) {
                            Some(inner) => inner.agrees(value, false),
                            None => keep,
                        }
                    })
            }
            Value::Array(items) => items.iter().all(|item| match self.items.as_deref() {
                Some(inner) if keep => inner.agrees_inner(item, false, true),
                Some(inner) => inner.agrees(item, false),
                None => keep || !(item.is_object() || item.is_array()) || Self::default().agrees(item, false),
            }),
            _ => true,
        }
    }

    /// Fills in what is missing and has a default; a null where none is allowed counts as missing.
    pub(super) fn fill(&self, value: &mut Value) {
        match value {
            Value::Object(map) => {
                for (key, inner) in &self.properties {
                    let missing = map.get(key).is_none_or(|value| value.is_null() && !inner.nullable);
                    match &inner.default {
                        Some(default) if missing => {
                            map.insert(key.clone(), default.clone());
                        }
                        // Null where the schema allows none and states no default is dropped.
                        None if missing && map.contains_key(key) => {
                            map.shift_remove(key);
                        }
                        _ => {}
                    }
                }
                for (key, value) in map.iter_mut() {
                    if let Some(inner) = self.properties.get(key).or(self.additional.as_deref()) {
                        if value.is_null()
                            && !inner.nullable
                            && let Some(default) = &inner.default
                        {
                            *value = default.clone();
                        }
                        inner.fill(value);
                    }
                }
            }
            Value::Array(items) => {
                if let Some(inner) = &self.items {
                    items.iter_mut().for_each(|item| inner.fill(item));
                }
            }
            _ => {}
        }
    }
}

/// Drops what the metadata of an embedded object does not name, and notes its path. Metadata of wrong types is left as it
/// is (apiextensions `objectmeta.Coerce`).
fn prune_metadata(value: &mut Value, path: &str, unknown: &mut Vec<String>) {
    let found = shape::unknown_fields(OBJECT_META, value);
    if found.is_empty() {
        return;
    }
    let start = if path.is_empty() { String::new() } else { format!("{path}.") };
    unknown.extend(found.iter().map(|field| format!("{start}metadata.{field}")));
    if let Ok(typed) = shape::prune(OBJECT_META, value) {
        *value = typed;
    }
}
