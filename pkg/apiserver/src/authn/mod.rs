//! Authentication: from a connection and its headers to an identity, or 401. Must not judge rights.

mod impersonation;
pub(crate) mod service_account;
pub(crate) mod subprotocol;

use http::{HeaderMap, header};
use minisvc_api::status::Status;
use sha2::{Digest as _, Sha256};

use crate::identity::{Identity, MASTERS, Peer};
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
    impersonation::assume(server, identity, headers)
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
