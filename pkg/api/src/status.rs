//! `Status`: how the API says no. One constructor per case of Kubernetes' own list (apimachinery `errors.go`).

use serde_json::Value;

/// A failure as `meta/v1 Status`. Serialise with [`Status::to_value`].
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// HTTP code.
    pub code: u16,
    /// `NotFound`, `AlreadyExists`, ...; empty when there is none.
    pub reason: &'static str,
    /// The sentence that kubectl prints.
    pub message: String,
    /// `details`, or null.
    pub details: Value,
}
