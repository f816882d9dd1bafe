//! Whether a request is one that rules are about (apiserver `policy/matching`, `webhook/predicates`).

use serde_json::Value;

use super::Attributes;
use crate::selector::LabelSelector;

/// Whether `matchConstraints` or `matchResources` of a policy or binding are about a request.
///
/// # Errors
/// A selector that cannot be read.
pub fn matches(resources: &Value, request: &Attributes<'_>) -> Result<bool, String> {
    if !selected(resources, request)? {
        return Ok(false);
    }
    let places = places(resources, request);
    let any = |rules: &Value| {
        rules
            .as_array()
            .into_iter()
            .flatten()
            .any(|rule| places.iter().any(|place| rule_matches(rule, request, *place)))
    };
    if any(&resources["excludeResourceRules"]) {
        return Ok(false);
    }
    let rules = &resources["resourceRules"];
    Ok(rules.as_array().is_none_or(Vec::is_empty) || any(rules))
}

/// The group and version in which a webhook wants to be asked about a request, by its `rules` and selectors; `None` where
/// it is not asked. The request's own come first, then earlier rules before later ones.
///
/// # Errors
/// A selector that cannot be read.
pub fn invoked<'a>(webhook: &Value, request: &Attributes<'a>) -> Result<Option<(&'a str, &'a str)>, String> {
    let places = places(webhook, request);
    let rules = || webhook["rules"].as_array().into_iter().flatten();
    let own = rules().any(|rule| rule_matches(rule, request, places[0])).then_some(places[0]);
    let other =
        || rules().find_map(|rule| places[1..].iter().find(|place| rule_matches(rule, request, **place)).copied());
    let found = own.or_else(other);
    Ok(if found.is_some() && selected(webhook, request)? { found } else { None })
}

/// The request's own group and version, and those that count as the same.
fn places<'a>(holder: &Value, request: &Attributes<'a>) -> Vec<(&'a str, &'a str)> {
    let own = (request.group, request.version);
    let others = request.equivalents.iter().copied().filter(|place| *place != own && holder["matchPolicy"] != "Exact");
    std::iter::once(own).chain(others).collect()
}

fn selected(holder: &Value, request: &Attributes<'_>) -> Result<bool, String> {
    let selector = |value: &Value| match value {
        Value::Null => Ok(LabelSelector::everything()),
        value => LabelSelector::from_object(value),
    };
    let namespaces = selector(&holder["namespaceSelector"])?;
    if !namespaces.is_everything() {
        let labels = match (request.kind, request.group) {
            ("Namespace", "") => request.object.or(request.old).map(|object| &object["metadata"]["labels"]),
            _ => request.namespace_object.map(|namespace| &namespace["metadata"]["labels"]),
        };
        // What is in no namespace is not kept out by one.
        if labels.is_some_and(|labels| !namespaces.matches(labels)) {
            return Ok(false);
        }
    }
    let objects = selector(&holder["objectSelector"])?;
    let fits = |object: Option<&Value>| object.is_some_and(|object| objects.matches(&object["metadata"]["labels"]));
    Ok(objects.is_everything() || fits(request.object) || fits(request.old))
}

fn rule_matches(rule: &Value, request: &Attributes<'_>, (group, version): (&str, &str)) -> bool {
    let has = |field: &str, wanted: &str| {
        rule[field].as_array().into_iter().flatten().filter_map(Value::as_str).any(|one| one == "*" || one == wanted)
    };
    let scope = match rule["scope"].as_str() {
        None | Some("*" | "") => true,
        Some("Namespaced") => !request.namespace.is_empty() && request.resource != "namespaces",
        Some(_) => request.namespace.is_empty() || request.resource == "namespaces",
    };
    let names = rule["resourceNames"].as_array().map(Vec::as_slice).unwrap_or_default();
    has("operations", request.operation)
        && has("apiGroups", group)
        && has("apiVersions", version)
        && scope
        && rule["resources"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .any(|one| names_it(one, request))
        && (names.is_empty() || names.iter().any(|name| name == request.name))
}

/// `pods`, `pods/status`, `pods/*`, `*/status`, `*` or `*/*`.
fn names_it(pattern: &str, request: &Attributes<'_>) -> bool {
    let (resource, subresource) = pattern.split_once('/').unwrap_or((pattern, ""));
    (resource == "*" || resource == request.resource) && (subresource == "*" || subresource == request.subresource)
}
