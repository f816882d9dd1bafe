//! kubectl 1.37 and helm apply: server-side with conflicts, force and the move from client-side apply; diff, edit,
//! replace and patches as people use them. Run through `cargo xtask test`.

mod lab;

use lab::Lab;

const WEB: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: web, labels: {app: web}}
spec:
  selector: {app: web}
  ports: [{port: 80}]
"#;

/// A file in the lab's shell.
fn file(lab: &Lab, name: &str, text: &str) -> String {
    lab.ok(&format!("cat > {name} <<'END'\n{text}\nEND"));
    name.to_owned()
}

const MANAGERS: &str = "-o jsonpath='{range .metadata.managedFields[*]}{.manager} {.operation} {.subresource};{end}'";

#[test]
fn server_side_apply_with_kubectl() {
    minisvc_testkit::isolated(|| {
        let lab = Lab::started("1.37");
        let web = file(&lab, "web.yaml", WEB);
        assert_eq!(lab.ok(&format!("kubectl apply --server-side -f {web}")), "service/web serverside-applied\n");
        let version = lab.ok("kubectl get service web -o jsonpath={.metadata.resourceVersion}");
        assert_eq!(lab.ok(&format!("kubectl apply --server-side -f {web}")), "service/web serverside-applied\n");
        assert_eq!(lab.ok("kubectl get service web -o jsonpath={.metadata.resourceVersion}"), version);
        assert!(lab.ok(&format!("kubectl get service web {MANAGERS}")).starts_with("kubectl Apply ;"));
        let other = file(&lab, "other.yaml", &WEB.replace("{app: web}\n  ports", "{app: blue}\n  ports"));
        let conflict = lab.fails(&format!("kubectl apply --server-side --field-manager=me -f {other}"));
        let words = "Apply failed with 1 conflict: conflict with \"kubectl\": .spec.selector";
        assert!(conflict.err.contains(words), "{}", conflict.err);
        lab.ok(&format!("kubectl apply --server-side --field-manager=me --force-conflicts -f {other}"));
        assert_eq!(lab.ok("kubectl get service web -o jsonpath={.spec.selector.app}"), "blue");
        // A scaled deployment is its scaler's.
        lab.ok("kubectl create deployment blue --image=jpetazzo/color && kubectl scale deployment blue --replicas=2");
        let owners = lab.ok(&format!("kubectl get deployment blue --show-managed-fields {MANAGERS}"));
        assert!(owners.contains("kubectl-create Update ;") && owners.contains("Update scale;"), "{owners}");
        // Unknown fields are named.
        let wrong = file(&lab, "wrong.yaml", &WEB.replace("spec:", "spec:\n  foo: 1"));
        let refused = lab.fails(&format!("kubectl apply --server-side -f {wrong}"));
        assert!(refused.err.contains(".spec.foo: field not declared in schema"), "{}", refused.err);
        let strict = lab.fails(&format!("kubectl apply -f {wrong}"));
        assert!(strict.err.contains("unknown field \"spec.foo\""), "{}", strict.err);
        lab.ok("rm -f web.yaml other.yaml wrong.yaml");
    });
}

#[test]
fn from_client_side_to_server_side_apply() {
    minisvc_testkit::isolated(|| {
        let lab = Lab::started("1.37");
        let web = file(&lab, "move.yaml", WEB);
        lab.ok(&format!("kubectl apply -f {web}"));
        assert!(lab.ok(&format!("kubectl get service web {MANAGERS}")).contains("kubectl-client-side-apply Update"));
        let two = file(&lab, "move2.yaml", &WEB.replace("labels: {app: web}", "labels: {tier: front}"));
        // The label that only client-side apply set is gone: its fields were taken over.
        lab.ok(&format!("kubectl apply --server-side -f {two}"));
        assert_eq!(lab.ok("kubectl get service web -o jsonpath='{.metadata.labels}'"), r#"{"tier":"front"}"#);
        let owners = lab.ok(&format!("kubectl get service web {MANAGERS}"));
        assert!(owners.contains("kubectl Apply") && !owners.contains("client-side-apply Update"), "{owners}");
        // And back again.
        lab.ok(&format!("kubectl apply -f {web}"));
        assert_eq!(lab.ok("kubectl get service web -o jsonpath='{.metadata.labels.app}'"), "web");
        lab.ok("rm -f move.yaml move2.yaml");
    });
}

#[test]
fn diff_edit_replace_and_patch() {
    minisvc_testkit::isolated(|| {
        let lab = Lab::started("1.37");
        let web = file(&lab, "edit.yaml", WEB);
        lab.ok(&format!("kubectl apply -f {web}"));
        assert_eq!(lab.ok(&format!("kubectl diff -f {web}")), "");
        let two = file(&lab, "edit2.yaml", &WEB.replace("port: 80", "port: 80, targetPort: 81"));
        for way in ["", "--server-side --force-conflicts"] {
            let diff = lab.fails(&format!("kubectl diff {way} -f {two}"));
            assert!(diff.out.contains("+    targetPort: 81"), "{}{}", diff.out, diff.err);
        }
        // A dry run leaves the object alone.
        assert_eq!(lab.ok("kubectl get service web -o jsonpath='{.spec.ports[*].port}'"), "80");
        file(&lab, "edit.sh", "sed -i 's/app: web/app: red/' \"$1\"");
        assert_eq!(lab.ok("EDITOR='bash edit.sh' kubectl edit service web"), "service/web edited\n");
        assert_eq!(lab.ok("kubectl get service web -o jsonpath={.spec.selector.app}"), "red");
        lab.ok("kubectl get service web -o yaml | sed 's/app: red/app: green/' | kubectl replace -f -");
        assert_eq!(lab.ok("kubectl get service web -o jsonpath={.spec.selector.app}"), "green");
        let merge = r#"kubectl patch service web -p '{"spec":{"ports":[{"port":80,"$patch":"delete"},{"port":82}]}}'"#;
        lab.ok(merge);
        assert_eq!(lab.ok("kubectl get service web -o jsonpath='{.spec.ports[*].port}'"), "82");
        lab.ok(
            r#"kubectl patch service web --type=json -p '[{"op":"replace","path":"/spec/ports/0/port","value":83}]'"#,
        );
        let failed = lab.fails(r#"kubectl patch service web --type=json -p '[{"op":"remove","path":"/spec/no"}]'"#);
        assert!(!failed.err.is_empty());
        lab.ok("kubectl label service web a=b && kubectl annotate service web c=d");
        assert_eq!(lab.ok("kubectl get service web -o jsonpath={.metadata.labels.a}{.spec.ports[0].port}"), "b83");
        lab.ok("rm -f edit.yaml edit2.yaml");
    });
}
