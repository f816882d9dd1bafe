//! `agnhost`: the program of Kubernetes' own end-to-end tests, in the modes that tests of networks, pods and volumes use.
//! Behaviour, words and exit codes after k8s.io/kubernetes/test/images/agnhost (v1.37), written anew. A mode that is not
//! played here says so and fails; nothing pretends.

mod connect;
mod crd_conversion;
mod files;
mod grpc_health;
mod guestbook;
mod h2c;
mod in_cluster;
mod issuer;
mod liveness;
mod logs_generator;
mod mounttest;
mod mtls;
mod names;
mod net;
mod netexec;
mod nettest;
mod no_snat;
mod pause;
mod pod_signer;
mod port_forward_tester;
mod porter;
mod serve_hostname;
mod tcp_reset;
mod webhook;

use std::process::ExitCode;

pub(crate) use files::data as update_demo_data;

use crate::flags::{Flag, Flags, HELP};

/// One mode.
struct Mode {
    name: &'static str,
    about: &'static str,
    flags: &'static [Flag],
    /// The number of words that it takes; `None`: any.
    words: Option<usize>,
    run: fn(Flags) -> ExitCode,
}

const MODES: &[Mode] = &[
    connect::MODE,
    crd_conversion::MODE,
    names::SUFFIX,
    names::SERVERS,
    ENTRYPOINT,
    names::HOSTS,
    liveness::GIT,
    grpc_health::MODE,
    guestbook::MODE,
    h2c::MODE,
    in_cluster::MODE,
    liveness::MODE,
    logs_generator::MODE,
    mounttest::MODE,
    mtls::CLIENT,
    mtls::SERVER,
    net::MODE,
    nettest::MODE,
    netexec::MODE,
    no_snat::MODE,
    no_snat::PROXY,
    NO_NEW_PRIVS,
    pause::MODE,
    pod_signer::MODE,
    port_forward_tester::MODE,
    porter::MODE,
    serve_hostname::MODE,
    tcp_reset::MODE,
    issuer::MODE,
    files::MODE,
    webhook::MODE,
];

/// Modes of the original that are not played here.
const LEFT_OUT: &[&str] =
    &["audit-proxy", "external-metrics", "fake-registry-server", "resource-consumer-controller", "stress"];

const ENTRYPOINT: Mode = Mode {
    name: "entrypoint-tester",
    about: "Prints the arguments it was given and ends",
    flags: &[],
    words: None,
    run: |_| {
        let words: Vec<String> = std::env::args().collect();
        println!("[{}]", words.join(" "));
        ExitCode::SUCCESS
    },
};

const NO_NEW_PRIVS: Mode = Mode {
    name: "nonewprivs",
    about: "Prints the effective user id",
    flags: &[],
    words: Some(0),
    run: |_| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
        println!("Effective uid: {}", ids.and_then(|ids| ids.split_whitespace().nth(1)).unwrap_or_default());
        ExitCode::SUCCESS
    },
};

/// Runs the mode that `arguments` names first.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let Some((name, rest)) = arguments.split_first() else {
        help();
        return ExitCode::SUCCESS;
    };
    if ["help", "--help", "-h"].contains(&name.as_str()) {
        match MODES.iter().find(|mode| Some(mode.name) == rest.first().map(String::as_str)) {
            Some(mode) => usage(mode),
            None => help(),
        }
        return ExitCode::SUCCESS;
    }
    if ["--version", "-v"].contains(&name.as_str()) {
        println!("app version 2.66.1 (played by minisvc {})", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    let Some(mode) = MODES.iter().find(|mode| mode.name == name) else {
        return fails(&match name {
            name if LEFT_OUT.contains(&name.as_str()) => {
                format!("minisvc's built-in agnhost does not play \"{name}\"; run it with \"help\" for what it plays")
            }
            flag if flag.starts_with("--") => format!("unknown flag: {flag}"),
            name => format!("unknown command \"{name}\" for \"app\""),
        });
    };
    // The entrypoint tester prints whatever it is given, flags included.
    if mode.words.is_none() {
        return (mode.run)(Flags::default());
    }
    match Flags::parse(mode.flags, rest) {
        Ok(flags) => match count(mode.words, flags.words.len()) {
            Ok(()) => (mode.run)(flags),
            Err(reason) => fails(&reason),
        },
        Err(reason) if reason == HELP => {
            usage(mode);
            ExitCode::SUCCESS
        }
        Err(reason) => fails(&reason),
    }
}

/// The update demo's web server for the picture that `arguments` names.
pub(crate) fn update_demo(arguments: &[String]) -> ExitCode {
    match arguments.first() {
        Some(name) => files::update_demo(name),
        None => fails("which picture?"),
    }
}

/// cobra's rules `MaximumNArgs(0)` and `ExactArgs(n)`.
fn count(wanted: Option<usize>, given: usize) -> Result<(), String> {
    match wanted {
        Some(0) if given > 0 => Err(format!("accepts at most 0 arg(s), received {given}")),
        Some(wanted) if wanted != given => Err(format!("accepts {wanted} arg(s), received {given}")),
        _ => Ok(()),
    }
}

fn fails(reason: &str) -> ExitCode {
    eprintln!("Error: {reason}");
    ExitCode::FAILURE
}

fn help() {
    println!("Usage:\n  app [command]\n\nAvailable Commands:");
    for mode in MODES {
        println!("  {:<20} {}", mode.name, mode.about);
    }
    println!("\nUse \"app [command] --help\" for more information about a command.");
    println!("minisvc does not play: {}.", LEFT_OUT.join(", "));
}

fn usage(mode: &Mode) {
    println!("{}\n\nUsage:\n  app {} [flags]\n\nFlags:", mode.about, mode.name);
    for flag in mode.flags {
        match flag.default {
            "" | "false" => println!("      --{}", flag.name),
            default => println!("      --{} (default {default})", flag.name),
        }
    }
}

/// Runs `work` on one thread, its tasks beside it.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => tokio::task::LocalSet::new().block_on(&runtime, work),
        Err(error) => crate::go::fatal(error),
    }
}

/// Listens on `port` of all addresses, or ends the program in Go's words.
fn listen(port: u16) -> tokio::net::TcpListener {
    match crate::serve::listen(port) {
        Ok(listener) => listener,
        Err(error) => crate::go::fatal(format_args!("listen tcp :{port}: bind: {}", crate::go::errno(&error))),
    }
}

/// Where hyper runs what belongs to an HTTP/2 connection: on this thread.
#[derive(Clone, Copy)]
struct Local;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}

/// Waits for SIGTERM.
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut signals) => {
            signals.recv().await;
        }
        Err(error) => crate::go::fatal(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_words_is_cobras() {
        assert_eq!(count(Some(0), 2).unwrap_err(), "accepts at most 0 arg(s), received 2");
        assert_eq!(count(Some(1), 0).unwrap_err(), "accepts 1 arg(s), received 0");
        assert!(count(Some(1), 1).is_ok() && count(None, 7).is_ok());
    }

    #[test]
    fn every_mode_is_named_once() {
        let mut names: Vec<&str> = MODES.iter().map(|mode| mode.name).chain(LEFT_OUT.iter().copied()).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
