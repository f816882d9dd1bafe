//! What the kernel says it holds, and how that differs from a table as meant. Rules are compared as register programs:
//! every attribute that we would send must be there with the same bytes.

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use super::{
    attribute::{Attributes, Message, text},
    expression,
    number::{self, data, element, rule as rule_number, set as set_number, userdata},
    table::{Base, ChainKind, DataType, Element, Hook, Rule, Set, Table},
    value::{Data, Key, LinkName, Protocol, Type, Value, Verdict},
};

/// A named thing from a dump.
pub(crate) struct Listed<T> {
    pub(crate) name: String,
    pub(crate) value: T,
}

/// An element as the kernel holds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedElement {
    /// Its key.
    pub key: Key,
    /// Its data, interval's end, timeout and comment.
    pub element: Element,
    /// How long it still lives.
    pub expires: Option<Duration>,
    /// Packets and bytes that were looked up, in counting sets.
    pub counter: Option<(u64, u64)>,
}

/// A rule as the kernel holds it: a register program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedRule {
    expressions: Vec<(String, Vec<u8>)>,
    comment: Option<String>,
}

impl ListedRule {
    /// What a reader of `nft list ruleset` sees beside it.
    pub fn comment(&self) -> Option<&str> {
        self.comment.as_deref()
    }

    /// Packets and bytes of the rule's first `counter` statement.
    pub fn counter(&self) -> Option<(u64, u64)> {
        let (_, body) = self.expressions.iter().find(|(name, _)| name == "counter")?;
        Some((Attributes(body).u64(2)?, Attributes(body).u64(1)?))
    }

    /// Whether this is the given rule.
    pub fn is(&self, wanted: &Rule) -> bool {
        let program = expression::encode(wanted);
        self.comment == wanted.comment
            && program.len() == self.expressions.len()
            && program
                .iter()
                .zip(&self.expressions)
                .all(|((name, sent), (listed, held))| name == listed && covers(Attributes(held), Attributes(sent)))
    }
}

/// A chain as the kernel holds it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ListedChain {
    /// Its hook, if it has one.
    pub base: Option<Base>,
    /// Its rules in order.
    pub rules: Vec<ListedRule>,
}

/// A table as the kernel holds it.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// The chains by name.
    pub chains: BTreeMap<String, ListedChain>,
    /// The sets by name, each with its elements.
    pub sets: BTreeMap<String, (Set, Vec<ListedElement>)>,
}

impl Listing {
    /// How the kernel's table differs from the one meant, in words; empty when it is the same. Elements of dynamic
    /// sets, which rules add, do not count.
    pub fn differences(&self, table: &Table) -> Vec<String> {
        let mut found = Vec::new();
        for name in self.chains.keys().filter(|name| !table.chains.contains_key(*name)) {
            found.push(format!("chain {name} is too many"));
        }
        for name in self.sets.keys().filter(|name| !table.sets.contains_key(*name)) {
            found.push(format!("set {name} is too many"));
        }
        for (name, wanted) in &table.chains {
            let Some(held) = self.chains.get(name) else {
                found.push(format!("chain {name} is missing"));
                continue;
            };
            if held.base != wanted.base {
                found.push(format!("chain {name} hangs on another hook"));
            }
            if held.rules.len() != wanted.rules.len() {
                found.push(format!("chain {name} has {} rules, not {}", held.rules.len(), wanted.rules.len()));
            }
            for (index, (held, wanted)) in held.rules.iter().zip(&wanted.rules).enumerate() {
                if !held.is(wanted) {
                    found.push(format!("chain {name}, rule {index} is not: {wanted}"));
                }
            }
        }
        for (name, wanted) in &table.sets {
            let Some((shape, elements)) = self.sets.get(name) else {
                found.push(format!("set {name} is missing"));
                continue;
            };
            if (Set { elements: BTreeMap::new(), ..wanted.clone() }) != *shape {
                found.push(format!("set {name} is another one"));
            }
            if wanted.dynamic {
                continue;
            }
            let held: BTreeMap<&Key, &Element> = elements.iter().map(|each| (&each.key, &each.element)).collect();
            for (key, element) in &wanted.elements {
                if held.get(key) != Some(&element) {
                    found.push(format!("set {name}: element {key:?} is {:?}, not {element:?}", held.get(key)));
                }
            }
            for key in held.keys().filter(|key| !wanted.elements.contains_key(**key)) {
                found.push(format!("set {name}: element {key:?} is too many"));
            }
        }
        found
    }
}

/// Whether `held` has every attribute of `sent` with the same bytes; the kernel adds some of its own.
fn covers(held: Attributes<'_>, mut sent: Attributes<'_>) -> bool {
    sent.all(|(kind, value)| held.get(kind) == Some(value))
}

fn named<T>(reply: &Message<'_>, kind: u16, value: impl FnOnce(Attributes<'_>) -> Option<T>) -> Option<Listed<T>> {
    let attributes = reply.attributes();
    Some(Listed { name: attributes.text(kind)?, value: value(attributes)? })
}

pub(crate) fn chain(reply: &Message<'_>) -> Option<Listed<ListedChain>> {
    named(reply, number::chain::NAME, |attributes| {
        let base = attributes.inside(number::chain::HOOK).and_then(|hook| {
            Some(Base {
                kind: match attributes.text(number::chain::TYPE)?.as_str() {
                    "nat" => ChainKind::Nat,
                    _ => ChainKind::Filter,
                },
                hook: match hook.u32(number::chain::HOOK_NUMBER)? {
                    0 => Hook::Prerouting,
                    1 => Hook::Input,
                    2 => Hook::Forward,
                    3 => Hook::Output,
                    _ => Hook::Postrouting,
                },
                priority: hook.u32(number::chain::HOOK_PRIORITY)? as i32,
            })
        });
        Some(ListedChain { base, rules: Vec::new() })
    })
}

pub(crate) fn rule(reply: &Message<'_>) -> Option<Listed<ListedRule>> {
    named(reply, rule_number::CHAIN, |attributes| {
        let expressions = attributes
            .inside(rule_number::EXPRESSIONS)
            .into_iter()
            .flatten()
            .map(|(_, body)| {
                let each = Attributes(body);
                let name = each.text(rule_number::EXPRESSION_NAME).unwrap_or_default();
                (name, each.get(rule_number::EXPRESSION_DATA).unwrap_or_default().to_vec())
            })
            .collect();
        let comment =
            attributes.get(rule_number::USERDATA).and_then(|bytes| tagged(bytes, userdata::COMMENT)).map(text);
        Some(ListedRule { expressions, comment })
    })
}

/// The value of one kind in user data.
fn tagged(mut bytes: &[u8], kind: u8) -> Option<&[u8]> {
    while let [each, length, rest @ ..] = bytes {
        let value = rest.get(..usize::from(*length))?;
        if *each == kind {
            return Some(value);
        }
        bytes = &rest[value.len()..];
    }
    None
}

pub(crate) fn set(reply: &Message<'_>) -> Option<Listed<Set>> {
    named(reply, set_number::NAME, |attributes| {
        let flags = attributes.u32(set_number::FLAGS).unwrap_or_default();
        let data = (flags & set_number::FLAG_MAP != 0).then(|| match attributes.u32(set_number::DATA_TYPE) {
            Some(set_number::VERDICT_TYPE) | None => DataType::Verdict,
            Some(number) => DataType::Values(types(number)),
        });
        let description = attributes.inside(set_number::DESCRIPTION);
        let comment =
            attributes.get(set_number::USERDATA).and_then(|bytes| tagged(bytes, userdata::SET_COMMENT)).map(text);
        Some(Set {
            data,
            dynamic: flags & set_number::FLAG_DYNAMIC != 0,
            timeout: flags & set_number::FLAG_TIMEOUT != 0,
            interval: flags & set_number::FLAG_INTERVAL != 0,
            counter: attributes.get(set_number::EXPRESSION).is_some(),
            size: description.and_then(|d| d.u32(set_number::DESCRIPTION_SIZE)),
            comment,
            ..Set::new(types(attributes.u32(set_number::KEY_TYPE)?))
        })
    })
}

/// A type's number back to its fields; unknown ones are left out.
fn types(mut number: u32) -> Vec<Type> {
    let mut list = Vec::new();
    while number != 0 {
        list.extend(match number & 0x3f {
            4 => Some(Type::Slot),
            7 => Some(Type::Address),
            12 => Some(Type::Protocol),
            13 => Some(Type::Port),
            19 => Some(Type::Mark),
            41 => Some(Type::Link),
            _ => None,
        });
        number >>= 6;
    }
    list.reverse();
    list
}

pub(crate) fn elements(reply: &Message<'_>, shape: &Set) -> Option<Listed<Vec<ListedElement>>> {
    named(reply, element::SET, |attributes| {
        let list = attributes.inside(element::LIST)?;
        Some(list.filter_map(|(_, body)| one(Attributes(body), shape)).collect())
    })
}

fn one(body: Attributes<'_>, shape: &Set) -> Option<ListedElement> {
    if body.u32(element::FLAGS).unwrap_or_default() & element::FLAG_INTERVAL_END != 0 {
        return None;
    }
    let key = values(body.inside(element::KEY)?.get(data::VALUE)?, &shape.key)?;
    let end = body.inside(element::KEY_END).and_then(|end| values(end.get(data::VALUE)?, &shape.key));
    let answer = body.inside(element::DATA).and_then(|answer| match &shape.data {
        Some(DataType::Values(types)) => Some(Data::Values(values(answer.get(data::VALUE)?, types)?)),
        _ => Some(Data::Verdict(verdict(answer.inside(data::VERDICT)?)?)),
    });
    let counter = body
        .inside(element::EXPRESSION)
        .or_else(|| body.inside(element::EXPRESSIONS).and_then(|list| list.inside(number::LIST_ELEMENT)))
        .and_then(|each| each.inside(rule_number::EXPRESSION_DATA))
        .and_then(|counter| Some((counter.u64(2)?, counter.u64(1)?)));
    let comment = body.get(element::USERDATA).and_then(|bytes| tagged(bytes, userdata::COMMENT)).map(text);
    Some(ListedElement {
        key,
        element: Element { end, data: answer, timeout: body.u64(element::TIMEOUT).map(Duration::from_millis), comment },
        expires: body.u64(element::EXPIRATION).map(Duration::from_millis),
        counter,
    })
}

fn verdict(body: Attributes<'_>) -> Option<Verdict> {
    let chain = body.text(data::VERDICT_CHAIN);
    Some(match body.u32(data::VERDICT_CODE)? as i32 {
        data::DROP => Verdict::Drop,
        data::ACCEPT => Verdict::Accept,
        data::JUMP => Verdict::Jump(chain?),
        data::GOTO => Verdict::Goto(chain?),
        data::RETURN => Verdict::Return,
        _ => return None,
    })
}

fn values(mut bytes: &[u8], types: &[Type]) -> Option<Vec<Value>> {
    let mut list = Vec::with_capacity(types.len());
    for each in types {
        let length = super::encode::natural(*each) as usize;
        let own = bytes.get(..length)?;
        list.push(match each {
            Type::Address => Value::Address(Ipv4Addr::from(<[u8; 4]>::try_from(own).ok()?)),
            Type::Protocol => Value::Protocol(Protocol(own[0])),
            Type::Port => Value::Port(u16::from_be_bytes([own[0], own[1]])),
            Type::Slot => Value::Slot(u32::from_ne_bytes(own.try_into().ok()?)),
            Type::Mark => Value::Mark(u32::from_ne_bytes(own.try_into().ok()?)),
            Type::Link => Value::Link(LinkName::from_bytes(own.try_into().ok()?)),
        });
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(list)
}
