//! The addresses that Services can have: those of the ServiceCIDRs that are ready (KEP-1880), or of the server's own range
//! while no ServiceCIDR is known. Pure; randomness is passed in.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;
use serde_json::Value;

use super::band::{Band, Refused, reserved};

/// The resource whose objects say which ranges there are.
pub(crate) const RANGES: &str = "servicecidrs.networking.k8s.io";

/// Ranges and the addresses taken.
#[derive(Debug)]
pub(crate) struct Addresses {
    own: Ipv4Net,
    /// What each ServiceCIDR gives, by its name; nothing while it is not ready.
    named: BTreeMap<String, Vec<Ipv4Net>>,
    /// The server's own range first, where it is among them.
    bands: Vec<(Ipv4Net, Band)>,
    taken: BTreeSet<u32>,
}

impl Addresses {
    pub(crate) fn new(own: Ipv4Net) -> Self {
        let mut all = Self { own: own.trunc(), named: BTreeMap::new(), bands: Vec::new(), taken: BTreeSet::new() };
        all.lay_out();
        all
    }

    fn lay_out(&mut self) {
        let mut nets: Vec<Ipv4Net> = match self.named.is_empty() {
            true => vec![self.own],
            false => self.named.values().flatten().copied().collect(),
        };
        nets.sort_by_key(|net| (*net != self.own, *net));
        nets.dedup();
        let band = |net: &Ipv4Net| {
            let mut band = band(*net);
            self.taken.iter().for_each(|&address| band.take(address));
            (*net, band)
        };
        self.bands = nets.iter().map(band).collect();
    }

    /// Follows a ServiceCIDR, or its removal.
    pub(crate) fn follow(&mut self, name: &str, nets: Option<Vec<Ipv4Net>>) {
        let before = match nets {
            Some(nets) if self.named.get(name) == Some(&nets) => return,
            Some(nets) => self.named.insert(name.to_owned(), nets),
            None => self.named.remove(name),
        };
        if before != self.named.get(name).cloned() {
            self.lay_out();
        }
    }

    /// What a ServiceCIDR gives: its IPv4 ranges when it is ready and not being deleted. The server's own range is ready
    /// until something else is said of it.
    pub(crate) fn given(&self, range: &Value) -> Vec<Ipv4Net> {
        let cidrs = range["spec"]["cidrs"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let nets: Vec<Ipv4Net> = cidrs.filter_map(|text| text.parse().ok()).collect();
        let mut conditions = range["status"]["conditions"].as_array().into_iter().flatten();
        let ready = match conditions.find(|condition| condition["type"] == "Ready") {
            Some(condition) => condition["status"] == "True",
            None => nets.contains(&self.own),
        };
        if ready && !range["metadata"]["deletionTimestamp"].is_string() { nets } else { Vec::new() }
    }

    pub(crate) fn check(&self, address: u32) -> Result<(), Refused> {
        // Ranges may overlap; what is taken is so in all.
        let mut answers = self.bands.iter().map(|(_, band)| band.check(address));
        answers.find(|answer| *answer != Err(Refused::NotInRange)).unwrap_or(Err(Refused::NotInRange))
    }

    pub(crate) fn take(&mut self, address: u32) {
        self.taken.insert(address);
        self.bands.iter_mut().for_each(|(_, band)| band.take(address));
    }

    pub(crate) fn release(&mut self, address: u32) {
        self.taken.remove(&address);
        self.bands.iter_mut().for_each(|(_, band)| band.release(address));
    }

    /// A free address of the first range that has one.
    pub(crate) fn choose(&self, rng: &mut fastrand::Rng) -> Result<u32, Refused> {
        let none = BTreeSet::new();
        self.bands.iter().find_map(|(_, band)| band.choose(&none, rng).ok()).ok_or(Refused::Full)
    }

    /// The ranges, for people.
    pub(crate) fn ranges(&self) -> String {
        self.bands.iter().map(|(net, _)| net.to_string()).collect::<Vec<_>>().join(", ")
    }

    #[cfg(test)]
    pub(crate) fn taken(&self) -> &BTreeSet<u32> {
        &self.taken
    }
}

fn band(net: Ipv4Net) -> Band {
    let size = 1u64 << (32 - net.prefix_len());
    let (network, broadcast) = (u32::from(net.network()), u32::from(net.broadcast()));
    // A /32 or /31 has no address between network and broadcast: an empty range, always full.
    Band::new(network.saturating_add(1)..=broadcast.saturating_sub(1), reserved(size, 16, 256))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn net(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    fn is_in(number: u32, range: &str) -> bool {
        net(range).contains(&std::net::Ipv4Addr::from(number))
    }

    fn address(text: &str) -> u32 {
        text.parse::<std::net::Ipv4Addr>().unwrap().into()
    }

    #[test]
    fn further_ranges_give_when_the_first_is_full_or_leaves() {
        let mut rng = fastrand::Rng::with_seed(3);
        let mut all = Addresses::new(net("10.0.0.0/30"));
        assert_eq!(all.choose(&mut rng).map(|a| is_in(a, "10.0.0.0/30")), Ok(true));
        all.follow("kubernetes", Some(vec![net("10.0.0.0/30")]));
        all.follow("more", Some(vec![]));
        all.take(address("10.0.0.1"));
        all.take(address("10.0.0.2"));
        assert_eq!(all.choose(&mut rng), Err(Refused::Full), "the other is not ready");
        all.follow("more", Some(vec![net("9.0.0.0/30")]));
        let chosen = all.choose(&mut rng).unwrap();
        assert!(is_in(chosen, "9.0.0.0/30"));
        assert_eq!(all.ranges(), "10.0.0.0/30, 9.0.0.0/30");
        // The first is being deleted: what is free there is not given any more, what is taken stays taken.
        all.release(address("10.0.0.2"));
        all.follow("kubernetes", Some(vec![]));
        assert_eq!(all.check(address("10.0.0.2")), Err(Refused::NotInRange));
        all.follow("wide", Some(vec![net("10.0.0.0/24")]));
        assert_eq!(all.check(address("10.0.0.1")), Err(Refused::Allocated));
        assert_eq!(all.check(address("10.0.0.2")), Ok(()));
        for name in ["kubernetes", "more", "wide"] {
            all.follow(name, None);
        }
        assert_eq!(all.ranges(), "10.0.0.0/30", "the server's own while none is known");
    }

    #[test]
    fn what_a_range_gives() {
        let all = Addresses::new(net("10.96.0.0/12"));
        let mut range = json!({"metadata": {}, "spec": {"cidrs": ["10.0.0.0/24", "fd00::/64"]}});
        assert!(all.given(&range).is_empty());
        range["status"] = json!({"conditions": [{"type": "Ready", "status": "True"}]});
        assert_eq!(all.given(&range), [net("10.0.0.0/24")]);
        range["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert!(all.given(&range).is_empty());
        let mut own = json!({"metadata": {}, "spec": {"cidrs": ["10.96.0.0/12"]}});
        assert_eq!(all.given(&own), [net("10.96.0.0/12")]);
        own["status"] = json!({"conditions": [{"type": "Ready", "status": "False"}]});
        assert!(all.given(&own).is_empty());
    }
}
