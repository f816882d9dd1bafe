//! Kinds that are answered and never stored: token reviews and access reviews. Must not grant anything.

use ::http::{HeaderMap, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use minisvc_api::discovery::{VIRTUAL, VirtualKind};
use minisvc_api::field::FieldError;
use minisvc_api::status::Status;
use serde_json::{Value, json};

use crate::authn::token_identity;
use crate::authz::{self, Attributes, POLICIES, rules_of};
use crate::handlers::object::decode_as;
use crate::http::negotiate::Accept;
use crate::http::path::RequestInfo;
use crate::http::respond;
use crate::identity::{Identity, MASTERS};
use crate::server::Inner;

/// The review that a path names.
pub(crate) fn find(info: &RequestInfo) -> Option<&'static VirtualKind> {
    VIRTUAL
        .iter()
        .find(|kind| kind.group == info.group && kind.version == info.version && kind.plural == info.resource)
        .filter(|kind| {
            info.subresource.is_empty() && info.name.is_empty() && kind.namespaced != info.namespace.is_empty()
        })
}

/// `POST` of a review: the same object with its status filled in.
pub(crate) fn answer(
    server: &Inner,
    identity: &Identity,
    kind: &VirtualKind,
    namespace: &str,
    headers: &HeaderMap,
    body: &Bytes,
    accept: Accept,
) -> Result<Response, Status> {
    let version = format!("{}/{}", kind.group, kind.version);
    let mut review = decode_as(headers, body, &version, kind.kind)?.value;
    review["status"] = match kind.kind {
        "TokenReview" => token_review(server, &review["spec"]),
        "SelfSubjectReview" => json!({"userInfo": identity.to_value()}),
        "SelfSubjectAccessReview" => access(server, identity, &review["spec"])?,
        "SubjectAccessReview" => access(server, &subject(&review["spec"])?, &review["spec"])?,
        "LocalSubjectAccessReview" => {
            same_namespace(&review, namespace)?;
            access(server, &subject(&review["spec"])?, &review["spec"])?
        }
        "SelfSubjectRulesReview" => rules(server, identity, review["spec"]["namespace"].as_str().unwrap_or_default())?,
        _ => return Err(Status::unknown_resource()),
    };
    let mut answer = json!({"kind": kind.kind, "apiVersion": version, "metadata": {"creationTimestamp": null}});
    for part in ["spec", "status"] {
        if let Some(value) = review.get(part) {
            answer[part] = value.clone();
        }
    }
    Ok(respond::value(StatusCode::CREATED, &answer, accept))
}

/// A local review asks about its own namespace (authorization `validation.go`).
fn same_namespace(review: &Value, namespace: &str) -> Result<(), Status> {
    let asked = review["spec"]["resourceAttributes"]["namespace"].as_str().unwrap_or_default();
    let mut errors = Vec::new();
    if review["spec"]["nonResourceAttributes"].is_object() {
        let words = "disallowed on this kind of request";
        errors.push(FieldError::invalid("spec.nonResourceAttributes", Value::Null, words));
    }
    if review["spec"]["resourceAttributes"].is_object() && asked != namespace {
        let words = "must match metadata.namespace";
        errors.push(FieldError::invalid("spec.resourceAttributes.namespace", asked, words));
    }
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid("LocalSubjectAccessReview", "authorization.k8s.io", "", errors))
}

fn token_review(server: &Inner, spec: &Value) -> Value {
    let audiences: Vec<String> =
        spec["audiences"].as_array().into_iter().flatten().filter_map(Value::as_str).map(Into::into).collect();
    match token_identity(server, spec["token"].as_str().unwrap_or_default(), &audiences) {
        Some((identity, meant)) => {
            let mut status = json!({"authenticated": true, "user": identity.to_value()});
            if !meant.is_empty() {
                status["audiences"] = json!(meant);
            }
            status
        }
        None => json!({"authenticated": false, "error": "invalid bearer token"}),
    }
}

fn subject(spec: &Value) -> Result<Identity, Status> {
    let strings = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(Into::into).collect()
    };
    let user = spec["user"].as_str().unwrap_or_default();
    let groups = strings(&spec["groups"]);
    if user.is_empty() && groups.is_empty() {
        return Err(Status::invalid(
            "SubjectAccessReview",
            "authorization.k8s.io",
            "",
            vec![FieldError::invalid("spec.user", "", "at least one of user or group must be specified")],
        ));
    }
    let uid = spec["uid"].as_str().unwrap_or_default().into();
    Ok(Identity { user: user.into(), uid, groups, ..Identity::default() })
}

fn access(server: &Inner, identity: &Identity, spec: &Value) -> Result<Value, Status> {
    let text = |object: &'static str, field: &str| spec[object][field].as_str().unwrap_or_default().to_owned();
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    if resource.is_object() == path.is_object() {
        let error = FieldError::invalid(
            "spec.resourceAttributes",
            Value::Null,
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        );
        return Err(Status::invalid("SelfSubjectAccessReview", "authorization.k8s.io", "", vec![error]));
    }
    let of = |field: &str| text("resourceAttributes", field);
    let (verb, group, kind, below) = (of("verb"), of("group"), of("resource"), of("subresource"));
    let (namespace, name) = (of("namespace"), of("name"));
    let (path_verb, wanted) = (text("nonResourceAttributes", "verb"), text("nonResourceAttributes", "path"));
    let question = if resource.is_object() {
        Attributes {
            verb: &verb,
            group: &group,
            resource: &kind,
            subresource: &below,
            namespace: &namespace,
            name: &name,
            ..Attributes::of(identity)
        }
    } else {
        Attributes { verb: &path_verb, path: Some(&wanted), ..Attributes::of(identity) }
    };
    Ok(json!({"allowed": authz::allowed(server, &question)}))
}

/// What somebody may do in a namespace, as far as rules can be listed.
fn rules(server: &Inner, identity: &Identity, namespace: &str) -> Result<Value, Status> {
    if namespace.is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    let (mut resources, mut paths) = (Vec::new(), Vec::new());
    let mut add = |rule: &Value| {
        if rule["nonResourceURLs"].as_array().is_some_and(|urls| !urls.is_empty()) {
            paths.push(json!({"verbs": rule["verbs"], "nonResourceURLs": rule["nonResourceURLs"]}));
        } else {
            let mut listed =
                json!({"verbs": rule["verbs"], "apiGroups": rule["apiGroups"], "resources": rule["resources"]});
            if let Some(names) = rule.get("resourceNames") {
                listed["resourceNames"] = names.clone();
            }
            resources.push(listed);
        }
    };
    if identity.is_member(MASTERS) {
        add(&json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}));
        add(&json!({"verbs": ["*"], "nonResourceURLs": ["*"]}));
    }
    for rule in POLICIES.iter().filter(|policy| policy.is_for(identity)).flat_map(|policy| policy.rules) {
        if rule.paths.is_empty() {
            add(&json!({"verbs": rule.verbs, "apiGroups": rule.groups, "resources": rule.resources}));
        } else {
            add(&json!({"verbs": rule.verbs, "nonResourceURLs": rule.paths}));
        }
    }
    rules_of(&*server.store, identity, namespace).iter().for_each(add);
    Ok(json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false}))
}
