//! `redis`: a key-value server that speaks RESP2 on port 6379, as far as demos and shells use it: strings, counters,
//! hashes, lists, sets, expiry. In memory only; what it does not know it refuses in Redis' words.

mod commands;
mod resp;

use std::cell::RefCell;
use std::process::ExitCode;
use std::rc::Rc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};

use crate::serve;
use commands::Keys;

/// Bytes of a command that is not complete yet; a client that sends more is cut off.
const LIMIT: usize = 64 << 20;

/// Serves until SIGTERM or SIGINT; ends with 0.
pub(crate) fn run() -> ExitCode {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return ExitCode::FAILURE;
    };
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
        else {
            return ExitCode::FAILURE;
        };
        let listener = match serve::listen(6379) {
            Ok(listener) => listener,
            Err(error) => {
                say(&format!("# Warning: Could not create server TCP listening socket *:6379: bind: {error}"));
                return ExitCode::FAILURE;
            }
        };
        say("* minisvc's built-in key-value server: RESP2, in memory only");
        say("* Ready to accept connections tcp");
        let keys = Rc::new(RefCell::new(Keys::default()));
        let accepting = async {
            loop {
                if let Ok((stream, _)) = listener.accept().await {
                    tokio::task::spawn_local(converse(stream, keys.clone()));
                }
            }
        };
        tokio::select! {
            () = accepting => {}
            _ = terminate.recv() => say("* Received SIGTERM scheduling shutdown..."),
            _ = interrupt.recv() => say("* Received SIGINT scheduling shutdown..."),
        }
        say("# Redis is now ready to exit, bye bye...");
        ExitCode::SUCCESS
    })
}

fn say(text: &str) {
    println!("1:M {} {text}", jiff::Timestamp::now().strftime("%d %b %Y %H:%M:%S.%3f"));
}

/// One client: commands in, answers out, pipelined as they come.
async fn converse(mut stream: TcpStream, keys: Rc<RefCell<Keys>>) {
    let mut buffer = Vec::new();
    loop {
        let mut answers = Vec::new();
        let mut over = false;
        loop {
            match resp::command(&buffer) {
                Ok(Some((words, length))) => {
                    buffer.drain(..length);
                    if words.is_empty() {
                        continue;
                    }
                    over = words[0].eq_ignore_ascii_case(b"quit");
                    keys.borrow_mut().answer(&words).write(&mut answers);
                    if over {
                        break;
                    }
                }
                Ok(None) => break,
                Err(reason) => {
                    resp::Answer::error(format!("ERR Protocol error: {reason}")).write(&mut answers);
                    over = true;
                    break;
                }
            }
        }
        if stream.write_all(&answers).await.is_err() || over || buffer.len() > LIMIT {
            return;
        }
        match stream.read_buf(&mut buffer).await {
            Ok(1..) => {}
            _ => return,
        }
    }
}
