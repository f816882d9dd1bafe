//! Transactions as netlink messages. Must not send them, nor judge whether they make sense.

use std::time::Duration;

use super::{
    attribute::{Writer, flag},
    change::{Change, Transaction},
    expression,
    number::{self, LIST_ELEMENT, data, element, message, rule, set, userdata},
    table::{Chain, ChainKind, DataType, Element, Family, Hook, Rule, Set},
    value::{Data, Key, Type, Value, Verdict},
};

/// One netlink attribute holds less than 64 KiB: element lists are split below this.
const LIST_LIMIT: usize = 60_000;

/// A transaction's messages, and which of its changes each sequence number came from.
pub(crate) struct Batch {
    pub(crate) bytes: Vec<u8>,
    /// (first sequence number, index into the changes), ascending; sequence 0 is the batch's begin.
    pub(crate) origins: Vec<(u32, usize)>,
}

pub(crate) fn family(family: Family) -> u8 {
    match family {
        Family::Inet => 1,
        Family::Ip => 2,
    }
}

/// Encodes the transaction. The begin message asks for an acknowledgement through its first change.
pub(crate) fn batch(transaction: &Transaction) -> Batch {
    let mut encoder = Encoder {
        out: Writer::default(),
        sequence: 1,
        family: family(transaction.family),
        table: &transaction.table,
        set_id: 0,
    };
    let mut origins = Vec::with_capacity(transaction.changes.len());
    let mark = encoder.out.start(number::BATCH_BEGIN, 0, 0, 0, 10);
    if let Some(generation) = transaction.generation {
        encoder.out.put_u32(number::BATCH_GENERATION, generation);
    }
    encoder.out.finish(mark);
    for (index, change) in transaction.changes.iter().enumerate() {
        origins.push((encoder.sequence, index));
        encoder.change(change);
    }
    let end = encoder.sequence;
    let mark = encoder.out.start(number::BATCH_END, 0, end, 0, 10);
    encoder.out.finish(mark);
    Batch { bytes: encoder.out.bytes, origins }
}

struct Encoder<'a> {
    out: Writer,
    sequence: u32,
    family: u8,
    table: &'a str,
    set_id: u32,
}

impl Encoder<'_> {
    fn message(&mut self, kind: u16, flags: u16, body: impl FnOnce(&mut Writer)) {
        let acknowledge = if self.sequence == 1 { flag::ACK } else { 0 };
        let mark = self.out.start(number::SUBSYSTEM | kind, flags | acknowledge, self.sequence, self.family, 0);
        // Attribute 1 of every object is its table's name.
        self.out.put_text(number::table::NAME, self.table);
        body(&mut self.out);
        self.out.finish(mark);
        self.sequence += 1;
    }

    fn change(&mut self, change: &Change) {
        match change {
            Change::AddTable => self.message(message::NEW_TABLE, flag::CREATE, |_| {}),
            Change::DeleteTable => self.message(message::DELETE_TABLE, 0, |_| {}),
            Change::AddChain(name, chain) => self.message(message::NEW_CHAIN, flag::CREATE, |out| {
                out.put_text(number::chain::NAME, name);
                base(out, chain);
            }),
            Change::DeleteChain(name) => {
                self.message(message::DELETE_CHAIN, 0, |out| out.put_text(number::chain::NAME, name));
            }
            Change::FlushChain(name) => {
                self.message(message::DELETE_RULE, 0, |out| out.put_text(rule::CHAIN, name));
            }
            Change::AddRules(name, chain) => {
                for each in &chain.rules {
                    self.message(message::NEW_RULE, flag::CREATE | flag::APPEND, |out| {
                        out.put_text(rule::CHAIN, name);
                        encode_rule(out, each);
                    });
                }
            }
            Change::AddSet(name, shape) => {
                self.set_id += 1;
                let id = self.set_id;
                self.message(message::NEW_SET, flag::CREATE, |out| {
                    out.put_text(set::NAME, name);
                    declaration(out, shape, id);
                });
            }
            Change::DeleteSet(name) => self.message(message::DELETE_SET, 0, |out| out.put_text(set::NAME, name)),
            Change::FlushSet(name) => {
                self.message(message::DELETE_ELEMENTS, 0, |out| out.put_text(element::SET, name));
            }
            Change::AddElements(name, list) => self.elements(message::NEW_ELEMENTS, flag::CREATE, name, list),
            Change::DeleteElements(name, list) => self.elements(message::DELETE_ELEMENTS, 0, name, list),
        }
    }

    fn elements(&mut self, kind: u16, flags: u16, name: &str, list: &[(Key, Element)]) {
        let whole = kind == message::NEW_ELEMENTS;
        let mut rest = list.iter();
        while !rest.as_slice().is_empty() {
            self.message(kind, flags, |out| {
                out.put_text(element::SET, name);
                let mark = out.open(element::LIST);
                let start = out.bytes.len();
                while out.bytes.len() - start < LIST_LIMIT {
                    let Some((key, body)) = rest.next() else { break };
                    encode_element(out, key, body, whole);
                }
                out.close(mark);
            });
        }
    }
}

fn base(out: &mut Writer, chain: &Chain) {
    let Some(base) = chain.base else { return };
    out.nest(number::chain::HOOK, |out| {
        let hook = match base.hook {
            Hook::Prerouting => 0,
            Hook::Input => 1,
            Hook::Forward => 2,
            Hook::Output => 3,
            Hook::Postrouting => 4,
        };
        out.put_u32(number::chain::HOOK_NUMBER, hook);
        out.put_u32(number::chain::HOOK_PRIORITY, base.priority as u32);
    });
    out.put_u32(number::chain::POLICY, 1);
    out.put_text(
        number::chain::TYPE,
        match base.kind {
            ChainKind::Filter => "filter",
            ChainKind::Nat => "nat",
        },
    );
}

fn encode_rule(out: &mut Writer, each: &Rule) {
    out.nest(rule::EXPRESSIONS, |out| {
        for (name, body) in expression::encode(each) {
            out.nest(LIST_ELEMENT, |out| {
                out.put_text(rule::EXPRESSION_NAME, name);
                out.put(rule::EXPRESSION_DATA | 0x8000, &body);
            });
        }
    });
    if let Some(text) = &each.comment {
        out.put(rule::USERDATA, &comment(userdata::COMMENT, text));
    }
}

/// A comment as nft stores it: kind, length, text with its zero byte.
fn comment(kind: u8, text: &str) -> Vec<u8> {
    let mut end = text.len().min(126);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut bytes = vec![kind, (end + 1) as u8];
    bytes.extend_from_slice(&text.as_bytes()[..end]);
    bytes.push(0);
    bytes
}

fn declaration(out: &mut Writer, shape: &Set, id: u32) {
    let concatenated_interval = shape.interval && shape.key.len() > 1;
    let mut flags = 0;
    for (on, bit) in [
        (shape.interval, set::FLAG_INTERVAL),
        (shape.data.is_some(), set::FLAG_MAP),
        (shape.timeout, set::FLAG_TIMEOUT),
        (shape.dynamic, set::FLAG_DYNAMIC),
        (concatenated_interval, set::FLAG_CONCAT),
    ] {
        flags |= if on { bit } else { 0 };
    }
    out.put_u32(set::FLAGS, flags);
    out.put_u32(set::KEY_TYPE, type_number(&shape.key));
    out.put_u32(set::KEY_LENGTH, length(&shape.key));
    match &shape.data {
        Some(DataType::Verdict) => {
            out.put_u32(set::DATA_TYPE, set::VERDICT_TYPE);
            out.put_u32(set::DATA_LENGTH, 0);
        }
        Some(DataType::Values(types)) => {
            out.put_u32(set::DATA_TYPE, type_number(types));
            out.put_u32(set::DATA_LENGTH, length(types));
        }
        None => {}
    }
    out.put_u32(set::ID, id);
    if concatenated_interval || shape.size.is_some() {
        out.nest(set::DESCRIPTION, |out| {
            if let Some(size) = shape.size {
                out.put_u32(set::DESCRIPTION_SIZE, size);
            }
            if concatenated_interval {
                out.nest(set::DESCRIPTION_CONCAT, |out| {
                    for field in &shape.key {
                        out.nest(LIST_ELEMENT, |out| out.put_u32(set::FIELD_LENGTH, natural(*field)));
                    }
                });
            }
        });
    }
    if shape.counter {
        out.nest(set::EXPRESSION, |out| {
            out.put_text(rule::EXPRESSION_NAME, "counter");
            out.nest(rule::EXPRESSION_DATA, |_| {});
        });
    }
    out.put(set::USERDATA, &set_userdata(shape));
}

/// What nft needs to print the set as it was meant: byte orders, `typeof` descriptions, the comment.
fn set_userdata(shape: &Set) -> Vec<u8> {
    let mut bytes = Vec::new();
    let put = |bytes: &mut Vec<u8>, kind: u8, value: &[u8]| {
        bytes.push(kind);
        bytes.push(value.len() as u8);
        bytes.extend_from_slice(value);
    };
    put(&mut bytes, userdata::KEY_ORDER, &order(&shape.key).to_ne_bytes());
    if let Some(DataType::Values(types)) = &shape.data {
        put(&mut bytes, userdata::DATA_ORDER, &order(types).to_ne_bytes());
    }
    if shape.key.contains(&Type::Slot) {
        put(&mut bytes, userdata::KEY_TYPEOF, &super::typeof_::describe(&shape.key));
        if let Some(DataType::Values(types)) = &shape.data {
            put(&mut bytes, userdata::DATA_TYPEOF, &super::typeof_::describe(types));
        }
    }
    if let Some(text) = &shape.comment {
        bytes.extend_from_slice(&comment(userdata::SET_COMMENT, text));
    }
    bytes
}

/// nft's byte order of a key or datum: 1 is the host's, 2 is big endian, 0 is unsaid (concatenations).
fn order(types: &[Type]) -> u32 {
    match types {
        [Type::Slot | Type::Mark | Type::Link] => 1,
        [_] => 2,
        _ => 0,
    }
}

fn encode_element(out: &mut Writer, key: &Key, body: &Element, whole: bool) {
    out.nest(LIST_ELEMENT, |out| {
        values(out, element::KEY, key);
        if let Some(end) = &body.end {
            values(out, element::KEY_END, end);
        }
        if !whole {
            return;
        }
        match &body.data {
            Some(Data::Values(list)) => values(out, element::DATA, list),
            Some(Data::Verdict(verdict)) => out.nest(element::DATA, |out| encode_verdict(out, verdict)),
            None => {}
        }
        if let Some(timeout) = body.timeout {
            out.put_u64(element::TIMEOUT, milliseconds(timeout));
        }
        if let Some(text) = &body.comment {
            out.put(element::USERDATA, &comment(userdata::COMMENT, text));
        }
    });
}

pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn values(out: &mut Writer, kind: u16, list: &[Value]) {
    let outer = out.open(kind);
    let inner = out.bytes.len();
    out.bytes.extend_from_slice(&[0; 2]);
    out.bytes.extend_from_slice(&data::VALUE.to_ne_bytes());
    joined(&mut out.bytes, list);
    let length = (out.bytes.len() - inner) as u16;
    out.bytes[inner..inner + 2].copy_from_slice(&length.to_ne_bytes());
    while !out.bytes.len().is_multiple_of(4) {
        out.bytes.push(0);
    }
    out.close(outer);
}

/// Values as the kernel joins them: each padded to four bytes; a single one has its natural length.
pub(crate) fn joined(out: &mut Vec<u8>, list: &[Value]) {
    for value in list {
        match value {
            Value::Address(address) => out.extend_from_slice(&address.octets()),
            Value::Protocol(protocol) => out.push(protocol.0),
            Value::Port(port) => out.extend_from_slice(&port.to_be_bytes()),
            Value::Slot(number) | Value::Mark(number) => out.extend_from_slice(&number.to_ne_bytes()),
            Value::Link(name) => out.extend_from_slice(name.bytes()),
        }
        if list.len() > 1 {
            while !out.len().is_multiple_of(4) {
                out.push(0);
            }
        }
    }
}

/// Writes a verdict's attributes inside a data attribute.
pub(crate) fn encode_verdict(out: &mut Writer, verdict: &Verdict) {
    let code = match verdict {
        Verdict::Accept => data::ACCEPT,
        Verdict::Drop => data::DROP,
        Verdict::Return => data::RETURN,
        Verdict::Jump(_) => data::JUMP,
        Verdict::Goto(_) => data::GOTO,
    };
    out.nest_unflagged(data::VERDICT, |out| {
        out.put_u32(data::VERDICT_CODE, code as u32);
        if let Some(chain) = verdict.chain() {
            out.put_text(data::VERDICT_CHAIN, chain);
        }
    });
}

/// A field's own length in bytes.
pub(crate) fn natural(field: Type) -> u32 {
    match field {
        Type::Address | Type::Slot | Type::Mark => 4,
        Type::Protocol => 1,
        Type::Port => 2,
        Type::Link => 16,
    }
}

fn length(types: &[Type]) -> u32 {
    match types {
        [one] => natural(*one),
        many => many.iter().map(|field| natural(*field).next_multiple_of(4)).sum(),
    }
}

/// nft's number of a type (nftables `datatype.h`); joined types have six bits each.
pub(crate) fn type_number(types: &[Type]) -> u32 {
    types.iter().fold(0, |sum, field| {
        let number = match field {
            Type::Slot => 4,
            Type::Address => 7,
            Type::Protocol => 12,
            Type::Port => 13,
            Type::Mark => 19,
            Type::Link => 41,
        };
        sum << 6 | number
    })
}
