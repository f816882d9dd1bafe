//! JSON patches, operation by operation: the RFC's own rules and where Kubernetes' library goes beyond them.

use super::*;

fn patched(patch: &Value) -> Result<Value, String> {
    let old = json!({"spec": {"a": [1, 2, 3], "m": {"x~y/z": 1, "n": null}, "s": "text"}});
    json_patch(&old, patch).map(|mut new| new["spec"].take()).map_err(|error| error.to_string())
}

#[test]
fn what_operations_do() {
    let spec = |a: Value, m: Value| json!({"a": a, "m": m, "s": "text"});
    let (list, map) = (|| json!([1, 2, 3]), || json!({"x~y/z": 1, "n": null}));
    let cases = [
        (json!([]), spec(list(), map())),
        (json!(null), spec(list(), map())),
        (json!([{"op": "test", "path": "/spec/a/0", "value": 1}]), spec(list(), map())),
        (json!([{"op": "test", "path": "/spec/m/n"}]), spec(list(), map())),
        (json!([{"op": "test", "path": "/spec/m/absent", "value": null}]), spec(list(), map())),
        (json!([{"op": "test", "path": "/spec/m/x~0y~1z", "value": 1}]), spec(list(), map())),
        (json!([{"op": "add", "path": "/spec/a/-", "value": 4}]), spec(json!([1, 2, 3, 4]), map())),
        (json!([{"op": "add", "path": "/spec/a/1", "value": 9}]), spec(json!([1, 9, 2, 3]), map())),
        (json!([{"op": "add", "path": "/spec/a/3", "value": 9}]), spec(json!([1, 2, 3, 9]), map())),
        (json!([{"op": "add", "path": "/spec/a/-1", "value": 9}]), spec(json!([1, 2, 3, 9]), map())),
        (json!([{"op": "remove", "path": "/spec/a/-1"}]), spec(json!([1, 2]), map())),
        (json!([{"op": "replace", "path": "/spec/a/0", "value": {"k": 1}}]), spec(json!([{"k": 1}, 2, 3]), map())),
        (
            json!([{"op": "replace", "path": "/spec/m/new", "value": 2}, {"op": "remove", "path": "/spec/m/n"}]),
            spec(list(), json!({"x~y/z": 1, "new": 2})),
        ),
        (json!([{"op": "add", "path": "/spec/m", "value": {}}]), spec(list(), json!({}))),
        (json!([{"op": "add", "path": "/spec/m"}]), spec(list(), json!(null))),
        (json!([{"op": "copy", "from": "/spec/a/0", "path": "/spec/a/-"}]), spec(json!([1, 2, 3, 1]), map())),
        (json!([{"op": "copy", "from": "/spec/m/absent", "path": "/spec/m"}]), spec(list(), json!(null))),
        (json!([{"op": "move", "from": "/spec/a/0", "path": "/spec/a/2"}]), spec(json!([2, 3, 1]), map())),
        (json!([{"op": "replace", "path": "", "value": {"spec": {}}}]), json!({})),
    ];
    for (patch, wanted) in cases {
        assert_eq!(patched(&patch), Ok(wanted), "{patch}");
    }
}

#[test]
fn what_operations_refuse() {
    let missing = |operation: &str, which: &str, path: &str| {
        format!("{operation} operation does not apply: doc is missing {which}: \"{path}\": missing value")
    };
    let index = |operation: &str, path: &str, number: i64| {
        let place = format!("error in {operation} for path: '{path}'");
        format!("{place}: Unable to access invalid index: {number}: invalid index referenced")
    };
    let cases = [
        (
            json!([{"op": "test", "path": "/spec/a/0", "value": 2}]),
            "testing value /spec/a/0 failed: test failed".into(),
        ),
        (json!([{"op": "test", "path": "", "value": 2}]), "testing value  failed: test failed".into()),
        (json!([{"op": "add", "path": "/none/x", "value": 1}]), missing("add", "path", "/none/x")),
        (json!([{"op": "add", "path": "/spec/s/x", "value": 1}]), missing("add", "path", "/spec/s/x")),
        (json!([{"op": "add", "path": "", "value": {}}]), missing("add", "path", "")),
        (json!([{"op": "add", "path": "/spec/a/5", "value": 1}]), index("add", "/spec/a/5", 5)),
        (json!([{"op": "add", "path": "/spec/a/-5", "value": 1}]), index("add", "/spec/a/-5", -5)),
        (json!([{"op": "remove", "path": "/spec/a/3"}]), index("remove", "/spec/a/3", 3)),
        (
            json!([{"op": "remove", "path": "/spec/none"}]),
            "error in remove for path: '/spec/none': Unable to remove nonexistent key: none: missing value".into(),
        ),
        (json!([{"op": "replace", "path": "/spec/a/3", "value": 1}]), missing("replace", "key", "/spec/a/3")),
        (
            json!([{"op": "remove", "path": "/spec/a/x"}]),
            "error in remove for path: '/spec/a/x': strconv.Atoi: parsing \"x\": invalid syntax".into(),
        ),
        (
            json!([{"op": "move", "from": "/spec/m", "path": "/spec/m/x"}]),
            missing("move", "destination path", "/spec/m/x"),
        ),
        (json!([{"op": "explode", "path": "/spec"}]), "Unexpected kind: explode".into()),
        (json!([{"path": "/spec"}]), "Unexpected kind: unknown".into()),
        (json!([{"op": "remove"}]), "remove operation failed to decode path: missing value".into()),
    ];
    for (patch, text) in cases {
        assert_eq!(patched(&patch), Err(text), "{patch}");
        let error =
            Status::from(json_patch(&json!({"spec": {"a": [1, 2, 3], "m": {}, "s": ""}}), &patch).expect_err("no"));
        assert_eq!((error.code, error.reason), (422, "Invalid"), "{patch}");
        assert_eq!(error.message, "the server rejected our request due to an error in our request");
    }
    let malformed = Status::from(json_patch(&json!({}), &json!({"op": "remove"})).expect_err("no list"));
    let text = "json: cannot unmarshal object into Go value of type jsonpatch.Patch";
    assert_eq!((malformed.code, malformed.message.as_str()), (400, text));
}

#[test]
fn bounds() {
    let many = Value::from(vec![json!({"op": "test", "path": "", "value": 1}); 10_001]);
    let refused = Status::from(json_patch(&json!({}), &many).expect_err("too many"));
    let text = "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001";
    assert_eq!((refused.code, refused.message.as_str()), (413, text));
    let copy = json!({"op": "copy", "from": "/a", "path": "/b"});
    let large = json!({"a": "x".repeat(1 << 20)});
    assert!(json_patch(&large, &json!([copy, copy])).is_ok());
    let refused = json_patch(&large, &json!([copy, copy, copy])).expect_err("too much");
    assert_eq!(
        refused.to_string(),
        "Unable to complete the copy, the accumulated size increase of copy is 3145734, exceeding the limit 3145728"
    );
    // Each pair of operations wraps the object once more.
    let wrap = |times: usize| -> Value {
        let pair = [
            json!({"op": "add", "path": "/b", "value": {}}),
            json!({"op": "move", "from": "/a", "path": "/b/a"}),
            json!({"op": "move", "from": "/b", "path": "/a"}),
        ];
        (0..times).flat_map(|_| pair.clone()).collect::<Vec<_>>().into()
    };
    assert!(json_patch(&json!({"a": 1}), &wrap(100)).is_ok());
    assert_eq!(json_patch(&json!({"a": 1}), &wrap(3000)), Err(JsonPatchError::Failed("exceeded max depth".to_owned())));
}
