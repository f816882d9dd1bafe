//! A person at the VM with one version of a program and a namespace of their own. Uses the lab's binary and directories.

use std::process::Command;

use super::Family;
use crate::lab::{Lab, Said, tools};

/// A home with the program, and a context that names the namespace.
pub struct Client<'a> {
    lab: &'a Lab,
    pub version: &'static str,
    pub namespace: String,
}

impl<'a> Client<'a> {
    /// A client whose namespace is `ns-` with the letter and the version's digits, made now.
    pub fn new(lab: &'a Lab, family: &Family, version: &'static str, letter: char) -> Client<'a> {
        let namespace = format!("ns-{letter}{}", version.replace('.', ""));
        let client = Client { lab, version, namespace };
        for folder in ["bin", "home/.kube"] {
            std::fs::create_dir_all(client.folder().join(folder)).expect("folder");
        }
        let program = tools().join("bin").join(format!("{}-{version}", family.program));
        if program.exists() {
            std::os::unix::fs::symlink(program, client.folder().join("bin").join(family.program)).expect("link");
        }
        let config = lab.folder().join("home/.kube/config");
        std::fs::copy(config, client.folder().join("home/.kube/config")).expect("the lab's kubeconfig");
        let namespace = &client.namespace;
        let said = client.sh(&format!(
            "kubectl create namespace {namespace} && kubectl config set-context --current --namespace {namespace} \
             && for i in $(seq 100); do
                    kubectl get configmap/kube-root-ca.crt serviceaccount/default && exit; sleep 0.1
                done; exit 1"
        ));
        assert_eq!(said.code, 0, "{}", said.out);
        client
    }

    /// Where this client's files are.
    pub fn folder(&self) -> std::path::PathBuf {
        self.lab.folder().join("clients").join(&self.namespace)
    }

    /// A line of shell in this client's home; both outputs come as one, in order. It has a minute.
    pub fn command(&self, line: &str) -> Command {
        let mut command = self.lab.command("exec timeout -k 2 60 bash -c \"$LINE\" 2>&1");
        command.env("LINE", line);
        let path = command.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, value)| value);
        let path = format!("{}:{}", self.folder().join("bin").display(), path.expect("PATH").to_string_lossy());
        command
            .env("PATH", path)
            .env("HOME", self.folder().join("home"))
            .env("NS", &self.namespace)
            .env("V", self.version.replace('.', ""))
            .env("TOOLS", tools())
            .env("TESTDATA", super::testdata(""))
            .current_dir(self.folder().join("home"));
        command
    }

    /// Runs a line; `out` holds both outputs.
    pub fn sh(&self, line: &str) -> Said {
        let output = self.command(line).output().expect("bash");
        Said {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::new(),
        }
    }
}
