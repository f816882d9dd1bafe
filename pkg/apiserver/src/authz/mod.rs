//! Authorization: may this identity do this? `system:masters` may all; then the built-in rules of this server's own
//! parts; then RBAC objects from the store. Must not authenticate.

mod builtin;
mod rbac;

use minisvc_api::status::{Attempt, Status};
use serde_json::Value;

use crate::identity::{Identity, MASTERS};
use crate::server::Inner;

pub(crate) use builtin::POLICIES;
pub(crate) use rbac::{role_rules, rules_of};

/// One question.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attributes<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) verb: &'a str,
    pub(crate) group: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) subresource: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    /// Set for requests outside `/api` and `/apis`; then the fields above but `verb` are empty.
    pub(crate) path: Option<&'a str>,
}

impl<'a> Attributes<'a> {
    /// An empty question by `identity`, to be filled in.
    pub(crate) fn of(identity: &'a Identity) -> Attributes<'a> {
        let empty = "";
        Attributes {
            identity,
            verb: empty,
            group: empty,
            resource: empty,
            subresource: empty,
            namespace: empty,
            name: empty,
            path: None,
        }
    }
}

/// Whether it is allowed.
pub(crate) fn allowed(server: &Inner, question: &Attributes<'_>) -> bool {
    question.identity.is_member(MASTERS)
        || POLICIES.iter().any(|policy| policy.allows(question))
        || rbac::allows(&*server.store, question)
}

/// 403 in Kubernetes' words unless it is allowed.
pub(crate) fn require(server: &Inner, question: &Attributes<'_>) -> Result<(), Status> {
    if allowed(server, question) {
        return Ok(());
    }
    let user = &question.identity.user;
    Err(match question.path {
        Some(path) => Status::forbidden_path(user, question.verb, path),
        None => Status::forbidden(Attempt {
            user,
            verb: question.verb,
            group: question.group,
            resource: question.resource,
            subresource: question.subresource,
            namespace: question.namespace,
            name: question.name,
        }),
    })
}

/// The strings of a JSON list.
fn strings(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}
