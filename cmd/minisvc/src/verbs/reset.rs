//! `minisvc reset`.

use std::process::ExitCode;

use anyhow::Result;
use minisvc_lab::places::Places;
use minisvc_lab::reset::reset;

use crate::args::Output;

pub(super) fn run(places: &Places, output: Output) -> Result<ExitCode> {
    super::on_one_thread(reset(places))?;
    match output {
        Output::Json => println!("{}", serde_json::json!({ "reset": true })),
        Output::Text => println!("The lab is back at the lesson's start."),
    }
    Ok(ExitCode::SUCCESS)
}
