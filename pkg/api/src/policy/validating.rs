//! ValidatingAdmissionPolicy: what its validations say of a request (apiserver `policy/validating/validator.go`).

use serde_json::Value;

use super::expressions::{Composition, Conditions, OUT_OF_BUDGET, Outcome, Run, bindings, scope};
use super::{Attributes, fails_closed};
use crate::cel::{Decl, Program, Type, Val};

/// Longest message that an expression may make, in bytes.
const LONGEST_MESSAGE: usize = 5 * 1024;

/// A compiled policy.
#[derive(Debug)]
pub struct Validating {
    conditions: Conditions,
    composition: Composition,
    validations: Vec<Validation>,
    annotations: Vec<(String, Result<Program, String>)>,
    closed: bool,
}

#[derive(Debug)]
struct Validation {
    expression: String,
    program: Result<Program, String>,
    message: String,
    message_program: Option<Result<Program, String>>,
    reason: Option<String>,
}

/// Why a request is denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What to tell.
    pub message: String,
    /// `Invalid`, `Forbidden`, `Unauthorized` or `RequestEntityTooLarge`.
    pub reason: String,
}

impl Validating {
    /// Compiles a policy. What does not compile fails when it is evaluated, as the failure policy says.
    pub fn compile(policy: &Value) -> Self {
        let spec = &policy["spec"];
        let params = Decl::of(Type::Dyn);
        let mut scope = scope(spec["paramKind"].is_object().then_some(&params), None);
        let composition = Composition::compile(spec, &mut scope);
        let conditions = Conditions::within(&spec["matchConditions"], &scope);
        let validations = spec["validations"].as_array().into_iter().flatten().map(|validation| {
            let text = |key: &str| validation[key].as_str().unwrap_or_default().to_owned();
            let message = text("messageExpression");
            Validation {
                program: Program::compile(&text("expression"), &scope),
                expression: text("expression"),
                message: text("message"),
                message_program: (!message.is_empty()).then(|| Program::compile(&message, &scope)),
                reason: validation["reason"].as_str().map(str::to_owned),
            }
        });
        let validations = validations.collect();
        let annotations = spec["auditAnnotations"].as_array().into_iter().flatten().map(|annotation| {
            let expression = annotation["valueExpression"].as_str().unwrap_or_default();
            (expression.to_owned(), Program::compile(expression, &scope))
        });
        let annotations = annotations.collect();
        Self { conditions, composition, validations, annotations, closed: fails_closed(spec) }
    }

    /// Why this request is denied, once for each validation that does not hold. `params`: the parameter object, if any.
    pub fn judge(&self, request: &Attributes<'_>, params: Option<&Value>) -> Vec<Decision> {
        let bound = bindings(request, params);
        let run = Run::new(&bound, &self.composition);
        let failed = |message: String| Decision { message, reason: "Invalid".to_owned() };
        match self.conditions.judge(&run) {
            Outcome::Matches => {}
            Outcome::Not => return Vec::new(),
            Outcome::Error(error) => return if self.closed { vec![failed(error)] } else { Vec::new() },
        }
        let mut denied = Vec::new();
        for validation in &self.validations {
            let value = match &validation.program {
                Ok(program) => run.value(program, &validation.expression),
                Err(cause) => Err(format!("compilation error: compilation failed: {cause}")),
            };
            match value {
                Ok(Val::Bool(true)) => {}
                Ok(_) => denied.push(Decision {
                    message: validation.message(&run),
                    reason: validation.reason.clone().unwrap_or_else(|| "Invalid".to_owned()),
                }),
                Err(error) => {
                    let over = error == OUT_OF_BUDGET;
                    denied.extend(self.closed.then(|| failed(error)));
                    if over {
                        break;
                    }
                }
            }
        }
        for (expression, program) in &self.annotations {
            let value = match program {
                Ok(program) => run.value(program, expression),
                Err(cause) => Err(format!("compilation error: compilation failed: {cause}")),
            };
            // Nobody keeps an audit log here; an annotation that cannot be made still counts as a failure.
            let error = match value {
                Ok(Val::Str(_) | Val::Null) => None,
                Ok(other) => Some(format!(
                    "valueExpression '{expression}' resulted in unsupported return type: {}. Return type must be either string or null.",
                    other.type_name()
                )),
                Err(error) => Some(error),
            };
            denied.extend(error.filter(|_| self.closed).map(failed));
        }
        denied
    }
}

impl Validation {
    fn message(&self, run: &Run<'_>) -> String {
        if let Some(Ok(program)) = &self.message_program
            && let Ok(Val::Str(text)) = run.value(program, "messageExpression")
        {
            let text = text.trim();
            if !text.is_empty() && text.len() <= LONGEST_MESSAGE && !text.contains('\n') {
                return text.to_owned();
            }
        }
        match self.message.trim() {
            "" => format!("failed expression: {}", self.expression.trim()),
            message => message.to_owned(),
        }
    }
}
