//! Webhooks on values: what is refused of a configuration and in which words, where a webhook is, what a review says and
//! what its answer may say.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::*;
use crate::policy::{Attributes, invoked};

fn configuration(change: Value) -> Value {
    let mut whole = json!({"webhooks": [{
        "name": "w.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "clientConfig": {"service": {"namespace": "n", "name": "s", "path": "/x"}},
        "rules": [{"operations": ["CREATE"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"]}],
    }]});
    for (key, value) in change.as_object().into_iter().flatten() {
        whole["webhooks"][0][key] = value.clone();
    }
    default(&mut whole, true);
    whole
}

fn complaints(change: Value) -> Vec<String> {
    validate(&configuration(change), None, true).iter().map(ToString::to_string).collect()
}

#[test]
fn defaults_are_those_of_the_type() {
    let whole = configuration(json!({}));
    let webhook = &whole["webhooks"][0];
    assert_eq!(webhook["failurePolicy"], "Fail");
    assert_eq!((&webhook["matchPolicy"], &webhook["timeoutSeconds"]), (&json!("Equivalent"), &json!(10)));
    assert_eq!((&webhook["reinvocationPolicy"], &webhook["rules"][0]["scope"]), (&json!("Never"), &json!("*")));
    assert_eq!(webhook["clientConfig"]["service"]["port"], 443);
    assert_eq!(validate(&whole, None, true), Vec::new());
}

#[test]
fn what_is_wrong_with_a_webhook() {
    let cases = [
        (
            json!({"name": "w.com"}),
            "webhooks[0].name: Invalid value: \"w.com\": should be a domain with at least three segments separated by dots",
        ),
        (
            json!({"sideEffects": null}),
            "webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun",
        ),
        (
            json!({"sideEffects": "Some"}),
            "webhooks[0].sideEffects: Unsupported value: \"Some\": supported values: \"None\", \"NoneOnDryRun\"",
        ),
        (
            json!({"timeoutSeconds": 31}),
            "webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
        ),
        (
            json!({"admissionReviewVersions": []}),
            "webhooks[0].admissionReviewVersions: Required value: must specify one of v1, v1beta1",
        ),
        (
            json!({"admissionReviewVersions": ["v1", "v1"]}),
            "webhooks[0].admissionReviewVersions[1]: Invalid value: \"v1\": duplicate version",
        ),
        (
            json!({"clientConfig": {}}),
            "webhooks[0].clientConfig: Required value: exactly one of url or service is required",
        ),
        (
            json!({"clientConfig": {"url": "http://x/y"}}),
            "webhooks[0].clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: https://host[/path]",
        ),
        (
            json!({"clientConfig": {"url": "https://a@x/y"}}),
            "webhooks[0].clientConfig.url: Invalid value: \"a\": user information is not permitted in the URL",
        ),
        (
            json!({"clientConfig": {"service": {"namespace": "n", "name": "s", "path": "a//b"}}}),
            "webhooks[0].clientConfig.service.path: Invalid value: \"a//b\": must start with a '/'",
        ),
        (
            json!({"matchConditions": [{"name": "a", "expression": "1 +"}]}),
            "webhooks[0].matchConditions[0].expression: Invalid value: \"1 +\": compilation failed",
        ),
        (
            json!({"reinvocationPolicy": "X"}),
            "webhooks[0].reinvocationPolicy: Unsupported value: \"X\": supported values: \"IfNeeded\", \"Never\"",
        ),
        (
            json!({"rules": [{"operations": ["CREATE"], "apiGroups": ["*", "a"], "apiVersions": ["v1"], "resources": ["a/*", "a/b"]}]}),
            "webhooks[0].rules[0].apiGroups: Invalid value: [\"*\",\"a\"]: if '*' is present, must not specify other API groups",
        ),
    ];
    for (change, wanted) in cases {
        let found = complaints(change.clone());
        assert!(found.iter().any(|text| text.starts_with(wanted)), "{change}: {found:?}");
    }
    let patterns = json!({"rules": [{"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["a/*", "a/b"]}]});
    let text = "webhooks[0].rules[0].resources[1]: Invalid value: \"a/b\": if 'a/*' is present, must not specify a/b";
    assert_eq!(complaints(patterns), [text]);
    let mut twice = configuration(json!({}));
    let first = twice["webhooks"][0].clone();
    twice["webhooks"].as_array_mut().unwrap().push(first);
    assert_eq!(validate(&twice, None, true)[0].to_string(), "webhooks[1].name: Duplicate value: \"w.example.com\"");
    // Conditions that were let in stay let in.
    let odd = configuration(json!({"matchConditions": [{"name": "a", "expression": "1 +"}]}));
    assert_eq!(validate(&odd, Some(&odd), true), Vec::new());
}

#[test]
fn where_a_webhook_is() {
    let remote = |config: Value| Remote::read(&config).unwrap();
    let service = remote(json!({"service": {"namespace": "n", "name": "s", "path": "/x/y", "port": 8443}}));
    assert_eq!((service.server_name(), service.authority()), ("s.n.svc".into(), "s.n.svc:8443".into()));
    assert_eq!(service.target(5), "/x/y?timeout=5s");
    let url = remote(json!({"url": "https://[::1]:9443/z", "caBundle": STANDARD.encode("pem")}));
    assert_eq!(
        (url.server_name(), url.authority(), url.target(10)),
        ("::1".into(), "[::1]:9443".into(), "/z?timeout=10s".into())
    );
    assert_eq!(url.authorities, b"pem");
    let bare = remote(json!({"url": "https://example.com", "caBundle": STANDARD.encode(" \n")}));
    assert_eq!((bare.target(1), bare.authorities.len()), ("/?timeout=1s".into(), 0));
    assert!(matches!(bare.place, Place::Url { port: 443, .. }));
    assert!(Remote::read(&json!({})).is_err());
}

fn attributes<'a>(object: &'a Value, namespace: &'a Value) -> Attributes<'a> {
    Attributes {
        operation: "CREATE",
        group: "apps",
        version: "v1",
        equivalents: vec![("apps", "v1"), ("apps", "v1beta1")],
        resource: "deployments",
        subresource: "",
        kind: "Deployment",
        kind_place: ("apps", "v1"),
        namespace: "n",
        name: "a",
        object: Some(object),
        old: None,
        user: json!({"username": "jane"}),
        dry_run: false,
        options: json!({"kind": "CreateOptions"}),
        namespace_object: Some(namespace),
        authorizer: None,
    }
}

#[test]
fn which_webhooks_are_asked_and_in_which_version() {
    let object = json!({"metadata": {"labels": {"a": "b"}}});
    let namespace = json!({"metadata": {"labels": {"tier": "test"}}});
    let asked = |change: Value| {
        let whole = configuration(change);
        invoked(&whole["webhooks"][0], &attributes(&object, &namespace)).unwrap().map(|(_, version)| version.to_owned())
    };
    let rule = |version: &str, resource: &str, scope: &str| json!([{"operations": ["CREATE"], "apiGroups": ["apps"], "apiVersions": [version], "resources": [resource], "scope": scope}]);
    assert_eq!(asked(json!({})).as_deref(), Some("v1"));
    assert_eq!(asked(json!({"rules": rule("v1beta1", "*", "*")})).as_deref(), Some("v1beta1"));
    assert_eq!(asked(json!({"rules": rule("v1beta1", "*", "*"), "matchPolicy": "Exact"})), None);
    assert_eq!(asked(json!({"rules": rule("v1", "deployments/scale", "*")})), None);
    assert_eq!(asked(json!({"rules": rule("v1", "deployments", "Cluster")})), None);
    assert_eq!(asked(json!({"rules": rule("v1", "*/*", "Namespaced")})).as_deref(), Some("v1"));
    assert_eq!(asked(json!({"objectSelector": {"matchLabels": {"a": "c"}}})), None);
    assert_eq!(asked(json!({"namespaceSelector": {"matchLabels": {"tier": "live"}}})), None);
    assert_eq!(asked(json!({"namespaceSelector": {"matchLabels": {"tier": "test"}}})).as_deref(), Some("v1"));
}

#[test]
fn a_review_says_what_was_asked_and_what_is_sent() {
    let (object, namespace) = (json!({"a": 1}), json!({}));
    let kind = json!({"group": "apps", "version": "v1beta1", "kind": "Deployment"});
    let found = review("v1", "u", &attributes(&object, &namespace), ("apps", "v1beta1"), &kind);
    let request = &found["request"];
    assert_eq!((&found["apiVersion"], &request["uid"]), (&json!("admission.k8s.io/v1"), &json!("u")));
    assert_eq!((&request["kind"]["version"], &request["requestKind"]["version"]), (&json!("v1"), &json!("v1beta1")));
    assert_eq!((&request["object"], &request["oldObject"], &request["dryRun"]), (&object, &Value::Null, &json!(false)));
    assert!(request.get("subResource").is_none() && request["requestResource"]["resource"] == "deployments");
}

#[test]
fn answers_are_looked_at() {
    let answer =
        |response: Value| json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
    let said = |response: Value, mutating: bool| verdict(&answer(response), "v1", "u", mutating);
    let patch = STANDARD.encode("[]");
    let good =
        said(json!({"uid": "u", "allowed": true, "patch": patch, "patchType": "JSONPatch", "warnings": ["w"]}), true);
    let good = good.unwrap();
    assert!(good.allowed && good.patch == b"[]" && good.warnings == ["w"]);
    let wrong = |response: Value, mutating: bool| said(response, mutating).unwrap_err();
    assert_eq!(wrong(json!({"uid": "x"}), true), "expected response.uid=\"u\", got \"x\"");
    assert_eq!(
        wrong(json!({"uid": "u", "patch": patch}), true),
        "webhook returned response.patch but not response.patchType"
    );
    assert_eq!(
        wrong(json!({"uid": "u", "patch": patch, "patchType": "JSONPatch"}), false),
        "validating webhook may not return response.patch"
    );
    assert_eq!(verdict(&json!({}), "v1", "u", true).unwrap_err(), "webhook response was absent");
    let bare = json!({"response": {"uid": "u", "allowed": true}});
    let told = "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got /, Kind=";
    assert_eq!(verdict(&bare, "v1", "u", true).unwrap_err(), told);
    assert!(verdict(&bare, "v1beta1", "", true).unwrap().allowed);
}

#[test]
fn refusals_are_in_the_webhooks_words() {
    let told = |given: Value| {
        let status = denial("w.example.com", &given);
        (status.code, status.to_value())
    };
    let (code, value) = told(Value::Null);
    assert_eq!(
        (code, &value["message"], &value["status"]),
        (400, &json!("admission webhook \"w.example.com\" denied the request without explanation"), &json!("Failure"))
    );
    let (code, value) = told(json!({"code": 403, "message": "no", "reason": "My Reason", "status": "Success"}));
    assert_eq!(
        (code, &value["message"], &value["reason"]),
        (403, &json!("admission webhook \"w.example.com\" denied the request: no"), &json!("My Reason"))
    );
    let (code, value) = told(json!({"code": 200, "reason": "why"}));
    assert_eq!(
        (code, &value["message"], &value["code"]),
        (400, &json!("admission webhook \"w.example.com\" denied the request: why"), &json!(400))
    );
}
