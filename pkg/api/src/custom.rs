//! Kinds that CustomResourceDefinitions add: rows of the registry made from stored definitions, so that the generic
//! handlers serve them like any other kind.
//!
//! A row is `&'static` everywhere: handlers, watches and filters hold it for as long as they like. So the rows of a
//! definition are made once per distinct definition and kept for good, looked up by the definition's content: a
//! definition that is deleted and made again, or seen by a second server, costs nothing more. What is kept is bounded
//! by [`MAX_DEFINITIONS`]; past that a definition is not established and says so. Counted references would have been
//! the alternative, at the price of one in every type that names a row.

mod approval;
mod check;
mod conversion;
mod define;
mod format;
mod names;
mod path;
mod rule_check;
mod rules;
mod schema;
mod schema_check;
mod structural;
mod structure;
mod versions;

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};

use jiff::Timestamp;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

pub use conversion::{Conversion, SECONDS as CONVERSION_SECONDS, failed as conversion_failed};
pub use define::{FINALIZER, RESOURCE, default, validate};
pub use names::{is_established, settled, terminating};
pub use path::Path;
pub(crate) use schema::{of_row, of_row_v2};
pub use structural::Structural;

use crate::field::{FieldError, FieldErrorKind};
use crate::registry::{self, ALL_VERBS, Alias, Column, Row, Subresource};
use crate::{scale, shape, time};

/// Distinct definitions that one process serves in its life.
pub const MAX_DEFINITIONS: usize = 2048;

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// What a custom kind's row knows beyond a built-in one's.
#[derive(Debug)]
pub struct Custom {
    /// The schema of this version.
    pub schema: Structural,
    /// As written in the definition.
    pub(crate) raw: Value,
    /// Its rules, compiled when the first object comes.
    rules: OnceLock<Option<rules::Ruled>>,
    printers: Vec<(String, Path)>,
    selectable: Vec<(String, Path)>,
    /// Where the scale subresource finds its numbers.
    pub scale: Option<scale::Paths>,
    /// What clients of a deprecated version hear.
    pub warning: Option<String>,
    /// Who converts objects between versions; without one only the version's name changes.
    pub conversion: Option<Conversion>,
    stored: OnceLock<&'static Row>,
}

type Kept = HashMap<[u8; 32], Vec<&'static Row>>;

static KEPT: LazyLock<Mutex<Kept>> = LazyLock::new(Mutex::default);

/// The rows of the served versions of a definition.
///
/// # Errors
/// More than [`MAX_DEFINITIONS`] distinct definitions since the process began.
pub fn rows_of(definition: &Value) -> Result<Vec<&'static Row>, String> {
    let content = serde_json::json!([definition["spec"], definition["status"]["acceptedNames"]]).to_string();
    let key: [u8; 32] = Sha256::digest(content.as_bytes()).into();
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(rows) = kept.get(&key) {
        return Ok(rows.clone());
    }
    if kept.len() >= MAX_DEFINITIONS {
        return Err(format!(
            "this server has served {MAX_DEFINITIONS} definitions and takes no new one until it is restarted"
        ));
    }
    let rows = build(definition);
    kept.insert(key, rows.clone());
    Ok(rows)
}

fn leak(text: impl Into<String>) -> &'static str {
    String::leak(text.into())
}

fn leak_list(list: &Value) -> &'static [&'static str] {
    let words: Vec<&'static str> = list.as_array().into_iter().flatten().filter_map(Value::as_str).map(leak).collect();
    Vec::leak(words)
}

/// Makes the rows: every served version, the stored one first.
fn build(definition: &Value) -> Vec<&'static Row> {
    let spec = &definition["spec"];
    let versions = spec["versions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let storage = versions.iter().find(|version| version["storage"] == true);
    let Some(storage) = storage else { return Vec::new() };
    // The stored version has a row even when it is not served: it is how objects are kept.
    let stored = row(definition, storage, None);
    let mut rows: Vec<&'static Row> = Vec::new();
    for version in versions.iter().filter(|version| version["served"] == true) {
        rows.push(if version["storage"] == true { stored } else { row(definition, version, Some(stored)) });
    }
    rows
}

fn row(definition: &Value, version: &Value, stored: Option<&'static Row>) -> &'static Row {
    let (spec, names) = (&definition["spec"], &definition["status"]["acceptedNames"]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (group, name) = (leak(text(&spec["group"])), leak(text(&version["name"])));
    let kind = leak(text(&names["kind"]));
    let raw = version["schema"]["openAPIV3Schema"].clone();
    let path = |value: &Value| value.as_str().and_then(Path::parse);
    let entries = |list: &Value| list.as_array().cloned().unwrap_or_default();
    let mut columns = vec![Column {
        name: "Name",
        kind: "string",
        format: "name",
        priority: 0,
        description: "Name must be unique within a namespace.",
    }];
    let mut printers = Vec::new();
    let mut printed = entries(&version["additionalPrinterColumns"]);
    // As upstream: one that cannot be read takes all of them with it.
    if printed.iter().any(|column| path(&column["jsonPath"]).is_none()) {
        printed.clear();
    }
    if printed.is_empty() {
        printed.push(serde_json::json!({
            "name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp",
            "description": "How long ago the object was created.",
        }));
    }
    for column in printed {
        let description = match column["description"].as_str() {
            Some(text) if !text.is_empty() => text.to_owned(),
            _ => format!("Custom resource definition column (in JSONPath format): {}", text(&column["jsonPath"])),
        };
        columns.push(Column {
            name: leak(text(&column["name"])),
            kind: leak(text(&column["type"])),
            format: leak(text(&column["format"])),
            priority: column["priority"].as_i64().and_then(|n| i32::try_from(n).ok()).unwrap_or(0),
            description: leak(description),
        });
        printers.push((
            text(&column["type"]),
            path(&column["jsonPath"]).unwrap_or_else(|| Path::parse("").expect("an empty path")),
        ));
    }
    let selectable: Vec<(String, Path)> = entries(&version["selectableFields"])
        .iter()
        .filter_map(|field| {
            let text = text(&field["jsonPath"]);
            Some((text.trim_start_matches('.').to_owned(), Path::parse(&text)?))
        })
        .collect();
    let labels: Vec<&'static str> = selectable.iter().map(|(name, _)| leak(name.clone())).collect();
    let below = &version["subresources"];
    let mut subresources = Vec::new();
    if below["status"].is_object() {
        subresources.push(Subresource::Status);
    }
    let scale = below["scale"].is_object().then(|| scale::Paths::read(&below["scale"])).flatten();
    if scale.is_some() {
        subresources.push(Subresource::Scale);
    }
    let warning = (version["deprecated"] == true).then(|| match version["deprecationWarning"].as_str() {
        Some(text) => text.to_owned(),
        None => format!("{group}/{name} {kind} is deprecated"),
    });
    let custom = Custom {
        schema: Structural::read(&raw),
        raw,
        rules: OnceLock::new(),
        printers,
        selectable,
        scale,
        warning,
        conversion: Conversion::read(definition),
        stored: OnceLock::new(),
    };
    let custom: &'static Custom = Box::leak(Box::new(custom));
    let reversed: Vec<&str> = group.rsplit('.').collect();
    let made: &'static Row = Box::leak(Box::new(Row {
        group,
        version: name,
        kind,
        list_kind: leak(text(&names["listKind"])),
        plural: leak(text(&names["plural"])),
        singular: leak(text(&names["singular"])),
        short_names: leak_list(&names["shortNames"]),
        categories: leak_list(&names["categories"]),
        namespaced: spec["scope"] == "Namespaced",
        verbs: ALL_VERBS,
        subresources: Vec::leak(subresources),
        generation: true,
        unconditional_update: false,
        schema: leak(format!("{}.{name}.{kind}", reversed.join("."))),
        field_labels: Vec::leak(labels),
        columns: Vec::leak(columns),
        alias: stored.map(|stored| Alias {
            group,
            version: stored.version,
            to_stored: Value::clone,
            from_stored: Value::clone,
        }),
        custom: Some(custom),
        ..registry::base()
    }));
    custom.stored.set(stored.unwrap_or(made)).expect("set once");
    made
}

impl Custom {
    /// The row that objects are stored under.
    pub(crate) fn stored(&self) -> Option<&'static Row> {
        self.stored.get().copied()
    }

    /// The object with typed metadata and without what the schema does not name, and the paths of that.
    pub(crate) fn prune(&self, object: &Value) -> Result<(Value, Vec<String>), String> {
        let Value::Object(given) = object else {
            return Err("json: cannot unmarshal into Go value of type unstructured.Unstructured".to_owned());
        };
        let metadata = match given.get("metadata") {
            None | Some(Value::Null) => Value::Object(Map::new()),
            Some(metadata) => shape::prune(OBJECT_META, metadata)?,
        };
        let mut unknown = shape::unknown_fields(OBJECT_META, &given.get("metadata").cloned().unwrap_or_default())
            .into_iter()
            .map(|path| format!("metadata.{path}"))
            .collect::<Vec<_>>();
        let mut rest: Map<String, Value> = given
            .iter()
            .filter(|(key, _)| *key != "metadata")
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let mut out = Map::new();
        for key in ["apiVersion", "kind"] {
            if let Some(value) = rest.shift_remove(key) {
                out.insert(key.to_owned(), value);
            }
        }
        out.insert("metadata".to_owned(), metadata);
        let mut rest = Value::Object(rest);
        self.schema.prune(&mut rest, true, &mut String::new(), &mut unknown);
        rest.sort_all_objects();
        if let Value::Object(rest) = rest {
            out.extend(rest);
        }
        Ok((Value::Object(out), unknown))
    }

    /// Fills in the schema's defaults.
    pub(crate) fn fill(&self, object: &mut Value) {
        self.schema.fill(object);
    }

    /// Whether a stored object is as this schema would store it now: nothing to drop and nothing to fill in.
    pub(crate) fn agrees(&self, object: &Value) -> bool {
        self.schema.agrees(object, true)
    }

    /// Drops from a stored object what this schema does not name.
    pub(crate) fn trim(&self, object: &mut Value) {
        self.schema.prune(object, true, &mut String::new(), &mut Vec::new());
    }

    /// Complaints; those that the old state had already are let pass, so that a schema may become stricter.
    pub(crate) fn check(&self, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let mut errors = check::object(&self.schema, new, old);
        if let Some(ruled) = self.rules.get_or_init(|| rules::Ruled::read(&self.raw, true)) {
            use FieldErrorKind::{NotSupported, Required, TooLong, TooMany, TypeInvalid};
            let blocks =
                |error: &FieldError| matches!(error.kind, NotSupported | Required | TooLong | TooMany | TypeInvalid);
            if errors.iter().any(blocks) {
                errors.push(rules::not_checked());
            } else {
                errors.extend(rules::complaints(ruled, new, old));
            }
        }
        if let Some(paths) = &self.scale {
            errors.extend(paths.validate(new));
        }
        errors
    }

    /// The value of a selectable field.
    pub(crate) fn label(&self, object: &Value, name: &str) -> String {
        let path = self.selectable.iter().find(|(known, _)| known == name).map(|(_, path)| path);
        match path.and_then(|path| path.find(object).first().copied()) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }

    /// The cells of one object.
    pub(crate) fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let name = object["metadata"]["name"].clone();
        let printed = self.printers.iter().map(|(kind, path)| match path.find(object).first() {
            None | Some(Value::Null) => Value::Null,
            Some(value) => cell(kind, value, now),
        });
        std::iter::once(name).chain(printed).collect()
    }
}

/// Whether a text is of a format of schemas, such as `uuid`.
pub(crate) fn is_format(name: &str, text: &str) -> bool {
    format::matches(name, text)
}

fn cell(kind: &str, value: &Value, now: Timestamp) -> Value {
    match (kind, value) {
        ("string", Value::String(_)) | ("boolean", Value::Bool(_)) => value.clone(),
        ("string", other) => other.to_string().into(),
        ("integer", Value::Number(n)) => n.as_i64().or_else(|| n.as_f64().map(|n| n as i64)).into(),
        ("number", Value::Number(n)) => n.as_f64().into(),
        ("date", Value::String(text)) => match time::parse(text) {
            Some(at) => time::age(Some(at), now).into(),
            None => "<invalid>".into(),
        },
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests;
