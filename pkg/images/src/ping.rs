//! `ping` over IPv4 (RFC 792) with the options and the output of BusyBox'. Any user may run it: it opens the kernel's
//! ping socket, which writes the identifier and checks the sums itself.

use std::io::{self, Read as _};
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use crate::flags::{Flag, Flags};

const FLAGS: &[Flag] = &[
    Flag::int("count", "0").or('c'),
    Flag::text("interval", "1").or('i'),
    Flag::int("wait", "10").or('W'),
    Flag::int("deadline", "0").or('w'),
    Flag::int("size", "56").or('s'),
    Flag::text("interface", "").or('I'),
    Flag::int("ttl", "0").or('t'),
    Flag::bool("quiet", "false").or('q'),
    Flag::bool("numeric", "false").or('n'),
    Flag::bool("4", "false").or('4'),
];

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Runs as `ping`.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let outcome = Flags::parse(FLAGS, arguments).and_then(|flags| match flags.words.as_slice() {
        [host] => ping(&flags, host),
        _ => {
            Err("usage: ping [-c COUNT] [-i SECONDS] [-W SECONDS] [-w SECONDS] [-s SIZE] [-t TTL] [-q] HOST".to_owned())
        }
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(reason) => {
            eprintln!("ping: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn ping(flags: &Flags, host: &str) -> Result<bool, String> {
    let to = (host, 0)
        .to_socket_addrs()
        .ok()
        .and_then(|mut all| all.find(SocketAddr::is_ipv4))
        .ok_or_else(|| format!("bad address '{host}'"))?;
    let interval: f64 =
        flags.text("interval").parse().map_err(|_| format!("invalid number '{}'", flags.text("interval")))?;
    let interval =
        Duration::try_from_secs_f64(interval).map_err(|error| error.to_string())?.max(Duration::from_millis(2));
    let size = usize::try_from(flags.int("size")).ok().filter(|size| *size <= 65_507).ok_or("packet size too large")?;
    let words = |error: io::Error| error.to_string().split(" (os error").next().unwrap_or_default().to_owned();
    let socket =
        Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::ICMPV4)).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => "permission denied (are you root?)".to_owned(),
            _ => words(error),
        })?;
    if let Ok(source) = flags.text("interface").parse::<Ipv4Addr>() {
        socket.bind(&SocketAddr::from((source, 0)).into()).map_err(words)?;
    }
    if let Ok(ttl @ 1..) = u32::try_from(flags.int("ttl")) {
        socket.set_ttl_v4(ttl).map_err(words)?;
    }
    socket.connect(&to.into()).map_err(words)?;
    end_at_interrupt();
    println!("PING {host} ({}): {size} data bytes", to.ip());
    let mut tally = Tally::default();
    let count = u64::try_from(flags.int("count")).ok().filter(|count| *count > 0).unwrap_or(u64::MAX);
    let deadline = u64::try_from(flags.int("deadline")).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs);
    let wait = Duration::from_secs(u64::try_from(flags.int("wait")).unwrap_or(10).max(1));
    let started = Instant::now();
    let over = || deadline.is_some_and(|deadline| started.elapsed() >= deadline) || INTERRUPTED.load(Ordering::Relaxed);
    let mut failure = None;
    for sequence in 0..count {
        if over() {
            break;
        }
        let sent = Instant::now();
        match socket.send(&request(sequence as u16, size)) {
            Ok(_) => tally.sent += 1,
            Err(error) => {
                failure = Some(format!("sendto: {}", words(error)));
                break;
            }
        }
        // The last one is waited for longer than the others.
        let patience = if sequence + 1 == count { wait } else { interval };
        while sent.elapsed() < patience && !over() {
            let step = (patience - sent.elapsed()).min(Duration::from_millis(200)).max(Duration::from_millis(1));
            let _ = socket.set_read_timeout(Some(step));
            let mut packet = [0; 65_536];
            let Ok(length) = (&socket).read(&mut packet) else { continue };
            if let Some(number) = answered(&packet[..length]) {
                let time = sent.elapsed();
                tally.note(time);
                if !flags.bool("quiet") {
                    println!(
                        "{length} bytes from {}: seq={number} ttl=64 time={:.3} ms",
                        to.ip(),
                        time.as_secs_f64() * 1e3
                    );
                }
                if sequence + 1 == count {
                    break;
                }
            }
        }
    }
    if let Some(failure) = failure {
        eprintln!("ping: {failure}");
    }
    println!("\n--- {host} ping statistics ---\n{}", tally.tell());
    Ok(tally.received > 0)
}

/// An echo request; the kernel fills identifier and checksum in.
fn request(sequence: u16, size: usize) -> Vec<u8> {
    let mut packet = vec![8, 0, 0, 0, 0, 0];
    packet.extend(sequence.to_be_bytes());
    packet.resize(8 + size, 0);
    packet
}

/// The number of an echo reply.
fn answered(packet: &[u8]) -> Option<u16> {
    match packet {
        [0, 0, _, _, _, _, high, low, ..] => Some(u16::from_be_bytes([*high, *low])),
        _ => None,
    }
}

#[derive(Default)]
struct Tally {
    sent: u64,
    received: u64,
    least: Duration,
    most: Duration,
    sum: Duration,
}

impl Tally {
    fn note(&mut self, time: Duration) {
        self.least = if self.received == 0 { time } else { self.least.min(time) };
        self.most = self.most.max(time);
        self.sum += time;
        self.received += 1;
    }

    fn tell(&self) -> String {
        let lost = (self.sent - self.received.min(self.sent)) * 100 / self.sent.max(1);
        let mut text =
            format!("{} packets transmitted, {} packets received, {lost}% packet loss", self.sent, self.received);
        if let Ok(received @ 1..) = u32::try_from(self.received) {
            let ms = |time: Duration| time.as_secs_f64() * 1e3;
            text += &format!(
                "\nround-trip min/avg/max = {:.3}/{:.3}/{:.3} ms",
                ms(self.least),
                ms(self.sum / received),
                ms(self.most)
            );
        }
        text
    }
}

/// The statistics are told at SIGINT; SIGTERM ends at once, also as the first process of a container.
fn end_at_interrupt() {
    std::thread::spawn(|| {
        use tokio::signal::unix::{SignalKind, signal};
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
        runtime.block_on(async {
            let Ok(mut interrupt) = signal(SignalKind::interrupt()) else { return };
            interrupt.recv().await;
            INTERRUPTED.store(true, Ordering::Relaxed);
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_and_figures() {
        assert_eq!(request(258, 2), [8, 0, 0, 0, 0, 0, 1, 2, 0, 0]);
        assert_eq!(answered(&[0, 0, 9, 9, 9, 9, 1, 2, 0]), Some(258));
        assert_eq!(answered(&[3, 1, 0, 0, 0, 0, 0, 1]), None);
        let mut tally = Tally { sent: 3, ..Tally::default() };
        tally.note(Duration::from_millis(2));
        tally.note(Duration::from_millis(1));
        assert_eq!(
            tally.tell(),
            "3 packets transmitted, 2 packets received, 33% packet loss\nround-trip min/avg/max = 1.000/1.500/2.000 ms"
        );
    }
}
