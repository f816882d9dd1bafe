//! Service-account tokens: issuing and checking. Claims as Kubernetes' (serviceaccount `claims.go`), bound to the
//! account's and the pod's uid, so that a token dies with what it belongs to.

use std::sync::Arc;

use jiff::Timestamp;
use minisvc_store::{Key, Stored};
use serde_json::{Value, json};

use crate::identity::Identity;
use crate::pki::PkiError;
use crate::server::Inner;

/// Seconds that a clock may be off when times in a token are checked: a paused VM jumps.
const LEEWAY: i64 = 60;

/// What a new token is bound to.
pub(crate) struct Binding<'a> {
    /// Namespace of the service account.
    pub(crate) namespace: &'a str,
    /// The service account.
    pub(crate) account: &'a Value,
    /// `pod`, `secret` or `node` with the object, where the token is bound to one.
    pub(crate) object: Option<(&'a str, &'a Value)>,
}

/// A token for `audiences` that ends at `expires`.
pub(crate) fn issue(
    server: &Inner,
    binding: &Binding<'_>,
    audiences: &[String],
    expires: Timestamp,
) -> Result<String, PkiError> {
    let reference = |object: &Value| json!({"name": object["metadata"]["name"], "uid": object["metadata"]["uid"]});
    let now = Timestamp::now().as_second();
    let mut private = json!({"namespace": binding.namespace, "serviceaccount": reference(binding.account)});
    if let Some((kind, object)) = binding.object {
        private[kind] = reference(object);
        if let Some(node) = object["spec"]["nodeName"].as_str().filter(|name| kind == "pod" && !name.is_empty()) {
            private["node"] = match object_of(server, "nodes", "", node) {
                Some(node) => reference(&node.value),
                None => json!({"name": node}),
            };
        }
    }
    let name = binding.account["metadata"]["name"].as_str().unwrap_or_default();
    let claims = json!({
        "aud": audiences,
        "exp": expires.as_second(),
        "iat": now,
        "iss": server.config.issuer,
        "jti": uuid::Uuid::new_v4().to_string(),
        "kubernetes.io": private,
        "nbf": now - LEEWAY,
        "sub": format!("system:serviceaccount:{}:{name}", binding.namespace),
    });
    server.config.pki.token_key().sign(&claims)
}

/// Whose token this is, and those of `audiences` (none given: the API's own) that it is meant for. `None` when it is
/// not ours, out of date, for somebody else, or bound to what is gone.
pub(crate) fn verify(server: &Inner, token: &str, audiences: &[String]) -> Option<(Identity, Vec<String>)> {
    let claims = server.config.pki.token_key().verify(token).ok()?;
    let now = Timestamp::now().as_second();
    let in_time = claims["exp"].as_i64()? + LEEWAY >= now && claims["nbf"].as_i64().unwrap_or(0) <= now + LEEWAY;
    if claims["iss"] != server.config.issuer.as_str() || !in_time {
        return None;
    }
    let own = [server.config.issuer.clone()];
    let wanted = if audiences.is_empty() { &own[..] } else { audiences };
    let meant: Vec<String> = claims["aud"]
        .as_array()?
        .iter()
        .filter_map(Value::as_str)
        .filter(|audience| wanted.iter().any(|w| w == audience))
        .map(str::to_owned)
        .collect();
    if meant.is_empty() {
        return None;
    }
    let private = &claims["kubernetes.io"];
    let namespace = private["namespace"].as_str()?;
    let account = private["serviceaccount"]["name"].as_str()?;
    let uid = live(server, "serviceaccounts", namespace, &private["serviceaccount"])?;
    let mut identity = Identity::service_account(namespace, account, &uid);
    for (kind, resource) in [("pod", "pods"), ("secret", "secrets"), ("node", "nodes")] {
        let bound = &private[kind];
        let Some(name) = bound["name"].as_str() else { continue };
        let key = |what: &str| format!("authentication.kubernetes.io/{kind}-{what}");
        if let Some(uid) = bound["uid"].as_str() {
            // The node of a pod is only told: the token lives by its pod.
            let told = kind == "node" && private["pod"]["uid"].is_string();
            let place = if kind == "node" { "" } else { namespace };
            let uid = if told { uid.to_owned() } else { live(server, resource, place, bound)? };
            identity.extra.insert(key("uid"), vec![uid]);
        }
        identity.extra.insert(key("name"), vec![name.into()]);
    }
    if let Some(id) = claims["jti"].as_str() {
        identity.extra.insert("authentication.kubernetes.io/credential-id".into(), vec![format!("JTI={id}")]);
    }
    Some((identity, meant))
}

fn object_of(server: &Inner, resource: &str, namespace: &str, name: &str) -> Option<Arc<Stored>> {
    server.store.get(&Key { resource: resource.into(), namespace: namespace.into(), name: name.into() })
}

/// The uid of an object that still exists with the uid the token names.
fn live(server: &Inner, resource: &str, namespace: &str, reference: &Value) -> Option<String> {
    let stored = object_of(server, resource, namespace, reference["name"].as_str()?)?;
    let uid = stored.value["metadata"]["uid"].as_str()?;
    (reference["uid"] == uid).then(|| uid.to_owned())
}
