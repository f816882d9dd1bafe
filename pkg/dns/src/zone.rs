//! The zone as a value: what the cluster's names mean at one moment, and the answer to any question about them.
//!
//! Names are not stored as such: a query's name is taken apart and the service that it belongs to is looked up, so an
//! update costs as much as the services that changed. Must do no IO and must not know of messages or sockets.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

mod address;
mod plan;
mod shards;
mod text;

pub use plan::{Endpoint, Port, ServiceRecords, SliceEndpoints, plan_service, plan_slice};
use shards::Shards;
use text::below;
pub(crate) use text::lower;

/// Seconds for which answers and denials may be kept (kubeadm's setting for CoreDNS).
pub const TTL: u32 = 30;

/// Version of the DNS specification for Kubernetes that the records follow.
const DNS_VERSION: &str = "1.1.0";

/// Aliases are followed this many times.
const CHAIN: usize = 8;

/// Namespace and name of a service.
pub type ServiceKey = (Arc<str>, Arc<str>);

/// All names of the cluster at one moment. Cheap to clone; clones share what did not change.
#[derive(Debug, Clone)]
pub struct Zone {
    domain: Arc<str>,
    serial: u32,
    synced: bool,
    namespaces: Arc<BTreeSet<Arc<str>>>,
    services: Shards<String, Arc<ServiceRecords>>,
    reverse: Shards<IpAddr, Vec<Arc<str>>>,
}

/// What a zone says to a question.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// The asked name, or the one that its aliases end at, does not exist.
    pub no_such_name: bool,
    /// The zone is the authority for the asked name.
    pub authoritative: bool,
    /// In the order to send; sets are shuffled.
    pub records: Vec<Record>,
    /// Addresses of the targets in `records`.
    pub additional: Vec<Record>,
    /// A name outside the cluster that the answer goes on with: the asked one, or an alias' target.
    pub outside: Option<Name>,
}

/// What one name means, before aliases are followed.
enum Meaning {
    Outside,
    NoName,
    Records(Vec<RData>, Vec<Record>),
    Alias(Name),
}

impl Meaning {
    /// The name exists, without records of the asked type.
    fn no_data() -> Self {
        Self::Records(Vec::new(), Vec::new())
    }
}

impl Zone {
    /// Without any service; answers for the domain's fixed names only.
    pub fn empty(domain: &str) -> Self {
        Self {
            domain: domain.to_ascii_lowercase().into(),
            serial: 1,
            synced: false,
            namespaces: Arc::default(),
            services: Shards::default(),
            reverse: Shards::default(),
        }
    }

    /// Whether the zone holds all that the API listed at first.
    pub fn is_synced(&self) -> bool {
        self.synced
    }

    /// Declares the first listing complete.
    pub fn set_synced(&mut self) {
        self.synced = true;
    }

    /// Number of services with records.
    pub fn service_count(&self) -> usize {
        self.services.len()
    }

    /// Rises with every change; the serial of the SOA record.
    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// Sets the namespaces that exist.
    pub fn set_namespaces(&mut self, namespaces: BTreeSet<Arc<str>>) {
        self.namespaces = Arc::new(namespaces);
        self.serial = self.serial.wrapping_add(1);
    }

    /// Sets or removes the records of one service.
    pub fn set_service(&mut self, (namespace, name): &ServiceKey, records: Option<ServiceRecords>) {
        let key = format!("{name}.{namespace}").to_ascii_lowercase();
        let owner = format!("{key}.svc.{}.", self.domain);
        let old = self.services.get(&key).cloned();
        for (address, target) in old.iter().flat_map(|old| old.reverse(&owner)) {
            self.reverse.update(address, |names| {
                let names = names.get_or_insert_default();
                if let Some(position) = names.iter().position(|name| **name == *target) {
                    names.remove(position);
                }
                !names.is_empty()
            });
        }
        for (address, target) in records.iter().flat_map(|new| new.reverse(&owner)) {
            self.reverse.update(address, |names| {
                names.get_or_insert_default().push(target.clone().into());
                true
            });
        }
        self.services.update(key, |slot| {
            *slot = records.map(Arc::new);
            slot.is_some()
        });
        self.serial = self.serial.wrapping_add(1);
    }

    /// The cluster addresses of the service that `name` (in lower case, without its last dot) names; `None` for every
    /// other name, also for a headless service's.
    pub fn service_addresses(&self, name: &str) -> Option<&[IpAddr]> {
        let key = below(name, &self.domain)?.strip_suffix(".svc")?;
        match &**self.services.get(key)? {
            ServiceRecords::Addresses { addresses, .. } => Some(addresses),
            _ => None,
        }
    }

    /// The answer to a question for records of class IN. Owners of the first records keep the letter case of `name`.
    pub fn answer(&self, name: &Name, kind: RecordType) -> Answer {
        let mut answer = Answer::default();
        let mut owner = name.clone();
        for step in 0..CHAIN {
            let meaning = self.meaning(&owner, kind);
            if step == 0 {
                answer.authoritative = !matches!(meaning, Meaning::Outside);
            }
            match meaning {
                Meaning::Outside => {
                    answer.outside = Some(owner);
                    return answer;
                }
                Meaning::NoName => {
                    // An alias to a name that does not exist is still an answer, as CoreDNS has it.
                    answer.no_such_name = step == 0;
                    return answer;
                }
                Meaning::Records(mut data, additional) => {
                    fastrand::shuffle(&mut data);
                    answer.records.extend(data.into_iter().map(|data| Record::from_rdata(owner.clone(), TTL, data)));
                    answer.additional = additional;
                    return answer;
                }
                Meaning::Alias(target) => {
                    let alias = RData::CNAME(CNAME(target.clone()));
                    answer.records.push(Record::from_rdata(owner, TTL, alias));
                    if kind == RecordType::CNAME {
                        return answer;
                    }
                    owner = target;
                }
            }
        }
        answer
    }

    /// The SOA record that comes with denials.
    pub fn soa(&self) -> Record {
        Record::from_rdata(self.name(&[]), TTL, self.soa_data())
    }

    fn soa_data(&self) -> RData {
        let (server, mailbox) = (self.name(&["ns", "dns"]), self.name(&["hostmaster"]));
        RData::SOA(SOA::new(server, mailbox, self.serial, 7200, 1800, 86_400, TTL))
    }

    /// A name below the cluster domain. Labels come from objects that the API server has validated; one that is no
    /// label after all ends the name there.
    fn name(&self, labels: &[&str]) -> Name {
        let text = labels.iter().copied().chain([&*self.domain]).collect::<Vec<_>>().join(".");
        Name::from_ascii(format!("{text}.")).unwrap_or_else(|_| Name::root())
    }

    fn meaning(&self, name: &Name, kind: RecordType) -> Meaning {
        let Some(text) = lower(name) else { return Meaning::NoName };
        if let Some(rest) = below(&text, &self.domain) {
            let labels: Vec<&str> = rest.split('.').filter(|label| !label.is_empty()).collect();
            return self.inside(&labels, kind);
        }
        if let Some(address) = address::from_arpa(&text) {
            let names = self.reverse.get(&address).map(Vec::as_slice).unwrap_or_default();
            let names = names.iter().filter_map(|name| Name::from_ascii(name).ok());
            let data: Vec<RData> = names.map(|name| RData::PTR(PTR(name))).collect();
            return match data.is_empty() {
                true => Meaning::Outside,
                false if is(kind, RecordType::PTR) => Meaning::Records(data, Vec::new()),
                false => Meaning::no_data(),
            };
        }
        match below(&text, "nip.io").and_then(address::from_nip) {
            Some(address) => addresses(kind, [IpAddr::V4(address)]),
            None => Meaning::Outside,
        }
    }

    /// `labels` are those before the cluster domain, in the order of the name.
    fn inside(&self, labels: &[&str], kind: RecordType) -> Meaning {
        match labels {
            [] => match kind {
                RecordType::SOA => Meaning::Records(vec![self.soa_data()], Vec::new()),
                RecordType::NS => {
                    let server = self.name(&["ns", "dns"]);
                    let glue = self.dns_addresses().map(|address| record(&server, address)).collect();
                    Meaning::Records(vec![RData::NS(NS(server.clone()))], glue)
                }
                _ => Meaning::no_data(),
            },
            ["dns-version"] if is(kind, RecordType::TXT) => {
                Meaning::Records(vec![RData::TXT(TXT::new(vec![DNS_VERSION.into()]))], Vec::new())
            }
            ["dns-version" | "svc" | "pod" | "dns"] => Meaning::no_data(),
            ["ns", "dns"] => addresses(kind, self.dns_addresses()),
            [namespace, "svc" | "pod"] => self.in_namespace(namespace, Meaning::no_data),
            [pod, namespace, "pod"] => match address::from_dashes(pod) {
                Some(address) => self.in_namespace(namespace, || addresses(kind, [address])),
                None => Meaning::NoName,
            },
            [below @ .., service, namespace, "svc"] => match self.services.get(&format!("{service}.{namespace}")) {
                Some(records) => self.of_service(records, below, &[service, namespace, "svc"], kind),
                None => Meaning::NoName,
            },
            _ => Meaning::NoName,
        }
    }

    /// The address of the cluster's DNS service, which kubeadm calls kube-dns.
    fn dns_addresses(&self) -> impl Iterator<Item = IpAddr> {
        let service = self.services.get("kube-dns.kube-system").cloned();
        let addresses = match service.as_deref() {
            Some(ServiceRecords::Addresses { addresses, .. }) => addresses.clone(),
            _ => Vec::new(),
        };
        addresses.into_iter()
    }

    fn in_namespace(&self, namespace: &str, meaning: impl FnOnce() -> Meaning) -> Meaning {
        if self.namespaces.contains(namespace) { meaning() } else { Meaning::NoName }
    }

    fn of_service(&self, records: &ServiceRecords, below: &[&str], service: &[&str; 3], kind: RecordType) -> Meaning {
        match (records, below) {
            (ServiceRecords::Alias(target), []) => Meaning::Alias(target.clone()),
            (ServiceRecords::Addresses { addresses: own, ports }, []) => match kind {
                RecordType::SRV => self.srv(ports.iter().map(|port| (port, "", own.as_slice())), service),
                _ => addresses(kind, own.iter().copied()),
            },
            (ServiceRecords::Addresses { addresses: own, ports }, names) => {
                self.of_ports(ports.iter().map(|port| (port, "", own.as_slice())), names, service, kind)
            }
            (ServiceRecords::Endpoints(endpoints), []) if !endpoints.is_empty() => match kind {
                RecordType::SRV => self.srv(each_port(endpoints), service),
                _ => {
                    // Several slices may hold one address, each with other ports.
                    let own: BTreeSet<IpAddr> = endpoints.iter().map(|endpoint| endpoint.address).collect();
                    addresses(kind, own)
                }
            },
            (ServiceRecords::Endpoints(endpoints), [host]) if endpoints.iter().any(|e| *e.host == **host) => {
                let own: BTreeSet<IpAddr> =
                    endpoints.iter().filter(|e| *e.host == **host).map(|endpoint| endpoint.address).collect();
                addresses(kind, own)
            }
            (ServiceRecords::Endpoints(endpoints), names) => self.of_ports(each_port(endpoints), names, service, kind),
            _ => Meaning::NoName,
        }
    }

    /// `_port._protocol` below a service, and `_protocol`, which exists while a port below it does.
    fn of_ports<'a>(
        &self,
        ports: impl Iterator<Item = Target<'a>> + Clone,
        names: &[&str],
        service: &[&str; 3],
        kind: RecordType,
    ) -> Meaning {
        let (wanted, protocol) = match names {
            [port, protocol] => (port.strip_prefix('_'), protocol.strip_prefix('_')),
            [protocol] => (None, protocol.strip_prefix('_')),
            _ => return Meaning::NoName,
        };
        let Some(protocol) = protocol else { return Meaning::NoName };
        if names.len() == 2 && wanted.is_none() {
            return Meaning::NoName;
        }
        let found = ports.filter(|(port, ..)| {
            !port.name.is_empty() && port.protocol == protocol && wanted.is_none_or(|name| *port.name == *name)
        });
        match found.clone().next() {
            None => Meaning::NoName,
            Some(_) if wanted.is_some() && is(kind, RecordType::SRV) => self.srv(found, service),
            Some(_) => Meaning::no_data(),
        }
    }

    /// SRV records with the addresses of their targets beside them.
    fn srv<'a>(&self, targets: impl Iterator<Item = Target<'a>> + Clone, service: &[&str; 3]) -> Meaning {
        let weight = u16::try_from(100 / targets.clone().count().max(1)).unwrap_or(1).max(1);
        let (mut data, mut beside) = (Vec::new(), Vec::<Record>::new());
        for (port, host, addresses) in targets {
            let labels: Vec<&str> = [host].into_iter().chain(*service).filter(|label| !label.is_empty()).collect();
            let target = self.name(&labels);
            let value = RData::SRV(SRV::new(0, weight, port.number, target.clone()));
            if !data.contains(&value) {
                data.push(value);
            }
            for address in addresses {
                let record = record(&target, *address);
                if !beside.contains(&record) {
                    beside.push(record);
                }
            }
        }
        Meaning::Records(data, beside)
    }
}

/// A port, the host label of what stands behind it (empty for the service itself), and its addresses.
type Target<'a> = (&'a Port, &'a str, &'a [IpAddr]);

fn each_port(endpoints: &[Endpoint]) -> impl Iterator<Item = Target<'_>> + Clone {
    endpoints.iter().flat_map(|endpoint| {
        endpoint.ports.iter().map(|port| (port, &*endpoint.host, std::slice::from_ref(&endpoint.address)))
    })
}

fn record(owner: &Name, address: IpAddr) -> Record {
    Record::from_rdata(owner.clone(), TTL, data(address))
}

fn data(address: IpAddr) -> RData {
    match address {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    }
}

/// The addresses of the family that is asked for.
fn addresses(kind: RecordType, addresses: impl IntoIterator<Item = IpAddr>) -> Meaning {
    let asked = |address: &IpAddr| match kind {
        RecordType::A => address.is_ipv4(),
        RecordType::AAAA => address.is_ipv6(),
        RecordType::ANY => true,
        _ => false,
    };
    Meaning::Records(addresses.into_iter().filter(asked).map(data).collect(), Vec::new())
}

/// Whether a question for `asked` wants records of `kind`.
fn is(asked: RecordType, kind: RecordType) -> bool {
    asked == kind || asked == RecordType::ANY
}

#[cfg(test)]
mod tests;
