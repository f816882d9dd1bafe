//! Rules of custom kinds (`x-kubernetes-validations`): compiled with the kind, run on every write (apiextensions
//! `apiserver/schema/cel`). What a definition's rules must be is `super::rule_check`'s.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::cel::{BUDGET, Bindings, Decl, Error, Program, Scope, Val, from_json};
use crate::field::{FieldError, FieldErrorKind};

/// Longest message that an expression may make, in bytes (`MaxEvaluatedMessageExpressionSizeBytes`).
const LONGEST_MESSAGE: usize = 5 * 1024;

/// The rules at one place of a schema and below it; only places with rules somewhere below are kept.
#[derive(Debug)]
pub(super) struct Ruled {
    kind: String,
    decl: Arc<Decl>,
    rules: Vec<Rule>,
    properties: BTreeMap<String, Ruled>,
    additional: Option<Box<Ruled>>,
    items: Option<Box<Ruled>>,
    /// Keys by which items of old and new lists belong together; none for lists that are one value.
    map_keys: Vec<String>,
}

/// One rule.
pub(super) struct Rule {
    program: Result<Program, String>,
    pub(super) message_program: Option<Result<Program, String>>,
    /// Message, or the rule itself, in complaints.
    shown: String,
    message: Option<String>,
    optional_old: bool,
    uses_old: bool,
    reason: String,
    field_path: String,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl Rule {
    /// Compiles a rule at a place of this type.
    pub(super) fn compile(rule: &Value, decl: &Arc<Decl>) -> Self {
        let text = |key: &str| rule[key].as_str().unwrap_or_default();
        let optional_old = rule["optionalOldSelf"] == true;
        let old = if optional_old { Decl::optional(decl) } else { decl.clone() };
        let scope = Scope::default().with("self", decl.clone()).with("oldSelf", old);
        let program = Program::compile(text("rule"), &scope)
            .map_err(|complaints| format!("compilation failed: {complaints}"))
            .and_then(|program| match program.yields {
                crate::cel::Type::Bool | crate::cel::Type::Dyn => Ok(program),
                _ => Err("cel expression must evaluate to a bool".to_owned()),
            });
        let message_program = (!text("messageExpression").is_empty()).then(|| {
            Program::compile(text("messageExpression"), &scope)
                .map_err(|complaints| format!("messageExpression compilation failed: {complaints}"))
                .and_then(|program| match program.yields {
                    crate::cel::Type::Str | crate::cel::Type::Dyn => Ok(program),
                    _ => Err("messageExpression must evaluate to a string".to_owned()),
                })
        });
        let message = Some(text("message").trim()).filter(|message| !message.is_empty()).map(str::to_owned);
        Self {
            uses_old: program.as_ref().is_ok_and(|program| program.uses("oldSelf")),
            program,
            message_program,
            shown: message.clone().unwrap_or_else(|| text("rule").trim().to_owned()),
            message,
            optional_old,
            reason: text("reason").to_owned(),
            field_path: text("fieldPath").to_owned(),
        }
    }

    /// The compiled rule or what is wrong with it.
    pub(super) fn program(&self) -> Result<&Program, &str> {
        self.program.as_ref().map_err(String::as_str)
    }

    /// Whether it compares with the state before.
    pub(super) fn uses_old(&self) -> bool {
        self.uses_old
    }
}

impl Ruled {
    /// Compiles the rules of a schema; `None` when it has none.
    pub(super) fn read(schema: &Value, root: bool) -> Option<Self> {
        let below =
            |key: &str| Some(&schema[key]).filter(|inner| inner.is_object()).and_then(|inner| Self::read(inner, false));
        let properties: BTreeMap<String, Self> = schema["properties"]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(key, inner)| Some((key.clone(), Self::read(inner, false)?)))
            .collect();
        let (additional, items) = (below("additionalProperties").map(Box::new), below("items").map(Box::new));
        let listed = schema["x-kubernetes-validations"].as_array().map(Vec::as_slice).unwrap_or_default();
        if listed.is_empty() && properties.is_empty() && additional.is_none() && items.is_none() {
            return None;
        }
        let decl = Decl::of_schema(schema, "object", root).unwrap_or_else(|| Decl::of(crate::cel::Type::Dyn));
        let is_map = schema["x-kubernetes-list-type"] == "map";
        let keys = schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten().filter_map(Value::as_str);
        Some(Self {
            kind: schema["type"].as_str().unwrap_or_default().to_owned(),
            rules: listed.iter().map(|rule| Rule::compile(rule, &decl)).collect(),
            decl,
            properties,
            additional,
            items,
            map_keys: keys.filter(|_| is_map).map(str::to_owned).collect(),
        })
    }
}

/// Complaints of all rules about an object.
pub(super) fn complaints(ruled: &Ruled, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut check = Check { errors: Vec::new(), budget: BUDGET };
    let _ = check.place(ruled, "", new, old, false);
    check.errors
}

/// No rule is run any more.
struct Spent;

struct Check {
    errors: Vec<FieldError>,
    budget: u64,
}

/// The root has no path, which Go prints as nil.
fn shown(path: &str) -> &str {
    if path.is_empty() { "<nil>" } else { path }
}

impl Check {
    /// `unchanged`: the nearest place above that has a counterpart in the old state is the same as there.
    fn place(
        &mut self,
        ruled: &Ruled,
        path: &str,
        new: &Value,
        old: Option<&Value>,
        unchanged: bool,
    ) -> Result<(), Spent> {
        if new.is_null() {
            return Ok(());
        }
        let old = old.filter(|old| !old.is_null());
        let unchanged = old.map_or(unchanged, |old| old == new);
        self.rules(ruled, path, new, old, unchanged)?;
        match new {
            Value::Array(items) => {
                let Some(inner) = &ruled.items else { return Ok(()) };
                let key = |item: &Value| ruled.map_keys.iter().map(|key| item[key].clone()).collect::<Vec<_>>();
                for (index, item) in items.iter().enumerate() {
                    let before = old.and_then(Value::as_array).filter(|_| !ruled.map_keys.is_empty());
                    let before = before.and_then(|all| all.iter().find(|other| key(other) == key(item)));
                    self.place(inner, &format!("{path}[{index}]"), item, before, unchanged)?;
                }
            }
            Value::Object(map) => {
                for (key, value) in map {
                    let before = old.and_then(|old| old.get(key));
                    if let Some(inner) = ruled.properties.get(key) {
                        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                        self.place(inner, &path, value, before, unchanged)?;
                    } else if let Some(inner) = &ruled.additional {
                        self.place(inner, &format!("{path}[{key}]"), value, before, unchanged)?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn fail(&mut self, path: &str, kind: &str, detail: String) {
        self.errors.push(FieldError::invalid(shown(path), kind, detail));
    }

    fn rules(
        &mut self,
        ruled: &Ruled,
        path: &str,
        new: &Value,
        old: Option<&Value>,
        unchanged: bool,
    ) -> Result<(), Spent> {
        if ruled.rules.is_empty() {
            return Ok(());
        }
        let this = from_json(new, Some(&ruled.decl));
        let before = old.map(|old| from_json(old, Some(&ruled.decl)));
        for rule in &ruled.rules {
            let program = match &rule.program {
                Ok(program) => program,
                Err(cause) => {
                    self.fail(path, &ruled.kind, format!("rule compile error: {cause}"));
                    continue;
                }
            };
            if rule.uses_old && before.is_none() && !rule.optional_old {
                continue;
            }
            let mut bound = Bindings::default();
            bound.bind("self", this.clone());
            match (&before, rule.optional_old) {
                (Some(before), false) => bound.bind("oldSelf", before.clone()),
                (Some(before), true) => bound.bind("oldSelf", before.clone().some()),
                (None, true) => bound.bind("oldSelf", Val::NONE),
                (None, false) => {}
            }
            let outcome = self.run(program, &bound, path, &ruled.kind)?;
            match outcome {
                Ok(Val::Bool(true)) => continue,
                Ok(_) => {}
                Err(Error::TooDear) => {
                    let detail = format!(
                        "'{}': no further validation rules will be run due to call cost exceeds limit for rule: {}",
                        Error::TooDear,
                        rule.shown
                    );
                    self.fail(path, &ruled.kind, detail);
                    return Err(Spent);
                }
                Err(Error::NoOverload) => {
                    let detail = format!(
                        "'no such overload': call arguments did not match a supported operator, function or macro signature for rule: {}",
                        rule.shown
                    );
                    self.fail(path, &ruled.kind, detail);
                    continue;
                }
                Err(error) => {
                    self.fail(path, &ruled.kind, format!("{error} evaluating rule: {}", rule.shown));
                    continue;
                }
            }
            // What was wrong and has not changed may stay.
            if unchanged && !rule.uses_old {
                continue;
            }
            let detail = self.detail(rule, &bound, path, &ruled.kind)?;
            self.errors.push(self.failure(rule, &ruled.kind, path, new, detail));
        }
        Ok(())
    }

    fn run(
        &mut self,
        program: &Program,
        bound: &Bindings,
        path: &str,
        kind: &str,
    ) -> Result<Result<Val, Error>, Spent> {
        let (outcome, cost) = program.run(bound);
        match self.budget.checked_sub(cost) {
            Some(left) => {
                self.budget = left;
                Ok(outcome)
            }
            None => {
                let detail =
                    "validation failed due to running out of cost budget, no further validation rules will be run";
                self.fail(path, kind, detail.to_owned());
                Err(Spent)
            }
        }
    }

    /// What to say of a rule that does not hold.
    fn detail(&mut self, rule: &Rule, bound: &Bindings, path: &str, kind: &str) -> Result<String, Spent> {
        if let Some(Ok(program)) = &rule.message_program {
            let outcome = self.run(program, bound, path, kind)?;
            if let Ok(Val::Str(text)) = outcome {
                let text = text.trim();
                if !text.is_empty() && text.len() <= LONGEST_MESSAGE && !text.contains('\n') {
                    return Ok(text.to_owned());
                }
            }
        }
        Ok(rule.message.clone().unwrap_or_else(|| format!("failed rule: {}", rule.shown)))
    }

    fn failure(&self, rule: &Rule, kind: &str, path: &str, new: &Value, detail: String) -> FieldError {
        let below = rule.field_path.as_str();
        let path = match (path, below) {
            (path, "") => shown(path).to_owned(),
            ("", below) => below.trim_start_matches('.').to_owned(),
            (path, below) => format!("{path}{below}"),
        };
        let value = (!matches!(kind, "object" | "array")).then(|| new.clone());
        match rule.reason.as_str() {
            "FieldValueForbidden" => FieldError::forbidden(path, detail),
            "FieldValueRequired" => FieldError::required(path, detail),
            "FieldValueDuplicate" => {
                let mut error = FieldError::duplicate(path, Value::Null);
                error.value = value;
                error
            }
            _ => FieldError { kind: FieldErrorKind::Invalid, field: path, value, detail },
        }
    }
}

/// Says in an error that rules were not looked at because of others.
pub(super) fn not_checked() -> FieldError {
    FieldError::invalid(
        "<nil>",
        Value::Null,
        "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation",
    )
}
