//! ClusterIPs, node ports and health-check node ports of Services: who has what, and what a write may take. Planning is
//! pure; [`Allocations::apply`] is called only for writes that go through.

mod addresses;
mod band;
mod carry;
mod fields;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use minisvc_api::field::{FieldError, FieldErrorKind};
use serde_json::{Value, json};

use self::addresses::Addresses;
pub(crate) use self::addresses::RANGES;
use self::band::{Band, Refused, reserved};
pub use self::carry::carry_over_service;
use crate::store::Options;

/// The resource whose writes are looked at here.
pub(crate) const SERVICES: &str = "services";

/// What is taken, by live services.
#[derive(Debug)]
pub(crate) struct Allocations {
    addresses: Addresses,
    ports: Band,
    port_range: String,
}

/// What one write takes and gives back.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    take_addresses: BTreeSet<u32>,
    release_addresses: BTreeSet<u32>,
    take_ports: BTreeSet<u32>,
    release_ports: BTreeSet<u32>,
    /// A ServiceCIDR by name, and what it gives from now on; `None`: it is gone.
    range: Option<(String, Option<Vec<Ipv4Net>>)>,
}

/// The numbers a service has.
#[derive(Debug, Default)]
struct Held {
    addresses: BTreeSet<u32>,
    ports: BTreeSet<u32>,
}

// === impl Allocations ===

impl Allocations {
    pub(crate) fn new(options: &Options) -> Allocations {
        let (low, high) = (*options.node_port_range.start(), *options.node_port_range.end());
        let ports = u64::from(high.saturating_sub(low)) + 1;
        Allocations {
            addresses: Addresses::new(options.service_cidr),
            ports: Band::new(u32::from(low)..=u32::from(high), reserved(ports, 32, 128)),
            port_range: format!("{low}-{high}"),
        }
    }

    /// Counts a stored service in, as it is.
    pub(crate) fn adopt(&mut self, service: &Value) {
        let held = Held::of(service);
        held.addresses.into_iter().for_each(|address| self.addresses.take(address));
        held.ports.into_iter().for_each(|port| self.ports.take(port));
    }

    /// Takes a stored ServiceCIDR into account, as it is.
    pub(crate) fn adopt_range(&mut self, name: &str, range: &Value) {
        let given = self.addresses.given(range);
        self.addresses.follow(name, Some(given));
    }

    /// What a write of a ServiceCIDR changes; `None` for a removal.
    pub(crate) fn plan_range(&self, name: &str, range: Option<&Value>) -> Change {
        let given = range.map(|range| self.addresses.given(range));
        Change { range: Some((name.to_owned(), given)), ..Change::default() }
    }

    /// Fills in `new` (the service after the write; `None` for a removal) and says what changes hands.
    pub(crate) fn plan(
        &self,
        new: Option<&mut Value>,
        old: Option<&Value>,
        rng: &mut fastrand::Rng,
    ) -> Result<Change, Vec<FieldError>> {
        let before = old.map(Held::of).unwrap_or_default();
        let Some(service) = new else {
            let Held { addresses, ports } = before;
            return Ok(Change { release_addresses: addresses, release_ports: ports, ..Change::default() });
        };
        if let Some(old) = old {
            carry_over_service(service, old);
        }
        self.plan_address(service, &before, rng)?;
        self.plan_ports(service, &before, rng)?;
        let after = Held::of(service);
        let less = |a: &BTreeSet<u32>, b: &BTreeSet<u32>| a.difference(b).copied().collect();
        Ok(Change {
            take_addresses: less(&after.addresses, &before.addresses),
            release_addresses: less(&before.addresses, &after.addresses),
            take_ports: less(&after.ports, &before.ports),
            release_ports: less(&before.ports, &after.ports),
            range: None,
        })
    }

    /// Makes a planned change.
    pub(crate) fn apply(&mut self, change: &Change) {
        if let Some((name, nets)) = &change.range {
            self.addresses.follow(name, nets.clone());
        }
        change.release_addresses.iter().for_each(|&address| self.addresses.release(address));
        change.take_addresses.iter().for_each(|&address| self.addresses.take(address));
        change.release_ports.iter().for_each(|&port| self.ports.release(port));
        change.take_ports.iter().for_each(|&port| self.ports.take(port));
    }

    fn plan_address(&self, service: &mut Value, before: &Held, rng: &mut fastrand::Rng) -> Result<(), Vec<FieldError>> {
        if !fields::needs_cluster_ip(service) {
            return Ok(());
        }
        let wanted = fields::cluster_ip(service).to_owned();
        match wanted.as_str() {
            "None" => {}
            "" => {
                let chosen = self.addresses.choose(rng).map_err(|_| {
                    vec![internal("spec.clusterIPs", "failed to allocate a serviceIP: range is full".into())]
                })?;
                fields::set_cluster_ip(service, &Ipv4Addr::from(chosen).to_string());
                return Ok(());
            }
            explicit => {
                let checked = match explicit.parse::<Ipv4Addr>().map(u32::from) {
                    Ok(number) if before.addresses.contains(&number) => Ok(()),
                    Ok(number) => self.addresses.check(number),
                    Err(_) => Err(Refused::NotInRange),
                };
                checked.map_err(|refused| vec![self.address_error(service, explicit, refused)])?;
            }
        }
        // Both fields say the same; further families are left as they are.
        let second = service["spec"]["clusterIPs"].as_array().map_or(0, Vec::len) > 1;
        if !second {
            fields::set_cluster_ip(service, &wanted);
        }
        Ok(())
    }

    fn plan_ports(&self, service: &mut Value, before: &Held, rng: &mut fastrand::Rng) -> Result<(), Vec<FieldError>> {
        let mut errors = Vec::new();
        // Explicit ones first, so that no dynamic one takes what a later port asks for by number.
        let mut mine: BTreeSet<u32> = BTreeSet::new();
        let mut seen: BTreeSet<(i64, String)> = BTreeSet::new();
        for (index, port) in fields::ports(service).iter().enumerate() {
            let number = fields::node_port(port);
            if number == 0 {
                continue;
            }
            let field = format!("spec.ports[{index}].nodePort");
            if !seen.insert((number, fields::protocol(port).to_owned())) {
                let (kind, value) = (FieldErrorKind::Duplicate, Some(json!(number)));
                errors.push(FieldError { kind, field, value, detail: String::new() });
                continue;
            }
            match self.check_port(number, before) {
                Ok(number) => drop(mine.insert(number)),
                Err(detail) => errors.push(invalid(field, json!(number), detail)),
            }
        }
        let health_check = fields::health_check(service);
        if health_check != 0 {
            let taken = || Err("provided port is already allocated".to_owned());
            let own = u32::try_from(health_check).is_ok_and(|number| mine.contains(&number));
            match if own { taken() } else { self.check_port(health_check, before) } {
                Ok(number) => drop(mine.insert(number)),
                Err(detail) => errors.push(internal(
                    "spec.healthCheckNodePort",
                    format!("failed to allocate requested HealthCheck NodePort {health_check}: {detail}"),
                )),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        if fields::allocates_node_ports(service) {
            self.fill_ports(service, &mut mine, rng)?;
        }
        if fields::needs_health_check(service) && health_check == 0 {
            let chosen = self.ports.choose(&mine, rng).map_err(|_| {
                let detail = "failed to allocate a HealthCheck NodePort 0: range is full";
                vec![internal("spec.healthCheckNodePort", detail.into())]
            })?;
            if let Some(spec) = fields::spec(service) {
                spec.insert("healthCheckNodePort".into(), json!(chosen));
            }
        }
        Ok(())
    }

    /// Absent node ports: the same `port` under another protocol shares one number (53/UDP and 53/TCP), others get
    /// a new one. Rule: Kubernetes' `initNodePorts`.
    fn fill_ports(
        &self,
        service: &mut Value,
        mine: &mut BTreeSet<u32>,
        rng: &mut fastrand::Rng,
    ) -> Result<(), Vec<FieldError>> {
        for index in 0..fields::ports(service).len() {
            let ports = fields::ports(service);
            let port = &ports[index];
            if fields::node_port(port) != 0 {
                continue;
            }
            let clashes = |number: i64| {
                let same = |other: &&Value| {
                    fields::node_port(other) == number && fields::protocol(other) == fields::protocol(port)
                };
                ports.iter().any(|other| same(&other))
            };
            let sibling = ports.iter().filter(|other| other["port"] == port["port"]).map(fields::node_port);
            let shared = sibling.filter(|&number| number != 0).find(|&number| !clashes(number));
            let number = match shared {
                Some(number) => number,
                None => {
                    let chosen = self.ports.choose(mine, rng).map_err(|_| {
                        let field = format!("spec.ports[{index}].nodePort");
                        vec![internal(&field, "failed to allocate a nodePort: range is full".into())]
                    })?;
                    mine.insert(chosen);
                    i64::from(chosen)
                }
            };
            if let Some(port) = fields::ports_mut(service)[index].as_object_mut() {
                port.insert("nodePort".into(), json!(number));
            }
        }
        Ok(())
    }

    fn check_port(&self, number: i64, before: &Held) -> Result<u32, String> {
        let number = u32::try_from(number).ok();
        if let Some(number) = number.filter(|number| before.ports.contains(number)) {
            return Ok(number);
        }
        match number.map_or(Err(Refused::NotInRange), |number| self.ports.check(number).map(|()| number)) {
            Ok(number) => Ok(number),
            Err(Refused::NotInRange) => {
                Err(format!("provided port is not in the valid range. The range of valid ports is {}", self.port_range))
            }
            Err(_) => Err("provided port is already allocated".into()),
        }
    }

    fn address_error(&self, service: &Value, address: &str, refused: Refused) -> FieldError {
        let cause = match refused {
            Refused::NotInRange => {
                let range = self.addresses.ranges();
                format!("the provided IP ({address}) is not in the valid range. The range of valid IPs is {range}")
            }
            _ => "provided IP is already allocated".into(),
        };
        let value = match &service["spec"]["clusterIPs"] {
            Value::Array(addresses) if !addresses.is_empty() => json!(addresses),
            _ => json!([address]),
        };
        invalid("spec.clusterIPs".into(), value, format!("failed to allocate IP {address}: {cause}"))
    }

    #[cfg(test)]
    fn taken(&self) -> (BTreeSet<u32>, BTreeSet<u32>) {
        (self.addresses.taken().clone(), self.ports.taken().clone())
    }
}

// === impl Held ===

impl Held {
    fn of(service: &Value) -> Held {
        let mut held = Held::default();
        if fields::needs_cluster_ip(service)
            && let Ok(address) = fields::cluster_ip(service).parse::<Ipv4Addr>()
        {
            held.addresses.insert(address.into());
        }
        let ports = fields::ports(service).iter().map(fields::node_port);
        let numbers = ports.chain([fields::health_check(service)]).filter(|&number| number > 0);
        held.ports = numbers.filter_map(|number| u32::try_from(number).ok()).collect();
        held
    }
}

fn invalid(field: String, value: Value, detail: String) -> FieldError {
    FieldError { kind: FieldErrorKind::Invalid, field, value: Some(value), detail }
}

fn internal(field: &str, detail: String) -> FieldError {
    FieldError { kind: FieldErrorKind::Internal, field: field.into(), value: None, detail }
}
