//! Built-in programs that pods run, and the catalogue that maps image names to them. Nothing here is pulled from
//! anywhere. Knows no Kubernetes client and no namespaces: a program sees its environment, its files and its sockets.

mod catalogue;
mod color;
mod httpd;
mod map;
mod nginx;
mod pause;
mod reference;
mod serve;

use std::process::ExitCode;

pub use catalogue::{Builtin, Catalogue, Image, Unknown, Userland, catalogue};
pub use map::MapError;
pub use reference::{InvalidReference, Reference};

/// Names of the programs that [`run`] knows.
pub const PROGRAMS: &[&str] = &["color", "httpd", "nginx", "pause"];

/// Runs one built-in program to its end, as `minisvc image PROGRAM ARGS...` inside a container.
///
/// Answers the program's exit code; an unknown name is 127, as a shell would say. `coredns` is not here: the binary
/// hands it to the DNS room.
pub fn run(program: &str, args: &[String]) -> ExitCode {
    match program {
        "color" => color::run(),
        "nginx" => nginx::run(),
        "httpd" => httpd::run(),
        "pause" => pause::run(),
        other => {
            let _ = args;
            eprintln!("no built-in program is called {other}; there are {}", PROGRAMS.join(", "));
            ExitCode::from(127)
        }
    }
}
