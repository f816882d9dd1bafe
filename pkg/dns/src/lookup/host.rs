//! `host NAME [SERVER]`, with `-t TYPE`.

use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{RData, Record, RecordType};

use super::dig::record_type;
use super::{Answer, Exchange, Resolver, Silence, next_name, print, reverse, server};

pub(super) async fn run(resolver: &Resolver, arguments: &[String]) -> u8 {
    let mut kind = None;
    let mut tcp = false;
    let mut patience = 5;
    let mut words = Vec::new();
    let mut rest = arguments.iter();
    while let Some(word) = rest.next() {
        match word.as_str() {
            "-t" | "-W" => {
                let Some(value) = rest.next() else { return usage() };
                if word == "-W" {
                    patience = value.parse().unwrap_or(5);
                    continue;
                }
                kind = record_type(value);
                if kind.is_none() {
                    eprintln!("host: invalid type: {value}");
                    return 1;
                }
            }
            "-T" => tcp = true,
            "-4" | "-6" | "-v" | "-d" | "-r" | "-s" => {}
            option if option.starts_with('-') => return usage(),
            word => words.push(word),
        }
    }
    let (name, to) = match words[..] {
        [name] => (name, resolver.servers.first().map(|address| (*address, 53).into())),
        [name, by] => (name, server(by, 53).await),
        _ => return usage(),
    };
    let Some(to) = to else {
        eprintln!("host: couldn't get address for '{}': not found", words[1]);
        return 1;
    };
    if let [_, by] = words[..] {
        println!("Using domain server:\nName: {by}\nAddress: {}#{}\nAliases: \n", to.ip(), to.port());
    }
    let exchange = Exchange { tcp, patience: Duration::from_secs(patience), tries: 2, ..Exchange::with(to) };
    let (names, kinds) = match (reverse(name), kind) {
        (Some(name), None) => (vec![name], vec![RecordType::PTR]),
        (_, Some(kind)) => (resolver.candidates(name), vec![kind]),
        (_, None) => (resolver.candidates(name), vec![RecordType::A, RecordType::AAAA, RecordType::MX]),
    };
    look_up(&exchange, &names, &kinds, name, kind.is_some()).await
}

fn usage() -> u8 {
    eprintln!("Usage: host [-T] [-t type] [-W time] hostname [server]");
    1
}

async fn look_up(exchange: &Exchange, names: &[String], kinds: &[RecordType], typed: &str, one: bool) -> u8 {
    let mut found: Option<Answer> = None;
    for full in names {
        match exchange.ask(full, kinds[0]).await {
            Ok(answer) => {
                let over = !next_name(&answer);
                found = Some(answer);
                if over {
                    break;
                }
            }
            Err(Silence::BadName(reason)) => {
                eprintln!("host: {reason}");
                return 1;
            }
            Err(_) => {
                println!(";; connection timed out; no servers could be reached");
                return 1;
            }
        }
    }
    let Some(first) = found else { return 1 };
    let code = first.message.metadata.response_code;
    if code != ResponseCode::NoError {
        let typed = if names.len() == 1 { names[0].trim_end_matches('.') } else { typed };
        println!("Host {typed} not found: {}({})", u16::from(code), print::status(code));
        return 1;
    }
    let asked = first.message.queries.first().map(|query| query.name().to_string()).unwrap_or_default();
    if one && first.message.answers.is_empty() {
        println!("{} has no {} record", asked.trim_end_matches('.'), kinds[0]);
        return 1;
    }
    first.message.answers.iter().for_each(|record| println!("{}", line(record)));
    for kind in &kinds[1..] {
        if let Ok(answer) = exchange.ask(&asked, *kind).await {
            // The aliases were told already.
            let new = answer.message.answers.iter().filter(|record| record.record_type() == *kind);
            new.for_each(|record| println!("{}", line(record)));
        }
    }
    0
}

fn line(record: &Record) -> String {
    let name = record.name.to_string();
    let name = name.trim_end_matches('.');
    let data = print::data(&record.data);
    match &record.data {
        RData::A(_) => format!("{name} has address {data}"),
        RData::AAAA(_) => format!("{name} has IPv6 address {data}"),
        RData::CNAME(_) => format!("{name} is an alias for {data}"),
        RData::PTR(_) => format!("{name} domain name pointer {data}"),
        RData::MX(_) => format!("{name} mail is handled by {data}"),
        RData::NS(_) => format!("{name} name server {data}"),
        RData::TXT(_) => format!("{name} descriptive text {data}"),
        _ => format!("{name} has {} record {data}", record.record_type()),
    }
}
