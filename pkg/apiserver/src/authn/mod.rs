//! Authentication: from a connection and its headers to an identity, or 401. Must not judge rights.

pub(crate) mod service_account;

use http::{HeaderMap, header};
use minisvc_api::status::Status;
use sha2::{Digest as _, Sha256};

use crate::authz::{self, Attributes};
use crate::identity::{AUTHENTICATED, Identity, MASTERS, Peer};
use crate::server::Inner;

/// A token that is configured rather than issued, such as the dashboard's.
#[derive(Clone)]
pub struct StaticToken {
    /// The secret text after `Bearer `.
    pub token: String,
    /// Who it stands for.
    pub user: String,
    /// Their groups. [`VIEWERS`] may read everything but Secrets.
    pub groups: Vec<String>,
}

/// The group whose members may get, list and watch everything but Secrets.
pub const VIEWERS: &str = "system:minisvc:viewers";

/// Finds out who is asking; bad credentials are 401, none at all is the anonymous user.
pub(crate) fn authenticate(server: &Inner, peer: &Peer, headers: &HeaderMap) -> Result<Identity, Status> {
    let identity = match (peer, bearer(headers)) {
        (Peer::InProcess(identity), _) => identity.clone(),
        (Peer::Certificate(identity), None) => identity.clone(),
        (Peer::Owner, None) => Identity::new("minisvc:owner", [MASTERS]),
        (_, Some(token)) => {
            token_identity(server, token, &[]).map(|(identity, _)| identity).ok_or_else(Status::unauthorized)?
        }
        (Peer::Dashboard, None) => return Err(Status::unauthorized()),
        (Peer::Unknown, None) => Identity::anonymous(),
    };
    impersonate(server, identity, headers)
}

/// Whose token this is and which of `audiences` (none given: the API's own) it is meant for.
pub(crate) fn token_identity(server: &Inner, token: &str, audiences: &[String]) -> Option<(Identity, Vec<String>)> {
    // Digests are compared, so that the time taken tells nothing about the secret.
    let digest = Sha256::digest(token);
    let configured = server.config.tokens.iter().find(|known| Sha256::digest(&known.token) == digest);
    match configured {
        Some(known) => Some((Identity::new(&known.user, known.groups.iter().map(String::as_str)), Vec::new())),
        None => service_account::verify(server, token, audiences),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}

/// `Impersonate-User`, `Impersonate-Group`, `Impersonate-Uid`: allowed to whoever has the verb `impersonate`.
fn impersonate(server: &Inner, identity: Identity, headers: &HeaderMap) -> Result<Identity, Status> {
    let texts = |name: &str| -> Vec<String> {
        headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).map(str::to_owned).collect()
    };
    let (users, groups) = (texts("impersonate-user"), texts("impersonate-group"));
    let Some(user) = users.first() else {
        return if groups.is_empty() {
            Ok(identity)
        } else {
            Err(Status::internal("requested [{Group  []}] without impersonating a user name"))
        };
    };
    let mut wanted = vec![("users", user.as_str())];
    wanted.extend(groups.iter().map(|group| ("groups", group.as_str())));
    for (resource, name) in wanted {
        let attempt = Attributes { verb: "impersonate", resource, name, ..Attributes::of(&identity) };
        authz::require(server, &attempt)?;
    }
    let mut assumed = match user.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':')) {
        Some((namespace, name)) if groups.is_empty() => Identity::service_account(namespace, name, ""),
        _ if user == "system:anonymous" => Identity::anonymous(),
        _ => Identity::new(user, groups.iter().map(String::as_str)),
    };
    if let Some(uid) = texts("impersonate-uid").into_iter().next() {
        assumed.uid = uid;
    }
    debug_assert!(assumed.user == "system:anonymous" || assumed.is_member(AUTHENTICATED));
    Ok(assumed)
}
