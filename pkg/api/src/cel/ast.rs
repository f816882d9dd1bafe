//! Expressions as this room walks them: the `cel` crate's tree with macros recognised and qualified names joined.

use std::sync::Arc;

use cel::Env;
use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue, SourceInfo};

use super::signatures;
use super::value::Val;

/// Deepest nesting of an expression.
const DEPTH: usize = 200;

/// One place of an expression.
#[derive(Debug)]
pub(super) struct Node {
    /// In characters from the start of the source.
    pub(super) at: usize,
    pub(super) kind: Kind,
}

/// What stands there.
#[derive(Debug)]
pub(super) enum Kind {
    Literal(Val),
    Ident(String),
    /// `a.b`; `a.?b` when optional.
    Select {
        of: Box<Node>,
        field: String,
        optional: bool,
    },
    /// `has(a.b)`.
    Has {
        of: Box<Node>,
        field: String,
    },
    /// Operators too, under cel-go's names.
    Call {
        name: String,
        target: Option<Box<Node>>,
        args: Vec<Node>,
    },
    /// Elements, each with whether it is optional.
    List(Vec<(Node, bool)>),
    Map(Vec<(Node, Node, bool)>),
    Struct {
        name: String,
        fields: Vec<(String, Node, bool)>,
    },
    Loop(Box<Loop>),
    /// `cel.bind(name, value, body)`.
    Bind {
        name: String,
        value: Box<Node>,
        body: Box<Node>,
    },
    /// `target.optMap(name, body)`; `optFlatMap` when flat.
    OptMap {
        of: Box<Node>,
        name: String,
        body: Box<Node>,
        flat: bool,
    },
}

/// What a comprehension does with its bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    All,
    Exists,
    ExistsOne,
    Map,
    Filter,
    /// `transformMap(k, v, …)`.
    TransformMap,
    /// `transformMapEntry(k, v, {…})`.
    TransformEntry,
    SortBy,
}

/// A comprehension.
#[derive(Debug)]
pub(super) struct Loop {
    pub(super) form: Form,
    pub(super) range: Node,
    pub(super) first: String,
    pub(super) second: Option<String>,
    pub(super) filter: Option<Node>,
    pub(super) body: Node,
}

impl Node {
    /// Every free-standing name, as written.
    pub(super) fn names(&self, found: &mut Vec<String>) {
        match &self.kind {
            Kind::Literal(_) => {}
            Kind::Ident(name) => found.push(name.clone()),
            Kind::Select { of, .. } | Kind::Has { of, .. } => of.names(found),
            Kind::Call { target, args, .. } => {
                target.iter().map(|node| &**node).chain(args).for_each(|n| n.names(found))
            }
            Kind::List(items) => items.iter().for_each(|(node, _)| node.names(found)),
            Kind::Map(entries) => entries.iter().for_each(|(key, value, _)| {
                key.names(found);
                value.names(found);
            }),
            Kind::Struct { fields, .. } => fields.iter().for_each(|(_, node, _)| node.names(found)),
            Kind::Loop(inner) => {
                [Some(&inner.range), inner.filter.as_ref(), Some(&inner.body)]
                    .into_iter()
                    .flatten()
                    .for_each(|n| n.names(found));
            }
            Kind::Bind { value, body, .. } | Kind::OptMap { of: value, body, .. } => {
                value.names(found);
                body.names(found);
            }
        }
    }
}

/// A complaint at a place, as cel-go prints it.
pub(super) fn complaint(source: &str, at: usize, message: &str) -> String {
    let before: String = source.chars().take(at).collect();
    let line = before.matches('\n').count();
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
    let text = source.lines().nth(line).unwrap_or_default();
    format!("ERROR: <input>:{}:{}: {message}\n | {text}\n | {}^", line + 1, column + 1, ".".repeat(column))
}

/// Parses.
///
/// # Errors
/// Complaints about syntax, one after another.
pub(super) fn parse(source: &str) -> Result<Node, String> {
    if let Some((at, message)) = unwieldy(source) {
        return Err(complaint(source, at, message));
    }
    // The generated parser walks on the stack and is not written for hostile texts: it has a stack of its own, and a
    // panic of it is a text that is not understood.
    let read = || read(source);
    let outcome = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("cel".into()).stack_size(STACK).spawn_scoped(scope, read);
        thread.ok().and_then(|thread| thread.join().ok())
    });
    outcome.unwrap_or_else(|| Err(complaint(source, 0, "Syntax error: not understood")))
}

/// What parsing may take of the stack, in bytes; only what is used is ever there.
const STACK: usize = 256 << 20;

/// Deepest nesting of brackets, and most operators: bounds of what goes onto that stack.
const BRACKETS: usize = 90;
const OPERATORS: usize = 4000;

/// The place where a text is nested too deeply or goes on for too long.
fn unwieldy(source: &str) -> Option<(usize, &'static str)> {
    let (mut depth, mut operators, mut quoted) = (0_usize, 0, None);
    let mut characters = source.chars().enumerate();
    while let Some((at, c)) = characters.next() {
        match (quoted, c) {
            (Some(_), '\\') => {
                characters.next();
            }
            (Some(quote), c) if c == quote => quoted = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quoted = Some(c),
            (None, '(' | '[' | '{') => (depth, operators) = (depth + 1, operators + 1),
            (None, ')' | ']' | '}') => depth = depth.saturating_sub(1),
            (None, c) if c.is_ascii_punctuation() && c != '_' && c != ',' => operators += 1,
            _ => {}
        }
        if depth > BRACKETS {
            return Some((at, "expression recursion limit exceeded: 90"));
        }
        if operators > OPERATORS {
            return Some((at, "expression has more than 4000 operators"));
        }
    }
    None
}

fn read(source: &str) -> Result<Node, String> {
    let parser = Env::default().with_optional_support(true).parser();
    let (expression, info) = parser.parse_with_source_info(source).map_err(|errors| {
        let mut out = Vec::new();
        for error in &errors.errors {
            let (line, column) = (error.pos.0.max(1), error.pos.1.max(1));
            let above = source.split_inclusive('\n').take(usize::try_from(line - 1).unwrap_or(0));
            let start: usize = above.map(|line| line.chars().count()).sum();
            let at = start + usize::try_from(column - 1).unwrap_or(0);
            let own = ["Syntax error", "unsupported", "expression", "invalid", "argument"];
            let message = match own.iter().any(|word| error.msg.starts_with(word)) {
                true => error.msg.clone(),
                false => format!("Syntax error: {}", error.msg),
            };
            out.push(complaint(source, at, &message));
        }
        out.join("\n")
    })?;
    Reader { info: &info, source }.node(&expression, 0)
}

struct Reader<'a> {
    info: &'a SourceInfo,
    source: &'a str,
}

impl Reader<'_> {
    fn at(&self, expression: &IdedExpr) -> usize {
        self.info.offset_for(expression.id).map_or(0, |(start, _)| start as usize)
    }

    fn fail<T>(&self, expression: &IdedExpr, message: &str) -> Result<T, String> {
        Err(complaint(self.source, self.at(expression), message))
    }

    fn boxed(&self, expression: &IdedExpr, depth: usize) -> Result<Box<Node>, String> {
        self.node(expression, depth).map(Box::new)
    }

    fn node(&self, expression: &IdedExpr, depth: usize) -> Result<Node, String> {
        if depth > DEPTH {
            return self.fail(expression, &format!("max recursion depth exceeded: {DEPTH}"));
        }
        let depth = depth + 1;
        let kind = match &expression.expr {
            Expr::Unspecified => return self.fail(expression, "Syntax error: unspecified expression"),
            Expr::Literal(literal) => Kind::Literal(match literal {
                LiteralValue::Boolean(value) => Val::Bool(*value.inner()),
                LiteralValue::Bytes(value) => Val::Bytes(value.inner().into()),
                LiteralValue::Double(value) => Val::Double(*value.inner()),
                LiteralValue::Int(value) => Val::Int(*value.inner()),
                LiteralValue::Null => Val::Null,
                LiteralValue::String(value) => Val::Str(value.inner().into()),
                LiteralValue::UInt(value) => Val::Uint(*value.inner()),
            }),
            Expr::Ident(name) => Kind::Ident(name.trim_start_matches('.').to_owned()),
            Expr::Select(select) if select.test => {
                Kind::Has { of: self.boxed(&select.operand, depth)?, field: select.field.clone() }
            }
            Expr::Select(select) => {
                Kind::Select { of: self.boxed(&select.operand, depth)?, field: select.field.clone(), optional: false }
            }
            Expr::List(list) => {
                let mut items = Vec::new();
                for (index, element) in list.elements.iter().enumerate() {
                    items.push((self.node(element, depth)?, list.optional_indices.contains(&index)));
                }
                Kind::List(items)
            }
            Expr::Map(map) => {
                let mut entries = Vec::new();
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        entries.push((self.node(&entry.key, depth)?, self.node(&entry.value, depth)?, entry.optional));
                    }
                }
                Kind::Map(entries)
            }
            Expr::Struct(made) => {
                let mut fields = Vec::new();
                for entry in &made.entries {
                    if let EntryExpr::StructField(field) = &entry.expr {
                        fields.push((field.field.clone(), self.node(&field.value, depth)?, field.optional));
                    }
                }
                Kind::Struct { name: made.type_name.trim_start_matches('.').to_owned(), fields }
            }
            Expr::Comprehension(_) => return self.fail(expression, "Syntax error: unexpected comprehension"),
            Expr::Call(call) => self.call(expression, &call.func_name, call.target.as_deref(), &call.args, depth)?,
        };
        Ok(Node { at: self.at(expression), kind })
    }

    fn name(&self, expression: &IdedExpr) -> Result<String, String> {
        match &expression.expr {
            Expr::Ident(name) if !name.starts_with('.') => Ok(name.clone()),
            _ => self.fail(expression, "argument is not an identifier"),
        }
    }

    fn call(
        &self,
        whole: &IdedExpr,
        name: &str,
        target: Option<&IdedExpr>,
        args: &[IdedExpr],
        depth: usize,
    ) -> Result<Kind, String> {
        match (name, target, args) {
            ("has", None, [arg]) => match &arg.expr {
                Expr::Select(select) => {
                    return Ok(Kind::Has { of: self.boxed(&select.operand, depth)?, field: select.field.clone() });
                }
                _ => return self.fail(arg, "invalid argument to has() macro"),
            },
            ("_?._", None, [of, field]) => {
                if let Expr::Literal(LiteralValue::String(field)) = &field.expr {
                    let of = self.boxed(of, depth)?;
                    return Ok(Kind::Select { of, field: field.inner().to_owned(), optional: true });
                }
            }
            ("bind", Some(target), [variable, value, body]) if matches!(&target.expr, Expr::Ident(name) if name == "cel") =>
            {
                return Ok(Kind::Bind {
                    name: self.name(variable)?,
                    value: self.boxed(value, depth)?,
                    body: self.boxed(body, depth)?,
                });
            }
            ("optMap" | "optFlatMap", Some(target), [variable, body]) => {
                return Ok(Kind::OptMap {
                    of: self.boxed(target, depth)?,
                    name: self.name(variable)?,
                    body: self.boxed(body, depth)?,
                    flat: name == "optFlatMap",
                });
            }
            (_, Some(target), args) if args.len() > 1 => {
                if let Some(kind) = self.loop_of(name, target, args, depth)? {
                    return Ok(kind);
                }
            }
            _ => {}
        }
        // `sets.contains(a, b)`: a function with a dotted name, unless somebody's field is meant.
        if let Some(IdedExpr { expr: Expr::Ident(package), .. }) = target {
            let dotted = format!("{package}.{name}");
            if signatures::is_function(&dotted) {
                let args = args.iter().map(|arg| self.node(arg, depth)).collect::<Result<_, _>>()?;
                return Ok(Kind::Call { name: dotted, target: None, args });
            }
        }
        let _ = whole;
        Ok(Kind::Call {
            name: name.to_owned(),
            target: target.map(|target| self.boxed(target, depth)).transpose()?,
            args: args.iter().map(|arg| self.node(arg, depth)).collect::<Result<_, _>>()?,
        })
    }

    fn loop_of(&self, name: &str, target: &IdedExpr, args: &[IdedExpr], depth: usize) -> Result<Option<Kind>, String> {
        let (form, first, second, filter, body) = match (name, args) {
            ("all", [v, body]) => (Form::All, v, None, None, body),
            ("all", [v, w, body]) => (Form::All, v, Some(w), None, body),
            ("exists", [v, body]) => (Form::Exists, v, None, None, body),
            ("exists", [v, w, body]) => (Form::Exists, v, Some(w), None, body),
            ("exists_one" | "existsOne", [v, body]) => (Form::ExistsOne, v, None, None, body),
            ("exists_one" | "existsOne", [v, w, body]) => (Form::ExistsOne, v, Some(w), None, body),
            ("map", [v, body]) => (Form::Map, v, None, None, body),
            ("map", [v, filter, body]) => (Form::Map, v, None, Some(filter), body),
            ("filter", [v, body]) => (Form::Filter, v, None, None, body),
            ("transformList", [v, w, body]) => (Form::Map, v, Some(w), None, body),
            ("transformList", [v, w, filter, body]) => (Form::Map, v, Some(w), Some(filter), body),
            ("transformMap", [v, w, body]) => (Form::TransformMap, v, Some(w), None, body),
            ("transformMap", [v, w, filter, body]) => (Form::TransformMap, v, Some(w), Some(filter), body),
            ("transformMapEntry", [v, w, body]) => (Form::TransformEntry, v, Some(w), None, body),
            ("transformMapEntry", [v, w, filter, body]) => (Form::TransformEntry, v, Some(w), Some(filter), body),
            ("sortBy", [v, body]) => (Form::SortBy, v, None, None, body),
            _ => return Ok(None),
        };
        Ok(Some(Kind::Loop(Box::new(Loop {
            form,
            range: self.node(target, depth)?,
            first: self.name(first)?,
            second: second.map(|name| self.name(name)).transpose()?,
            filter: filter.map(|node| self.node(node, depth)).transpose()?,
            body: self.node(body, depth)?,
        }))))
    }
}

/// Text shared without copying.
pub(super) fn shared(text: &str) -> Arc<str> {
    Arc::from(text)
}
