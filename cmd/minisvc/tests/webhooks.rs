//! Webhooks in pods, as their authors install them: admission webhooks that deny and change, one whose service is dead, dry
//! runs, a refused attach, and a custom kind that a webhook converts. Run through `cargo xtask test`.

mod lab;

use lab::Lab;

/// Both servers of agnhost behind one Service, with the certificate of a Secret.
const SERVERS: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: hooks, labels: {app: hooks}}
spec:
  containers:
  - name: admission
    image: registry.k8s.io/e2e-test-images/agnhost:2.66.1
    args: [webhook, --tls-cert-file=/certs/tls.crt, --tls-private-key-file=/certs/tls.key, --port=8443]
    readinessProbe: {httpGet: {scheme: HTTPS, port: 8443, path: /readyz}, periodSeconds: 1}
    volumeMounts: [{name: certs, mountPath: /certs}]
  - name: conversion
    image: registry.k8s.io/e2e-test-images/agnhost:2.66.1
    args: [crd-conversion-webhook, --tls-cert-file=/certs/tls.crt, --tls-private-key-file=/certs/tls.key, --port=9443]
    readinessProbe: {httpGet: {scheme: HTTPS, port: 9443, path: /readyz}, periodSeconds: 1}
    volumeMounts: [{name: certs, mountPath: /certs}]
  volumes: [{name: certs, secret: {secretName: certs}}]
---
apiVersion: v1
kind: Service
metadata: {name: hooks}
spec:
  selector: {app: hooks}
  ports: [{name: admission, port: 443, targetPort: 8443}, {name: conversion, port: 444, targetPort: 9443}]
"#;

/// A configuration with one webhook; `NAME`, `SERVICE`, `PATH`, `RULE` and `CA` stand for what differs.
const CONFIGURATION: &str = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: KINDWebhookConfiguration
metadata: {name: NAME}
webhooks:
- name: NAME.example.com
  sideEffects: None
  admissionReviewVersions: [v1]
  clientConfig: {caBundle: CA, service: {namespace: default, name: SERVICE, path: PATH}}
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: default}}
  rules: [RULE]
"#;

const DEFINITION: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: places.stable.example.com}
spec:
  group: stable.example.com
  scope: Namespaced
  names: {plural: places, singular: place, kind: Place}
  conversion:
    strategy: Webhook
    webhook:
      conversionReviewVersions: [v1]
      clientConfig: {caBundle: CA, service: {namespace: default, name: hooks, port: 444, path: /crdconvert}}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {hostPort: {type: string}}}}
  - name: v2
    served: true
    storage: false
    selectableFields: [{jsonPath: .host}]
    schema: {openAPIV3Schema: {type: object, properties: {host: {type: string}, port: {type: string}}}}
"#;

const PLACE: &str = r#"
apiVersion: stable.example.com/v1
kind: Place
metadata: {name: here}
hostPort: localhost:8080
"#;

const MAPS: &str =
    r#"{operations: [CREATE, UPDATE, DELETE], apiGroups: [""], apiVersions: [v1], resources: [configmaps]}"#;

fn apply(lab: &Lab, text: &str) {
    lab.ok(&format!("kubectl apply -f - <<'END'\n{text}\nEND"));
}

/// Registers a webhook and answers how to take it away.
fn register(lab: &Lab, ca: &str, kind: &str, name: &str, service: &str, path: &str, rule: &str) -> String {
    let text = CONFIGURATION.replace("KIND", kind).replace("NAME", name).replace("SERVICE", service);
    apply(lab, &text.replace("PATH", path).replace("RULE", rule).replace("CA", ca));
    format!("kubectl delete {}webhookconfiguration {name}", kind.to_lowercase())
}

#[test]
fn webhooks_in_pods() {
    minisvc_testkit::isolated(|| {
        let lab = Lab::started("1.37");
        let made = rcgen::generate_simple_self_signed(vec!["hooks.default.svc".to_owned()]).expect("a certificate");
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        lab.ok(&format!("cat > tls.crt <<'END'\n{certificate}END\ncat > tls.key <<'END'\n{key}END"));
        lab.ok("kubectl create secret tls certs --cert=tls.crt --key=tls.key");
        let ca = lab.ok("base64 -w0 tls.crt");
        apply(&lab, SERVERS);
        lab.ok("kubectl wait --for=condition=Ready pod/hooks --timeout=90s");
        lab.until("kubectl get endpoints hooks -o jsonpath={.subsets[*].addresses[*].ip} 2>/dev/null", |ip| {
            !ip.is_empty()
        });

        let remove = register(&lab, &ca, "Validating", "deny", "hooks", "/configmaps", MAPS);
        let refused = lab.fails("kubectl create configmap bad --from-literal=webhook-e2e-test=webhook-disallow");
        let told =
            "admission webhook \"deny.example.com\" denied the request: the configmap contains unwanted key and value";
        assert!(refused.err.contains(told), "{}", refused.err);
        lab.ok("kubectl create configmap good --from-literal=a=b");
        lab.fails(r#"kubectl patch configmap good --type=merge -p '{"data":{"webhook-e2e-test":"webhook-disallow"}}'"#);
        lab.ok(
            r#"kubectl patch configmap good --type=merge -p '{"data":{"webhook-e2e-test":"webhook-nondeletable"}}'"#,
        );
        let refused = lab.fails("kubectl delete configmap good");
        assert!(refused.err.contains("the configmap cannot be deleted because"), "{}", refused.err);
        lab.ok(&remove);
        lab.ok("kubectl delete configmap good");

        let remove = register(&lab, &ca, "Mutating", "change", "hooks", "/mutating-configmaps", MAPS);
        let data = "-o jsonpath={.data.mutation-stage-1}";
        let dry = format!("kubectl create configmap staged --from-literal=mutation-start=yes --dry-run=server {data}");
        assert_eq!(lab.ok(&dry), "yes");
        lab.fails("kubectl get configmap staged");
        assert_eq!(lab.ok(&dry.replace("--dry-run=server ", "")), "yes");
        assert_eq!(lab.ok(&format!("kubectl get configmap staged {data}")), "yes");
        lab.ok(&remove);

        let remove = register(&lab, &ca, "Validating", "dead", "nobody", "/x", MAPS);
        let refused = lab.fails("kubectl create configmap unlucky --from-literal=a=b");
        let told = "failed calling webhook \"dead.example.com\": failed to call webhook: Post \"https://nobody.default.svc:443/x?timeout=10s\": service \"nobody\" not found";
        assert!(refused.err.contains("Internal error occurred: ") && refused.err.contains(told), "{}", refused.err);
        lab.ok(r#"kubectl patch validatingwebhookconfiguration dead --type=json -p '[{"op":"replace","path":"/webhooks/0/failurePolicy","value":"Ignore"}]'"#);
        lab.ok("kubectl create configmap unlucky --from-literal=a=b");
        lab.ok(&remove);

        let rule = r#"{operations: [CONNECT], apiGroups: [""], apiVersions: [v1], resources: [pods/attach]}"#;
        register(&lab, &ca, "Validating", "attach", "hooks", "/pods/attach", rule);
        lab.ok(r#"kubectl run to-be-attached-pod --image=busybox --overrides='{"spec":{"containers":[{"name":"container1","image":"busybox","command":["sleep","600"],"stdin":true}]}}'"#);
        lab.ok("kubectl wait --for=condition=Ready pod/to-be-attached-pod --timeout=90s");
        let refused = lab.fails("timeout 20 kubectl attach to-be-attached-pod -i -c container1 </dev/null");
        assert!(refused.err.contains("attaching to pod 'to-be-attached-pod' is not allowed"), "{}", refused.err);

        apply(&lab, &DEFINITION.replace("CA", &ca));
        lab.ok("kubectl wait --for=condition=Established crd/places.stable.example.com --timeout=90s");
        lab.until(&format!("kubectl apply -f - <<'END'\n{PLACE}\nEND"), |_| true);
        let second = "kubectl get places.v2.stable.example.com";
        assert_eq!(lab.ok(&format!("{second} here -o jsonpath='{{.host}} {{.port}}'")), "localhost 8080");
        lab.ok(r#"kubectl patch places.v2.stable.example.com here --type=merge -p '{"port":"9090"}'"#);
        assert_eq!(lab.ok("kubectl get places.v1.stable.example.com here -o jsonpath={.hostPort}"), "localhost:9090");
        assert_eq!(
            lab.ok(&format!("{second} --field-selector=host=localhost -o name")),
            "place.stable.example.com/here\n"
        );
        assert_eq!(lab.ok(&format!("{second} --field-selector=host=elsewhere -o name")), "");
        lab.ok("kubectl delete pod hooks --now");
        let broken = lab.fails(&format!("{second} here"));
        assert!(
            broken.err.contains("conversion webhook for stable.example.com/v1, Kind=Place failed: "),
            "{}",
            broken.err
        );
        lab.ok("kubectl get places.v1.stable.example.com here");
    });
}
