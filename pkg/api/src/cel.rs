//! The Common Expression Language as Kubernetes speaks it: rules of custom kinds, admission policies, match conditions.
//!
//! Expressions are parsed by the `cel` crate's grammar (cel-go's own). What Kubernetes asks beyond a grammar is here:
//! types are checked against schemas, the cost of every expression is estimated before it is taken and counted while it
//! runs, so that no expression can hold up the server, and values know Kubernetes' functions (quantities, addresses,
//! URLs). Costs and messages follow cel-go (`checker`, `interpreter`) and apiserver `pkg/cel`. Must not know any kind.

mod ast;
mod check;
mod convert;
mod cost;
mod declare;
mod eval;
mod kin;
mod kinds;
mod library;
mod loops;
mod operators;
mod signatures;
mod types;
mod value;

use std::sync::Arc;

use serde_json::Value;

pub use convert::{from_json, to_json};
pub use declare::{Decl, ObjectDecl};
pub use eval::{Error, Variables};
pub use types::Type;
pub use value::{Authorizer, Key, Question, Val};

use ast::Node;

/// Most that one expression may cost while it runs (apiserver `apis/cel`, `PerCallLimit`).
pub const PER_CALL_LIMIT: u64 = 1_000_000;

/// Most that all expressions over one object may cost (`RuntimeCELCostBudget`).
pub const BUDGET: u64 = 10_000_000;

/// Most that one rule of a definition may be estimated at (`StaticEstimatedCostLimit`).
pub const ESTIMATE_LIMIT: u64 = 10_000_000;

/// Most that all rules of a version's schema may be estimated at (`StaticEstimatedCRDCostLimit`).
pub const TOTAL_ESTIMATE_LIMIT: u64 = 100_000_000;

/// Longest text of an expression, in characters (cel-go's parser).
const LONGEST: usize = 100_000;

/// What an expression may name: variables and what they are.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    variables: Vec<(String, Arc<Decl>)>,
    /// Fields of `variables`, which are themselves expressions.
    composed: Vec<(String, Type)>,
    has_composed: bool,
    /// Whether `Object{…}` and `JSONPatch{…}` may be built.
    pub builds_objects: bool,
}

impl Scope {
    /// Adds a variable.
    #[must_use]
    pub fn with(mut self, name: &str, decl: Arc<Decl>) -> Self {
        self.variables.push((name.to_owned(), decl));
        self
    }

    /// Allows `variables.NAME`, with none yet.
    #[must_use]
    pub fn with_variables(mut self) -> Self {
        self.has_composed = true;
        self
    }

    /// Adds a field of `variables`.
    pub fn compose(&mut self, name: &str, kind: Type) {
        self.has_composed = true;
        self.composed.push((name.to_owned(), kind));
    }

    fn find(&self, name: &str) -> Option<&Arc<Decl>> {
        self.variables.iter().rev().find(|(known, _)| known == name).map(|(_, decl)| decl)
    }
}

/// A checked expression.
#[derive(Debug)]
pub struct Program {
    root: Node,
    /// What it yields.
    pub yields: Type,
    /// Upper estimate of its cost; saturates.
    pub most: u64,
    names: Vec<String>,
}

impl Program {
    /// Parses and checks an expression.
    ///
    /// # Errors
    /// The compiler's complaints as cel-go prints them: position, message, source line and a mark under the place.
    pub fn compile(source: &str, scope: &Scope) -> Result<Self, String> {
        if source.chars().count() > LONGEST {
            return Err(format!(
                "ERROR: <input>:-1:0: expression code point size exceeds limit: size: {}, limit {LONGEST}",
                source.chars().count()
            ));
        }
        let root = ast::parse(source)?;
        let yields = check::check(&root, scope, source)?;
        let most = cost::estimate(&root, scope);
        let mut names = Vec::new();
        root.names(&mut names);
        Ok(Self { root, yields, most, names })
    }

    /// Whether it names a variable.
    pub fn uses(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }

    /// Its value, and what it cost.
    pub fn run(&self, variables: &dyn Variables) -> (Result<Val, Error>, u64) {
        let mut run = eval::Run::new(variables, PER_CALL_LIMIT);
        let value = run.eval(&self.root);
        let spent = run.spent();
        (if spent > PER_CALL_LIMIT { Err(Error::TooDear) } else { value }, spent)
    }
}

/// Variables by name.
#[derive(Debug, Default)]
pub struct Bindings(Vec<(&'static str, Val)>);

impl Bindings {
    /// Adds one.
    pub fn bind(&mut self, name: &'static str, value: Val) {
        self.0.push((name, value));
    }

    /// Adds JSON without a schema.
    pub fn bind_json(&mut self, name: &'static str, value: &Value) {
        self.bind(name, from_json(value, None));
    }
}

impl Variables for Bindings {
    fn get(&self, name: &str) -> Option<Val> {
        self.0.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
    }
}

#[cfg(test)]
mod tests;
