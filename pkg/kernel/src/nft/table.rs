//! A table as one value: chains, rules, sets, maps and their elements. Plain data; equality is meaning.

use std::{collections::BTreeMap, time::Duration};

use super::{
    statement::Statement,
    value::{Data, Key, Type},
};

/// A table's address family.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Family {
    /// IPv4 and IPv6.
    Inet,
    /// IPv4.
    Ip,
}

impl Family {
    /// nft's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inet => "inet",
            Self::Ip => "ip",
        }
    }
}

/// What a base chain does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ChainKind {
    /// Filters.
    Filter,
    /// Translates addresses of a connection's first packet.
    Nat,
}

/// Where a base chain sees packets.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Hook {
    /// Before routing.
    Prerouting,
    /// To a local socket.
    Input,
    /// From one link to another.
    Forward,
    /// From a local socket.
    Output,
    /// After routing.
    Postrouting,
}

/// A base chain's place in the packet's way.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Base {
    /// What the chain does.
    pub kind: ChainKind,
    /// Where.
    pub hook: Hook,
    /// When, among the hook's chains; lower is earlier (filter is 0, dstnat -100, srcnat 100).
    pub priority: i32,
}

/// Statements in order; the first that fails ends the rule.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Rule {
    /// The statements.
    pub statements: Vec<Statement>,
    /// What a reader of `nft list ruleset` sees beside it, at most 126 bytes.
    pub comment: Option<String>,
}

impl Rule {
    /// A rule without a comment.
    pub fn new(statements: impl Into<Vec<Statement>>) -> Self {
        Self { statements: statements.into(), comment: None }
    }

    /// The rule with a comment.
    #[must_use]
    pub fn comment(mut self, text: impl Into<String>) -> Self {
        self.comment = Some(text.into());
        self
    }
}

/// A chain: rules, and for base chains a hook. A base chain's policy is accept.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Chain {
    /// The hook; `None` for chains that others jump to.
    pub base: Option<Base>,
    /// The rules in order.
    pub rules: Vec<Rule>,
}

/// What a map answers with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DataType {
    /// Values of these types.
    Values(Vec<Type>),
    /// A verdict.
    Verdict,
}

/// An element's other half.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Element {
    /// The interval's last key, in sets of intervals; the same as the key for a single one.
    pub end: Option<Key>,
    /// A map's answer.
    pub data: Option<Data>,
    /// How long it lives.
    pub timeout: Option<Duration>,
    /// What a reader sees beside it, at most 126 bytes.
    pub comment: Option<String>,
}

impl Element {
    /// A map's element.
    pub fn data(data: Data) -> Self {
        Self { data: Some(data), ..Self::default() }
    }
}

/// A set, or a map when it has data.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Set {
    /// The key's fields.
    pub key: Vec<Type>,
    /// What it answers with; `None` for a plain set.
    pub data: Option<DataType>,
    /// Rules may add elements; such a set keeps its own elements out of comparisons.
    pub dynamic: bool,
    /// Elements have a time to live.
    pub timeout: bool,
    /// Keys are intervals in their last field.
    pub interval: bool,
    /// Every element counts the packets that were looked up.
    pub counter: bool,
    /// The most elements it holds; needed for dynamic sets.
    pub size: Option<u32>,
    /// What a reader sees beside it, at most 126 bytes.
    pub comment: Option<String>,
    /// The elements by key.
    pub elements: BTreeMap<Key, Element>,
}

impl Set {
    /// An empty plain set.
    pub fn new(key: impl Into<Vec<Type>>) -> Self {
        Self {
            key: key.into(),
            data: None,
            dynamic: false,
            timeout: false,
            interval: false,
            counter: false,
            size: None,
            comment: None,
            elements: BTreeMap::new(),
        }
    }

    /// An empty map to values.
    pub fn map(key: impl Into<Vec<Type>>, data: impl Into<Vec<Type>>) -> Self {
        Self { data: Some(DataType::Values(data.into())), ..Self::new(key) }
    }

    /// An empty map to verdicts.
    pub fn verdict_map(key: impl Into<Vec<Type>>) -> Self {
        Self { data: Some(DataType::Verdict), ..Self::new(key) }
    }

    /// The set with a comment.
    #[must_use]
    pub fn comment(mut self, text: impl Into<String>) -> Self {
        self.comment = Some(text.into());
        self
    }
}

/// A table with all that is in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table {
    /// Its address family.
    pub family: Family,
    /// Its name.
    pub name: String,
    /// The sets and maps by name.
    pub sets: BTreeMap<String, Set>,
    /// The chains by name.
    pub chains: BTreeMap<String, Chain>,
}

impl Table {
    /// An empty table.
    pub fn new(family: Family, name: impl Into<String>) -> Self {
        Self { family, name: name.into(), sets: BTreeMap::new(), chains: BTreeMap::new() }
    }
}
