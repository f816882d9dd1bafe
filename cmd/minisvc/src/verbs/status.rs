//! `minisvc status`.

use std::process::ExitCode;

use anyhow::Result;
use minisvc_lab::places::Places;
use minisvc_lab::status::status;

use crate::args::Output;

pub(super) fn run(places: &Places, output: Output) -> Result<ExitCode> {
    let Some(status) = super::on_one_thread(status(places))? else {
        match output {
            Output::Json => println!("null"),
            Output::Text => println!("No lab runs here; start one with: minisvc up"),
        }
        return Ok(ExitCode::from(4));
    };
    match output {
        Output::Json => println!("{}", serde_json::to_string(&status)?),
        Output::Text => {
            for part in &status.parts {
                match part.pid {
                    Some(pid) => println!("{:<8} pid {pid}", part.name),
                    None => println!("{:<8} not running", part.name),
                }
            }
            println!("API      https://{}  (context {})", status.settings.api, status.settings.context);
            if let Some(page) = &status.page {
                println!("page     {page}");
            }
            println!("{}", status.message);
        }
    }
    Ok(if status.ready { ExitCode::SUCCESS } else { ExitCode::from(3) })
}
