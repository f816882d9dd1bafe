//! Errors of single fields, as Kubernetes words them (apimachinery `field.Error`). Only words: what is right or wrong is
//! decided by the rules of each kind.

use std::fmt;

use serde_json::Value;

/// What is wrong with a field; becomes the `reason` of a cause in a `Status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldErrorKind {
    /// `FieldValueRequired`, worded "Required value".
    Required,
    /// `FieldValueInvalid`, worded "Invalid value".
    Invalid,
    /// `FieldValueDuplicate`, worded "Duplicate value".
    Duplicate,
    /// `FieldValueNotSupported`, worded "Unsupported value".
    NotSupported,
    /// `FieldValueForbidden`, worded "Forbidden".
    Forbidden,
    /// `FieldValueNotFound`, worded "Not found".
    NotFound,
    /// `FieldValueTooLong`, worded "Too long".
    TooLong,
    /// `FieldValueTooMany`, worded "Too many".
    TooMany,
    /// `FieldValueTypeInvalid`, worded "Invalid value".
    TypeInvalid,
    /// `InternalError`, worded "Internal error".
    Internal,
}

impl FieldErrorKind {
    /// The `reason` of a cause: `FieldValueInvalid` and its siblings.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid => "FieldValueInvalid",
            Self::Duplicate => "FieldValueDuplicate",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::NotFound => "FieldValueNotFound",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::Internal => "InternalError",
        }
    }

    /// The words of a message: `Invalid value` and its siblings.
    pub fn words(self) -> &'static str {
        match self {
            Self::Required => "Required value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::Duplicate => "Duplicate value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "Not found",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::Internal => "Internal error",
        }
    }
}

/// One wrong field. Its text is `path: Words: value: detail` in Kubernetes' form.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldError {
    /// What is wrong.
    pub kind: FieldErrorKind,
    /// `spec.ports[0].port`.
    pub field: String,
    /// The offending value, where the wording shows one.
    pub value: Option<Value>,
    /// The explanation after the value; may be empty.
    pub detail: String,
}

impl FieldError {
    fn new(kind: FieldErrorKind, field: impl Into<String>, value: Option<Value>, detail: impl Into<String>) -> Self {
        Self { kind, field: field.into(), value, detail: detail.into() }
    }

    /// A value must be there; `detail` may be empty.
    pub fn required(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::Required, field, None, detail)
    }

    /// A value is there but wrong.
    pub fn invalid(field: impl Into<String>, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::Invalid, field, Some(value.into()), detail)
    }

    /// A value occurs twice where it must be unique.
    pub fn duplicate(field: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::new(FieldErrorKind::Duplicate, field, Some(value.into()), "")
    }

    /// A value is none of an enumeration; the supported ones are shown sorted.
    pub fn not_supported(field: impl Into<String>, value: impl Into<Value>, supported: &[&str]) -> Self {
        let mut sorted = supported.to_vec();
        sorted.sort_unstable();
        let quoted: Vec<String> = sorted.iter().map(|s| quote(s)).collect();
        let detail = if quoted.is_empty() { String::new() } else { format!("supported values: {}", quoted.join(", ")) };
        Self::new(FieldErrorKind::NotSupported, field, Some(value.into()), detail)
    }

    /// A value may not be set here.
    pub fn forbidden(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::Forbidden, field, None, detail)
    }

    /// A value refers to something that is not there.
    pub fn not_found(field: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::new(FieldErrorKind::NotFound, field, Some(value.into()), "")
    }

    /// A value has more than `max` bytes; the value itself is not shown.
    pub fn too_long(field: impl Into<String>, max: usize) -> Self {
        Self::new(FieldErrorKind::TooLong, field, None, format!("may not be more than {max} bytes"))
    }

    /// A list has `actual` items where `max` are allowed.
    pub fn too_many(field: impl Into<String>, actual: usize, max: usize) -> Self {
        Self::new(FieldErrorKind::TooMany, field, Some(actual.into()), format!("must have at most {max} items"))
    }

    /// A value is of the wrong JSON type.
    pub fn type_invalid(field: impl Into<String>, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::TypeInvalid, field, Some(value.into()), detail)
    }

    /// The server itself failed while looking at the field.
    pub fn internal(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::Internal, field, None, detail)
    }

    /// The text without the path: what a cause of a `Status` carries as its message.
    pub fn body(&self) -> String {
        let mut text = self.kind.words().to_owned();
        let shows_value = !matches!(
            self.kind,
            FieldErrorKind::Required | FieldErrorKind::Forbidden | FieldErrorKind::TooLong | FieldErrorKind::Internal
        );
        if shows_value && let Some(value) = &self.value {
            text.push_str(": ");
            text.push_str(&go_value(value));
        }
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body())
    }
}

impl std::error::Error for FieldError {}

/// A value as these messages show it: strings quoted as Go does, everything else as JSON (Kubernetes 1.34 and later; older
/// servers printed Go structs).
pub fn go_value(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        other => other.to_string(),
    }
}

/// A string as Go's `%q` writes it.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn errors_read_as_kubernetes_words_them() {
        let cases = [
            (FieldError::required("spec.ports", ""), "spec.ports: Required value"),
            (FieldError::required("a", "why"), "a: Required value: why"),
            (
                FieldError::invalid("p", 0, "must be between 1 and 65535, inclusive"),
                "p: Invalid value: 0: must be between 1 and 65535, inclusive",
            ),
            (
                FieldError::invalid("spec.clusterIPs[0]", json!(["10.96.0.9"]), "may not change once set"),
                "spec.clusterIPs[0]: Invalid value: [\"10.96.0.9\"]: may not change once set",
            ),
            (FieldError::invalid("x", Value::Null, "d"), "x: Invalid value: null: d"),
            (FieldError::duplicate("spec.ports[1].name", "a"), "spec.ports[1].name: Duplicate value: \"a\""),
            (
                FieldError::not_supported("spec.type", "X", &["NodePort", "ClusterIP"]),
                "spec.type: Unsupported value: \"X\": supported values: \"ClusterIP\", \"NodePort\"",
            ),
            (FieldError::forbidden("a", "no"), "a: Forbidden: no"),
            (FieldError::not_found("a", "b"), "a: Not found: \"b\""),
            (FieldError::too_long("a", 63), "a: Too long: may not be more than 63 bytes"),
            (FieldError::too_many("a", 4, 3), "a: Too many: 4: must have at most 3 items"),
            (FieldError::internal("a", "broken"), "a: Internal error: broken"),
        ];
        for (error, text) in cases {
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn strings_are_quoted_as_go_does() {
        assert_eq!(quote("a\"b\\c\nd\u{1}é"), r#""a\"b\\c\nd\x01é""#);
    }

    #[test]
    fn reasons_name_the_cause() {
        assert_eq!(FieldErrorKind::NotSupported.reason(), "FieldValueNotSupported");
        assert_eq!(FieldErrorKind::Internal.reason(), "InternalError");
    }
}
