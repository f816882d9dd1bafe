//! A node's rules as one value: the table, and who put each thing there. Changes are remembered as deltas, so that the
//! cost of a change follows the change. Must not look at Kubernetes objects nor speak to the kernel.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    net::Ipv4Addr,
};

use minisvc_kernel::nft::{Chain, Change, Data, Element, Key, Protocol, Table, Transaction, Value, Verdict};

use crate::{
    chains::{self, LOCAL_ENDPOINT, LOCAL_SLOTS, Role, Shared, set},
    config::{Config, NodeView},
    endpoints::Backend,
    service::{Frontend, FrontendPlan, Refusal, ServicePlan, Way},
};

type Place = (&'static str, Key);

/// A node's rules: the table for the kernel, with the reasons for its contents.
#[derive(Clone, Debug)]
pub struct Ruleset {
    config: Config,
    table: Table,
    /// Who claims a frontend; the first by name has it.
    claims: HashMap<Frontend, BTreeMap<String, FrontendPlan>>,
    cluster_ips: HashMap<Ipv4Addr, usize>,
    hairpin: HashMap<Ipv4Addr, usize>,
    shared: HashMap<Shared, usize>,
    /// What was where before the first change since the last [`Ruleset::take_change`].
    before: HashMap<Place, Option<Element>>,
    chains_before: BTreeMap<String, Option<Chain>>,
}

impl PartialEq for Ruleset {
    fn eq(&self, other: &Self) -> bool {
        self.table == other.table
    }
}

impl fmt::Display for Ruleset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table.fmt(f)
    }
}

impl Ruleset {
    /// The rules of a node without services.
    pub fn new(config: &Config, node: &NodeView) -> Self {
        Self {
            config: config.clone(),
            table: chains::skeleton(config, node),
            claims: HashMap::new(),
            cluster_ips: HashMap::new(),
            hairpin: HashMap::new(),
            shared: HashMap::new(),
            before: HashMap::new(),
            chains_before: BTreeMap::new(),
        }
    }

    /// The table for the kernel.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The plan that has a frontend.
    pub fn frontend(&self, frontend: &Frontend) -> Option<&FrontendPlan> {
        self.claims.get(frontend)?.values().next()
    }

    /// All frontends with their plans.
    pub fn frontends(&self) -> impl Iterator<Item = (&Frontend, &FrontendPlan)> {
        self.claims.iter().filter_map(|(frontend, claims)| Some((frontend, claims.values().next()?)))
    }

    /// Replaces what one service (`claimant`) put here: `old` by `new`.
    pub(crate) fn replace(&mut self, claimant: &str, old: &ServicePlan, new: &ServicePlan) {
        for address in &new.cluster_ips {
            if count_up(&mut self.cluster_ips, *address) {
                self.put(set::CLUSTER_IPS, vec![(*address).into()], Some(Element::default()));
            }
        }
        for address in &old.cluster_ips {
            if count_down(&mut self.cluster_ips, *address) {
                self.put(set::CLUSTER_IPS, vec![(*address).into()], None);
            }
        }
        let wanted: HashMap<&Frontend, &FrontendPlan> = new.frontends.iter().map(|(f, plan)| (f, plan)).collect();
        for (frontend, _) in old.frontends.iter().filter(|(frontend, _)| !wanted.contains_key(frontend)) {
            self.claim(claimant, *frontend, None);
        }
        for (frontend, plan) in &new.frontends {
            self.claim(claimant, *frontend, Some(plan));
        }
    }

    fn claim(&mut self, claimant: &str, frontend: Frontend, plan: Option<&FrontendPlan>) {
        let claims = self.claims.entry(frontend).or_default();
        let old = claims.values().next().cloned();
        match plan {
            Some(plan) => {
                claims.insert(claimant.to_owned(), plan.clone());
            }
            None => {
                claims.remove(claimant);
            }
        }
        let new = claims.values().next().cloned();
        if claims.is_empty() {
            self.claims.remove(&frontend);
        }
        if old == new {
            return;
        }
        let had = old.map(|plan| Contents::new(&frontend, &plan)).unwrap_or_default();
        let has = new.map(|plan| Contents::new(&frontend, &plan)).unwrap_or_default();
        // Gains first, so that what both use is never made anew.
        for shared in &has.shared {
            if count_up(&mut self.shared, *shared) {
                let chain = shared.chain(&self.config);
                self.put_chain(shared.name(), Some(chain));
            }
        }
        for address in &has.hairpin {
            if count_up(&mut self.hairpin, *address) {
                self.put(set::HAIRPIN, vec![(*address).into(); 2], Some(Element::default()));
            }
        }
        for (place, _) in had.elements.iter().filter(|(place, _)| !has.elements.contains_key(*place)) {
            self.put(place.0, place.1.clone(), None);
        }
        for (place, element) in has.elements {
            if had.elements.get(&place) != Some(&element) {
                self.put(place.0, place.1, Some(element));
            }
        }
        for address in &had.hairpin {
            if count_down(&mut self.hairpin, *address) {
                self.put(set::HAIRPIN, vec![(*address).into(); 2], None);
            }
        }
        for shared in &had.shared {
            if count_down(&mut self.shared, *shared) {
                self.put_chain(shared.name(), None);
            }
        }
    }

    fn put(&mut self, name: &'static str, key: Key, element: Option<Element>) {
        let Some(set) = self.table.sets.get_mut(name) else { return };
        let old = match element {
            Some(element) => set.elements.insert(key.clone(), element),
            None => set.elements.remove(&key),
        };
        self.before.entry((name, key)).or_insert(old);
    }

    fn put_chain(&mut self, name: String, chain: Option<Chain>) {
        let old = match chain {
            Some(chain) => self.table.chains.insert(name.clone(), chain),
            None => self.table.chains.remove(&name),
        };
        self.chains_before.entry(name).or_insert(old);
    }

    /// What leads the kernel from the rules at the last call to those of now.
    pub fn take_change(&mut self) -> Transaction {
        let mut transaction = Transaction::new(self.table.family, &self.table.name);
        let mut gone: BTreeMap<&str, BTreeMap<Key, Element>> = BTreeMap::new();
        let mut fresh: BTreeMap<&str, BTreeMap<Key, Element>> = BTreeMap::new();
        for ((name, key), old) in std::mem::take(&mut self.before) {
            let new = self.table.sets.get(name).and_then(|set| set.elements.get(&key));
            if old.as_ref() == new {
                continue;
            }
            if let Some(new) = new {
                fresh.entry(name).or_default().insert(key.clone(), new.clone());
            }
            if let Some(old) = old {
                gone.entry(name).or_default().insert(key, old);
            }
        }
        let (mut opened, mut closed) = (Vec::new(), Vec::new());
        for (name, old) in std::mem::take(&mut self.chains_before) {
            match (old, self.table.chains.get(&name)) {
                (None, Some(new)) => opened.push((name, new.clone())),
                (Some(_), None) => closed.push(name),
                _ => {}
            }
        }
        let changes = &mut transaction.changes;
        changes.extend(opened.iter().map(|(name, _)| Change::AddChain(name.clone(), Chain::default())));
        changes.extend(opened.into_iter().map(|(name, chain)| Change::AddRules(name, chain)));
        let lists = |all: BTreeMap<&str, BTreeMap<Key, Element>>| {
            all.into_iter()
                .map(|(name, list)| (name.to_owned(), list.into_iter().collect::<Vec<_>>()))
                .collect::<Vec<_>>()
        };
        changes.extend(lists(gone).into_iter().map(|(name, list)| Change::DeleteElements(name, list)));
        changes.extend(lists(fresh).into_iter().map(|(name, list)| Change::AddElements(name, list)));
        for name in closed {
            changes.push(Change::FlushChain(name.clone()));
            changes.push(Change::DeleteChain(name));
        }
        transaction
    }
}

fn count_up<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: K) -> bool {
    let count = counts.entry(key).or_default();
    *count += 1;
    *count == 1
}

fn count_down<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: K) -> bool {
    let Some(count) = counts.get_mut(&key) else { return false };
    *count -= 1;
    let last = *count == 0;
    if last {
        counts.remove(&key);
    }
    last
}

/// What one frontend puts into the table.
#[derive(Default)]
struct Contents {
    elements: BTreeMap<Place, Element>,
    shared: BTreeSet<Shared>,
    hairpin: BTreeSet<Ipv4Addr>,
}

impl Contents {
    fn new(frontend: &Frontend, plan: &FrontendPlan) -> Self {
        let mut contents = Self::default();
        let key = || -> Key { vec![frontend.address.into(), frontend.protocol.into(), frontend.port.into()] };
        let mut put = |name, key, element| {
            contents.elements.insert((name, key), element);
        };
        put(set::CONNECTIONS, key(), Element { comment: Some(plan.owner.clone()), ..Element::default() });
        let mut shared = BTreeSet::new();
        let mut lead = |role, list: &[Backend]| {
            let datagrams = frontend.protocol == Protocol::UDP;
            let each = Shared { role, count: list.len() as u32, affinity: plan.affinity, datagrams };
            shared.insert(each);
            Element::data(Data::Verdict(Verdict::Goto(each.name())))
        };
        let named = |element: Element| Element { comment: Some(plan.owner.clone()), ..element };
        match plan.way {
            Way::ExternalLocal => {
                if !plan.cluster.is_empty() || !plan.local.is_empty() {
                    let verdict = Verdict::Goto(chains::EXTERNAL_LOCAL.into());
                    put(set::SERVICES, key(), named(Element::data(Data::Verdict(verdict))));
                }
                if !plan.cluster.is_empty() {
                    put(set::POD_SERVICES, key(), lead(Role::Pods, &plan.cluster));
                }
                if !plan.local.is_empty() {
                    put(set::LOCAL_SERVICES, key(), lead(Role::Local, &plan.local));
                }
            }
            way => {
                let (role, list) = match way {
                    Way::Internal => (Role::Cluster, &plan.cluster),
                    Way::HostPort => (Role::HostPort, &plan.local),
                    _ => (Role::External, &plan.cluster),
                };
                if !list.is_empty() {
                    put(set::SERVICES, key(), named(lead(role, list)));
                }
            }
        }
        if let Some(refusal) = plan.refusal {
            let verdict = match refusal {
                Refusal::Reject => Verdict::Goto(chains::REJECT.into()),
                Refusal::Drop => Verdict::Drop,
            };
            put(set::NO_ENDPOINTS, key(), named(Element::data(Data::Verdict(verdict))));
        }
        if let Some(ranges) = &plan.source_ranges {
            let verdict = Verdict::Goto(chains::SOURCE_RANGES.into());
            put(set::FIREWALL, key(), Element::data(Data::Verdict(verdict)));
            for range in ranges {
                let bound = |address: Ipv4Addr| key().into_iter().chain([address.into()]).collect::<Key>();
                let end = Some(bound(range.broadcast()));
                put(set::SOURCE_RANGES, bound(range.network()), Element { end, ..Element::default() });
            }
        }
        let with = |value: Value| key().into_iter().chain([value]).collect::<Key>();
        for (offset, list) in [(0, &plan.cluster), (LOCAL_SLOTS, &plan.local)] {
            let mut taken = BTreeSet::new();
            for (slot, backend) in (offset..).zip(list.iter()) {
                let target = Element::data(Data::Values(vec![backend.address.into(), backend.port.into()]));
                if backend.local {
                    contents.hairpin.insert(backend.address);
                }
                if plan.affinity.is_none() {
                    put(set::BACKENDS, with(Value::Slot(slot)), target);
                    continue;
                }
                let local = offset != 0;
                let mut id = identity(backend, local);
                while !taken.insert(id) {
                    id = told_apart(id.wrapping_add(1), local);
                }
                let mark = Element::data(Data::Values(vec![Value::Mark(id)]));
                put(set::AFFINITY_CHOICES, with(Value::Slot(slot)), mark);
                put(set::AFFINITY_BACKENDS, with(Value::Mark(id)), target);
            }
        }
        contents.shared = shared;
        contents
    }
}

/// A number for an endpoint that stays when others come and go (FNV-1a), so that clients stay with theirs.
fn identity(backend: &Backend, local: bool) -> u32 {
    let bytes = backend.address.octets().into_iter().chain(backend.port.to_be_bytes());
    told_apart(bytes.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)), local)
}

/// Endpoints of policy Local have a bit of their own, so that nobody stays on another node when the policy changes; none
/// is 0.
fn told_apart(id: u32, local: bool) -> u32 {
    if local { id | LOCAL_ENDPOINT } else { (id & !LOCAL_ENDPOINT).max(1) }
}
