//! One file per verb. Here only: which verb is which function.

mod cloud;
mod doctor;
mod down;
mod edge;
mod image;
mod kubeconfig;
mod logs;
mod node;
mod outside;
mod reset;
mod serve;
mod shell;
mod status;
mod up;

use std::future::Future;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use minisvc_lab::places::Places;

use crate::args::{Args, Verb};

pub(crate) use image::called_by_other_name;

/// Runs the verb of the command line.
///
/// # Errors
/// What the verb could not do; `main` prints it.
pub(crate) fn run(args: Args) -> Result<ExitCode> {
    let output = args.output;
    let places = Places::new(&args.state_dir, &args.run_dir).context("find the state and run directories")?;
    if !matches!(args.verb, Verb::Doctor | Verb::Image { .. }) {
        places.open_to_this_user()?;
    }
    match args.verb {
        Verb::Up(wanted) => up::run(&places, wanted, output),
        Verb::Down { keep_state } => down::run(&places, keep_state, output),
        Verb::Reset => reset::run(&places, output),
        Verb::Status => status::run(&places, output),
        Verb::Doctor => doctor::run(output),
        Verb::Shell { place, command } => shell::run(&places, &place, &command),
        Verb::Outside { command } => outside::run(&places, &command),
        Verb::Cloud { state } => cloud::run(&places, state, output),
        Verb::Kubeconfig => kubeconfig::run(&places),
        Verb::Logs { what, follow } => logs::run(&places, what.as_deref(), follow),
        Verb::Serve { restore_export } => serve::run(&places, restore_export),
        Verb::Edge => edge::run(&places),
        Verb::Node { name } => node::run(&places, &name),
        Verb::Image { program, arguments } => image::run(&program, &arguments),
    }
}

/// A runtime of one thread: what every process of the lab but `serve` uses.
fn on_one_thread<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?.block_on(future)
}

/// Resolves at the first SIGTERM or SIGINT; the second ends the process at once.
async fn asked_to_stop() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("listen to SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen to SIGINT")?;
    tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::warn!("second signal: ending at once");
        std::process::exit(1);
    });
    Ok(())
}
