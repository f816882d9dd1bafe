//! `minisvc doctor`.

use std::process::ExitCode;

use anyhow::Result;

use crate::args::Output;

pub(super) fn run(output: Output) -> Result<ExitCode> {
    let missing = minisvc_kernel::missing();
    let left = minisvc_lab::leftovers::groups()?;
    match output {
        Output::Json => {
            let list: Vec<_> =
                missing.iter().map(|item| serde_json::json!({"what": item.what, "remedy": item.remedy})).collect();
            println!("{}", serde_json::json!({ "missing": list, "leftBehind": left }));
        }
        Output::Text if missing.is_empty() => println!("This machine has everything the lab needs."),
        Output::Text => {
            for item in &missing {
                println!("missing: {}\n  remedy: {}", item.what, item.remedy);
            }
        }
    }
    if output == Output::Text && !left.is_empty() {
        let groups = left.join(", ");
        println!("left behind by labs that were killed: control groups {groups}\n  remedy: minisvc down removes them");
    }
    Ok(if missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
