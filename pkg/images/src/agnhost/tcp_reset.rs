//! `agnhost tcp-reset`: accepts connections, reads one byte and closes, so that unread bytes make the kernel reset.

use std::process::ExitCode;

use tokio::io::AsyncReadExt as _;

use super::Mode;
use crate::flags::Flag;
use crate::go;

pub(super) const MODE: Mode = Mode {
    name: "tcp-reset",
    about: "Serves on a tcp port and RST the connections received",
    flags: &[Flag::int("port", "8080")],
    words: Some(0),
    run: |flags| {
        super::block_on(async {
            let Some(port) = flags.port("port") else {
                go::fatal(format_args!("listen tcp: address {}: invalid port", flags.int("port")));
            };
            let listener = super::listen(port);
            let accepting = async {
                loop {
                    match listener.accept().await {
                        Ok((mut stream, peer)) => {
                            tokio::task::spawn_local(async move {
                                let _ = stream.read(&mut [0]).await;
                                drop(stream);
                                go::log(format_args!("TCP request from {peer}"));
                            });
                        }
                        Err(error) => go::fatal(format_args!("Error from Accept(): {}", go::errno(&error))),
                    }
                }
            };
            go::log(format_args!("Serving on port {port}."));
            tokio::select! {
                () = accepting => {}
                () = super::terminated() => {
                    go::log("Shutting down after receiving signal: terminated.");
                    go::log("Awaiting pod deletion.");
                }
            }
            ExitCode::SUCCESS
        })
    },
};
