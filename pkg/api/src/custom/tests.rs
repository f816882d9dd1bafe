//! Custom kinds on values: what schemas drop, fill in and refuse; paths; names; definitions that are wrong.

mod definitions;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::apply::{Place, fields_of};

fn definition(schema: Value) -> Value {
    let colored = schema["properties"]["spec"]["properties"]["color"].is_object();
    let selectable = if colored { json!([{"jsonPath": ".spec.color"}]) } else { json!([]) };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "crons.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "crons", "singular": "cron", "kind": "Cron", "listKind": "CronList", "shortNames": ["cr"]},
            "versions": [
                {
                    "name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
                    "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.selector"}},
                    "additionalPrinterColumns": [
                        {"name": "Size", "type": "integer", "jsonPath": ".spec.replicas"},
                        {"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"},
                        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                    ],
                    "selectableFields": selectable,
                },
                {"name": "v1beta1", "served": true, "storage": false, "deprecated": true, "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}},
                {"name": "v1alpha1", "served": false, "storage": false, "schema": {"openAPIV3Schema": {"type": "object"}}},
            ],
        },
    })
}

fn schema() -> Value {
    json!({"type": "object", "required": ["spec"], "properties": {
        "spec": {"type": "object", "required": ["color"], "properties": {
            "color": {"type": "string", "enum": ["red", "blue"]},
            "replicas": {"type": "integer", "minimum": 1, "maximum": 10, "default": 2},
            "name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 5, "nullable": true},
            "port": {"x-kubernetes-int-or-string": true},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "template": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true},
            "ports": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "protocol"], "items": {
                "type": "object", "required": ["port"], "properties": {
                    "port": {"type": "integer"}, "protocol": {"type": "string", "default": "TCP"}, "name": {"type": "string"},
                }}},
            "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        }},
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    }})
}

fn established(schema: Value) -> Value {
    settled(&definition(schema), &[], None, Timestamp::UNIX_EPOCH).expect("a new status")
}

fn row() -> &'static Row {
    rows_of(&established(schema())).unwrap()[0]
}

fn cron(spec: Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Cron", "metadata": {"name": "a", "namespace": "default"}, "spec": spec})
}

fn complaints(spec: Value) -> Vec<String> {
    row().complaints(&cron(spec), None).iter().map(ToString::to_string).collect()
}

#[test]
fn rows_are_made_once_per_definition() {
    let first = rows_of(&established(schema())).unwrap();
    let again = rows_of(&established(schema())).unwrap();
    assert_eq!(first.iter().map(|row| row.version).collect::<Vec<_>>(), ["v1", "v1beta1"]);
    assert!(first.iter().zip(&again).all(|(a, b)| std::ptr::eq(*a, *b)));
    assert!(std::ptr::eq(first[1].stored(), first[0]) && first[0].resource() == "crons.example.com");
    let full = cron(json!({"replicas": 2}));
    assert_eq!(first[1].shown(&full)["apiVersion"], "example.com/v1beta1");
    assert_eq!(first[1].kept(&first[1].shown(&full)), full);
    // What was stored before the schema became what it is now is read as it should be.
    let stale = cron(json!({"gone": 1}));
    assert!(first[0].shows_as_stored(&full) && !first[0].shows_as_stored(&stale));
    assert_eq!(first[0].shown(&stale), full);
    assert_eq!(first[1].custom.unwrap().warning.as_deref(), Some("example.com/v1beta1 Cron is deprecated"));
}

#[test]
fn what_the_schema_does_not_name_is_dropped() {
    let given = json!({
        "kind": "Cron", "apiVersion": "example.com/v1", "metadata": {"name": "a", "foo": 1}, "extra": 1,
        "spec": {"color": "red", "bar": {"x": 1}, "free": {"any": [1]}, "labels": {"a": "b"},
                 "template": {"kind": "X", "metadata": {"name": "t", "own": 1}, "spec": {"deep": 1}},
                 "ports": [{"port": 1, "zip": 2}]},
    });
    let mut unknown = row().unknown_fields(&given);
    unknown.sort();
    assert_eq!(unknown, ["extra", "metadata.foo", "spec.bar", "spec.ports[0].zip", "spec.template.metadata.own"]);
    let pruned = row().pruned(&given).unwrap();
    let spec = json!({"color": "red", "free": {"any": [1]}, "labels": {"a": "b"}, "ports": [{"port": 1}],
                      "template": {"kind": "X", "metadata": {"name": "t"}, "spec": {"deep": 1}}});
    assert_eq!(
        pruned,
        json!({"apiVersion": "example.com/v1", "kind": "Cron", "metadata": {"name": "a"}, "spec": spec})
    );
    assert_eq!(row().pruned(&pruned).unwrap(), pruned);
}

#[test]
fn defaults_fill_what_is_missing() {
    let mut object = cron(json!({"color": "red", "replicas": null, "name": null, "ports": [{"port": 1}]}));
    row().fill_defaults(&mut object, None);
    let spec = json!({"color": "red", "replicas": 2, "name": null, "ports": [{"port": 1, "protocol": "TCP"}]});
    assert_eq!(object["spec"], spec);
}

#[test]
fn complaints_are_kubernetes_own() {
    assert_eq!(complaints(json!({"color": "red", "port": "http", "replicas": 3})), Vec::<String>::new());
    assert_eq!(complaints(json!({})), ["spec.color: Required value"]);
    assert_eq!(
        complaints(json!({"color": "green"})),
        ["spec.color: Unsupported value: \"green\": supported values: \"blue\", \"red\""]
    );
    assert_eq!(
        complaints(json!({"color": "red", "replicas": 0})),
        ["spec.replicas: Invalid value: 0: spec.replicas in body should be greater than or equal to 1"]
    );
    assert_eq!(
        complaints(json!({"color": "red", "replicas": "x"})),
        ["spec.replicas: Invalid value: \"string\": spec.replicas in body must be of type integer: \"string\""]
    );
    assert_eq!(
        complaints(json!({"color": "red", "name": "abcdefg1"})),
        [
            "spec.name: Invalid value: \"abcdefg1\": spec.name in body should match '^[a-z]+$'",
            "spec.name: Too long: may not be more than 5 bytes",
        ]
    );
    assert_eq!(
        complaints(json!({"color": "red", "port": true})),
        ["spec.port: Invalid value: \"boolean\": spec.port in body must be of type integer,string: \"boolean\""]
    );
    assert_eq!(
        complaints(json!({"color": "red", "tags": ["a", "b", "a"], "ports": [{"port": 1}, {"port": 1}]})),
        ["spec.tags[2]: Duplicate value: \"a\"", "spec.ports[1]: Duplicate value: {\"port\":1}"]
    );
    // What was wrong before may stay.
    let old = cron(json!({"color": "green"}));
    assert_eq!(row().complaints(&cron(json!({"color": "green", "replicas": 3})), Some(&old)), []);
    let ports =
        |name: &str, more: Value| cron(json!({"color": "red", "ports": [{"port": 1, "name": 5}, more], "name": name}));
    let old = ports("a", json!({"port": 2}));
    // Items that keys tell apart may stay wrong; those of a list that is one value may not.
    assert_eq!(row().complaints(&ports("b", json!({"port": 3})), Some(&old)), []);
    let tags = |tag: &str| cron(json!({"color": "red", "tags": [5, tag]}));
    let found = row().complaints(&tags("b"), Some(&tags("a")));
    assert!(found.len() == 1 && found[0].field == "spec.tags[0]", "{found:?}");
}

#[test]
fn columns_selectors_and_scale() {
    let mut object = cron(json!({"color": "red", "replicas": 3}));
    object["status"] = json!({"replicas": 1, "selector": "a=b", "conditions": [{"type": "Ready", "status": "True"}]});
    object["metadata"]["creationTimestamp"] = json!("1970-01-01T00:00:00Z");
    let names: Vec<&str> = row().columns.iter().map(|column| column.name).collect();
    assert_eq!(names, ["Name", "Size", "Ready", "Age"]);
    let now = Timestamp::from_second(300).unwrap();
    assert_eq!(row().cells_of(&object, now), [json!("a"), json!(3), json!("True"), json!("5m")]);
    assert_eq!((row().field_labels, row().label_value(&object, "spec.color")), (&["spec.color"][..], "red".to_owned()));
    let paths = row().custom.unwrap().scale.as_ref();
    let scale = scale::read(&object, paths);
    assert_eq!(
        (&scale["spec"], &scale["status"]),
        (&json!({"replicas": 3}), &json!({"replicas": 1, "selector": "a=b"}))
    );
    let new = scale::write(&object, &json!({"spec": {"replicas": 7}}), paths).unwrap();
    assert_eq!(new["spec"]["replicas"], 7);
}

#[test]
fn paths_of_kubectl() {
    let value = json!({"a": {"b.c": [1, 2, {"d": "x", "k": "y"}]}});
    let found = |path: &str| Path::parse(path).map(|path| path.find(&value).into_iter().cloned().collect::<Vec<_>>());
    assert_eq!(found(".a['b.c'][0]"), Some(vec![json!(1)]));
    assert_eq!(found(".a.b\\.c[-1].d"), Some(vec![json!("x")]));
    assert_eq!(found(".a.b\\.c[?(@.k==\"y\")].d"), Some(vec![json!("x")]));
    assert_eq!(found(".a['b.c'][*]").map(|found| found.len()), Some(3));
    assert_eq!(found(".no.where"), Some(vec![]));
    assert_eq!((found(".a[?(@.k)]"), found(".a["), found("..a")), (None, None, None));
}

#[test]
fn names_are_accepted_once() {
    let first = established(schema());
    assert!(is_established(&first));
    assert_eq!(first["status"]["storedVersions"], json!(["v1"]));
    assert_eq!(settled(&first, &[&first], None, Timestamp::now()), None);
    let mut other = definition(schema());
    other["metadata"]["name"] = json!("others.example.com");
    other["spec"]["names"]["plural"] = json!("others");
    let second = settled(&other, &[&first, &other], None, Timestamp::UNIX_EPOCH).unwrap();
    assert!(!is_established(&second));
    let conditions = second["status"]["conditions"].as_array().unwrap();
    assert_eq!(
        (&conditions[0]["reason"], &conditions[1]["reason"]),
        (&json!("ListKindConflict"), &json!("NotAccepted"))
    );
    assert_eq!(conditions[0]["message"], "\"CronList\" is already in use");
    // Once the first is gone the second may have them.
    assert!(is_established(&settled(&second, &[&second], None, Timestamp::UNIX_EPOCH).unwrap()));
    let refused = settled(&first, &[&first], Some("no room"), Timestamp::UNIX_EPOCH).unwrap();
    assert!(!is_established(&refused));
}

#[test]
fn definitions_that_are_wrong() {
    let texts = |definition: &Value| validate(definition, None).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(texts(&definition(schema())), Vec::<String>::new());
    let mut wrong = definition(json!({"properties": {"spec": {}, "l": {"type": "array"}}}));
    wrong["metadata"]["name"] = json!("x");
    wrong["spec"]["scope"] = json!("Galaxy");
    let texts_of_wrong = texts(&wrong);
    for text in [
        "metadata.name: Invalid value: \"x\": must be spec.names.plural+\".\"+spec.group",
        "spec.scope: Unsupported value: \"Galaxy\": supported values: \"Cluster\", \"Namespaced\"",
        "spec.versions[0].schema.openAPIV3Schema.type: Required value: must not be empty at the root",
        "spec.versions[0].schema.openAPIV3Schema.properties[spec].type: Required value: must not be empty for specified object fields",
        "spec.versions[0].schema.openAPIV3Schema.properties[l].items: Required value: must be specified",
    ] {
        assert!(texts_of_wrong.iter().any(|found| found == text), "{text}: {texts_of_wrong:#?}");
    }
    let mut hooked = definition(json!({"type": "object"}));
    hooked["spec"]["conversion"] = json!({"strategy": "Webhook"});
    let texts: Vec<String> = validate(&hooked, None).iter().map(ToString::to_string).collect();
    let missing = [
        "spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook",
        "spec.conversion.conversionReviewVersions: Required value",
    ];
    assert!(missing.iter().all(|text| texts.iter().any(|found| found == text)), "{texts:?}");
    let mut moved = definition(schema());
    moved["spec"]["group"] = json!("other.com");
    let errors = validate(&moved, Some(&established(schema())));
    assert_eq!(errors[0].to_string(), "spec.group: Invalid value: \"other.com\": field is immutable");
}

fn ruled(rules: Value) -> Value {
    definition(json!({"type": "object", "properties": {"spec": {
        "type": "object", "x-kubernetes-validations": rules,
        "properties": {
            "x": {"type": "integer"}, "name": {"type": "string"},
            "list": {"type": "array", "items": {"type": "array", "items": {"type": "string"}}},
            "num": {"type": "integer", "x-kubernetes-validations": [{"rule": "self > oldSelf"}]},
        },
    }}}))
}

#[test]
fn rules_of_a_definition_must_compile_and_stay_cheap() {
    for (rule, text) in [
        (json!({"rule": "self.z == 1"}), "compilation failed: ERROR: <input>:1:5: undefined field 'z'"),
        (json!({"rule": "self = 42"}), "compilation failed: ERROR: <input>:1:"),
        (json!({"rule": "self.x"}), "cel expression must evaluate to a bool"),
        (json!({"rule": " "}), "rule: Required value: rule is not specified"),
        (json!({"rule": "true", "message": " "}), "message: Invalid value: \" \": must be non-empty if specified"),
        (json!({"rule": "true", "messageExpression": "self.x"}), "messageExpression must evaluate to a string"),
        (
            json!({"rule": "true", "fieldPath": ".nowhere"}),
            "fieldPath: Invalid value: \".nowhere\": must be a valid path",
        ),
        (json!({"rule": "true", "reason": "Why"}), "reason: Unsupported value: \"Why\""),
        (json!({"rule": "true", "optionalOldSelf": true}), "may not be set if oldSelf is not used in rule"),
        (
            json!({"rule": "self.list.all(a, self.list.all(b, a == b))"}),
            "Forbidden: estimated rule cost exceeds budget by factor of more than 100x (try simplifying the rule",
        ),
    ] {
        let found = validate(&ruled(json!([rule])), None);
        assert!(found.iter().any(|error| error.to_string().contains(text)), "{text}: {found:#?}");
    }
    assert_eq!(validate(&ruled(json!([{"rule": "self.x > 0", "fieldPath": ".x"}])), None), []);
}

#[test]
fn rules_are_kept_by_every_write() {
    let rules = json!([
        {"rule": "self.x > 0", "message": "x must be more"},
        {"rule": "self.x < 10", "messageExpression": "'x is ' + string(self.x)", "reason": "FieldValueForbidden", "fieldPath": ".x"},
        {"rule": "!has(self.name) || self.name != 'bad'"},
        {"rule": "oldSelf.orValue(self).x <= self.x", "optionalOldSelf": true},
    ]);
    let row = rows_of(&settled(&ruled(rules), &[], None, Timestamp::UNIX_EPOCH).unwrap()).unwrap()[0];
    let texts = |new: Value, old: Option<Value>| {
        let found = row.complaints(&cron(new), old.map(cron).as_ref());
        found.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(texts(json!({"x": 5, "num": 3}), None), Vec::<String>::new());
    assert_eq!(texts(json!({"x": 0}), None), ["spec: Invalid value: x must be more"]);
    assert_eq!(texts(json!({"x": 12}), None), ["spec.x: Forbidden: x is 12"]);
    let text = "spec: Invalid value: failed rule: !has(self.name) || self.name != 'bad'";
    assert_eq!(texts(json!({"x": 1, "name": "bad"}), None), [text]);
    let missing = texts(json!({}), None);
    assert!(missing[0].contains("no such key: x evaluating rule: x must be more"), "{missing:?}");
    // A rule about two states; what was wrong before and is the same may stay.
    assert_eq!(
        texts(json!({"x": 5, "num": 9}), Some(json!({"x": 5, "num": 10}))),
        ["spec.num: Invalid value: 9: failed rule: self > oldSelf"]
    );
    assert_eq!(
        texts(json!({"x": 4}), Some(json!({"x": 5})))[0],
        "spec: Invalid value: failed rule: oldSelf.orValue(self).x <= self.x"
    );
    assert_eq!(texts(json!({"x": 0}), Some(json!({"x": 0}))), Vec::<String>::new());
}

#[test]
fn owners_follow_the_schema() {
    let object = cron(json!({"color": "red", "ports": [{"port": 1}], "tags": ["a"], "free": {"x": {"y": 1}}}));
    let set = fields_of(row().place(), &object).to_fields_v1();
    assert_eq!(
        set["f:spec"],
        json!({
            "f:color": {}, "f:free": {"f:x": {".": {}, "f:y": {}}},
            "f:ports": {"k:{\"port\":1,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}}}, "f:tags": {"v:\"a\"": {}},
        })
    );
    assert!(matches!(row().place(), Place::CustomRoot(_)));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3..12i64).prop_map(Value::from),
        "[a-z]{0,3}".prop_map(Value::from)
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let key = prop_oneof![
            Just("spec"),
            Just("color"),
            Just("replicas"),
            Just("ports"),
            Just("tags"),
            Just("port"),
            Just("x")
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..5).prop_map(|pairs| pairs
                .into_iter()
                .map(|(k, v)| (k.to_owned(), v))
                .collect::<Map<_, _>>()
                .into()),
        ]
    })
}

proptest! {
    #[test]
    fn pruning_and_filling_are_fixpoints(spec in any_json()) {
        let mut once = row().pruned(&cron(spec)).unwrap();
        prop_assert_eq!(&row().pruned(&once).unwrap(), &once);
        prop_assert!(row().unknown_fields(&once).is_empty());
        row().fill_defaults(&mut once, None);
        let mut twice = once.clone();
        row().fill_defaults(&mut twice, None);
        prop_assert_eq!(&twice, &once);
        // Whatever it is, it is judged and not stumbled over.
        let _ = row().complaints(&once, None);
    }
}
