//! Runs checked expressions and counts what they cost, so that each ends (cel-go `interpreter`, `runtimecost.go`).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use regex::Regex;

use super::ast::{Kind, Node, shared};
use super::check::dotted;
use super::kin::{Kin, List};
use super::value::{Key, Val};
use super::{library, operators};

/// Where free names come from.
pub trait Variables {
    /// The value of a variable.
    fn get(&self, name: &str) -> Option<Val>;

    /// The value of `variables.NAME`, an expression of its own; `None` for one that is not there.
    fn composed(&self, _name: &str) -> Option<Result<Val, Error>> {
        None
    }
}

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A function or operator does not take such values.
    NoOverload,
    /// Whatever else, in cel-go's words.
    Failed(String),
    /// It cost more than it may.
    TooDear,
}

impl Error {
    /// With these words.
    pub fn failed(text: impl Into<String>) -> Self {
        Self::Failed(text.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoOverload => f.write_str("no such overload"),
            Self::Failed(text) => f.write_str(text),
            Self::TooDear => f.write_str("operation cancelled: actual cost limit exceeded"),
        }
    }
}

/// One run of one expression.
pub(super) struct Run<'a> {
    variables: &'a dyn Variables,
    pub(super) locals: Vec<(String, Val)>,
    spent: u64,
    limit: u64,
    patterns: HashMap<Arc<str>, Regex>,
}

/// The one variable with a dot in its name.
const REQUEST_RESOURCE: &str = "authorizer.requestResource";

/// Largest pattern, compiled, in bytes.
const PATTERN: usize = 1 << 20;

impl<'a> Run<'a> {
    pub(super) fn new(variables: &'a dyn Variables, limit: u64) -> Self {
        Self { variables, locals: Vec::new(), spent: 0, limit, patterns: HashMap::new() }
    }

    pub(super) fn spent(&self) -> u64 {
        self.spent
    }

    /// Counts what is about to be done.
    pub(super) fn charge(&mut self, cost: u64) -> Result<(), Error> {
        self.spent = self.spent.saturating_add(cost);
        if self.spent > self.limit { Err(Error::TooDear) } else { Ok(()) }
    }

    /// A compiled pattern.
    pub(super) fn pattern(&mut self, text: &Arc<str>) -> Result<Regex, Error> {
        if let Some(known) = self.patterns.get(text) {
            return Ok(known.clone());
        }
        self.charge(text.len() as u64)?;
        let made = regex::RegexBuilder::new(text).size_limit(PATTERN).build();
        let made = made.map_err(|cause| Error::failed(format!("error parsing regexp: {cause}")))?;
        self.patterns.insert(text.clone(), made.clone());
        Ok(made)
    }

    pub(super) fn eval(&mut self, node: &Node) -> Result<Val, Error> {
        match &node.kind {
            Kind::Literal(value) => Ok(value.clone()),
            Kind::Ident(name) => self.ident(name),
            Kind::Select { of, field, optional } => self.select(node, of, field, *optional),
            Kind::Has { of, field } => {
                let of = self.eval(of)?;
                let inner = match &of {
                    Val::Optional(Some(inner)) => (**inner).clone(),
                    Val::Optional(None) => return Ok(Val::Bool(false)),
                    _ => of,
                };
                match &inner {
                    // A field that holds null counts as absent where the schema has fields; maps with null keep it.
                    Val::Map(_) => Ok(Val::Bool(inner.field(field).is_some_and(|value| !matches!(value, Val::Null)))),
                    _ => Err(Error::NoOverload),
                }
            }
            Kind::List(items) => {
                self.charge(10)?;
                let mut out = Vec::with_capacity(items.len());
                for (item, optional) in items {
                    out.extend(self.element(item, *optional)?);
                }
                Ok(Val::list(out))
            }
            Kind::Map(entries) => {
                self.charge(30)?;
                let mut out = BTreeMap::new();
                for (key, value, optional) in entries {
                    let key = self.eval(key)?;
                    let key =
                        key.key().ok_or_else(|| Error::failed(format!("unsupported key type: {}", key.type_name())))?;
                    if let Some(value) = self.element(value, *optional)? {
                        if out.contains_key(&key) {
                            return Err(Error::failed("Failed with repeated key"));
                        }
                        out.insert(key, value);
                    }
                }
                Ok(Val::Map(Arc::new(out)))
            }
            Kind::Struct { fields, .. } => {
                self.charge(40)?;
                let mut out = BTreeMap::new();
                for (name, value, optional) in fields {
                    if let Some(value) = self.element(value, *optional)? {
                        out.insert(Key::Str(shared(name)), value);
                    }
                }
                Ok(Val::Map(Arc::new(out)))
            }
            Kind::Bind { name, value, body } => {
                self.charge(1)?;
                let value = self.eval(value)?;
                self.within(vec![(name.clone(), value)], body)
            }
            Kind::OptMap { of, name, body, flat } => {
                self.charge(3)?;
                match self.eval(of)? {
                    Val::Optional(None) => Ok(Val::NONE),
                    Val::Optional(Some(inner)) => {
                        let value = self.within(vec![(name.clone(), (*inner).clone())], body)?;
                        Ok(if *flat { value } else { value.some() })
                    }
                    _ => Err(Error::NoOverload),
                }
            }
            Kind::Loop(inner) => self.comprehension(inner),
            Kind::Call { name, target, args } => self.call(name, target.as_deref(), args),
        }
    }

    pub(super) fn within(&mut self, names: Vec<(String, Val)>, body: &Node) -> Result<Val, Error> {
        let before = self.locals.len();
        self.locals.extend(names);
        let value = self.eval(body);
        self.locals.truncate(before);
        value
    }

    fn element(&mut self, node: &Node, optional: bool) -> Result<Option<Val>, Error> {
        match (self.eval(node)?, optional) {
            (Val::Optional(inner), true) => Ok(inner.map(|inner| (*inner).clone())),
            (_, true) => Err(Error::NoOverload),
            (value, false) => Ok(Some(value)),
        }
    }

    fn ident(&mut self, name: &str) -> Result<Val, Error> {
        self.charge(1)?;
        if let Some((_, value)) = self.locals.iter().rev().find(|(known, _)| known == name) {
            return Ok(value.clone());
        }
        if let Some(value) = self.variables.get(name) {
            return Ok(value);
        }
        match name {
            "bool" | "int" | "uint" | "double" | "string" | "bytes" | "null_type" | "list" | "map" | "type"
            | "optional_type" => Ok(Val::Type(shared(name))),
            _ => Err(Error::failed(format!("no such attribute(s): {name}"))),
        }
    }

    fn select(&mut self, node: &Node, of: &Node, field: &str, optional: bool) -> Result<Val, Error> {
        if let Kind::Ident(package) = &of.kind
            && !self.locals.iter().any(|(name, _)| name == package)
            && self.variables.get(package).is_none()
        {
            if package == "variables"
                && let Some(value) = self.variables.composed(field)
            {
                self.charge(2)?;
                return value;
            }
            if package == "net" {
                return Ok(Val::Type(shared(&format!("net.{field}"))));
            }
        }
        if let Some(name) = dotted(node).filter(|name| name == REQUEST_RESOURCE)
            && let Some(value) = self.variables.get(&name)
        {
            self.charge(1)?;
            return Ok(value);
        }
        if let Some(name @ ("google.protobuf.Timestamp" | "google.protobuf.Duration")) = dotted(node).as_deref() {
            return Ok(Val::Type(shared(name)));
        }
        let of = self.eval(of)?;
        self.charge(1)?;
        let (inner, was_optional) = match &of {
            Val::Optional(None) => return Ok(Val::NONE),
            Val::Optional(Some(inner)) => (&**inner, true),
            other => (other, false),
        };
        if !matches!(inner, Val::Map(_)) {
            return Err(Error::NoOverload);
        }
        match inner.field(field) {
            Some(value) if was_optional || optional => Ok(value.clone().some()),
            Some(value) => Ok(value.clone()),
            None if was_optional || optional => Ok(Val::NONE),
            None => Err(Error::failed(format!("no such key: {field}"))),
        }
    }

    fn call(&mut self, name: &str, target: Option<&Node>, args: &[Node]) -> Result<Val, Error> {
        match (name, args) {
            ("_&&_", [left, right]) => return self.connect(left, right, false),
            ("_||_", [left, right]) => return self.connect(left, right, true),
            ("_?_:_", [cond, yes, no]) => {
                return match self.eval(cond)? {
                    Val::Bool(true) => self.eval(yes),
                    Val::Bool(false) => self.eval(no),
                    _ => Err(Error::NoOverload),
                };
            }
            ("or" | "orValue", [other]) => {
                if let Some(target) = target {
                    self.charge(1)?;
                    return match (self.eval(target)?, name) {
                        (Val::Optional(None), _) => self.eval(other),
                        (Val::Optional(Some(inner)), "orValue") => Ok((*inner).clone()),
                        (some @ Val::Optional(_), _) => Ok(some),
                        _ => Err(Error::NoOverload),
                    };
                }
            }
            _ => {}
        }
        let mut values = Vec::with_capacity(args.len() + 1);
        if let Some(target) = target {
            values.push(self.eval(target)?);
        }
        for arg in args {
            values.push(self.eval(arg)?);
        }
        match operators::apply(self, name, &values) {
            Some(value) => value,
            None => library::apply(self, name, target.is_some(), &values),
        }
    }

    /// `&&` and `||`: an error counts only where the other side does not decide.
    fn connect(&mut self, left: &Node, right: &Node, decides: bool) -> Result<Val, Error> {
        let first = self.eval(left);
        match &first {
            Ok(Val::Bool(value)) if *value == decides => return first,
            Err(Error::TooDear) => return first,
            _ => {}
        }
        match (first, self.eval(right)) {
            (_, Ok(Val::Bool(value))) if value == decides => Ok(Val::Bool(decides)),
            (_, Err(Error::TooDear)) => Err(Error::TooDear),
            (Ok(Val::Bool(_)), Ok(Val::Bool(value))) => Ok(Val::Bool(value)),
            (Err(error), _) | (_, Err(error)) => Err(error),
            _ => Err(Error::NoOverload),
        }
    }

    /// Equality, paid for by what it looks at.
    pub(super) fn equal(&mut self, a: &Val, b: &Val) -> Result<bool, Error> {
        let mut looked = 0_u64;
        let same = self.same(a, b, &mut looked)?;
        self.charge(looked.div_ceil(10).max(1))?;
        Ok(same)
    }

    fn same(&self, a: &Val, b: &Val, looked: &mut u64) -> Result<bool, Error> {
        *looked += 1;
        if *looked / 10 > self.limit.saturating_sub(self.spent) {
            return Ok(false);
        }
        match (a, b) {
            (Val::List(a), Val::List(b)) => Ok(a.len() == b.len() && self.same_items(a, b, looked)?),
            (Val::Map(a), Val::Map(b)) => {
                if a.len() != b.len() {
                    return Ok(false);
                }
                for (key, a) in a.iter() {
                    let Some(b) = b.get(key) else { return Ok(false) };
                    if !self.same(a, b, looked)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            (Val::Str(a), Val::Str(b)) => {
                *looked += a.len().min(b.len()) as u64;
                Ok(a == b)
            }
            (Val::Optional(Some(a)), Val::Optional(Some(b))) => self.same(a, b, looked),
            _ => Ok(a == b),
        }
    }

    /// Of lists that are of one length: item by item, or in any order where the left one's are told apart by value or keys.
    fn same_items(&self, a: &List, b: &List, looked: &mut u64) -> Result<bool, Error> {
        if a.kin == Kin::Place {
            for (a, b) in a.iter().zip(b.iter()) {
                if !self.same(a, b, looked)? {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        *looked += a.len() as u64;
        let mut known = HashMap::new();
        for item in a.iter() {
            known.insert(a.kin.key(item)?, item);
        }
        let mut seen = HashSet::new();
        for item in b.iter() {
            let key = a.kin.key(item)?;
            match known.get(&key) {
                Some(own) if self.same(own, item, looked)? => seen.insert(key),
                _ => return Ok(false),
            };
        }
        Ok(seen.len() == known.len())
    }
}
