//! Strangers with bad intentions: what they send leaves the server up, the store whole and secrets secret; and what other
//! users of the machine can read is nothing. Run through `cargo xtask test`.

mod lab;

use std::os::unix::fs::PermissionsExt as _;

use lab::Lab;

/// What there is, without what changes by itself.
const OBJECTS: &str = "kubectl get configmaps,secrets,services,serviceaccounts,deployments,pods,roles,rolebindings,namespaces -A -o name | sort";

#[test]
fn nothing_hostile_gets_through() {
    minisvc_testkit::isolated(|| {
        let lab = Lab::started("1.37");
        lab.ok("kubectl create namespace vault && kubectl create secret generic hidden -n vault --from-literal=k=hidden-from-strangers");
        lab.ok("kubectl create role reader --verb=get,list,watch --resource=secrets,pods && kubectl create serviceaccount reader");
        lab.ok("kubectl create rolebinding reader --role=reader --serviceaccount=default:reader");
        lab.ok("kubectl run target --image=alpine --command -- sleep 3600");
        lab.until("kubectl get pod target -o jsonpath={.status.phase}", |phase| phase == "Running");
        let token = lab.ok("kubectl create token reader");
        let objects = lab.ok(OBJECTS);
        let serve = "minisvc status -o json | python3 -c 'import json,sys; print(*[p[\"pid\"] for p in json.load(sys.stdin)[\"parts\"] if p[\"name\"]==\"serve\"])'";
        let pid = lab.ok(serve);

        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hostile.py");
        let said = lab.sh(&format!(
            "minisvc kubeconfig > admin.json && timeout 400 python3 {script} admin.json 127.0.0.1:6480 {} target",
            token.trim()
        ));
        assert!(said.code == 0 && said.out.ends_with("DONE\n"), "{}{}\n{}", said.out, said.err, lab.logs());
        assert_eq!(lab.ok(serve), pid, "the server is the one that it was");
        assert_eq!(lab.ok(OBJECTS), objects);
        // A token dies with its account.
        let list = format!(
            "curl -sk -H 'Authorization: Bearer {}' https://127.0.0.1:6443/api/v1/namespaces/default/secrets",
            token.trim()
        );
        assert!(lab.ok(&list).contains("SecretList"));
        lab.ok("kubectl delete serviceaccount reader");
        let gone = lab.ok(&list);
        assert!(gone.contains(r#""code": 401"#) || gone.contains(r#""code":401"#), "{gone}");
        lab.ok("kubectl create serviceaccount reader");
        // The store is whole: the same objects after a fresh start from disk.
        lab.ok(&format!("kill -9 {}", pid.trim()));
        lab.ok("minisvc up");
        assert_eq!(lab.ok(OBJECTS), objects);
    });
}

#[test]
fn other_users_of_the_machine_read_nothing() {
    minisvc_testkit::isolated(|| {
        let lab = Lab::new("1.37");
        // Let others as far as the lab's own folders.
        for folder in [lab.folder().to_owned(), lab.folder().join("home")] {
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).expect("chmod");
        }
        lab.ok("minisvc up");
        lab.ok("kubectl run words --image=alpine --command -- sh -c 'echo spoken; sleep 3600'");
        lab.until("kubectl logs words", |text| text.contains("spoken"));
        let nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all --inh-caps=-all";
        // Everything that the lab wrote, as root finds it; each is tried by another user.
        let all = lab.ok("find $MINISVC_STATE_DIR $MINISVC_RUN_DIR $HOME/.kube");
        assert!(all.lines().count() > 20 && all.contains("/api.sock") && all.contains("/.kube/config"), "{all}");
        std::fs::write(lab.folder().join("all"), &all).expect("write");
        let tried = lab.ok(&format!(
            "{nobody} bash -c 'while read -r path; do if [ -r \"$path\" ] || [ -w \"$path\" ]; then echo \"$path\"; fi; done' < ../all"
        ));
        assert_eq!(tried, "", "others can read or write these");
        let shut = "$MINISVC_STATE_DIR $MINISVC_STATE_DIR/* $MINISVC_RUN_DIR $MINISVC_RUN_DIR/* $MINISVC_STATE_DIR/pki/* \
            $HOME/.kube $HOME/.kube/config";
        let modes = lab.ok(&format!("stat -c '%a %n' {shut}"));
        let private = |line: &&str| line.starts_with("600 ") || line.starts_with("700 ");
        let open: Vec<&str> = modes.lines().filter(|line| !private(line)).collect();
        assert!(open.is_empty(), "modes that would let others in: {open:#?}");
        let said =
            lab.sh(&format!("{nobody} curl -s -m 5 --unix-socket $MINISVC_RUN_DIR/api.sock http://m/api/v1/secrets"));
        assert_ne!(said.code, 0, "{}", said.out);
        let api = lab.ok(&format!("{nobody} curl -sk -m 5 https://127.0.0.1:6443/api/v1/secrets"));
        assert!(api.contains("system:anonymous") && api.contains("cannot list resource"), "{api}");
        let page =
            lab.ok(&format!("{nobody} curl -s -m 5 -o /dev/null -w %{{http_code}} http://127.0.0.1:6480/api/v1/pods"));
        assert_eq!(page, "401");
        // What anybody sees in the process table and on the page tells no secret.
        let seen = lab.ok(&format!(
            "{nobody} bash -c 'cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null; curl -s http://127.0.0.1:6480/' | tr '\\0' ' '"
        ));
        let token = lab.ok("cat $MINISVC_STATE_DIR/pki/page.token");
        assert!(seen.contains("minisvc") && token.trim().len() > 15, "{seen:.300}");
        for secret in [token.trim(), "PRIVATE KEY", "client-key-data"] {
            assert!(!seen.contains(secret), "{secret:.6}... is there for everybody");
        }
    });
}

#[test]
fn kubectl_acts_as_somebody_else_only_where_it_may() {
    minisvc_testkit::isolated(|| {
        let lab = Lab::started("1.37");
        lab.ok("kubectl create role reader --verb=get,list --resource=pods && kubectl create rolebinding reader --role=reader --group=readers");
        assert!(lab.ok("kubectl get pods --as=ann --as-group=readers 2>&1").contains("No resources found"));
        let said = lab.fails("kubectl get services --as=ann --as-group=readers");
        let text = r#"User "ann" cannot list resource "services" in API group "" in the namespace "default""#;
        assert!(said.err.contains(text), "{}", said.err);
        let said = lab.fails("kubectl get pods --as-group=readers");
        assert!(said.err.contains("without impersonating a user"), "{}", said.err);
        assert!(lab.ok("kubectl auth whoami --as=ann --as-group=readers --as-uid=7 -o json").contains(r#""uid": "7""#));
        let account = "kubectl auth whoami --as=system:serviceaccount:default:default -o json";
        assert!(lab.ok(account).contains("system:serviceaccounts:default"));
    });
}
