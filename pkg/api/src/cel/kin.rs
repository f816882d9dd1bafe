//! Lists whose items belong together by value or by keys (`x-kubernetes-list-type`): equal in any order, added to without
//! repeating (apiserver `pkg/cel/common`, `valuesunstructured.go` and `valuesreflect.go`).

use std::collections::{HashMap, HashSet};
use std::ops::Deref;
use std::sync::Arc;

use super::eval::Error;
use super::value::Val;

/// How the items of a list are told apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Kin {
    /// By their places.
    #[default]
    Place,
    /// By their values: a set.
    Value,
    /// By the fields of these (escaped) names: a map.
    Fields(Arc<[Arc<str>]>),
}

/// The items of a list.
#[derive(Debug, Clone, Default)]
pub struct List {
    /// In order.
    pub items: Vec<Val>,
    /// How they are told apart.
    pub kin: Kin,
}

impl Deref for List {
    type Target = Vec<Val>;

    fn deref(&self) -> &Vec<Val> {
        &self.items
    }
}

impl Kin {
    /// What tells an item apart; places do not.
    ///
    /// # Errors
    /// An item of a set that is a list or a map.
    pub(super) fn key(&self, item: &Val) -> Result<String, Error> {
        match self {
            Self::Fields(names) => {
                let fields = names.iter().map(|name| format!("{:?}", item.field(name)));
                Ok(fields.collect::<Vec<_>>().join("\0"))
            }
            Self::Place | Self::Value => match item {
                Val::List(_) | Val::Map(_) => {
                    Err(Error::failed("listSet operations are only supported on lists of scalar values"))
                }
                scalar => Ok(format!("{scalar:?}")),
            },
        }
    }
}

impl List {
    /// Both lists as one: a set takes what it has not, a map's items give way to those of the same keys.
    pub(super) fn plus(&self, other: &Self) -> Result<Self, Error> {
        let (mut items, kin) = (self.items.clone(), self.kin.clone());
        match kin {
            Kin::Place => items.extend(other.iter().cloned()),
            Kin::Value => {
                let mut known = items.iter().map(|item| kin.key(item)).collect::<Result<HashSet<_>, _>>()?;
                for item in other.iter() {
                    if known.insert(kin.key(item)?) {
                        items.push(item.clone());
                    }
                }
            }
            Kin::Fields(_) => {
                let mut places = HashMap::new();
                for (place, item) in items.iter().enumerate() {
                    places.insert(kin.key(item)?, place);
                }
                for item in other.iter() {
                    match places.get(&kin.key(item)?) {
                        Some(place) => items[*place] = item.clone(),
                        None => items.push(item.clone()),
                    }
                }
            }
        }
        Ok(Self { items, kin })
    }
}
