//! The paths of a group and version: one value per operation, written out for version 3 or 2.

use serde_json::{Map, Value, json};

use super::schemas::{COMPONENTS, DELETE_OPTIONS, PATCH, STATUS, list_name, virtual_schema};
use crate::discovery::VIRTUAL;
use crate::registry::{Row, Subresource};

/// One method of one path.
pub(super) struct Operation {
    path: String,
    method: &'static str,
    /// `x-kubernetes-action`.
    action: &'static str,
    id: String,
    gvk: (&'static str, &'static str, &'static str),
    query: &'static [Parameter],
    /// Schema of the body; [`PATCH`] for patches.
    body: Option<String>,
    /// Schema of the answer; empty where it is any text.
    answer: String,
    /// Strategic merge is not for custom kinds.
    strategic: bool,
}

/// A query parameter.
struct Parameter {
    name: &'static str,
    kind: &'static str,
    description: &'static str,
}

const fn parameter(name: &'static str, kind: &'static str, description: &'static str) -> Parameter {
    Parameter { name, kind, description }
}

const DRY_RUN: Parameter = parameter("dryRun", "string", "With the value All, nothing is stored.");
const FIELD_MANAGER: Parameter = parameter(
    "fieldManager",
    "string",
    "Name of the actor or program that makes these changes; at most 128 characters.",
);
const FIELD_VALIDATION: Parameter = parameter(
    "fieldValidation",
    "string",
    "What to do with unknown or duplicate fields: Ignore drops them, Warn (the default) also warns, Strict refuses the request.",
);
const FORCE: Parameter = parameter("force", "boolean", "Take over fields that other managers own; apply patches only.");
const NO_QUERY: &[Parameter] = &[];
const WRITE: &[Parameter] = &[DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION];
const PATCH_QUERY: &[Parameter] = &[DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION, FORCE];
const DELETE: &[Parameter] = &[
    DRY_RUN,
    parameter("gracePeriodSeconds", "integer", "Seconds before the object is deleted; zero deletes it at once."),
    parameter("propagationPolicy", "string", "What becomes of dependents: Orphan, Background or Foreground."),
];
const LIST: &[Parameter] = &[
    parameter("allowWatchBookmarks", "boolean", "Let a watch send BOOKMARK events."),
    parameter("continue", "string", "Where a list in parts goes on, from the part before."),
    parameter("fieldSelector", "string", "Only objects whose fields match."),
    parameter("labelSelector", "string", "Only objects whose labels match."),
    parameter("limit", "integer", "At most so many objects in one answer."),
    parameter("resourceVersion", "string", "The version to list or watch from."),
    parameter("resourceVersionMatch", "string", "How resourceVersion applies to lists."),
    parameter("sendInitialEvents", "boolean", "Begin a watch with the objects that exist."),
    parameter("timeoutSeconds", "integer", "Longest duration of the call."),
    parameter("watch", "boolean", "Send changes as they happen instead of a list."),
];

/// The subresources whose body is a kind of its own, with its schema.
pub(super) fn body_of(sub: Subresource) -> Option<((&'static str, &'static str, &'static str), &'static str)> {
    match sub {
        Subresource::Scale => Some((("autoscaling", "v1", "Scale"), "io.k8s.api.autoscaling.v1.Scale")),
        Subresource::Binding => Some((("", "v1", "Binding"), "io.k8s.api.core.v1.Binding")),
        Subresource::Eviction => Some((("policy", "v1", "Eviction"), "io.k8s.api.policy.v1.Eviction")),
        Subresource::Token => {
            Some((("authentication.k8s.io", "v1", "TokenRequest"), "io.k8s.api.authentication.v1.TokenRequest"))
        }
        _ => None,
    }
}

/// The options' kind of a subresource that connects to what is behind the object.
fn connects(row: &Row, sub: Subresource) -> Option<&'static str> {
    Some(match (sub, row.kind) {
        (Subresource::Exec, _) => "PodExecOptions",
        (Subresource::Attach, _) => "PodAttachOptions",
        (Subresource::PortForward, _) => "PodPortForwardOptions",
        (Subresource::Proxy, "Service") => "ServiceProxyOptions",
        (Subresource::Proxy, "Node") => "NodeProxyOptions",
        (Subresource::Proxy, _) => "PodProxyOptions",
        _ => return None,
    })
}

/// All operations of a group and version.
pub(super) fn of(rows: &[&'static Row], group: &str, version: &str) -> Vec<Operation> {
    let mut operations = Vec::new();
    for row in rows.iter().filter(|row| row.group == group && row.version == version) {
        of_row(row, &mut operations);
    }
    let built_in = rows.iter().any(|row| row.custom.is_none());
    for kind in VIRTUAL.iter().filter(|kind| built_in && kind.group == group && kind.version == version) {
        let schema = virtual_schema(kind);
        operations.push(Operation {
            path: format!(
                "{}{}/{}",
                prefix(kind.group, kind.version),
                if kind.namespaced { "/namespaces/{namespace}" } else { "" },
                kind.plural
            ),
            method: "post",
            action: "post",
            id: format!(
                "create{}{}{}",
                title(kind.group, kind.version),
                if kind.namespaced { "Namespaced" } else { "" },
                kind.kind
            ),
            gvk: (kind.group, kind.version, kind.kind),
            query: WRITE,
            body: Some(schema.clone()),
            answer: schema,
            strategic: true,
        });
    }
    operations
}

fn prefix(group: &str, version: &str) -> String {
    if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") }
}

/// `CoreV1`, `RbacAuthorizationV1`: the part of operation ids that names group and version.
fn title(group: &str, version: &str) -> String {
    let group = if group.is_empty() { "core" } else { group.trim_end_matches(".k8s.io") };
    group.split('.').chain([version]).map(capital).collect()
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

fn of_row(row: &Row, operations: &mut Vec<Operation>) {
    let prefix = prefix(row.group, row.version);
    let scope = if row.namespaced { "/namespaces/{namespace}" } else { "" };
    let collection = format!("{prefix}{scope}/{}", row.plural);
    let item = format!("{collection}/{{name}}");
    let (title, place) = (title(row.group, row.version), if row.namespaced { "Namespaced" } else { "" });
    let own = (row.group, row.version, row.kind);
    let schema = || row.schema.to_owned();
    let list = || list_name(row.schema, row.list_kind);
    let allows = |verb: &str| row.verbs.contains(&verb);
    let mut add = |path: &str, method, action, id: String, gvk, query, body: Option<String>, answer: String| {
        let (path, strategic) = (path.to_owned(), row.custom.is_none());
        operations.push(Operation { path, method, action, id, gvk, query, body, answer, strategic });
    };
    let id = |verb: &str, rest: &str| format!("{verb}{title}{rest}{place}{}", row.kind);
    let delete_options = || Some(DELETE_OPTIONS.to_owned());
    if allows("list") {
        add(&collection, "get", "list", id("list", ""), own, LIST, None, list());
        if row.namespaced {
            let path = format!("{prefix}/{}", row.plural);
            let id = format!("list{title}{}ForAllNamespaces", row.kind);
            add(&path, "get", "list", id, own, LIST, None, list());
        }
    }
    if allows("create") {
        add(&collection, "post", "post", id("create", ""), own, WRITE, Some(schema()), schema());
    }
    if allows("deletecollection") {
        let id = id("delete", "Collection");
        add(&collection, "delete", "deletecollection", id, own, DELETE, delete_options(), STATUS.to_owned());
    }
    if allows("get") {
        add(&item, "get", "get", id("read", ""), own, NO_QUERY, None, schema());
    }
    if allows("update") {
        add(&item, "put", "put", id("replace", ""), own, WRITE, Some(schema()), schema());
    }
    if allows("patch") {
        add(&item, "patch", "patch", id("patch", ""), own, PATCH_QUERY, Some(PATCH.to_owned()), schema());
    }
    if allows("delete") {
        add(&item, "delete", "delete", id("delete", ""), own, DELETE, delete_options(), STATUS.to_owned());
    }
    for sub in row.subresources {
        let (name, methods): (_, &[&str]) = match sub {
            Subresource::Status => ("status", &["get", "put", "patch"]),
            Subresource::Approval => ("approval", &["get", "put", "patch"]),
            Subresource::Scale => ("scale", &["get", "put", "patch"]),
            Subresource::Binding => ("binding", &["post"]),
            Subresource::Eviction => ("eviction", &["post"]),
            Subresource::EphemeralContainers => ("ephemeralcontainers", &["get", "put", "patch"]),
            Subresource::Resize => ("resize", &["get", "put", "patch"]),
            Subresource::Token => ("token", &["post"]),
            Subresource::Finalize => ("finalize", &["put"]),
            Subresource::Log => ("log", &["get"]),
            Subresource::Exec => ("exec", &["get", "post"]),
            Subresource::Attach => ("attach", &["get", "post"]),
            Subresource::PortForward => ("portforward", &["get", "post"]),
            Subresource::Proxy => ("proxy", &["delete", "get", "head", "options", "patch", "post", "put"]),
        };
        let path = format!("{item}/{name}");
        if let Some(options) = connects(row, *sub) {
            // What is behind answers with whatever it likes.
            let paths: &[(String, &str)] = match sub {
                Subresource::Proxy => &[(path.clone(), ""), (format!("{path}/{{path}}"), "WithPath")],
                _ => &[(path, "")],
            };
            for ((path, suffix), method) in
                paths.iter().flat_map(|path| methods.iter().map(move |method| (path, method)))
            {
                let id = format!("{}{}{suffix}", id(&format!("connect{}", capital(method)), ""), capital(name));
                add(path, method, "connect", id, ("", "v1", options), NO_QUERY, None, String::new());
            }
            continue;
        }
        let (gvk, schema) = body_of(*sub).unwrap_or((own, row.schema));
        for method in methods {
            let (verb, query, body) = match *method {
                "get" => ("read", NO_QUERY, None),
                "put" => ("replace", WRITE, Some(schema)),
                "patch" => ("patch", PATCH_QUERY, Some(PATCH)),
                _ => ("create", WRITE, Some(schema)),
            };
            let id = format!("{}{}", id(verb, ""), capital(name));
            add(&path, method, method, id, gvk, query, body.map(str::to_owned), schema.to_owned());
        }
    }
}

/// What both versions say of an operation.
fn common(operation: &Operation) -> Map<String, Value> {
    let (group, version, kind) = operation.gvk;
    let mut value = Map::new();
    value.insert("operationId".into(), operation.id.clone().into());
    value.insert("x-kubernetes-action".into(), operation.action.into());
    value.insert("x-kubernetes-group-version-kind".into(), json!({"group": group, "kind": kind, "version": version}));
    value
}

/// Names of the parameters in a path.
fn path_parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

/// Media types of an operation's body.
fn media_types(operation: &Operation) -> &'static [&'static str] {
    if operation.method == "patch" && !operation.strategic {
        &["application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json"]
    } else if operation.method == "patch" {
        &[
            "application/apply-patch+yaml",
            "application/json-patch+json",
            "application/merge-patch+json",
            "application/strategic-merge-patch+json",
        ]
    } else {
        &["*/*"]
    }
}

fn group_by_path(operations: &[Operation], write: impl Fn(&Operation) -> Value) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for operation in operations {
        let path = paths.entry(operation.path.clone()).or_insert_with(|| json!({}));
        path[operation.method] = write(operation);
    }
    paths.sort_keys();
    Value::Object(paths)
}

/// `paths` of a version 3 document.
pub(super) fn paths_v3(operations: &[Operation]) -> Value {
    group_by_path(operations, |operation| {
        let reference = |name: &str| json!({"schema": {"$ref": format!("{COMPONENTS}{name}")}});
        let in_path = path_parameters(&operation.path)
            .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}));
        let in_query = operation.query.iter().map(|query| {
            json!({"name": query.name, "in": "query", "description": query.description, "schema": {"type": query.kind}})
        });
        let mut value = common(operation);
        value.insert("parameters".into(), in_path.chain(in_query).collect());
        if let Some(body) = &operation.body {
            let content: Map<String, Value> =
                media_types(operation).iter().map(|media| ((*media).to_owned(), reference(body))).collect();
            value.insert("requestBody".into(), json!({"content": content}));
        }
        let content = match operation.answer.as_str() {
            "" => json!({"*/*": {"schema": {"type": "string"}}}),
            answer => json!({"application/json": reference(answer)}),
        };
        value.insert("responses".into(), json!({"200": {"description": "OK", "content": content}}));
        Value::Object(value)
    })
}

/// `paths` of the version 2 document.
pub(super) fn paths_v2(operations: &[Operation]) -> Value {
    group_by_path(operations, |operation| {
        let reference = |name: &str| json!({"$ref": format!("#/definitions/{name}")});
        let in_path = path_parameters(&operation.path)
            .map(|name| json!({"name": name, "in": "path", "required": true, "type": "string"}));
        let in_query = operation.query.iter().map(
            |query| json!({"name": query.name, "in": "query", "description": query.description, "type": query.kind}),
        );
        let body = operation.body.iter().map(|body| json!({"name": "body", "in": "body", "schema": reference(body)}));
        let mut value = common(operation);
        value.insert("parameters".into(), in_path.chain(in_query).chain(body).collect());
        if operation.body.is_some() {
            value.insert("consumes".into(), media_types(operation).into());
        }
        let (media, schema) = match operation.answer.as_str() {
            "" => ("*/*", json!({"type": "string"})),
            answer => ("application/json", reference(answer)),
        };
        value.insert("produces".into(), json!([media]));
        value.insert("responses".into(), json!({"200": {"description": "OK", "schema": schema}}));
        Value::Object(value)
    })
}
