//! The minisvc binary: reads the command line and hands over to one file per verb. Must hold no logic of its own.

mod args;
mod logging;
mod verbs;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let outcome = match verbs::called_by_other_name() {
        Some(outcome) => outcome,
        None => verbs::run(args::Args::parse()),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("minisvc: {error:#}");
            ExitCode::FAILURE
        }
    }
}
