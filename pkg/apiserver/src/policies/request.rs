//! A call as policies see it: who asks for what where, with which parameters, and what the user may do besides.

use std::fmt;
use std::sync::Arc;

use minisvc_api::cel::{Authorizer, Question};
use minisvc_api::meta;
use minisvc_api::policy::Attributes;
use minisvc_api::registry::Row;
use minisvc_api::selector::LabelSelector;
use minisvc_store::{Key, Stored};
use serde_json::{Value, json};

use crate::authz;
use crate::call::Call;
use crate::identity::Identity;
use crate::server::Inner;

/// What this server knows of users' rights, for `authorizer`.
struct Rights {
    server: Arc<Inner>,
    identity: Identity,
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.identity.user)
    }
}

impl Authorizer for Rights {
    fn decide(&self, question: &Question) -> (bool, String) {
        let account = question.account.as_ref().map(|(namespace, name)| Identity::service_account(namespace, name, ""));
        let asked = authz::Attributes {
            verb: &question.verb,
            group: &question.group,
            resource: &question.resource,
            subresource: &question.subresource,
            namespace: &question.namespace,
            name: &question.name,
            path: question.path.as_deref(),
            ..authz::Attributes::of(account.as_ref().unwrap_or(&self.identity))
        };
        (authz::allowed(&self.server, &asked), String::new())
    }
}

/// What policies are told of a call, and what belongs to it.
pub(super) struct Request<'a> {
    pub(super) call: &'a Call,
    namespace: Option<Arc<Stored>>,
    versions: Vec<&'static str>,
}

impl<'a> Request<'a> {
    pub(super) fn new(call: &'a Call) -> Self {
        let key = Key { resource: "namespaces".into(), namespace: "".into(), name: call.namespace().into() };
        let namespace = (!call.namespace().is_empty()).then(|| call.server.store.get(&key)).flatten();
        let catalog = call.server.catalog();
        let same = |row: &&&'static Row| row.group == call.view.group && row.plural == call.view.plural;
        let versions = catalog.rows().iter().filter(same).map(|row| row.version).collect();
        Self { call, namespace, versions }
    }

    pub(super) fn attributes<'b>(
        &'b self,
        operation: &'static str,
        object: Option<&'b Value>,
        old: Option<&'b Value>,
    ) -> Attributes<'b> {
        let (call, view) = (self.call, self.call.view);
        let rights = Rights { server: call.server.clone(), identity: call.identity.clone() };
        let dry_run = call.query.all("dryRun").any(|value| value == "All");
        let kind = match operation {
            "CREATE" => "CreateOptions",
            "DELETE" => "DeleteOptions",
            _ if call.info.verb == "patch" => "PatchOptions",
            _ => "UpdateOptions",
        };
        let mut options = json!({"kind": kind, "apiVersion": "meta.k8s.io/v1"});
        if dry_run {
            options["dryRun"] = json!(["All"]);
        }
        for key in ["fieldManager", "fieldValidation"] {
            if call.query.has(key) {
                options[key] = json!(call.query.get(key));
            }
        }
        let named = object.or(old).map(meta::name).filter(|name| !name.is_empty());
        Attributes {
            operation,
            group: view.group,
            version: view.version,
            versions: self.versions.clone(),
            resource: view.plural,
            subresource: &call.info.subresource,
            kind: view.kind,
            namespace: call.namespace(),
            name: named.unwrap_or(&call.info.name),
            object,
            old,
            user: call.identity.to_value(),
            dry_run,
            options,
            namespace_object: self.namespace.as_ref().map(|namespace| &*namespace.value),
            authorizer: Some(Arc::new(rights)),
        }
    }

    /// The parameter objects that a binding names; one `None` for a policy without parameters.
    pub(super) fn params(&self, policy: &Value, binding: &Value) -> Result<Vec<Option<Arc<Value>>>, String> {
        let (kind, reference) = (&policy["spec"]["paramKind"], &binding["spec"]["paramRef"]);
        if !kind.is_object() || !reference.is_object() {
            return Ok(vec![None]);
        }
        let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let (version, name) = (text(kind, "apiVersion"), text(kind, "kind"));
        let catalog = self.call.server.catalog();
        let row = catalog.rows().iter().find(|row| row.kind == name && row.api_version() == version).copied();
        let Some(row) = row else {
            return Err(format!("failed to find resource referenced by paramKind: '{version}, Kind={name}'"));
        };
        let place = match (row.namespaced, text(reference, "namespace")) {
            (false, given) if !given.is_empty() => {
                return Err("paramRef.namespace must not be provided for a cluster-scoped `paramKind`".to_owned());
            }
            (false, _) => None,
            (true, given) if !given.is_empty() => Some(given),
            (true, _) if self.call.namespace().is_empty() => {
                return Err(
                    "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources".to_owned()
                );
            }
            (true, _) => Some(self.call.namespace().to_owned()),
        };
        let items = self.call.server.store.list(&row.resource(), place.as_deref()).items;
        let wanted = text(reference, "name");
        let selector = match &reference["selector"] {
            Value::Null => LabelSelector::everything(),
            selector => LabelSelector::from_object(selector)?,
        };
        let chosen = items.iter().filter(|item| match wanted.as_str() {
            "" => selector.matches(&item.value["metadata"]["labels"]),
            name => &*item.key.name == name,
        });
        let params: Vec<Option<Arc<Value>>> =
            chosen.map(|item| Some(crate::render::viewed(row, &item.value))).collect();
        match (params.is_empty(), reference["parameterNotFoundAction"] == "Deny") {
            (true, true) => Err("no params found for policy binding with `Deny` parameterNotFoundAction".to_owned()),
            _ => Ok(params),
        }
    }
}
