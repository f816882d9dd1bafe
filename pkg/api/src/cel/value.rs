//! Values of expressions: equality and order across kinds of numbers, names of types, Kubernetes' own kinds.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;

use super::kin::{Kin, List};
use super::library::semver::Semver;
use super::library::url::Url;
use crate::quantity::Amount;

/// A key of a map.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// `true` or `false`.
    Bool(bool),
    /// Signed and unsigned numbers that are equal are one key.
    Int(i128),
    /// A text.
    Str(Arc<str>),
}

/// A value.
#[derive(Debug, Clone)]
pub enum Val {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// Signed.
    Int(i64),
    /// Unsigned.
    Uint(u64),
    /// Floating.
    Double(f64),
    /// A text.
    Str(Arc<str>),
    /// Octets.
    Bytes(Arc<[u8]>),
    /// A moment.
    Time(Timestamp),
    /// Nanoseconds.
    Duration(i64),
    /// A list.
    List(Arc<List>),
    /// A map or an object.
    Map(Arc<BTreeMap<Key, Val>>),
    /// There or not.
    Optional(Option<Arc<Val>>),
    /// A type, by name.
    Type(Arc<str>),
    /// `quantity("1Gi")`.
    Quantity(Amount),
    /// `ip("10.0.0.1")`.
    Ip(IpAddr),
    /// `cidr("10.0.0.0/8")`.
    Cidr(IpNet),
    /// `url("https://x")`.
    Url(Arc<Url>),
    /// `semver("1.2.3")`.
    Semver(Arc<Semver>),
    /// `format.dns1123Label()`.
    Format(&'static str),
    /// `authorizer` and what is asked of it.
    Authorizer(Arc<dyn Authorizer>, Arc<Question>),
    /// The answer to a check: allowed, reason.
    Decision(bool, Arc<str>),
}

/// Who knows what users may do.
pub trait Authorizer: fmt::Debug + Send + Sync {
    /// Whether it is allowed, and why.
    fn decide(&self, question: &Question) -> (bool, String);
}

/// What an expression asks an authorizer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Question {
    /// A path that is no resource.
    pub path: Option<String>,
    /// API group.
    pub group: String,
    /// Plural.
    pub resource: String,
    /// Subresource or empty.
    pub subresource: String,
    /// Namespace or empty.
    pub namespace: String,
    /// Name or empty.
    pub name: String,
    /// What to do.
    pub verb: String,
    /// Another user than the one who asks: `namespace:name` of a service account.
    pub account: Option<(String, String)>,
}

impl Val {
    /// A text.
    pub fn text(text: impl AsRef<str>) -> Self {
        Self::Str(Arc::from(text.as_ref()))
    }

    /// A list.
    pub fn list(items: Vec<Self>) -> Self {
        Self::List(Arc::new(List { items, kin: Kin::Place }))
    }

    /// Nothing there, as an optional.
    pub const NONE: Self = Self::Optional(None);

    /// Something there, as an optional.
    pub fn some(self) -> Self {
        Self::Optional(Some(Arc::new(self)))
    }

    /// A map's or object's field.
    pub fn field(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Map(map) => map.get(&Key::Str(Arc::from(name))),
            _ => None,
        }
    }

    /// The name of its type, as `type()` and messages have it.
    pub fn type_name(&self) -> &str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::Str(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::Time(_) => "google.protobuf.Timestamp",
            Self::Duration(_) => "google.protobuf.Duration",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Optional(_) => "optional_type",
            Self::Type(_) => "type",
            Self::Quantity(_) => "kubernetes.Quantity",
            Self::Ip(_) => "net.IP",
            Self::Cidr(_) => "net.CIDR",
            Self::Url(_) => "kubernetes.URL",
            Self::Semver(_) => "kubernetes.Semver",
            Self::Format(_) => "kubernetes.NamedFormat",
            Self::Authorizer(..) => "kubernetes.authorization.Authorizer",
            Self::Decision(..) => "kubernetes.authorization.Decision",
        }
    }

    /// Whether `optional.ofNonZeroValue` takes it for nothing.
    pub(super) fn is_zero(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Bool(value) => !value,
            Self::Int(value) => *value == 0,
            Self::Uint(value) => *value == 0,
            Self::Double(value) => *value == 0.0,
            Self::Str(value) => value.is_empty(),
            Self::Bytes(value) => value.is_empty(),
            Self::List(items) => items.is_empty(),
            Self::Map(map) => map.is_empty(),
            Self::Duration(nanos) => *nanos == 0,
            Self::Optional(value) => value.is_none(),
            _ => false,
        }
    }

    /// Elements, characters or entries; 1 for what has none.
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Str(text) => text.chars().count() as u64,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::List(items) => items.len() as u64,
            Self::Map(map) => map.len() as u64,
            _ => 1,
        }
    }

    /// As a key of a map, if it may be one.
    pub(super) fn key(&self) -> Option<Key> {
        match self {
            Self::Bool(value) => Some(Key::Bool(*value)),
            Self::Int(value) => Some(Key::Int(i128::from(*value))),
            Self::Uint(value) => Some(Key::Int(i128::from(*value))),
            Self::Double(value) if value.fract() == 0.0 && value.abs() < 9e15 => Some(Key::Int(*value as i128)),
            Self::Str(text) => Some(Key::Str(text.clone())),
            _ => None,
        }
    }

    /// Order, where there is one between two values.
    pub(super) fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(b)),
            (Self::Uint(a), Self::Uint(b)) => Some(a.cmp(b)),
            (Self::Int(a), Self::Uint(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
            (Self::Uint(a), Self::Int(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
            (Self::Double(a), Self::Double(b)) => a.partial_cmp(b),
            (Self::Double(a), Self::Int(b)) => a.partial_cmp(&(*b as f64)),
            (Self::Double(a), Self::Uint(b)) => a.partial_cmp(&(*b as f64)),
            (Self::Int(a), Self::Double(b)) => (*a as f64).partial_cmp(b),
            (Self::Uint(a), Self::Double(b)) => (*a as f64).partial_cmp(b),
            (Self::Str(a), Self::Str(b)) => Some(a.cmp(b)),
            (Self::Bytes(a), Self::Bytes(b)) => Some(a.cmp(b)),
            (Self::Time(a), Self::Time(b)) => Some(a.cmp(b)),
            (Self::Duration(a), Self::Duration(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }
}

impl From<&Key> for Val {
    fn from(key: &Key) -> Self {
        match key {
            Key::Bool(value) => Self::Bool(*value),
            Key::Int(value) => {
                i64::try_from(*value).map_or_else(|_| Self::Uint(u64::try_from(*value).unwrap_or(0)), Self::Int)
            }
            Key::Str(text) => Self::Str(text.clone()),
        }
    }
}

/// Equality as the language has it: numbers by value, whatever else by kind and content.
impl PartialEq for Val {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::List(a), Self::List(b)) => a.items == b.items,
            (Self::Map(a), Self::Map(b)) => a == b,
            (Self::Optional(a), Self::Optional(b)) => a == b,
            (Self::Type(a), Self::Type(b)) => a == b,
            (Self::Quantity(a), Self::Quantity(b)) => a == b,
            (Self::Ip(a), Self::Ip(b)) => a == b,
            (Self::Cidr(a), Self::Cidr(b)) => a == b,
            (Self::Url(a), Self::Url(b)) => a.text == b.text,
            (Self::Semver(a), Self::Semver(b)) => a.cmp(b) == Ordering::Equal,
            (Self::Format(a), Self::Format(b)) => a == b,
            (Self::Decision(a, x), Self::Decision(b, y)) => a == b && x == y,
            _ => self.order(other) == Some(Ordering::Equal),
        }
    }
}
