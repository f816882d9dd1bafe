//! Rules of a Job's policies for failure and success (batch `validation.go`).

use serde_json::Value;

use super::{invalid, list, text};
use crate::field::{FieldError, quote};
use crate::names;

/// `podFailurePolicy`.
pub(super) fn pod_failure_policy(path: &str, spec: &Value) -> Vec<FieldError> {
    let rules = list(&spec["podFailurePolicy"], "rules");
    let mut errors = Vec::new();
    if rules.len() > 20 {
        errors.push(FieldError::too_many(format!("{path}.rules"), rules.len(), 20));
    }
    for (i, rule) in rules.iter().enumerate() {
        errors.extend(failure_rule(&format!("{path}.rules[{i}]"), rule, spec));
    }
    errors
}

fn failure_rule(path: &str, rule: &Value, spec: &Value) -> Vec<FieldError> {
    const ACTIONS: &[&str] = &["Count", "FailIndex", "FailJob", "Ignore"];
    let at = format!("{path}.action");
    let mut errors = Vec::new();
    match text(rule, "action") {
        "" => errors.push(FieldError::required(at, format!("valid values: {}", quoted(ACTIONS)))),
        "FailIndex" if spec["backoffLimitPerIndex"].is_null() => {
            errors.push(FieldError::invalid(at, "FailIndex", "requires the backoffLimitPerIndex to be set"));
        }
        known if ACTIONS.contains(&known) => {}
        other => errors.push(FieldError::not_supported(at, other, ACTIONS)),
    }
    let (codes, conditions) = (&rule["onExitCodes"], list(rule, "onPodConditions"));
    if codes.is_object() {
        errors.extend(exit_codes(&format!("{path}.onExitCodes"), codes, spec));
    }
    if conditions.len() > 20 {
        errors.push(FieldError::too_many(format!("{path}.onPodConditions"), conditions.len(), 20));
    }
    for (i, condition) in conditions.iter().enumerate() {
        let at = format!("{path}.onPodConditions[{i}]");
        let kind = text(condition, "type");
        errors.extend(invalid(&format!("{at}.type"), kind, names::qualified_name(kind)));
        let status = text(condition, "status");
        const STATES: &[&str] = &["False", "True", "Unknown"];
        match status {
            "" => {
                let words = format!("valid values: {}", quoted(STATES));
                errors.push(FieldError::required(format!("{at}.status"), words));
            }
            known if STATES.contains(&known) => {}
            other => errors.push(FieldError::not_supported(format!("{at}.status"), other, STATES)),
        }
    }
    let words = match (codes.is_object(), conditions.is_empty()) {
        (true, false) => "specifying both OnExitCodes and OnPodConditions is not supported",
        (false, true) => "specifying one of OnExitCodes and OnPodConditions is required",
        _ => return errors,
    };
    errors.push(FieldError { value: None, ..FieldError::invalid(path, "", words) });
    errors
}

fn quoted(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    format!("[{}]", quoted.join(" "))
}

fn exit_codes(path: &str, codes: &Value, spec: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let operator = text(codes, "operator");
    match operator {
        "In" | "NotIn" => {}
        "" => {
            let words = format!("valid values: {}", quoted(&["In", "NotIn"]));
            errors.push(FieldError::required(format!("{path}.operator"), words));
        }
        other => errors.push(FieldError::not_supported(format!("{path}.operator"), other, &["In", "NotIn"])),
    }
    if let Some(name) = codes["containerName"].as_str() {
        let pod = &spec["template"]["spec"];
        let known = ["containers", "initContainers"].iter().any(|l| list(pod, l).iter().any(|c| c["name"] == name));
        if !known {
            let words = "must be one of the container or initContainer names in the pod template";
            errors.push(FieldError::invalid(format!("{path}.containerName"), name, words));
        }
    }
    let values: Vec<i64> = list(codes, "values").iter().filter_map(Value::as_i64).collect();
    let at = format!("{path}.values");
    if values.is_empty() {
        errors.push(FieldError::invalid(&at, codes["values"].clone(), "at least one value is required"));
    } else if values.len() > 255 {
        errors.push(FieldError::too_many(&at, values.len(), 255));
    }
    for (i, value) in values.iter().enumerate() {
        if operator == "In" && *value == 0 {
            errors.push(FieldError::invalid(format!("{at}[{i}]"), 0, "must not be 0 for the In operator"));
        }
        if values[..i].contains(value) {
            errors.push(FieldError::duplicate(format!("{at}[{i}]"), *value));
        }
    }
    if !values.is_sorted() {
        errors.push(FieldError::invalid(at, codes["values"].clone(), "must be ordered"));
    }
    errors
}

/// Most bytes of `succeededIndexes`.
const LONGEST: usize = 64 * 1024;

/// `successPolicy` of an indexed Job.
pub(super) fn success_policy(path: &str, spec: &Value) -> Vec<FieldError> {
    let rules = list(&spec["successPolicy"], "rules");
    let path = format!("{path}.rules");
    let mut errors = Vec::new();
    if rules.is_empty() {
        let words = "at least one rules must be specified when the successPolicy is specified";
        errors.push(FieldError::required(&path, words));
    }
    if rules.len() > 20 {
        errors.push(FieldError::too_many(&path, rules.len(), 20));
    }
    let completions = spec["completions"].as_i64().unwrap_or(0);
    for (i, rule) in rules.iter().enumerate() {
        let at = format!("{path}[{i}]");
        let (count, shown) = (rule["succeededCount"].as_i64(), rule["succeededIndexes"].as_str());
        if count.is_none() && shown.is_none() {
            let words = "at least one of succeededCount or succeededIndexes must be specified";
            errors.push(FieldError::required(&at, words));
        }
        if shown.is_some_and(|shown| shown.len() > LONGEST) {
            errors.push(FieldError::too_long(format!("{at}.succeededIndexes"), LONGEST));
        }
        let count_of = |found: Vec<(i64, i64)>| found.iter().map(|(first, last)| last - first + 1).sum::<i64>();
        let total = shown.map(|shown| indexes(shown, completions).map(count_of));
        if let Some(Err(why)) = &total {
            let words = format!("error parsing succeededIndexes: {why}");
            errors.push(FieldError::invalid(format!("{at}.succeededIndexes"), shown.unwrap_or(""), words));
        }
        let Some(count) = count else { continue };
        let at = format!("{at}.succeededCount");
        if count < 0 {
            errors.push(FieldError::invalid(&at, count, "must be greater than or equal to 0"));
        }
        if count > completions {
            let words = format!("must be less than or equal to {completions} (the number of specified completions)");
            errors.push(FieldError::invalid(&at, count, words));
        }
        if let Some(Ok(total)) = total
            && count > total
        {
            let words = format!(
                "must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
            );
            errors.push(FieldError::invalid(&at, count, words));
        }
    }
    errors
}

/// The intervals that `1,3-5` names; each below `completions`, rising.
pub(super) fn indexes(text: &str, completions: i64) -> Result<Vec<(i64, i64)>, String> {
    let mut found: Vec<(i64, i64)> = Vec::new();
    let number = |word: &str| {
        let number: i64 =
            word.parse().map_err(|_| format!("cannot convert string to integer for index: {}", quote(word)))?;
        if number < completions { Ok(number) } else { Err(format!("too large index: {}", quote(word))) }
    };
    for part in text.split(',').filter(|_| !text.is_empty()) {
        let ends: Vec<&str> = part.split('-').collect();
        let (first, last) = match ends[..] {
            [one] => (number(one)?, number(one)?),
            [first, last] => (number(first)?, number(last)?),
            _ => {
                return Err(format!(
                    "the fragment {} violates the requirement that an index interval can have at most two parts \
                     separated by '-'",
                    quote(part)
                ));
            }
        };
        if ends.len() == 2 && first >= last {
            return Err(format!("non-increasing order, previous: {first}, current: {last}"));
        }
        if let Some((_, before)) = found.last().filter(|(_, before)| *before >= first) {
            return Err(format!("non-increasing order, previous: {before}, current: {first}"));
        }
        found.push((first, last));
    }
    Ok(found)
}
