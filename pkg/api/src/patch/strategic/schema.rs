//! What the schema says of a field that a strategic merge patch goes into: how its value merges and what it holds.

use super::Refusal;
use crate::field::quote;
use crate::messages::{Element, Field, Shape, message};

/// What a patch is inside of.
#[derive(Clone, Copy)]
pub(super) enum Schema<'a> {
    /// A message, such as `io.k8s.api.core.v1.PodSpec`.
    Message(&'a str),
    /// A map with free keys, of whose values a patch can merge none.
    Map,
}

/// An object inside of an object.
pub(super) struct Inner {
    pub(super) schema: Schema<'static>,
    /// Taken from the patch as a whole (`patchStrategy:"replace"`).
    pub(super) replaced: bool,
}

/// A list inside of an object.
pub(super) struct List {
    /// Of its items.
    pub(super) schema: Schema<'static>,
    /// Merged with what is there, not put in its place.
    pub(super) merges: bool,
    /// Tells the items apart; `None` for scalars.
    pub(super) key: Option<&'static str>,
}

impl Schema<'_> {
    fn field(self, name: &str) -> Result<&'static Field, Refusal> {
        let Self::Message(schema) = self else {
            let text = "merging an object in json but data type is not struct, instead is: map";
            return Err(Refusal::Plain(text.to_owned()));
        };
        message(schema).and_then(|message| message.field(name)).ok_or_else(|| {
            let kind = schema.rsplit('.').next().unwrap_or(schema);
            Refusal::Plain(format!("unable to find api field in struct {kind} for the json field {}", quote(name)))
        })
    }

    /// What is known of an object in that field.
    pub(super) fn object(self, name: &str) -> Result<Inner, Refusal> {
        let field = self.field(name)?;
        Ok(Inner { schema: held(field), replaced: field.patch_strategy() == Some("replace") })
    }

    /// What is known of a list in that field.
    pub(super) fn list(self, name: &str) -> Result<List, Refusal> {
        let field = self.field(name)?;
        if field.shape != Shape::List && !field.pointer {
            return Err(Refusal::Plain("expected slice or array type, but got: struct".to_owned()));
        }
        let merges = field.patch_strategy().is_some_and(|all| all.split(',').any(|one| one == "merge"));
        Ok(List { schema: held(field), merges, key: field.patch_merge_key() })
    }
}

fn held(field: &'static Field) -> Schema<'static> {
    match (field.shape, field.element) {
        (Shape::Single | Shape::List, Element::Message(name)) => Schema::Message(name),
        _ => Schema::Map,
    }
}
