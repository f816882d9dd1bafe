//! What an expression may cost at most, estimated before it is taken (cel-go `checker/cost.go`, apiserver
//! `pkg/cel/library/cost.go`). Sizes that no schema bounds are those of the largest request.

use std::sync::Arc;

use super::Scope;
use super::ast::{Form, Kind, Loop, Node};
use super::declare::{Decl, REQUEST};
use super::kin::Kin;
use super::types::Type;
use super::value::Val;

/// Upper estimate.
pub(super) fn estimate(root: &Node, scope: &Scope) -> u64 {
    Estimator { scope, locals: Vec::new() }.node(root).cost
}

/// What one place costs and yields.
struct Part {
    cost: u64,
    /// Most elements or characters.
    size: Option<u64>,
    decl: Option<Arc<Decl>>,
}

impl Part {
    fn plain(cost: u64) -> Self {
        Self { cost, size: None, decl: None }
    }

    /// Its size where one must be had: scalars have 1, what is unknown the largest.
    fn extent(&self) -> u64 {
        self.size.unwrap_or(match self.decl.as_deref().map(|decl| &decl.kind) {
            Some(Type::Bool | Type::Int | Type::Uint | Type::Double | Type::Null | Type::Object(_)) => 1,
            _ => REQUEST,
        })
    }
}

/// A tenth of a size, at least 1: what going through a text costs.
pub(super) fn tenth(size: u64) -> u64 {
    size.div_ceil(10).max(1)
}

struct Estimator<'a> {
    scope: &'a Scope,
    locals: Vec<(String, Option<Arc<Decl>>)>,
}

impl Estimator<'_> {
    fn node(&mut self, node: &Node) -> Part {
        match &node.kind {
            Kind::Literal(Val::Str(text)) => Part { cost: 0, size: Some(text.chars().count() as u64), decl: None },
            Kind::Literal(_) => Part { cost: 0, size: Some(1), decl: None },
            Kind::Ident(name) => {
                let local = self.locals.iter().rev().find(|(known, _)| known == name).map(|(_, decl)| decl.clone());
                let decl = local.unwrap_or_else(|| self.scope.find(name).cloned());
                Part { cost: 1, size: decl.as_ref().and_then(|decl| decl.max), decl }
            }
            Kind::Select { of, field, .. } => {
                let of = self.node(of);
                let decl = of.decl.as_ref().and_then(|decl| match &decl.kind {
                    Type::Object(object) => object.fields.get(field).cloned(),
                    Type::Map(..) => decl.element.clone(),
                    Type::Optional(inner) => match &**inner {
                        Type::Object(object) => object.fields.get(field).cloned(),
                        _ => decl.element.clone(),
                    },
                    _ => None,
                });
                Part { cost: of.cost.saturating_add(1), size: decl.as_ref().and_then(|decl| decl.max), decl }
            }
            Kind::Has { of, .. } => Part { size: Some(1), ..Part::plain(self.node(of).cost) },
            Kind::List(items) => {
                let cost = items.iter().fold(10, |sum: u64, (item, _)| sum.saturating_add(self.node(item).cost));
                Part { cost, size: Some(items.len() as u64), decl: None }
            }
            Kind::Map(entries) => {
                let cost = entries.iter().fold(30, |sum: u64, (key, value, _)| {
                    sum.saturating_add(self.node(key).cost).saturating_add(self.node(value).cost)
                });
                Part { cost, size: Some(entries.len() as u64), decl: None }
            }
            Kind::Struct { fields, .. } => {
                Part::plain(fields.iter().fold(40, |sum: u64, (_, value, _)| sum.saturating_add(self.node(value).cost)))
            }
            Kind::Bind { name, value, body } => {
                let value = self.node(value);
                let body = self.within(vec![(name.clone(), value.decl)], body);
                Part { cost: body.cost.saturating_add(value.cost).saturating_add(1), ..body }
            }
            Kind::OptMap { of, name, body, .. } => {
                let of = self.node(of);
                let body = self.within(vec![(name.clone(), of.decl)], body);
                Part { cost: body.cost.saturating_add(of.cost).saturating_add(3), ..body }
            }
            Kind::Loop(inner) => self.comprehension(inner),
            Kind::Call { name, target, args } => {
                let parts: Vec<Part> = target.as_deref().into_iter().chain(args).map(|arg| self.node(arg)).collect();
                call(name, &parts)
            }
        }
    }

    fn within(&mut self, names: Vec<(String, Option<Arc<Decl>>)>, body: &Node) -> Part {
        let before = self.locals.len();
        self.locals.extend(names);
        let part = self.node(body);
        self.locals.truncate(before);
        part
    }

    fn comprehension(&mut self, inner: &Loop) -> Part {
        let range = self.node(&inner.range);
        let element = range.decl.as_ref().and_then(|decl| decl.element.clone());
        let keyed = range.decl.as_ref().is_some_and(|decl| matches!(decl.kind, Type::Map(..)));
        let text =
            || Some(Arc::new(Decl { kind: Type::Str, max: Some(REQUEST), least: 2, element: None, kin: Kin::Place }));
        let first = match (keyed, inner.second.is_some()) {
            (true, _) => text(),
            (false, true) => Some(Decl::of(Type::Int)),
            (false, false) => element.clone(),
        };
        let mut names = vec![(inner.first.clone(), first)];
        names.extend(inner.second.iter().map(|name| (name.clone(), element.clone())));
        let filter = inner.filter.as_ref().map_or(0, |node| self.within(names.clone(), node).cost);
        let body = self.within(names, &inner.body);
        let each = body.cost.saturating_add(filter).saturating_add(overhead(inner.form));
        let size = range.extent();
        let cost = size.saturating_mul(each).saturating_add(range.cost).saturating_add(1);
        match inner.form {
            Form::All | Form::Exists | Form::ExistsOne => Part { cost, size: Some(1), decl: None },
            Form::Filter | Form::SortBy => Part { cost, size: Some(size), decl: range.decl },
            _ => {
                let kind = body.decl.as_ref().map_or(Type::Dyn, |decl| decl.kind.clone());
                let decl = Decl {
                    kind: Type::List(Box::new(kind)),
                    max: Some(size),
                    least: 2,
                    element: body.decl,
                    kin: Kin::Place,
                };
                Part { cost, size: Some(size), decl: Some(Arc::new(decl)) }
            }
        }
    }
}

/// What a comprehension costs for each element beside its body: the steps that cel-go's macros write out.
pub(super) fn overhead(form: Form) -> u64 {
    match form {
        Form::All | Form::Exists => 3,
        Form::ExistsOne => 2,
        Form::Map => 12,
        Form::Filter => 13,
        Form::SortBy => 20,
        Form::TransformMap | Form::TransformEntry => 32,
    }
}

fn call(name: &str, parts: &[Part]) -> Part {
    let sum = parts.iter().fold(0_u64, |sum, part| sum.saturating_add(part.cost));
    let size = |index: usize| parts.get(index).map_or(1, Part::extent);
    let plain = |more: u64| Part { cost: sum.saturating_add(more), size: Some(1), decl: None };
    let sized = |more: u64, size: u64| Part { cost: sum.saturating_add(more), size: Some(size), decl: None };
    match name {
        "_&&_" | "_||_" => plain(0),
        "_?_:_" => {
            let [cond, yes, no] = parts else { return plain(1) };
            let size = yes.size.zip(no.size).map(|(a, b)| a.max(b));
            Part {
                cost: cond.cost.saturating_add(yes.cost.max(no.cost)),
                size,
                decl: yes.decl.clone().or(no.decl.clone()),
            }
        }
        "_==_" | "_!=_" | "_<_" | "_<=_" | "_>_" | "_>=_" => plain(tenth(size(0).min(size(1)))),
        "_+_" => {
            let both = parts.iter().try_fold(0_u64, |sum, part| part.size.map(|size| sum.saturating_add(size)));
            let list = parts.iter().any(|part| matches!(part.decl.as_deref().map(|d| &d.kind), Some(Type::List(_))));
            let text =
                parts.iter().any(|part| matches!(part.decl.as_deref().map(|d| &d.kind), Some(Type::Str | Type::Bytes)));
            let cost = if text && !list { tenth(both.unwrap_or(REQUEST)) } else { 1 };
            Part { cost: sum.saturating_add(cost), size: both, decl: parts.first().and_then(|part| part.decl.clone()) }
        }
        "_[_]" | "_[?_]" => {
            let decl = parts.first().and_then(|part| part.decl.as_ref()).and_then(|decl| decl.element.clone());
            Part { cost: sum.saturating_add(1), size: decl.as_ref().and_then(|decl| decl.max), decl }
        }
        "@in" => {
            let list =
                parts.get(1).is_some_and(|part| !matches!(part.decl.as_deref().map(|d| &d.kind), Some(Type::Map(..))));
            plain(if list { size(1) } else { 1 })
        }
        "orValue" | "value" | "or" => {
            let decl = parts.first().and_then(|part| part.decl.clone());
            Part { cost: sum.saturating_add(1), size: decl.as_ref().and_then(|decl| decl.max), decl }
        }
        "matches" | "find" | "findAll" => {
            let pattern = size(1).div_ceil(4).max(1);
            sized(tenth(size(0).saturating_add(1)).saturating_mul(pattern), size(0))
        }
        "contains" => plain(tenth(size(0)).saturating_mul(tenth(size(1)))),
        "startsWith" | "endsWith" => plain(tenth(size(1))),
        "string"
        | "bytes"
        | "lowerAscii"
        | "upperAscii"
        | "trim"
        | "substring"
        | "split"
        | "replace"
        | "charAt"
        | "join"
        | "url"
        | "isURL"
        | "ip"
        | "isIP"
        | "cidr"
        | "isCIDR"
        | "quantity"
        | "isQuantity"
        | "semver"
        | "isSemver"
        | "validate"
        | "format"
        | "strings.quote"
        | "jsonpatch.escapeKey" => sized(tenth(size(0)), size(0)),
        "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" | "includes" | "reverse" | "sort" | "slice"
        | "flatten" => Part {
            cost: sum.saturating_add(size(0)),
            size: Some(size(0)),
            decl: parts.first().and_then(|part| part.decl.clone()),
        },
        "distinct" => Part {
            cost: sum.saturating_add(size(0).saturating_mul(size(0))),
            size: Some(size(0)),
            decl: parts.first().and_then(|part| part.decl.clone()),
        },
        "sets.contains" | "sets.intersects" | "sets.equivalent" => plain(size(0).saturating_mul(size(1))),
        "check" => plain(350_000),
        _ => plain(1),
    }
}
