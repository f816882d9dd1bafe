//! `dig`, `nslookup` and `host` for pods on machines that have none: the questions a person or a test asks, printed as
//! BIND's programs print them. Here is what they share: the resolver's file, the search list, one exchange.

mod dig;
mod host;
mod nslookup;
mod print;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::upstream::PAYLOAD;

/// The programs that [`run`] knows.
pub const PROGRAMS: &[&str] = &["dig", "host", "nslookup"];

/// Runs one of [`PROGRAMS`] with its arguments; answers its exit code, 127 for a name that is none of them.
pub async fn run(program: &str, arguments: &[String]) -> u8 {
    let file = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let resolver = Resolver::read(&file);
    match program {
        "dig" => dig::run(&resolver, arguments).await,
        "host" => host::run(&resolver, arguments).await,
        "nslookup" => nslookup::run(&resolver, arguments).await,
        other => {
            eprintln!("no look-up program is called {other}; there are {}", PROGRAMS.join(", "));
            127
        }
    }
}

/// What /etc/resolv.conf says (resolv.conf(5)); without servers, this host.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Resolver {
    servers: Vec<IpAddr>,
    search: Vec<String>,
    ndots: usize,
}

impl Resolver {
    fn read(file: &str) -> Resolver {
        let mut resolver = Resolver { servers: Vec::new(), search: Vec::new(), ndots: 1 };
        for line in file.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    resolver.servers.extend(words.next().and_then(|word| word.parse::<IpAddr>().ok()))
                }
                Some("search" | "domain") => resolver.search = words.map(str::to_owned).collect(),
                Some("options") => {
                    let ndots = words.find_map(|word| word.strip_prefix("ndots:")?.parse().ok());
                    resolver.ndots = ndots.unwrap_or(resolver.ndots);
                }
                _ => {}
            }
        }
        if resolver.servers.is_empty() {
            resolver.servers.push(Ipv4Addr::LOCALHOST.into());
        }
        resolver
    }

    /// The full names to ask for `name`, in order: a name with enough dots as it is first, others last.
    fn candidates(&self, name: &str) -> Vec<String> {
        if name.ends_with('.') {
            return vec![name.to_owned()];
        }
        let mut all: Vec<String> =
            self.search.iter().map(|domain| format!("{name}.{}.", domain.trim_end_matches('.'))).collect();
        let place = if name.matches('.').count() >= self.ndots { 0 } else { all.len() };
        all.insert(place, format!("{name}."));
        all
    }
}

/// One question to one server.
#[derive(Debug, Clone, Copy)]
struct Exchange {
    server: SocketAddr,
    tcp: bool,
    recurse: bool,
    edns: bool,
    /// Whether a cut answer is taken as it is instead of being asked for again over TCP.
    ignore_truncation: bool,
    patience: Duration,
    tries: u32,
}

/// An answer and how it came.
#[derive(Debug)]
struct Answer {
    message: Message,
    size: usize,
    tcp: bool,
    took: Duration,
}

/// Why there is no answer.
#[derive(Debug)]
enum Silence {
    /// Nothing came in time.
    Timeout,
    /// The network's own words.
    Failed(std::io::Error),
    /// The name cannot be asked for.
    BadName(String),
}

impl Exchange {
    fn with(server: SocketAddr) -> Exchange {
        Exchange {
            server,
            tcp: false,
            recurse: true,
            edns: false,
            ignore_truncation: false,
            patience: Duration::from_secs(5),
            tries: 3,
        }
    }

    async fn ask(&self, name: &str, kind: RecordType) -> Result<Answer, Silence> {
        let wanted = Name::from_ascii(name).map_err(|error| Silence::BadName(error.to_string()))?;
        let mut question = Message::query();
        question.metadata.id = fastrand::u16(..);
        question.metadata.recursion_desired = self.recurse;
        question.add_query(Query::query(wanted, kind));
        if self.edns {
            let mut edns = Edns::new();
            edns.set_max_payload(PAYLOAD);
            question.set_edns(edns);
        }
        let bytes = question.to_vec().map_err(|error| Silence::BadName(error.to_string()))?;
        let mut last = Silence::Timeout;
        for _ in 0..self.tries.max(1) {
            let started = std::time::Instant::now();
            match timeout(self.patience, self.once(&question, &bytes)).await {
                Ok(Ok((message, size, tcp))) => return Ok(Answer { message, size, tcp, took: started.elapsed() }),
                Ok(Err(error)) => last = Silence::Failed(error),
                Err(_) => last = Silence::Timeout,
            }
        }
        Err(last)
    }

    async fn once(&self, question: &Message, bytes: &[u8]) -> std::io::Result<(Message, usize, bool)> {
        if !self.tcp {
            let (message, size) = over_udp(self.server, question, bytes).await?;
            if !message.metadata.truncation || self.ignore_truncation {
                return Ok((message, size, false));
            }
        }
        let mut stream = TcpStream::connect(self.server).await?;
        let length = u16::try_from(bytes.len()).map_err(std::io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes(), bytes].concat()).await?;
        let mut answer = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut answer).await?;
        let message = Message::from_vec(&answer).map_err(std::io::Error::other)?;
        Ok((message, answer.len(), true))
    }
}

async fn over_udp(server: SocketAddr, question: &Message, bytes: &[u8]) -> std::io::Result<(Message, usize)> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(bytes).await?;
    let mut buffer = vec![0; 65_535];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // Anything but the answer to this question is not for us; wait on.
        if let Ok(message) = Message::from_vec(&buffer[..length])
            && message.metadata.id == question.metadata.id
        {
            return Ok((message, length));
        }
    }
}

/// Whether the next name of the search list is to be tried: this one does not exist.
fn next_name(answer: &Answer) -> bool {
    answer.message.metadata.response_code == ResponseCode::NXDomain
}

/// The server that `text` names: an address, or a name that this host's resolver knows.
async fn server(text: &str, port: u16) -> Option<SocketAddr> {
    match text.parse::<IpAddr>() {
        Ok(address) => Some(SocketAddr::new(address, port)),
        Err(_) => {
            let mut all: Vec<SocketAddr> = tokio::net::lookup_host((text, port)).await.ok()?.collect();
            all.sort_by_key(SocketAddr::is_ipv6);
            all.first().copied()
        }
    }
}

/// `10.96.0.1` as `1.0.96.10.in-addr.arpa.`; `None` where it is no address.
fn reverse(text: &str) -> Option<String> {
    let address: IpAddr = text.parse().ok()?;
    let labels: Vec<String> = match address {
        IpAddr::V4(address) => address.octets().iter().rev().map(u8::to_string).collect(),
        IpAddr::V6(address) => address
            .octets()
            .iter()
            .rev()
            .flat_map(|octet| [format!("{:x}", octet & 15), format!("{:x}", octet >> 4)])
            .collect(),
    };
    let zone = if address.is_ipv4() { "in-addr" } else { "ip6" };
    Some(format!("{}.{zone}.arpa.", labels.join(".")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resolvers_file_and_its_search_list() {
        let file = "search a.svc.cluster.local svc.cluster.local\nnameserver 10.96.0.10\nnameserver x\noptions ndots:5 edns0\n";
        let resolver = Resolver::read(file);
        assert_eq!((resolver.servers.len(), resolver.ndots), (1, 5));
        assert_eq!(resolver.candidates("b.c"), ["b.c.a.svc.cluster.local.", "b.c.svc.cluster.local.", "b.c."]);
        assert_eq!(resolver.candidates("b.c."), ["b.c."]);
        assert_eq!(resolver.candidates("1.2.3.4.5.6")[0], "1.2.3.4.5.6.");
        assert_eq!(Resolver::read("").servers, [IpAddr::V4(Ipv4Addr::LOCALHOST)]);
    }

    #[test]
    fn addresses_are_turned_round() {
        assert_eq!(reverse("10.96.0.1").unwrap(), "1.0.96.10.in-addr.arpa.");
        assert!(
            reverse("fd00::1").unwrap().starts_with("1.0.0.0.")
                && reverse("fd00::1").unwrap().ends_with("0.0.d.f.ip6.arpa.")
        );
        assert_eq!(reverse("x"), None);
    }
}
