//! What netexec answers to a word by UDP or SCTP.

use std::net::SocketAddr;

use crate::{go, sctp};

/// The answer to one datagram; `None` where it says nothing known.
pub(super) fn answer(datagram: &[u8], peer: SocketAddr, port: u16, protocol: &str) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(datagram);
    let raw = text.trim();
    let word = raw.to_lowercase();
    let answer = match word.as_str() {
        "" => return None,
        "hostname" => go::hostname(),
        "clientip" => peer.to_string(),
        "serverport" => port.to_string(),
        _ if word.starts_with("echo ") => word["echo ".len()..].to_owned(),
        _ if word.starts_with("envvar ") => {
            let name = raw.split_once(' ').map_or("", |(_, name)| name.trim());
            std::env::var(name).unwrap_or_default()
        }
        _ => {
            go::log(format_args!("Unknown {protocol} command received from {peer}: {word}"));
            return None;
        }
    };
    go::log(format_args!("Answering {word:?} of {protocol} client {peer}"));
    Some(answer.into_bytes())
}

/// Serves SCTP on `port` in a thread of its own: one message, one answer, one association after the other.
pub(super) fn serve_sctp(port: u16) {
    let listener = sctp::listen(port).unwrap_or_else(|error| {
        let error = go::errno(&error);
        go::fatal(format_args!("Error occurred: failed to create listener for SCTP address :{port}:{error}"))
    });
    go::log("Started SCTP server");
    std::thread::spawn(move || {
        loop {
            let (socket, peer) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(error) => {
                    go::fatal(format_args!("Error occurred: failed accepting SCTP connections:{}", go::errno(&error)))
                }
            };
            let peer = peer.as_socket().unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
            let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
            match sctp::read(&socket) {
                Ok(message) => {
                    if let Some(answer) = answer(&message, peer, port, "SCTP")
                        && let Err(error) = socket.send(&answer)
                    {
                        go::log(format_args!("failed to answer SCTP client {peer}: {}", go::errno(&error)));
                    }
                }
                Err(error) => go::log(format_args!("failed to read from SCTP client {peer}: {}", go::errno(&error))),
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_answered() {
        let say = |text: &str| {
            answer(text.as_bytes(), "10.244.1.2:4000".parse().unwrap(), 8081, "UDP")
                .map(|answer| String::from_utf8(answer).unwrap())
        };
        assert_eq!(say("hostName\n").unwrap(), go::hostname());
        assert_eq!(say("echo Hi there").unwrap(), "hi there");
        assert_eq!(say("clientip").unwrap(), "10.244.1.2:4000");
        assert_eq!(say("serverport").unwrap(), "8081");
        assert_eq!(say("envvar PATH").unwrap(), std::env::var("PATH").unwrap());
        assert_eq!(say("envvar NO_SUCH_VARIABLE").unwrap(), "");
        assert_eq!((say("what"), say("\n")), (None, None));
    }
}
