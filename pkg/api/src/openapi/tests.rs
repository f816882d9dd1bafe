//! The documents' structure; that kubectl reads them is checked against the running server.

use super::*;

/// The documents of the built-in kinds.
fn built_in() -> &'static Documents {
    static DOCUMENTS: LazyLock<Documents> = LazyLock::new(|| Documents::new(Vec::new()));
    &DOCUMENTS
}

fn parsed(document: &Document) -> Value {
    serde_json::from_slice(&document.body).unwrap()
}

#[test]
fn the_index_names_every_group_and_version_with_its_hash() {
    let index = parsed(built_in().v3_index());
    for row in rows() {
        let path = match row.group {
            "" => format!("api/{}", row.version),
            group => format!("apis/{group}/{}", row.version),
        };
        let document = built_in().v3_document(&path).unwrap_or_else(|| panic!("no {path}"));
        let url = format!("/openapi/v3/{path}?hash={}", document.hash);
        assert_eq!(index["paths"][&path]["serverRelativeURL"], url.as_str());
    }
    assert!(built_in().v3_document("apis/nonsense/v1").is_none());
}

#[test]
fn every_row_has_a_schema_that_carries_its_kind() {
    let document = parsed(built_in().v2_json());
    for row in rows() {
        let schema = &document["definitions"][row.schema];
        assert!(schema.is_object(), "{} has no schema {}", row.kind, row.schema);
        let kinds = schema["x-kubernetes-group-version-kind"].as_array().unwrap();
        let own = json!({"group": row.group, "kind": row.kind, "version": row.version});
        assert!(kinds.contains(&own), "{}: {kinds:?}", row.schema);
    }
}

/// Every reference of a document must lead somewhere.
fn assert_references(value: &Value, prefix: &str, schemas: &Value) {
    match value {
        Value::Object(map) => {
            if let Some(target) = map.get("$ref").and_then(Value::as_str) {
                let name = target.strip_prefix(prefix).unwrap_or_else(|| panic!("{target} is not {prefix}"));
                assert!(schemas.get(name).is_some(), "{target} leads nowhere");
            }
            map.values().for_each(|value| assert_references(value, prefix, schemas));
        }
        Value::Array(items) => items.iter().for_each(|value| assert_references(value, prefix, schemas)),
        _ => {}
    }
}

#[test]
fn references_resolve_within_each_document() {
    for path in V3.keys() {
        let document = parsed(built_in().v3_document(path).unwrap());
        assert_references(&document, "#/components/schemas/", &document["components"]["schemas"]);
    }
    let document = parsed(built_in().v2_json());
    assert_references(&document, "#/definitions/", &document["definitions"]);
}

#[test]
fn services_carry_what_apply_and_explain_need() {
    let core = parsed(built_in().v3_document("api/v1").unwrap());
    let patch = &core["paths"]["/api/v1/namespaces/{namespace}/services/{name}"]["patch"];
    assert_eq!(patch["x-kubernetes-action"], "patch");
    assert_eq!(patch["x-kubernetes-group-version-kind"], json!({"group": "", "kind": "Service", "version": "v1"}));
    let names: Vec<_> = patch["parameters"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["namespace", "name", "dryRun", "fieldManager", "fieldValidation", "force"]);
    let ports = &core["components"]["schemas"]["io.k8s.api.core.v1.ServiceSpec"]["properties"]["ports"];
    assert_eq!(ports["x-kubernetes-patch-merge-key"], "port");
    assert_eq!(ports["x-kubernetes-patch-strategy"], "merge");
    assert_eq!(ports["x-kubernetes-list-type"], "map");
    assert_eq!(ports["x-kubernetes-list-map-keys"], json!(["port", "protocol"]));
    assert_eq!(ports["items"]["$ref"], "#/components/schemas/io.k8s.api.core.v1.ServicePort");
    let port = &core["components"]["schemas"]["io.k8s.api.core.v1.ServicePort"]["properties"];
    assert_eq!(port["protocol"]["default"], "TCP");
    assert_eq!(
        port["targetPort"]["allOf"][0]["$ref"],
        "#/components/schemas/io.k8s.apimachinery.pkg.util.intstr.IntOrString"
    );
    let selector = &core["components"]["schemas"]["io.k8s.api.core.v1.ServiceSpec"]["properties"]["selector"];
    assert_eq!(selector["x-kubernetes-map-type"], "atomic");
    assert!(core["paths"]["/api/v1/services"]["get"].is_object());
    let required = &core["components"]["schemas"]["io.k8s.api.core.v1.Service"]["required"];
    assert!(required.as_array().is_none_or(|fields| !fields.contains(&json!("metadata"))), "{required}");
}

#[test]
fn version_two_says_the_same_in_its_own_way() {
    let document = parsed(built_in().v2_json());
    let port = &document["definitions"]["io.k8s.api.core.v1.ServicePort"]["properties"]["targetPort"];
    assert_eq!(port["$ref"], "#/definitions/io.k8s.apimachinery.pkg.util.intstr.IntOrString");
    let int_or_string = &document["definitions"]["io.k8s.apimachinery.pkg.util.intstr.IntOrString"];
    assert_eq!((&int_or_string["type"], &int_or_string["format"]), (&json!("string"), &json!("int-or-string")));
    let post = &document["paths"]["/api/v1/namespaces/{namespace}/services"]["post"];
    let body = post["parameters"].as_array().unwrap().iter().find(|parameter| parameter["in"] == "body").unwrap();
    assert_eq!(body["schema"]["$ref"], "#/definitions/io.k8s.api.core.v1.Service");
    let bytes = &built_in().v2_protobuf().body;
    assert!(bytes.starts_with(&[0x0a, 3, b'2', b'.', b'0', 0x12]), "{:?}", &bytes[..8]);
}
