//! `nc` with the options of OpenBSD's netcat that tests and people use: connect or listen, TCP or UDP, scan with `-z`.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::process::ExitCode;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::flags::{Flag, Flags};

const USAGE: &str = "usage: nc [-46klnNuvz] [-p source_port] [-s sourceaddr] [-w timeout] [-W recvlimit] [-q seconds] \
                     [destination] [port]";

const FLAGS: &[Flag] = &[
    Flag::bool("4", "false").or('4'),
    Flag::bool("6", "false").or('6'),
    Flag::bool("k", "false").or('k'),
    Flag::bool("l", "false").or('l'),
    Flag::bool("n", "false").or('n'),
    Flag::bool("N", "false").or('N'),
    // Telnet's options are refused by silence, as plain servers do.
    Flag::bool("t", "false").or('t'),
    Flag::bool("u", "false").or('u'),
    Flag::bool("verbose", "false").or('v'),
    Flag::bool("z", "false").or('z'),
    Flag::text("p", "").or('p'),
    Flag::text("s", "").or('s'),
    Flag::int("w", "0").or('w'),
    Flag::int("W", "0").or('W'),
    Flag::int("q", "-1").or('q'),
    Flag::int("i", "0").or('i'),
];

/// What the command line asks for.
struct Wanted {
    flags: Flags,
    /// Zero: none.
    timeout: Duration,
    source: Option<SocketAddr>,
}

/// Runs as `nc`.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    // Letters without values may be written together: -vzw 1.
    let words: Vec<String> = arguments.iter().flat_map(|word| apart(word)).collect();
    let outcome = Flags::parse(FLAGS, &words).and_then(|flags| {
        let number = |text: &str| text.parse::<u16>().map_err(|_| format!("port number invalid: {text}"));
        let source_port = match flags.text("p") {
            "" => 0,
            text => number(text)?,
        };
        let source_address: IpAddr = match flags.text("s") {
            "" => Ipv4Addr::UNSPECIFIED.into(),
            text => text.parse().map_err(|_| format!("getaddrinfo: {text}: Name or service not known"))?,
        };
        let source = (source_port != 0 || !source_address.is_unspecified())
            .then(|| SocketAddr::new(source_address, source_port));
        let timeout = Duration::from_secs(u64::try_from(flags.int("w")).unwrap_or(0));
        let listens = flags.bool("l");
        let (host, ports) = match (flags.words.as_slice(), listens) {
            ([port], true) => (None, port.clone()),
            ([host, port], _) => (Some(host.clone()), port.clone()),
            ([], true) if source_port != 0 => (None, source_port.to_string()),
            _ => return Err(USAGE.to_owned()),
        };
        let (first, last) = match ports.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(&ports)?, number(&ports)?),
        };
        let wanted = Wanted { flags, timeout, source };
        match listens {
            true => listen(&wanted, host.as_deref(), first).map_err(|error| format!("nc: {}", words_of(&error))),
            false => {
                let mut all = true;
                for port in first..=last {
                    all &= connect(&wanted, host.as_deref().unwrap_or_default(), port)?;
                }
                Ok(all)
            }
        }
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn apart(word: &str) -> Vec<String> {
    let letters = match word.strip_prefix('-') {
        Some(letters) if !letters.is_empty() && !letters.starts_with('-') => letters,
        _ => return vec![word.to_owned()],
    };
    let mut all = Vec::new();
    for (place, letter) in letters.char_indices() {
        let takes_value = FLAGS.iter().any(|flag| flag.short == Some(letter) && flag.kind != crate::flags::Kind::Bool);
        if takes_value {
            all.push(format!("-{}", &letters[place..]));
            return all;
        }
        all.push(format!("-{letter}"));
    }
    all
}

fn words_of(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// `false`: could not connect, which was said where `-v` asks for it.
fn connect(wanted: &Wanted, host: &str, port: u16) -> Result<bool, String> {
    let flags = &wanted.flags;
    let address = (host, port)
        .to_socket_addrs()
        .ok()
        .and_then(|mut all| all.find(|address| address.is_ipv6() == flags.bool("6")))
        .ok_or_else(|| format!("nc: getaddrinfo for host \"{host}\" port {port}: Name or service not known"))?;
    let kind = if flags.bool("u") { "udp" } else { "tcp" };
    let told = |outcome: &str| {
        if flags.bool("verbose") {
            eprintln!("{outcome}");
        }
    };
    let failed = |error: &io::Error| {
        if flags.bool("verbose") {
            eprintln!("nc: connect to {host} port {port} ({kind}) failed: {}", words_of(error));
        }
        Ok(false)
    };
    if flags.bool("u") {
        let socket = match udp(wanted, address) {
            Ok(socket) => socket,
            Err(error) => return failed(&error),
        };
        if flags.bool("z") {
            // An empty port answers with an ICMP error to one of several datagrams.
            for _ in 0..4 {
                if let Err(error) = socket.send(b"X") {
                    return failed(&error);
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            told(&format!("Connection to {host} {port} port [{kind}/*] succeeded!"));
            return Ok(true);
        }
        return Ok(talk_udp(wanted, &socket));
    }
    let stream = match tcp(wanted, address) {
        Ok(stream) => stream,
        Err(error) => return failed(&error),
    };
    told(&format!("Connection to {host} {port} port [{kind}/*] succeeded!"));
    if !flags.bool("z") {
        talk_tcp(wanted, stream);
    }
    Ok(true)
}

fn bound(kind: Type, wanted: &Wanted, to: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(to), kind, None)?;
    if let Some(source) = wanted.source {
        socket.set_reuse_address(true)?;
        let source = match (to, source.ip().is_unspecified()) {
            (SocketAddr::V6(_), true) => SocketAddr::new(std::net::Ipv6Addr::UNSPECIFIED.into(), source.port()),
            _ => source,
        };
        socket.bind(&source.into())?;
    }
    Ok(socket)
}

fn tcp(wanted: &Wanted, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = bound(Type::STREAM, wanted, to)?;
    match wanted.timeout.is_zero() {
        true => socket.connect(&to.into())?,
        false => socket.connect_timeout(&to.into(), wanted.timeout)?,
    }
    Ok(socket.into())
}

fn udp(wanted: &Wanted, to: SocketAddr) -> io::Result<UdpSocket> {
    let socket = bound(Type::DGRAM, wanted, to)?;
    socket.connect(&to.into())?;
    Ok(socket.into())
}

/// Standard input to the connection in a thread, the connection to standard output here, until it ends or is idle
/// longer than `-w` allows.
fn talk_tcp(wanted: &Wanted, mut stream: TcpStream) {
    let quit = wanted.flags.int("q");
    let half_close = wanted.flags.bool("N") || quit >= 0;
    if let Ok(mut out) = stream.try_clone() {
        std::thread::spawn(move || {
            let _ = io::copy(&mut io::stdin(), &mut out);
            if half_close {
                let _ = out.shutdown(Shutdown::Write);
            }
            if let Ok(seconds) = u64::try_from(quit) {
                std::thread::sleep(Duration::from_secs(seconds));
                std::process::exit(0);
            }
        });
    }
    let _ = stream.set_read_timeout(Some(wanted.timeout).filter(|timeout| !timeout.is_zero()));
    let mut chunk = vec![0; 65_536];
    while let Ok(length @ 1..) = stream.read(&mut chunk) {
        if !print(&chunk[..length]) {
            return;
        }
    }
}

/// As [`talk_tcp`] with datagrams; ends after `-W` of them. `false`: the other side refused.
fn talk_udp(wanted: &Wanted, socket: &UdpSocket) -> bool {
    if let Ok(out) = socket.try_clone() {
        std::thread::spawn(move || {
            let mut chunk = vec![0; 16_384];
            while let Ok(length @ 1..) = io::stdin().read(&mut chunk) {
                let _ = out.send(&chunk[..length]);
            }
        });
    }
    let limit = usize::try_from(wanted.flags.int("W")).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    let _ = socket.set_read_timeout(Some(wanted.timeout).filter(|timeout| !timeout.is_zero()));
    let mut datagram = vec![0; 65_536];
    for _ in 0..limit {
        match socket.recv(&mut datagram) {
            Ok(length) => {
                if !print(&datagram[..length]) {
                    return true;
                }
            }
            Err(error) => return !matches!(error.kind(), io::ErrorKind::ConnectionRefused),
        }
    }
    true
}

fn print(bytes: &[u8]) -> bool {
    let mut out = io::stdout();
    out.write_all(bytes).and_then(|()| out.flush()).is_ok()
}

fn listen(wanted: &Wanted, host: Option<&str>, port: u16) -> io::Result<bool> {
    let any: IpAddr =
        if wanted.flags.bool("6") { "::".parse().expect("an address") } else { Ipv4Addr::UNSPECIFIED.into() };
    let address = match host.and_then(|host| (host, port).to_socket_addrs().ok()?.next()) {
        Some(address) => address,
        None => SocketAddr::new(any, port),
    };
    if wanted.flags.bool("verbose") {
        eprintln!("Listening on {} {port}", address.ip());
    }
    if wanted.flags.bool("u") {
        let socket = UdpSocket::bind(address)?;
        let mut datagram = vec![0; 65_536];
        let (length, peer) = socket.recv_from(&mut datagram)?;
        print(&datagram[..length]);
        socket.connect(peer)?;
        return Ok(talk_udp(wanted, &socket));
    }
    let listener = TcpListener::bind(address)?;
    loop {
        let (stream, peer) = listener.accept()?;
        if wanted.flags.bool("verbose") {
            eprintln!("Connection received on {} {}", peer.ip(), peer.port());
        }
        talk_tcp(wanted, stream);
        if !wanted.flags.bool("k") {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_taken_apart() {
        assert_eq!(apart("-vzw2"), ["-v", "-z", "-w2"]);
        assert_eq!(apart("-u"), ["-u"]);
        assert_eq!((apart("--"), apart("host")), (vec!["--".to_owned()], vec!["host".to_owned()]));
    }

    #[test]
    fn a_scan_tells_open_from_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let scan = |port: &str| {
            let words: Vec<String> = ["-z", "-w", "2", "127.0.0.1", port].map(str::to_owned).to_vec();
            run(&words) == ExitCode::SUCCESS
        };
        assert!(scan(&port));
        drop(listener);
        assert!(!scan(&port));
    }
}
