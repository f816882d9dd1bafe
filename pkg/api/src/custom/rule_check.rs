//! What rules of a definition must be: that they compile against their schema, and that nobody's object can make them
//! dear (apiextensions `apis/apiextensions/validation`, `cel_validation.go`).

use serde_json::Value;

use super::rules::{self, Rule, Ruled};
use super::{schema_check, structure};
use crate::cel::{Decl, ESTIMATE_LIMIT, TOTAL_ESTIMATE_LIMIT};
use crate::field::FieldError;

/// Largest request, in bytes.
const REQUEST: u64 = 3 * 1024 * 1024;

const REASONS: [&str; 4] = ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

/// Complaints about all rules of a version's schema, which is structural.
pub(super) fn check(schema: &Value, path: &str) -> Vec<FieldError> {
    let mut walk = Walk { errors: Vec::new(), total: 0, dearest: Vec::new() };
    walk.place(schema, path, true, Some(1), None);
    if walk.total > TOTAL_ESTIMATE_LIMIT {
        walk.dearest.sort_by_key(|(cost, _)| std::cmp::Reverse(*cost));
        for (_, path) in walk.dearest.iter().take(4) {
            let detail = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
            walk.errors.push(FieldError::forbidden(path.clone(), detail));
        }
        let what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        walk.errors.push(FieldError::forbidden(path, too_dear(what, walk.total, TOTAL_ESTIMATE_LIMIT)));
    }
    walk.errors
}

fn too_dear(what: &str, cost: u64, limit: u64) -> String {
    let factor = cost as f64 / limit as f64;
    let factor = if factor > 100.0 {
        "more than 100x".to_owned()
    } else if factor < 1.5 {
        format!("{factor:.6}x")
    } else {
        format!("{factor:.1}x")
    };
    format!(
        "{what} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"
    )
}

struct Walk {
    errors: Vec<FieldError>,
    total: u64,
    dearest: Vec<(u64, String)>,
}

impl Walk {
    /// `times`: how often the place may be there in one object; `None` when nothing bounds it. `loose`: the place above
    /// whose items cannot be told apart between two states.
    fn place(&mut self, schema: &Value, path: &str, root: bool, times: Option<u64>, loose: Option<&str>) {
        let bounded = |key: &str| schema[key].as_u64().zip(times).map(|(most, times)| times.saturating_mul(most));
        for (key, inner) in schema["properties"].as_object().into_iter().flatten() {
            self.place(inner, &format!("{path}.properties[{key}]"), false, times, loose);
        }
        if schema["additionalProperties"].is_object() {
            let at = format!("{path}.additionalProperties");
            self.place(&schema["additionalProperties"], &at, false, bounded("maxProperties"), loose);
        }
        if schema["items"].is_object() {
            let loose = if schema["x-kubernetes-list-type"] == "map" { loose } else { Some(loose.unwrap_or(path)) };
            self.place(&schema["items"], &format!("{path}.items"), false, bounded("maxItems"), loose);
        }
        self.default(schema, path, root);
        let rules = schema["x-kubernetes-validations"].as_array().map(Vec::as_slice).unwrap_or_default();
        if rules.is_empty() {
            return;
        }
        let Some(decl) = Decl::of_schema(schema, "object", root) else {
            let detail = "internal error: failed to retrieve type information for x-kubernetes-validations";
            self.errors.push(FieldError::internal(format!("{path}.x-kubernetes-validations"), detail));
            return;
        };
        let times = times.unwrap_or(REQUEST / (decl.least + 1));
        for (index, rule) in rules.iter().enumerate() {
            let at = format!("{path}.x-kubernetes-validations[{index}]");
            let before = self.errors.len();
            self.words(rule, schema, &at);
            if self.errors.len() == before {
                self.rule(rule, &decl, &at, times, loose);
            }
        }
    }

    /// Defaults keep the rules of their place, as what was there before and as what is new.
    fn default(&mut self, schema: &Value, path: &str, root: bool) {
        let Some(default) = schema.get("default").filter(|default| !default.is_null()) else { return };
        if !self.errors.is_empty() || path.contains(".additionalProperties") {
            return;
        }
        let Some(ruled) = Ruled::read(schema, root) else { return };
        for old in [Some(default), None] {
            let found = rules::complaints(&ruled, default, old);
            if !found.is_empty() {
                let at = format!("{path}.default");
                let told = |error: FieldError| FieldError { field: schema_check::inside(&at, &error.field), ..error };
                self.errors.extend(found.into_iter().map(told));
                return;
            }
        }
    }

    fn words(&mut self, rule: &Value, schema: &Value, at: &str) {
        let text = |key: &str| rule[key].as_str().unwrap_or_default();
        let given = |key: &str| rule[key].clone();
        let broken = |text: &str| text.trim().contains(['\n', '\r']);
        let mut invalid = |field: &str, detail: &str| {
            self.errors.push(FieldError::invalid(format!("{at}.{field}"), given(field), detail));
        };
        if !text("rule").trim().is_empty() {
            if !text("message").is_empty() && text("message").trim().is_empty() {
                invalid("message", "must be non-empty if specified");
            } else if broken(text("message")) {
                invalid("message", "must not contain line breaks");
            }
        }
        if !text("fieldPath").is_empty() && text("fieldPath").trim().is_empty() {
            invalid("fieldPath", "must be non-empty if specified");
        } else if text("fieldPath").contains(['\n', '\r']) {
            invalid("fieldPath", "must not contain line breaks");
        } else if !text("fieldPath").is_empty() && led(text("fieldPath").trim(), schema, true).is_err() {
            invalid("fieldPath", "must be a valid path");
        }
        if text("rule").trim().is_empty() {
            self.errors.push(FieldError::required(format!("{at}.rule"), "rule is not specified"));
        } else if broken(text("rule")) && text("message").trim().is_empty() {
            let detail = "message must be specified if rule contains line breaks";
            self.errors.push(FieldError::required(format!("{at}.message"), detail));
        }
        if !text("messageExpression").is_empty() && text("messageExpression").trim().is_empty() {
            let detail = "messageExpression must be non-empty if specified";
            self.errors.push(FieldError::required(format!("{at}.messageExpression"), detail));
        }
        if let Some(reason) = rule["reason"].as_str().filter(|reason| !REASONS.contains(reason)) {
            self.errors.push(FieldError::not_supported(format!("{at}.reason"), reason, &REASONS));
        }
    }

    fn rule(&mut self, rule: &Value, decl: &std::sync::Arc<Decl>, at: &str, times: u64, loose: Option<&str>) {
        let compiled = Rule::compile(rule, decl);
        match compiled.program() {
            Ok(program) => self.cost("rule", "estimated rule cost", at, program.most.saturating_mul(times)),
            Err(cause) => {
                self.errors.push(FieldError::invalid(format!("{at}.rule"), rule.clone(), cause));
                return;
            }
        }
        match &compiled.message_program {
            Some(Ok(program)) => self.cost("messageExpression", "estimated messageExpression cost", at, program.most),
            Some(Err(cause)) => {
                self.errors.push(FieldError::invalid(format!("{at}.messageExpression"), rule.clone(), cause.as_str()));
            }
            None => {}
        }
        match (compiled.uses_old(), loose) {
            (true, Some(loose)) => {
                let detail =
                    format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {loose}");
                self.errors.push(FieldError::invalid(format!("{at}.rule"), rule["rule"].clone(), detail));
            }
            (false, _) if !rule["optionalOldSelf"].is_null() => {
                let detail = "may not be set if oldSelf is not used in rule";
                self.errors.push(FieldError::invalid(
                    format!("{at}.optionalOldSelf"),
                    rule["optionalOldSelf"].clone(),
                    detail,
                ));
            }
            _ => {}
        }
    }

    fn cost(&mut self, field: &str, what: &str, at: &str, cost: u64) {
        let path = format!("{at}.{field}");
        if cost > ESTIMATE_LIMIT {
            self.errors.push(FieldError::forbidden(path.clone(), too_dear(what, cost, ESTIMATE_LIMIT)));
        }
        self.total = self.total.saturating_add(cost);
        self.dearest.push((cost, path));
    }
}

/// The place of a schema that a path such as `.a['b']` leads to; `brackets`: names may stand in them.
///
/// # Errors
/// Why it leads nowhere, as upstream's `ValidFieldPath` says it.
pub(super) fn led<'a>(path: &str, schema: &'a Value, brackets: bool) -> Result<&'a Value, String> {
    let (mut rest, mut here) = (path, schema);
    while let Some(first) = rest.chars().next() {
        let (name, after) = match first {
            '[' if !brackets => return Err("array notation is not allowed".to_owned()),
            '[' => {
                let inside = rest[1..].strip_prefix('\'').ok_or_else(|| {
                    let token = rest[1..].split(['.', '[', ']']).next().unwrap_or_default();
                    format!("expected single quoted string but got {token}")
                })?;
                inside.split_once("']").ok_or("unexpected end of JSON path")?
            }
            '.' if rest.len() == 1 => return Err("unexpected end of JSON path".to_owned()),
            '.' => rest[1..].split_at(rest[1..].find(['.', '[', ']']).unwrap_or(rest.len() - 1)),
            _ => {
                let token = rest.split(['.', '[', ']']).next().unwrap_or_default();
                return Err(format!("expected [ or . but got: {token}"));
            }
        };
        let next = match structure::is_set(&here["properties"]) {
            true => &here["properties"][name],
            false => &here["additionalProperties"],
        };
        if !next.is_object() {
            return Err("does not refer to a valid field".to_owned());
        }
        (here, rest) = (next, after);
    }
    Ok(here)
}
