//! `nslookup NAME [SERVER]`, not interactive.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{RData, RecordType};

use super::dig::record_type;
use super::{Answer, Exchange, Resolver, Silence, next_name, print, reverse, server};

pub(super) async fn run(resolver: &Resolver, arguments: &[String]) -> u8 {
    let mut kind = None;
    let mut port = 53;
    let mut patience = 5;
    let mut words = Vec::new();
    for word in arguments {
        match word.strip_prefix('-').map(|option| option.split_once('=').unwrap_or((option, ""))) {
            None => words.push(word.as_str()),
            Some(("type" | "querytype" | "q" | "qt" | "query" | "ty", value)) => match record_type(value) {
                Some(found) => kind = Some(found),
                None => {
                    println!("unknown query type: {value}");
                    return 1;
                }
            },
            Some(("port", value)) => port = value.parse().unwrap_or(53),
            Some(("timeout", value)) => patience = value.parse().unwrap_or(5),
            Some(("debug" | "nodebug" | "recurse" | "norecurse" | "vc" | "novc" | "retry" | "search", _)) => {}
            Some((other, _)) => {
                println!("*** Invalid option: {other}");
                return 1;
            }
        }
    }
    let (name, to) = match words[..] {
        [name] => (name, resolver.servers.first().map(|address| SocketAddr::new(*address, port))),
        [name, by] => (name, server(by, port).await),
        _ => {
            eprintln!("usage: nslookup [-type=TYPE] NAME [SERVER]  (minisvc's nslookup is not interactive)");
            return 1;
        }
    };
    let Some(to) = to else {
        println!("nslookup: couldn't get address for '{}': not found", words[1]);
        return 1;
    };
    let exchange = Exchange { patience: Duration::from_secs(patience), ..Exchange::with(to) };
    look_up(&exchange, resolver, name, kind).await
}

async fn look_up(exchange: &Exchange, resolver: &Resolver, name: &str, kind: Option<RecordType>) -> u8 {
    let (names, kinds) = match (reverse(name), kind) {
        (Some(name), None | Some(RecordType::PTR)) => (vec![name], vec![RecordType::PTR]),
        (_, Some(kind)) => (resolver.candidates(name), vec![kind]),
        // The second question only adds to a name that the first one found.
        (_, None) => (resolver.candidates(name), vec![RecordType::A, RecordType::AAAA]),
    };
    let mut last: Option<Answer> = None;
    for full in &names {
        match exchange.ask(full, kinds[0]).await {
            Ok(answer) => {
                let over = !next_name(&answer);
                last = Some(answer);
                if over {
                    break;
                }
            }
            Err(silence) => {
                for line in silent(&silence, exchange) {
                    println!("{line}");
                }
                return 1;
            }
        }
    }
    let Some(first) = last else { return 1 };
    let (address, port) = (exchange.server.ip(), exchange.server.port());
    println!("Server:\t\t{address}\nAddress:\t{address}#{port}\n");
    let asked = first.message.queries.first().map(|query| query.name().to_string()).unwrap_or_default();
    let shown = asked.trim_end_matches('.').to_owned();
    match first.message.metadata.response_code {
        ResponseCode::NoError => {}
        code => {
            // What failed is told under the name as it was typed where nothing of the search list exists either.
            let shown = if code == ResponseCode::NXDomain { name.trim_end_matches('.') } else { &shown };
            println!("** server can't find {shown}: {}\n", print::status(code));
            return 1;
        }
    }
    if !first.message.metadata.authoritative {
        println!("Non-authoritative answer:");
    }
    let mut lines = lines(&first);
    if let Some(more) = kinds.get(1)
        && let Ok(answer) = exchange.ask(&asked, *more).await
    {
        // The aliases were told already.
        lines.extend(self::lines(&answer).into_iter().filter(|line| line.starts_with("Name:")));
    }
    match lines.is_empty() {
        true => println!("*** Can't find {shown}: No answer"),
        false => lines.iter().for_each(|line| println!("{line}")),
    }
    println!();
    0
}

fn silent(silence: &Silence, exchange: &Exchange) -> Vec<String> {
    let (address, port) = (exchange.server.ip(), exchange.server.port());
    let last = ";; no servers could be reached\n".to_owned();
    match silence {
        Silence::BadName(reason) => vec![format!("nslookup: {reason}")],
        Silence::Timeout => vec![";; connection timed out; no servers could be reached\n".to_owned()],
        Silence::Failed(error) => {
            let reason = match error.kind() {
                std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
                _ => error.to_string(),
            };
            vec![format!(";; communications error to {address}#{port}: {reason}"), last]
        }
    }
}

fn lines(answer: &Answer) -> Vec<String> {
    let line = |record: &hickory_proto::rr::Record| {
        let name = record.name.to_string();
        let name = name.trim_end_matches('.');
        match &record.data {
            RData::A(_) | RData::AAAA(_) => format!("Name:\t{name}\nAddress: {}", print::data(&record.data)),
            RData::CNAME(target) => format!("{name}\tcanonical name = {target}"),
            RData::PTR(target) => format!("{name}\tname = {target}"),
            RData::SRV(_) => format!("{name}\tservice = {}", print::data(&record.data)),
            RData::NS(target) => format!("{name}\tnameserver = {target}"),
            RData::MX(_) => format!("{name}\tmail exchanger = {}", print::data(&record.data)),
            RData::TXT(_) => format!("{name}\ttext = {}", print::data(&record.data)),
            other => format!("{name}\t{}\t{}", record.record_type(), print::data(other)),
        }
    };
    answer.message.answers.iter().map(line).collect()
}
