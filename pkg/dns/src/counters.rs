//! What the server counts, and the text that Prometheus reads. Names as CoreDNS has them where it has them.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;

use crate::zone::Zone;

const TYPES: [&str; 10] = ["A", "AAAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT", "other"];
const PROTOCOLS: [&str; 2] = ["udp", "tcp"];
const CODES: [&str; 7] = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "other"];

/// Counts of one server since its start.
#[derive(Debug, Default)]
pub struct Counters {
    requests: [[AtomicU64; TYPES.len()]; PROTOCOLS.len()],
    responses: [AtomicU64; CODES.len()],
    forwarded: AtomicU64,
    forward_failures: AtomicU64,
}

impl Counters {
    /// One question arrived; `None` when it had no readable type.
    pub fn request(&self, tcp: bool, kind: Option<RecordType>) {
        let column = match kind {
            Some(RecordType::A) => 0,
            Some(RecordType::AAAA) => 1,
            Some(RecordType::CNAME) => 2,
            Some(RecordType::MX) => 3,
            Some(RecordType::NS) => 4,
            Some(RecordType::PTR) => 5,
            Some(RecordType::SOA) => 6,
            Some(RecordType::SRV) => 7,
            Some(RecordType::TXT) => 8,
            _ => TYPES.len() - 1,
        };
        self.requests[usize::from(tcp)][column].fetch_add(1, Ordering::Relaxed);
    }

    /// One answer left.
    pub fn response(&self, code: ResponseCode) {
        let position = match code {
            ResponseCode::NoError => 0,
            ResponseCode::FormErr => 1,
            ResponseCode::ServFail => 2,
            ResponseCode::NXDomain => 3,
            ResponseCode::NotImp => 4,
            ResponseCode::Refused => 5,
            _ => 6,
        };
        self.responses[position].fetch_add(1, Ordering::Relaxed);
    }

    /// One question went to an upstream resolver, which answered or did not.
    pub fn forward(&self, answered: bool) {
        self.forwarded.fetch_add(1, Ordering::Relaxed);
        if !answered {
            self.forward_failures.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The metrics page.
    pub fn text(&self, zone: &Zone) -> String {
        let mut text = String::new();
        let head = |text: &mut String, name: &str, kind: &str, help: &str| {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        };
        head(&mut text, "coredns_dns_requests_total", "counter", "Questions by protocol and type.");
        for (protocol, row) in PROTOCOLS.iter().zip(&self.requests) {
            for (kind, count) in TYPES.iter().zip(row) {
                let count = count.load(Ordering::Relaxed);
                let _ = writeln!(text, "coredns_dns_requests_total{{proto=\"{protocol}\",type=\"{kind}\"}} {count}");
            }
        }
        head(&mut text, "coredns_dns_responses_total", "counter", "Answers by response code.");
        for (code, count) in CODES.iter().zip(&self.responses) {
            let count = count.load(Ordering::Relaxed);
            let _ = writeln!(text, "coredns_dns_responses_total{{rcode=\"{code}\"}} {count}");
        }
        let plain = [
            (
                "minisvc_dns_forwards_total",
                "counter",
                "Questions sent upstream.",
                self.forwarded.load(Ordering::Relaxed),
            ),
            (
                "minisvc_dns_forward_failures_total",
                "counter",
                "Questions that no upstream answered.",
                self.forward_failures.load(Ordering::Relaxed),
            ),
            ("minisvc_dns_services", "gauge", "Services with records.", zone.service_count() as u64),
            ("minisvc_dns_zone_serial", "counter", "Changes of the zone.", u64::from(zone.serial())),
        ];
        for (name, kind, help, value) in plain {
            head(&mut text, name, kind, help);
            let _ = writeln!(text, "{name} {value}");
        }
        text
    }
}
