//! Expressions of policies over one request: their variables, match conditions, and the one budget that they share.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::Attributes;
use crate::cel::{BUDGET, Bindings, Decl, Error, Program, Question, Scope, Type, Val, Variables};

/// Why no more expressions are run over a request.
pub(super) const OUT_OF_BUDGET: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

/// What an expression may name. `object`: the type of `object` and `oldObject`, anything when not given.
pub(super) fn scope(params: Option<&Arc<Decl>>, object: Option<&Arc<Decl>>) -> Scope {
    let any = || Decl::of(Type::Dyn);
    let text = || Decl::of(Type::Str);
    let named = |last: &'static str| {
        Decl::object("kubernetes.GroupVersion", vec![("group", text()), ("version", text()), (last, text())])
    };
    let user = Decl::object(
        "kubernetes.UserInfo",
        vec![
            ("username", text()),
            ("uid", text()),
            ("groups", Decl::of(Type::List(Box::new(Type::Str)))),
            ("extra", Decl::of(Type::Map(Box::new(Type::Str), Box::new(Type::List(Box::new(Type::Str)))))),
        ],
    );
    let request = Decl::object(
        "kubernetes.AdmissionRequest",
        vec![
            ("kind", named("kind")),
            ("resource", named("resource")),
            ("subResource", text()),
            ("requestKind", named("kind")),
            ("requestResource", named("resource")),
            ("requestSubResource", text()),
            ("name", text()),
            ("namespace", text()),
            ("operation", text()),
            ("userInfo", user),
            ("dryRun", Decl::of(Type::Bool)),
            ("options", any()),
        ],
    );
    let authorizer = || Decl::of(Type::Opaque("kubernetes.authorization.Authorizer"));
    let object = || object.cloned().unwrap_or_else(any);
    let scope = Scope::default()
        .with("object", object())
        .with("oldObject", object())
        .with("request", request)
        .with("namespaceObject", any())
        .with("authorizer", authorizer())
        .with("authorizer.requestResource", authorizer());
    match params {
        Some(params) => scope.with("params", params.clone()),
        None => scope,
    }
}

/// The values of one request.
pub(super) fn bindings(request: &Attributes<'_>, params: Option<&Value>) -> Bindings {
    let mut bound = Bindings::default();
    bound.bind_json("object", request.object.unwrap_or(&Value::Null));
    bound.bind_json("oldObject", request.old.unwrap_or(&Value::Null));
    bound.bind_json("request", &request.request());
    bound.bind_json("namespaceObject", request.namespace_object.unwrap_or(&Value::Null));
    bound.bind_json("params", params.unwrap_or(&Value::Null));
    if let Some(authorizer) = &request.authorizer {
        bound.bind("authorizer", Val::Authorizer(authorizer.clone(), Arc::new(Question::default())));
        let own = Question {
            group: request.group.to_owned(),
            resource: request.resource.to_owned(),
            subresource: request.subresource.to_owned(),
            namespace: request.namespace.to_owned(),
            name: request.name.to_owned(),
            ..Question::default()
        };
        bound.bind("authorizer.requestResource", Val::Authorizer(authorizer.clone(), Arc::new(own)));
    }
    bound
}

/// `spec.variables`, compiled in their order.
#[derive(Debug, Default)]
pub(super) struct Composition {
    variables: Vec<(String, Result<Program, String>)>,
}

impl Composition {
    /// Compiles them and makes `scope` know them.
    pub(super) fn compile(spec: &Value, scope: &mut Scope) -> Self {
        let mut variables = Vec::new();
        *scope = std::mem::take(scope).with_variables();
        for variable in spec["variables"].as_array().into_iter().flatten() {
            let text = |key: &str| variable[key].as_str().unwrap_or_default();
            let program = Program::compile(text("expression"), scope);
            scope.compose(text("name"), program.as_ref().map_or(Type::Dyn, |program| program.yields.clone()));
            variables.push((text("name").to_owned(), program));
        }
        Self { variables }
    }
}

/// The run of a policy's expressions over one request.
pub(super) struct Run<'a> {
    bound: &'a Bindings,
    composition: &'a Composition,
    known: RefCell<HashMap<String, Result<Val, Error>>>,
    left: Cell<u64>,
}

impl<'a> Run<'a> {
    pub(super) fn new(bound: &'a Bindings, composition: &'a Composition) -> Self {
        Self { bound, composition, known: RefCell::default(), left: Cell::new(BUDGET) }
    }

    /// The value of an expression, or the message of its failure.
    pub(super) fn value(&self, program: &Program, expression: &str) -> Result<Val, String> {
        let (outcome, cost) = program.run(self);
        match self.left.get().checked_sub(cost) {
            Some(left) => self.left.set(left),
            None => {
                self.left.set(0);
                return Err(OUT_OF_BUDGET.to_owned());
            }
        }
        outcome.map_err(|error| match error {
            Error::TooDear => {
                "validation failed due to running out of cost budget, no further validation rules will be run"
                    .to_owned()
            }
            error => format!("expression '{expression}' resulted in error: {error}"),
        })
    }
}

impl Variables for Run<'_> {
    fn get(&self, name: &str) -> Option<Val> {
        self.bound.get(name)
    }

    fn composed(&self, name: &str) -> Option<Result<Val, Error>> {
        if let Some(known) = self.known.borrow().get(name) {
            return Some(known.clone());
        }
        let (_, program) = self.composition.variables.iter().rev().find(|(known, _)| known == name)?;
        let value = match program {
            Err(cause) => Err(Error::failed(format!("composited variable \"{name}\" fails to compile: {cause}"))),
            Ok(program) => {
                let (value, cost) = program.run(self);
                let left = self.left.get().checked_sub(cost);
                self.left.set(left.unwrap_or(0));
                if left.is_none() { Err(Error::TooDear) } else { value }
            }
        };
        let value = value.map_err(|error| match error {
            Error::TooDear => error,
            error => Error::failed(format!("composited variable \"{name}\" fails to evaluate: {error}")),
        });
        self.known.borrow_mut().insert(name.to_owned(), value.clone());
        Some(value)
    }
}

/// `matchConditions` of a policy or webhook, compiled.
#[derive(Debug, Default)]
pub struct Conditions(Vec<(String, String, Result<Program, String>)>);

/// Whether a request meets conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It does.
    Matches,
    /// One condition says no.
    Not,
    /// None says no, but not all could be evaluated: what went wrong.
    Error(String),
}

impl Conditions {
    /// Compiles conditions without parameters, as webhooks have them.
    pub fn compile(conditions: &Value) -> Self {
        Self::within(conditions, &scope(None, None))
    }

    pub(super) fn within(conditions: &Value, scope: &Scope) -> Self {
        let compiled = conditions.as_array().into_iter().flatten().map(|condition| {
            let text = |key: &str| condition[key].as_str().unwrap_or_default().to_owned();
            (text("name"), text("expression"), Program::compile(&text("expression"), scope))
        });
        Self(compiled.collect())
    }

    /// What is wrong with them: place in the list and compiler's complaint.
    pub fn complaints(&self) -> impl Iterator<Item = (usize, &str)> {
        self.0.iter().enumerate().filter_map(|(index, (_, _, program))| Some((index, program.as_ref().err()?.as_str())))
    }

    /// Whether a request meets all of them.
    pub fn hold(&self, request: &Attributes<'_>) -> Outcome {
        if self.0.is_empty() {
            return Outcome::Matches;
        }
        let (bound, none) = (bindings(request, None), Composition::default());
        self.judge(&Run::new(&bound, &none))
    }

    pub(super) fn judge(&self, run: &Run<'_>) -> Outcome {
        let mut errors = Vec::new();
        for (_, expression, program) in &self.0 {
            let value = match program {
                Ok(program) => run.value(program, expression),
                Err(cause) => Err(format!("compilation error: {cause}")),
            };
            match value {
                Ok(Val::Bool(true)) => {}
                Ok(_) => return Outcome::Not,
                Err(error) => errors.push(error),
            }
        }
        match errors.as_slice() {
            [] => Outcome::Matches,
            [only] => Outcome::Error(only.clone()),
            many => Outcome::Error(format!("[{}]", many.join(", "))),
        }
    }
}
