//! Who asks the node's server, and whether they may. A client shows a certificate of the cluster's authority or a bearer
//! token; the API server is asked whose token it is (TokenReview) and what its owner may (SubjectAccessReview), as kubelet
//! does with `--authentication-token-webhook` and `--authorization-mode=Webhook`. Anonymous requests are refused.

use std::collections::BTreeMap;

use http::{Method, Request, StatusCode, header};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::Api;
use kube::api::PostParams;
use tokio::sync::Semaphore;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::Refusal;
use crate::node::Node;

/// Strangers' questions that may be put to the API server at a time; the others wait.
static REVIEWS: Semaphore = Semaphore::const_new(8);

/// Whose request it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct User {
    pub(super) name: String,
    uid: Option<String>,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// The owner of a certificate that TLS has verified: its common name, and its organisations as groups.
    pub(super) fn of_certificate(der: &[u8]) -> Option<User> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let subject = certificate.subject();
        let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
        let own = subject.iter_organization().filter_map(|group| group.as_str().ok()).map(str::to_owned);
        let groups = own.chain(["system:authenticated".to_owned()]).collect();
        Some(User { name, uid: None, groups, extra: BTreeMap::new() })
    }
}

/// Refuses a request unless its sender may do this to the node.
///
/// # Errors
/// 401 for nobody or an unknown token, 403 for what is not allowed, 500 when the API server cannot be asked.
pub(super) async fn check<B>(node: &Node, certificate: Option<User>, request: &Request<B>) -> Result<(), Refusal> {
    let trusted = node.config.server.as_ref().map(|keys| keys.client_name.as_str());
    if certificate.as_ref().is_some_and(|user| Some(user.name.as_str()) == trusted) {
        // The API server has asked itself already.
        return Ok(());
    }
    let nobody = || (StatusCode::UNAUTHORIZED, "Unauthorized".to_owned());
    let _turn = REVIEWS.acquire().await;
    let user = match (certificate, bearer(request)) {
        (Some(user), _) => user,
        (None, Some(token)) => owner(node, token).await?.ok_or_else(nobody)?,
        (None, None) => return Err(nobody()),
    };
    let (verb, parts) = (verb(request.method()), subresources(request.uri().path()));
    for part in &parts {
        if allowed(node, &user, verb, part).await? {
            return Ok(());
        }
    }
    let said =
        format!("Forbidden (user={}, verb={verb}, resource=nodes, subresource(s)=[{}])", user.name, parts.join(" "));
    Err((StatusCode::FORBIDDEN, said))
}

/// The token of an `Authorization: Bearer` header.
fn bearer<B>(request: &Request<B>) -> Option<&str> {
    let (scheme, token) = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty()).then_some(token.trim())
}

fn unable(what: &str, error: &kube::Error) -> Refusal {
    tracing::warn!(%error, "cannot ask the API server about {what}");
    (StatusCode::INTERNAL_SERVER_ERROR, format!("Internal Error: {what}: {error}"))
}

/// Whose token it is.
async fn owner(node: &Node, token: &str) -> Result<Option<User>, Refusal> {
    let review =
        TokenReview { spec: TokenReviewSpec { token: token.to_owned(), audiences: None }, ..TokenReview::default() };
    let answer = Api::<TokenReview>::all(node.client.clone()).create(&PostParams::default(), &review).await;
    let status = answer.map_err(|error| unable("authentication", &error))?.status.unwrap_or_default();
    let known = status.user.filter(|_| status.authenticated == Some(true));
    Ok(known.map(|user| User {
        name: user.username.unwrap_or_default(),
        uid: user.uid,
        groups: user.groups.unwrap_or_default(),
        extra: user.extra.unwrap_or_default(),
    }))
}

async fn allowed(node: &Node, user: &User, verb: &str, subresource: &str) -> Result<bool, Refusal> {
    let resource = ResourceAttributes {
        verb: Some(verb.to_owned()),
        version: Some("v1".to_owned()),
        resource: Some("nodes".to_owned()),
        subresource: Some(subresource.to_owned()),
        name: Some(node.config.node_name.clone()),
        ..ResourceAttributes::default()
    };
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(user.name.clone()),
            uid: user.uid.clone(),
            groups: Some(user.groups.clone()),
            extra: Some(user.extra.clone()),
            resource_attributes: Some(resource),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let answer = Api::<SubjectAccessReview>::all(node.client.clone()).create(&PostParams::default(), &review).await;
    let status = answer.map_err(|error| unable("authorization", &error))?.status;
    Ok(status.is_some_and(|status| status.allowed && status.denied != Some(true)))
}

/// The API's verb for a method; others have none, which nobody is allowed.
fn verb(method: &Method) -> &'static str {
    match *method {
        Method::POST => "create",
        Method::GET => "get",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "",
    }
}

/// What of `nodes` a path is; any of them will do (kubelet `server/auth.go`, KEP-2862).
fn subresources(path: &str) -> Vec<&'static str> {
    let first = path.split('/').nth(1).unwrap_or_default();
    match first {
        "pods" | "allocatedPods" | "runningpods" => vec!["pods", "proxy"],
        "healthz" => vec!["healthz", "proxy"],
        "configz" => vec!["configz", "proxy"],
        "stats" => vec!["stats"],
        "metrics" => vec!["metrics"],
        "logs" => vec!["log"],
        "checkpoint" => vec!["checkpoint"],
        "statusz" => vec!["statusz"],
        "flagz" => vec!["configz"],
        _ => vec!["proxy"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_parts_of_nodes() {
        for (path, parts) in [
            ("/metrics/resource", &["metrics"][..]),
            ("/healthz", &["healthz", "proxy"]),
            ("/pods/", &["pods", "proxy"]),
            ("/podsx", &["proxy"]),
            ("/exec/a/b/c", &["proxy"]),
            ("/", &["proxy"]),
        ] {
            assert_eq!(subresources(path), parts, "{path}");
        }
        assert_eq!((verb(&Method::HEAD), verb(&Method::POST)), ("", "create"));
    }

    #[test]
    fn a_token_is_read_from_the_header() {
        let with = |value: &str| Request::builder().header("authorization", value).body(()).unwrap();
        assert_eq!(bearer(&with("Bearer abc")), Some("abc"));
        assert_eq!(bearer(&with("bearer  abc ")), Some("abc"));
        for none in ["Basic abc", "Bearer ", "Bearer"] {
            assert_eq!(bearer(&with(none)), None, "{none}");
        }
    }

    #[test]
    fn a_certificate_names_user_and_groups() {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "system:node:node2");
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "system:nodes");
        let made = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let user = User::of_certificate(made.der()).unwrap();
        assert_eq!(user.name, "system:node:node2");
        assert_eq!(user.groups, ["system:nodes", "system:authenticated"]);
        assert_eq!(User::of_certificate(b"none"), None);
    }
}
