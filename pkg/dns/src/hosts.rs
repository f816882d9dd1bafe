//! Names from hosts files, as CoreDNS' plugin `hosts` answers them. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use hickory_proto::rr::rdata::{A, AAAA, PTR};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::corefile::within;
use crate::zone::lower;

/// How long clients may keep an answer, in seconds, where the Corefile does not say.
const TTL: u32 = 3600;

/// Names and addresses, and what becomes of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hosts {
    names: BTreeMap<String, Vec<IpAddr>>,
    reverse: BTreeMap<IpAddr, Vec<String>>,
    fall_through: Vec<String>,
    no_reverse: bool,
    /// How long clients may keep an answer, in seconds.
    pub ttl: u32,
}

impl Default for Hosts {
    fn default() -> Self {
        Self { names: BTreeMap::new(), reverse: BTreeMap::new(), fall_through: Vec::new(), no_reverse: false, ttl: TTL }
    }
}

/// What the table says to a question.
#[derive(Debug, PartialEq)]
pub(crate) enum Said {
    /// The name is known; perhaps without records of that type.
    Records(Vec<Record>),
    /// Another plugin is to be asked.
    Next,
    /// Nobody else is to be asked: `SERVFAIL`, as CoreDNS has it (there is no SOA for a denial).
    Nothing,
}

impl Hosts {
    /// Adds the lines of a hosts file: an address and its names, `#` begins a comment.
    pub(crate) fn add(&mut self, text: &str) {
        for line in text.lines() {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else { continue };
            for name in words.map(|word| word.trim_end_matches('.').to_ascii_lowercase()) {
                self.names.entry(name.clone()).or_default().push(address);
                self.reverse.entry(address).or_default().push(name);
            }
        }
    }

    /// Names that are not here but in these zones go on to the next plugin; the root zone is empty.
    pub(crate) fn fall_through(&mut self, zones: &[&str]) {
        self.fall_through.extend(zones.iter().map(|zone| zone.trim_matches('.').to_ascii_lowercase()));
    }

    /// Addresses have no names.
    pub(crate) fn forget_reverse(&mut self) {
        self.no_reverse = true;
    }

    /// The answer for a name, whose letter case the records keep.
    pub(crate) fn answer(&self, name: &Name, kind: RecordType) -> Said {
        let record = |data: RData| Record::from_rdata(name.clone(), self.ttl, data);
        if kind == RecordType::PTR {
            let address = name.parse_arpa_name().ok().map(|net| net.addr());
            let names = address.filter(|_| !self.no_reverse).and_then(|address| self.reverse.get(&address));
            let names = names.into_iter().flatten().filter_map(|text| Name::from_ascii(format!("{text}.")).ok());
            let records: Vec<Record> = names.map(|name| record(RData::PTR(PTR(name)))).collect();
            return if records.is_empty() { Said::Next } else { Said::Records(records) };
        }
        let text = lower(name).unwrap_or_default();
        match self.names.get(&text) {
            Some(addresses) => {
                let data = addresses.iter().filter_map(|address| match (address, kind) {
                    (IpAddr::V4(address), RecordType::A) => Some(RData::A(A(*address))),
                    (IpAddr::V6(address), RecordType::AAAA) => Some(RData::AAAA(AAAA(*address))),
                    _ => None,
                });
                Said::Records(data.map(record).collect())
            }
            None if self.fall_through.iter().any(|zone| within(&text, zone)) => Said::Next,
            None => Said::Nothing,
        }
    }
}
