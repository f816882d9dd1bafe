//! `minisvc doctor`.

use std::process::ExitCode;

use anyhow::Result;

use crate::args::Output;

pub(super) fn run(output: Output) -> Result<ExitCode> {
    let missing = minisvc_kernel::missing();
    match output {
        Output::Json => {
            let list: Vec<_> =
                missing.iter().map(|item| serde_json::json!({"what": item.what, "remedy": item.remedy})).collect();
            println!("{}", serde_json::json!({ "missing": list }));
        }
        Output::Text if missing.is_empty() => println!("This machine has everything the lab needs."),
        Output::Text => {
            for item in &missing {
                println!("missing: {}\n  remedy: {}", item.what, item.remedy);
            }
        }
    }
    Ok(if missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
