//! `typeof` descriptions in a set's user data: which expressions its fields come from, so that `nft list` can print a
//! set whose field has no type name (numbers that `numgen` draws). Layout as nft 1.0.6 writes it (its `expression.h`
//! numbers, libnftnl's `udata.h`). Must be used for nothing else: the kernel does not read it.

use super::value::Type;

const KIND: u8 = 0;
const DATA: u8 = 1;

const PAYLOAD: u32 = 7;
const META: u32 = 9;
const CT: u32 = 12;
const CONCAT: u32 = 13;
const NUMGEN: u32 = 23;

/// The modulus that a declaration names; any would do, the type is what counts.
const MODULUS: u32 = 65_536;

/// The description of a key or datum of these fields.
pub(crate) fn describe(types: &[Type]) -> Vec<u8> {
    match types {
        [one] => field(*one),
        many => {
            let mut inner = Vec::new();
            for (index, each) in many.iter().enumerate() {
                put(&mut inner, index as u8, &field(*each));
            }
            expression(CONCAT, &inner)
        }
    }
}

fn field(each: Type) -> Vec<u8> {
    match each {
        // protocol ip (12), field daddr (12)
        Type::Address => expression(PAYLOAD, &numbers(&[12, 12])),
        // protocol th (11), field dport (2)
        Type::Port => expression(PAYLOAD, &numbers(&[11, 2])),
        // NFT_META_L4PROTO
        Type::Protocol => expression(META, &numbers(&[16])),
        // NFT_META_IIFNAME
        Type::Link => expression(META, &numbers(&[6])),
        // random, modulus, offset
        Type::Slot => expression(NUMGEN, &numbers(&[1, MODULUS, 0])),
        // NFT_CT_MARK, no direction
        Type::Mark => expression(CT, &numbers(&[3, u32::MAX])),
    }
}

fn expression(kind: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    put(&mut bytes, KIND, &kind.to_ne_bytes());
    put(&mut bytes, DATA, data);
    bytes
}

fn numbers(list: &[u32]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (index, number) in list.iter().enumerate() {
        put(&mut bytes, index as u8, &number.to_ne_bytes());
    }
    bytes
}

fn put(bytes: &mut Vec<u8>, kind: u8, value: &[u8]) {
    bytes.push(kind);
    bytes.push(value.len() as u8);
    bytes.extend_from_slice(value);
}
