//! Admission policies in the store, asked about every write: mutating ones change its object, validating ones deny it or
//! warn. What they say is the API room's. Policies are compiled once for as long as none of them changes. Must not write,
//! but for the types that were found in a policy's expressions.

mod params;

use std::sync::{Arc, PoisonError, RwLock};

use minisvc_api::meta;
use minisvc_api::policy::{self, Attributes, Mutating, Validating};
use minisvc_api::status::Status;
use minisvc_store::{Store, StoreError, Stored, Write};
use serde_json::{Value, json};

use crate::admission::subject::{Request, Subject};
use crate::call::Call;
use crate::server::Inner;

const VALIDATING: &str = "validatingadmissionpolicies.admissionregistration.k8s.io";
const VALIDATING_BINDINGS: &str = "validatingadmissionpolicybindings.admissionregistration.k8s.io";
const MUTATING: &str = "mutatingadmissionpolicies.admissionregistration.k8s.io";
const MUTATING_BINDINGS: &str = "mutatingadmissionpolicybindings.admissionregistration.k8s.io";

/// The policies as they were last seen.
#[derive(Default)]
pub(crate) struct Policies(RwLock<Option<Arc<Seen>>>);

struct Seen {
    revisions: Vec<u64>,
    validating: Vec<Bound<Validating>>,
    mutating: Vec<Bound<Mutating>>,
}

/// A policy with its bindings.
struct Bound<T> {
    policy: Arc<Stored>,
    compiled: T,
    bindings: Vec<Arc<Stored>>,
}

fn bind<T>(store: &dyn Store, kinds: (&str, &str), compile: impl Fn(&Value) -> T) -> Vec<Bound<T>> {
    let bindings = store.list(kinds.1, None).items;
    let of = |name: &str| bindings.iter().filter(|one| one.value["spec"]["policyName"] == name).cloned().collect();
    let policies = store.list(kinds.0, None).items.into_iter().filter(|policy| !meta::is_deleting(&policy.value));
    let bound = policies.map(|policy| Bound {
        compiled: compile(&policy.value),
        bindings: of(meta::name(&policy.value)),
        policy,
    });
    bound.filter(|bound| !bound.bindings.is_empty()).collect()
}

impl Policies {
    fn seen(&self, store: &dyn Store) -> Arc<Seen> {
        let kinds = [VALIDATING, VALIDATING_BINDINGS, MUTATING, MUTATING_BINDINGS];
        // A removal raises no object's revision: the count of each kind is part of what was seen.
        let revisions: Vec<u64> = kinds
            .iter()
            .flat_map(|kind| {
                let items = store.list(kind, None).items;
                std::iter::once(items.len() as u64).chain(items.into_iter().map(|item| item.revision))
            })
            .collect();
        if let Some(seen) = &*self.0.read().unwrap_or_else(PoisonError::into_inner)
            && seen.revisions == revisions
        {
            return seen.clone();
        }
        let validating = bind(store, (VALIDATING, VALIDATING_BINDINGS), Validating::compile);
        let mutating = bind(store, (MUTATING, MUTATING_BINDINGS), Mutating::compile);
        let seen = Arc::new(Seen { revisions, validating, mutating });
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(seen.clone());
        seen
    }
}

/// Whether a binding adds no further condition, or its condition is met.
fn binding_matches(binding: &Value, attributes: &Attributes<'_>) -> Result<bool, String> {
    match &binding["spec"]["matchResources"] {
        Value::Null => Ok(true),
        resources => policy::matches(resources, attributes),
    }
}

/// What configures admission is no business of policies: a wrong one could not be taken back.
fn exempt(subject: &Subject<'_>) -> bool {
    subject.call.view.group == policy::GROUP
}

/// Lets mutating policies change an object that is about to be written, in its stored form; answers whether one did.
pub(crate) fn mutate(subject: &Subject<'_>, object: &mut Value, old: Option<&Value>) -> Result<bool, Status> {
    let server = &subject.call.server;
    let seen = server.policies.seen(&*server.store);
    if seen.mutating.is_empty() || exempt(subject) {
        return Ok(false);
    }
    let request = Request::new(*subject);
    let old = old.map(|old| subject.shown(old));
    let mut changed_by = None;
    for (index, bound) in seen.mutating.iter().enumerate() {
        if mutate_by(&request, bound, object, old.as_ref())? {
            changed_by = Some(index);
        }
    }
    // Those who want to see what others made of the object after them.
    let before = changed_by.unwrap_or(0);
    for bound in seen.mutating.iter().take(before).filter(|bound| bound.compiled.again) {
        mutate_by(&request, bound, object, old.as_ref())?;
    }
    Ok(changed_by.is_some())
}

/// Asks the policies once more that want to see what others made of the object after them.
pub(crate) fn mutate_again(subject: &Subject<'_>, object: &mut Value, old: Option<&Value>) -> Result<(), Status> {
    let server = &subject.call.server;
    let seen = server.policies.seen(&*server.store);
    if exempt(subject) || !seen.mutating.iter().any(|bound| bound.compiled.again) {
        return Ok(());
    }
    let request = Request::new(*subject);
    let old = old.map(|old| subject.shown(old));
    for bound in seen.mutating.iter().filter(|bound| bound.compiled.again) {
        mutate_by(&request, bound, object, old.as_ref())?;
    }
    Ok(())
}

/// Whether the object is another one now.
fn mutate_by(
    request: &Request<'_>,
    bound: &Bound<Mutating>,
    object: &mut Value,
    old: Option<&Value>,
) -> Result<bool, Status> {
    let (subject, policy) = (&request.subject, &bound.policy.value);
    let mut changed = false;
    for binding in &bound.bindings {
        let shown = subject.shown(object);
        let attributes = request.attributes(Some(&shown), old);
        let outcome = (|| {
            let matched = policy::matches(&policy["spec"]["matchConstraints"], &attributes)?
                && binding_matches(&binding.value, &attributes)?;
            if !matched {
                return Ok(None);
            }
            let mut state = None;
            for params in request.params(policy, &binding.value)? {
                let before = state.as_ref().unwrap_or(&shown);
                let attributes = Attributes { object: Some(before), ..attributes.clone() };
                let next = bound.compiled.change(&attributes, params.as_deref(), subject.place())?;
                state = next.or(state);
            }
            Ok::<_, String>(state)
        })();
        match outcome {
            Ok(Some(new)) if new != shown => {
                let mut new = subject.typed(new)?;
                subject.keep(object, &mut new);
                changed |= new != *object;
                *object = new;
            }
            Ok(_) => {}
            Err(why) if bound.compiled.closed => {
                let (policy, binding) = (meta::name(policy), meta::name(&binding.value));
                let message = format!("policy '{policy}' with binding '{binding}' denied request: {why}");
                return Err(denial(subject.call, attributes.name, &message, "Invalid"));
            }
            Err(_) => {}
        }
    }
    Ok(changed)
}

/// Denies what validating policies deny, and notes what they warn of.
pub(crate) fn validate(subject: &Subject<'_>, object: Option<&Value>, old: Option<&Value>) -> Result<(), Status> {
    let call = subject.call;
    let seen = call.server.policies.seen(&*call.server.store);
    if seen.validating.is_empty() || exempt(subject) {
        return Ok(());
    }
    let request = Request::new(*subject);
    let shown = (object.map(|object| subject.shown(object)), old.map(|old| subject.shown(old)));
    let attributes = request.attributes(shown.0.as_ref(), shown.1.as_ref());
    for bound in &seen.validating {
        let policy = &bound.policy.value;
        let name = meta::name(policy);
        let closed = policy["spec"]["failurePolicy"] != "Ignore";
        match policy::matches(&policy["spec"]["matchConstraints"], &attributes) {
            Ok(true) => {}
            Ok(false) => continue,
            Err(why) if closed => {
                let message =
                    format!("ValidatingAdmissionPolicy '{name}' denied request: failed to configure policy: {why}");
                return Err(denial(call, attributes.name, &message, "Invalid"));
            }
            Err(_) => continue,
        }
        for binding in &bound.bindings {
            let with = format!("'{name}' with binding '{}'", meta::name(&binding.value));
            let params = match binding_matches(&binding.value, &attributes) {
                Ok(false) => continue,
                Ok(true) => request.params(policy, &binding.value),
                Err(why) => Err(why),
            };
            let params = match params {
                Ok(params) => params,
                Err(why) if closed => {
                    let message =
                        format!("ValidatingAdmissionPolicy {with} denied request: failed to configure binding: {why}");
                    return Err(denial(call, attributes.name, &message, "Invalid"));
                }
                Err(_) => continue,
            };
            let actions = binding.value["spec"]["validationActions"].as_array().cloned().unwrap_or_default();
            for decision in params.iter().flat_map(|params| bound.compiled.judge(&attributes, params.as_deref())) {
                if actions.iter().any(|action| action == "Deny") {
                    let message = format!("ValidatingAdmissionPolicy {with} denied request: {}", decision.message);
                    return Err(denial(call, attributes.name, &message, &decision.reason));
                }
                if actions.iter().any(|action| action == "Warn") {
                    call.note(format!("Validation failed for ValidatingAdmissionPolicy {with}: {}", decision.message));
                }
            }
        }
    }
    Ok(())
}

/// A denial with the policy's reason and its code.
fn denial(call: &Call, name: &str, message: &str, reason: &str) -> Status {
    let mut status = Status::forbidden_object(&call.resource(), name, message);
    (status.code, status.reason) = match reason {
        "Forbidden" => (403, "Forbidden"),
        "Unauthorized" => (401, "Unauthorized"),
        "RequestEntityTooLarge" => (413, "RequestEntityTooLarge"),
        _ => (422, "Invalid"),
    };
    status.with_cause(message)
}

/// Whether a call may have changed a policy whose types are still to be looked at.
pub(crate) fn concerns(call: &Call) -> bool {
    call.resource() == VALIDATING && matches!(call.info.verb.as_str(), "create" | "update" | "patch")
}

/// Writes what the types of each changed policy's expressions are found to be wrong in.
pub(crate) async fn settle(server: &Inner) -> Result<(), Status> {
    let catalog = server.catalog();
    for item in server.store.list(VALIDATING, None).items {
        let generation = &item.value["metadata"]["generation"];
        if &item.value["status"]["observedGeneration"] == generation && item.value["status"]["typeChecking"].is_object()
        {
            continue;
        }
        let mut value = (*item.value).clone();
        let warnings = policy::warnings(&item.value, catalog.rows());
        let found = if warnings.is_empty() { json!({}) } else { json!({"expressionWarnings": warnings}) };
        if !value["status"].is_object() {
            value["status"] = json!({});
        }
        value["status"]["observedGeneration"] = generation.clone();
        value["status"]["typeChecking"] = found;
        let write = Write::Update { key: item.key.clone(), expected: Some(item.revision), value };
        match server.store.commit(write, false).await {
            Ok(_) | Err(StoreError::Conflict { .. } | StoreError::NotFound(_)) => {}
            Err(error) => return Err(Status::internal(error)),
        }
    }
    Ok(())
}
