//! The edge's guard and its load balancers as one nftables table. Pure: from frontends and their pools to a table made
//! of maps only, so that its rules are the same for one service and a thousand. Must not decide who is healthy.
//!
//! ```text
//! prerouting -110 sources   a restricted frontend and a source that is not allowed: drop
//! prerouting -100 balance   address . protocol . port -> goto lb_N -> dnat to a target by a die of N faces, or by who asks
//! prerouting  -90 unserved  still for a balancer's address: reject; for another one of the range: drop
//! forward       0 guard     from outside: answers, balanced connections and nodes pass; all else is dropped
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use ipnet::Ipv4Net;
use minisvc_kernel::nft::{
    Base, Chain, ChainKind, Data, Element, Expression, Family, Hook, LinkName, NatTo, Protocol, Reject, Rule, Set,
    Statement, Table, Type, Value, Verdict, state, status,
};

use crate::wiring::{Plan, Ranges};

/// The table's name.
pub const TABLE: &str = "edge";

/// Where clients knock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Frontend {
    /// The load balancer's address.
    pub address: Ipv4Addr,
    /// The transport protocol.
    pub protocol: Protocol,
    /// The port.
    pub port: u16,
}

/// Who answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// Namespace and name of the service, for readers of the table.
    pub service: String,
    /// Address and port of every target that gets connections; none: they are refused.
    pub targets: BTreeSet<(Ipv4Addr, u16)>,
    /// Who may knock; nothing: everyone.
    pub sources: Option<Vec<Ipv4Net>>,
    /// Whether a client always gets the same target (`sessionAffinity: ClientIP`).
    pub sticky: bool,
}

/// All load balancers of the edge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Balancers {
    /// The addresses that were given out; a port without a pool is refused there.
    pub addresses: BTreeSet<Ipv4Addr>,
    /// Pools by frontend.
    pub pools: BTreeMap<Frontend, Pool>,
}

/// The table for these balancers.
pub fn table(ranges: &Ranges, balancers: &Balancers) -> Table {
    let mut table = Table::new(Family::Ip, TABLE);
    table.sets = sets(balancers);
    let served = balancers.pools.iter().filter(|(_, pool)| !pool.targets.is_empty());
    for draw in served.map(|(at, pool)| Draw::of(at, pool)).collect::<BTreeSet<_>>() {
        table.chains.insert(draw.chain(), Chain { base: None, rules: vec![draw.rule()] });
    }
    let mut base = |name: &str, kind, hook, priority, rules| {
        let base = Some(Base { kind, hook, priority });
        table.chains.insert(name.into(), Chain { base, rules });
    };
    base("sources", ChainKind::Filter, Hook::Prerouting, -110, vec![refuse_strangers()]);
    base("balance", ChainKind::Nat, Hook::Prerouting, -100, vec![find_frontend()]);
    base("unserved", ChainKind::Filter, Hook::Prerouting, -90, unserved(ranges));
    base("guard", ChainKind::Filter, Hook::Forward, 0, guard(ranges));
    table
}

fn sets(balancers: &Balancers) -> BTreeMap<String, Set> {
    let frontend = [Type::Address, Type::Protocol, Type::Port];
    let mut addresses = Set::new([Type::Address]).comment("addresses given to services");
    addresses.elements = balancers.addresses.iter().map(|one| (vec![Value::from(*one)], Element::default())).collect();
    let mut frontends = Set::verdict_map(frontend).comment("frontend : how many targets");
    let with_slot = [Type::Address, Type::Protocol, Type::Port, Type::Slot];
    let mut targets = Set::map(with_slot, [Type::Address, Type::Port]).comment("frontend . slot : target");
    let mut restricted = Set::new(frontend).comment("frontends with loadBalancerSourceRanges");
    let with_source = [Type::Address, Type::Protocol, Type::Port, Type::Address];
    let mut allowed = Set::new(with_source).comment("frontend . source that may use it");
    allowed.interval = true;
    for (at, pool) in &balancers.pools {
        let key = vec![at.address.into(), at.protocol.into(), at.port.into()];
        let with = |last: Value| key.iter().copied().chain([last]).collect::<Vec<Value>>();
        let named = |element| Element { comment: Some(pool.service.chars().take(120).collect()), ..element };
        if !pool.targets.is_empty() {
            let verdict = Data::Verdict(Verdict::Goto(Draw::of(at, pool).chain()));
            frontends.elements.insert(key.clone(), named(Element::data(verdict)));
        }
        for (slot, (address, port)) in (0..).zip(&pool.targets) {
            let target = Data::Values(vec![(*address).into(), (*port).into()]);
            targets.elements.insert(with(Value::Slot(slot)), Element::data(target));
        }
        if let Some(sources) = &pool.sources {
            restricted.elements.insert(key.clone(), named(Element::default()));
            for source in Ipv4Net::aggregate(sources) {
                let end = Some(with(source.broadcast().into()));
                allowed.elements.insert(with(source.network().into()), Element { end, ..Element::default() });
            }
        }
    }
    [
        ("addresses", addresses),
        ("frontends", frontends),
        ("targets", targets),
        ("restricted", restricted),
        ("allowed", allowed),
    ]
    .map(|(name, set)| (name.to_owned(), set))
    .into()
}

/// How a target is drawn, and of how many.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Draw {
    /// Anew for each connection.
    Dice(u32),
    /// One socket's datagrams go to one target (see the service proxy's shared chains).
    Socket(u32),
    /// One client's connections go to one target. Nodes keep affinity each for itself, so that it would not hold for a
    /// client who is sent to another node each time.
    Client(u32),
}

impl Draw {
    fn of(at: &Frontend, pool: &Pool) -> Self {
        let size = pool.targets.len() as u32;
        match at.protocol {
            _ if pool.sticky => Self::Client(size),
            Protocol::UDP => Self::Socket(size),
            _ => Self::Dice(size),
        }
    }

    fn chain(self) -> String {
        match self {
            Self::Dice(size) => format!("lb_{size}"),
            Self::Socket(size) => format!("lb_{size}_udp"),
            Self::Client(size) => format!("lb_{size}_client"),
        }
    }

    fn rule(self) -> Rule {
        let key = knocked_at_and(match self {
            Self::Dice(modulus) => Expression::Random { modulus, offset: 0 },
            Self::Socket(modulus) => Expression::Hashed { modulus, offset: 0 },
            Self::Client(modulus) => Expression::HashedSource { modulus, offset: 0 },
        });
        Rule::new([Statement::Dnat(NatTo::Map { key, map: "targets".into() })])
    }
}

fn knocked_at() -> Vec<Expression> {
    vec![Expression::DestinationAddress, Expression::TransportProtocol, Expression::DestinationPort]
}

fn knocked_at_and(last: Expression) -> Vec<Expression> {
    knocked_at().into_iter().chain([last]).collect()
}

fn refuse_strangers() -> Rule {
    Rule::new([
        Statement::Member { key: knocked_at(), set: "restricted".into(), negate: false },
        Statement::Member { key: knocked_at_and(Expression::SourceAddress), set: "allowed".into(), negate: true },
        Statement::Counter,
        Statement::Verdict(Verdict::Drop),
    ])
    .comment("loadBalancerSourceRanges")
}

fn find_frontend() -> Rule {
    Rule::new([Statement::VerdictMap { key: knocked_at(), map: "frontends".into() }])
}

fn unserved(ranges: &Ranges) -> Vec<Rule> {
    let to_range = Statement::InNetwork {
        left: Expression::DestinationAddress,
        negate: false,
        network: ranges.load_balancers.trunc(),
    };
    vec![
        Rule::new([
            Statement::Member { key: vec![Expression::DestinationAddress], set: "addresses".into(), negate: false },
            Statement::Counter,
            Statement::Reject(Reject::PortUnreachable),
        ])
        .comment("a balancer, but no such port or nobody to serve it"),
        Rule::new([to_range, Statement::Counter, Statement::Verdict(Verdict::Drop)]).comment("nobody's address"),
    ]
}

fn guard(ranges: &Ranges) -> Vec<Rule> {
    let from_outside = || {
        let right = LinkName::new(Plan::OUT).map_or(Value::Mark(0), Value::Link);
        Statement::Compare { left: Expression::InputLink, negate: false, right }
    };
    let accept = || Statement::Verdict(Verdict::Accept);
    let to_nodes =
        Statement::InNetwork { left: Expression::DestinationAddress, negate: false, network: ranges.nodes.trunc() };
    let known = state::ESTABLISHED | state::RELATED;
    vec![
        Rule::new([from_outside(), Statement::AnyBit { left: Expression::ConnectionState, bits: known }, accept()])
            .comment("answers"),
        Rule::new([
            from_outside(),
            Statement::AnyBit { left: Expression::ConnectionStatus, bits: status::DNAT },
            accept(),
        ])
        .comment("load-balanced"),
        Rule::new([from_outside(), to_nodes, accept()]).comment("nodes and their ports"),
        Rule::new([from_outside(), Statement::Counter, Statement::Verdict(Verdict::Drop)])
            .comment("pods, ClusterIPs and the VM are not for outside"),
    ]
}
