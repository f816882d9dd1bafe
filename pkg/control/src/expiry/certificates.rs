//! When requests for certificates are old (kubernetes `pkg/controller/certificates/cleaner`).

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, PodCertificateRequest};
use minisvc_api::certificate;

/// Answered requests: signed, denied, failed.
const ANSWERED: SignedDuration = SignedDuration::from_hours(1);
/// Requests that nobody has answered, or that are approved and not signed.
const OPEN: SignedDuration = SignedDuration::from_hours(24);
/// Pods' requests, whatever became of them.
const OF_PODS: SignedDuration = SignedDuration::from_mins(15);

/// Whether a signing request goes.
pub(super) fn signing(request: &CertificateSigningRequest, now: Timestamp) -> bool {
    let past = |since: Option<Timestamp>, kept: SignedDuration| since.is_some_and(|at| now.duration_since(at) > kept);
    let status = request.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    if conditions.is_empty() {
        return past(request.metadata.creation_timestamp.as_ref().map(|at| at.0), OPEN);
    }
    let issued = status.and_then(|status| status.certificate.as_ref()).map_or(&[] as &[u8], |text| text.0.as_slice());
    conditions.iter().any(|condition| {
        let updated = condition.last_update_time.as_ref().map(|at| at.0);
        match condition.type_.as_str() {
            "Approved" if issued.is_empty() => past(updated, OPEN),
            "Approved" => past(updated, ANSWERED) || certificate::end(issued).is_some_and(|end| now > end),
            "Denied" | "Failed" => past(updated, ANSWERED),
            _ => false,
        }
    })
}

/// Whether a pod's request goes.
pub(super) fn of_pod(request: &PodCertificateRequest, now: Timestamp) -> bool {
    request.metadata.creation_timestamp.as_ref().is_some_and(|at| now.duration_since(at.0) >= OF_PODS)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fixtures::{at, object};

    fn request(status: Value) -> CertificateSigningRequest {
        object(json!({
            "metadata": {"creationTimestamp": "1970-01-01T00:00:00Z"},
            "spec": {"request": "", "signerName": "example.com/x"}, "status": status,
        }))
    }

    fn answered(kind: &str, certificate: &str) -> Value {
        let condition = json!({"type": kind, "status": "True", "lastUpdateTime": "1970-01-01T01:00:00Z"});
        match certificate {
            "" => json!({"conditions": [condition]}),
            text => json!({"conditions": [condition], "certificate": text}),
        }
    }

    #[test]
    fn requests_go_by_what_became_of_them() {
        const HOUR: i64 = 3600;
        for (status, hours) in [
            (json!({}), 24),
            (answered("Denied", ""), 2),
            (answered("Failed", ""), 2),
            (answered("Approved", "eA=="), 2),
            (answered("Approved", ""), 25),
        ] {
            let request = request(status);
            assert!(!signing(&request, at(hours * HOUR)), "{request:?}");
            assert!(signing(&request, at(hours * HOUR + 1)), "{request:?}");
        }
        let other = request(answered("Other", ""));
        assert!(!signing(&other, at(100 * HOUR)));
        let pod: PodCertificateRequest = object(json!({
            "metadata": {"creationTimestamp": "1970-01-01T00:00:00Z"},
            "spec": {"nodeName": "", "nodeUID": "", "podName": "", "podUID": "", "serviceAccountName": "",
                     "serviceAccountUID": "", "signerName": ""},
        }));
        assert!(!of_pod(&pod, at(899)) && of_pod(&pod, at(900)));
    }
}
