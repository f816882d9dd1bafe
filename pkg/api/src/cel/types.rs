//! Types of expressions, as the checker compares and prints them (cel-go `common/types`).

use std::fmt;
use std::sync::Arc;

use super::declare::ObjectDecl;

/// What an expression yields.
#[derive(Debug, Clone)]
pub enum Type {
    /// Anything: known only when it runs.
    Dyn,
    /// Only null.
    Null,
    /// `true` or `false`.
    Bool,
    /// 64 bits, signed.
    Int,
    /// 64 bits, unsigned.
    Uint,
    /// A floating number.
    Double,
    /// A text.
    Str,
    /// Octets.
    Bytes,
    /// A moment.
    Time,
    /// A length of time.
    Duration,
    /// A list of one type.
    List(Box<Type>),
    /// A map from one type to another.
    Map(Box<Type>, Box<Type>),
    /// An object with the fields of a schema.
    Object(Arc<ObjectDecl>),
    /// There or not.
    Optional(Box<Type>),
    /// Kubernetes' own, such as `kubernetes.Quantity`.
    Opaque(&'static str),
    /// A type as a value.
    TypeOf(Box<Type>),
    /// A place in a signature that takes any one type.
    Param(char),
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dyn => f.write_str("dyn"),
            Self::Null => f.write_str("null"),
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Uint => f.write_str("uint"),
            Self::Double => f.write_str("double"),
            Self::Str => f.write_str("string"),
            Self::Bytes => f.write_str("bytes"),
            Self::Time => f.write_str("timestamp"),
            Self::Duration => f.write_str("duration"),
            Self::List(inner) => write!(f, "list({inner})"),
            Self::Map(key, value) => write!(f, "map({key}, {value})"),
            Self::Object(decl) => f.write_str(&decl.name),
            Self::Optional(inner) => write!(f, "optional_type({inner})"),
            Self::Opaque(name) => f.write_str(name),
            Self::TypeOf(inner) => write!(f, "type({inner})"),
            Self::Param(name) => write!(f, "{name}"),
        }
    }
}

/// What the places of one signature stand for.
#[derive(Debug, Default, Clone)]
pub(super) struct Bound(Vec<(char, Type)>);

impl Bound {
    fn get(&self, name: char) -> Option<&Type> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, kind)| kind)
    }

    fn set(&mut self, name: char, kind: Type) {
        self.0.retain(|(known, _)| *known != name);
        self.0.push((name, kind));
    }

    /// The type with its places filled in.
    pub(super) fn fill(&self, kind: &Type) -> Type {
        match kind {
            Type::Param(name) => self.get(*name).cloned().unwrap_or(Type::Dyn),
            Type::List(inner) => Type::List(Box::new(self.fill(inner))),
            Type::Map(key, value) => Type::Map(Box::new(self.fill(key)), Box::new(self.fill(value))),
            Type::Optional(inner) => Type::Optional(Box::new(self.fill(inner))),
            Type::TypeOf(inner) => Type::TypeOf(Box::new(self.fill(inner))),
            other => other.clone(),
        }
    }
}

/// Whether a value of type `given` may stand where `wanted` is; notes what places of `wanted` stand for.
pub(super) fn fits(wanted: &Type, given: &Type, bound: &mut Bound) -> bool {
    match (wanted, given) {
        (Type::Param(name), given) => match bound.get(*name).cloned() {
            None => {
                bound.set(*name, given.clone());
                true
            }
            Some(known) => {
                if fits(&known, given, bound) {
                    if matches!(given, Type::Dyn) || is_loose(&known) {
                        bound.set(*name, join(&known, given));
                    }
                    true
                } else if matches!(known, Type::Null) && fits(given, &known, bound) {
                    bound.set(*name, given.clone());
                    true
                } else {
                    false
                }
            }
        },
        (Type::Dyn, _) | (_, Type::Dyn) => true,
        (Type::Null, Type::Null)
        | (Type::Object(_) | Type::Time | Type::Duration | Type::Opaque(_) | Type::Optional(_), Type::Null)
        | (Type::Bool, Type::Bool)
        | (Type::Int, Type::Int)
        | (Type::Uint, Type::Uint)
        | (Type::Double, Type::Double)
        | (Type::Str, Type::Str)
        | (Type::Bytes, Type::Bytes)
        | (Type::Time, Type::Time)
        | (Type::Duration, Type::Duration)
        | (Type::TypeOf(_), Type::TypeOf(_)) => true,
        (Type::List(wanted), Type::List(given)) | (Type::Optional(wanted), Type::Optional(given)) => {
            fits(wanted, given, bound)
        }
        (Type::Map(key, value), Type::Map(given_key, given_value)) => {
            fits(key, given_key, bound) && fits(value, given_value, bound)
        }
        (Type::Object(wanted), Type::Object(given)) => wanted.name == given.name,
        (Type::Opaque(wanted), Type::Opaque(given)) => wanted == given,
        _ => false,
    }
}

/// Whether something inside is not known yet.
fn is_loose(kind: &Type) -> bool {
    match kind {
        Type::Dyn => true,
        Type::List(inner) | Type::Optional(inner) => is_loose(inner),
        Type::Map(key, value) => is_loose(key) || is_loose(value),
        _ => false,
    }
}

/// The type of what may be either: the more certain of two that fit each other, else anything.
pub(super) fn join(a: &Type, b: &Type) -> Type {
    match (a, b) {
        (Type::List(a), Type::List(b)) => Type::List(Box::new(join(a, b))),
        (Type::Optional(a), Type::Optional(b)) => Type::Optional(Box::new(join(a, b))),
        (Type::Map(k, v), Type::Map(l, w)) => Type::Map(Box::new(join(k, l)), Box::new(join(v, w))),
        (Type::Null, other) | (other, Type::Null) => other.clone(),
        (a, b) if !matches!(a, Type::Dyn) && fits(a, b, &mut Bound::default()) && !matches!(b, Type::Dyn) => a.clone(),
        _ => Type::Dyn,
    }
}
