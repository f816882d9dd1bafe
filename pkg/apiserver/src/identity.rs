//! Who is asking. Must not decide what they may do.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// A user as authentication found it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// `kubernetes-admin`, `system:node:node1`, `system:serviceaccount:NAMESPACE:NAME`, ...
    pub user: String,
    /// Service accounts carry their object's uid.
    pub uid: String,
    /// Groups, `system:authenticated` among them for everybody but the anonymous user.
    pub groups: Vec<String>,
    /// Further attributes, such as the pod a token is bound to.
    pub extra: BTreeMap<String, Vec<String>>,
    /// This server itself, which no credentials make anybody: what it sets up no policy or webhook is asked about.
    pub(crate) is_server: bool,
}

/// How a request reached the server; put into its extensions by the listener.
#[derive(Debug, Clone)]
pub(crate) enum Peer {
    /// Through [`crate::ApiServer::client`].
    InProcess(Identity),
    /// A client certificate that TLS verified.
    Certificate(Identity),
    /// The unix socket, by a process of the server's own user (or root).
    Owner,
    /// The dashboard's listener: only bearer tokens count, and there is no anonymous user.
    Dashboard,
    /// Nothing known.
    Unknown,
}

/// The group that may do everything.
pub(crate) const MASTERS: &str = "system:masters";
/// Everybody with good credentials.
pub(crate) const AUTHENTICATED: &str = "system:authenticated";
/// Everybody without.
pub(crate) const UNAUTHENTICATED: &str = "system:unauthenticated";

impl Identity {
    /// A user with these groups and `system:authenticated`.
    pub fn new<G: Into<String>>(user: impl Into<String>, groups: impl IntoIterator<Item = G>) -> Identity {
        let mut groups: Vec<String> = groups.into_iter().map(Into::into).collect();
        if !groups.iter().any(|group| group == AUTHENTICATED) {
            groups.push(AUTHENTICATED.into());
        }
        Identity { user: user.into(), groups, ..Identity::default() }
    }

    /// Somebody without credentials.
    pub(crate) fn anonymous() -> Identity {
        Identity { user: "system:anonymous".into(), groups: vec![UNAUTHENTICATED.into()], ..Identity::default() }
    }

    /// A service account.
    pub(crate) fn service_account(namespace: &str, name: &str, uid: &str) -> Identity {
        let groups = ["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
        let mut identity = Identity::new(format!("system:serviceaccount:{namespace}:{name}"), groups);
        identity.uid = uid.into();
        identity
    }

    pub(crate) fn is_member(&self, group: &str) -> bool {
        self.groups.iter().any(|member| member == group)
    }

    /// As `authentication.k8s.io UserInfo`.
    pub(crate) fn to_value(&self) -> Value {
        let mut value = json!({"username": self.user, "groups": self.groups});
        if !self.uid.is_empty() {
            value["uid"] = json!(self.uid);
        }
        if !self.extra.is_empty() {
            value["extra"] = json!(self.extra);
        }
        value
    }
}
