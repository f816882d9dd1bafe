//! Patches that are refused, in Kubernetes' words, and what strict decoders say of bodies and patches.

use super::lab::{Lab, service};

const NS: &str = "/api/v1/namespaces/default";
const JSON: (&str, &str) = ("content-type", "application/json");
const YAML: (&str, &str) = ("content-type", "application/yaml");

#[tokio::test]
async fn patches_refused_word_for_word() {
    const MERGE: &str = "application/merge-patch+json";
    const STRATEGIC: &str = "application/strategic-merge-patch+json";
    const STEPS: &str = "application/json-patch+json";
    const APPLY: &str = "application/apply-patch+yaml";
    let into =
        |found: &str, wanted: &str| format!("error decoding patch: json: cannot unmarshal {found} into Go {wanted}");
    let lab = Lab::new().await;
    lab.post(&format!("{NS}/services"), &service("x")).await.ok();
    let map = "value of type map[string]interface {}";
    let cases: Vec<(&str, &str, &str, u16, String)> = vec![
        (MERGE, "", "{", 400, "invalid JSON patch".into()),
        (MERGE, "", "[]", 400, into("array", map)),
        (MERGE, "", "null", 400, "Invalid JSON Patch".into()),
        (MERGE, "?fieldValidation=Ignore", "1", 400, "Invalid JSON Patch".into()),
        (STEPS, "", "{}", 400, into("object", "value of type []handlers.jsonPatchOp")),
        (STEPS, "", "[1]", 400, into("number", "value of type handlers.jsonPatchOp")),
        (STEPS, "", r#"[{"op":1}]"#, 400, into("number", "struct field jsonPatchOp.op of type string")),
        (
            STEPS,
            "?fieldValidation=Ignore",
            "{}",
            400,
            "json: cannot unmarshal object into Go value of type jsonpatch.Patch".into(),
        ),
        (STRATEGIC, "", "[]", 400, format!("json: cannot unmarshal array into Go {map}")),
        (
            STRATEGIC,
            "",
            r#"{"spec":{"ports":[{"name":"x"}]}}"#,
            500,
            "map: map[name:x] does not contain declared merge key: port".into(),
        ),
        (
            STRATEGIC,
            "",
            r#"{"spec":{"selector":{"$patch":"merge"}}}"#,
            500,
            "unknown patch type: merge in map: map[$patch:merge]".into(),
        ),
        (STRATEGIC, "", r#"{"spec":{"$retainKeys":1}}"#, 400, "invalid patch format of retainKeys".into()),
        (
            MERGE,
            "",
            r#"{"metadata":{"name":null}}"#,
            400,
            "the name of the object (x based on URL) was undeterminable: name must be provided".into(),
        ),
        (
            MERGE,
            "",
            r#"{"metadata":{"namespace":"other"}}"#,
            400,
            "the namespace of the provided object does not match the namespace sent on the request".into(),
        ),
        (
            MERGE,
            "",
            r#"{"metadata":{"uid":"other"}}"#,
            422,
            r#"Service "x" is invalid: metadata.uid: Invalid value: "other": field is immutable"#.into(),
        ),
        (
            MERGE,
            "?force=true",
            "{}",
            422,
            r#"PatchOptions.meta.k8s.io "" is invalid: force: Forbidden: may not be specified for non-apply patch"#
                .into(),
        ),
        (
            MERGE,
            "?dryRun=Some",
            "{}",
            422,
            r#"PatchOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Some"]: supported values: "All""#
                .into(),
        ),
        (
            APPLY,
            "",
            "{}",
            422,
            r#"PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch"#
                .into(),
        ),
        (
            APPLY,
            "?fieldManager=m",
            "[]",
            400,
            format!(
                "error decoding patch: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal array into Go {map}"
            ),
        ),
        (
            "application/json",
            "",
            "{}",
            415,
            format!(
                "the body of the request was in an unknown format - accepted media types include: {STEPS}, {MERGE}, {STRATEGIC}, {APPLY}"
            ),
        ),
    ];
    for (media, query, body, code, text) in cases {
        let answer = lab.send("PATCH", &format!("{NS}/services/x{query}"), &[("content-type", media)], body).await;
        let status = answer.json();
        assert_eq!((answer.code, status["message"].as_str()), (code, Some(text.as_str())), "{media} {query} {body}");
    }
    for (media, body) in [
        (STRATEGIC, "null"),
        (STEPS, "null"),
        (STEPS, r#"[{"op":"replace","path":"/metadata/labels","value":{"a":"b"}}]"#),
    ] {
        lab.send("PATCH", &format!("{NS}/services/x"), &[("content-type", media)], body).await.ok();
    }
    let unnamed = lab.send("PUT", &format!("{NS}/services/x"), &[JSON], r#"{"spec":{}}"#).await;
    assert_eq!(
        (unnamed.code, unnamed.json()["message"].as_str()),
        (400, Some("the name of the object (x based on URL) was undeterminable: name must be provided"))
    );
}

/// What a strict decoder says of a body, and that warnings say the same.
async fn complaints(lab: &Lab, method: &str, uri: &str, media: (&str, &str), body: &str) -> String {
    let warned = lab.send(method, &format!("{uri}?dryRun=All"), &[media], body.to_owned()).await;
    let warnings: Vec<String> =
        warned.headers.get_all("warning").iter().map(|v| v.to_str().unwrap().to_owned()).collect();
    let bare = |text: &String| {
        let quoted = text.strip_prefix("299 - \"").and_then(|rest| rest.strip_suffix('"')).expect("a warning");
        quoted.replace("\\\"", "\"")
    };
    let warnings: Vec<String> = warnings.iter().map(bare).collect();
    let strict = lab.send(method, &format!("{uri}?fieldValidation=Strict&dryRun=All"), &[media], body.to_owned()).await;
    let status = strict.json();
    let text = status["message"].as_str().unwrap_or_default();
    let said = text.split_once("strict decoding error: ").map(|(_, said)| said).unwrap_or_default().to_owned();
    if !said.starts_with("yaml:") {
        assert_eq!(warnings.join(", "), said, "{body}: {text}");
    }
    said
}

#[tokio::test]
async fn strict_decoders_complain_in_the_order_in_which_they_meet() {
    let lab = Lab::new().await;
    lab.post(&format!("{NS}/services"), &service("x")).await.ok();
    let (maps, pods, one) = (format!("{NS}/configmaps"), format!("{NS}/pods"), format!("{NS}/services/x"));
    let said = complaints(
        &lab,
        "POST",
        &pods,
        JSON,
        r#"{"zoo":{"a":1,"a":2},"metadata":{"name":"p","foo":1,"name":"p"},"spec":{"containers":[{"name":"c","image":"nginx"},
            {"name":"d","image":"nginx","x":1,"name":"d","env":[{"name":"E","nope":1}],"x":2}],"abc":[],"zoo":1,"abc":2},"kind":"Pod","kind":"Pod"}"#,
    );
    assert_eq!(
        said.await,
        "unknown field \"zoo\", unknown field \"metadata.foo\", duplicate field \"metadata.name\", unknown field \
         \"spec.containers[1].x\", duplicate field \"spec.containers[1].name\", unknown field \
         \"spec.containers[1].env[0].nope\", unknown field \"spec.abc\", unknown field \"spec.zoo\", duplicate field \"kind\""
    );
    let said = complaints(
        &lab,
        "POST",
        &maps,
        JSON,
        r#"{"metadata":{"name":"m","labels":{"a":"1","b":"2","a":"3"}},"data":{"x":"1","x":"1"}}"#,
    );
    assert_eq!(said.await, "duplicate field \"metadata.labels.a\", duplicate field \"data.x\"");
    let yaml = "metadata:\n  name: m\nzoo: 1\nbar: 2\ndata:\n  a: '1'\n";
    assert_eq!(complaints(&lab, "POST", &maps, YAML, yaml).await, "unknown field \"bar\", unknown field \"zoo\"");
    let twice = "metadata:\n  name: m\nzoo: 1\ndata:\n  a: '1'\n  a: '2'\nbar: 1\n";
    assert_eq!(
        complaints(&lab, "POST", &maps, YAML, twice).await,
        "yaml: unmarshal errors:\n  line 6: key \"a\" already set in map, unknown field \"bar\", unknown field \"zoo\""
    );
    let merge = ("content-type", "application/merge-patch+json");
    let said = complaints(
        &lab,
        "PATCH",
        &one,
        merge,
        r#"{"spec":{"zoo":1,"bar":2,"type":"ClusterIP","type":"ClusterIP"},"abc":1}"#,
    );
    assert_eq!(
        said.await,
        "duplicate field \"spec.type\", unknown field \"abc\", unknown field \"spec.bar\", unknown field \"spec.zoo\""
    );
    let strategic = ("content-type", "application/strategic-merge-patch+json");
    let said = complaints(&lab, "PATCH", &one, strategic, r#"{"zoo":1,"spec":{"zoo":1,"bar":2}}"#);
    assert_eq!(said.await, "unknown field \"spec.bar\", unknown field \"spec.zoo\", unknown field \"zoo\"");
    let steps = ("content-type", "application/json-patch+json");
    let said =
        complaints(&lab, "PATCH", &one, steps, r#"[{"op":"add","path":"/spec/zoo","value":1,"x":1,"op":"add"}]"#);
    assert_eq!(
        said.await,
        "json patch unknown field \"[0].x\", json patch duplicate field \"[0].op\", unknown field \"spec.zoo\""
    );
}
