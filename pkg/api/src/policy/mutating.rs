//! MutatingAdmissionPolicy: how its mutations change an object, as an applied configuration or as a JSON patch (apiserver
//! `policy/mutating`, KEP-3962).

use serde_json::{Value, json};

use super::expressions::{Composition, Conditions, Outcome, Run, bindings, scope};
use super::{Attributes, fails_closed};
use crate::apply::{Place, overlay};
use crate::cel::{Decl, Program, Type, Val, to_json};
use crate::patch::{self, JsonPatchError};

/// A compiled policy.
#[derive(Debug)]
pub struct Mutating {
    conditions: Conditions,
    composition: Composition,
    mutations: Vec<(bool, String, Result<Program, String>)>,
    /// Whether what cannot be evaluated refuses the request.
    pub closed: bool,
    /// Whether it is asked again when others changed the object after it.
    pub again: bool,
}

impl Mutating {
    /// Compiles a policy. What does not compile fails when it is evaluated, as the failure policy says.
    pub fn compile(policy: &Value) -> Self {
        let spec = &policy["spec"];
        let params = Decl::of(Type::Dyn);
        let mut scope = scope(spec["paramKind"].is_object().then_some(&params), None);
        let composition = Composition::compile(spec, &mut scope);
        let conditions = Conditions::within(&spec["matchConditions"], &scope);
        scope.builds_objects = true;
        let mutations = spec["mutations"].as_array().into_iter().flatten().map(|mutation| {
            let applies = mutation["patchType"] != "JSONPatch";
            let holder = if applies { "applyConfiguration" } else { "jsonPatch" };
            let expression = mutation[holder]["expression"].as_str().unwrap_or_default().to_owned();
            let program = Program::compile(&expression, &scope);
            (applies, expression, program)
        });
        let mutations = mutations.collect();
        let again = spec["reinvocationPolicy"] == "IfNeeded";
        Self { conditions, composition, mutations, closed: fails_closed(spec), again }
    }

    /// The request's object after the mutations; `None` when the policy's conditions do not hold. `place`: how its fields
    /// merge.
    ///
    /// # Errors
    /// What could not be evaluated or carried out.
    pub fn change(
        &self,
        request: &Attributes<'_>,
        params: Option<&Value>,
        place: Place,
    ) -> Result<Option<Value>, String> {
        let Some(object) = request.object else { return Ok(None) };
        let bound = bindings(request, params);
        match self.conditions.judge(&Run::new(&bound, &self.composition)) {
            Outcome::Matches => {}
            Outcome::Not => return Ok(None),
            Outcome::Error(error) => return Err(error),
        }
        let mut object = object.clone();
        for (applies, expression, program) in &self.mutations {
            let program =
                program.as_ref().map_err(|cause| format!("compilation error: compilation failed: {cause}"))?;
            // Each mutation sees what those before it have made.
            let request = Attributes { object: Some(&object), ..request.clone() };
            let bound = bindings(&request, params);
            let value = Run::new(&bound, &self.composition).value(program, expression)?;
            object = if *applies { apply(&object, &value, place)? } else { change(&object, &value)? };
        }
        Ok(Some(object))
    }
}

fn apply(object: &Value, value: &Val, place: Place) -> Result<Value, String> {
    let mut config = to_json(value)?;
    if !config.is_object() {
        return Err("type mismatch: ApplyConfiguration.expression should evaluate to Object".to_owned());
    }
    for key in ["apiVersion", "kind"] {
        match (config.get(key), &object[key]) {
            (Some(given), own) if given != own => {
                return Err(format!("error applying patch: {key} must not be changed by ApplyConfiguration"));
            }
            _ => config[key] = object[key].clone(),
        }
    }
    for key in ["name", "namespace", "uid"] {
        if config["metadata"].get(key).is_some_and(|given| *given != object["metadata"][key]) {
            return Err(format!("error applying patch: metadata.{key} must not be changed by ApplyConfiguration"));
        }
    }
    if config["metadata"].is_null()
        && let Value::Object(config) = &mut config
    {
        config.shift_remove("metadata");
    }
    overlay(place, object, &config)
}

fn change(object: &Value, value: &Val) -> Result<Value, String> {
    let Val::List(operations) = value else {
        return Err("type mismatch: JSONPatchType.expression should evaluate to array".to_owned());
    };
    let mut patch = Vec::new();
    for operation in operations.iter() {
        let mut operation = to_json(operation)?;
        if operation["op"].is_null() {
            return Err("type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch".to_owned());
        }
        if matches!(operation["op"].as_str(), Some("add" | "replace" | "test")) && operation.get("value").is_none() {
            operation["value"] = json!(null);
        }
        patch.push(operation);
    }
    match patch::json_patch(object, &Value::Array(patch)) {
        Ok(changed) => Ok(changed),
        // A test that does not hold leaves the object as it is.
        Err(JsonPatchError::Test(_)) => Ok(object.clone()),
        Err(cause) => Err(format!("JSON Patch: {cause}")),
    }
}
