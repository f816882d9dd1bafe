//! Schemas under upstream names: k8s-openapi's, with group-version-kinds, list types and merge keys added.

use k8s_openapi as k8s;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use crate::custom;
use crate::discovery::{self, VIRTUAL};
use crate::messages::{Element, Message, Shape, message};
use crate::registry::{Row, rows};

/// Where references of version 3 point.
pub(crate) const COMPONENTS: &str = "#/components/schemas/";

/// Name of the options that deletes carry.
pub(super) const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";

/// Name of objects' metadata.
const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// Name of the answer to deletes.
pub(super) const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";

/// Name of what patches carry: any object.
pub(super) const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";

type Root = (String, fn(&mut SchemaGenerator) -> Schema);

fn root<T: JsonSchema>() -> Root {
    (T::schema_name().into_owned(), |generator| generator.subschema_for::<T>())
}

/// Every kind whose schema can be asked for. A row whose kind is missing here fails a test.
fn roots() -> Vec<Root> {
    macro_rules! kinds {
        ($($group:ident::$version:ident: $($kind:ident)*;)*) => {
            vec![$($(root::<k8s::api::$group::$version::$kind>(),)*)*]
        };
    }
    let mut roots = kinds! {
        admissionregistration::v1: MutatingAdmissionPolicy MutatingAdmissionPolicyBinding MutatingWebhookConfiguration
            ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding ValidatingWebhookConfiguration;
        apps::v1: ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet;
        authentication::v1: SelfSubjectReview TokenRequest TokenReview;
        authorization::v1: LocalSubjectAccessReview SelfSubjectAccessReview SelfSubjectRulesReview SubjectAccessReview;
        autoscaling::v1: HorizontalPodAutoscaler Scale;
        autoscaling::v2: HorizontalPodAutoscaler;
        batch::v1: CronJob Job;
        certificates::v1: CertificateSigningRequest ClusterTrustBundle PodCertificateRequest;
        coordination::v1: Lease;
        core::v1: Binding ComponentStatus ConfigMap Endpoints Event LimitRange Namespace Node PersistentVolume
            PersistentVolumeClaim Pod PodTemplate ReplicationController ResourceQuota Secret Service ServiceAccount;
        discovery::v1: EndpointSlice;
        events::v1: Event;
        flowcontrol::v1: FlowSchema PriorityLevelConfiguration;
        networking::v1: IPAddress Ingress IngressClass NetworkPolicy ServiceCIDR;
        node::v1: RuntimeClass;
        policy::v1: Eviction PodDisruptionBudget;
        rbac::v1: ClusterRole ClusterRoleBinding Role RoleBinding;
        resource::v1: DeviceClass DeviceTaintRule ResourceClaim ResourceClaimTemplate ResourceSlice;
        scheduling::v1: PriorityClass;
        storagemigration::v1: StorageVersionMigration;
        storage::v1: CSIDriver CSINode CSIStorageCapacity StorageClass VolumeAttachment VolumeAttributesClass;
    };
    roots.push(root::<CustomResourceDefinition>());
    roots.push(root::<APIService>());
    roots.push(root::<meta::DeleteOptions>());
    roots.push(root::<meta::ListMeta>());
    roots.push(root::<meta::ObjectMeta>());
    roots.push(root::<meta::Status>());
    roots
}

/// The version of OpenAPI that custom kinds are written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Still to be converted by [`to_v2`].
    V2,
    V3,
}

/// The schemas of all kinds of these groups and versions, their lists, and all that they refer to, by name.
pub(super) fn reachable(rows: &[&'static Row], served: &[(&str, &str)], form: Form) -> Map<String, Value> {
    let settings = SchemaSettings::openapi3().with(|settings| settings.transforms.clear());
    let mut generator = settings.into_generator();
    let roots = roots();
    let mut add = |name: &str| {
        if let Some((_, subschema)) = roots.iter().find(|(root, _)| root == name) {
            subschema(&mut generator);
        }
    };
    for name in [DELETE_OPTIONS, STATUS, "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"] {
        add(name);
    }
    if rows.iter().any(|row| row.custom.is_some()) {
        add(OBJECT_META);
    }
    let is_served = |group: &str, version: &str| served.contains(&(group, version));
    let mut lists = Vec::new();
    for row in rows.iter().filter(|row| is_served(row.group, row.version)) {
        add(row.schema);
        lists.push((list_name(row.schema, row.list_kind), row));
        for (_, schema) in row.subresources.iter().filter_map(|sub| super::operations::body_of(*sub)) {
            add(schema);
        }
    }
    for kind in VIRTUAL.iter().filter(|kind| is_served(kind.group, kind.version)) {
        add(&virtual_schema(kind));
    }
    let mut schemas: Map<String, Value> = generator.take_definitions(false);
    for (name, schema) in &mut schemas {
        finish(name, schema, served);
    }
    let types = schemas.get(DELETE_OPTIONS).map(|options| options["properties"].clone()).unwrap_or_default();
    for row in rows.iter().filter(|row| is_served(row.group, row.version)) {
        if let Some(kind) = row.custom {
            let schema = match form {
                Form::V3 => custom::of_row(row, kind, &types),
                Form::V2 => custom::of_row_v2(row, kind, &types),
            };
            schemas.insert(row.schema.to_owned(), schema);
        }
    }
    for (name, row) in lists {
        schemas.insert(name, list_schema(row.schema, (row.group, row.version, row.list_kind)));
    }
    schemas.insert(
        PATCH.into(),
        json!({"description": "Patch is a change in one of the patch formats.", "type": "object"}),
    );
    schemas.sort_keys();
    schemas
}

/// The schema name of a kind that is answered without being stored.
pub(super) fn virtual_schema(kind: &discovery::VirtualKind) -> String {
    let short = kind.group.split('.').next().filter(|short| !short.is_empty()).unwrap_or("core");
    format!("io.k8s.api.{short}.{}.{}", kind.version, kind.kind)
}

/// `io.k8s.api.core.v1.ServiceList` from a row's schema and list kind.
pub(super) fn list_name(schema: &str, list_kind: &str) -> String {
    let package = schema.rsplit_once('.').map(|(package, _)| package).unwrap_or_default();
    format!("{package}.{list_kind}")
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("{COMPONENTS}{name}")})
}

fn list_schema(item: &str, (group, version, kind): (&str, &str, &str)) -> Value {
    let items = json!({"description": "The objects.", "type": "array", "items": reference(item)});
    let list_meta = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
    json!({
        "description": format!("{kind} is a list of objects."),
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"description": "Version of the schema of this list.", "type": "string"},
            "items": items,
            "kind": {"description": "Kind of this list.", "type": "string"},
            "metadata": {"description": "Metadata of the list.", "allOf": [reference(list_meta)]},
        },
        "x-kubernetes-group-version-kind": [{"group": group, "version": version, "kind": kind}],
    })
}

/// Adds to a schema what k8s-openapi leaves out.
fn finish(name: &str, schema: &mut Value, served: &[(&str, &str)]) {
    let Value::Object(schema) = schema else { return };
    match name.rsplit('.').next() {
        Some("IntOrString") => {
            schema.remove("x-kubernetes-int-or-string");
            schema.insert("format".into(), "int-or-string".into());
            schema.insert("oneOf".into(), json!([{"type": "integer"}, {"type": "string"}]));
        }
        Some("Quantity") => {
            schema.remove("type");
            schema.insert("oneOf".into(), json!([{"type": "string"}, {"type": "number"}]));
        }
        _ => {}
    }
    let known = message(name);
    if known.is_some_and(|message| message.atomic) {
        schema.insert("x-kubernetes-map-type".into(), "atomic".into());
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        for (field, property) in properties {
            wrap_reference(property);
            if let Some(message) = known {
                annotate(message, field, property);
            }
        }
    }
    let kinds = kinds_of(name, schema, served);
    if !kinds.is_empty() {
        // k8s-openapi calls metadata required, upstream does not: old kubectl would refuse objects without it.
        if let Some(Value::Array(required)) = schema.get_mut("required") {
            required.retain(|field| field != "metadata");
            if required.is_empty() {
                schema.remove("required");
            }
        }
        schema.insert("x-kubernetes-group-version-kind".into(), kinds.into());
    }
}

/// A reference with a description beside it is `allOf` in OpenAPI 3.0, where siblings of `$ref` do not count.
fn wrap_reference(property: &mut Value) {
    if let Value::Object(property) = property
        && property.len() > 1
        && let Some(target) = property.remove("$ref")
    {
        property.insert("allOf".into(), json!([{"$ref": target}]));
    }
}

fn annotate(message: &'static Message, field: &str, property: &mut Value) {
    let (Some(field), Value::Object(property)) = (message.field(field), property) else { return };
    let mut set = |key: &str, value: Value| property.insert(key.to_owned(), value);
    if let Some(strategy) = field.patch_strategy() {
        set("x-kubernetes-patch-strategy", strategy.into());
    }
    if let Some(key) = field.patch_merge_key() {
        set("x-kubernetes-patch-merge-key", key.into());
    }
    if field.shape == Shape::List
        && let Some(list_type @ ("atomic" | "set" | "map")) = field.list_type()
    {
        set("x-kubernetes-list-type", list_type.into());
        let keys = field.list_map_keys();
        if !keys.is_empty() {
            set("x-kubernetes-list-map-keys", keys.into());
        }
    }
    if field.atomic {
        set("x-kubernetes-map-type", "atomic".into());
    }
    let scalar = field.shape == Shape::Single && !matches!(field.element, Element::Message(_));
    if let Some(default) = field.default_json().filter(|_| scalar).and_then(|text| serde_json::from_str(text).ok()) {
        set("default", default);
    }
}

/// The `x-kubernetes-group-version-kind` entries of a schema: none for parts of kinds.
fn kinds_of(name: &str, schema: &Map<String, Value>, served: &[(&str, &str)]) -> Vec<Value> {
    let kind = name.rsplit('.').next().unwrap_or(name);
    let gvk = |group: &str, version: &str| json!({"group": group, "kind": kind, "version": version});
    match name {
        DELETE_OPTIONS => return served.iter().map(|(group, version)| gvk(group, version)).collect(),
        STATUS => return vec![gvk("", "v1")],
        _ => {}
    }
    let stored: Vec<Value> =
        rows().iter().filter(|row| row.schema == name).map(|row| gvk(row.group, row.version)).collect();
    let is_kind = || ["apiVersion", "kind", "metadata"].iter().all(|key| schema["properties"].get(key).is_some());
    if !stored.is_empty() || schema.get("properties").is_none() || !is_kind() {
        return stored;
    }
    let Some((short, version)) =
        name.strip_prefix("io.k8s.api.").and_then(|rest| rest.rsplit_once('.')?.0.split_once('.'))
    else {
        return stored;
    };
    let groups = discovery::groups(rows());
    let group = groups.into_iter().find(|group| group.split('.').next() == Some(short));
    let group = if short == "core" { "" } else { group.unwrap_or(short) };
    vec![gvk(group, version)]
}

/// The same schemas as version 2 says them: other references, `$ref` beside its description, no `oneOf`.
pub(super) fn to_v2(schemas: Map<String, Value>) -> Value {
    fn convert(value: Value) -> Value {
        match value {
            Value::Array(items) => items.into_iter().map(convert).collect(),
            Value::String(text) => match text.strip_prefix(COMPONENTS) {
                Some(name) => format!("#/definitions/{name}").into(),
                None => text.into(),
            },
            Value::Object(mut map) => {
                // A field of that name has an object here, not a list.
                if map.get("allOf").is_some_and(Value::is_array)
                    && let Some(Value::Array(all)) = map.remove("allOf")
                    && let Some(Value::Object(only)) = all.into_iter().next()
                {
                    map.extend(only);
                }
                if map.get("oneOf").is_some_and(Value::is_array) {
                    map.remove("oneOf");
                    map.insert("type".into(), "string".into());
                }
                Value::Object(map.into_iter().map(|(key, value)| (key, convert(value))).collect())
            }
            other => other,
        }
    }
    convert(Value::Object(schemas))
}
