//! Errors of single fields, as Kubernetes words them (apimachinery `field.Error`).

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
    /// `FieldValueTypeInvalid`, worded "Invalid value".
    TypeInvalid,
    /// `InternalError`, worded "Internal error".
    Internal,
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
