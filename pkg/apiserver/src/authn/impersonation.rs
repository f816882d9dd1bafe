//! `Impersonate-User`, `-Group`, `-Uid` and `-Extra-KEY` (`kubectl --as`): acting as somebody else, for whoever has the
//! verb `impersonate` on each thing asked for (apiserver `endpoints/filters/impersonation`). Must not authenticate.

use std::collections::BTreeMap;

use http::HeaderMap;
use minisvc_api::status::Status;

use crate::authz::{self, Attributes};
use crate::identity::{AUTHENTICATED, Identity, UNAUTHENTICATED};
use crate::server::Inner;

/// What the headers ask for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    user: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

/// Who this request acts as: the caller, or whom its headers name.
///
/// # Errors
/// 400 for anything but a user without a user; 403 for what the caller may not impersonate.
pub(super) fn assume(server: &Inner, caller: Identity, headers: &HeaderMap) -> Result<Identity, Status> {
    let Some(wanted) = Wanted::of(headers)? else { return Ok(caller) };
    let account = service_account(&wanted.user);
    let ask = |question: Attributes<'_>| {
        authz::require(server, &Attributes { verb: "impersonate", identity: &caller, ..question })
    };
    let blank = Attributes::of(&caller);
    match account {
        Some((namespace, name)) => ask(Attributes { resource: "serviceaccounts", namespace, name, ..blank })?,
        None => ask(Attributes { resource: "users", name: &wanted.user, ..blank })?,
    }
    for name in &wanted.groups {
        ask(Attributes { resource: "groups", name, ..blank })?;
    }
    let blank = Attributes { group: "authentication.k8s.io", ..blank };
    for (key, values) in &wanted.extra {
        for name in values {
            ask(Attributes { resource: "userextras", subresource: key, name, ..blank })?;
        }
    }
    if !wanted.uid.is_empty() {
        ask(Attributes { resource: "uids", name: &wanted.uid, ..blank })?;
    }
    Ok(wanted.identity())
}

impl Wanted {
    /// `None` without such headers; empty ones count as absent.
    fn of(headers: &HeaderMap) -> Result<Option<Wanted>, Status> {
        let texts = |name: &str| -> Vec<String> {
            headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
        };
        let first = |name: &str| texts(name).into_iter().next().unwrap_or_default();
        let mut wanted = Wanted {
            user: first("impersonate-user"),
            uid: first("impersonate-uid"),
            groups: texts("impersonate-group"),
            extra: BTreeMap::new(),
        };
        for name in headers.keys() {
            let Some(key) = name.as_str().strip_prefix("impersonate-extra-") else { continue };
            let decoded = percent_encoding::percent_decode_str(key).decode_utf8();
            let key = decoded.map_or_else(|_| key.to_owned(), |key| key.into_owned());
            wanted.extra.entry(key).or_default().extend(texts(name.as_str()));
        }
        if !wanted.user.is_empty() {
            return Ok(Some(wanted));
        }
        if wanted == Wanted::default() {
            return Ok(None);
        }
        Err(Status::bad_request(format!("requested {} without impersonating a user name", wanted.in_go())))
    }

    /// As Go prints it with `%#v`.
    fn in_go(&self) -> String {
        let list = |texts: &[String]| format!("[]string{{{}}}", quoted(texts));
        let groups = if self.groups.is_empty() { "[]string(nil)".to_owned() } else { list(&self.groups) };
        let extra: Vec<String> = self.extra.iter().map(|(key, texts)| format!("{key:?}:{}", list(texts))).collect();
        let extra = if extra.is_empty() { "(nil)".to_owned() } else { format!("{{{}}}", extra.join(", ")) };
        format!(
            "&user.DefaultInfo{{Name:{:?}, UID:{:?}, Groups:{groups}, Extra:map[string][]string{extra}}}",
            self.user, self.uid
        )
    }

    /// A service account's groups are known; a list of groups given replaces them. Whoever is not said to be
    /// unauthenticated is authenticated, but for the anonymous user.
    fn identity(self) -> Identity {
        let mut groups = self.groups;
        if groups.is_empty()
            && let Some((namespace, name)) = service_account(&self.user)
        {
            groups = Identity::service_account(namespace, name, "").groups;
        }
        let has = |groups: &[String], wanted: &str| groups.iter().any(|group| group == wanted);
        if self.user == "system:anonymous" {
            if !has(&groups, UNAUTHENTICATED) {
                groups.push(UNAUTHENTICATED.into());
            }
        } else if !has(&groups, AUTHENTICATED) && !has(&groups, UNAUTHENTICATED) {
            groups.push(AUTHENTICATED.into());
        }
        Identity { user: self.user, uid: self.uid, groups, extra: self.extra, is_server: false }
    }
}

fn quoted(texts: &[String]) -> String {
    texts.iter().map(|text| format!("{text:?}")).collect::<Vec<_>>().join(", ")
}

/// Namespace and name of `system:serviceaccount:NAMESPACE:NAME`.
fn service_account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    (!namespace.is_empty() && !name.is_empty() && !name.contains(':')).then_some((namespace, name))
}
