//! What variables are: types made of schemas, with how large values may grow (apiserver `pkg/cel/common`, `SchemaDeclType`).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::kin::Kin;
use super::types::Type;

/// Largest request, in bytes (`celconfig.MaxRequestSizeBytes`): what nobody bounds is bounded by it.
pub(super) const REQUEST: u64 = 3 * 1024 * 1024;

/// An object's fields under their escaped names.
#[derive(Debug, Default)]
pub struct ObjectDecl {
    /// As messages show it.
    pub name: String,
    /// By escaped name.
    pub fields: BTreeMap<String, Arc<Decl>>,
}

/// A type with the sizes that its values may have.
#[derive(Debug)]
pub struct Decl {
    /// What it is.
    pub kind: Type,
    /// Most elements, characters or entries; `None` where nothing is known.
    pub max: Option<u64>,
    /// Fewest bytes as JSON.
    pub least: u64,
    /// Elements of a list, values of a map.
    pub element: Option<Arc<Decl>>,
    /// How a list's items are told apart.
    pub kin: Kin,
}

/// Words that no field may be called without being escaped.
const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// A field's name as expressions write it; `None` for a name that they cannot (apiserver `cel.Escape`).
pub(super) fn escape(name: &str) -> Option<String> {
    if RESERVED.contains(&name) {
        return Some(format!("__{name}__"));
    }
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '_' if rest.starts_with('_') => {
                out.push_str("__underscores__");
                rest = &rest[1..];
            }
            '.' => out.push_str("__dot__"),
            '-' => out.push_str("__dash__"),
            '/' => out.push_str("__slash__"),
            c if c.is_ascii_alphanumeric() || c == '_' => out.push(c),
            _ => return None,
        }
    }
    Some(out)
}

/// How the items of a schema's list are told apart.
fn kin(schema: &Value) -> Kin {
    match schema["x-kubernetes-list-type"].as_str() {
        Some("set") => Kin::Value,
        Some("map") => {
            let keys = schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten().filter_map(Value::as_str);
            Kin::Fields(keys.map(|key| Arc::from(escape(key).as_deref().unwrap_or(key))).collect())
        }
        _ => Kin::Place,
    }
}

impl Decl {
    /// A type of which no sizes are known.
    pub fn of(kind: Type) -> Arc<Self> {
        let least = if matches!(kind, Type::Dyn | Type::Int | Type::Uint) { 1 } else { 2 };
        Arc::new(Self { kind, max: None, least, element: None, kin: Kin::Place })
    }

    /// What may be this or nothing.
    pub fn optional(of: &Arc<Self>) -> Arc<Self> {
        let kind = Type::Optional(Box::new(of.kind.clone()));
        let (element, kin) = (of.element.clone(), of.kin.clone());
        Arc::new(Self { kind, max: of.max, least: of.least, element, kin })
    }

    /// An object with these fields.
    pub fn object(name: &str, fields: Vec<(&str, Arc<Self>)>) -> Arc<Self> {
        let fields = fields.into_iter().map(|(key, decl)| (key.to_owned(), decl)).collect();
        Arc::new(Self {
            kind: Type::Object(Arc::new(ObjectDecl { name: name.to_owned(), fields })),
            max: None,
            least: 2,
            element: None,
            kin: Kin::Place,
        })
    }

    /// Of a structural schema, called `name`; `root`: of a whole object, whose type and metadata are known. `None` where
    /// the schema says too little.
    pub fn of_schema(schema: &Value, name: &str, root: bool) -> Option<Arc<Self>> {
        if schema["x-kubernetes-int-or-string"] == true {
            return Some(Arc::new(Self {
                kind: Type::Dyn,
                max: Some(REQUEST - 2),
                least: 1,
                element: None,
                kin: Kin::Place,
            }));
        }
        let bound = |key: &str| schema[key].as_u64();
        let simple = |kind: Type, max: Option<u64>, least: u64| {
            Some(Arc::new(Self { kind, max, least, element: None, kin: Kin::Place }))
        };
        match schema["type"].as_str().unwrap_or_default() {
            "array" => {
                let element = Self::of_schema(&schema["items"], &format!("{name}.@idx"), false)?;
                let max = bound("maxItems").unwrap_or((REQUEST - 2) / (element.least + 1));
                let kind = Type::List(Box::new(element.kind.clone()));
                Some(Arc::new(Self { kind, max: Some(max), least: 2, element: Some(element), kin: kin(schema) }))
            }
            "object" => {
                let root = root || schema["x-kubernetes-embedded-resource"] == true;
                let additional = &schema["additionalProperties"];
                if additional.is_object() || *additional == true {
                    let element = Self::of_schema(additional, &format!("{name}.@prop"), false);
                    let element = element.or_else(|| (*additional == true).then(|| Self::of(Type::Dyn)))?;
                    let max = bound("maxProperties").unwrap_or((REQUEST - 2) / (element.least + 6));
                    let kind = Type::Map(Box::new(Type::Str), Box::new(element.kind.clone()));
                    return Some(Arc::new(Self {
                        kind,
                        max: Some(max),
                        least: 2,
                        element: Some(element),
                        kin: Kin::Place,
                    }));
                }
                Some(Self::of_fields(schema, name, root))
            }
            "string" => Some(Self::of_text(schema)),
            "boolean" => simple(Type::Bool, None, 4),
            "number" => simple(Type::Double, None, 1),
            "integer" => simple(Type::Int, None, 1),
            _ => None,
        }
    }

    fn of_fields(schema: &Value, name: &str, root: bool) -> Arc<Self> {
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let (mut fields, mut least) = (BTreeMap::new(), 2);
        for (key, inner) in schema["properties"].as_object().into_iter().flatten() {
            let (Some(escaped), Some(decl)) = (escape(key), Self::of_schema(inner, &format!("{name}.{key}"), false))
            else {
                continue;
            };
            if required.contains(&key.as_str()) && inner.get("default").is_none_or(Value::is_null) {
                least += key.len() as u64 + decl.least + 4;
            }
            fields.insert(escaped, decl);
        }
        if root {
            let text =
                || Arc::new(Self { kind: Type::Str, max: Some(REQUEST - 2), least: 2, element: None, kin: Kin::Place });
            fields.entry("apiVersion".to_owned()).or_insert_with(text);
            fields.entry("kind".to_owned()).or_insert_with(text);
            let metadata = Self::object(&format!("{name}.metadata"), vec![("name", text()), ("generateName", text())]);
            fields.insert("metadata".to_owned(), metadata);
        }
        let kind = Type::Object(Arc::new(ObjectDecl { name: name.to_owned(), fields }));
        Arc::new(Self { kind, max: None, least, element: None, kin: Kin::Place })
    }

    fn of_text(schema: &Value) -> Arc<Self> {
        let (kind, max, least) = match schema["format"].as_str().unwrap_or_default() {
            "byte" => {
                let max = schema["maxLength"].as_u64().unwrap_or(REQUEST - 2);
                (Type::Bytes, max, 2)
            }
            "duration" => (Type::Duration, REQUEST - 2, 4),
            "date" => (Type::Time, 10, 12),
            "date-time" => (Type::Time, REQUEST - 2, 12),
            _ => {
                let enumerated = schema["enum"].as_array().map(|all| {
                    let lengths = all.iter().filter_map(Value::as_str).map(|text| text.chars().count() as u64);
                    lengths.max().unwrap_or(0)
                });
                let max = match (schema["maxLength"].as_u64(), enumerated) {
                    (_, Some(longest)) => longest,
                    (Some(max), None) => max.saturating_mul(4),
                    (None, None) => REQUEST - 2,
                };
                (Type::Str, max, 2)
            }
        };
        Arc::new(Self { kind, max: Some(max), least, element: None, kin: Kin::Place })
    }
}
