//! Types of built-in kinds, made of the table of Go's facts; for checks of policies before they run.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::declare::{Decl, ObjectDecl, escape};
use super::kin::Kin;
use super::types::Type;
use crate::messages::{Element, Field, Message, Shape, message};
use crate::shape;

impl Decl {
    /// Of a built-in kind's schema such as `io.k8s.api.apps.v1.Deployment`; `None` for one that is not known.
    pub fn of_kind(schema: &str) -> Option<Arc<Self>> {
        let found = message(schema)?;
        let mut fields = fields(found, &mut vec![found.name]);
        for key in ["apiVersion", "kind"] {
            fields.entry(key.to_owned()).or_insert_with(|| Self::of(Type::Str));
        }
        Some(object(found.name, fields))
    }
}

fn object(name: &str, fields: BTreeMap<String, Arc<Decl>>) -> Arc<Decl> {
    let kind = Type::Object(Arc::new(ObjectDecl { name: name.to_owned(), fields }));
    Arc::new(Decl { kind, max: None, least: 2, element: None, kin: Kin::Place })
}

/// `above`: the messages that this one is part of; one that holds itself is anything.
fn fields(found: &'static Message, above: &mut Vec<&'static str>) -> BTreeMap<String, Arc<Decl>> {
    let mut out = BTreeMap::new();
    for field in &found.fields {
        if field.inline {
            if let Element::Message(name) = field.element
                && let Some(inner) = message(name)
            {
                out.extend(fields(inner, above));
            }
            continue;
        }
        let Some(name) = escape(field.json) else { continue };
        let inner = element(field, above);
        let decl = match field.shape {
            Shape::Single => inner,
            Shape::List => {
                let kind = Type::List(Box::new(inner.kind.clone()));
                Arc::new(Decl { kind, max: None, least: 2, element: Some(inner), kin: Kin::Place })
            }
            Shape::Map => {
                let kind = Type::Map(Box::new(Type::Str), Box::new(inner.kind.clone()));
                Arc::new(Decl { kind, max: None, least: 2, element: Some(inner), kin: Kin::Place })
            }
        };
        out.insert(name, decl);
    }
    out
}

fn element(field: &'static Field, above: &mut Vec<&'static str>) -> Arc<Decl> {
    Decl::of(match field.element {
        Element::String => Type::Str,
        Element::Bool => Type::Bool,
        Element::Integer => Type::Int,
        Element::Float => Type::Double,
        Element::Bytes => Type::Bytes,
        Element::Message(name) => match (name.rsplit('.').next(), message(name)) {
            (Some("Time" | "MicroTime"), _) => Type::Time,
            (Some("Duration"), _) => Type::Duration,
            (Some("Quantity"), _) => Type::Str,
            (_, Some(inner)) if !shape::is_plain(name) && !above.contains(&inner.name) => {
                above.push(inner.name);
                let fields = fields(inner, above);
                above.pop();
                return object(inner.name, fields);
            }
            _ => Type::Dyn,
        },
    })
}
