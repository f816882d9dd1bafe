//! Transactions: what is to change in one table, all or nothing. Plain data.

use std::collections::BTreeMap;

use super::{
    table::{Chain, Element, Family, Set, Table},
    value::Key,
};

/// One change of a table's content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Make the table; it may exist.
    AddTable,
    /// Remove the table with all that is in it; it must exist.
    DeleteTable,
    /// Make a chain, without its rules; it may exist.
    AddChain(String, Chain),
    /// Remove a chain; it must be empty and nothing may lead to it.
    DeleteChain(String),
    /// Remove a chain's rules.
    FlushChain(String),
    /// Append the chain's rules.
    AddRules(String, Chain),
    /// Make a set, without its elements; it may exist.
    AddSet(String, Box<Set>),
    /// Remove a set; no rule may use it.
    DeleteSet(String),
    /// Remove all of a set's elements.
    FlushSet(String),
    /// Add elements to the named set of this shape.
    AddElements(String, Vec<(Key, Element)>),
    /// Remove elements from the named set (with the interval's end in sets of intervals).
    DeleteElements(String, Vec<(Key, Element)>),
}

/// Changes of one table that the kernel makes all together or not at all, in this order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transaction {
    /// The table's family.
    pub family: Family,
    /// The table's name.
    pub table: String,
    /// The changes in order.
    pub changes: Vec<Change>,
    /// The generation of the ruleset that this was computed against: the kernel refuses it after anyone's change.
    pub generation: Option<u32>,
}

impl Transaction {
    /// No changes of `table` yet.
    pub fn new(family: Family, table: impl Into<String>) -> Self {
        Self { family, table: table.into(), changes: Vec::new(), generation: None }
    }

    /// Whether nothing would change.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Replaces the whole table, whether it exists or not: add, delete, add (kindnet `pkg/masq/masq.go`).
    pub fn replace(table: &Table) -> Self {
        let mut transaction = Self::new(table.family, &table.name);
        transaction.changes = vec![Change::AddTable, Change::DeleteTable, Change::AddTable];
        transaction.fill(table);
        transaction
    }

    /// Removes the whole table, whether it exists or not.
    pub fn remove(family: Family, table: impl Into<String>) -> Self {
        let mut transaction = Self::new(family, table);
        transaction.changes = vec![Change::AddTable, Change::DeleteTable];
        transaction
    }

    /// What turns `old` into `new`, by deltas: cost follows the difference. Elements of dynamic sets, which rules
    /// add, are left alone. Both must be the same table.
    pub fn between(old: &Table, new: &Table) -> Self {
        debug_assert_eq!((old.family, &old.name), (new.family, &new.name));
        let mut transaction = Self::new(new.family, &new.name);
        let shape = |set: &Set| Set { elements: BTreeMap::new(), ..set.clone() };
        let kept = |name: &str| match (old.sets.get(name), new.sets.get(name)) {
            (Some(a), Some(b)) => shape(a) == shape(b),
            _ => false,
        };
        let same_base = |name: &str| match (old.chains.get(name), new.chains.get(name)) {
            (Some(a), Some(b)) => a.base == b.base,
            _ => false,
        };
        // A set of another shape, or a base chain on another hook, cannot be changed in place.
        let reshaped = old.sets.keys().any(|name| new.sets.contains_key(name) && !kept(name))
            || old.chains.keys().any(|name| new.chains.contains_key(name) && !same_base(name));
        if reshaped {
            return Self::replace(new);
        }
        let changes = &mut transaction.changes;
        for (name, set) in new.sets.iter().filter(|(name, _)| !old.sets.contains_key(*name)) {
            changes.push(Change::AddSet(name.clone(), Box::new(shape(set))));
        }
        for (name, chain) in new.chains.iter().filter(|(name, _)| !old.chains.contains_key(*name)) {
            changes.push(Change::AddChain(name.clone(), Chain { base: chain.base, rules: Vec::new() }));
        }
        for (name, chain) in &old.chains {
            if !chain.rules.is_empty() && new.chains.get(name).is_none_or(|c| c.rules != chain.rules) {
                changes.push(Change::FlushChain(name.clone()));
            }
        }
        for (name, set) in &old.sets {
            let wanted = new.sets.get(name);
            let gone: Vec<_> = set
                .elements
                .iter()
                .filter(|(key, element)| wanted.is_none_or(|w| w.elements.get(*key) != Some(element)))
                .map(|(key, element)| (key.clone(), element.clone()))
                .collect();
            if !gone.is_empty() {
                changes.push(Change::DeleteElements(name.clone(), gone));
            }
        }
        for (name, chain) in &new.chains {
            if !chain.rules.is_empty() && old.chains.get(name).is_none_or(|c| c.rules != chain.rules) {
                changes.push(Change::AddRules(name.clone(), chain.clone()));
            }
        }
        for (name, set) in &new.sets {
            let had = old.sets.get(name);
            let fresh: Vec<_> = set
                .elements
                .iter()
                .filter(|(key, element)| had.is_none_or(|h| h.elements.get(*key) != Some(element)))
                .map(|(key, element)| (key.clone(), element.clone()))
                .collect();
            if !fresh.is_empty() {
                changes.push(Change::AddElements(name.clone(), fresh));
            }
        }
        for name in old.chains.keys().filter(|name| !new.chains.contains_key(*name)) {
            changes.push(Change::DeleteChain(name.clone()));
        }
        for name in old.sets.keys().filter(|name| !new.sets.contains_key(*name)) {
            changes.push(Change::DeleteSet(name.clone()));
        }
        transaction
    }

    /// How many elements are added or removed.
    pub fn elements(&self) -> usize {
        self.changes
            .iter()
            .map(|change| match change {
                Change::AddElements(_, list) | Change::DeleteElements(_, list) => list.len(),
                _ => 0,
            })
            .sum()
    }

    fn fill(&mut self, table: &Table) {
        for (name, set) in &table.sets {
            let shape = Set { elements: BTreeMap::new(), ..set.clone() };
            self.changes.push(Change::AddSet(name.clone(), Box::new(shape)));
        }
        for (name, chain) in &table.chains {
            self.changes.push(Change::AddChain(name.clone(), Chain { base: chain.base, rules: Vec::new() }));
        }
        for (name, chain) in table.chains.iter().filter(|(_, chain)| !chain.rules.is_empty()) {
            self.changes.push(Change::AddRules(name.clone(), chain.clone()));
        }
        for (name, set) in table.sets.iter().filter(|(_, set)| !set.elements.is_empty()) {
            let elements = set.elements.iter().map(|(key, element)| (key.clone(), element.clone())).collect();
            self.changes.push(Change::AddElements(name.clone(), elements));
        }
    }
}

impl Table {
    /// Does to this value what the kernel does to its table: the model that tests compare the kernel with. A change of
    /// something that is not there is passed over, where the kernel would refuse.
    pub fn apply(&mut self, transaction: &Transaction) {
        for change in &transaction.changes {
            match change {
                Change::AddTable => {}
                Change::DeleteTable => {
                    self.sets.clear();
                    self.chains.clear();
                }
                Change::AddChain(name, chain) => {
                    self.chains.entry(name.clone()).or_insert_with(|| chain.clone());
                }
                Change::DeleteChain(name) => {
                    self.chains.remove(name);
                }
                Change::FlushChain(name) => {
                    if let Some(chain) = self.chains.get_mut(name) {
                        chain.rules.clear();
                    }
                }
                Change::AddRules(name, more) => {
                    if let Some(chain) = self.chains.get_mut(name) {
                        chain.rules.extend(more.rules.iter().cloned());
                    }
                }
                Change::AddSet(name, shape) => {
                    self.sets.entry(name.clone()).or_insert_with(|| (**shape).clone());
                }
                Change::DeleteSet(name) => {
                    self.sets.remove(name);
                }
                Change::FlushSet(name) => {
                    if let Some(set) = self.sets.get_mut(name) {
                        set.elements.clear();
                    }
                }
                Change::AddElements(name, list) => {
                    if let Some(set) = self.sets.get_mut(name) {
                        set.elements.extend(list.iter().cloned());
                    }
                }
                Change::DeleteElements(name, list) => {
                    if let Some(set) = self.sets.get_mut(name) {
                        list.iter().for_each(|(key, _)| {
                            set.elements.remove(key);
                        });
                    }
                }
            }
        }
    }
}
