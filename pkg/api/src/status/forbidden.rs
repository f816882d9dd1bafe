//! 403: what somebody may not do, in the words of the authorizer and of admission. No other codes.

use serde_json::{Map, json};

use super::{Status, resource_details};
use crate::field::quote;

/// What somebody wanted to do to a resource, for [`Status::forbidden`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Attempt<'a> {
    /// The user's name.
    pub user: &'a str,
    /// `list`, `create`, ...
    pub verb: &'a str,
    /// API group; empty for core.
    pub group: &'a str,
    /// Plural of the resource.
    pub resource: &'a str,
    /// `log`, `status`, ... or empty.
    pub subresource: &'a str,
    /// The namespace; empty for the whole cluster.
    pub namespace: &'a str,
    /// The object's name; empty when the request names none.
    pub name: &'a str,
}

impl Status {
    /// 403 about a resource: `pods is forbidden: User "u" cannot list resource "pods" in API group "" in the namespace
    /// "default"`.
    pub fn forbidden(attempt: Attempt<'_>) -> Self {
        Self::forbidden_because(attempt, "")
    }

    /// [`Status::forbidden`] with the authorizer's reason after a colon (RBAC names missing roles so).
    pub fn forbidden_because(attempt: Attempt<'_>, reason: &str) -> Self {
        let Attempt { user, verb, group, resource, subresource, namespace, name } = attempt;
        let full = if subresource.is_empty() { resource.to_owned() } else { format!("{resource}/{subresource}") };
        let scope = if namespace.is_empty() {
            " at the cluster scope".to_owned()
        } else {
            format!(" in the namespace {}", quote(namespace))
        };
        let mut sentence = format!(
            "User {} cannot {verb} resource {} in API group {}{scope}",
            quote(user),
            quote(&full),
            quote(group)
        );
        if !reason.is_empty() {
            sentence.push_str(": ");
            sentence.push_str(reason);
        }
        let qualified = if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") };
        Self::forbidden_object(&qualified, name, &sentence)
    }

    /// 403 about an object with a free text: `pods "x" is forbidden: why` (admission says no in this form).
    pub fn forbidden_object(resource: &str, name: &str, why: &str) -> Self {
        let message = if name.is_empty() {
            format!("{resource} is forbidden: {why}")
        } else {
            format!("{resource} {} is forbidden: {why}", quote(name))
        };
        Self::new(403, "Forbidden", message).with(resource_details(resource, name))
    }

    /// 403 about a path: `forbidden: User "system:anonymous" cannot get path "/"`.
    pub fn forbidden_path(user: &str, verb: &str, path: &str) -> Self {
        Self::new(403, "Forbidden", format!("forbidden: User {} cannot {verb} path {}", quote(user), quote(path)))
            .with(Map::new())
    }

    /// 403 of a create inside a namespace that is being deleted.
    pub fn namespace_terminating(resource: &str, name: &str, namespace: &str) -> Self {
        let mut status = Self::forbidden_object(
            resource,
            name,
            &format!("unable to create new content in namespace {namespace} because it is being terminated"),
        );
        status.details["causes"] = json!([{
            "reason": "NamespaceTerminating",
            "message": format!("namespace {namespace} is being terminated"),
            "field": "metadata.namespace",
        }]);
        status
    }
}
