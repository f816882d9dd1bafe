//! From objects to field sets: what an object says, and what differs between two (structured-merge-diff
//! `typed/tofieldset.go`, `typed/compare.go`). Must not change objects.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::element::{Element, same};
use super::place::{Place, View};
use super::set::{FieldSet, Node};

/// Every field that an object says something about.
pub fn fields_of(place: Place, object: &Value) -> FieldSet {
    node(place, object).below
}

fn node(place: Place, value: &Value) -> Node {
    let mut out = Node::default();
    match (place.view(Some(value)), value) {
        (View::Leaf, _) => out.member = true,
        (View::List(list), Value::Array(items)) => {
            let steps: Vec<Option<Element>> = items.iter().map(|item| list.step(item).ok()).collect();
            for (item, step) in items.iter().zip(&steps) {
                let Some(step) = step else { continue };
                let twice = steps.iter().flatten().filter(|other| *other == step).count() > 1;
                let below = if twice { FieldSet::default() } else { node(list.item(), item).below };
                out.below.put(step.clone(), Node { member: true, below });
            }
        }
        (View::Map, Value::Object(map)) => {
            for (key, value) in map {
                let (place, named) = place.field(key).unwrap_or((Place::Whole, true));
                let mut inner = node(place, value);
                let empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
                inner.member |= empty || !named;
                out.below.put(Element::Field(key.clone()), inner);
            }
        }
        _ => {}
    }
    out
}

/// What differs between two objects. No path is in two of the sets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Only in the first.
    pub removed: FieldSet,
    /// In both, with other values.
    pub modified: FieldSet,
    /// Only in the second.
    pub added: FieldSet,
}

/// Compares two objects.
pub fn compare(place: Place, old: &Value, new: &Value) -> Comparison {
    let mut walk = Walk { path: Vec::new(), out: Comparison::default() };
    walk.compare(place, Some(old), Some(new));
    walk.out
}

fn items(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn fields(value: Option<&Value>) -> Option<&Map<String, Value>> {
    value.and_then(Value::as_object).filter(|map| !map.is_empty())
}

struct Walk {
    path: Vec<Element>,
    out: Comparison,
}

impl Walk {
    fn compare(&mut self, place: Place, old: Option<&Value>, new: Option<&Value>) {
        let (left, right) = (place.view(old.or(new)), place.view(new.or(old)));
        let mut leaf = self.handle(left, place, old, new);
        if std::mem::discriminant(&left) != std::mem::discriminant(&right) {
            leaf |= self.handle(right, place, old, new);
        }
        if !leaf {
            match (old, new) {
                (None, _) => self.out.added.insert(&self.path),
                (_, None) => self.out.removed.insert(&self.path),
                _ => {}
            }
        }
    }

    /// Compares under one view; whether the value was compared as a whole.
    fn handle(&mut self, view: View, place: Place, old: Option<&Value>, new: Option<&Value>) -> bool {
        match view {
            View::Leaf => self.leaf(old, new),
            View::List(list) => {
                let (left, right) = (items(old), items(new));
                if left.is_empty() && right.is_empty() {
                    return self.leaf(old, new);
                }
                self.list(list, left, right);
                false
            }
            View::Map => {
                let (left, right) = (fields(old), fields(new));
                if left.is_none() && right.is_none() {
                    return self.leaf(old, new);
                }
                let mut keys: Vec<&String> = left.into_iter().chain(right).flat_map(|map| map.keys()).collect();
                keys.sort();
                keys.dedup();
                for key in keys {
                    let (inner, _) = place.field(key).unwrap_or((Place::Whole, true));
                    let (a, b) = (left.and_then(|map| map.get(key)), right.and_then(|map| map.get(key)));
                    self.at(Element::Field(key.clone()), |walk| walk.compare(inner, a, b));
                }
                false
            }
        }
    }

    fn leaf(&mut self, old: Option<&Value>, new: Option<&Value>) -> bool {
        match (old, new) {
            (None, _) => self.out.added.insert(&self.path),
            (_, None) => self.out.removed.insert(&self.path),
            (Some(old), Some(new)) if !same(old, new) => self.out.modified.insert(&self.path),
            _ => {}
        }
        true
    }

    fn list(&mut self, list: Place, old: &[Value], new: &[Value]) {
        let mut pairs: BTreeMap<Element, (Vec<&Value>, Vec<&Value>)> = BTreeMap::new();
        for item in old {
            if let Ok(step) = list.step(item) {
                pairs.entry(step).or_default().0.push(item);
            }
        }
        for item in new {
            if let Ok(step) = list.step(item) {
                pairs.entry(step).or_default().1.push(item);
            }
        }
        let place = list.item();
        for (step, (old, new)) in pairs {
            self.at(step, |walk| match (old.len(), new.len()) {
                (0 | 1, 0 | 1) => walk.compare(place, old.first().copied(), new.first().copied()),
                // Items given twice are owned as one.
                (2.., 2..) => {
                    if old.len() != new.len() || old.iter().zip(&new).any(|(a, b)| !same(a, b)) {
                        walk.out.modified.insert(&walk.path);
                    }
                }
                (2.., _) => {
                    if let Some(item) = new.first() {
                        walk.compare(place, None, Some(item));
                    }
                    walk.out.removed.insert(&walk.path);
                }
                _ => {
                    if let Some(item) = old.first() {
                        walk.compare(place, Some(item), None);
                    }
                    walk.out.added.insert(&walk.path);
                }
            });
        }
    }

    fn at(&mut self, step: Element, inside: impl FnOnce(&mut Self)) {
        self.path.push(step);
        inside(self);
        self.path.pop();
    }
}
