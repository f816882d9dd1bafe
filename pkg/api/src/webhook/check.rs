//! Webhook configurations as objects: defaults, and what is wrong with one (upstream `pkg/apis/admissionregistration/v1`,
//! `.../validation`). The rules of both kinds are the same but for `reinvocationPolicy`.

use serde_json::{Value, json};

use super::place::check_client;
use crate::field::FieldError;
use crate::names;
use crate::policy::{check_conditions, check_rule, list, text};
use crate::validate::label_selector;

const SIDE_EFFECTS: [&str; 2] = ["None", "NoneOnDryRun"];
const REVIEWS: [&str; 2] = ["v1", "v1beta1"];

/// Fills defaults; `mutating`: of a MutatingWebhookConfiguration.
pub fn default(new: &mut Value, mutating: bool) {
    for webhook in new.get_mut("webhooks").and_then(Value::as_array_mut).into_iter().flatten() {
        let defaults = [
            ("failurePolicy", json!("Fail")),
            ("matchPolicy", json!("Equivalent")),
            ("namespaceSelector", json!({})),
            ("objectSelector", json!({})),
            ("timeoutSeconds", json!(super::SECONDS)),
        ];
        let again = mutating.then(|| ("reinvocationPolicy", json!("Never")));
        for (key, value) in defaults.into_iter().chain(again) {
            if webhook[key].is_null() {
                webhook[key] = value;
            }
        }
        for rule in webhook.get_mut("rules").and_then(Value::as_array_mut).into_iter().flatten() {
            if rule["scope"].is_null() {
                rule["scope"] = json!("*");
            }
        }
        let service = webhook.get_mut("clientConfig").and_then(|config| config.get_mut("service"));
        if let Some(service) = service.filter(|service| service.is_object() && service["port"].is_null()) {
            service["port"] = json!(443);
        }
    }
}

/// Everything wrong with a configuration; `mutating`: a MutatingWebhookConfiguration.
pub fn validate(new: &Value, old: Option<&Value>, mutating: bool) -> Vec<FieldError> {
    let webhooks = list(new, "webhooks");
    let before = old.map(|old| list(old, "webhooks")).unwrap_or_default();
    let conditions = |all: &[Value]| -> Vec<Value> { all.iter().map(|one| one["matchConditions"].clone()).collect() };
    let known = old.is_some() && conditions(webhooks) == conditions(before);
    let mut errors = Vec::new();
    for (index, webhook) in webhooks.iter().enumerate() {
        let at = format!("webhooks[{index}]");
        check_webhook(webhook, &at, known, mutating, &mut errors);
        check_reviews(webhook, &format!("{at}.admissionReviewVersions"), &mut errors);
        let name = text(webhook, "name");
        if !name.is_empty() && webhooks[..index].iter().any(|other| other["name"] == name) {
            errors.push(FieldError::duplicate(format!("{at}.name"), name));
        }
    }
    errors
}

/// `known`: the conditions are those that were accepted before.
fn check_webhook(webhook: &Value, at: &str, known: bool, mutating: bool, errors: &mut Vec<FieldError>) {
    check_name(text(webhook, "name"), &format!("{at}.name"), errors);
    for (index, rule) in list(webhook, "rules").iter().enumerate() {
        check_rule(rule, &format!("{at}.rules[{index}]"), errors);
    }
    let mut one_of = |key: &str, allowed: &[&str]| {
        if let Some(other) = webhook[key].as_str().filter(|given| !allowed.contains(given)) {
            errors.push(FieldError::not_supported(format!("{at}.{key}"), other, allowed));
        }
    };
    one_of("failurePolicy", &["Fail", "Ignore"]);
    one_of("matchPolicy", &["Equivalent", "Exact"]);
    if webhook["sideEffects"].is_null() {
        let detail = format!("must specify one of {}", SIDE_EFFECTS.join(", "));
        errors.push(FieldError::required(format!("{at}.sideEffects"), detail));
    } else {
        one_of("sideEffects", &SIDE_EFFECTS);
    }
    if let Some(seconds) = webhook["timeoutSeconds"].as_i64().filter(|seconds| !(1..=30).contains(seconds)) {
        let detail = "the timeout value must be between 1 and 30 seconds";
        errors.push(FieldError::invalid(format!("{at}.timeoutSeconds"), seconds, detail));
    }
    for key in ["namespaceSelector", "objectSelector"] {
        errors.extend(label_selector(&format!("{at}.{key}"), &webhook[key]));
    }
    let again = webhook["reinvocationPolicy"].as_str().filter(|_| mutating);
    if let Some(other) = again.filter(|given| !["IfNeeded", "Never"].contains(given)) {
        errors.push(FieldError::not_supported(format!("{at}.reinvocationPolicy"), other, &["IfNeeded", "Never"]));
    }
    errors.extend(check_client(&webhook["clientConfig"], &format!("{at}.clientConfig")));
    if !known {
        check_conditions(&webhook["matchConditions"], &format!("{at}.matchConditions"), errors);
    }
}

/// A name of at least three parts (`IsFullyQualifiedName`).
fn check_name(name: &str, at: &str, errors: &mut Vec<FieldError>) {
    if name.is_empty() {
        errors.push(FieldError::required(at, ""));
        return;
    }
    let complaints = names::subdomain(name);
    if !complaints.is_empty() {
        errors.push(FieldError::invalid(at, name, complaints.join(",")));
        return;
    }
    if name.split('.').count() < 3 {
        let detail = "should be a domain with at least three segments separated by dots";
        errors.push(FieldError::invalid(at, name, detail));
        return;
    }
    for label in name.split('.') {
        let complaints = names::label(label);
        if !complaints.is_empty() {
            errors.push(FieldError::invalid(at, label, complaints.join(",")));
            return;
        }
    }
}

fn check_reviews(webhook: &Value, at: &str, errors: &mut Vec<FieldError>) {
    let versions = list(webhook, "admissionReviewVersions");
    if versions.is_empty() {
        errors.push(FieldError::required(at, format!("must specify one of {}", REVIEWS.join(", "))));
        return;
    }
    for (index, version) in versions.iter().enumerate() {
        let path = format!("{at}[{index}]");
        if versions[..index].contains(version) {
            errors.push(FieldError::invalid(path, version.clone(), "duplicate version"));
            continue;
        }
        for complaint in names::label_1035(version.as_str().unwrap_or_default()) {
            errors.push(FieldError::invalid(path.clone(), version.clone(), complaint));
        }
    }
    if !versions.iter().any(|version| REVIEWS.contains(&version.as_str().unwrap_or_default())) {
        let detail = format!("must include at least one of {}", REVIEWS.join(", "));
        errors.push(FieldError::invalid(at, webhook["admissionReviewVersions"].clone(), detail));
    }
}
