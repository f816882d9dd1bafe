//! Approved CertificateSigningRequests for the cluster's own signers get their certificate, or the condition `Failed`
//! (upstream's csrsigning controller).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use minisvc_store::{Stored, Write};
use serde_json::{Value, json};

use crate::pki::CertificateRequest;
use crate::server::Inner;

pub(super) const RESOURCE: &str = "certificatesigningrequests.certificates.k8s.io";

impl Inner {
    /// Signs a request that is approved, not signed yet, and for one of the cluster's own signers.
    pub(super) async fn sign(&self, stored: &Stored) {
        let Some(value) = self.signed(&stored.value, Timestamp::now()) else { return };
        self.settle(Write::Update { key: stored.key.clone(), expected: Some(stored.revision), value }).await;
    }

    fn signed(&self, asked: &Value, now: Timestamp) -> Option<Value> {
        let (spec, status) = (&asked["spec"], &asked["status"]);
        let is = |kind: &str| {
            let mut conditions = status["conditions"].as_array().into_iter().flatten();
            conditions.any(|condition| condition["type"] == *kind && condition["status"] == "True")
        };
        if !is("Approved") || is("Denied") || is("Failed") || status["certificate"].is_string() {
            return None;
        }
        let usages: Vec<&str> = spec["usages"].as_array()?.iter().filter_map(Value::as_str).collect();
        let pem = STANDARD.decode(spec["request"].as_str()?).ok()?;
        let request = CertificateRequest::parse(&pem).ok()?;
        let fits = request.fits(spec["signerName"].as_str()?, &usages)?;
        let signed = fits.and_then(|()| {
            let seconds = spec["expirationSeconds"].as_i64();
            self.config.pki.sign_request(&request, &usages, seconds, now).map_err(|cause| cause.to_string())
        });
        let mut value = asked.clone();
        match signed {
            Ok(certificate) => value["status"]["certificate"] = STANDARD.encode(certificate).into(),
            Err(why) => {
                let time = minisvc_api::time::format(now);
                let failed = json!({
                    "type": "Failed", "status": "True", "reason": "SignerValidationFailure", "message": why,
                    "lastUpdateTime": time, "lastTransitionTime": time,
                });
                value["status"]["conditions"].as_array_mut()?.push(failed);
            }
        }
        Some(value)
    }
}
