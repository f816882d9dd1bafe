//! `Status`: how the API says yes to a delete and no to everything else. One constructor per case of Kubernetes' own list
//! (apimachinery `errors.go`), with its exact texts. It knows no HTTP beyond the code. (A long file because the list is.)

use serde_json::{Map, Value, json};

use crate::field::{FieldError, quote};

/// A failure (or the success of a delete) as `meta/v1 Status`. Serialise with [`Status::to_value`].
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// HTTP code.
    pub code: u16,
    /// `NotFound`, `AlreadyExists`, ...; empty when there is none.
    pub reason: &'static str,
    /// The sentence that kubectl prints; empty for a success.
    pub message: String,
    /// `details`, or null.
    pub details: Value,
}

/// `services` or `deployments.apps` as `(plural, group)`.
fn split_resource(resource: &str) -> (&str, &str) {
    resource.split_once('.').unwrap_or((resource, ""))
}

/// `details` with `name`, `group` and `kind`, leaving out what is empty as Go does.
fn details(name: &str, group: &str, kind: &str) -> Map<String, Value> {
    let mut map = Map::new();
    for (key, value) in [("name", name), ("group", group), ("kind", kind)] {
        if !value.is_empty() {
            map.insert(key.to_owned(), value.into());
        }
    }
    map
}

fn resource_details(resource: &str, name: &str) -> Map<String, Value> {
    let (plural, group) = split_resource(resource);
    details(name, group, plural)
}

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
    /// A failure with nothing in `details`.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: Value::Null }
    }

    fn with(mut self, details: Map<String, Value>) -> Self {
        self.details = Value::Object(details);
        self
    }

    /// The `meta/v1 Status` object.
    pub fn to_value(&self) -> Value {
        let success = self.code < 300;
        let mut map = Map::new();
        map.insert("kind".into(), "Status".into());
        map.insert("apiVersion".into(), "v1".into());
        map.insert("metadata".into(), json!({}));
        map.insert("status".into(), if success { "Success" } else { "Failure" }.into());
        if !self.message.is_empty() {
            map.insert("message".into(), self.message.clone().into());
        }
        if !self.reason.is_empty() {
            map.insert("reason".into(), self.reason.into());
        }
        if !self.details.is_null() {
            map.insert("details".into(), self.details.clone());
        }
        if !success {
            map.insert("code".into(), self.code.into());
        }
        Value::Object(map)
    }

    /// 200: the answer to deleting a plain object. `resource` is `services` or `deployments.apps`.
    pub fn deleted(resource: &str, name: &str, uid: &str) -> Self {
        let mut map = resource_details(resource, name);
        map.insert("uid".into(), uid.into());
        Self::new(200, "", "").with(map)
    }

    /// 200 without details.
    pub fn success() -> Self {
        Self::new(200, "", "")
    }

    /// 404: `services "x" not found`. `resource` is `services` or `deployments.apps`.
    pub fn not_found(resource: &str, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{resource} {} not found", quote(name)))
            .with(resource_details(resource, name))
    }

    /// 404 for a path that no resource of a known group answers.
    pub fn unknown_resource() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource").with(Map::new())
    }

    /// 409: `services "x" already exists`.
    pub fn already_exists(resource: &str, name: &str) -> Self {
        Self::new(409, "AlreadyExists", format!("{resource} {} already exists", quote(name)))
            .with(resource_details(resource, name))
    }

    /// 409 with the cause in words: `Operation cannot be fulfilled on services "x": why`.
    pub fn conflict_because(resource: &str, name: &str, why: &str) -> Self {
        Self::new(409, "Conflict", format!("Operation cannot be fulfilled on {resource} {}: {why}", quote(name)))
            .with(resource_details(resource, name))
    }

    /// 409 of a stale resourceVersion.
    pub fn conflict(resource: &str, name: &str) -> Self {
        Self::conflict_because(
            resource,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// 409 of a delete or update whose uid precondition does not hold.
    pub fn conflict_uid_precondition(resource: &str, name: &str, wanted: &str, found: &str) -> Self {
        Self::conflict_because(
            resource,
            name,
            &format!(
                "the UID in the precondition ({wanted}) does not match the UID in record ({found}). \
                 The object might have been deleted and then recreated"
            ),
        )
    }

    /// 409 of a delete whose resourceVersion precondition does not hold.
    pub fn conflict_version_precondition(resource: &str, name: &str, wanted: &str, found: &str) -> Self {
        Self::conflict_because(
            resource,
            name,
            &format!(
                "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record \
                 ({found}). The object might have been modified"
            ),
        )
    }

    /// 409 of a server-side apply: one `(manager, field path such as .spec.type)` per conflict. The sentence names
    /// each manager with its fields (fieldmanager `conflict.go`).
    pub fn apply_conflicts(conflicts: &[(String, String)]) -> Self {
        let causes: Vec<Value> = conflicts
            .iter()
            .map(|(manager, field)| {
                json!({"reason": "FieldManagerConflict", "message": format!("conflict with {}", quote(manager)), "field": field})
            })
            .collect();
        let message = match conflicts {
            [(manager, field)] => {
                format!("Apply failed with 1 conflict: conflict with {}: {field}", quote(manager))
            }
            many => {
                let mut managers: Vec<&str> = many.iter().map(|(m, _)| m.as_str()).collect();
                managers.sort_unstable();
                managers.dedup();
                let mut text = format!("Apply failed with {} conflicts:", many.len());
                for manager in managers {
                    let fields: Vec<&str> =
                        many.iter().filter(|(m, _)| m == manager).map(|(_, f)| f.as_str()).collect();
                    if fields.len() == 1 {
                        text.push_str(&format!(" conflict with {}: {}", quote(manager), fields[0]));
                    } else {
                        text.push_str(&format!(" conflicts with {}:", quote(manager)));
                        for field in fields {
                            text.push_str(&format!("\n- {field}"));
                        }
                    }
                }
                text
            }
        };
        let mut map = Map::new();
        map.insert("causes".into(), Value::Array(causes));
        Self::new(409, "Conflict", message).with(map)
    }

    /// 400 with any text.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 400 of a body that does not decode: `Service in version "v1" cannot be handled as a Service: why`.
    pub fn undecodable(kind: &str, version: &str, why: &str) -> Self {
        Self::bad_request(format!("{kind} in version {} cannot be handled as a {kind}: {why}", quote(version)))
    }

    /// 400 of `fieldValidation=Strict`; `paths` as [`crate::registry::Row::unknown_fields`] lists them.
    pub fn unknown_fields(kind: &str, version: &str, paths: &[String]) -> Self {
        let list: Vec<String> = paths.iter().map(|p| format!("unknown field {}", quote(p))).collect();
        Self::undecodable(kind, version, &format!("strict decoding error: {}", list.join(", ")))
    }

    /// 400: the body's name is not the URL's.
    pub fn name_mismatch(body: &str, url: &str) -> Self {
        Self::bad_request(format!("the name of the object ({body}) does not match the name on the URL ({url})"))
    }

    /// 400: the body's namespace is not the URL's.
    pub fn namespace_mismatch(body: &str, url: &str) -> Self {
        Self::bad_request(format!(
            "the namespace of the provided object does not match the namespace sent on the request ({body} is not {url})"
        ))
    }

    /// 422: `Service "x" is invalid: [a, b]`, one cause per error. `kind` is the Kind, not the plural; equal texts are
    /// said once, but every error is a cause.
    pub fn invalid(kind: &str, group: &str, name: &str, errors: Vec<FieldError>) -> Self {
        let qualified = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
        let mut texts: Vec<String> = Vec::new();
        let mut causes = Vec::new();
        for error in &errors {
            let text = error.to_string();
            if !texts.contains(&text) {
                texts.push(text);
            }
            causes.push(json!({"reason": error.kind.reason(), "message": error.body(), "field": error.field}));
        }
        let list = match texts.as_slice() {
            [] => String::new(),
            [one] => format!(": {one}"),
            many => format!(": [{}]", many.join(", ")),
        };
        let mut map = details(name, group, kind);
        if !causes.is_empty() {
            map.insert("causes".into(), Value::Array(causes));
        }
        Self::new(422, "Invalid", format!("{qualified} {} is invalid{list}", quote(name))).with(map)
    }

    /// 422 of a JSON patch whose operation fails, and of a merge that cannot be carried out.
    pub fn unprocessable() -> Self {
        Self::new(422, "Invalid", "the server rejected our request due to an error in our request").with(Map::new())
    }

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

    /// 401: no or bad credentials.
    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// 405.
    pub fn method_not_allowed() -> Self {
        Self::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
            .with(Map::new())
    }

    /// 406; `accepted` are the media types that the server can produce.
    pub fn not_acceptable(accepted: &[&str]) -> Self {
        Self::new(406, "NotAcceptable", format!("only the following media types are accepted: {}", accepted.join(", ")))
    }

    /// 415; `accepted` are the media types that the server can read here.
    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        Self::new(
            415,
            "UnsupportedMediaType",
            format!(
                "the body of the request was in an unknown format - accepted media types include: {}",
                accepted.join(", ")
            ),
        )
    }

    /// 410 of a list or continue token whose resourceVersion was compacted.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// 410 for a watch from `wanted` when `oldest` is the oldest kept: `too old resource version: 1 (9)`.
    pub fn too_old_resource_version(wanted: u64, oldest: u64) -> Self {
        Self::expired(format!("too old resource version: {wanted} ({oldest})"))
    }

    /// 504 of a list at a revision that does not exist yet.
    pub fn too_large_resource_version(wanted: u64, current: u64) -> Self {
        let mut map = Map::new();
        map.insert(
            "causes".into(),
            json!([{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]),
        );
        map.insert("retryAfterSeconds".into(), 1.into());
        Self::new(504, "Timeout", format!("Too large resource version: {wanted}, current: {current}")).with(map)
    }

    /// 504 with a text; retried by clients after `seconds` when that is not 0.
    pub fn timeout(message: &str, seconds: u32) -> Self {
        Self::new(504, "Timeout", format!("Timeout: {message}")).with(retry_after(seconds))
    }

    /// 429; clients wait `seconds`.
    pub fn too_many_requests(message: impl Into<String>, seconds: u32) -> Self {
        Self::new(429, "TooManyRequests", message).with(retry_after(seconds))
    }

    /// 500: `Internal error occurred: why`.
    pub fn internal(why: impl std::fmt::Display) -> Self {
        let mut map = Map::new();
        map.insert("causes".into(), json!([{"message": why.to_string()}]));
        Self::new(500, "InternalError", format!("Internal error occurred: {why}")).with(map)
    }

    /// 503: the part of the server that should answer is not there.
    pub fn service_unavailable(message: impl Into<String>) -> Self {
        Self::new(503, "ServiceUnavailable", message)
    }

    /// 413.
    pub fn request_entity_too_large(message: impl std::fmt::Display) -> Self {
        Self::new(413, "RequestEntityTooLarge", format!("Request entity too large: {message}"))
    }
}

fn retry_after(seconds: u32) -> Map<String, Value> {
    let mut map = Map::new();
    if seconds > 0 {
        map.insert("retryAfterSeconds".into(), seconds.into());
    }
    map
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

#[cfg(test)]
mod tests;
