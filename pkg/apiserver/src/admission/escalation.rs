//! RBAC's own guard: nobody grants rights that they do not hold themselves, unless they have the verb `escalate` (roles)
//! or `bind` (bindings). (registry/rbac `escalation_check.go`.)

use minisvc_api::meta;
use minisvc_api::status::Status;
use serde_json::Value;

use crate::authz::{self, Attributes};
use crate::call::Call;

const GROUP: &str = "rbac.authorization.k8s.io";

/// 403 when the role or binding gives more than its writer has.
pub(super) fn refuse(call: &Call, object: &Value) -> Result<(), Status> {
    if call.row.group != GROUP {
        return Ok(());
    }
    let (verb, resource, name, rules) = match call.row.kind {
        "Role" | "ClusterRole" => {
            let rules = object["rules"].as_array().cloned().unwrap_or_default();
            ("escalate", call.row.plural, meta::name(object), rules)
        }
        _ => {
            let reference = &object["roleRef"];
            let plural = if reference["kind"] == "Role" { "roles" } else { "clusterroles" };
            let rules = authz::role_rules(&*call.server.store, reference, call.namespace());
            ("bind", plural, reference["name"].as_str().unwrap_or_default(), rules)
        }
    };
    let base = Attributes { namespace: call.namespace(), ..Attributes::of(&call.identity) };
    let exempt = Attributes { verb, group: GROUP, resource, name, ..base };
    if authz::allowed(&call.server, &exempt) {
        return Ok(());
    }
    let missing: Vec<String> = rules.iter().filter(|rule| !held(call, &base, rule)).map(Value::to_string).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let groups: Vec<String> = call.identity.groups.iter().map(|group| format!("{group:?}")).collect();
    let why = format!(
        "user {:?} (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
        call.identity.user,
        groups.join(" "),
        missing.join("\n")
    );
    Err(Status::forbidden_object(&call.resource(), meta::name(object), &why))
}

/// Whether the writer may do all that a rule allows.
fn held(call: &Call, base: &Attributes<'_>, rule: &Value) -> bool {
    let list =
        |field: &str| -> Vec<&str> { rule[field].as_array().into_iter().flatten().filter_map(Value::as_str).collect() };
    let (verbs, groups, resources) = (list("verbs"), list("apiGroups"), list("resources"));
    let (mut names, paths) = (list("resourceNames"), list("nonResourceURLs"));
    if names.is_empty() {
        names.push("");
    }
    verbs.iter().all(|verb| {
        let question = Attributes { verb, ..*base };
        paths
            .iter()
            .all(|path| authz::allowed(&call.server, &Attributes { namespace: "", path: Some(path), ..question }))
            && groups.iter().all(|group| {
                resources.iter().all(|resource| {
                    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
                    names.iter().all(|name| {
                        let question = Attributes { group, resource, subresource, name, ..question };
                        authz::allowed(&call.server, &question)
                    })
                })
            })
    })
}
