//! `dig` as far as tests, lessons and people in pods use it.

use std::time::Duration;

use hickory_proto::rr::RecordType;

use super::{Answer, Exchange, Resolver, Silence, next_name, print, reverse, server};

/// What is shown, and how it is asked.
#[derive(Debug, Clone)]
struct Options {
    short: bool,
    comments: bool,
    command: bool,
    question: bool,
    answer: bool,
    authority: bool,
    additional: bool,
    stats: bool,
    search: bool,
    tcp: bool,
    recurse: bool,
    edns: bool,
    ignore: bool,
    patience: Duration,
    tries: u32,
    ndots: Option<usize>,
    domain: Option<String>,
}

impl Options {
    fn new() -> Options {
        Options {
            short: false,
            comments: true,
            command: true,
            question: true,
            answer: true,
            authority: true,
            additional: true,
            stats: true,
            search: false,
            tcp: false,
            recurse: true,
            edns: true,
            ignore: false,
            patience: Duration::from_secs(5),
            tries: 3,
            ndots: None,
            domain: None,
        }
    }

    fn show_all(&mut self, on: bool) {
        for part in [
            &mut self.comments,
            &mut self.question,
            &mut self.answer,
            &mut self.authority,
            &mut self.additional,
            &mut self.stats,
            &mut self.command,
        ] {
            *part = on;
        }
    }

    /// Takes one `+word`; `Err` where there is no such option.
    fn set(&mut self, word: &str) -> Result<(), ()> {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        let (name, on) = match name.strip_prefix("no") {
            Some(rest) => (rest, false),
            None => (name, true),
        };
        let number = || value.and_then(|value| value.parse::<u32>().ok()).ok_or(());
        match name {
            "short" => self.short = on,
            "all" => self.show_all(on),
            "comments" => self.comments = on,
            "cmd" => self.command = on,
            "question" => self.question = on,
            "answer" => self.answer = on,
            "authority" => self.authority = on,
            "additional" => self.additional = on,
            "stats" => self.stats = on,
            "search" | "defname" => self.search = on,
            "tcp" | "vc" => self.tcp = on,
            "rec" | "recurse" | "rdflag" => self.recurse = on,
            "edns" => self.edns = on,
            "ignore" => self.ignore = on,
            "time" | "timeout" => self.patience = Duration::from_secs(u64::from(number()?.max(1))),
            "tries" => self.tries = number()?.max(1),
            "retry" => self.tries = number()? + 1,
            "ndots" => self.ndots = Some(number()? as usize),
            "domain" => self.domain = Some(value.ok_or(())?.to_owned()),
            // What changes nothing in the answers of a cluster.
            "cookie" | "dnssec" | "adflag" | "cdflag" | "ttlid" | "class" | "qr" | "multiline" | "split" | "crypto"
            | "idnin" | "idnout" | "showsearch" | "fail" | "badcookie" | "bufsize" => {}
            _ => return Err(()),
        }
        Ok(())
    }
}

/// One question of the command line.
#[derive(Debug, Clone)]
struct Asked {
    name: String,
    kind: RecordType,
    options: Options,
}

/// The command line.
#[derive(Debug)]
struct Line {
    server: Option<String>,
    port: u16,
    asked: Vec<Asked>,
}

fn parse(arguments: &[String]) -> Result<Line, String> {
    let mut line = Line { server: None, port: 53, asked: Vec::new() };
    let mut global = Options::new();
    let mut kind_first: Option<RecordType> = None;
    let mut words = arguments.iter();
    let add = |line: &mut Line, name: String, kind: RecordType, global: &Options| {
        line.asked.push(Asked { name, kind, options: global.clone() });
    };
    while let Some(word) = words.next() {
        if let Some(name) = word.strip_prefix('@') {
            line.server = Some(name.to_owned());
        } else if let Some(option) = word.strip_prefix('+') {
            // Options after a name are that name's; those before any name are everybody's.
            let options = line.asked.last_mut().map_or(&mut global, |asked| &mut asked.options);
            options.set(option).map_err(|()| format!("Invalid option: {word}"))?;
        } else if let Some(letter) = word.strip_prefix('-').filter(|rest| !rest.is_empty()) {
            let (letter, attached) = letter.split_at(1);
            if ["4", "6", "m", "r", "u", "h", "v"].contains(&letter) {
                if letter == "v" {
                    eprintln!("DiG (minisvc {})", env!("CARGO_PKG_VERSION"));
                    std::process::exit(0);
                }
                continue;
            }
            let value = if attached.is_empty() { words.next().map(String::as_str) } else { Some(attached) };
            let value = value.ok_or_else(|| format!("Invalid option: {word}"))?;
            match letter {
                "p" => line.port = value.parse().map_err(|_| format!("port number '{value}' invalid"))?,
                "x" => {
                    let name = reverse(value).ok_or_else(|| format!("Invalid IP address {value}"))?;
                    add(&mut line, name, RecordType::PTR, &global);
                }
                "q" => add(&mut line, value.to_owned(), kind_first.unwrap_or(RecordType::A), &global),
                "t" => {
                    let kind = record_type(value).ok_or_else(|| format!("Warning, ignoring invalid type {value}"))?;
                    match line.asked.last_mut() {
                        Some(asked) => asked.kind = kind,
                        None => kind_first = Some(kind),
                    }
                }
                "c" | "b" | "k" | "y" | "f" => {}
                _ => return Err(format!("Invalid option: {word}")),
            }
        } else if let Some(kind) = record_type(word) {
            match line.asked.last_mut() {
                Some(asked) => asked.kind = kind,
                None => kind_first = Some(kind),
            }
        } else if !["IN", "in", "CH", "HS", "ANY"].contains(&word.as_str()) {
            add(&mut line, word.clone(), kind_first.take().unwrap_or(RecordType::A), &global);
        }
    }
    if line.asked.is_empty() {
        let kind = kind_first.unwrap_or(RecordType::NS);
        add(&mut line, ".".to_owned(), kind, &global);
    }
    Ok(line)
}

/// A type's name in any case; `None` where it is none, and then it is a host's.
pub(super) fn record_type(word: &str) -> Option<RecordType> {
    if word.starts_with('.') || word.contains('.') {
        return None;
    }
    word.to_ascii_uppercase().parse().ok().filter(|kind| !matches!(kind, RecordType::Unknown(_) | RecordType::ZERO))
}

pub(super) async fn run(resolver: &Resolver, arguments: &[String]) -> u8 {
    let line = match parse(arguments) {
        Ok(line) => line,
        Err(reason) => {
            eprintln!("{reason}\nUsage:  dig [@server] [-p port] [-t type] [-x address] [name] [type] [+options]");
            return 1;
        }
    };
    let to = match &line.server {
        Some(name) => server(name, line.port).await,
        None => resolver.servers.first().map(|address| (*address, line.port).into()),
    };
    let Some(to) = to else {
        eprintln!("dig: couldn't get address for '{}': not found", line.server.unwrap_or_default());
        return 10;
    };
    let mut code = 0;
    for asked in &line.asked {
        let options = &asked.options;
        let exchange = Exchange {
            server: to,
            tcp: options.tcp,
            recurse: options.recurse,
            edns: options.edns,
            ignore_truncation: options.ignore,
            patience: options.patience,
            tries: options.tries,
        };
        let answer = ask(&exchange, resolver, asked).await;
        if options.command && options.comments && !options.short {
            let arguments = arguments.join(" ");
            println!("\n; <<>> DiG (minisvc {}) <<>> {arguments}\n;; global options: +cmd", env!("CARGO_PKG_VERSION"));
        }
        match answer {
            Ok(answer) => print!("{}", shown(asked, &answer, to)),
            Err(silence) => {
                for reason in reasons(&silence, &exchange) {
                    println!("{reason}");
                }
                code = 9;
            }
        }
    }
    code
}

fn reasons(silence: &Silence, exchange: &Exchange) -> Vec<String> {
    let (address, port) = (exchange.server.ip(), exchange.server.port());
    let last = ";; no servers could be reached".to_owned();
    let reason = match silence {
        Silence::BadName(reason) => return vec![format!("dig: '{reason}' is not a legal name")],
        Silence::Timeout => "timed out".to_owned(),
        Silence::Failed(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            "connection refused".to_owned()
        }
        Silence::Failed(error) => error.to_string(),
    };
    let line = format!(";; communications error to {address}#{port}: {reason}");
    std::iter::repeat_n(line, exchange.tries as usize).chain([last]).collect()
}

async fn ask(exchange: &Exchange, resolver: &Resolver, asked: &Asked) -> Result<Answer, Silence> {
    if !asked.options.search {
        return exchange.ask(&absolute(&asked.name), asked.kind).await;
    }
    let mut resolver = resolver.clone();
    resolver.ndots = asked.options.ndots.unwrap_or(resolver.ndots);
    if let Some(domain) = &asked.options.domain {
        resolver.search = vec![domain.clone()];
    }
    let mut last = Err(Silence::Timeout);
    for name in resolver.candidates(&asked.name) {
        let answer = exchange.ask(&name, asked.kind).await?;
        let over = !next_name(&answer);
        last = Ok(answer);
        if over {
            break;
        }
    }
    last
}

fn absolute(name: &str) -> String {
    if name.ends_with('.') { name.to_owned() } else { format!("{name}.") }
}

/// The whole text of one answer.
fn shown(asked: &Asked, answer: &Answer, server: std::net::SocketAddr) -> String {
    use std::fmt::Write as _;

    let (options, message) = (&asked.options, &answer.message);
    let mut text = String::new();
    if options.short {
        for record in &message.answers {
            let _ = writeln!(text, "{}", print::data(&record.data));
        }
        return text;
    }
    let additional = message.additionals.len() + usize::from(message.edns.is_some());
    if options.comments {
        let _ = writeln!(
            text,
            ";; Got answer:\n;; ->>HEADER<<- opcode: QUERY, status: {}, id: {}\n;; flags: {}; QUERY: {}, ANSWER: {}, \
             AUTHORITY: {}, ADDITIONAL: {additional}\n",
            print::status(message.metadata.response_code),
            message.metadata.id,
            print::flags(message),
            message.queries.len(),
            message.answers.len(),
            message.authorities.len(),
        );
        if let Some(edns) = message.edns.as_ref().filter(|_| options.additional) {
            let _ = writeln!(text, ";; OPT PSEUDOSECTION:\n; EDNS: version: 0, flags:; udp: {}", edns.max_payload());
        }
    }
    if options.question && !message.queries.is_empty() {
        if options.comments {
            text += ";; QUESTION SECTION:\n";
        }
        for query in &message.queries {
            let name = format!(";{}", query.name());
            let tabs = "\t".repeat(4_usize.saturating_sub(name.len() / 8).max(1));
            let _ = writeln!(text, "{name}{tabs}{}\t{}", query.query_class(), query.query_type());
        }
        if options.comments {
            text.push('\n');
        }
    }
    for (shown, title, records) in [
        (options.answer, "ANSWER", &message.answers),
        (options.authority, "AUTHORITY", &message.authorities),
        (options.additional, "ADDITIONAL", &message.additionals),
    ] {
        if !shown || records.is_empty() {
            continue;
        }
        if options.comments {
            let _ = writeln!(text, ";; {title} SECTION:");
        }
        for record in records {
            let _ = writeln!(text, "{}", print::record(record));
        }
        if options.comments {
            text.push('\n');
        }
    }
    if options.stats {
        let way = if answer.tcp { "TCP" } else { "UDP" };
        let _ = writeln!(
            text,
            ";; Query time: {} msec\n;; SERVER: {}#{}({}) ({way})\n;; MSG SIZE  rcvd: {}\n",
            answer.took.as_millis(),
            server.ip(),
            server.port(),
            server.ip(),
            answer.size
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        parse(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn the_lines_of_the_tests_are_read() {
        let line = line("+notcp +noall +answer +search dns-test.x.svc.cluster.local A");
        let asked = &line.asked[0];
        assert_eq!((asked.name.as_str(), asked.kind), ("dns-test.x.svc.cluster.local", RecordType::A));
        let options = &asked.options;
        assert!(options.search && options.answer && !options.comments && !options.stats && !options.tcp);
    }

    #[test]
    fn servers_ports_types_and_addresses() {
        let first = line("@10.96.0.10 -p 10053 +short AAAA a.b");
        assert_eq!((first.server.as_deref(), first.port), (Some("10.96.0.10"), 10053));
        assert_eq!((first.asked[0].kind, first.asked[0].options.short), (RecordType::AAAA, true));
        let second = line("-x 10.96.0.1 b SRV -t a +tcp");
        assert_eq!((second.asked[0].name.as_str(), second.asked[0].kind), ("1.0.96.10.in-addr.arpa.", RecordType::PTR));
        assert_eq!((second.asked[1].kind, second.asked[1].options.tcp), (RecordType::A, true));
        assert_eq!(line("").asked[0].name, ".");
        assert_eq!(parse(&["+what".into()]).unwrap_err(), "Invalid option: +what");
    }
}
