//! The table's fixed chains, and the shared chains by number of endpoints. The packet's way:
//!
//! ```text
//! prerouting  firewall (-110) → services (-100)                                     ─┐
//! output      firewall (-110) → services (-100) → no endpoints? other port? (0)     ─┤→ postrouting: source (100)
//! forward     no endpoints? other port of a ClusterIP? (0)                          ─┤
//! input       no endpoints? (0)                                                      ┘
//! ```
//!
//! There is one chain per number of endpoints, never one per service or endpoint: which service it is lies in the key
//! (address, protocol, port), which endpoint in the slot that the dice draws. Must not know any service.

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use ipnet::Ipv4Net;
use minisvc_kernel::nft::{
    Base, Chain, ChainKind, Expression, Family, FibOf, Hook, LinkName, MarkOf, MarkSource, NatTo, Reject, Rule, Set,
    Statement, Table, Type, UpdateKind, Value, Verdict, state, status,
};

use crate::config::{Config, NodeView};

/// The table's name.
pub const TABLE: &str = "minisvc";

/// The packet mark of traffic that must come back through this node (kube-proxy uses the same bit).
pub const MASQUERADE: u32 = 0x4000;

/// Slots of endpoints for policy Local begin here; those for policy Cluster begin at 0.
pub const LOCAL_SLOTS: u32 = 32_768;

/// The bit that numbers of endpoints of policy Local have, in the connection mark.
pub(crate) const LOCAL_ENDPOINT: u32 = 1 << 31;

/// How many clients with affinity a node remembers at most.
const AFFINITY_SIZE: u32 = 65_535;

/// Loopback: host ports there are for this node alone.
const LOOPBACK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);

/// Names of sets and maps.
pub(crate) mod set {
    pub(crate) const AFFINITY: &str = "affinity";
    pub(crate) const AFFINITY_BACKENDS: &str = "affinity-backends";
    pub(crate) const AFFINITY_CHOICES: &str = "affinity-choices";
    pub(crate) const BACKENDS: &str = "backends";
    pub(crate) const CLUSTER_IPS: &str = "cluster-ips";
    pub(crate) const CONNECTIONS: &str = "connections";
    pub(crate) const FIREWALL: &str = "firewall";
    pub(crate) const HAIRPIN: &str = "hairpin";
    pub(crate) const LOCAL_SERVICES: &str = "local-services";
    pub(crate) const NO_ENDPOINTS: &str = "no-endpoints";
    pub(crate) const POD_SERVICES: &str = "pod-services";
    pub(crate) const SERVICES: &str = "services";
    pub(crate) const SOURCE_RANGES: &str = "source-ranges";
}

/// The chain that services with external policy Local lead to.
pub(crate) const EXTERNAL_LOCAL: &str = "external-local";
/// The chain that refuses.
pub(crate) const REJECT: &str = "refuse";
/// The chain that knows who may connect to a load balancer's address.
pub(crate) const SOURCE_RANGES: &str = "source-ranges";

/// What a shared chain does before its dice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Role {
    /// Mark what does not come from a pod.
    Cluster,
    /// Mark everything.
    External,
    /// Mark nothing; endpoints of policy Cluster.
    Pods,
    /// Mark nothing; endpoints of policy Local.
    Local,
    /// Mark what comes from loopback; the pod of a host port.
    HostPort,
}

/// A shared chain: what it does, how many endpoints, for how long clients stay, and how the endpoint is drawn.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Shared {
    pub(crate) role: Role,
    pub(crate) count: u32,
    pub(crate) affinity: Option<u32>,
    /// Whether the packets are UDP datagrams. A resolver asks for A and AAAA at once from one socket: two packets that
    /// each meet no connection yet, and with dice of their own would go to two endpoints, where the second cannot be
    /// tracked any more and its answer may be lost (the 5 s stalls of kubernetes/kubernetes#56903). So a socket's
    /// datagrams go where its address and port say.
    pub(crate) datagrams: bool,
}

impl Shared {
    /// The chain's name: `cluster_3`, `cluster_3_udp`, `local_1_sticky_3600s`.
    pub(crate) fn name(&self) -> String {
        let role = match self.role {
            Role::Cluster => "cluster",
            Role::External => "external",
            Role::Pods => "pods",
            Role::Local => "local",
            Role::HostPort => "hostport",
        };
        let datagrams = if self.datagrams { "_udp" } else { "" };
        match self.affinity {
            None => format!("{role}_{}{datagrams}", self.count),
            Some(seconds) => format!("{role}_{}{datagrams}_sticky_{seconds}s", self.count),
        }
    }

    /// The chain itself.
    pub(crate) fn chain(&self, config: &Config) -> Chain {
        let mark = Statement::SetMark { of: MarkOf::Packet, to: MarkSource::Value(MASQUERADE) };
        let mut rules = match self.role {
            Role::Cluster => {
                let beyond = Statement::InNetwork {
                    left: Expression::SourceAddress,
                    negate: true,
                    network: config.cluster_cidr,
                };
                // Answers to the node's own address come back by themselves, and keep their ports in step.
                let mut matches = vec![beyond];
                matches.extend(config.addresses.first().map(|own| Statement::Compare {
                    left: Expression::SourceAddress,
                    negate: true,
                    right: Value::Address(*own),
                }));
                matches.push(mark);
                vec![Rule::new(matches).comment("from beyond pods and this node: answers must come back this way")]
            }
            Role::External => vec![Rule::new([mark]).comment("answers must come back this way")],
            Role::HostPort => {
                let loopback =
                    Statement::InNetwork { left: Expression::SourceAddress, negate: false, network: LOOPBACK };
                vec![Rule::new([loopback, mark]).comment("a pod cannot answer to loopback")]
            }
            Role::Pods | Role::Local => Vec::new(),
        };
        let offset = if matches!(self.role, Role::Local | Role::HostPort) { LOCAL_SLOTS } else { 0 };
        let modulus = self.count;
        let dice = service_and(match self.datagrams {
            true => Expression::Hashed { modulus, offset },
            false => Expression::Random { modulus, offset },
        });
        match self.affinity {
            None => rules.push(Rule::new([Statement::Dnat(NatTo::Map { key: dice, map: set::BACKENDS.into() })])),
            Some(seconds) => rules.extend(sticky(dice, seconds, self.role == Role::Local)),
        }
        Chain { base: None, rules }
    }
}

/// Two rules: a known client goes where it went before; any other, also one whose endpoint is gone, where the dice say.
/// Where only endpoints of this node count (`local`), a client that is known with another is as good as new.
fn sticky(dice: Vec<Expression>, seconds: u32, local: bool) -> [Rule; 2] {
    let client: Vec<Expression> = [Expression::SourceAddress].into_iter().chain(SERVICE).collect();
    let update = |kind, timeout| Statement::Update {
        kind,
        set: set::AFFINITY.into(),
        key: client.clone(),
        timeout,
        data: Some(Expression::ConnectionMark),
    };
    let remember = Some(Duration::from_secs(seconds.into()));
    let go = || {
        Statement::Dnat(NatTo::Map { key: service_and(Expression::ConnectionMark), map: set::AFFINITY_BACKENDS.into() })
    };
    let recall =
        |key, map: &str| Statement::SetMark { of: MarkOf::Connection, to: MarkSource::Map { key, map: map.into() } };
    let here = local.then_some(Statement::Masked {
        left: Expression::ConnectionMark,
        mask: LOCAL_ENDPOINT,
        value: LOCAL_ENDPOINT,
    });
    let known = [recall(client.clone(), set::AFFINITY)].into_iter().chain(here);
    [
        Rule::new(known.chain([update(UpdateKind::Update, remember), go()]).collect::<Vec<_>>())
            .comment("a known client"),
        Rule::new([
            recall(dice, set::AFFINITY_CHOICES),
            update(UpdateKind::Delete, None),
            update(UpdateKind::Update, remember),
            go(),
        ])
        .comment("a new client, or its endpoint is gone"),
    ]
}

/// What names a service in a packet.
const SERVICE: [Expression; 3] =
    [Expression::DestinationAddress, Expression::TransportProtocol, Expression::DestinationPort];

fn service_and(more: Expression) -> Vec<Expression> {
    SERVICE.into_iter().chain([more]).collect()
}

/// The table without any service.
pub(crate) fn skeleton(config: &Config, node: &NodeView) -> Table {
    let mut table = Table::new(Family::Ip, TABLE);
    table.sets = sets();
    let mut chain = |name: &str, base: Option<(ChainKind, Hook, i32)>, rules: Vec<Rule>| {
        let base = base.map(|(kind, hook, priority)| Base { kind, hook, priority });
        table.chains.insert(name.into(), Chain { base, rules });
    };
    let jump = |to: &str| Statement::Verdict(Verdict::Jump(to.into()));
    let new = || Statement::AnyBit { left: Expression::ConnectionState, bits: state::NEW };
    let vmap = |map: &str| Statement::VerdictMap { key: SERVICE.to_vec(), map: map.into() };
    let member = |key: Vec<Expression>, set: &str| Statement::Member { key, set: set.into(), negate: false };
    let mark = || Statement::SetMark { of: MarkOf::Packet, to: MarkSource::Value(MASQUERADE) };
    let from_here = || Statement::Local { of: FibOf::Source, negate: false };
    // Source ports stay where they can. A drawn one often meets a connection that the server remembers as closed
    // (TIME_WAIT) with a sequence that then runs backwards, and the client waits a second for its next try.
    let to_node = || Statement::Snat { to: NatTo::Fixed { address: node.source(), port: None }, fully_random: false };
    use ChainKind::{Filter, Nat};

    let firewall = || Rule::new([new(), vmap(set::FIREWALL)]);
    let not_loopback = Statement::Compare {
        left: Expression::InputLink,
        negate: true,
        right: Value::Link(LinkName::new("lo").unwrap_or_default()),
    };
    let to_loopback = Statement::InNetwork { left: Expression::DestinationAddress, negate: false, network: LOOPBACK };
    let stranger = Rule::new([not_loopback, new(), to_loopback, Statement::Verdict(Verdict::Drop)])
        .comment("loopback is for this node alone (CVE-2020-8558)");
    chain("firewall-prerouting", Some((Filter, Hook::Prerouting, -110)), vec![stranger, firewall()]);
    chain("firewall-output", Some((Filter, Hook::Output, -110)), vec![firewall()]);
    chain("nat-prerouting", Some((Nat, Hook::Prerouting, -100)), vec![Rule::new([jump("services")])]);
    chain("nat-output", Some((Nat, Hook::Output, -100)), vec![Rule::new([jump("services")])]);
    chain(
        "nat-postrouting",
        Some((Nat, Hook::Postrouting, 100)),
        vec![
            Rule::new([Statement::Masked { left: Expression::Mark, mask: MASQUERADE, value: MASQUERADE }, to_node()])
                .comment("answers must come back this way"),
            Rule::new([
                Statement::AnyBit { left: Expression::ConnectionStatus, bits: status::DNAT },
                member(vec![Expression::SourceAddress, Expression::DestinationAddress], set::HAIRPIN),
                to_node(),
            ])
            .comment("a pod that reaches itself through a service"),
        ],
    );
    let checks = |names: &[&str]| names.iter().map(|name| Rule::new([new(), jump(name)])).collect::<Vec<_>>();
    chain("filter-input", Some((Filter, Hook::Input, 0)), checks(&["endpoints-check"]));
    let mut forward = vec![
        Rule::new([
            Statement::AnyBit { left: Expression::ConnectionState, bits: state::INVALID },
            Statement::Verdict(Verdict::Drop),
        ])
        .comment("an answer without its connection would leave with the pod's address"),
    ];
    forward.extend(checks(&["endpoints-check", "cluster-ips-check"]));
    chain("filter-forward", Some((Filter, Hook::Forward, 0)), forward);
    chain("filter-output", Some((Filter, Hook::Output, 0)), checks(&["endpoints-check", "cluster-ips-check"]));

    chain(
        "services",
        None,
        vec![Rule::new([member(SERVICE.to_vec(), set::CONNECTIONS)]), Rule::new([vmap(set::SERVICES)])],
    );
    let from_pods =
        Statement::InNetwork { left: Expression::SourceAddress, negate: false, network: config.cluster_cidr };
    chain(
        EXTERNAL_LOCAL,
        None,
        vec![
            Rule::new([from_pods, vmap(set::POD_SERVICES)]).comment("no policy binds pods"),
            Rule::new([from_here(), mark()]),
            Rule::new([from_here(), vmap(set::POD_SERVICES)]).comment("nor this node itself"),
            Rule::new([vmap(set::LOCAL_SERVICES)]),
        ],
    );
    chain("endpoints-check", None, vec![Rule::new([vmap(set::NO_ENDPOINTS)])]);
    let to_services =
        Statement::InNetwork { left: Expression::DestinationAddress, negate: false, network: config.service_cidr };
    chain(
        "cluster-ips-check",
        None,
        vec![
            Rule::new([
                member(vec![Expression::DestinationAddress], set::CLUSTER_IPS),
                Statement::Reject(Reject::PortUnreachable),
            ])
            .comment("no such port"),
            Rule::new([to_services, Statement::Verdict(Verdict::Drop)]).comment("no such service"),
        ],
    );
    chain(REJECT, None, vec![Rule::new([Statement::Reject(Reject::PortUnreachable)])]);
    chain(
        SOURCE_RANGES,
        None,
        vec![
            Rule::new([
                member(service_and(Expression::SourceAddress), set::SOURCE_RANGES),
                Statement::Verdict(Verdict::Return),
            ]),
            Rule::new([Statement::Verdict(Verdict::Drop)]),
        ],
    );
    table
}

fn sets() -> BTreeMap<String, Set> {
    const KEY: [Type; 3] = [Type::Address, Type::Protocol, Type::Port];
    let with = |more: Type| -> Vec<Type> { KEY.into_iter().chain([more]).collect() };
    let target = [Type::Address, Type::Port];
    let mut connections = Set::new(KEY).comment("counts new connections to each service");
    connections.counter = true;
    let mut affinity =
        Set::map([&[Type::Address][..], &KEY].concat(), [Type::Mark]).comment("client and service, and the endpoint");
    (affinity.dynamic, affinity.timeout, affinity.size) = (true, true, Some(AFFINITY_SIZE));
    let mut source_ranges = Set::new(with(Type::Address)).comment("who may connect to a load balancer");
    source_ranges.interval = true;
    [
        (set::SERVICES, Set::verdict_map(KEY).comment("every address and port that leads to a service")),
        (set::LOCAL_SERVICES, Set::verdict_map(KEY).comment("external policy Local: endpoints of this node")),
        (set::POD_SERVICES, Set::verdict_map(KEY).comment("external policy Local: the way of pods")),
        (set::NO_ENDPOINTS, Set::verdict_map(KEY).comment("services that nobody answers here")),
        (set::FIREWALL, Set::verdict_map(KEY).comment("load balancers with source ranges")),
        (set::BACKENDS, Set::map(with(Type::Slot), target).comment("service and drawn number, and the endpoint")),
        (set::AFFINITY_CHOICES, Set::map(with(Type::Slot), [Type::Mark]).comment("drawn number, and the endpoint")),
        (set::AFFINITY_BACKENDS, Set::map(with(Type::Mark), target).comment("the endpoint's address and port")),
        (set::AFFINITY, affinity),
        (set::CONNECTIONS, connections),
        (set::SOURCE_RANGES, source_ranges),
        (set::HAIRPIN, Set::new([Type::Address, Type::Address]).comment("endpoints of this node")),
        (set::CLUSTER_IPS, Set::new([Type::Address]).comment("allocated service addresses")),
    ]
    .into_iter()
    .map(|(name, set)| (name.to_owned(), set))
    .collect()
}
