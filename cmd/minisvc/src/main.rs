//! The minisvc binary: reads the command line and hands over to one file per verb. Must hold no logic of its own.

mod args;
mod logging;
mod verbs;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let args = args::Args::parse();
    match verbs::run(args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("minisvc: {error:#}");
            ExitCode::FAILURE
        }
    }
}
