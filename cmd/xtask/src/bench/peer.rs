//! kube-apiserver and etcd as the peer of our API: started on loopback in the bench's own namespace, ended when dropped.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::bed::{Bed, Process};

const API: &str = "127.0.0.1:16443";
const ETCD: &str = "http://127.0.0.1:12379";
const TOKEN: &str = "bench-admin";

/// The two programs at work.
pub(crate) struct Peer {
    folder: PathBuf,
    etcd: Child,
    server: Child,
}

impl Peer {
    /// Starts both and waits until the server is ready.
    ///
    /// # Errors
    /// When a program is not there (they are fetched and built before the bench goes inside) or does not get ready.
    pub(crate) fn start(bed: &Bed) -> Result<Peer> {
        let (folder, _) = bed.run("mktemp", &["-d", "/tmp/minisvc-bench-peer-XXXXXX"])?;
        let folder = PathBuf::from(folder.trim());
        let at = |name: &str| folder.join(name).display().to_string();
        let (key, _) = bed.run("api_load", &["-", "key"])?;
        std::fs::write(at("sa.key"), key)?;
        std::fs::write(at("tokens"), format!("{TOKEN},admin,admin,system:masters\n"))?;
        let kubeconfig = format!(
            r#"{{"apiVersion":"v1","kind":"Config","current-context":"k","contexts":[{{"name":"k","context":{{"cluster":"k","user":"k"}}}}],
"clusters":[{{"name":"k","cluster":{{"server":"https://{API}","insecure-skip-tls-verify":true}}}}],"users":[{{"name":"k","user":{{"token":"{TOKEN}"}}}}]}}"#
        );
        std::fs::write(at("kubeconfig"), kubeconfig)?;
        let spawn = |name: &str, arguments: &[String]| {
            let log = std::fs::File::create(at(&format!("{name}.log")))?;
            let mut command = bed.program(name);
            command.args(arguments).stdout(Stdio::null()).stderr(log).spawn().with_context(|| format!("start {name}"))
        };
        let etcd = spawn(
            "etcd",
            &[
                format!("--data-dir={}", at("etcd")),
                format!("--listen-client-urls={ETCD}"),
                format!("--advertise-client-urls={ETCD}"),
                "--listen-peer-urls=http://127.0.0.1:12380".into(),
                "--quota-backend-bytes=4294967296".into(),
            ],
        )?;
        let server = spawn(
            "kube-apiserver",
            &[
                format!("--etcd-servers={ETCD}"),
                "--bind-address=127.0.0.1".into(),
                // Without one it looks for a default route, and there is none here; nothing is sent to it (RFC 5737).
                "--advertise-address=192.0.2.1".into(),
                "--secure-port=16443".into(),
                format!("--cert-dir={}", at("certs")),
                format!("--token-auth-file={}", at("tokens")),
                format!("--service-account-key-file={}", at("sa.key")),
                format!("--service-account-signing-key-file={}", at("sa.key")),
                "--service-account-issuer=https://kubernetes.default.svc.cluster.local".into(),
                "--service-cluster-ip-range=10.96.0.0/12".into(),
                "--authorization-mode=RBAC".into(),
                "--disable-admission-plugins=ServiceAccount".into(),
                "--endpoint-reconciler-type=none".into(),
            ],
        );
        let peer = match server {
            Ok(server) => Peer { folder: folder.clone(), etcd, server },
            Err(error) => {
                let mut etcd = etcd;
                let _ = etcd.kill();
                let _ = etcd.wait();
                return Err(error);
            }
        };
        let begun = Instant::now();
        while bed.run("api_load", &[&peer.kubeconfig(), "list", "1"]).is_err() {
            let log = || std::fs::read_to_string(at("kube-apiserver.log")).unwrap_or_default();
            ensure!(begun.elapsed() < Duration::from_secs(120), "kube-apiserver is not ready: {}", log());
            std::thread::sleep(Duration::from_millis(500));
        }
        Ok(peer)
    }

    /// The file to reach it with.
    pub(crate) fn kubeconfig(&self) -> String {
        self.folder.join("kubeconfig").display().to_string()
    }

    /// Memory (PSS) of the server alone, bytes.
    pub(crate) fn memory(&self) -> Result<u64> {
        let pid = i32::try_from(self.server.id())?;
        // A wrapper script may stand before the program itself; it replaces itself, so the number is the program's.
        Ok(Process::read(pid).context("kube-apiserver has ended")?.pss)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        for child in [&mut self.server, &mut self.etcd] {
            let _ = child.kill();
            let _ = child.wait();
        }
        let ours = self.folder.starts_with("/tmp") && self.folder != Path::new("/tmp");
        if ours && std::fs::remove_dir_all(&self.folder).is_err() {
            eprintln!("{} is left behind", self.folder.display());
        }
    }
}
