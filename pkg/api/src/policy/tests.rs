//! Policies on values: which requests they are about, what they deny and in which words, how they change objects, what
//! their authors hear.

use serde_json::{Value, json};

use super::*;
use crate::apply::Place;

const DEPLOYMENT: &str = "io.k8s.api.apps.v1.Deployment";

fn request<'a>(object: &'a Value, namespace: &'a Value) -> Attributes<'a> {
    Attributes {
        operation: "CREATE",
        group: "apps",
        version: "v1",
        equivalents: vec![("apps", "v1")],
        resource: "deployments",
        subresource: "",
        kind: "Deployment",
        kind_place: ("apps", "v1"),
        namespace: "default",
        name: "a",
        object: Some(object),
        old: None,
        user: json!({"username": "jane", "groups": ["devs"]}),
        dry_run: false,
        options: json!({}),
        namespace_object: Some(namespace),
        authorizer: None,
    }
}

fn deployment(replicas: i64) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "labels": {"app": "x"}},
        "spec": {"replicas": replicas, "template": {"spec": {"containers": [{"name": "c", "image": "nginx"}]}}},
    })
}

fn namespace() -> Value {
    json!({"metadata": {"name": "default", "labels": {"tier": "test"}}})
}

fn rule(resources: &[&str]) -> Value {
    json!({"operations": ["CREATE"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": resources})
}

fn policy(spec: Value) -> Value {
    let mut whole = json!({"metadata": {"name": "p"}, "spec": {
        "matchConstraints": {"resourceRules": [rule(&["deployments"])]}, "reinvocationPolicy": "Never",
    }});
    for (key, value) in spec.as_object().into_iter().flatten() {
        whole["spec"][key] = value.clone();
    }
    default(&mut whole, None);
    whole
}

fn denied(spec: Value, object: &Value, params: Option<&Value>) -> Vec<String> {
    let namespace = namespace();
    let found = Validating::compile(&policy(spec)).judge(&request(object, &namespace), params);
    found.into_iter().map(|decision| format!("{}: {}", decision.reason, decision.message)).collect()
}

#[test]
fn rules_choose_requests() {
    let (object, namespace) = (deployment(1), namespace());
    let plain = request(&object, &namespace);
    let matched = |resources: Value| matches(&resources, &plain).unwrap();
    assert!(matched(json!({"resourceRules": [rule(&["deployments"])]})) && matched(json!({})));
    assert!(matched(json!({"resourceRules": [rule(&["*"])]})) && matched(json!({"resourceRules": [rule(&["*/*"])]})));
    assert!(!matched(json!({"resourceRules": [rule(&["deployments/status"])]})));
    assert!(!matched(json!({"resourceRules": [rule(&["*"])], "excludeResourceRules": [rule(&["deployments"])]})));
    assert!(matched(json!({"namespaceSelector": {"matchLabels": {"tier": "test"}}})));
    assert!(!matched(json!({"namespaceSelector": {"matchLabels": {"tier": "prod"}}})));
    assert!(!matched(json!({"objectSelector": {"matchLabels": {"app": "y"}}})));
    let mut named = rule(&["deployments"]);
    named["resourceNames"] = json!(["b"]);
    named["scope"] = json!("Namespaced");
    assert!(!matched(json!({"resourceRules": [named]})));
    let status = Attributes { subresource: "status", operation: "UPDATE", ..plain.clone() };
    assert!(!matches(&json!({"resourceRules": [rule(&["deployments"])]}), &status).unwrap());
}

#[test]
fn validations_deny() {
    let spec = json!({"validations": [
        {"expression": "object.spec.replicas > 1", "messageExpression": "'got ' + string(object.spec.replicas)"},
        {"expression": "namespaceObject.metadata.name == 'default'", "message": "elsewhere"},
        {"expression": "request.userInfo.username != 'joe' && request.operation == 'CREATE'"},
    ]});
    assert_eq!(denied(spec.clone(), &deployment(1), None), ["Invalid: got 1"]);
    assert_eq!(denied(spec, &deployment(2), None), Vec::<String>::new());
    let spec = json!({
        "variables": [{"name": "n", "expression": "object.spec.replicas"}, {"name": "odd", "expression": "variables.n % 2 == 1"}],
        "validations": [{"expression": "variables.odd", "reason": "Forbidden"}, {"expression": "variables.n > 1", "message": "few"}],
    });
    assert_eq!(denied(spec.clone(), &deployment(4), None), ["Forbidden: failed expression: variables.odd"]);
    assert_eq!(denied(spec, &deployment(1), None), ["Invalid: few"]);
    let spec = json!({"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}, "validations": [
        {"expression": "object.spec.replicas <= int(params.data.most)"},
    ]});
    assert_eq!(denied(spec.clone(), &deployment(3), Some(&json!({"data": {"most": "3"}}))), Vec::<String>::new());
    assert_eq!(denied(spec, &deployment(4), Some(&json!({"data": {"most": "3"}}))).len(), 1);
}

#[test]
fn what_cannot_be_evaluated_follows_the_failure_policy() {
    let spec = |policy: &str| json!({"failurePolicy": policy, "validations": [{"expression": "object.nothing == 1"}]});
    assert_eq!(
        denied(spec("Fail"), &deployment(1), None),
        ["Invalid: expression 'object.nothing == 1' resulted in error: no such key: nothing"]
    );
    assert_eq!(denied(spec("Ignore"), &deployment(1), None), Vec::<String>::new());
    let conditions = |expression: &str| json!({"matchConditions": [{"name": "c", "expression": expression}], "validations": [{"expression": "false"}]});
    assert_eq!(denied(conditions("object.spec.replicas > 5"), &deployment(1), None), Vec::<String>::new());
    assert_eq!(denied(conditions("true"), &deployment(1), None).len(), 1);
    let (object, namespace) = (deployment(1), namespace());
    let webhook = Conditions::compile(&json!([{"name": "x", "expression": "request.resource.resource == 'pods'"}]));
    assert_eq!(webhook.hold(&request(&object, &namespace)), Outcome::Not);
    let broken = Conditions::compile(&json!([{"name": "x", "expression": "object.a.b"}]));
    assert!(matches!(broken.hold(&request(&object, &namespace)), Outcome::Error(_)));
}

#[test]
fn mutations_change() {
    let (object, namespace) = (deployment(1), namespace());
    let changed = |mutation: Value| {
        let policy = Mutating::compile(&policy(json!({"mutations": [mutation]})));
        policy.change(&request(&object, &namespace), None, Place::of_schema(DEPLOYMENT))
    };
    let apply = |text: &str| json!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": text}});
    let patch = |text: &str| json!({"patchType": "JSONPatch", "jsonPatch": {"expression": text}});
    let made = changed(apply(
        "Object{spec: Object.spec{replicas: 1337}, metadata: Object.metadata{annotations: {'by': 'p'}}}",
    ));
    let made = made.unwrap().unwrap();
    assert_eq!((&made["spec"]["replicas"], &made["metadata"]["annotations"]["by"]), (&json!(1337), &json!("p")));
    assert_eq!(made["spec"]["template"], object["spec"]["template"]);
    let text = "[JSONPatch{op: 'test', path: '/spec/replicas', value: 1}, JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('a/b'), value: 'c'}]";
    assert_eq!(changed(patch(text)).unwrap().unwrap()["metadata"]["labels"]["a/b"], "c");
    let text = "[JSONPatch{op: 'test', path: '/spec/replicas', value: 7}, JSONPatch{op: 'remove', path: '/spec'}]";
    assert_eq!(changed(patch(text)).unwrap().unwrap(), object);
    assert!(changed(patch("[JSONPatch{op: 'remove', path: '/none'}]")).unwrap_err().starts_with("JSON Patch: "));
    assert!(changed(apply("Object{kind: 'Pod'}")).unwrap_err().contains("must not be changed"));
}

#[test]
fn policies_that_are_wrong() {
    let texts = |found: Vec<crate::field::FieldError>| found.iter().map(ToString::to_string).collect::<Vec<_>>();
    let good = policy(json!({"validations": [{"expression": "object.spec.replicas > 1"}]}));
    assert_eq!(validate_validating(&good, None), []);
    let bad =
        policy(json!({"validations": [{"expression": "object.x >"}, {"expression": "1"}, {"expression": "params.x"}]}));
    let found = texts(validate_validating(&bad, None));
    assert!(found[0].starts_with(
        "spec.validations[0].expression: Invalid value: \"object.x >\": compilation failed: ERROR: <input>:1:"
    ));
    assert!(
        found[1].contains("must evaluate to bool but got ") && found[2].contains("undeclared reference to 'params'"),
        "{found:#?}"
    );
    assert!(texts(validate_validating(&policy(json!({})), None))[0].contains("must contain at least one item"));
    let audited = |value: &str| {
        let mut policy = policy(json!({"auditAnnotations": [{"key": "k", "valueExpression": value}]}));
        policy["metadata"] = json!({"name": "p"});
        texts(validate_validating(&policy, None))
    };
    for value in ["'x'", "object.spec.replicas > 3 ? 'many' : 'few'", "null", "object.kind"] {
        assert_eq!(audited(value), Vec::<String>::new(), "{value}");
    }
    let at = "spec.auditAnnotations[0].valueExpression";
    let wrong = format!("{at}: Invalid value: \"1\": must evaluate to one of [string null_type] but got int");
    assert_eq!(audited("1"), [wrong]);
    let long = format!("{at}: Required value: must not exceed 5120 bytes in length");
    assert_eq!(audited(&format!("'{}'", "x".repeat(5119))), [long]);
    let mutating = |text: &str| {
        policy(json!({"mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": text}}]}))
    };
    assert_eq!(validate_mutating(&mutating("Object{spec: Object.spec{replicas: 1}}"), None), []);
    assert_eq!(
        texts(validate_mutating(&mutating("1"), None)),
        ["spec.mutations[0].applyConfiguration.expression: Invalid value: \"1\": must evaluate to Object but got int"]
    );
    let mut binding =
        json!({"spec": {"policyName": "p", "validationActions": ["Deny", "Warn"], "paramRef": {"name": "x"}}});
    assert_eq!(texts(validate_binding(&binding, true))[0], "spec.paramRef.parameterNotFoundAction: Required value");
    binding["spec"]["paramRef"] = Value::Null;
    assert!(texts(validate_binding(&binding, true))[0].contains("must not contain both Deny and Warn"));
}

#[test]
fn authors_hear_of_wrong_types() {
    let confused = policy(json!({"validations": [
        {"expression": "object.spec.replicas > '1'", "messageExpression": "'got ' + object.spec.replicas"},
        {"expression": "object.spec.nothing == 1"}, {"expression": "object.spec.replicas > 1"},
    ]}));
    let found = warnings(&confused, crate::registry::rows());
    let fields: Vec<_> = found.iter().map(|one| one["fieldRef"].as_str().unwrap()).collect();
    assert_eq!(
        fields,
        ["spec.validations[0].expression", "spec.validations[0].messageExpression", "spec.validations[1].expression"]
    );
    for (one, text) in found.iter().zip([
        "'_>_' applied to '(int, string)'",
        "'_+_' applied to '(string, int)'",
        "undefined field 'nothing'",
    ]) {
        assert!(one["warning"].as_str().unwrap().contains(text), "{one}");
    }
}
