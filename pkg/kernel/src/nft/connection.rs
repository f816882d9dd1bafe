//! The way to one namespace's nftables: commits transactions, reads back what the kernel holds.

use std::{collections::BTreeMap, io};

use super::{
    attribute::{Writer, flag},
    change::{Change, Transaction},
    encode::{self, family},
    listing::{self, Listed, ListedElement, Listing},
    netlink::Netlink,
    number::{self, message},
    table::{Family, Set},
};
use crate::{Error, Netns, Result};

/// A netfilter socket inside one network namespace. Calls are synchronous: the kernel answers within the call.
pub struct Connection {
    netlink: Netlink,
}

impl Connection {
    /// Opens a socket inside `namespace`; it may then be used from any thread.
    ///
    /// # Errors
    /// When the namespace cannot be entered or netfilter sockets are refused.
    pub fn open(namespace: &Netns) -> Result<Self> {
        Ok(Self { netlink: Netlink::open(namespace)? })
    }

    /// Makes all changes, or none.
    ///
    /// # Errors
    /// Names the object whose change the kernel refused, and its reason. `ERESTART` (85) means that the ruleset's
    /// generation is not the transaction's.
    pub fn commit(&mut self, transaction: &Transaction) -> Result<()> {
        if transaction.is_empty() {
            return Ok(());
        }
        let batch = encode::batch(transaction);
        let whole = || format!("table {} {}", transaction.family.as_str(), transaction.table);
        self.netlink
            .drain(|_| {})
            .and_then(|()| self.netlink.send(&batch.bytes))
            .map_err(|cause| Error::new("send nftables transaction for", whole(), cause))?;
        let (mut answered, mut failure) = (false, None::<(u32, i32)>);
        let outcome = self.netlink.drain(|reply| {
            answered = true;
            let errno = -reply.error();
            if errno != 0 && failure.is_none() {
                failure = Some((reply.sequence, errno));
            }
        });
        if let Some((sequence, errno)) = failure {
            let index = batch.origins.partition_point(|(first, _)| *first <= sequence);
            let change = index.checked_sub(1).and_then(|i| transaction.changes.get(batch.origins[i].1));
            let (operation, object) = change.map_or(("commit", String::new()), describe);
            return Err(Error::from_errno(operation, format!("{object}{}", whole()), errno));
        }
        outcome.map_err(|cause| Error::new("read the answer for", whole(), cause))?;
        if answered {
            return Ok(());
        }
        Err(Error::new("commit", whole(), io::Error::new(io::ErrorKind::TimedOut, "the kernel did not answer")))
    }

    /// The ruleset's generation in this namespace: it changes with every commit, ours or anyone's.
    ///
    /// # Errors
    /// When the kernel refuses the question.
    pub fn generation(&mut self) -> Result<u32> {
        let mut generation = None;
        let build = |sequence| request(message::GET_GENERATION, 0, sequence, 0, |_| {});
        self.netlink
            .ask(build, |reply| generation = generation.or(reply.attributes().u32(number::generation::ID)))
            .map_err(|cause| Error::new("read", "nftables generation", cause))?;
        Ok(generation.unwrap_or_default())
    }

    /// The tables of this namespace, everyone's.
    ///
    /// # Errors
    /// When the kernel refuses the dump.
    pub fn tables(&mut self) -> Result<Vec<(Family, String)>> {
        self.netlink
            .dump(
                |sequence| request(message::GET_TABLE, flag::DUMP, sequence, 0, |_| {}),
                |reply, items| {
                    let family = match reply.payload.first() {
                        Some(1) => Family::Inet,
                        Some(2) => Family::Ip,
                        _ => return,
                    };
                    items.extend(reply.attributes().text(number::table::NAME).map(|name| (family, name)));
                },
            )
            .map_err(|cause| Error::new("list", "nftables tables", cause))
    }

    /// What the kernel holds of a table: chains with their rules, sets with their elements. `None` without the table.
    ///
    /// # Errors
    /// When the kernel refuses a dump.
    pub fn read(&mut self, of: Family, table: &str) -> Result<Option<Listing>> {
        if !self.tables()?.contains(&(of, table.to_owned())) {
            return Ok(None);
        }
        let mut listing = Listing::default();
        for item in self.list(message::GET_CHAIN, of, table, None, listing::chain)? {
            listing.chains.insert(item.name, item.value);
        }
        for item in self.list(message::GET_RULE, of, table, None, listing::rule)? {
            if let Some(chain) = listing.chains.get_mut(&item.name) {
                chain.rules.push(item.value);
            }
        }
        let shapes = self.list(message::GET_SET, of, table, None, listing::set)?;
        for Listed { name, value: shape } in shapes {
            let elements = self.elements(of, table, &name, &shape)?;
            listing.sets.insert(name, (shape, elements));
        }
        Ok(Some(listing))
    }

    /// The elements of one set with their counters and remaining times. `shape` tells how its keys are made.
    ///
    /// # Errors
    /// When the set does not exist or the kernel refuses the dump.
    pub fn elements(&mut self, of: Family, table: &str, name: &str, shape: &Set) -> Result<Vec<ListedElement>> {
        let lists = self.list(message::GET_ELEMENTS, of, table, Some(name), |reply| listing::elements(reply, shape))?;
        Ok(lists.into_iter().flat_map(|list| list.value).collect())
    }

    /// The counters of one counting set: packets and bytes for each key.
    ///
    /// # Errors
    /// As [`Connection::elements`].
    pub fn counters(
        &mut self,
        of: Family,
        table: &str,
        name: &str,
        shape: &Set,
    ) -> Result<BTreeMap<super::Key, (u64, u64)>> {
        let elements = self.elements(of, table, name, shape)?;
        Ok(elements.into_iter().filter_map(|each| Some((each.key, each.counter?))).collect())
    }

    fn list<T>(
        &mut self,
        kind: u16,
        of: Family,
        table: &str,
        set: Option<&str>,
        keep: impl Fn(&super::attribute::Message<'_>) -> Option<Listed<T>>,
    ) -> Result<Vec<Listed<T>>> {
        let build = |sequence| {
            request(kind, flag::DUMP, sequence, family(of), |out| {
                out.put_text(number::table::NAME, table);
                if let Some(name) = set {
                    out.put_text(number::element::SET, name);
                }
            })
        };
        self.netlink
            .dump(build, |reply, items| {
                // Some dumps ignore the request's table.
                if reply.attributes().text(number::table::NAME).as_deref() == Some(table) {
                    items.extend(keep(reply));
                }
            })
            .map_err(|cause| {
                let set = set.map(|name| format!("set {name} of ")).unwrap_or_default();
                Error::new("list", format!("{set}table {} {table}", of.as_str()), cause)
            })
    }
}

fn request(kind: u16, flags: u16, sequence: u32, family: u8, body: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut out = Writer::default();
    let mark = out.start(number::SUBSYSTEM | kind, flags, sequence, family, 0);
    body(&mut out);
    out.finish(mark);
    out.bytes
}

/// A change in words, for its error.
fn describe(change: &Change) -> (&'static str, String) {
    match change {
        Change::AddTable => ("add", String::new()),
        Change::DeleteTable => ("delete", String::new()),
        Change::AddChain(name, _) => ("add", format!("chain {name} of ")),
        Change::DeleteChain(name) => ("delete", format!("chain {name} of ")),
        Change::FlushChain(name) => ("flush", format!("chain {name} of ")),
        Change::AddRules(name, _) => ("add rules to", format!("chain {name} of ")),
        Change::AddSet(name, _) => ("add", format!("set {name} of ")),
        Change::DeleteSet(name) => ("delete", format!("set {name} of ")),
        Change::FlushSet(name) => ("flush", format!("set {name} of ")),
        Change::AddElements(name, list) => ("add", format!("{} elements to set {name} of ", list.len())),
        Change::DeleteElements(name, list) => ("delete", format!("{} elements of set {name} of ", list.len())),
    }
}
