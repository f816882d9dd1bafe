//! How a value at some place of an object is owned: whole, item by item, or field by field. Reads the schema; must not
//! look at owners.

use serde_json::Value;

use super::element::{Element, Scalar};
use crate::custom::Structural;
use crate::messages::{self, Field, Message, Shape, message};
use crate::shape;

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// A place in an object and what its schema says of it.
#[derive(Debug, Clone, Copy)]
pub enum Place {
    /// An object of a message.
    Message(&'static Message),
    /// The whole value of a field.
    Field(&'static Field),
    /// One item or entry of a field that is a list or map.
    Element(&'static Field),
    /// A value of a custom kind's schema.
    Custom(&'static Structural),
    /// An object of a custom kind's schema, or one embedded in it: with a type and metadata.
    CustomRoot(&'static Structural),
    /// No schema: objects are owned field by field, all else whole.
    Deduced,
    /// Owned whole.
    Whole,
}

/// How a value is owned.
#[derive(Debug, Clone, Copy)]
pub(super) enum View {
    /// As a whole.
    Leaf,
    /// Item by item.
    List(Place),
    /// Field by field.
    Map,
}

impl Place {
    /// An object of a schema such as `io.k8s.api.core.v1.Service`.
    pub fn of_schema(schema: &str) -> Self {
        message(schema).map_or(Self::Deduced, Self::Message)
    }

    /// How a value here is owned. `None` stands for any value.
    pub(super) fn view(self, value: Option<&Value>) -> View {
        match self {
            Self::Message(message) if message.atomic => View::Leaf,
            Self::Message(_) => View::Map,
            Self::Field(field) => match field.shape {
                Shape::List if matches!(field.list_type(), Some("set" | "map")) => View::List(self),
                Shape::Map if !field.atomic => View::Map,
                Shape::List | Shape::Map => View::Leaf,
                Shape::Single if field.atomic => View::Leaf,
                Shape::Single => Self::Element(field).view(value),
            },
            Self::Element(field) => match inner(field) {
                Some(message) if !message.atomic => View::Map,
                _ => View::Leaf,
            },
            Self::CustomRoot(_) => View::Map,
            Self::Custom(schema) if schema.is_object() => match value {
                _ if schema.atomic_map => View::Leaf,
                None | Some(Value::Null | Value::Object(_)) => View::Map,
                Some(_) => View::Leaf,
            },
            Self::Custom(schema) if matches!(schema.list_type.as_str(), "set" | "map") => View::List(self),
            Self::Custom(_) => View::Leaf,
            // Null may stand for an object.
            Self::Deduced if value.is_none_or(|value| value.is_object() || value.is_null()) => View::Map,
            Self::Deduced | Self::Whole => View::Leaf,
        }
    }

    /// The place of a field below, and whether the schema names that field. `None`: the schema does not know it.
    pub(super) fn field(self, name: &str) -> Option<(Self, bool)> {
        match self {
            Self::Message(message) => match message.field(name) {
                Some(field) => Some((Self::Field(field), true)),
                None if matches!(name, "apiVersion" | "kind") && message.field("metadata").is_some() => {
                    Some((Self::Whole, true))
                }
                None => None,
            },
            Self::Field(field) if field.shape == Shape::Map => Some((Self::Element(field), false)),
            Self::Field(field) | Self::Element(field) => Self::Message(inner(field)?).field(name),
            Self::CustomRoot(schema) => match name {
                "apiVersion" | "kind" => Some((Self::Whole, true)),
                "metadata" => Some((Self::of_schema(OBJECT_META), true)),
                _ => Self::of_custom(schema, name),
            },
            Self::Custom(schema) => Self::of_custom(schema, name),
            Self::Deduced => Some((Self::Deduced, false)),
            Self::Whole => None,
        }
    }

    fn of_custom(schema: &'static Structural, name: &str) -> Option<(Self, bool)> {
        if let Some(inner) = schema.properties.get(name) {
            return Some((Self::custom(inner), true));
        }
        match schema.additional.as_deref() {
            Some(inner) => Some((Self::custom(inner), false)),
            None => schema.preserve.then_some((Self::Deduced, false)),
        }
    }

    fn custom(schema: &'static Structural) -> Self {
        if schema.is_embedded() { Self::CustomRoot(schema) } else { Self::Custom(schema) }
    }

    /// The place of the items of a list.
    pub(super) fn item(self) -> Self {
        match self {
            Self::Field(field) => Self::Element(field),
            Self::Custom(schema) => schema.items.as_deref().map_or(Self::Deduced, Self::custom),
            other => other,
        }
    }

    /// The step that names an item of a list that is owned item by item.
    ///
    /// # Errors
    /// What is wrong with the item, in structured-merge-diff's words.
    pub(super) fn step(self, item: &Value) -> Result<Element, String> {
        let keys = match self {
            Self::Field(field) => field.list_map_keys(),
            Self::Custom(schema) => schema.list_map_keys.iter().map(String::as_str).collect(),
            _ => Vec::new(),
        };
        if keys.is_empty() {
            return match item {
                Value::Object(_) => Err("associative list without keys has an element that's a map type".to_owned()),
                Value::Array(_) => Err("not supported: associative list with lists as elements".to_owned()),
                Value::Null => Err("associative list without keys has an element that's an explicit null".to_owned()),
                other => Ok(Element::Value(Scalar(other.clone()))),
            };
        }
        let fields = match item {
            Value::Object(fields) => fields,
            Value::Null => return Err("associative list with keys may not have a null element".to_owned()),
            _ => return Err("associative list with keys may not have non-map elements".to_owned()),
        };
        let given: Vec<(String, Value)> = keys
            .iter()
            .filter_map(|key| {
                let value = fields.get(*key).cloned().or_else(|| self.item().default(key));
                value.map(|value| ((*key).to_owned(), value))
            })
            .collect();
        if given.is_empty() {
            let names: Vec<String> = keys.iter().map(|key| format!("{key:?}")).collect();
            return Err(format!(
                "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
                names.join(" ")
            ));
        }
        Ok(Element::key(given))
    }

    /// The default that the schema states for a field of an object here.
    fn default(self, name: &str) -> Option<Value> {
        match self.field(name)? {
            (Self::Field(field), true) => serde_json::from_str(field.default_json()?).ok(),
            (Self::Custom(schema), true) => schema.default_value().cloned(),
            _ => None,
        }
    }
}

/// The message of a field's element when it is an object in JSON.
fn inner(field: &Field) -> Option<&'static Message> {
    match field.element {
        messages::Element::Message(name) if !shape::is_plain(name) => message(name),
        _ => None,
    }
}
