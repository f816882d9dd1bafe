//! Whether this machine and this user can carry a lab, tried out in throw-away namespaces. Must leave nothing behind.

use nix::sched::unshare;

use crate::{
    capability::Capability,
    error::Result,
    links::Links,
    namespace::{NamespaceKind, Netns, on_short_thread},
    nft::{
        Base, Chain, ChainKind, Connection, Data, Element, Expression, Family, FibOf, Hook, NatTo, Protocol, Reject,
        Rule, Set, Statement, Table, Transaction, Type, Value, Verdict, status,
    },
};

/// Something that the lab needs and does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What is missing, in a few words.
    pub what: String,
    /// What would help.
    pub remedy: String,
}

impl Missing {
    fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into() }
    }
}

/// Everything that is missing; empty when a lab can run here. Without privilege the rest is not tried, since all of it
/// would fail for that reason.
pub fn missing() -> Vec<Missing> {
    let mut missing: Vec<Missing> = privileges().into_iter().collect();
    if !missing.is_empty() {
        return missing;
    }
    missing.extend(NamespaceKind::ALL.into_iter().filter(|kind| *kind != NamespaceKind::User).filter_map(namespace));
    if missing.is_empty() {
        missing.extend(links());
        missing.extend(nftables());
    }
    missing
}

fn privileges() -> Option<Missing> {
    let needed = [Capability::CAP_SYS_ADMIN, Capability::CAP_NET_ADMIN];
    let lacking: Vec<String> = needed
        .into_iter()
        .filter(|one| !caps::has_cap(None, caps::CapSet::Effective, *one).unwrap_or(false))
        .map(|one| one.to_string())
        .collect();
    (!lacking.is_empty())
        .then(|| Missing::new(format!("root privilege ({})", lacking.join(" and ")), "run it with sudo"))
}

fn namespace(kind: NamespaceKind) -> Option<Missing> {
    let tried = on_short_thread(|| unshare(kind.flag()));
    let reason = match tried {
        Ok(Ok(())) => return None,
        Ok(Err(errno)) => errno.to_string(),
        Err(error) => error.to_string(),
    };
    let option = match kind {
        NamespaceKind::Net => "CONFIG_NET_NS",
        NamespaceKind::Mount => "mount namespaces",
        NamespaceKind::Pid => "CONFIG_PID_NS",
        NamespaceKind::Uts => "CONFIG_UTS_NS",
        NamespaceKind::Ipc => "CONFIG_IPC_NS",
        NamespaceKind::User => "CONFIG_USER_NS",
    };
    let remedy = if reason.contains("ENOSPC") {
        format!("raise /proc/sys/user/max_{}_namespaces", kind.file())
    } else {
        format!("use a kernel with {option}, and no container that forbids it")
    };
    Some(Missing::new(format!("{kind} namespaces ({reason})"), remedy))
}

fn links() -> Vec<Missing> {
    let tried = on_short_thread(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| crate::Error::new("start", "runtime", error))?;
        let (near, far) = (Netns::create()?, Netns::create()?);
        runtime.block_on(async {
            let links = Links::open(&near).await?;
            let veth = links.create_veth("probe0", "probe1", &far).await;
            Ok::<_, crate::Error>([("veth", veth), ("bridge", links.create_bridge("probe2").await)])
        })
    });
    let failed =
        |error: crate::Error| vec![Missing::new(format!("network namespaces ({error})"), "see the reason given")];
    let results: Result<[(&str, Result<()>); 2]> = match tried {
        Ok(results) => results,
        Err(error) => return failed(error),
    };
    match results {
        Err(error) => failed(error),
        Ok(results) => results
            .into_iter()
            .filter_map(|(kind, result)| {
                let error = result.err()?;
                Some(Missing::new(format!("{kind} links ({error})"), format!("modprobe {kind}")))
            })
            .collect(),
    }
}

/// One throw-away table for each part of nftables that the lab's rules use, so that the one missing can be named.
fn nftables() -> Vec<Missing> {
    let opened = Netns::create().and_then(|ns| Connection::open(&ns));
    let mut connection = match opened {
        Ok(connection) => connection,
        Err(error) => return vec![Missing::new(format!("nftables ({error})"), "modprobe nf_tables")],
    };
    let mut missing = Vec::new();
    for (what, module, kind, statement) in nftables_parts() {
        let hook = if kind == ChainKind::Nat { Hook::Prerouting } else { Hook::Forward };
        let mut table = Table::new(Family::Ip, "probe");
        let mut verdicts = Set::verdict_map([Type::Port]);
        verdicts.elements.insert(vec![Value::Port(1)], Element::data(Data::Verdict(Verdict::Drop)));
        table.sets.insert("verdicts".into(), verdicts);
        let rules = vec![Rule::new([statement])];
        table.chains.insert("chain".into(), Chain { base: Some(Base { kind, hook, priority: 0 }), rules });
        if let Err(error) = connection.commit(&Transaction::replace(&table)) {
            let first = missing.is_empty();
            missing.push(Missing::new(format!("nftables: {what} ({error})"), format!("modprobe {module}")));
            // Where not even a table can be made, one line is enough.
            if first && what == "tables and verdict maps" {
                break;
            }
        }
    }
    missing
}

fn nftables_parts() -> Vec<(&'static str, &'static str, ChainKind, Statement)> {
    let here = NatTo::Fixed { address: std::net::Ipv4Addr::LOCALHOST, port: Some(1) };
    let dice =
        Statement::Compare { left: Expression::Random { modulus: 2, offset: 0 }, negate: false, right: Value::Slot(0) };
    let hash =
        Statement::Compare { left: Expression::Hashed { modulus: 2, offset: 0 }, negate: false, right: Value::Slot(0) };
    let verdicts = Statement::VerdictMap { key: vec![Expression::DestinationPort], map: "verdicts".into() };
    let protocol =
        Statement::Compare { left: Expression::TransportProtocol, negate: false, right: Protocol::TCP.into() };
    let translated = Statement::AnyBit { left: Expression::ConnectionStatus, bits: status::DNAT };
    vec![
        ("tables and verdict maps", "nf_tables", ChainKind::Filter, verdicts),
        ("meta", "nf_tables", ChainKind::Filter, protocol),
        ("counter", "nf_tables", ChainKind::Filter, Statement::Counter),
        ("numgen", "nft_numgen", ChainKind::Filter, dice),
        ("jhash", "nft_hash", ChainKind::Filter, hash),
        ("fib", "nft_fib_ipv4", ChainKind::Filter, Statement::Local { of: FibOf::Destination, negate: false }),
        ("reject", "nft_reject_ipv4", ChainKind::Filter, Statement::Reject(Reject::PortUnreachable)),
        ("ct", "nft_ct", ChainKind::Filter, translated),
        ("nat", "nft_nat", ChainKind::Nat, Statement::Dnat(here)),
    ]
}
