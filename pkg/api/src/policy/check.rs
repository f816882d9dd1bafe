//! Admission policies and their bindings as objects: defaults, and what is wrong with one (upstream
//! `pkg/apis/admissionregistration/v1`, `.../validation`). Expressions must compile.

use serde_json::{Value, json};

use super::check_rules::{check_param_ref, check_resources, only_writes};
use super::expressions::{Composition, Conditions, scope};
use crate::cel::{Decl, Program, Scope, Type};
use crate::field::FieldError;
use crate::names;

const REASONS: [&str; 4] = ["Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized"];

/// Fills defaults of all four kinds.
pub fn default(new: &mut Value, _old: Option<&Value>) {
    let spec = &mut new["spec"];
    if !spec.is_object() {
        return;
    }
    let policy = spec.get("policyName").is_none();
    if policy && spec["failurePolicy"].is_null() {
        spec["failurePolicy"] = json!("Fail");
    }
    let holder = if policy { "matchConstraints" } else { "matchResources" };
    if !spec[holder].is_object() {
        if let Value::Object(spec) = spec {
            spec.shift_remove(holder);
        }
        return;
    }
    let resources = &mut spec[holder];
    for (key, value) in
        [("matchPolicy", json!("Equivalent")), ("namespaceSelector", json!({})), ("objectSelector", json!({}))]
    {
        if resources[key].is_null() {
            resources[key] = value;
        }
    }
    for rules in ["resourceRules", "excludeResourceRules"] {
        for rule in resources.get_mut(rules).and_then(Value::as_array_mut).into_iter().flatten() {
            if rule["scope"].is_null() {
                rule["scope"] = json!("*");
            }
        }
        if resources[rules].is_null()
            && let Value::Object(resources) = resources
        {
            resources.shift_remove(rules);
        }
    }
}

/// A text of an object, empty when it is not there.
pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// A list of an object, empty when it is not there.
pub(crate) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Longest expression of an audit annotation's value, in bytes.
const VALUE: usize = 5 * 1024;

/// What the value of an audit annotation may be.
const TEXT_OR_NULL: &str = "one of [string null_type]";

/// Everything wrong with a ValidatingAdmissionPolicy.
pub fn validate_validating(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    if old.is_some_and(|old| old["spec"] == new["spec"]) {
        return Vec::new();
    }
    let (spec, mut errors) = (&new["spec"], Vec::new());
    let scope = policy(spec, &mut errors);
    let annotations = list(spec, "auditAnnotations");
    if list(spec, "validations").is_empty() && annotations.is_empty() {
        let detail = "validations or auditAnnotations must contain at least one item";
        errors.push(FieldError::required("spec.validations", detail));
        errors.push(FieldError::required("spec.auditAnnotations", detail));
    }
    for (index, validation) in list(spec, "validations").iter().enumerate() {
        check_validation(validation, &format!("spec.validations[{index}]"), &scope, &mut errors);
    }
    if annotations.len() > 20 {
        let detail = "must not have more than 20 auditAnnotations";
        errors.push(FieldError::invalid("spec.auditAnnotations", spec["auditAnnotations"].clone(), detail));
    }
    for (index, annotation) in annotations.iter().enumerate() {
        let at = format!("spec.auditAnnotations[{index}]");
        let (name, key) = (crate::meta::name(new), text(annotation, "key"));
        if name.is_empty() {
            errors.push(FieldError::invalid(format!("{at}.key"), key, "requires metadata.name be non-empty"));
        }
        let full = format!("{name}/{key}");
        for complaint in names::qualified_name(&full).into_iter().filter(|_| !name.is_empty()) {
            errors.push(FieldError::invalid(format!("{at}.key"), full.as_str(), complaint));
        }
        if annotations[..index].iter().any(|other| other["key"] == annotation["key"]) {
            errors.push(FieldError::duplicate(format!("{at}.key"), annotation["key"].clone()));
        }
        let field = format!("{at}.valueExpression");
        if text(annotation, "valueExpression").trim().len() > VALUE {
            errors.push(FieldError::required(field, format!("must not exceed {VALUE} bytes in length")));
            continue;
        }
        let (missing, wanted) = ("valueExpression is not specified", Some(TEXT_OR_NULL));
        compile(annotation, "valueExpression", &field, missing, &scope, wanted, &mut errors);
    }
    errors
}

/// Everything wrong with a MutatingAdmissionPolicy.
pub fn validate_mutating(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    if old.is_some_and(|old| old["spec"] == new["spec"]) {
        return Vec::new();
    }
    let (spec, mut errors) = (&new["spec"], Vec::new());
    let mut scope = policy(spec, &mut errors);
    scope.builds_objects = true;
    only_writes(&spec["matchConstraints"], "spec.matchConstraints", &mut errors);
    if list(spec, "mutations").is_empty() {
        errors.push(FieldError::required("spec.mutations", "mutations must contain at least one item"));
    }
    for (index, mutation) in list(spec, "mutations").iter().enumerate() {
        let at = format!("spec.mutations[{index}]");
        let (wanted, other, yields) = match text(mutation, "patchType") {
            "" => {
                errors.push(FieldError::required(format!("{at}.patchType"), ""));
                continue;
            }
            "JSONPatch" => ("jsonPatch", "applyConfiguration", "array of JSONPatch"),
            "ApplyConfiguration" => ("applyConfiguration", "jsonPatch", "Object"),
            unknown => {
                let known = ["ApplyConfiguration", "JSONPatch"];
                errors.push(FieldError::not_supported(format!("{at}.patchType"), unknown, &known));
                continue;
            }
        };
        let kind = text(mutation, "patchType");
        if mutation[wanted].is_object() {
            let field = format!("{at}.{wanted}.expression");
            compile(
                &mutation[wanted],
                "expression",
                &field,
                "expression is not specified",
                &scope,
                Some(yields),
                &mut errors,
            );
        } else {
            let detail = format!("must be specified when patchType is {kind}");
            errors.push(FieldError::required(format!("{at}.{wanted}"), detail));
        }
        if mutation[other].is_object() {
            let detail = format!("must not be specified when patchType is {kind}");
            errors.push(FieldError::invalid(format!("{at}.{other}"), format!("{{{other}}}"), detail));
        }
    }
    match text(spec, "reinvocationPolicy") {
        "" => errors.push(FieldError::required("spec.reinvocationPolicy", "")),
        "Never" | "IfNeeded" => {}
        other => errors.push(FieldError::not_supported("spec.reinvocationPolicy", other, &["IfNeeded", "Never"])),
    }
    errors
}

/// Everything wrong with a binding; `validating`: of a ValidatingAdmissionPolicy.
pub fn validate_binding(new: &Value, validating: bool) -> Vec<FieldError> {
    let (spec, mut errors) = (&new["spec"], Vec::new());
    let name = text(spec, "policyName");
    if name.is_empty() {
        errors.push(FieldError::required("spec.policyName", ""));
    } else {
        let complaints = names::subdomain(name).into_iter();
        errors.extend(complaints.map(|complaint| FieldError::invalid("spec.policyName", name, complaint)));
    }
    if spec["paramRef"].is_object() {
        check_param_ref(&spec["paramRef"], &mut errors);
    }
    if spec["matchResources"].is_object() {
        check_resources(&spec["matchResources"], "spec.matchResources", &mut errors);
    }
    if !validating {
        only_writes(&spec["matchResources"], "spec.matchResources", &mut errors);
        return errors;
    }
    let actions = list(spec, "validationActions");
    if actions.is_empty() {
        errors.push(FieldError::required("spec.validationActions", "at least one validation action is required"));
    }
    for (index, action) in actions.iter().enumerate() {
        let at = format!("spec.validationActions[{index}]");
        if !["Audit", "Deny", "Warn"].contains(&action.as_str().unwrap_or_default()) {
            errors.push(FieldError::not_supported(at.clone(), action.clone(), &["Audit", "Deny", "Warn"]));
        }
        if actions[..index].contains(action) {
            errors.push(FieldError::duplicate(at, action.clone()));
        }
    }
    if actions.iter().any(|action| action == "Deny") && actions.iter().any(|action| action == "Warn") {
        let detail = "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)";
        errors.push(FieldError::invalid("spec.validationActions", spec["validationActions"].clone(), detail));
    }
    errors
}

/// What both kinds of policies have; answers what their expressions may name.
fn policy(spec: &Value, errors: &mut Vec<FieldError>) -> Scope {
    match text(spec, "failurePolicy") {
        "" => errors.push(FieldError::required("spec.failurePolicy", "")),
        "Fail" | "Ignore" => {}
        other => errors.push(FieldError::not_supported("spec.failurePolicy", other, &["Fail", "Ignore"])),
    }
    if spec["paramKind"].is_object() {
        for key in ["apiVersion", "kind"] {
            if text(&spec["paramKind"], key).is_empty() {
                errors.push(FieldError::required(format!("spec.paramKind.{key}"), ""));
            }
        }
    }
    if spec["matchConstraints"].is_object() {
        check_resources(&spec["matchConstraints"], "spec.matchConstraints", errors);
        if list(&spec["matchConstraints"], "resourceRules").is_empty() {
            errors.push(FieldError::required("spec.matchConstraints.resourceRules", ""));
        }
    } else {
        errors.push(FieldError::required("spec.matchConstraints", ""));
    }
    let params = Decl::of(Type::Dyn);
    let mut scope = scope(spec["paramKind"].is_object().then_some(&params), None);
    check_conditions_within(&spec["matchConditions"], "spec.matchConditions", &scope, errors);
    for (index, variable) in list(spec, "variables").iter().enumerate() {
        let at = format!("spec.variables[{index}]");
        let name = text(variable, "name");
        let identifier = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if name.trim().is_empty() {
            errors.push(FieldError::required(format!("{at}.name"), "name is not specified"));
        } else if !identifier {
            errors.push(FieldError::invalid(format!("{at}.name"), name, "must be a valid CEL identifier"));
        }
        // Each may name those before it.
        let mut known = scope.clone();
        Composition::compile(&json!({"variables": list(spec, "variables")[..index]}), &mut known);
        let field = format!("{at}.expression");
        compile(variable, "expression", &field, "expression is not specified", &known, None, errors);
    }
    Composition::compile(spec, &mut scope);
    scope
}

/// Complaints about `matchConditions` of a webhook, which has no parameters.
pub(crate) fn check_conditions(conditions: &Value, path: &str, errors: &mut Vec<FieldError>) {
    check_conditions_within(conditions, path, &scope(None, None), errors);
}

fn check_conditions_within(conditions: &Value, path: &str, scope: &Scope, errors: &mut Vec<FieldError>) {
    let all = conditions.as_array().map(Vec::as_slice).unwrap_or_default();
    if all.len() > 64 {
        errors.push(FieldError::too_many(path, all.len(), 64));
    }
    let compiled = Conditions::within(conditions, scope);
    let complaints: Vec<(usize, String)> =
        compiled.complaints().map(|(index, cause)| (index, cause.to_owned())).collect();
    for (index, condition) in all.iter().enumerate() {
        let at = format!("{path}[{index}]");
        if text(condition, "expression").trim().is_empty() {
            errors.push(FieldError::required(format!("{at}.expression"), ""));
        } else if let Some((_, cause)) = complaints.iter().find(|(place, _)| *place == index) {
            let detail = format!("compilation failed: {cause}");
            errors.push(FieldError::invalid(format!("{at}.expression"), condition["expression"].clone(), detail));
        }
        let name = text(condition, "name");
        if name.is_empty() {
            errors.push(FieldError::required(format!("{at}.name"), ""));
        } else {
            let complaints = names::qualified_name(name).into_iter();
            errors.extend(complaints.map(|complaint| FieldError::invalid(format!("{at}.name"), name, complaint)));
        }
        if all[..index].iter().any(|other| other["name"] == condition["name"]) {
            errors.push(FieldError::duplicate(format!("{at}.name"), name));
        }
    }
}

/// Complains unless an expression is there, compiles and yields what is wanted.
fn compile(
    holder: &Value,
    key: &str,
    field: &str,
    missing: &str,
    scope: &Scope,
    yields: Option<&str>,
    errors: &mut Vec<FieldError>,
) {
    let expression = text(holder, key);
    if expression.trim().is_empty() {
        errors.push(FieldError::required(field, missing));
        return;
    }
    match Program::compile(expression, scope) {
        Err(cause) => errors.push(FieldError::invalid(field, expression, format!("compilation failed: {cause}"))),
        Ok(program) => {
            let good = match (yields, &program.yields) {
                (None, _) | (_, Type::Dyn) => true,
                (Some("bool"), kind) => matches!(kind, Type::Bool),
                (Some("string"), kind) => matches!(kind, Type::Str),
                (Some(TEXT_OR_NULL), kind) => matches!(kind, Type::Str | Type::Null),
                (Some("Object"), kind) => matches!(kind, Type::Opaque("Object")),
                (Some(_), Type::List(inner)) => matches!(**inner, Type::Opaque("JSONPatch") | Type::Dyn),
                _ => false,
            };
            if !good {
                let found = match &program.yields {
                    Type::Null => "null_type".to_owned(),
                    Type::Time => "google.protobuf.Timestamp".to_owned(),
                    Type::Duration => "google.protobuf.Duration".to_owned(),
                    other => other.to_string(),
                };
                let detail = format!("must evaluate to {} but got {found}", yields.unwrap_or_default());
                errors.push(FieldError::invalid(field, expression, detail));
            }
        }
    }
}

fn check_validation(validation: &Value, at: &str, scope: &Scope, errors: &mut Vec<FieldError>) {
    let field = format!("{at}.expression");
    compile(validation, "expression", &field, "expression is not specified", scope, Some("bool"), errors);
    let own = |key: &str| text(validation, key);
    if !own("messageExpression").is_empty() {
        let field = format!("{at}.messageExpression");
        if own("messageExpression").trim().is_empty() {
            errors.push(FieldError::invalid(field, own("messageExpression"), "must be non-empty if specified"));
        } else {
            compile(validation, "messageExpression", &field, "", scope, Some("string"), errors);
        }
    }
    if !own("message").is_empty() && own("message").trim().is_empty() {
        errors.push(FieldError::invalid(format!("{at}.message"), own("message"), "must be non-empty if specified"));
    } else if own("message").trim().contains(['\n', '\r']) {
        errors.push(FieldError::invalid(format!("{at}.message"), own("message"), "must not contain line breaks"));
    }
    if let Some(reason) = validation["reason"].as_str().filter(|reason| !REASONS.contains(reason)) {
        errors.push(FieldError::not_supported(format!("{at}.reason"), reason, &REASONS));
    }
}
