//! Where the lab keeps things: the state directory (survives, if asked) and the run directory (never survives `down`).

use std::path::{Path, PathBuf};

/// State when nothing else is said.
pub const DEFAULT_STATE: &str = "/var/lib/minisvc";
/// Runtime files when nothing else is said.
pub const DEFAULT_RUN: &str = "/run/minisvc";

/// How the names of labs' control groups begin.
pub(crate) const GROUP: &str = "minisvc-";

/// The name of the control group of the lab with this run directory.
pub(crate) fn group(run: &Path) -> String {
    format!("{GROUP}{}", run.to_string_lossy().trim_start_matches('/').replace('/', "-"))
}

/// The two directories of one lab. Several labs on one VM have different ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Store, keys, logs.
    pub state: PathBuf,
    /// Sockets, settings of the running lab.
    pub run: PathBuf,
}

// === impl Places ===

impl Places {
    /// The lab of these two directories, made absolute so that processes in other places agree.
    ///
    /// # Errors
    /// When the current directory cannot be read.
    pub fn new(state: &Path, run: &Path) -> std::io::Result<Places> {
        Ok(Places { state: std::path::absolute(state)?, run: std::path::absolute(run)? })
    }

    /// Complains when this user may not look into the lab's directories, which belong to whoever started it (mode 0700).
    ///
    /// # Errors
    /// When one of them, or a directory above, is closed to this user.
    pub fn open_to_this_user(&self) -> anyhow::Result<()> {
        for folder in [&self.run, &self.state] {
            let looked = std::fs::read_dir(folder);
            anyhow::ensure!(
                !looked.is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied),
                "{} is closed to this user: a lab and its keys are for whoever started it, as a rule root; try sudo",
                folder.display()
            );
        }
        Ok(())
    }

    /// The database's directory.
    pub fn store(&self) -> PathBuf {
        self.state.join("store")
    }

    /// Keys and certificates, mode 0700.
    pub fn pki(&self) -> PathBuf {
        self.state.join("pki")
    }

    /// The control group of the lab's pods, below the roots of the control group file systems: one level of its own, so
    /// that labs side by side do not meet.
    pub fn cgroup(&self) -> PathBuf {
        PathBuf::from(group(&self.run))
    }

    /// Logs of processes and pods.
    pub fn logs(&self) -> PathBuf {
        self.state.join("logs")
    }

    /// Logs of pods' containers.
    pub fn pod_logs(&self) -> PathBuf {
        self.logs().join("pods")
    }

    /// Folders of provisioned persistent volumes.
    pub fn volumes(&self) -> PathBuf {
        self.state.join("volumes")
    }

    /// Further image names, made by the user; `down` leaves it.
    pub fn image_map(&self) -> PathBuf {
        self.state.join("images.conf")
    }

    /// The log file of one process (`serve`, `edge`, `node1`).
    pub fn log_of(&self, process: &str) -> PathBuf {
        self.logs().join(format!("{process}.log"))
    }

    /// Full-rights API socket, for the owner only.
    pub fn api_socket(&self) -> PathBuf {
        self.run.join("api.sock")
    }

    /// The settings of the running lab.
    pub fn settings(&self) -> PathBuf {
        self.run.join("lab.json")
    }

    /// The settings of the lab whose store is kept here.
    pub fn kept_settings(&self) -> PathBuf {
        self.state.join("lab.json")
    }

    /// What this lab changed outside its directories (kubeconfig entries, namespace names), so that `down` can undo it.
    pub fn footprint(&self) -> PathBuf {
        self.run.join("footprint.json")
    }

    /// What the edge says of itself once its inside stands.
    pub fn edge(&self) -> PathBuf {
        self.run.join("edge.json")
    }

    /// The page's bearer token, under the keys.
    pub fn page_token(&self) -> PathBuf {
        self.pki().join("page.token")
    }

    /// Everything the lab may have put into the run directory; `down` removes these and nothing else.
    pub fn run_entries(&self) -> Vec<PathBuf> {
        let mut entries = vec![self.api_socket(), self.settings(), self.edge(), self.footprint()];
        entries.extend([self.settings(), self.edge(), self.footprint()].map(|path| path.with_extension("part")));
        entries.push(self.run.join("nodes"));
        entries
    }

    /// Everything the lab may have put into the state directory; `down` removes these and nothing else, so that a
    /// directory given by mistake loses nothing.
    pub fn state_entries(&self) -> Vec<PathBuf> {
        let kept = self.kept_settings();
        vec![self.store(), self.pki(), self.logs(), self.volumes(), kept.with_extension("part"), kept]
    }

    /// Held while `up`, `down` or `reset` works, so that two do not meet.
    pub fn lock(&self) -> PathBuf {
        let mut name = self.run.as_os_str().to_owned();
        name.push(".lock");
        PathBuf::from(name)
    }

    /// The kubeconfig of one of the lab's own users (`admin`, `edge`, `node1`), under the keys.
    pub fn kubeconfig_of(&self, user: &str) -> PathBuf {
        self.pki().join(format!("{user}.kubeconfig"))
    }
}
