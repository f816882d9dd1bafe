//! `Status`: how the API says yes to a delete and no to everything else. One constructor per case of Kubernetes' own list
//! (apimachinery `errors.go`), with its exact texts. It knows no HTTP beyond the code.

mod conflict;
mod forbidden;

use serde_json::{Map, Value, json};

pub use self::forbidden::Attempt;
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

/// The reason of a status whose `details` are the whole object, written by somebody else.
const VERBATIM: &str = "\0verbatim";

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

impl Status {
    /// A failure with nothing in `details`.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: Value::Null }
    }

    /// A failure that somebody else has written, such as an admission webhook: `whole` is the object as it goes out.
    pub fn verbatim(code: u16, message: impl Into<String>, whole: Map<String, Value>) -> Self {
        Self::new(code, VERBATIM, message).with(whole)
    }

    fn with(mut self, details: Map<String, Value>) -> Self {
        self.details = Value::Object(details);
        self
    }

    /// The same with a further cause that names no field.
    #[must_use]
    pub fn with_cause(mut self, message: &str) -> Self {
        if !self.details.is_object() {
            self.details = Value::Object(Map::new());
        }
        let mut causes = self.details["causes"].as_array().cloned().unwrap_or_default();
        causes.push(serde_json::json!({"message": message}));
        self.details["causes"] = causes.into();
        self
    }

    /// The `meta/v1 Status` object.
    pub fn to_value(&self) -> Value {
        if self.reason == VERBATIM {
            return self.details.clone();
        }
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
    pub fn namespace_mismatch() -> Self {
        Self::bad_request("the namespace of the provided object does not match the namespace sent on the request")
    }

    /// 400: the body has no name where the URL has one.
    pub fn name_missing(url: &str) -> Self {
        Self::bad_request(format!(
            "the name of the object ({url} based on URL) was undeterminable: name must be provided"
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
