//! What admission is asked about: a call, the operation that it is, and the kind of object that it brings, as policies and
//! webhooks are told of them. Must not decide anything.

use std::fmt;
use std::sync::Arc;

use minisvc_api::apply::Place;
use minisvc_api::cel::{Authorizer, Question};
use minisvc_api::policy::Attributes;
use minisvc_api::registry::{Catalog, Row};
use minisvc_api::status::Status;
use minisvc_api::{meta, shape};
use minisvc_store::{Key, Stored};
use serde_json::{Value, json};

use crate::authz;
use crate::call::Call;
use crate::handlers::retyped;
use crate::http::body;
use crate::identity::Identity;
use crate::server::Inner;

/// A kind that a subresource takes instead of its resource's own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Foreign {
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) kind: &'static str,
    /// Name of its schema.
    pub(crate) schema: &'static str,
}

const fn core(kind: &'static str, schema: &'static str) -> Foreign {
    Foreign { group: "", version: "v1", kind, schema }
}

impl Foreign {
    /// `autoscaling/v1 Scale`.
    pub(crate) const SCALE: Foreign =
        Foreign { group: "autoscaling", version: "v1", kind: "Scale", schema: "io.k8s.api.autoscaling.v1.Scale" };
    /// `policy/v1 Eviction`.
    pub(crate) const EVICTION: Foreign =
        Foreign { group: "policy", version: "v1", kind: "Eviction", schema: "io.k8s.api.policy.v1.Eviction" };
    /// `authentication.k8s.io/v1 TokenRequest`.
    pub(crate) const TOKEN_REQUEST: Foreign = Foreign {
        group: "authentication.k8s.io",
        version: "v1",
        kind: "TokenRequest",
        schema: "io.k8s.api.authentication.v1.TokenRequest",
    };
    /// `v1 Binding`.
    pub(crate) const BINDING: Foreign = core("Binding", "io.k8s.api.core.v1.Binding");
    /// Options of an exec.
    pub(crate) const EXEC: Foreign = core("PodExecOptions", "io.k8s.api.core.v1.PodExecOptions");
    /// Options of an attach.
    pub(crate) const ATTACH: Foreign = core("PodAttachOptions", "io.k8s.api.core.v1.PodAttachOptions");
    /// Options of a port-forward.
    pub(crate) const PORT_FORWARD: Foreign = core("PodPortForwardOptions", "io.k8s.api.core.v1.PodPortForwardOptions");
    /// Options of a pod's proxy.
    pub(crate) const POD_PROXY: Foreign = core("PodProxyOptions", "io.k8s.api.core.v1.PodProxyOptions");
    /// Options of a service's proxy.
    pub(crate) const SERVICE_PROXY: Foreign = core("ServiceProxyOptions", "io.k8s.api.core.v1.ServiceProxyOptions");
    /// Options of a node's proxy.
    pub(crate) const NODE_PROXY: Foreign = core("NodeProxyOptions", "io.k8s.api.core.v1.NodeProxyOptions");
}

/// What is asked about.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) call: &'a Call,
    /// `CREATE`, `UPDATE`, `DELETE` or `CONNECT`.
    pub(crate) operation: &'static str,
    /// The kind of its objects where it is not the call's own.
    pub(crate) foreign: Option<Foreign>,
    /// The object's name was only just made up: nobody is told of it before validation.
    pub(crate) unnamed: bool,
}

impl<'a> Subject<'a> {
    /// A call about objects of its own kind.
    pub(crate) fn own(call: &'a Call, operation: &'static str) -> Self {
        Self { call, operation, foreign: None, unnamed: false }
    }

    /// A call about objects of another kind.
    pub(crate) fn foreign(call: &'a Call, operation: &'static str, kind: Foreign) -> Self {
        Self { foreign: Some(kind), ..Self::own(call, operation) }
    }

    /// An object of this subject as the client sees it.
    pub(crate) fn shown(&self, object: &Value) -> Value {
        if self.foreign.is_some() { object.clone() } else { self.call.view.shown(object) }
    }

    /// An object that somebody has changed, typed and filled in anew, as the handlers hold it.
    pub(crate) fn typed(&self, shown: Value) -> Result<Value, Status> {
        match self.foreign {
            Some(foreign) => shape::prune(foreign.schema, &shown)
                .map_err(|cause| Status::undecodable(foreign.kind, foreign.version, &cause)),
            None => retyped(self.call, shown),
        }
    }

    /// How the fields of its objects merge.
    pub(crate) fn place(&self) -> Place {
        self.foreign.map_or_else(|| self.call.view.place(), |foreign| Place::of_schema(foreign.schema))
    }

    /// Puts back what nobody in between may change: who the object is, and what only the server writes.
    pub(crate) fn keep(&self, before: &Value, new: &mut Value) {
        if self.operation == "CONNECT" {
            return;
        }
        for key in [
            "name",
            "generateName",
            "namespace",
            "uid",
            "creationTimestamp",
            "resourceVersion",
            "generation",
            "managedFields",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
        ] {
            let kept = before["metadata"].get(key).cloned();
            let metadata = meta::metadata_mut(new);
            match kept {
                Some(value) => metadata.insert(key.into(), value),
                None => metadata.shift_remove(key),
            };
        }
    }
}

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

/// A subject with all that is told of it, read once.
pub(crate) struct Request<'a> {
    pub(crate) subject: Subject<'a>,
    namespace: Option<Arc<Stored>>,
    catalog: Arc<Catalog>,
    options: Value,
}

impl<'a> Request<'a> {
    pub(crate) fn new(subject: Subject<'a>) -> Self {
        let call = subject.call;
        let key = Key { resource: "namespaces".into(), namespace: "".into(), name: call.namespace().into() };
        let namespace = (!call.namespace().is_empty()).then(|| call.server.store.get(&key)).flatten();
        Self { subject, namespace, catalog: call.server.catalog(), options: options(&subject) }
    }

    /// Whether nothing is to be stored.
    pub(crate) fn is_dry(&self) -> bool {
        self.options["dryRun"].as_array().into_iter().flatten().any(|value| value == "All")
    }

    /// The row that serves the call's objects in this group and version.
    pub(crate) fn row(&self, (group, version): (&str, &str)) -> &'static Row {
        let call = self.subject.call;
        self.catalog.find(group, version, call.view.plural).unwrap_or(call.view)
    }

    /// Group, version and kind as a review writes them, for objects in the form of `row`.
    pub(crate) fn kind(&self, row: &'static Row) -> (&'static str, &'static str, &'static str) {
        match self.subject.foreign {
            Some(foreign) => (foreign.group, foreign.version, foreign.kind),
            None => (row.group, row.version, row.kind),
        }
    }

    pub(crate) fn attributes<'b>(&'b self, object: Option<&'b Value>, old: Option<&'b Value>) -> Attributes<'b> {
        let (call, view) = (self.subject.call, self.subject.call.view);
        let rights = Rights { server: call.server.clone(), identity: call.identity.clone() };
        let same = |row: &&&'static Row| std::ptr::eq(row.stored(), call.row);
        let (group, version, kind) = self.kind(view);
        let name = match object.map(meta::name) {
            _ if self.subject.unnamed => "",
            Some(name) if !name.is_empty() && call.info.name.is_empty() => name,
            _ => &call.info.name,
        };
        Attributes {
            operation: self.subject.operation,
            group: view.group,
            version: view.version,
            equivalents: self.catalog.rows().iter().filter(same).map(|row| (row.group, row.version)).collect(),
            // The old collection of bindings is no subresource of pods.
            resource: if call.info.resource == "bindings" { "bindings" } else { view.plural },
            subresource: &call.info.subresource,
            kind,
            kind_place: (group, version),
            // A Namespace counts as being in itself.
            namespace: if call.row.kind == "Namespace" && call.row.group.is_empty() { name } else { call.namespace() },
            name,
            object,
            old,
            user: call.identity.to_value(),
            dry_run: self.is_dry(),
            options: self.options.clone(),
            namespace_object: self.namespace.as_ref().map(|namespace| &*namespace.value),
            authorizer: Some(Arc::new(rights)),
        }
    }
}

/// The request's options as an object; none for a connection.
fn options(subject: &Subject<'_>) -> Value {
    let call = subject.call;
    let kind = match subject.operation {
        "CREATE" => "CreateOptions",
        "DELETE" => "DeleteOptions",
        "CONNECT" => return Value::Null,
        _ if call.info.verb == "patch" => "PatchOptions",
        _ => "UpdateOptions",
    };
    let mut options = json!({"kind": kind, "apiVersion": "meta.k8s.io/v1"});
    if subject.operation == "DELETE"
        && let Ok(decoded) = body::decode(&call.headers, &call.body)
        && let Value::Object(given) = decoded.value
        && let Value::Object(options) = &mut options
    {
        options.extend(given.into_iter().filter(|(key, _)| !["kind", "apiVersion"].contains(&key.as_str())));
    }
    if call.query.all("dryRun").any(|value| value == "All") {
        options["dryRun"] = json!(["All"]);
    }
    for key in ["fieldManager", "fieldValidation", "propagationPolicy"] {
        if call.query.has(key) {
            options[key] = json!(call.query.get(key));
        }
    }
    for (key, given) in [("force", "force"), ("orphanDependents", "orphanDependents")] {
        if call.query.has(given) {
            options[key] = json!(call.query.flag(given));
        }
    }
    if let Ok(seconds) = call.query.get("gracePeriodSeconds").parse::<i64>() {
        options["gracePeriodSeconds"] = json!(seconds);
    }
    options
}
