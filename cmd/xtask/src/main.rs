//! The workshop: `cargo xtask VERB`. Dispatches to one file per verb; holds no logic of its own.

mod bench;
mod ci;
mod compat;
mod conformance;
mod fetch;
mod fuzz;
mod test;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask test [CARGO TEST ARGUMENTS]   fetch what the tests need, then run every test of the workspace
cargo xtask fetch                         only fetch what the tests need; prints the folder
cargo xtask compat                        run the client matrix and write its table into COMPATIBILITY.md
cargo xtask bench [ROW...]                measure the lab against its floors and peers; prints the table
cargo xtask conformance [FOCUS]           run Kubernetes' own end-to-end suite against a lab; prints the table
cargo xtask fuzz [TARGET...] [--seconds N] [--blind]
                                          feed the parsers of strangers' bytes, with coverage feedback or blind
cargo xtask ci                            formatting, lints, then the tests: what CI runs
";

fn main() -> ExitCode {
    if let Some(status) = fuzz::as_compiler() {
        return status;
    }
    let mut args = std::env::args().skip(1);
    let verb = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    let outcome = match verb.as_str() {
        "test" => test::run(&rest),
        "fetch" => fetch::tools().map(|folder| println!("{}", folder.display())),
        "compat" => compat::run(),
        "bench" => bench::run(&rest),
        "conformance" => conformance::run(&rest),
        "fuzz" => fuzz::run(&rest),
        "ci" => ci::run(),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask {verb}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
