//! Where log lines go: standard error, which `up` points at the process' log file.

use tracing_subscriber::EnvFilter;

/// Starts logging for a long-lived process. `MINISVC_LOG` chooses what is told (default: info for our own rooms).
pub(crate) fn start() {
    let filter =
        EnvFilter::try_from_env("MINISVC_LOG").unwrap_or_else(|_| EnvFilter::new("warn,minisvc=info,kube_client=off"));
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(std::io::stderr).init();
}
