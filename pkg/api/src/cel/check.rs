//! Types of expressions, checked before they run, with cel-go's complaints (`checker`).

use super::Scope;
use super::ast::{Form, Kind, Loop, Node, complaint};
use super::signatures;
use super::types::{Bound, Type, fits, join};
use super::value::Val;

/// What an expression yields.
///
/// # Errors
/// Everything wrong with it, one complaint after another.
pub(super) fn check(root: &Node, scope: &Scope, source: &str) -> Result<Type, String> {
    let mut checker = Checker { scope, source, locals: Vec::new(), complaints: Vec::new() };
    let kind = checker.node(root);
    if checker.complaints.is_empty() { Ok(kind) } else { Err(checker.complaints.join("\n")) }
}

struct Checker<'a> {
    scope: &'a Scope,
    source: &'a str,
    locals: Vec<(String, Type)>,
    complaints: Vec<String>,
}

impl Checker<'_> {
    /// Notes a complaint; the place is of any type from then on.
    fn complain(&mut self, at: usize, message: &str) -> Type {
        self.complaints.push(complaint(self.source, at, message));
        Type::Dyn
    }

    fn node(&mut self, node: &Node) -> Type {
        match &node.kind {
            Kind::Literal(value) => literal(value),
            Kind::Ident(name) => self.ident(node, name),
            Kind::Select { of, field, optional } => self.select(node, of, field, *optional),
            Kind::Has { of, field } => {
                let of = self.node(of);
                self.field(node.at, &of, field);
                Type::Bool
            }
            Kind::Call { name, target, args } => self.call(node, name, target.as_deref(), args),
            Kind::List(items) => {
                let mut inner = None;
                for (item, optional) in items {
                    let kind = self.element(item, *optional);
                    inner = Some(self.same(item.at, inner, kind));
                }
                Type::List(Box::new(inner.unwrap_or(Type::Dyn)))
            }
            Kind::Map(entries) => {
                let (mut keys, mut values) = (None, None);
                for (key, value, optional) in entries {
                    let kind = self.node(key);
                    keys = Some(self.same(key.at, keys, kind));
                    let kind = self.element(value, *optional);
                    values = Some(self.same(value.at, values, kind));
                }
                Type::Map(Box::new(keys.unwrap_or(Type::Dyn)), Box::new(values.unwrap_or(Type::Dyn)))
            }
            Kind::Struct { name, fields } => {
                let known = name == "JSONPatch" || name == "Object" || name.starts_with("Object.");
                if !known || !self.scope.builds_objects {
                    return self.complain(node.at, &format!("undeclared reference to '{name}' (in container '')"));
                }
                for (field, value, _) in fields {
                    let kind = self.node(value);
                    if name == "JSONPatch" {
                        match field.as_str() {
                            "op" | "path" | "from" if !fits(&Type::Str, &kind, &mut Bound::default()) => {
                                let message = format!(
                                    "expected type of field '{field}' is 'string' but provided type is '{kind}'"
                                );
                                self.complain(value.at, &message);
                            }
                            "op" | "path" | "from" | "value" => {}
                            other => {
                                self.complain(value.at, &format!("undefined field '{other}'"));
                            }
                        }
                    }
                }
                Type::Opaque(if name == "JSONPatch" { "JSONPatch" } else { "Object" })
            }
            Kind::Loop(inner) => self.comprehension(inner),
            Kind::Bind { name, value, body } => {
                let value = self.node(value);
                self.within(&[(name, value)], body)
            }
            Kind::OptMap { of, name, body, flat } => {
                let inner = match self.node(of) {
                    Type::Optional(inner) => *inner,
                    Type::Dyn => Type::Dyn,
                    other => {
                        let macro_ = if *flat { "optFlatMap" } else { "optMap" };
                        self.complain(
                            node.at,
                            &format!("found no matching overload for '{macro_}' applied to '{other}'"),
                        )
                    }
                };
                let body = self.within(&[(name, inner)], body);
                if *flat { body } else { Type::Optional(Box::new(body)) }
            }
        }
    }

    /// The type of an element that may be optional.
    fn element(&mut self, node: &Node, optional: bool) -> Type {
        match (self.node(node), optional) {
            (Type::Optional(inner), true) => *inner,
            (Type::Dyn, true) => Type::Dyn,
            (other, true) => self.complain(node.at, &format!("expected type 'optional_type' but found '{other}'")),
            (other, false) => other,
        }
    }

    /// Elements of one list are of one type.
    fn same(&mut self, at: usize, known: Option<Type>, kind: Type) -> Type {
        match known {
            None => kind,
            Some(known) => {
                let either = fits(&known, &kind, &mut Bound::default()) || fits(&kind, &known, &mut Bound::default());
                if !either {
                    return self.complain(at, &format!("expected type '{known}' but found '{kind}'"));
                }
                join(&known, &kind)
            }
        }
    }

    fn within(&mut self, names: &[(&String, Type)], body: &Node) -> Type {
        let before = self.locals.len();
        self.locals.extend(names.iter().map(|(name, kind)| ((*name).clone(), kind.clone())));
        let kind = self.node(body);
        self.locals.truncate(before);
        kind
    }

    fn ident(&mut self, node: &Node, name: &str) -> Type {
        if let Some((_, kind)) = self.locals.iter().rev().find(|(known, _)| known == name) {
            return kind.clone();
        }
        if let Some(decl) = self.scope.find(name) {
            return decl.kind.clone();
        }
        if name == "variables" && self.scope.has_composed {
            return Type::Opaque("variables");
        }
        let named = match name {
            "bool" => Type::Bool,
            "int" => Type::Int,
            "uint" => Type::Uint,
            "double" => Type::Double,
            "string" => Type::Str,
            "bytes" => Type::Bytes,
            "null_type" => Type::Null,
            "list" => Type::List(Box::new(Type::Dyn)),
            "map" => Type::Map(Box::new(Type::Dyn), Box::new(Type::Dyn)),
            "type" | "optional_type" => Type::Dyn,
            _ => return self.complain(node.at, &format!("undeclared reference to '{name}' (in container '')")),
        };
        Type::TypeOf(Box::new(named))
    }

    fn select(&mut self, node: &Node, of: &Node, field: &str, optional: bool) -> Type {
        if let Kind::Ident(package) = &of.kind
            && self.scope.find(package).is_none()
            && !self.locals.iter().any(|(name, _)| name == package)
        {
            match (package.as_str(), field) {
                ("variables", field) if self.scope.has_composed => {
                    let found = self.scope.composed.iter().rev().find(|(name, _)| name == field);
                    return match found {
                        Some((_, kind)) => kind.clone(),
                        None => self.complain(node.at, &format!("undefined field '{field}'")),
                    };
                }
                ("net", "IP" | "CIDR") => return Type::TypeOf(Box::new(Type::Dyn)),
                _ => {}
            }
        }
        if let Some(decl) = dotted(node).and_then(|name| self.scope.find(&name)) {
            return decl.kind.clone();
        }
        if let Some("google.protobuf.Timestamp" | "google.protobuf.Duration") = dotted(node).as_deref() {
            return Type::TypeOf(Box::new(Type::Dyn));
        }
        let of = self.node(of);
        let (inner, was_optional) = match of {
            Type::Optional(inner) => (*inner, true),
            other => (other, false),
        };
        let kind = self.field(node.at, &inner, field);
        match kind {
            Type::Optional(_) if was_optional || optional => kind,
            kind if was_optional || optional => Type::Optional(Box::new(kind)),
            kind => kind,
        }
    }

    /// The type of a field of something.
    fn field(&mut self, at: usize, of: &Type, field: &str) -> Type {
        match of {
            Type::Dyn => Type::Dyn,
            Type::Map(_, value) => (**value).clone(),
            Type::Object(object) => match object.fields.get(field) {
                Some(decl) => decl.kind.clone(),
                None => self.complain(at, &format!("undefined field '{field}'")),
            },
            Type::Optional(inner) => self.field(at, inner, field),
            Type::Opaque("Object") => Type::Dyn,
            other => self.complain(at, &format!("type '{other}' does not support field selection")),
        }
    }

    fn call(&mut self, node: &Node, name: &str, target: Option<&Node>, args: &[Node]) -> Type {
        let mut given: Vec<Type> = Vec::new();
        given.extend(target.map(|target| self.node(target)));
        for arg in args {
            given.push(match &arg.kind {
                // What is written out may be of many types.
                Kind::List(items) if name == "format" && target.is_some() => {
                    items.iter().for_each(|(item, optional)| drop(self.element(item, *optional)));
                    Type::List(Box::new(Type::Dyn))
                }
                _ => self.node(arg),
            });
        }
        let Some(signatures) = signatures::of(name) else {
            return self.complain(node.at, &format!("undeclared reference to '{name}' (in container '')"));
        };
        let mut yields: Option<Type> = None;
        for signature in signatures {
            if signature.member != target.is_some() || signature.takes.len() != given.len() {
                continue;
            }
            let mut bound = Bound::default();
            // Places that a later argument makes more certain are seen on a second look.
            let fit = signature.takes.iter().zip(&given).all(|(wanted, given)| fits(wanted, given, &mut bound));
            if fit {
                let kind = bound.fill(&signature.yields);
                yields = Some(match yields {
                    None => kind,
                    Some(known) if known.to_string() == kind.to_string() => known,
                    Some(_) => Type::Dyn,
                });
            }
        }
        yields.unwrap_or_else(|| {
            let words: Vec<String> = given.iter().map(ToString::to_string).collect();
            let shown = match target {
                Some(_) => format!("{}.({})", words[0], words[1..].join(", ")),
                None => format!("({})", words.join(", ")),
            };
            self.complain(node.at, &format!("found no matching overload for '{name}' applied to '{shown}'"))
        })
    }

    fn comprehension(&mut self, inner: &Loop) -> Type {
        let range = self.node(&inner.range);
        let (first, second) = match (&range, inner.second.is_some()) {
            (Type::List(item), false) => ((**item).clone(), Type::Dyn),
            (Type::List(item), true) => (Type::Int, (**item).clone()),
            (Type::Map(key, value), _) => ((**key).clone(), (**value).clone()),
            (Type::Dyn, _) => (Type::Dyn, Type::Dyn),
            (other, _) => {
                let message = format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                (self.complain(inner.range.at, &message), Type::Dyn)
            }
        };
        let mut names = vec![(&inner.first, first.clone())];
        names.extend(inner.second.as_ref().map(|name| (name, second)));
        if let Some(filter) = &inner.filter {
            let kind = self.within(&names, filter);
            self.must_be_bool(filter, &kind);
        }
        let body = self.within(&names, &inner.body);
        match inner.form {
            Form::All | Form::Exists | Form::ExistsOne | Form::Filter => {
                self.must_be_bool(&inner.body, &body);
                match inner.form {
                    Form::Filter => Type::List(Box::new(first)),
                    _ => Type::Bool,
                }
            }
            Form::Map => Type::List(Box::new(body)),
            Form::SortBy => Type::List(Box::new(first)),
            Form::TransformMap => Type::Map(Box::new(first), Box::new(body)),
            Form::TransformEntry => match body {
                Type::Map(..) => body,
                _ => Type::Map(Box::new(Type::Dyn), Box::new(Type::Dyn)),
            },
        }
    }

    fn must_be_bool(&mut self, node: &Node, kind: &Type) {
        if !fits(&Type::Bool, kind, &mut Bound::default()) {
            self.complain(node.at, &format!("found no matching overload for '_&&_' applied to '(bool, {kind})'"));
        }
    }
}

/// `a.b.c` as text, when it is nothing but names.
pub(super) fn dotted(node: &Node) -> Option<String> {
    match &node.kind {
        Kind::Ident(name) => Some(name.clone()),
        Kind::Select { of, field, optional: false } => Some(format!("{}.{field}", dotted(of)?)),
        _ => None,
    }
}

fn literal(value: &Val) -> Type {
    match value {
        Val::Null => Type::Null,
        Val::Bool(_) => Type::Bool,
        Val::Int(_) => Type::Int,
        Val::Uint(_) => Type::Uint,
        Val::Double(_) => Type::Double,
        Val::Bytes(_) => Type::Bytes,
        _ => Type::Str,
    }
}
