//! Whether a definition in one of Kubernetes' own groups was approved (apiextensions `apihelpers`, `controller/apiapproval`).

use serde_json::Value;

use crate::field::{FieldError, quote};

/// What says so.
const ANNOTATION: &str = "api-approved.kubernetes.io";

const LINK: &str = "see https://github.com/kubernetes/enhancements/pull/1111";

/// The state of approval: status and reason of its condition, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Approval {
    pub(super) holds: bool,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

fn annotation(definition: &Value) -> &str {
    definition["metadata"]["annotations"][ANNOTATION].as_str().unwrap_or_default()
}

/// `None` for a group that is nobody's to approve.
pub(super) fn of(definition: &Value) -> Option<Approval> {
    let group = definition["spec"]["group"].as_str().unwrap_or_default();
    let own = ["k8s.io", "kubernetes.io"];
    if !own.iter().any(|own| group == *own || group.ends_with(&format!(".{own}"))) {
        return None;
    }
    let text = annotation(definition);
    let (holds, reason, message) = if text.is_empty() {
        (
            false,
            "MissingAnnotation",
            format!("protected groups must have approval annotation {}, {LINK}", quote(ANNOTATION)),
        )
    } else if text.starts_with("unapproved") {
        (false, "UnapprovedAnnotation", format!("not approved: {}", quote(text)))
    } else if is_address(text) {
        (true, "ApprovedAnnotation", format!("approved in {text}"))
    } else {
        let either = "with either a URL or a reason starting with \"unapproved\"";
        let annotation = quote(ANNOTATION);
        (
            false,
            "InvalidAnnotation",
            format!("protected groups must have approval annotation {annotation} {either}, {LINK}"),
        )
    };
    Some(Approval { holds, reason, message })
}

/// `scheme://host...`.
fn is_address(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(letters)
        && !host.is_empty()
        && !text.contains([' ', '\n'])
}

/// What is wrong with the annotation. A state that was let pass before may stay.
pub(super) fn check(new: &Value, old: Option<&Value>) -> Option<FieldError> {
    let approval = of(new)?;
    let before = old.map(|old| of(old).map_or("MissingAnnotation", |before| before.reason));
    if before == Some(approval.reason) {
        return None;
    }
    let at = format!("metadata.annotations[{ANNOTATION}]");
    match approval.reason {
        "MissingAnnotation" => Some(FieldError::required(at, approval.message)),
        "InvalidAnnotation" => Some(FieldError::invalid(at, annotation(new), approval.message)),
        _ => None,
    }
}
