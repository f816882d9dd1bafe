//! The short way: questions for the address of a service, most of what cluster DNS hears, answered from the datagram's
//! bytes without building messages. Whatever is not such a question is left to the handler; the answers of both ways
//! are the same (tested). Pure.

use std::net::IpAddr;

use crate::zone::{TTL, Zone};

/// Length of a message's header (RFC 1035 section 4.1.1).
const HEADER: usize = 12;
/// Length of a question's type and class.
const TYPE_AND_CLASS: usize = 4;
/// Length of an OPT record without options (RFC 6891 section 6.1.2).
const OPT: usize = 11;
/// Longest name in text that is looked up here.
const NAME: usize = 255;
/// Room of an answer without EDNS (RFC 1035 section 4.2.1).
const PLAIN_ROOM: usize = 512;

const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
const TYPE_OPT: u16 = 41;
const CLASS_IN: u16 = 1;

/// The question's family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// Type A.
    V4,
    /// Type AAAA.
    V6,
}

/// A question that the short way understands.
struct Question<'a> {
    name: &'a str,
    family: Family,
    /// Where the question ends in the datagram.
    end: usize,
    /// The sender's payload size and whether it set DO, where it sent an OPT record.
    edns: Option<(u16, bool)>,
}

/// Writes the answer to `datagram` into `out` and tells its family; `None`, with nothing of use in `out`: the question
/// is not for the short way. `payload` is the largest answer that this server offers over UDP, in bytes.
pub(crate) fn answer(zone: &Zone, datagram: &[u8], payload: u16, out: &mut Vec<u8>) -> Option<Family> {
    let mut name = [0; NAME];
    let question = read(datagram, &mut name)?;
    let addresses = zone.service_addresses(question.name)?;
    let wanted = |address: &&IpAddr| address.is_ipv4() == (question.family == Family::V4);
    let count = addresses.iter().filter(wanted).count();
    // An empty answer carries the SOA record, more than one is shuffled: the handler's work.
    if count != 1 {
        return None;
    }
    out.clear();
    out.extend_from_slice(&datagram[..question.end]);
    // QR and AA, the client's RD; RA, the client's CD, NOERROR.
    out[2] = 0x84 | (datagram[2] & 0x01);
    out[3] = 0x80 | (datagram[3] & 0x10);
    for (at, count) in [(4, 1), (6, 1), (8, 0), (10, u16::from(question.edns.is_some()))] {
        out[at..at + 2].copy_from_slice(&u16::to_be_bytes(count));
    }
    for address in addresses.iter().filter(wanted) {
        let kind = if address.is_ipv4() { TYPE_A } else { TYPE_AAAA };
        // The owner is the question's name: a pointer to it (RFC 1035 section 4.1.4).
        out.extend_from_slice(&[0xc0, HEADER as u8]);
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&CLASS_IN.to_be_bytes());
        out.extend_from_slice(&TTL.to_be_bytes());
        match address {
            IpAddr::V4(address) => {
                out.extend_from_slice(&4_u16.to_be_bytes());
                out.extend_from_slice(&address.octets());
            }
            IpAddr::V6(address) => {
                out.extend_from_slice(&16_u16.to_be_bytes());
                out.extend_from_slice(&address.octets());
            }
        }
    }
    if let Some((asked, dnssec)) = question.edns {
        // Sizes below 512 count as 512 (RFC 6891 section 6.2.3).
        let room = asked.max(PLAIN_ROOM as u16).min(payload);
        out.push(0);
        out.extend_from_slice(&TYPE_OPT.to_be_bytes());
        out.extend_from_slice(&room.to_be_bytes());
        out.extend_from_slice(&[0, 0, if dnssec { 0x80 } else { 0 }, 0, 0, 0]);
    }
    // One address always fits; the check keeps that true.
    (out.len() <= PLAIN_ROOM).then_some(question.family)
}

/// One standard question of class IN for an address, with at most an OPT record of version 0 behind it.
fn read<'a>(datagram: &[u8], name: &'a mut [u8; NAME]) -> Option<Question<'a>> {
    let number = |at: usize| Some(u16::from_be_bytes([*datagram.get(at)?, *datagram.get(at + 1)?]));
    // A question (QR 0, opcode 0, not truncated), and one of it.
    if datagram.len() < HEADER || datagram[2] & 0xfa != 0 || number(4)? != 1 || number(6)? != 0 || number(8)? != 0 {
        return None;
    }
    let (mut at, mut length) = (HEADER, 0);
    loop {
        let label = usize::from(*datagram.get(at)?);
        at += 1;
        if label == 0 {
            break;
        }
        // Neither a pointer nor a label that no Kubernetes name has.
        let bytes = datagram.get(at..at + label).filter(|bytes| label < 64 && bytes.iter().all(plain))?;
        if length > 0 {
            *name.get_mut(length)? = b'.';
            length += 1;
        }
        for byte in bytes {
            *name.get_mut(length)? = byte.to_ascii_lowercase();
            length += 1;
        }
        at += label;
    }
    let family = match number(at)? {
        TYPE_A => Family::V4,
        TYPE_AAAA => Family::V6,
        _ => return None,
    };
    if number(at + 2)? != CLASS_IN {
        return None;
    }
    let end = at + TYPE_AND_CLASS;
    let edns = match number(10)? {
        0 if datagram.len() == end => None,
        1 => Some(opt(datagram.get(end..)?)?),
        _ => return None,
    };
    Some(Question { name: std::str::from_utf8(&name[..length]).ok()?, family, end, edns })
}

fn plain(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || *byte == b'-' || *byte == b'_'
}

/// The payload size and the DO flag of an OPT record that ends the message; its options mean nothing to this server.
fn opt(record: &[u8]) -> Option<(u16, bool)> {
    if record.len() < OPT || record[0] != 0 || record[1..3] != TYPE_OPT.to_be_bytes() {
        return None;
    }
    let (extended, version, flags) = (record[5], record[6], record[7]);
    let options = usize::from(u16::from_be_bytes([record[9], record[10]]));
    // Options are taken apart by the handler, which refuses malformed ones.
    if extended != 0 || version != 0 || options != 0 || record.len() != OPT {
        return None;
    }
    Some((u16::from_be_bytes([record[3], record[4]]), flags & 0x80 != 0))
}
