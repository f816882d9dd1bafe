//! Clients other than kubectl: helm and curl with the scripts of `testdata`, the Python client and client-go with their
//! programs there. Run through `cargo xtask test`, which fetches and builds them.

mod lab;
mod matrix;

use lab::{Lab, tools};
use matrix::script::{compare, compare_in_turn};
use matrix::{CURL, HELM, passed, testdata};

/// A lab with what the library programs open streams to: pod `shell` and pod `web`.
fn lab() -> Lab {
    let lab = Lab::started("1.37");
    lab.ok("kubectl create namespace work && kubectl config set-context --current --namespace work");
    lab.ok("kubectl run shell --image=archlinux -- sleep 1000 && kubectl run web --image=jpetazzo/color");
    lab.ok("kubectl wait --for=condition=Ready pod/shell pod/web --timeout=90s");
    lab
}

/// Runs a program once for each check, so that each fails by itself; the program prints `ok CHECK`.
fn each(lab: &Lab, client: &str, program: &str, checks: &[&str]) {
    let faults: Vec<String> = checks
        .iter()
        .filter_map(|check| {
            let said = lab.sh(&format!("timeout 90 {program} {check}"));
            if said.code == 0 && said.out == format!("ok {check}\n") {
                passed(client, check, 1);
                return None;
            }
            Some(format!("{client}, {check}: exit {}\n{}{}", said.code, said.out, said.err))
        })
        .collect();
    assert!(faults.is_empty(), "{}\n{}", faults.join("\n"), lab.logs());
}

#[test]
fn helm() {
    minisvc_testkit::isolated(|| {
        let lab = Lab::started("1.37");
        compare_in_turn(&lab, &HELM, &["custom"]);
        // From here on two helms meet in one cluster, whose definition is there already.
        lab.ok(&format!("kubectl apply -f {}", testdata("charts/rainbow/crds").display()));
        lab.ok("kubectl wait --for=condition=Established crd/paints.rainbow.example.com --timeout=90s");
        compare(&lab, &HELM, &["lifecycle", "client-side"]);
    });
}

#[test]
fn curl_alone() {
    minisvc_testkit::isolated(|| compare(&Lab::started("1.37"), &CURL, &["alone"]));
}

#[test]
fn the_python_client() {
    minisvc_testkit::isolated(|| {
        let program = format!(
            "env PYTHONPATH={} python3 {} work",
            tools().join("python").display(),
            testdata("clients/python/checks.py").display()
        );
        let checks = [
            "typed",
            "paging",
            "watch",
            "informer",
            "patch",
            "apply",
            "exec",
            "port-forward",
            "logs",
            "dynamic",
            "create-from-yaml",
            "leader-election",
        ];
        each(&lab(), "Python kubernetes 37", &program, &checks);
    });
}

#[test]
fn client_go() {
    minisvc_testkit::isolated(|| {
        let program =
            format!("{} -kubeconfig $HOME/.kube/config -namespace work", tools().join("bin/clientgo").display());
        let checks = [
            "discovery",
            "typed",
            "protobuf",
            "dynamic",
            "metadata",
            "informers",
            "watch",
            "events",
            "leader-election",
            "apply",
            "exec",
            "port-forward",
            "logs",
        ];
        each(&lab(), "client-go 0.37", &program, &checks);
    });
}
