//! `agnhost pause`: waits for SIGINT or SIGTERM, and says so in the termination message.

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use super::Mode;
use crate::go;

pub(super) const MODE: Mode = Mode {
    name: "pause",
    about: "Pauses the execution",
    flags: &[],
    words: Some(0),
    run: |_| super::block_on(pause()),
};

async fn pause() -> ExitCode {
    println!("Paused");
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        go::fatal("signals cannot be waited for");
    };
    println!("Signals registered");
    let (name, code) = tokio::select! {
        _ = interrupt.recv() => ("interrupt", 1),
        _ = terminate.recv() => ("terminated", 2),
    };
    let message = format!("exiting because of signal {}\n", go::quote(name));
    let path = std::env::var("TERMINATION_MESSAGE_PATH").ok().filter(|path| !path.is_empty());
    // A container without a message file still ends as it should.
    let _ = std::fs::write(path.as_deref().unwrap_or("/dev/termination-log"), &message);
    print!("{message}");
    ExitCode::from(code)
}
