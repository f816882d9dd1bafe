//! Definitions on values: schemas that are not structural, waived demands, approval.

use super::*;

/// What is wrong with a definition of this schema, each with the path below the schema.
fn wrong(schema: Value) -> Vec<String> {
    let mut definition = definition(json!({"type": "object"}));
    definition["spec"]["versions"] =
        json!([{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]);
    let at = "spec.versions[0].schema.openAPIV3Schema.";
    validate(&definition, None).iter().map(|error| error.to_string().replace(at, "")).collect()
}

#[test]
fn schemas_must_be_structural() {
    let field = |schema: Value| wrong(json!({"type": "object", "properties": {"a": schema}}));
    let number = json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]});
    assert_eq!(field(number), Vec::<String>::new());
    let patterned = json!({"x-kubernetes-int-or-string": true, "allOf": [
        {"anyOf": [{"type": "integer"}, {"type": "string"}]}, {"pattern": "^[0-9]+$"}]});
    assert_eq!(field(patterned), Vec::<String>::new());
    for (schema, text) in [
        (
            json!({"anyOf": [{"type": "string"}], "type": "string"}),
            "properties[a].anyOf[0].type: Forbidden: must be empty to be structural",
        ),
        (
            json!({"type": "object", "properties": {"b": {"type": "string"}}, "not": {"x-kubernetes-validations": [{"rule": "true"}]}}),
            "properties[a].not.x-kubernetes-validations: Forbidden: must be empty to be structural",
        ),
        (
            json!({"type": "object", "oneOf": [{"properties": {"metadata": {"minLength": 1}}}]}),
            "properties[a].oneOf[0].properties[metadata]: Forbidden: must not be specified in a nested context",
        ),
        (
            json!({"type": "string", "x-kubernetes-embedded-resource": true}),
            "properties[a].type: Invalid value: \"string\": must be object if x-kubernetes-embedded-resource is true",
        ),
        (
            json!({"type": "object", "x-kubernetes-embedded-resource": true}),
            "properties[a].properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
        ),
        (
            json!({"type": "array", "items": {}}),
            "properties[a].items.type: Required value: must not be empty for specified array items",
        ),
        (
            json!({"type": "string", "uniqueItems": true}),
            "properties[a].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        ),
        (
            json!({"type": "object", "properties": {"b": {"type": "string"}}, "additionalProperties": false}),
            "properties[a].additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive",
        ),
        (json!({"type": "string", "$ref": "x"}), "properties[a].$ref: Forbidden: $ref is not supported"),
        (
            json!({"type": "array", "items": [{"type": "string"}]}),
            "properties[a].items: Forbidden: items must be a schema object and not an array",
        ),
        (
            json!({"type": "object", "x-kubernetes-list-type": "set"}),
            "properties[a].type: Invalid value: \"object\": must be array if x-kubernetes-list-type is specified",
        ),
        (
            json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "object"}}),
            "properties[a].items.x-kubernetes-map-type: Invalid value: null: must be atomic as item of a list with x-kubernetes-list-type=set",
        ),
        (
            json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": {"type": "object", "properties": {"k": {"type": "string"}}}}),
            "properties[a].items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
        ),
        (
            json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": {"type": "object"}}),
            "properties[a].x-kubernetes-list-map-keys: Invalid value: [\"k\"]: entries must all be names of item properties",
        ),
        (
            json!({"type": "object", "default": {"x": 1}}),
            "properties[a].default: Invalid value: {\"x\":1}: must not have unknown fields",
        ),
        (
            json!({"type": "integer", "default": "x"}),
            "properties[a].default: Invalid value: \"string\":  in body must be of type integer: \"string\"",
        ),
        (
            json!({"type": "integer", "default": 3, "x-kubernetes-validations": [{"rule": "self > 5"}]}),
            "properties[a].default: Invalid value: 3: failed rule: self > 5",
        ),
        (
            json!({"type": "null"}),
            "properties[a].type: Forbidden: type cannot be set to null, use nullable as an alternative",
        ),
        (
            json!({"type": "string", "x-kubernetes-preserve-unknown-fields": false}),
            "properties[a].x-kubernetes-preserve-unknown-fields: Invalid value: false: must be true or undefined",
        ),
    ] {
        let found = field(schema);
        assert!(found.contains(&text.to_owned()), "{text}: {found:#?}");
    }
    let all = wrong(json!({"type": "object", "anyOf": [{"properties": {"b": {"items": {"minimum": 1}}}}],
        "properties": {"metadata": {"type": "object", "description": "mine"}}}));
    assert_eq!(
        all,
        [
            "properties[b]: Required value: because it is defined in anyOf[0].properties[b]",
            "properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified",
        ]
    );
    let named = json!({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 9}}}}});
    assert_eq!(wrong(named), Vec::<String>::new());
    assert_eq!(
        wrong(json!({"type": "object", "additionalProperties": {"type": "string"}})),
        ["additionalProperties: Forbidden: must not be used at the root"]
    );
}

#[test]
fn what_is_not_structural_is_told_and_may_stay() {
    let mut old =
        established(json!({"type": "object", "properties": {"a": {"type": "string", "not": {"type": "string"}}}}));
    let message =
        "spec.versions[0].schema.openAPIV3Schema.properties[a].not.type: Forbidden: must be empty to be structural";
    let told = |definition: &Value| {
        let conditions = definition["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.into_iter().find(|one| one["type"] == "NonStructuralSchema")
    };
    let condition = told(&old).expect("a condition");
    assert_eq!(
        (&condition["status"], &condition["reason"], &condition["message"]),
        (&json!("True"), &json!("Violations"), &json!(message))
    );
    let mut new = old.clone();
    new["spec"]["names"]["categories"] = json!(["all"]);
    assert_eq!(validate(&new, Some(&old)), []);
    assert_eq!(validate(&new, None).len(), 1);
    old["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["a"] = json!({"type": "string"});
    assert_eq!(told(&settled(&old, &[], None, Timestamp::UNIX_EPOCH).expect("a change")), None);
    old["spec"]["versions"][0]["name"] = json!("v2");
    let errors = validate(&old, Some(&old));
    assert!(
        errors[0]
            .to_string()
            .starts_with("status.storedVersions[0]: Invalid value: \"v1\": missing from spec.versions; v1 was"),
        "{errors:?}"
    );
}

#[test]
fn groups_of_kubernetes_need_approval() {
    let mut definition = definition(json!({"type": "object"}));
    definition["spec"]["group"] = json!("example.k8s.io");
    definition["metadata"]["name"] = json!("crons.example.k8s.io");
    let texts = |definition: &Value| validate(definition, None).iter().map(ToString::to_string).collect::<Vec<_>>();
    let at = "metadata.annotations[api-approved.kubernetes.io]: ";
    assert!(
        texts(&definition)[0]
            .starts_with(&format!("{at}Required value: protected groups must have approval annotation"))
    );
    definition["metadata"]["annotations"] = json!({"api-approved.kubernetes.io": "surely"});
    assert!(texts(&definition)[0].starts_with(&format!("{at}Invalid value: \"surely\": protected groups")));
    assert_eq!(validate(&definition, Some(&definition.clone())), []);
    definition["metadata"]["annotations"] = json!({"api-approved.kubernetes.io": "unapproved, a trial"});
    assert_eq!(texts(&definition), Vec::<String>::new());
    definition["metadata"]["annotations"] = json!({"api-approved.kubernetes.io": "https://example.com/pull/1"});
    let settled = settled(&definition, &[], None, Timestamp::UNIX_EPOCH).expect("a status");
    let mut conditions = settled["status"]["conditions"].as_array().unwrap().iter();
    let found = conditions.find(|one| one["type"] == "KubernetesAPIApprovalPolicyConformant").expect("a condition");
    assert_eq!(
        (&found["reason"], &found["message"]),
        (&json!("ApprovedAnnotation"), &json!("approved in https://example.com/pull/1"))
    );
}
