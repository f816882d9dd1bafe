//! Rules of flow control (upstream `pkg/apis/flowcontrol/validation`).

use serde_json::Value;

use super::{invalid, list, number, text};
use crate::field::FieldError;
use crate::flow::bootstrap;
use crate::names;

const VERBS: &[&str] = &["get", "list", "create", "update", "delete", "deletecollection", "patch", "watch", "proxy"];
/// Bits of the hash that deals hands of queues (apiserver `shufflesharding.MaxHashBits`).
const HASH_BITS: f64 = 60.0;

/// FlowSchema.
pub fn flow_schema(new: &Value) -> Vec<FieldError> {
    let spec = &new["spec"];
    let own_name = text(&new["metadata"], "name");
    let precedence = number(spec, "matchingPrecedence");
    let mut errors = Vec::new();
    let mut wrong = |detail: &str| errors.push(FieldError::invalid("spec.matchingPrecedence", precedence, detail));
    if precedence <= 0 {
        wrong("must be a positive value");
    }
    if precedence > 10_000 {
        wrong("must not be greater than 10000");
    }
    if precedence == 1 && own_name != "exempt" {
        wrong("only the schema named 'exempt' may have matchingPrecedence 1");
    }
    let method = &spec["distinguisherMethod"];
    if method.is_object() && !matches!(text(method, "type"), "ByNamespace" | "ByUser") {
        let known = &["ByNamespace", "ByUser"];
        errors.push(FieldError::not_supported("spec.distinguisherMethod.type", method.clone(), known));
    }
    let path = "spec.priorityLevelConfiguration.name";
    match text(&spec["priorityLevelConfiguration"], "name") {
        "" => errors.push(FieldError::required(path, "must reference a priority level")),
        level => errors.extend(invalid(path, level, names::subdomain(level))),
    }
    for (i, rule) in list(spec, "rules").iter().enumerate() {
        errors.extend(rule_of(rule, &format!("spec.rules[{i}]")));
    }
    if let Some(fixed) = mandatory("FlowSchema", own_name)
        && spec != &fixed["spec"]
    {
        let detail = format!("spec of '{own_name}' must equal the fixed value");
        errors.push(FieldError::invalid("spec", spec.clone(), detail));
    }
    errors.extend(conditions(new));
    errors
}

fn mandatory(kind: &str, name: &str) -> Option<&'static Value> {
    let mut all = bootstrap().iter().filter(|one| one.mandatory).map(|one| &one.object);
    all.find(|object| object["kind"] == *kind && object["metadata"]["name"] == *name)
}

fn conditions(new: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let all = list(&new["status"], "conditions");
    for (i, condition) in all.iter().enumerate() {
        let (path, kind) = (format!("status.conditions[{i}].type"), text(condition, "type"));
        if all[..i].iter().any(|before| text(before, "type") == kind) {
            errors.push(FieldError::duplicate(&path, kind));
        }
        if kind.is_empty() {
            errors.push(FieldError::required(path, ""));
        }
    }
    errors
}

fn rule_of(rule: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let subjects = list(rule, "subjects");
    if subjects.is_empty() {
        errors.push(FieldError::required(format!("{path}.subjects"), "subjects must contain at least one value"));
    }
    for (i, subject) in subjects.iter().enumerate() {
        errors.extend(subject_of(subject, &format!("{path}.subjects[{i}]")));
    }
    let (resources, paths) = (list(rule, "resourceRules"), list(rule, "nonResourceRules"));
    if resources.is_empty() && paths.is_empty() {
        let detail = "at least one of resourceRules and nonResourceRules has to be non-empty";
        errors.push(FieldError::required(path, detail));
    }
    for (i, rule) in resources.iter().enumerate() {
        errors.extend(resource_rule(rule, &format!("{path}.resourceRules[{i}]")));
    }
    for (i, rule) in paths.iter().enumerate() {
        errors.extend(path_rule(rule, &format!("{path}.nonResourceRules[{i}]")));
    }
    errors
}

fn subject_of(subject: &Value, path: &str) -> Vec<FieldError> {
    const KINDS: [(&str, &str); 3] = [("ServiceAccount", "serviceAccount"), ("User", "user"), ("Group", "group")];
    let kind = text(subject, "kind");
    let Some((_, own)) = KINDS.iter().find(|(known, _)| *known == kind) else {
        return vec![FieldError::not_supported(format!("{path}.kind"), kind, &["Group", "ServiceAccount", "User"])];
    };
    let mut errors = Vec::new();
    let inner = &subject[*own];
    if inner.is_null() {
        let detail = format!("{own} is required when subject kind is '{kind}'");
        errors.push(FieldError::required(format!("{path}.{own}"), detail));
    } else {
        let name_path = format!("{path}.{own}.name");
        match text(inner, "name") {
            "" => errors.push(FieldError::required(name_path, "")),
            "*" => {}
            name if kind == "ServiceAccount" => errors.extend(invalid(&name_path, name, names::subdomain(name))),
            _ => {}
        }
        if kind == "ServiceAccount" {
            let path = format!("{path}.{own}.namespace");
            match text(inner, "namespace") {
                "" => errors.push(FieldError::required(path, "must specify namespace for service account")),
                namespace => errors.extend(invalid(&path, namespace, names::label(namespace))),
            }
        }
    }
    // Upstream names the others in this order.
    for (other, field) in [KINDS[1], KINDS[0], KINDS[2]] {
        if field != *own && !subject[field].is_null() {
            let detail = format!("{field} is forbidden when subject kind is not '{other}'");
            errors.push(FieldError::forbidden(format!("{path}.{field}"), detail));
        }
    }
    errors
}

fn verbs(rule: &Value, path: &str) -> Vec<FieldError> {
    let (all, path) = (list(rule, "verbs"), format!("{path}.verbs"));
    if all.is_empty() {
        return vec![FieldError::required(path, "verbs must contain at least one value")];
    }
    if all.iter().any(|verb| verb == "*") {
        return alone(all, path, "verbs");
    }
    let known = all.iter().all(|verb| verb.as_str().is_some_and(|verb| VERBS.contains(&verb)));
    if known { Vec::new() } else { vec![FieldError::not_supported(path, all.to_vec(), VERBS)] }
}

/// `*` stands for all: nothing may stand beside it.
fn alone(all: &[Value], path: String, what: &str) -> Vec<FieldError> {
    if all.len() < 2 {
        return Vec::new();
    }
    vec![FieldError::invalid(path, all.to_vec(), format!("if '*' is present, must not specify other {what}"))]
}

fn has_wildcard(all: &[Value]) -> bool {
    all.iter().any(|one| one == "*")
}

fn path_rule(rule: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = verbs(rule, path);
    let (all, path) = (list(rule, "nonResourceURLs"), format!("{path}.nonResourceURLs"));
    if all.is_empty() {
        errors.push(FieldError::required(path, "nonResourceURLs must contain at least one value"));
    } else if has_wildcard(all) {
        errors.extend(alone(all, path, "non-resource URLs"));
    } else {
        for (i, url) in all.iter().enumerate() {
            let url = url.as_str().unwrap_or_default();
            if let Some(detail) = path_complaint(url) {
                errors.push(FieldError::invalid(format!("{path}[{i}]"), url, detail));
            }
        }
    }
    errors
}

fn path_complaint(url: &str) -> Option<&'static str> {
    let stars = url.matches('*').count();
    match url {
        "" => Some("must not be empty"),
        "/" => None,
        _ if !url.starts_with('/') => Some("must start with slash"),
        _ if url.contains(' ') => Some("must not contain white-space"),
        _ if url.contains("//") => Some("must not contain double slash"),
        _ if stars > 1 || (stars == 1 && !url.ends_with("/*")) => Some("wildcard can only do suffix matching"),
        _ => None,
    }
}

fn resource_rule(rule: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = verbs(rule, path);
    for (field, one, other) in [("apiGroups", "api group", "api groups"), ("resources", "resource", "resources")] {
        let (all, path) = (list(rule, field), format!("{path}.{field}"));
        if all.is_empty() {
            errors.push(FieldError::required(path, format!("resource rules must supply at least one {one}")));
        } else if has_wildcard(all) {
            errors.extend(alone(all, path, other));
        }
    }
    let (all, path) = (list(rule, "namespaces"), format!("{path}.namespaces"));
    if all.is_empty() && rule["clusterScope"] != true {
        let detail = "resource rules that are not cluster scoped must supply at least one namespace";
        errors.push(FieldError::required(path, detail));
    } else if has_wildcard(all) {
        errors.extend(alone(all, path, "namespaces"));
    } else {
        for (i, namespace) in all.iter().enumerate() {
            let namespace = namespace.as_str().unwrap_or_default();
            for why in names::label(namespace) {
                let detail = format!("each member of this list must be '*' or a DNS-1123 label; {why}");
                errors.push(FieldError::invalid(format!("{path}[{i}]"), namespace, detail));
            }
        }
    }
    errors
}

/// PriorityLevelConfiguration.
pub fn priority_level(new: &Value) -> Vec<FieldError> {
    const BETA: &str = "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares";
    let (spec, own_name) = (&new["spec"], text(&new["metadata"], "name"));
    let mut errors = Vec::new();
    if !new["metadata"]["annotations"][BETA].is_null() {
        errors.push(FieldError::forbidden("metadata.annotations", format!("annotation '{BETA}' is forbidden")));
    }
    let kind = text(spec, "type");
    if (own_name == "exempt") != (kind == "Exempt") {
        errors.push(FieldError::invalid("spec.type", kind, "must be 'Exempt' if and only if `name` is 'exempt'"));
    }
    let (limited, exempt) = (&spec["limited"], &spec["exempt"]);
    match kind {
        "Exempt" => {
            if !limited.is_null() {
                errors.push(FieldError::forbidden("spec.limited", "must be nil if the type is not Limited"));
            }
            errors.extend(shares(exempt, "spec.exempt"));
        }
        "Limited" => {
            if !exempt.is_null() {
                errors.push(FieldError::forbidden("spec.exempt", "must be nil if the type is Limited"));
            }
            match limited.is_null() {
                true => errors.push(FieldError::required("spec.limited", "must not be empty when type is Limited")),
                false => errors.extend(limited_level(limited)),
            }
        }
        "" => errors.push(FieldError::required("spec.type", "")),
        other => errors.push(FieldError::not_supported("spec.type", other, &["Exempt", "Limited"])),
    }
    if let Some(fixed) = mandatory("PriorityLevelConfiguration", own_name) {
        let mut compared = spec.clone();
        let is_exempt = own_name == "exempt";
        if is_exempt {
            compared["exempt"] = fixed["spec"]["exempt"].clone();
        }
        if compared != fixed["spec"] {
            let but = if is_exempt { " except the 'spec.exempt' field" } else { "" };
            let detail = format!("spec of '{own_name}'{but} must equal the fixed value");
            errors.push(FieldError::invalid("spec", spec.clone(), detail));
        }
    }
    errors.extend(conditions(new));
    errors
}

fn shares(part: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let shares = number(part, "nominalConcurrencyShares");
    if shares < 0 {
        let path = format!("{path}.nominalConcurrencyShares");
        errors.push(FieldError::invalid(path, shares, "must be a non-negative integer"));
    }
    let lendable = number(part, "lendablePercent");
    if !(0..=100).contains(&lendable) {
        let path = format!("{path}.lendablePercent");
        errors.push(FieldError::invalid(path, lendable, "must be between 0 and 100, inclusive"));
    }
    errors
}

fn limited_level(limited: &Value) -> Vec<FieldError> {
    let mut all = shares(limited, "spec.limited");
    // Upstream looks at the response between the two.
    let at = usize::from(number(limited, "nominalConcurrencyShares") < 0);
    let after = all.split_off(at);
    let path = "spec.limited.limitResponse";
    let response = &limited["limitResponse"];
    let queuing = &response["queuing"];
    match text(response, "type") {
        "Reject" if !queuing.is_null() => {
            let detail = "must be nil if limited.limitResponse.type is not Limited";
            all.push(FieldError::forbidden(format!("{path}.queuing"), detail));
        }
        "Reject" => {}
        "Queue" if queuing.is_null() => {
            let detail = "must not be empty if limited.limitResponse.type is Limited";
            all.push(FieldError::required(format!("{path}.queuing"), detail));
        }
        "Queue" => all.extend(queues(queuing, &format!("{path}.queuing"))),
        "" => all.push(FieldError::required(format!("{path}.type"), "")),
        other => all.push(FieldError::not_supported(format!("{path}.type"), other, &["Queue", "Reject"])),
    }
    all.extend(after);
    let borrowing = number(limited, "borrowingLimitPercent");
    if borrowing < 0 {
        let detail = "if specified, must be a non-negative integer";
        all.push(FieldError::invalid("spec.limited.borrowingLimitPercent", borrowing, detail));
    }
    all
}

fn queues(queuing: &Value, path: &str) -> Vec<FieldError> {
    const MOST: i64 = 10_000_000;
    let (queues, hand, length) =
        (number(queuing, "queues"), number(queuing, "handSize"), number(queuing, "queueLengthLimit"));
    let mut errors = Vec::new();
    let mut wrong = |field: &str, value: i64, detail: String| {
        errors.push(FieldError::invalid(format!("{path}.{field}"), value, detail));
    };
    if length <= 0 {
        wrong("queueLengthLimit", length, "must be positive".into());
    }
    if queues <= 0 {
        wrong("queues", queues, "must be positive".into());
    } else if queues > MOST {
        wrong("queues", queues, format!("must not be greater than {MOST}"));
    }
    if hand <= 0 {
        wrong("handSize", hand, "must be positive".into());
    } else if hand > queues {
        wrong("handSize", hand, format!("should not be greater than queues ({queues})"));
    } else {
        // A hand larger than the bits needs more of them whatever the deck: no need to add up further.
        let bits: f64 = (0..hand.min(64)).map(|dealt| ((queues - dealt) as f64).log2()).sum();
        if bits.ceil() > HASH_BITS {
            let detail = format!(
                "required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {HASH_BITS}"
            );
            wrong("handSize", hand, detail);
        }
    }
    errors
}
