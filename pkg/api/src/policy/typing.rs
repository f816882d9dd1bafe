//! Types of a policy's expressions against the kinds that it is about (apiserver `policy/validating/typechecking.go`):
//! warnings for its author, who may know better.

use std::sync::Arc;

use serde_json::{Value, json};

use super::expressions::{Composition, scope};
use crate::cel::{Decl, Program};
use crate::registry::Row;

/// Most kinds that one rule is checked against (`maxTypesToCheck`).
const MOST: usize = 10;

/// `status.typeChecking.expressionWarnings` of a ValidatingAdmissionPolicy among these kinds.
pub fn warnings(policy: &Value, rows: &[&'static Row]) -> Vec<Value> {
    let spec = &policy["spec"];
    let kinds: Vec<(&Row, Arc<Decl>)> =
        kinds(spec, rows).into_iter().filter_map(|row| Some((row, row.declared()?))).collect();
    let wanted = (spec["paramKind"]["apiVersion"].as_str(), spec["paramKind"]["kind"].as_str());
    let params = rows.iter().find(|row| (Some(row.api_version().as_str()), Some(row.kind)) == wanted);
    let params = params.and_then(|row| row.declared());
    let anything = Decl::of(crate::cel::Type::Dyn);
    let params = spec["paramKind"].is_object().then(|| params.unwrap_or(anything));
    let mut out = Vec::new();
    for (index, validation) in spec["validations"].as_array().into_iter().flatten().enumerate() {
        for key in ["expression", "messageExpression"] {
            let Some(expression) = validation[key].as_str().filter(|text| !text.is_empty()) else { continue };
            let mut found = Vec::new();
            for (row, decl) in &kinds {
                let mut scope = scope(params.as_ref(), Some(decl));
                Composition::compile(spec, &mut scope);
                if let Err(cause) = Program::compile(expression, &scope) {
                    let group = format!("{}/{}, Kind={}", row.group, row.version, row.kind);
                    found.push(format!("{group}: compilation failed: {cause}\n"));
                }
            }
            if !found.is_empty() {
                let field = format!("spec.validations[{index}].{key}");
                out.push(json!({"fieldRef": field, "warning": found.join("\n")}));
            }
        }
    }
    out
}

/// The kinds that the rules name without wildcards, in order.
fn kinds(spec: &Value, rows: &[&'static Row]) -> Vec<&'static Row> {
    let mut out: Vec<&'static Row> = Vec::new();
    for rule in spec["matchConstraints"]["resourceRules"].as_array().into_iter().flatten() {
        let named = |key: &str| -> Vec<&str> {
            let all: Vec<&str> = rule[key].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            if all.contains(&"*") { Vec::new() } else { all }
        };
        let (groups, versions, resources) = (named("apiGroups"), named("apiVersions"), named("resources"));
        let about = |row: &&&'static Row| {
            groups.contains(&row.group) && versions.contains(&row.version) && resources.contains(&row.plural)
        };
        out.extend(rows.iter().filter(about).take(MOST));
    }
    out.sort_by_key(|row| (row.group, row.version, row.kind));
    out.dedup_by_key(|row| (row.group, row.version, row.kind));
    out
}
