//! The parameter objects of policies, read from the store. Must not judge anything.

use std::sync::Arc;

use minisvc_api::selector::LabelSelector;
use serde_json::Value;

use crate::admission::subject::Request;

impl Request<'_> {
    /// The parameter objects that a binding names; one `None` for a policy without parameters.
    pub(super) fn params(&self, policy: &Value, binding: &Value) -> Result<Vec<Option<Arc<Value>>>, String> {
        let (kind, reference) = (&policy["spec"]["paramKind"], &binding["spec"]["paramRef"]);
        if !kind.is_object() || !reference.is_object() {
            return Ok(vec![None]);
        }
        let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let (version, name) = (text(kind, "apiVersion"), text(kind, "kind"));
        let catalog = self.subject.call.server.catalog();
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
            (true, _) if self.subject.call.namespace().is_empty() => {
                return Err(
                    "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources".to_owned()
                );
            }
            (true, _) => Some(self.subject.call.namespace().to_owned()),
        };
        let items = self.subject.call.server.store.list(&row.resource(), place.as_deref()).items;
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
