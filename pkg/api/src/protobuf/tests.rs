//! Bodies that kubectl 1.32.4 really sent, against what the same command prints as JSON; and damaged bodies.

use serde_json::{Value, json};

use super::*;

fn recorded(name: &str) -> Vec<u8> {
    let path = format!("{}/testdata/protobuf/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Without nulls, which mean absence.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

#[test]
fn recorded_bodies_decode_to_the_json_of_the_same_command() {
    let kinds = [
        "deployment",
        "service-clusterip",
        "service-nodeport",
        "service-externalname",
        "configmap",
        "secret",
        "namespace",
        "serviceaccount",
        "job",
        "cronjob",
        "ingress",
        "quota",
        "pdb",
        "role",
        "rolebinding",
        "clusterrolebinding",
        "priorityclass",
    ];
    for kind in kinds {
        let body = recorded(&format!("{kind}.bin"));
        assert!(is_protobuf(&body));
        let decoded = decode(&body).unwrap_or_else(|error| panic!("{kind}: {error}"));
        let expected: Value = serde_json::from_slice(&recorded(&format!("{kind}.json"))).unwrap();
        assert_eq!(decoded, without_nulls(expected), "{kind}");
        assert_eq!(decode(&encode(&decoded).expect(kind)).expect(kind), decoded, "{kind} there and back");
    }
}

#[test]
fn what_is_no_object_in_json_goes_there_and_back() {
    let definition = json!({
        "kind": "CustomResourceDefinition", "apiVersion": "apiextensions.k8s.io/v1", "metadata": {
            "name": "a", "creationTimestamp": "2026-11-27T08:00:00Z",
            "managedFields": [{"manager": "m", "fieldsV1": {"f:spec": {"k:{\"a\":1}": {}}}}],
        },
        "spec": {"group": "g", "scope": "Cluster", "names": {"plural": "as", "kind": "A"}, "versions": [{
            "name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "default": {"x": [1, null]}, "maximum": 1.5, "maxLength": -1,
                "properties": {
                    "l": {"type": "array", "items": {"type": "string", "enum": ["a"]}},
                    "m": {"type": "object", "additionalProperties": {"type": "integer"}},
                    "n": {"type": "object", "additionalProperties": false},
                },
            }},
        }]},
    });
    let back = decode(&encode(&definition).unwrap()).unwrap();
    let schema = &definition["spec"]["versions"][0]["schema"];
    assert_eq!(back["spec"]["versions"][0]["schema"], *schema);
    assert_eq!(back["metadata"], definition["metadata"]);
    let pods = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "7"}, "items": [{
        "metadata": {"name": "p"}, "spec": {"containers": [{
            "name": "c", "resources": {"limits": {"cpu": "1500m"}},
            "livenessProbe": {"httpGet": {"path": "/", "port": "http"}, "initialDelaySeconds": 5},
            "readinessProbe": {"tcpSocket": {"port": 80}},
        }], "volumes": [{"name": "v", "emptyDir": {}}], "terminationGracePeriodSeconds": 0},
        "status": {"startTime": "2026-11-27T08:00:00Z"},
    }]});
    let back = decode(&encode(&pods).unwrap()).unwrap();
    assert_eq!(back["metadata"]["resourceVersion"], "7");
    let (given, got) = (&pods["items"][0], &back["items"][0]);
    assert_eq!((&got["metadata"]["name"], &got["status"]), (&given["metadata"]["name"], &given["status"]));
    for field in ["volumes", "terminationGracePeriodSeconds"] {
        assert_eq!(got["spec"][field], given["spec"][field], "{field}");
    }
    let (given, got) = (&given["spec"]["containers"][0], &got["spec"]["containers"][0]);
    for field in ["resources", "livenessProbe", "readinessProbe"] {
        assert_eq!(got[field], given[field], "{field}");
    }
    let lease = json!({"kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "metadata": {"name": "l"},
                       "spec": {"renewTime": "2026-11-27T08:00:00.000123Z"}});
    assert_eq!(decode(&encode(&lease).unwrap()).unwrap()["spec"], lease["spec"]);
    let custom = encode(&json!({"kind": "Cron", "apiVersion": "example.com/v1"})).unwrap_err();
    assert!(matches!(custom, ProtobufError::UnknownKind { .. }), "{custom}");
    let wrong = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"labels": ["a"]}});
    assert!(matches!(encode(&wrong).unwrap_err(), ProtobufError::Field { .. }));
}

#[test]
fn a_watchs_frame_is_its_length_and_an_event_around_a_body() {
    let object = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "code": 410});
    let frame = encode_event("ERROR", &object).unwrap();
    let (length, event) = frame.split_first_chunk::<4>().unwrap();
    assert_eq!(u32::from_be_bytes(*length) as usize, event.len());
    let fields: Vec<_> = Reader::new(event).map(Option::unwrap).collect();
    assert_eq!(fields[0], (1, Wire::Bytes(b"ERROR")));
    let (2, Wire::Bytes(extension)) = fields[1] else { panic!("{fields:?}") };
    let Some(Some((1, Wire::Bytes(body)))) = Reader::new(extension).next() else { panic!("no body") };
    assert_eq!(decode(body).unwrap()["code"], 410);
}

#[test]
fn reviews_and_token_requests() {
    assert_eq!(
        decode(&recorded("selfsubjectaccessreview.bin")).unwrap()["spec"],
        json!({"resourceAttributes": {"namespace": "default", "verb": "list", "resource": "pods"}})
    );
    assert_eq!(decode(&recorded("tokenrequest.bin")).unwrap()["spec"]["expirationSeconds"], 3600);
    let review = decode(&recorded("selfsubjectreview.bin")).unwrap();
    assert_eq!(
        (&review["kind"], &review["apiVersion"]),
        (&json!("SelfSubjectReview"), &json!("authentication.k8s.io/v1"))
    );
}

/// A field of wire type 2.
fn bytes(number: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).ok().filter(|length| *length < 128).expect("a short field");
    [&[number << 3 | 2, length], content].concat()
}

fn body(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let meta = [bytes(1, api_version.as_bytes()), bytes(2, kind.as_bytes())].concat();
    [MAGIC.to_vec(), bytes(1, &meta), bytes(2, raw)].concat()
}

#[test]
fn pointers_keep_their_zero_and_plain_fields_lose_it() {
    // DeploymentSpec: replicas (pointer) 0, paused (plain, omitempty) false, minReadySeconds (plain, omitempty) 0.
    let spec = bytes(2, &[0x08, 0, 0x28, 0, 0x38, 0]);
    let decoded = decode(&body("apps/v1", "Deployment", &spec)).unwrap();
    assert_eq!(decoded["spec"], json!({"replicas": 0}));
}

#[test]
fn delete_options_in_any_group() {
    let raw = [vec![0x08, 0], bytes(4, b"Foreground"), bytes(2, &bytes(1, b"some-uid"))].concat();
    for version in ["v1", "apps/v1", "meta.k8s.io/v1"] {
        let decoded = decode(&body(version, "DeleteOptions", &raw)).unwrap();
        assert_eq!(decoded["gracePeriodSeconds"], 0);
        assert_eq!(decoded["propagationPolicy"], "Foreground");
        assert_eq!(decoded["preconditions"], json!({"uid": "some-uid"}));
    }
}

#[test]
fn times_quantities_ports_maps_and_inlined_messages() {
    let event = decode(&body("events.k8s.io/v1", "Event", &bytes(2, &[8, 1, 16, 0xe8, 7]))).unwrap();
    assert_eq!(event["eventTime"], "1970-01-01T00:00:01.000001Z");
    let meta = [bytes(8, &[8, 2, 16, 0]), bytes(11, &[bytes(1, b"app"), bytes(2, b"blue")].concat())].concat();
    let pod = decode(&body("v1", "Pod", &bytes(1, &meta))).unwrap();
    assert_eq!(pod["metadata"], json!({"creationTimestamp": "1970-01-01T00:00:02Z", "labels": {"app": "blue"}}));
    let probe = [bytes(1, &bytes(3, &bytes(1, &[8, 1, 16, 0, 26, 4, b'h', b't', b't', b'p']))), vec![16, 5]].concat();
    let container = [bytes(1, b"c"), bytes(10, &probe)].concat();
    let pod = decode(&body("v1", "Pod", &bytes(2, &bytes(2, &container)))).unwrap();
    assert_eq!(
        pod["spec"]["containers"][0]["livenessProbe"],
        json!({"tcpSocket": {"port": "http"}, "initialDelaySeconds": 5})
    );
    let resources = bytes(8, &bytes(1, &[bytes(1, b"cpu"), bytes(2, &bytes(1, b"100m"))].concat()));
    let pod = decode(&body("v1", "Pod", &bytes(2, &bytes(2, &resources)))).unwrap();
    assert_eq!(pod["spec"]["containers"][0]["resources"], json!({"limits": {"cpu": "100m"}}));
}

#[test]
fn damage_is_an_error_not_a_panic() {
    assert_eq!(decode(b"{}"), Err(ProtobufError::NotKubernetes));
    assert_eq!(decode(&body("", "", b"")), Err(ProtobufError::NoKind));
    assert!(matches!(decode(&body("v1", "Nonsense", b"")), Err(ProtobufError::UnknownKind { .. })));
    let wrong = decode(&body("apps/v1", "Deployment", &bytes(2, &bytes(1, b"x"))));
    assert!(matches!(wrong, Err(ProtobufError::Field { field, .. }) if field == "replicas"));
    for kind in ["deployment.bin", "ingress.bin", "cronjob.bin", "quota.bin"] {
        let whole = recorded(kind);
        for length in 0..whole.len() {
            // A cut may fall between two fields of the envelope; then the rest is missing, but nothing panics.
            let _ = decode(&whole[..length]);
        }
        let mut cut = 0;
        for position in 4..whole.len() {
            let mut damaged = whole.clone();
            damaged[position] ^= 0xff;
            cut += usize::from(decode(&damaged).is_err());
        }
        assert!(cut > 10, "{kind}: only {cut} damaged bodies were refused");
    }
}

#[test]
fn nesting_without_end_is_refused() {
    let mut raw = Vec::new();
    for _ in 0..DEPTH + 2 {
        // JSONSchemaProps.not, field 28 of wire type 2, within itself; the tag and each length take two bytes.
        let (low, high) = (raw.len() & 0x7f, raw.len() >> 7);
        let head = [0xe2, 0x01, u8::try_from(low | 0x80).unwrap(), u8::try_from(high).unwrap()];
        raw = [head.to_vec(), raw].concat();
    }
    const SCHEMA: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";
    assert!(matches!(decode_message(SCHEMA, &raw, 0), Err(ProtobufError::Depth { .. })));
}
