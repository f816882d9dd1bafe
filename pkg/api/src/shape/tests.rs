//! The typed round trip against what Kubernetes' decoder and encoder do.

use serde_json::json;

use super::*;

const SERVICE: &str = "io.k8s.api.core.v1.Service";
const POD: &str = "io.k8s.api.core.v1.Pod";

#[test]
fn wrong_types_are_told_in_the_decoders_words() {
    let cases = [
        (
            json!({"spec": {"ports": "x"}}),
            "json: cannot unmarshal string into Go struct field ServiceSpec.spec.ports of type []v1.ServicePort",
        ),
        (
            json!({"spec": {"ports": [{"port": "80"}]}}),
            "json: cannot unmarshal string into Go struct field ServicePort.spec.ports.port of type int32",
        ),
        (
            json!({"spec": {"ports": [{"port": 1.5}]}}),
            "json: cannot unmarshal number 1.5 into Go struct field ServicePort.spec.ports.port of type int32",
        ),
        (
            json!({"spec": {"ports": [{"port": 3_000_000_000_i64}]}}),
            "json: cannot unmarshal number 3000000000 into Go struct field ServicePort.spec.ports.port of type int32",
        ),
        (
            json!({"metadata": {"labels": {"a": 1}}}),
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (
            json!({"metadata": {"labels": ["a"]}}),
            "json: cannot unmarshal array into Go struct field ObjectMeta.metadata.labels of type map[string]string",
        ),
        (json!({"spec": []}), "json: cannot unmarshal array into Go struct field Service.spec of type v1.ServiceSpec"),
        (
            json!({"spec": {"ports": [{"targetPort": true}]}}),
            "json: cannot unmarshal bool into Go struct field ServicePort.spec.ports.targetPort of type intstr.IntOrString",
        ),
        (json!([]), "json: cannot unmarshal array into Go value of type v1.Service"),
    ];
    for (object, text) in cases {
        assert_eq!(prune(SERVICE, &object).expect_err("a wrong type"), text);
    }
    assert_eq!(
        prune("io.k8s.api.core.v1.Secret", &json!({"data": {"a": "?"}})).expect_err("no base64"),
        "illegal base64 data at input byte 0"
    );
}

#[test]
fn unknown_null_and_empty_fields_go_and_structs_stay() {
    let given = json!({
        "kind": "Service", "status": {"loadBalancer": {}}, "apiVersion": "v1", "nonsense": 1,
        "spec": {"selector": {}, "ports": [{"nodePort": 0, "port": 80, "name": "", "foo": 1, "appProtocol": ""}],
                 "clusterIP": "", "externalIPs": [], "type": null},
        "metadata": {"name": "a", "creationTimestamp": null, "labels": {"b": "1", "a": "2"}},
    });
    let pruned = prune(SERVICE, &given).expect("a good service");
    assert_eq!(
        pruned.to_string(),
        r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"a","labels":{"a":"2","b":"1"}},"spec":{"ports":[{"appProtocol":"","port":80}]},"status":{"loadBalancer":{}}}"#
    );
    assert_eq!(prune(SERVICE, &pruned).as_ref(), Ok(&pruned), "pruning is a fixpoint");
    assert_eq!(prune(SERVICE, &json!({})), Ok(json!({"metadata": {}, "spec": {}, "status": {"loadBalancer": {}}})));
}

#[test]
fn quantities_times_and_ports_keep_their_kind() {
    let container =
        |cpu: Value| json!({"spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": cpu}}}]}});
    for good in [json!("100m"), json!("1Gi"), json!(2), json!("1e3"), json!("0.5")] {
        assert!(prune(POD, &container(good.clone())).is_ok(), "{good}");
    }
    for bad in [json!("x"), json!("1x"), json!(""), json!("1.2.3"), json!(true)] {
        assert!(prune(POD, &container(bad.clone())).is_err(), "{bad}");
    }
    let pruned = prune(POD, &container(json!(2))).expect("a number");
    assert_eq!(pruned["spec"]["containers"][0]["resources"]["limits"]["cpu"], "2");
    let lease = json!({"spec": {"renewTime": "2024-01-01T00:00:00Z", "holderIdentity": ""}});
    let lease = prune("io.k8s.api.coordination.v1.Lease", &lease).expect("a lease");
    assert_eq!(lease["spec"], json!({"holderIdentity": "", "renewTime": "2024-01-01T00:00:00.000000Z"}));
    let ports = json!({"spec": {"ports": [{"port": 80.0, "targetPort": "http"}]}});
    assert_eq!(prune(SERVICE, &ports).expect("ports")["spec"]["ports"][0], json!({"port": 80, "targetPort": "http"}));
}

#[test]
fn unknown_fields_are_named_by_their_path() {
    let object = json!({"apiVersion": "v1", "kind": "Service", "foo": 1, "metadata": {"labels": {"any": "x"}, "bar": 1},
        "spec": {"ports": [{"port": 1}, {"port": 2, "baz": 1}], "selector": {"free": "y"}}});
    assert_eq!(unknown_fields(SERVICE, &object), ["foo", "metadata.bar", "spec.ports[1].baz"]);
    let volume = json!({"spec": {"volumes": [{"name": "a", "emptyDir": {}, "x": 1}]}});
    assert_eq!(unknown_fields(POD, &volume), ["spec.volumes[0].x"]);
}
