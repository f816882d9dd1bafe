//! Built-in programs that pods run, and the catalogue that maps image names to them. Nothing here is pulled from
//! anywhere. Knows no Kubernetes client and no namespaces: a program sees its environment, its files and its sockets.

mod agnhost;
mod busybox;
mod catalogue;
mod client;
mod color;
mod datagrams;
mod dockercoins;
mod echoserver;
mod flags;
mod go;
mod httpd;
mod map;
mod nc;
mod nginx;
mod pause;
mod ping;
mod redis;
mod reference;
mod samples;
mod sctp;
mod serve;
mod sysctl;
mod tls;
mod web;
mod wget;

use std::process::ExitCode;

use agnhost::update_demo_data;
pub use busybox::{BUSYBOX_NAMES, Bin, BusyBox};
pub use catalogue::{Builtin, Catalogue, Extras, Image, Unknown, Userland, catalogue};
pub use map::MapError;
pub use reference::{InvalidReference, Reference};
pub use tls::{CertificatePair, localhost_pair};

/// Names of the programs that [`run`] knows and that images are made of.
pub const PROGRAMS: &[&str] = &[
    "agnhost",
    "color",
    "echo-server",
    "echoserver",
    "hasher",
    "hello-app",
    "hello-backend",
    "hello-frontend",
    "hpa-example",
    "http-echo",
    "httpd",
    "kubernetes-bootcamp",
    "nginx",
    "nginx-hello",
    "node-hello",
    "pause",
    "redis",
    "rng",
    "update-demo",
    "webui",
    "whoami",
    "worker",
];

/// Small programs that images' userlands have and this machine may lack. Containers find this binary under the names
/// that are missing. `dig`, `host` and `nslookup` are played by the DNS room, the others by [`run`].
pub const APPLETS: &[&str] = &["dig", "host", "nc", "nslookup", "ping", "sysctl", "wget"];

/// The program that this binary plays when it is called by `path`, as a container does: `None` for its own name.
pub fn called(path: &str) -> Option<&'static str> {
    let name = path.rsplit('/').next().unwrap_or_default();
    match name {
        "agnhost-2" => Some("agnhost"),
        // Not among the programs here, see `run`.
        "coredns" => Some("coredns"),
        _ => PROGRAMS.iter().chain(APPLETS).copied().find(|program| *program == name),
    }
}

/// Runs one built-in program to its end, as `minisvc image PROGRAM ARGS...` inside a container.
///
/// Answers the program's exit code; an unknown name is 127, as a shell would say. `coredns` and the look-up programs are
/// not here: the binary hands them to the DNS room.
pub fn run(program: &str, args: &[String]) -> ExitCode {
    match program {
        "agnhost" => agnhost::run(args),
        "color" => color::run(),
        "echo-server" => samples::echo_server(),
        "echoserver" => echoserver::run(),
        "hasher" => dockercoins::hasher(),
        "hello-app" => samples::hello_app(args),
        "hello-backend" => samples::hello_backend(),
        "hello-frontend" => samples::hello_frontend(),
        "hpa-example" => samples::hpa_example(),
        "http-echo" => samples::http_echo(args),
        "httpd" => httpd::run(),
        "kubernetes-bootcamp" => samples::bootcamp(args),
        "nc" => nc::run(args),
        "nginx" => nginx::run(),
        "nginx-hello" => samples::nginx_hello(args),
        "node-hello" => samples::node_hello(),
        "pause" => pause::run(),
        "ping" => ping::run(args),
        "redis" => redis::run(),
        "rng" => dockercoins::rng(),
        "sysctl" => sysctl::run(args),
        "update-demo" => agnhost::update_demo(args),
        "webui" => dockercoins::webui(),
        "wget" => wget::run(args),
        "whoami" => samples::whoami(args),
        "worker" => dockercoins::worker(),
        other => {
            eprintln!("no built-in program is called {other}; there are {}", PROGRAMS.join(", "));
            ExitCode::from(127)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_programs() {
        assert_eq!(called("/agnhost-2"), Some("agnhost"));
        assert_eq!(called("nslookup"), Some("nslookup"));
        assert_eq!(called("/coredns"), Some("coredns"));
        assert_eq!((called("/usr/bin/minisvc"), called("")), (None, None));
    }
}
