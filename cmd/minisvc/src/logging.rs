//! Where log lines go: standard error, which `up` points at the process' log file.

use tracing_subscriber::EnvFilter;

/// Starts logging for a long-lived process. `MINISVC_LOG` chooses what is told (default: info for our own rooms). A line
/// that cannot be written, as the disk is full, is lost; what wanted to say it goes on.
pub(crate) fn start() {
    let filter =
        EnvFilter::try_from_env("MINISVC_LOG").unwrap_or_else(|_| EnvFilter::new("warn,minisvc=info,kube_client=off"));
    // Told of internal errors, the subscriber would panic: it can write them nowhere either.
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).log_internal_errors(false);
    log.with_writer(std::io::stderr).init();
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::process::{Command, Stdio};

    const CHILD: &str = "MINISVC_LOGGING_TEST_CHILD";

    /// Runs this test once more as another process, whose standard error takes nothing.
    #[test]
    fn a_full_disk_ends_nobody_who_logs() {
        if std::env::var_os(CHILD).is_some() {
            super::start();
            tracing::error!("nobody reads this");
            std::process::exit(42);
        }
        let full = File::options().write(true).open("/dev/full").expect("a file that is always full");
        let status = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "logging::tests::a_full_disk_ends_nobody_who_logs", "--nocapture"])
            .env(CHILD, "1")
            .stdout(Stdio::null())
            .stderr(full)
            .status()
            .expect("the same program");
        assert_eq!(status.code(), Some(42), "{status}");
    }
}
