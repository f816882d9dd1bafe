//! Refusals and their exact words (`api-surface` 4.1).

use axum::body::Body;
use serde_json::{Value, json};

use super::lab::{Lab, config_map, pod, service};

const NS: &str = "/api/v1/namespaces/default";
const JSON: (&str, &str) = ("content-type", "application/json");

/// One refusal: what is sent, and what must come back.
struct Case {
    method: &'static str,
    uri: String,
    headers: Vec<(&'static str, &'static str)>,
    body: String,
    code: u16,
    reason: &'static str,
    message: &'static str,
}

fn case(
    method: &'static str,
    uri: &str,
    body: impl ToString,
    code: u16,
    reason: &'static str,
    message: &'static str,
) -> Case {
    let uri = if uri.starts_with('/') { uri.to_owned() } else { format!("{NS}/{uri}") };
    Case { method, uri, headers: vec![JSON], body: body.to_string(), code, reason, message }
}

#[tokio::test]
async fn every_refusal_has_kubernetes_words() {
    let lab = Lab::new().await;
    lab.post(&format!("{NS}/services"), &service("x")).await.ok();
    lab.post(&format!("{NS}/pods"), &pod("p")).await.ok();
    let mut stale = service("x");
    stale["metadata"]["resourceVersion"] = json!("1");
    let mut elsewhere = service("e");
    elsewhere["metadata"]["namespace"] = json!("other");
    let unknown = json!({"metadata": {"name": "s"}, "spec": {"foo": 1, "ports": [{"port": 80, "bar": 2}]}});
    let typed = json!({"metadata": {"name": "s"}, "spec": {"ports": "no"}});
    let cases = [
        case("GET", "services/nope", "", 404, "NotFound", r#"services "nope" not found"#),
        case(
            "GET",
            "/apis/apps/v1/namespaces/default/deployments/x",
            "",
            404,
            "NotFound",
            r#"deployments.apps "x" not found"#,
        ),
        case(
            "POST",
            "/api/v1/namespaces/nope/services",
            service("s"),
            404,
            "NotFound",
            r#"namespaces "nope" not found"#,
        ),
        case("POST", "services", service("x"), 409, "AlreadyExists", r#"services "x" already exists"#),
        case(
            "PUT",
            "services/x",
            stale,
            409,
            "Conflict",
            r#"Operation cannot be fulfilled on services "x": the object has been modified; please apply your changes to the latest version and try again"#,
        ),
        case(
            "DELETE",
            "services/x",
            json!({"preconditions": {"uid": "a"}}),
            409,
            "Conflict",
            r#"Operation cannot be fulfilled on services "x": the UID in the precondition (a) does not match the UID in record ("#,
        ),
        case(
            "PUT",
            "services/y",
            service("x"),
            400,
            "BadRequest",
            "the name of the object (x) does not match the name on the URL (y)",
        ),
        case(
            "POST",
            "services",
            elsewhere,
            400,
            "BadRequest",
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        case(
            "POST",
            "services",
            "{",
            400,
            "BadRequest",
            "the object provided is unrecognized (must be of type Service): couldn't get version/kind; json parse error: ",
        ),
        case(
            "POST",
            "services",
            typed,
            400,
            "BadRequest",
            r#"Service in version "v1" cannot be handled as a Service: "#,
        ),
        case(
            "POST",
            "services?fieldValidation=Strict",
            unknown,
            400,
            "BadRequest",
            r#"Service in version "v1" cannot be handled as a Service: strict decoding error: unknown field "spec.foo", unknown field "spec.ports[0].bar""#,
        ),
        case(
            "POST",
            "services",
            pod("p2"),
            400,
            "BadRequest",
            r#"Pod in version "v1" cannot be handled as a Service: "#,
        ),
        case(
            "POST",
            "services",
            json!({"apiVersion": "apps/v1", "kind": "Deployment"}),
            400,
            "BadRequest",
            "the API version in the data (apps/v1) does not match the expected API version (v1)",
        ),
        case(
            "POST",
            "services",
            json!({"metadata": {"name": "s"}, "spec": {}}),
            422,
            "Invalid",
            r#"Service "s" is invalid: spec.ports: Required value"#,
        ),
        case(
            "POST",
            "services?dryRun=Foo",
            service("s"),
            422,
            "Invalid",
            r#"CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Foo"]: supported values: "All""#,
        ),
        case(
            "DELETE",
            "services/x",
            json!({"propagationPolicy": "X"}),
            422,
            "Invalid",
            r#"DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: "X""#,
        ),
        case(
            "PUT",
            "services",
            service("s"),
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        ),
        case(
            "POST",
            "services/x",
            service("x"),
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        ),
        case(
            "POST",
            "/api/v1/services",
            service("x"),
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        ),
        case(
            "PATCH",
            "services/x",
            "{}",
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: application/json-patch+json",
        ),
        case("GET", "/api/v1/nopes", "", 404, "NotFound", "the server could not find the requested resource"),
        case("GET", "services?fieldSelector=spec.foo%3Dx", "", 400, "BadRequest", ""),
        case(
            "GET",
            "configmaps?fieldSelector=foo%3Dx",
            "",
            400,
            "BadRequest",
            r#""foo" is not a known field selector: only "metadata.name", "metadata.namespace""#,
        ),
        case("GET", "pods?fieldSelector=spec.foo%3Dx", "", 400, "BadRequest", "field label not supported: spec.foo"),
        case(
            "GET",
            "services?labelSelector=%3Dx",
            "",
            400,
            "BadRequest",
            "found '=', expected: !, identifier, or 'end of string'",
        ),
        case(
            "GET",
            "services?resourceVersion=99999&resourceVersionMatch=NotOlderThan",
            "",
            504,
            "Timeout",
            "Too large resource version: 99999, current: ",
        ),
        case(
            "GET",
            "services?resourceVersion=0&resourceVersionMatch=Exact",
            "",
            422,
            "Invalid",
            r#"ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: "#,
        ),
        case(
            "GET",
            "services?resourceVersionMatch=Exact",
            "",
            422,
            "Invalid",
            r#"ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"#,
        ),
        case(
            "GET",
            "services?sendInitialEvents=true",
            "",
            422,
            "Invalid",
            r#"ListOptions.meta.k8s.io "" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"#,
        ),
        case(
            "GET",
            "services?watch=true&sendInitialEvents=true",
            "",
            422,
            "Invalid",
            r#"ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"#,
        ),
        case(
            "GET",
            "services?watch=true&resourceVersionMatch=NotOlderThan&resourceVersion=1",
            "",
            422,
            "Invalid",
            r#"ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"#,
        ),
        case("GET", "services?continue=%21", "", 400, "BadRequest", "continue key is not valid"),
        case(
            "DELETE",
            "/api/v1/namespaces/default",
            "",
            403,
            "Forbidden",
            r#"namespaces "default" is forbidden: this namespace may not be deleted"#,
        ),
        case(
            "POST",
            "serviceaccounts/default/token",
            json!({"spec": {"expirationSeconds": 5}}),
            422,
            "Invalid",
            "TokenRequest.authentication.k8s.io \"default\" is invalid: spec.expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes",
        ),
        case(
            "POST",
            "pods",
            json!({"metadata": {"name": "q"}, "spec": {"serviceAccountName": "no", "containers": [{"name": "c", "image": "i"}]}}),
            403,
            "Forbidden",
            r#"pods "q" is forbidden: error looking up service account default/no: serviceaccount "no" not found"#,
        ),
        case("GET", "pods/none/log", "", 404, "NotFound", "pods \"none\" not found"),
        case("POST", "pods/p/exec?command=a", "", 400, "BadRequest", "pod p does not have a host assigned"),
        case("GET", "pods/p/log?container=x", "", 400, "BadRequest", "container x is not valid for pod p"),
        case("GET", "pods/p/proxy/", "", 400, "BadRequest", "address not allowed"),
        case("DELETE", "pods/p/exec", "", 405, "MethodNotAllowed", "the server does not allow this method"),
        case("GET", "services/none/proxy/", "", 404, "NotFound", "services \"none\" not found"),
    ];
    for Case { method, uri, headers, body, code, reason, message } in cases {
        let answer = lab.send(method, &uri, &headers, body).await;
        let status = answer.json();
        assert_eq!(answer.code, code, "{method} {uri}: {status}");
        assert_eq!(status["kind"], "Status", "{method} {uri}: {status}");
        assert_eq!(status["code"], code, "{method} {uri}");
        assert_eq!(status["reason"], reason, "{method} {uri}: {status}");
        let text = status["message"].as_str().unwrap();
        assert!(text.starts_with(message), "{method} {uri}: {text}");
    }
}

#[tokio::test]
async fn patches_that_cannot_be_carried_out() {
    let lab = Lab::new().await;
    lab.post(&format!("{NS}/services"), &service("x")).await.ok();
    let uri = format!("{NS}/services/x");
    let (lab, uri) = (&lab, &uri);
    let send = |media: &'static str, body: &'static str| async move {
        lab.send("PATCH", uri, &[("content-type", media)], body).await
    };
    let failed = send("application/json-patch+json", r#"[{"op":"test","path":"/spec/type","value":"no"}]"#).await;
    assert_eq!(
        (failed.code, failed.json()["message"].as_str()),
        (422, Some("the server rejected our request due to an error in our request"))
    );
    let cbor = send("application/apply-patch+cbor", "").await;
    assert_eq!((cbor.code, &cbor.json()["reason"]), (415, &Value::from("UnsupportedMediaType")));
    let stale = send("application/merge-patch+json", r#"{"metadata":{"resourceVersion":"1"}}"#).await;
    assert_eq!((stale.code, &stale.json()["reason"]), (409, &Value::from("Conflict")));
    let renamed = send("application/merge-patch+json", r#"{"metadata":{"name":"y"}}"#).await;
    assert_eq!(renamed.code, 400);
}

#[tokio::test]
async fn warnings_for_unknown_and_duplicate_fields() {
    let lab = Lab::new().await;
    let body = r#"{"metadata":{"name":"c"},"data":{"a":"1"},"data":{"a":"2"},"spec":1}"#;
    let made = lab.send("POST", &format!("{NS}/configmaps"), &[JSON], body).await;
    let warnings: Vec<_> = made.headers.get_all("warning").iter().map(|v| v.to_str().unwrap().to_owned()).collect();
    assert_eq!(made.ok()["data"]["a"], "2");
    assert_eq!(warnings, [r#"299 - "duplicate field \"data\"""#, r#"299 - "unknown field \"spec\"""#]);
    let strict = lab.send("POST", &format!("{NS}/configmaps?fieldValidation=Strict"), &[JSON], body).await;
    assert!(
        strict.json()["message"]
            .as_str()
            .unwrap()
            .ends_with(r#"strict decoding error: duplicate field "data", unknown field "spec""#)
    );
    let ignored = lab
        .send(
            "POST",
            &format!("{NS}/configmaps?fieldValidation=Ignore&dryRun=All"),
            &[JSON],
            body.replace("\"c\"", "\"d\""),
        )
        .await;
    assert_eq!((ignored.code, ignored.headers.get("warning")), (201, None));
}

#[tokio::test]
async fn bodies_too_large_and_media_not_acceptable() {
    let lab = Lab::new().await;
    let mut big = config_map("big");
    big["data"]["a"] = json!("x".repeat(3 * 1024 * 1024));
    let refused = lab.post(&format!("{NS}/configmaps"), &big).await;
    assert_eq!(
        (refused.code, refused.json()["message"].as_str()),
        (413, Some("Request entity too large: limit is 3145728"))
    );
    let html = lab.send("GET", &format!("{NS}/configmaps"), &[("accept", "text/html")], Body::empty()).await;
    assert_eq!((html.code, &html.json()["reason"]), (406, &Value::from("NotAcceptable")));
    let media = lab.send("POST", &format!("{NS}/configmaps"), &[("content-type", "text/csv")], "a").await;
    assert_eq!(media.code, 415);
}
