//! An API service whose server is a pod behind a Service: what the condition `Available` tells from its registration to the
//! pod's end, and on whose behalf requests arrive. Run through `cargo xtask test`.

mod lab;

use lab::Lab;

/// A server that repeats requests over TLS. Its answers are no discovery, so the group is asked with `--raw` alone.
const SERVER: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: api, labels: {app: api}}
spec:
  containers:
  - name: echo
    image: registry.k8s.io/echoserver:1.10
    readinessProbe: {httpGet: {scheme: HTTPS, port: 8443}, periodSeconds: 1}
"#;

const SERVICE: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: api}
spec:
  selector: {app: api}
  ports: [{port: 443, targetPort: 8443}]
"#;

const REGISTRATION: &str = r#"
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1alpha1.echo.example.com}
spec:
  group: echo.example.com
  version: v1alpha1
  groupPriorityMinimum: 2000
  versionPriority: 200
  insecureSkipTLSVerify: true
  service: {namespace: default, name: api}
"#;

fn apply(lab: &Lab, text: &str) {
    lab.ok(&format!("kubectl apply -f - <<'END'\n{text}\nEND"));
}

/// Waits for a reason of the condition; answers its status and message.
fn available(lab: &Lab, reason: &str) -> String {
    let asked = "kubectl get apiservice v1alpha1.echo.example.com -o \
                 jsonpath='{range .status.conditions[?(@.type==\"Available\")]}{.reason} {.status} {.message}{end}'";
    let told = lab.until(asked, |told| told.split(' ').next() == Some(reason));
    told.split_once(' ').map(|(_, rest)| rest.to_owned()).unwrap_or_default()
}

#[test]
fn an_api_service_in_a_pod() {
    minisvc_testkit::isolated(|| {
        let lab = Lab::started("1.37");
        apply(&lab, REGISTRATION);
        assert_eq!(available(&lab, "ServiceNotFound"), "False service/api in \"default\" is not present");
        apply(&lab, SERVICE);
        assert!(available(&lab, "MissingEndpoints").starts_with("False endpointslices for service/api in \"default\""));
        let away = lab.fails("kubectl get --raw /apis/echo.example.com/v1alpha1/things");
        assert!(away.err.contains("the server is currently unable to handle the request"), "{}", away.err);
        apply(&lab, SERVER);
        assert_eq!(available(&lab, "Passed"), "True all checks passed");
        let rows = lab::rows(&lab.ok("kubectl get apiservices"));
        let row = rows.iter().find(|row| row[0] == "v1alpha1.echo.example.com").expect("a row");
        assert_eq!(row[1..3], ["default/api", "True"], "{row:?}");

        let asked = "kubectl get --raw '/apis/echo.example.com/v1alpha1/things?limit=1' --as=ann --as-group=staff";
        assert!(lab.fails(asked).err.contains("forbidden"), "ann may not yet");
        lab.ok("kubectl create clusterrole things --verb=list,get --resource=pods");
        lab.ok(r#"kubectl patch clusterrole things --type=json -p '[{"op":"replace","path":"/rules","value":[{"apiGroups":["echo.example.com"],"resources":["*"],"verbs":["*"]}]}]'"#);
        lab.ok("kubectl create clusterrolebinding things --clusterrole=things --group=staff");
        let echo = lab.ok(asked);
        for wanted in [
            "real path=/apis/echo.example.com/v1alpha1/things?limit=1\n",
            "request_scheme=https\n",
            "\thost=api.default.svc\n",
            "\tx-remote-user=ann\n",
            "\tx-remote-group=staff\n",
            "\tx-remote-group=system:authenticated\n",
        ] {
            assert!(echo.contains(wanted), "{wanted:?} is not in {echo}");
        }
        assert!(!echo.contains("authorization=") && !echo.contains("impersonate-"), "{echo}");
        assert!(lab.ok("kubectl get --raw /apis/echo.example.com/v1alpha1").contains("x-remote-user="));

        lab.ok(
            r#"kubectl patch service api --type=json -p '[{"op":"replace","path":"/spec/ports/0/targetPort","value":8080}]'"#,
        );
        let told = available(&lab, "FailedDiscoveryCheck");
        assert!(told.starts_with("False failing or missing response from https://10.244."), "{told}");
        assert!(told.ends_with("http: server gave HTTP response to HTTPS client"), "{told}");
        lab.ok("kubectl delete pod api --now");
        available(&lab, "MissingEndpoints");

        // All else goes on, and a namespace's end waits for what cannot be asked.
        lab.ok("kubectl get deployments,pods -A");
        assert!(lab.ok("kubectl api-resources").contains("deployments"));
        lab.ok("kubectl create namespace held");
        lab.ok("kubectl delete namespace held --wait=false");
        let asked = "kubectl get namespace held -o \
                     jsonpath='{.status.conditions[?(@.type==\"NamespaceDeletionDiscoveryFailure\")].message}'";
        lab.until(asked, |told| told.contains("stale GroupVersion discovery: echo.example.com/v1alpha1"));
        lab.ok("kubectl delete apiservice v1alpha1.echo.example.com");
        lab.ok("kubectl wait --for=delete namespace/held --timeout=90s");
        assert!(
            lab.fails("kubectl get --raw /apis/echo.example.com/v1alpha1/things")
                .err
                .contains("could not find the req")
        );
    });
}
