//! Records and headers in BIND's layout. Pure.

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{RData, Record};

/// A record's data as BIND writes it.
pub(super) fn data(data: &RData) -> String {
    match data {
        RData::TXT(text) => {
            let quoted = |part: &[u8]| {
                let text = String::from_utf8_lossy(part).replace('\\', "\\\\").replace('"', "\\\"");
                format!("\"{text}\"")
            };
            text.txt_data.iter().map(|part| quoted(part)).collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    }
}

/// A record as a line of dig's: columns at 24, 32, 40 and 48, one blank where a column is passed already.
pub(super) fn record(record: &Record) -> String {
    let mut line = record.name.to_string();
    let mut at = line.len();
    let fields = [
        (24, record.ttl.to_string()),
        (32, record.dns_class.to_string()),
        (40, record.record_type().to_string()),
        (48, data(&record.data)),
    ];
    for (column, field) in fields {
        let (gap, reached) = indent(at, column);
        line += &gap;
        line += &field;
        at = reached + field.len();
    }
    line
}

/// The tabs and blanks from column `from` to column `to`, at least one; and the column reached.
fn indent(from: usize, to: usize) -> (String, usize) {
    let to = to.max(from + 1);
    let tabs = to / 8 - from / 8;
    let blanks = if tabs > 0 { to % 8 } else { to - from };
    ("\t".repeat(tabs) + &" ".repeat(blanks), to)
}

/// NOERROR, NXDOMAIN, SERVFAIL...
pub(super) fn status(code: ResponseCode) -> String {
    match code {
        ResponseCode::NoError => "NOERROR".to_owned(),
        ResponseCode::FormErr => "FORMERR".to_owned(),
        ResponseCode::ServFail => "SERVFAIL".to_owned(),
        ResponseCode::NXDomain => "NXDOMAIN".to_owned(),
        ResponseCode::NotImp => "NOTIMP".to_owned(),
        ResponseCode::Refused => "REFUSED".to_owned(),
        other => format!("RCODE{}", u16::from(other)),
    }
}

/// `qr aa rd ra`.
pub(super) fn flags(message: &Message) -> String {
    let head = &message.metadata;
    let all = [
        ("aa", head.authoritative),
        ("tc", head.truncation),
        ("rd", head.recursion_desired),
        ("ra", head.recursion_available),
        ("ad", head.authentic_data),
        ("cd", head.checking_disabled),
    ];
    let set = all.iter().filter(|(_, set)| *set).map(|(name, _)| *name);
    std::iter::once("qr").chain(set).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::rdata::{A, TXT};
    use hickory_proto::rr::{Name, RData};

    use super::*;

    #[test]
    fn columns_are_binds() {
        let line = |name: &str, ttl| {
            let name = Name::from_ascii(name).unwrap();
            record(&Record::from_rdata(name, ttl, RData::A(A::new(10, 96, 0, 1))))
        };
        assert_eq!(line("example.com.", 86400), "example.com.\t\t86400\tIN\tA\t10.96.0.1");
        assert_eq!(
            line("kubernetes.default.svc.cluster.local.", 5),
            "kubernetes.default.svc.cluster.local. 5\tIN A\t10.96.0.1"
        );
    }

    #[test]
    fn text_is_quoted() {
        assert_eq!(data(&RData::TXT(TXT::new(vec!["a\"b".into(), "c".into()]))), r#""a\"b" "c""#);
    }
}
