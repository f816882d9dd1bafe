//! Sets of field paths and their algebra (structured-merge-diff `fieldpath/set.go`), and their form as `fieldsV1`.
//! Must not know schemas or managers.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::element::Element;

/// A set of paths. A path may be in the set without what is above or below it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldSet(BTreeMap<Element, Node>);

/// One step: whether the path that ends here is in the set, and what is below. Never both not and empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Node {
    pub(super) member: bool,
    pub(super) below: FieldSet,
}

impl Node {
    pub(super) fn is_empty(&self) -> bool {
        !self.member && self.below.is_empty()
    }
}

impl FieldSet {
    /// The set of one path of plain field names.
    pub fn of(path: &[&str]) -> Self {
        let mut set = Self::default();
        set.insert(&path.iter().map(|name| Element::Field((*name).to_owned())).collect::<Vec<_>>());
        set
    }

    /// Whether there is no path in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a path; the empty path is no path.
    pub fn insert(&mut self, path: &[Element]) {
        let Some((first, rest)) = path.split_first() else { return };
        let node = self.0.entry(first.clone()).or_default();
        if rest.is_empty() {
            node.member = true;
        } else {
            node.below.insert(rest);
        }
    }

    /// Puts a node under a step unless it is empty.
    pub(super) fn put(&mut self, element: Element, node: Node) {
        if !node.is_empty() {
            self.0.insert(element, node);
        }
    }

    /// Whether a path itself is in the set.
    pub fn has(&self, path: &[Element]) -> bool {
        match path.split_first() {
            None => false,
            Some((first, [])) => self.0.get(first).is_some_and(|node| node.member),
            Some((first, rest)) => self.0.get(first).is_some_and(|node| node.below.has(rest)),
        }
    }

    /// The node under a step.
    pub(super) fn get(&self, element: &Element) -> Option<&Node> {
        self.0.get(element)
    }

    /// Steps and nodes, in order.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (&Element, &Node)> {
        self.0.iter()
    }

    /// Every path, in order.
    pub fn paths(&self) -> Vec<Vec<Element>> {
        fn walk(set: &FieldSet, path: &mut Vec<Element>, out: &mut Vec<Vec<Element>>) {
            for (element, node) in &set.0 {
                path.push(element.clone());
                if node.member {
                    out.push(path.clone());
                }
                walk(&node.below, path, out);
                path.pop();
            }
        }
        let mut out = Vec::new();
        walk(self, &mut Vec::new(), &mut out);
        out
    }

    /// Paths in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut out = self.clone();
        for (element, node) in &other.0 {
            let mine = out.0.entry(element.clone()).or_default();
            mine.member |= node.member;
            mine.below = if mine.below.is_empty() { node.below.clone() } else { mine.below.union(&node.below) };
        }
        out
    }

    /// Paths in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.combine(other, |mine, theirs| {
            let theirs = theirs?;
            let (member, below) = (mine.member && theirs.member, mine.below.intersection(&theirs.below));
            Some(Node { member, below })
        })
    }

    /// Paths of `self` that are not in `other`; what is below a path of `other` stays.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.combine(other, |mine, theirs| {
            let Some(theirs) = theirs else { return Some(mine.clone()) };
            let (member, below) = (mine.member && !theirs.member, mine.below.difference(&theirs.below));
            Some(Node { member, below })
        })
    }

    /// Paths of `self` that are neither in `other` nor below a path of it.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        self.combine(other, |mine, theirs| {
            let Some(theirs) = theirs else { return Some(mine.clone()) };
            if theirs.member {
                return None;
            }
            Some(Node { member: mine.member, below: mine.below.without(&theirs.below) })
        })
    }

    /// Paths whose first step is one of these fields.
    #[must_use]
    pub fn only(&self, fields: &[&str]) -> Self {
        let kept = |element: &Element| matches!(element, Element::Field(name) if fields.contains(&name.as_str()));
        Self(self.0.iter().filter(|(element, _)| kept(element)).map(|(e, n)| (e.clone(), n.clone())).collect())
    }

    fn combine(&self, other: &Self, with: impl Fn(&Node, Option<&Node>) -> Option<Node>) -> Self {
        let nodes = self.0.iter().filter_map(|(element, node)| {
            let node = with(node, other.0.get(element)).filter(|node| !node.is_empty())?;
            Some((element.clone(), node))
        });
        Self(nodes.collect())
    }

    /// The set as `fieldsV1`.
    pub fn to_fields_v1(&self) -> Value {
        let fields = self.0.iter().map(|(element, node)| {
            let mut below = match node.below.to_fields_v1() {
                Value::Object(map) => map,
                _ => Map::new(),
            };
            if node.member && !below.is_empty() {
                below.shift_insert(0, ".".to_owned(), Value::Object(Map::new()));
            }
            (element.serialized(), Value::Object(below))
        });
        Value::Object(fields.collect())
    }

    /// Reads `fieldsV1`.
    ///
    /// # Errors
    /// What is no object of objects, or a key that cannot be read.
    pub fn from_fields_v1(value: &Value) -> Result<Self, String> {
        let Value::Object(map) = value else { return Err(format!("expected an object, got {value}")) };
        let mut set = Self::default();
        for (key, value) in map.iter().filter(|(key, _)| *key != ".") {
            let Some(element) = Element::parse(key)? else { continue };
            let below = Self::from_fields_v1(value)?;
            let member = below.is_empty() || value.get(".").is_some();
            set.0.insert(element, Node { member, below });
        }
        Ok(set)
    }
}
