//! Admission webhooks as pure decisions: what is wrong with a configuration, which webhook a request is for, the review
//! that is sent and what its answer says (apiserver `pkg/admission/plugin/webhook`), and where a webhook is. Whoever has a
//! network makes the call. Must not know the store.

mod check;
mod place;
mod review;

pub use check::{default, validate};
pub(crate) use place::check_client;
pub use place::{Place, Remote};
pub use review::{Verdict, denial, review, verdict};

use serde_json::Value;

/// Seconds that a webhook has where it does not say.
pub const SECONDS: u64 = 10;

/// The version of reviews to speak with a webhook: the first that it and this server know.
///
/// # Errors
/// It knows neither.
pub fn review_version(webhook: &Value) -> Result<&'static str, String> {
    let given = webhook["admissionReviewVersions"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let known = given.filter_map(|version| ["v1", "v1beta1"].into_iter().find(|known| *known == version)).next();
    known.ok_or_else(|| "webhook does not accept known AdmissionReview versions (v1, v1beta1)".to_owned())
}

/// Whether a webhook may be called for a request that stores nothing.
pub fn is_harmless(webhook: &Value) -> bool {
    matches!(webhook["sideEffects"].as_str(), Some("None" | "NoneOnDryRun"))
}

#[cfg(test)]
mod tests;
