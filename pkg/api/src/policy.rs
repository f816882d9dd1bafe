//! Admission policies as pure decisions: which requests a policy is about, what its expressions say of one, how it changes
//! an object (apiserver `pkg/admission/plugin/policy`, KEP-3488, KEP-3962). Whoever has the store reads policies,
//! bindings and parameters from it. Match conditions serve webhooks too. Must not know the store.

mod check;
mod check_rules;
mod expressions;
mod matching;
mod mutating;
mod typing;
mod validating;

use std::sync::Arc;

use serde_json::{Value, json};

pub(crate) use check::{check_conditions, list, text};
pub use check::{default, validate_binding, validate_mutating, validate_validating};
pub(crate) use check_rules::check_rule;
pub use expressions::{Conditions, Outcome};
pub use matching::{invoked, matches};
pub use mutating::Mutating;
pub use typing::warnings;
pub use validating::{Decision, Validating};

use crate::cel::Authorizer;

/// API group of policies and webhook configurations.
pub const GROUP: &str = "admissionregistration.k8s.io";
/// API group of the reviews that webhooks answer.
pub const GROUP_OF_REVIEWS: &str = "admission.k8s.io";

/// A request as policies and webhooks see it.
#[derive(Debug, Clone)]
pub struct Attributes<'a> {
    /// `CREATE`, `UPDATE`, `DELETE` or `CONNECT`.
    pub operation: &'a str,
    /// API group, empty for core.
    pub group: &'a str,
    /// The version of the path.
    pub version: &'a str,
    /// Group and version of everything in which the same objects are served; rules that match equivalents match any.
    pub equivalents: Vec<(&'a str, &'a str)>,
    /// Plural.
    pub resource: &'a str,
    /// Subresource or empty.
    pub subresource: &'a str,
    /// Kind of the object.
    pub kind: &'a str,
    /// Group and version of the kind, which are not the path's where a subresource takes another kind.
    pub kind_place: (&'a str, &'a str),
    /// Empty for cluster-scoped kinds.
    pub namespace: &'a str,
    /// Empty while a name is still to be made.
    pub name: &'a str,
    /// The new state; none on deletes.
    pub object: Option<&'a Value>,
    /// The state before; none on creates.
    pub old: Option<&'a Value>,
    /// `UserInfo` of who asks.
    pub user: Value,
    /// Whether nothing will be stored.
    pub dry_run: bool,
    /// The request's options.
    pub options: Value,
    /// The Namespace object of a namespaced request.
    pub namespace_object: Option<&'a Value>,
    /// Who answers `authorizer`; without one such expressions fail.
    pub authorizer: Option<Arc<dyn Authorizer>>,
}

impl Attributes<'_> {
    /// The request as an `AdmissionRequest` without its objects, as expressions see it.
    pub fn request(&self) -> Value {
        let kind = json!({"group": self.kind_place.0, "version": self.kind_place.1, "kind": self.kind});
        let resource = json!({"group": self.group, "version": self.version, "resource": self.resource});
        json!({
            "kind": kind, "resource": resource, "subResource": self.subresource,
            "requestKind": kind, "requestResource": resource, "requestSubResource": self.subresource,
            "name": self.name, "namespace": self.namespace, "operation": self.operation,
            "userInfo": self.user, "dryRun": self.dry_run, "options": self.options,
        })
    }
}

/// What a policy does with a request when it cannot be evaluated.
fn fails_closed(spec: &Value) -> bool {
    spec["failurePolicy"] != "Ignore"
}

#[cfg(test)]
mod tests;
