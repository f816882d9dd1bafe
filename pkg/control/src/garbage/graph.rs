//! Who owns whom, and what follows. Pure; the rules are those of Kubernetes' `garbagecollector.go`.

use std::collections::{HashMap, HashSet, VecDeque};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::PropagationPolicy;

use crate::mirror::Key;

pub(super) const FOREGROUND: &str = "foregroundDeletion";
pub(super) const ORPHAN: &str = "orphan";
/// Uids of absent owners remembered.
const MEMORY: usize = 20_000;

/// An object, as far as ownership goes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Thing {
    pub(super) kind: usize,
    pub(super) key: Key,
    pub(super) owners: Vec<OwnerReference>,
    pub(super) deleting: bool,
    /// Has the finalizer of foreground deletion.
    pub(super) foreground: bool,
    /// Has the finalizer of orphaning deletion.
    pub(super) orphan: bool,
}

/// What to do about an object.
#[derive(Debug, PartialEq)]
pub(super) enum Action {
    Nothing,
    /// Find out whether these owners exist.
    Ask(Vec<OwnerReference>),
    Delete(PropagationPolicy),
    /// Make its references no longer block, then delete it in the foreground: it stands in a circle.
    Unblock,
    /// Take references to these uids off.
    Disown(Vec<String>),
    /// Look at these dependents, which stand in its way.
    Attempt(Vec<String>),
    /// Take the references to it off these dependents, then the finalizer off itself.
    Orphan(Vec<String>),
    /// Take the finalizer of foreground deletion off.
    Finish,
}

/// All objects and their dependents.
#[derive(Default)]
pub(super) struct Graph {
    things: HashMap<String, Thing>,
    dependents: HashMap<String, HashSet<String>>,
    absent: HashSet<String>,
    order: VecDeque<String>,
}

impl Graph {
    pub(super) fn get(&self, uid: &str) -> Option<&Thing> {
        self.things.get(uid)
    }

    pub(super) fn of_kind(&self, kind: usize) -> Vec<String> {
        self.things.iter().filter(|(_, t)| t.kind == kind).map(|(uid, _)| uid.clone()).collect()
    }

    /// The objects with an owner of a kind, whether it is known or not.
    pub(super) fn owned_by(&self, group: &str, kind: &str) -> Vec<String> {
        let of_kind = |owner: &OwnerReference| owner.kind == kind && super::group_of(&owner.api_version) == group;
        self.things.iter().filter(|(_, t)| t.owners.iter().any(of_kind)).map(|(uid, _)| uid.clone()).collect()
    }

    /// Takes note of an object; gives those to look at.
    pub(super) fn seen(&mut self, uid: String, thing: Thing) -> Vec<String> {
        let old = self.things.get(&uid);
        if old == Some(&thing) {
            return Vec::new();
        }
        let mut attempts = Vec::new();
        let owners_changed = old.is_none_or(|o| o.owners != thing.owners);
        for owner in old.map(|o| o.owners.clone()).unwrap_or_default() {
            let blocks = |o: &OwnerReference| o.block_owner_deletion == Some(true);
            match thing.owners.iter().find(|o| o.uid == owner.uid) {
                Some(now) if blocks(now) || !blocks(&owner) => {}
                // It may have been the last in the way of its owner.
                Some(_) => attempts.push(owner.uid),
                None => {
                    self.unlink(&owner.uid, &uid);
                    attempts.push(owner.uid);
                }
            }
        }
        for owner in &thing.owners {
            self.dependents.entry(owner.uid.clone()).or_default().insert(uid.clone());
        }
        if (owners_changed && !thing.owners.is_empty()) || thing.deleting {
            attempts.push(uid.clone());
        }
        self.things.insert(uid, thing);
        attempts
    }

    /// Takes note that an object is gone; gives those to look at.
    pub(super) fn lost(&mut self, uid: &str) -> Vec<String> {
        let Some(thing) = self.things.remove(uid) else { return Vec::new() };
        self.absent(uid);
        let mut attempts: Vec<_> = self.dependents.get(uid).into_iter().flatten().cloned().collect();
        for owner in thing.owners {
            self.unlink(&owner.uid, uid);
            attempts.push(owner.uid);
        }
        attempts
    }

    /// Takes note that no object has this uid (any more).
    pub(super) fn absent(&mut self, uid: &str) {
        if self.absent.insert(uid.to_owned()) {
            self.order.push_back(uid.to_owned());
            if self.order.len() > MEMORY
                && let Some(oldest) = self.order.pop_front()
            {
                self.absent.remove(&oldest);
            }
        }
    }

    fn unlink(&mut self, owner: &str, dependent: &str) {
        if let Some(dependents) = self.dependents.get_mut(owner) {
            dependents.remove(dependent);
            if dependents.is_empty() {
                self.dependents.remove(owner);
            }
        }
    }

    fn dependents(&self, uid: &str) -> Vec<String> {
        let mut all: Vec<_> = self.dependents.get(uid).into_iter().flatten().cloned().collect();
        all.sort();
        all
    }

    /// Dependents that keep an object from being deleted in the foreground.
    fn blocking(&self, uid: &str) -> Vec<String> {
        let blocks = |dependent: &String| {
            let owners = self.things.get(dependent).map(|t| t.owners.as_slice()).unwrap_or_default();
            owners.iter().any(|o| o.uid == uid && o.block_owner_deletion == Some(true))
        };
        self.dependents(uid).into_iter().filter(blocks).collect()
    }

    /// Whether an object is being deleted and waits for its own dependents.
    fn is_waiting(&self, uid: &str) -> bool {
        self.things.get(uid).is_some_and(|thing| thing.deleting && thing.foreground)
    }

    /// What to do about an object.
    pub(super) fn plan(&self, uid: &str) -> Action {
        let Some(thing) = self.things.get(uid) else { return Action::Nothing };
        if thing.deleting {
            if thing.orphan {
                return Action::Orphan(self.dependents(uid));
            }
            if thing.foreground {
                let blocking = self.blocking(uid);
                if blocking.is_empty() {
                    return Action::Finish;
                }
                // Those on their way already tell by themselves when they are gone.
                return Action::Attempt(blocking.into_iter().filter(|uid| !self.is_waiting(uid)).collect());
            }
            return Action::Nothing;
        }
        if thing.owners.is_empty() {
            return Action::Nothing;
        }
        let (mut solid, mut waiting, mut dangling, mut unknown) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for owner in &thing.owners {
            match self.things.get(&owner.uid) {
                // An owner in another namespace is none.
                Some(o) if !o.key.0.is_empty() && o.key.0 != thing.key.0 => dangling.push(owner.uid.clone()),
                Some(o) if o.deleting && o.foreground => waiting.push(owner.uid.clone()),
                Some(_) => solid.push(owner.uid.clone()),
                None if self.absent.contains(&owner.uid) => dangling.push(owner.uid.clone()),
                None => unknown.push(owner.clone()),
            }
        }
        if !unknown.is_empty() {
            return Action::Ask(unknown);
        }
        if !solid.is_empty() {
            dangling.extend(waiting);
            return if dangling.is_empty() { Action::Nothing } else { Action::Disown(dangling) };
        }
        let dependents = self.dependents(uid);
        if !waiting.is_empty() && !dependents.is_empty() {
            return match dependents.iter().any(|dependent| self.is_waiting(dependent)) {
                true => Action::Unblock,
                false => Action::Delete(PropagationPolicy::Foreground),
            };
        }
        Action::Delete(match thing {
            Thing { orphan: true, .. } => PropagationPolicy::Orphan,
            Thing { foreground: true, .. } => PropagationPolicy::Foreground,
            _ => PropagationPolicy::Background,
        })
    }
}

#[cfg(test)]
mod tests;
