//! AdmissionReview: the question that a webhook is asked, and what its answer says (apiserver
//! `webhook/request/admissionreview.go`, `webhook/errors`). An answer that is none is told, not guessed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::policy::{Attributes, GROUP_OF_REVIEWS};
use crate::status::Status;

/// What a webhook says.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Whether the request may go on.
    pub allowed: bool,
    /// The changes that it wants, as the bytes of a JSON patch; empty for none.
    pub patch: Vec<u8>,
    /// The `Status` of a refusal; null where it gives none.
    pub status: Value,
    /// What the client should hear.
    pub warnings: Vec<String>,
}

/// The AdmissionReview about a request. `sent`: group and version in which the webhook wants the object, which
/// `attributes` have already; `asked`: those of the request itself.
pub fn review(version: &str, uid: &str, attributes: &Attributes<'_>, asked: (&str, &str), kind_asked: &Value) -> Value {
    let mut request = Map::new();
    request.insert("uid".to_owned(), json!(uid));
    if let Value::Object(rest) = attributes.request() {
        request.extend(rest);
    }
    // The path's own subresource may be none, which is not sent.
    for key in ["subResource", "requestSubResource", "name", "namespace"] {
        if request.get(key).is_some_and(|value| value == "") {
            request.shift_remove(key);
        }
    }
    request.insert("requestKind".to_owned(), kind_asked.clone());
    request.insert(
        "requestResource".to_owned(),
        json!({"group": asked.0, "version": asked.1, "resource": attributes.resource}),
    );
    request.insert("object".to_owned(), attributes.object.cloned().unwrap_or_default());
    request.insert("oldObject".to_owned(), attributes.old.cloned().unwrap_or_default());
    json!({"kind": "AdmissionReview", "apiVersion": format!("{GROUP_OF_REVIEWS}/{version}"), "request": request})
}

/// What the answer to the review `uid` says.
///
/// # Errors
/// It is no answer to it, or one that such a webhook may not give.
pub fn verdict(answer: &Value, version: &str, uid: &str, mutating: bool) -> Result<Verdict, String> {
    let response = &answer["response"];
    if !response.is_object() {
        return Err("webhook response was absent".to_owned());
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let encoded = text(&response["patch"]);
    let (patched, typed) = (!encoded.is_empty(), !response["patchType"].is_null());
    if version == "v1" {
        if response["uid"] != uid {
            return Err(format!("expected response.uid={uid:?}, got {:?}", text(&response["uid"])));
        }
        let api_version = format!("{GROUP_OF_REVIEWS}/v1");
        if answer["apiVersion"] != *api_version || answer["kind"] != "AdmissionReview" {
            let given = format!("{}, Kind={}", slashed(&text(&answer["apiVersion"])), text(&answer["kind"]));
            return Err(format!("expected webhook response of {api_version}, Kind=AdmissionReview, got {given}"));
        }
        match (mutating, patched, typed) {
            (true, true, false) => {
                return Err("webhook returned response.patch but not response.patchType".to_owned());
            }
            (true, false, true) => {
                return Err("webhook returned response.patchType but not response.patch".to_owned());
            }
            (true, true, true) if response["patchType"] == "" => {
                return Err("webhook returned invalid response.patchType of \"\"".to_owned());
            }
            (false, true, _) => return Err("validating webhook may not return response.patch".to_owned()),
            (false, _, true) => return Err("validating webhook may not return response.patchType".to_owned()),
            _ => {}
        }
        if typed && response["patchType"] != "JSONPatch" {
            return Err(format!("unsupported patch type {:?}", text(&response["patchType"])));
        }
    }
    let patch = STANDARD.decode(&encoded).map_err(|cause| format!("response.patch is no base64: {cause}"))?;
    let warnings = response["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str);
    Ok(Verdict {
        allowed: response["allowed"] == true,
        patch: if mutating { patch } else { Vec::new() },
        status: response["status"].clone(),
        warnings: warnings.map(str::to_owned).collect(),
    })
}

/// A group and version as Go prints one that may be empty.
fn slashed(version: &str) -> String {
    if version.is_empty() { "/".to_owned() } else { version.to_owned() }
}

/// The refusal of the webhook of that name, with the status that it gave.
pub fn denial(name: &str, given: &Value) -> Status {
    let text = |key: &str| given[key].as_str().unwrap_or_default();
    let by = format!("admission webhook {name:?} denied the request");
    let message = match (text("message"), text("reason")) {
        ("", "") => format!("{by} without explanation"),
        ("", why) | (why, _) => format!("{by}: {why}"),
    };
    let code = given["code"].as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or_default();
    let mut whole = given.as_object().cloned().unwrap_or_default();
    for (key, value) in [("kind", json!("Status")), ("apiVersion", json!("v1")), ("message", json!(message))] {
        whole.insert(key.to_owned(), value);
    }
    whole.entry("metadata").or_insert_with(|| json!({}));
    let code = code.max(400);
    whole.insert("code".to_owned(), json!(code));
    if matches!(text("status"), "" | "Success") {
        whole.insert("status".to_owned(), json!("Failure"));
    }
    Status::verbatim(code, message, whole)
}
