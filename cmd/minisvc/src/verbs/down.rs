//! `minisvc down`.

use std::process::ExitCode;

use anyhow::Result;
use minisvc_lab::down::{Down, down};
use minisvc_lab::places::Places;

use crate::args::Output;

pub(super) fn run(places: &Places, keep_state: bool, output: Output) -> Result<ExitCode> {
    let done = super::on_one_thread(down(places, keep_state))?;
    let Down { stopped, state_kept, was_up, cleared } = &done;
    match output {
        Output::Json => {
            println!("{}", serde_json::json!({"stopped": stopped, "stateKept": state_kept, "cleared": cleared}))
        }
        Output::Text if !was_up => println!("No lab runs here; nothing is left of one."),
        Output::Text => {
            println!("The lab is down: {} ended; links, routes and kubeconfig are as before.", stopped.join(", "));
            if *state_kept {
                println!("Its objects are kept in {}.", places.state.display());
            }
        }
    }
    if output == Output::Text && !cleared.is_empty() {
        println!("Control groups of labs that had been killed are gone too: {}.", cleared.join(", "));
    }
    Ok(ExitCode::SUCCESS)
}
