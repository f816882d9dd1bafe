//! Round trips through the kernel, each in a fresh namespace.

use std::{net::Ipv4Addr, process::Command, time::Duration};

use minisvc_testkit::isolated;

use super::*;
use crate::Netns;

const S: [Expression; 3] = [Expression::DestinationAddress, Expression::TransportProtocol, Expression::DestinationPort];

fn joined(more: &[Expression]) -> Vec<Expression> {
    S.iter().chain(more).copied().collect()
}

fn frontend(host: u32) -> Key {
    vec![Ipv4Addr::from(0x0a60_0000 + host).into(), Protocol::TCP.into(), 80.into()]
}

fn backend(host: u32, slot: u32) -> (Key, Element) {
    let mut key = frontend(host);
    key.push(Value::Slot(slot));
    let pod = Ipv4Addr::from(0x0af4_0000 + (host * 3 + slot) % 65_000);
    (key, Element::data(Data::Values(vec![pod.into(), 8080.into()])))
}

/// Every kind of statement, set and element once.
fn everything() -> Table {
    let mut table = Table::new(Family::Ip, "minisvc");
    let fields = [Type::Address, Type::Protocol, Type::Port];
    let with = |more: Type| -> Vec<Type> { fields.iter().copied().chain([more]).collect() };
    let mut services = Set::verdict_map(fields).comment("address . protocol . port of every service");
    services.elements.insert(
        frontend(10),
        Element {
            comment: Some("default/blue".into()),
            ..Element::data(Data::Verdict(Verdict::Goto("cluster_2".into())))
        },
    );
    services.elements.insert(frontend(11), Element::data(Data::Verdict(Verdict::Drop)));
    let mut counters = Set::new(fields);
    counters.counter = true;
    counters.elements.insert(frontend(10), Element::default());
    let mut backends = Set::map(with(Type::Slot), [Type::Address, Type::Port]);
    backends.elements.extend([backend(10, 0), backend(10, 1)]);
    let mut choices = Set::map(with(Type::Slot), [Type::Mark]);
    choices.elements.insert(backend(10, 1).0, Element::data(Data::Values(vec![Value::Mark(3)])));
    let mut affinity = Set::map([&[Type::Address][..], &fields].concat(), [Type::Mark]);
    (affinity.dynamic, affinity.timeout, affinity.size) = (true, true, Some(65_535));
    let mut affine = Set::map(with(Type::Mark), [Type::Address, Type::Port]);
    let mut key = frontend(10);
    key.push(Value::Mark(3));
    affine.elements.insert(key, backend(10, 1).1);
    let mut ranges = Set::new(with(Type::Address));
    ranges.interval = true;
    for (low, high) in [([10, 1, 0, 0], [10, 1, 255, 255]), ([10, 2, 2, 3], [10, 2, 2, 3])] {
        let bound = |address: [u8; 4]| {
            let mut key = frontend(10);
            key.push(Ipv4Addr::from(address).into());
            key
        };
        ranges.elements.insert(bound(low), Element { end: Some(bound(high)), ..Element::default() });
    }
    let mut hairpin = Set::new([Type::Address, Type::Address]);
    hairpin.elements.insert(vec![Ipv4Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()], Element::default());
    let mut links = Set::new([Type::Link]);
    links.elements.insert(vec![Value::Link(LinkName::new("eth0").unwrap())], Element::default());
    let mut leases = Set::new([Type::Mark]);
    leases.timeout = true;
    leases.elements.insert(
        vec![Value::Mark(7)],
        Element { timeout: Some(Duration::from_secs(3600)), comment: Some("an hour".into()), ..Element::default() },
    );
    for (name, set) in [
        ("services", services),
        ("service-counters", counters),
        ("backends", backends),
        ("choices", choices),
        ("affinity", affinity),
        ("affine-backends", affine),
        ("source-ranges", ranges),
        ("hairpin", hairpin),
        ("links", links),
        ("leases", leases),
    ] {
        table.sets.insert(name.into(), set);
    }
    let client = || [&[Expression::SourceAddress][..], &S].concat();
    let update = |kind, timeout| Statement::Update {
        kind,
        set: "affinity".into(),
        key: client(),
        timeout,
        data: Some(Expression::ConnectionMark),
    };
    let mut chain = |name: &str, base: Option<(ChainKind, Hook, i32)>, rules: Vec<Rule>| {
        let base = base.map(|(kind, hook, priority)| Base { kind, hook, priority });
        table.chains.insert(name.into(), Chain { base, rules });
    };
    let pods = "10.244.0.0/16".parse().unwrap();
    chain(
        "cluster_2",
        None,
        vec![
            Rule::new([
                Statement::InNetwork { left: Expression::SourceAddress, negate: true, network: pods },
                Statement::SetMark { of: MarkOf::Packet, to: MarkSource::Value(0x4000) },
            ])
            .comment("from beyond the pods"),
            Rule::new([Statement::Dnat(NatTo::Map {
                key: joined(&[Expression::Random { modulus: 2, offset: 0 }]),
                map: "backends".into(),
            })]),
        ],
    );
    for offset in [0, 32_768] {
        chain(
            &format!("hashed_{offset}"),
            None,
            vec![Rule::new([Statement::Dnat(NatTo::Map {
                key: joined(&[Expression::Hashed { modulus: 2, offset }]),
                map: "backends".into(),
            })])],
        );
    }
    chain(
        "by_client",
        None,
        vec![Rule::new([Statement::Dnat(NatTo::Map {
            key: joined(&[Expression::HashedSource { modulus: 2, offset: 0 }]),
            map: "backends".into(),
        })])],
    );
    chain(
        "affine_2",
        None,
        vec![
            Rule::new([
                Statement::SetMark {
                    of: MarkOf::Connection,
                    to: MarkSource::Map { key: client(), map: "affinity".into() },
                },
                update(UpdateKind::Update, Some(Duration::from_secs(10_800))),
                Statement::Dnat(NatTo::Map {
                    key: joined(&[Expression::ConnectionMark]),
                    map: "affine-backends".into(),
                }),
            ]),
            Rule::new([
                Statement::SetMark {
                    of: MarkOf::Connection,
                    to: MarkSource::Map {
                        key: joined(&[Expression::Random { modulus: 2, offset: 32_768 }]),
                        map: "choices".into(),
                    },
                },
                update(UpdateKind::Delete, None),
                update(UpdateKind::Update, Some(Duration::from_secs(10))),
            ]),
        ],
    );
    let blue = "10.96.0.10".parse::<Ipv4Addr>().unwrap();
    let node = "172.30.0.11".parse::<Ipv4Addr>().unwrap();
    chain(
        "services",
        None,
        vec![
            Rule::new([Statement::Member { key: S.to_vec(), set: "service-counters".into(), negate: false }]),
            Rule::new([Statement::VerdictMap { key: S.to_vec(), map: "services".into() }]),
            Rule::new([
                Statement::Local { of: FibOf::Source, negate: false },
                Statement::SetMark { of: MarkOf::Packet, to: MarkSource::Expression(Expression::ConnectionMark) },
            ]),
            Rule::new([
                Statement::Compare {
                    left: Expression::InputLink,
                    negate: false,
                    right: Value::Link(LinkName::new("out0").unwrap()),
                },
                Statement::Compare { left: Expression::DestinationAddress, negate: true, right: blue.into() },
                Statement::Counter,
                Statement::Verdict(Verdict::Return),
            ]),
        ],
    );
    chain(
        "nat-prerouting",
        Some((ChainKind::Nat, Hook::Prerouting, -100)),
        vec![
            Rule::new([Statement::Verdict(Verdict::Jump("services".into()))]),
            Rule::new([
                Statement::Compare { left: Expression::TransportProtocol, negate: false, right: Protocol::TCP.into() },
                Statement::Compare { left: Expression::DestinationPort, negate: false, right: 8080.into() },
                Statement::Dnat(NatTo::Fixed { address: blue, port: Some(80) }),
            ]),
        ],
    );
    let snat = |random| Statement::Snat { to: NatTo::Fixed { address: node, port: None }, fully_random: random };
    chain(
        "nat-postrouting",
        Some((ChainKind::Nat, Hook::Postrouting, 100)),
        vec![
            Rule::new([Statement::Masked { left: Expression::Mark, mask: 0x4000, value: 0x4000 }, snat(true)]),
            Rule::new([
                Statement::AnyBit { left: Expression::ConnectionStatus, bits: status::DNAT },
                Statement::Member {
                    key: vec![Expression::SourceAddress, Expression::DestinationAddress],
                    set: "hairpin".into(),
                    negate: false,
                },
                snat(false),
            ]),
            Rule::new([Statement::Masquerade { fully_random: true }]),
        ],
    );
    chain(
        "filter-forward",
        Some((ChainKind::Filter, Hook::Forward, 0)),
        vec![
            Rule::new([
                Statement::AnyBit { left: Expression::ConnectionState, bits: state::INVALID },
                Statement::Verdict(Verdict::Drop),
            ]),
            Rule::new([
                Statement::AnyBit { left: Expression::ConnectionState, bits: state::NEW | state::ESTABLISHED },
                Statement::Compare { left: Expression::OriginalDestination, negate: false, right: blue.into() },
                Statement::Verdict(Verdict::Accept),
            ]),
            Rule::new([
                Statement::Compare { left: Expression::TransportProtocol, negate: false, right: Protocol::UDP.into() },
                Statement::Compare { left: Expression::OriginalDestinationPort, negate: false, right: 53.into() },
                Statement::Verdict(Verdict::Accept),
            ]),
            Rule::new([
                Statement::Compare { left: Expression::TransportProtocol, negate: false, right: Protocol::TCP.into() },
                Statement::Reject(Reject::TcpReset),
            ]),
            Rule::new([Statement::Reject(Reject::PortUnreachable)]),
        ],
    );
    table
}

fn nft(arguments: &[&str]) -> String {
    let output = Command::new("nft").args(arguments).output().expect("run nft 1.0 or later from the package nftables");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "nft {arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn open() -> Connection {
    Connection::open(&Netns::current().unwrap()).unwrap()
}

fn assert_holds(connection: &mut Connection, table: &Table) {
    let listing = connection.read(table.family, &table.name).unwrap().expect("the table exists");
    assert_eq!(listing.differences(table), Vec::<String>::new());
}

#[test]
fn a_table_with_everything_comes_back_as_sent() {
    isolated(|| {
        let mut connection = open();
        let table = everything();
        connection.commit(&Transaction::replace(&table)).unwrap();
        assert_holds(&mut connection, &table);
        connection.commit(&Transaction::replace(&table)).unwrap();
        assert_holds(&mut connection, &table);
        let mut other = table.clone();
        other.sets.get_mut("hairpin").unwrap().elements.clear();
        other.chains.get_mut("services").unwrap().rules.pop();
        let listing = connection.read(table.family, &table.name).unwrap().unwrap();
        assert_eq!(listing.differences(&other).len(), 2, "{:?}", listing.differences(&other));
        connection.commit(&Transaction::remove(table.family, &table.name)).unwrap();
        assert!(connection.read(table.family, &table.name).unwrap().is_none());
    });
}

#[test]
fn nft_lists_the_table_as_our_text_loads_it() {
    isolated(|| {
        let mut connection = open();
        let table = everything();
        connection.commit(&Transaction::replace(&table)).unwrap();
        let ours = nft(&["list", "ruleset"]);
        for phrase in [
            "ip daddr . meta l4proto . th dport . numgen random mod 2 map @backends",
            "ip daddr . meta l4proto . th dport . jhash ip saddr . th sport mod 2 map @backends",
            "ip daddr . meta l4proto . th dport . jhash ip saddr . th sport mod 2 offset 32768 map @backends",
            "ip daddr . meta l4proto . th dport . jhash ip saddr mod 2 map @backends",
            "typeof ip daddr . meta l4proto . th dport . numgen random mod 65536 : ip daddr . th dport",
            "10.96.0.10 . tcp . 80 comment \"default/blue\" : goto cluster_2",
            "10.96.0.10 . tcp . 80 . 1 : 10.244.0.31 . 8080",
            "10.96.0.10 . tcp . 80 . 10.1.0.0/16",
            "update @affinity { ip saddr . ip daddr . meta l4proto . th dport timeout 3h : ct mark }",
            "comment \"from beyond the pods\"",
            "meta mark & 0x00004000 == 0x00004000 snat to 172.30.0.11 fully-random",
            "elements = { \"eth0\" }",
        ] {
            assert!(ours.contains(phrase), "{phrase}\nis not in\n{ours}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.nft");
        std::fs::write(&path, table.to_string()).unwrap();
        nft(&["flush", "ruleset"]);
        nft(&["-f", path.to_str().unwrap()]);
        let theirs = nft(&["list", "ruleset"]);
        let still = |text: &str| -> Vec<String> {
            let text = text.split(" expires ").map(|part| part.split_once(" comment").map_or(part, |(_, b)| b));
            let mut lines: Vec<String> = text.collect::<String>().lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(still(&ours), still(&theirs), "\n{ours}\n{theirs}");
        // And what nft lists of ours, it loads again.
        std::fs::write(&path, &ours).unwrap();
        nft(&["flush", "ruleset"]);
        nft(&["-f", path.to_str().unwrap()]);
    });
}

#[test]
fn deltas_lead_to_the_new_table() {
    isolated(|| {
        let mut connection = open();
        let old = everything();
        connection.commit(&Transaction::replace(&old)).unwrap();
        let mut new = old.clone();
        new.chains.remove("affine_2");
        let three = Chain { base: None, rules: new.chains["cluster_2"].rules[..1].to_vec() };
        new.chains.insert("cluster_3".into(), three);
        new.chains.remove("cluster_2");
        let services = new.sets.get_mut("services").unwrap();
        services.elements.insert(frontend(10), Element::data(Data::Verdict(Verdict::Goto("cluster_3".into()))));
        services.elements.remove(&frontend(11));
        new.sets.get_mut("backends").unwrap().elements.extend([backend(10, 2), backend(12, 0)]);
        new.sets.get_mut("source-ranges").unwrap().elements.pop_first();
        new.sets.remove("leases");
        let delta = Transaction::between(&old, &new);
        assert_eq!(delta.elements(), 7, "{delta:?}");
        connection.commit(&delta).unwrap();
        assert_holds(&mut connection, &new);
        connection.commit(&Transaction::between(&new, &old)).unwrap();
        assert_holds(&mut connection, &old);
        assert!(Transaction::between(&old, &old).is_empty());
    });
}

#[test]
fn a_refused_transaction_changes_nothing_and_names_the_object() {
    isolated(|| {
        let mut connection = open();
        let table = everything();
        connection.commit(&Transaction::replace(&table)).unwrap();
        let mut broken = Transaction::new(Family::Ip, "minisvc");
        broken.changes = vec![
            Change::FlushSet("backends".into()),
            Change::DeleteElements("hairpin".into(), vec![(vec![Ipv4Addr::BROADCAST.into(); 2], Element::default())]),
        ];
        let error = connection.commit(&broken).unwrap_err();
        assert_eq!(error.to_string().split(':').next(), Some("delete 1 elements of set hairpin of table ip minisvc"));
        assert_eq!(error.errno(), Some(2));
        assert_holds(&mut connection, &table);
    });
}

#[test]
fn a_foreign_change_makes_a_transaction_of_an_older_generation_fail() {
    isolated(|| {
        let mut connection = open();
        connection.commit(&Transaction::replace(&everything())).unwrap();
        let generation = connection.generation().unwrap();
        let mut flush = Transaction::new(Family::Ip, "minisvc");
        flush.changes = vec![Change::FlushSet("hairpin".into())];
        flush.generation = Some(generation);
        connection.commit(&flush).unwrap();
        assert_ne!(connection.generation().unwrap(), generation);
        assert_eq!(connection.commit(&flush).unwrap_err().errno(), Some(85));
    });
}

#[test]
fn ten_thousand_elements_are_split_and_all_arrive() {
    isolated(|| {
        let mut connection = open();
        let mut table = everything();
        table.sets.get_mut("backends").unwrap().elements = (0..10_000).map(|host| backend(host, 0)).collect();
        let start = std::time::Instant::now();
        let bytes = super::encode::batch(&Transaction::replace(&table)).bytes.len();
        let encoded = start.elapsed();
        connection.commit(&Transaction::replace(&table)).unwrap();
        println!("10,000 elements: {bytes} bytes, encoded in {encoded:?}, all in {:?}", start.elapsed());
        assert_holds(&mut connection, &table);
    });
}
