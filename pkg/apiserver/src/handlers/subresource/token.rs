//! `serviceaccounts/token`: TokenRequest (authentication.k8s.io/v1).

use axum::response::Response;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use minisvc_api::field::FieldError;
use minisvc_api::meta;
use minisvc_api::status::Status;
use minisvc_store::Key;
use serde_json::{Value, json};

use crate::admission::chain;
use crate::admission::subject::{Foreign, Subject};
use crate::authn::service_account::{self, Binding};
use crate::call::Call;
use crate::handlers::object::decode_as;
use crate::http::respond;

/// Seconds: Kubernetes' default, least, and what `1 << 32` allows at most.
const DEFAULT: i64 = 3600;
const LEAST: i64 = 600;
const MOST: i64 = 1 << 32;

/// `POST`.
pub(super) async fn request(call: &Call) -> Result<Response, Status> {
    // A token is written nowhere: a dry run gets one as well.
    call.query.write_options("CreateOptions")?;
    let mut request = decode_as(&call.headers, &call.body, "authentication.k8s.io/v1", "TokenRequest")?.value;
    let account = call.current()?;
    let subject = Subject::foreign(call, "CREATE", Foreign::TOKEN_REQUEST);
    chain::mutate(&subject, &mut request, None, |_| Ok(())).await?;
    chain::validate(&subject, Some(&request), None).await?;
    let seconds = request["spec"]["expirationSeconds"].as_i64().unwrap_or(DEFAULT);
    check(&call.info.name, seconds)?;
    let mut audiences: Vec<String> = request["spec"]["audiences"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(Into::into)
        .collect();
    if audiences.is_empty() {
        audiences.push(call.server.config.issuer.clone());
    }
    let bound = bound_object(call, &request["spec"]["boundObjectRef"], &account.value)?;
    let expires = Timestamp::now().saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX);
    let binding = Binding {
        namespace: &call.info.namespace,
        account: &account.value,
        object: bound.as_ref().map(|(kind, object)| (*kind, &**object)),
    };
    let token = service_account::issue(&call.server, &binding, &audiences, expires).map_err(Status::internal)?;
    request["kind"] = json!("TokenRequest");
    request["apiVersion"] = json!("authentication.k8s.io/v1");
    let metadata = meta::metadata_mut(&mut request);
    metadata.insert("name".into(), json!(call.info.name));
    metadata.insert("namespace".into(), json!(call.info.namespace));
    metadata.insert("creationTimestamp".into(), json!(minisvc_api::time::format(Timestamp::now())));
    if !request["spec"].is_object() {
        request["spec"] = json!({});
    }
    request["spec"]["audiences"] = json!(audiences);
    request["spec"]["expirationSeconds"] = json!(seconds);
    request["status"] = json!({"token": token, "expirationTimestamp": minisvc_api::time::format(expires)});
    Ok(respond::value(StatusCode::CREATED, &request, call.accept))
}

fn check(name: &str, seconds: i64) -> Result<(), Status> {
    let detail = if seconds < LEAST {
        "may not specify a duration less than 10 minutes"
    } else if seconds > MOST {
        "may not specify a duration larger than 2^32 seconds"
    } else {
        return Ok(());
    };
    let error = FieldError::invalid("spec.expirationSeconds", seconds, detail);
    Err(Status::invalid("TokenRequest", "authentication.k8s.io", name, vec![error]))
}

type Bound = Option<(&'static str, std::sync::Arc<Value>)>;

/// The live object that the token is to be bound to.
fn bound_object(call: &Call, reference: &Value, account: &Value) -> Result<Bound, Status> {
    if reference.is_null() {
        return Ok(None);
    }
    let text = |field: &str| reference[field].as_str().unwrap_or_default();
    let (kind, resource, namespace) = match text("kind") {
        "Pod" => ("pod", "pods", call.info.namespace.as_str()),
        "Secret" => ("secret", "secrets", call.info.namespace.as_str()),
        "Node" => ("node", "nodes", ""),
        other => {
            return Err(Status::bad_request(format!(
                "cannot bind token to object of type {}, Kind={other}",
                text("apiVersion")
            )));
        }
    };
    let name = text("name");
    let key = Key { resource: resource.into(), namespace: namespace.into(), name: name.into() };
    let stored = call.server.store.get(&key).ok_or_else(|| Status::not_found(resource, name))?;
    let (wanted, found) = (text("uid"), meta::uid(&stored.value));
    if !wanted.is_empty() && wanted != found {
        let why = format!(
            "the UID in the bound object reference ({wanted}) does not match the UID in record. The object might have been deleted and then recreated"
        );
        return Err(Status::conflict_because(resource, name, &why));
    }
    let owner = stored.value["spec"]["serviceAccountName"].as_str().unwrap_or_default();
    if kind == "pod" && owner != meta::name(account) {
        let why = format!(
            "cannot bind token for serviceaccount {} to pod running with different serviceaccount name.",
            meta::name(account)
        );
        return Err(Status::bad_request(why));
    }
    Ok(Some((kind, stored.value.clone())))
}
