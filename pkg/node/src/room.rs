//! What a node has for pods and what its pods hold of it: who may come, and whose resize has to wait (kubelet's
//! `lifecycle/predicate.go` and `allocation_manager.go`). Pure but for the ledger's lock.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use minisvc_api::node_fit::{NO_PORTS, Port, clash, host_ports};
use minisvc_api::quantity::Amount;
use minisvc_api::quota::pod_requests;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::watch;

/// Amounts by resource: thousandths of cpu, whole units of everything else.
type Amounts = BTreeMap<String, i64>;

/// Why a pod may not come or grow: a reason in one word and its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: String,
    pub(crate) message: String,
}

impl Refusal {
    /// The refusal of one of the scheduler's plugins.
    pub(crate) fn predicate(name: &str, why: &str) -> Refusal {
        Refusal { reason: name.to_owned(), message: format!("Predicate {name} failed: {why}") }
    }
}

/// What one pod holds.
#[derive(Debug, Clone, Default)]
struct Holding {
    asked: Amounts,
    ports: Vec<Port>,
}

impl Holding {
    fn of(pod: &Pod) -> Holding {
        let requests = pod_requests(&json!({"spec": pod.spec}));
        let asked = requests.into_iter().map(|(name, amount)| {
            let count = in_units(&name, amount);
            (name, count)
        });
        Holding { asked: asked.collect(), ports: host_ports(pod) }
    }
}

fn in_units(name: &str, amount: Amount) -> i64 {
    amount.in_parts(if name == "cpu" { 1000 } else { 1 })
}

/// A pod whose resize waits.
#[derive(Debug, Clone)]
struct Waiting {
    /// Priority, whether its class of service is not the best, and since when: the least comes first.
    rank: (Reverse<i32>, bool, u64),
    wanted: Holding,
}

/// What pods hold, and what they wait for, by their uids.
#[derive(Debug, Default)]
struct Entries {
    held: HashMap<String, Holding>,
    waiting: HashMap<String, Waiting>,
    /// How many have waited so far.
    waited: u64,
}

/// Who holds what.
pub(crate) struct Ledger {
    room: Amounts,
    entries: Mutex<Entries>,
    /// Rung whenever something becomes free.
    freed: watch::Sender<()>,
}

impl Ledger {
    /// A node with this much for pods (its allocatable resources).
    pub(crate) fn new(allocatable: &BTreeMap<String, Quantity>) -> Ledger {
        let room = allocatable.iter().filter_map(|(name, quantity)| {
            let amount = Amount::parse(&quantity.0).ok()?;
            Some((name.clone(), in_units(name, amount)))
        });
        Ledger { room: room.collect(), entries: Mutex::default(), freed: watch::channel(()).0 }
    }

    /// Gives a new pod what it asks for. `unmatched` is what speaks against it beside room and ports.
    pub(crate) fn admit(&self, pod: &Pod, unmatched: Option<Refusal>) -> Result<(), Refusal> {
        let wanted = Holding::of(pod);
        let held = &mut self.entries.lock().held;
        let others = others(held, uid_of(pod));
        if let Some(refusal) = lacking(&wanted.asked, &others, &self.room) {
            return Err(refusal);
        }
        let taken = || others.iter().flat_map(|other| &other.ports);
        let ports_taken = wanted.ports.iter().any(|port| taken().any(|other| clash(other, port)));
        match unmatched {
            Some(refusal) if refusal.reason != TAINTS || !ports_taken => return Err(refusal),
            _ if ports_taken => return Err(Refusal::predicate("NodePorts", NO_PORTS)),
            _ => {}
        }
        held.insert(uid_of(pod).to_owned(), wanted);
        Ok(())
    }

    /// Gives a pod what it asks for now instead of what it holds. Those who wait come by their priority, then the guaranteed
    /// ones, then by how long they have waited (`sortPendingResizes`).
    pub(crate) fn resize(&self, pod: &Pod) -> Result<(), Refusal> {
        let (uid, wanted) = (uid_of(pod), Holding::of(pod));
        {
            let mut entries = self.entries.lock();
            let Entries { held, waiting, waited } = &mut *entries;
            let since = waiting.get(uid).map_or(*waited, |before| before.rank.2);
            let guaranteed =
                pod.status.as_ref().is_some_and(|status| status.qos_class.as_deref() == Some("Guaranteed"));
            let priority = pod.spec.as_ref().and_then(|spec| spec.priority).unwrap_or_default();
            let rank = (Reverse(priority), !guaranteed, since);
            let mut then = held.clone();
            let mut before: Vec<(&String, &Waiting)> =
                waiting.iter().filter(|(other, one)| *other != uid && one.rank < rank).collect();
            before.sort_by_key(|(_, one)| one.rank);
            for (other, one) in before {
                if lacking(&one.wanted.asked, &others(&then, other), &self.room).is_none() {
                    then.insert(other.clone(), one.wanted.clone());
                }
            }
            if let Some(refusal) = lacking(&wanted.asked, &others(&then, uid), &self.room) {
                if waiting.insert(uid.to_owned(), Waiting { rank, wanted }).is_none() {
                    *waited += 1;
                }
                return Err(refusal);
            }
            waiting.remove(uid);
            // Who left already holds nothing any more.
            if let Some(holding) = held.get_mut(uid) {
                *holding = wanted;
            }
        }
        self.freed.send_replace(());
        Ok(())
    }

    /// A pod whose spec asks for what it holds waits for nothing.
    pub(crate) fn contented(&self, pod: &Pod) {
        self.entries.lock().waiting.remove(uid_of(pod));
    }

    /// Takes back what a pod held.
    pub(crate) fn release(&self, pod: &Pod) {
        let mut entries = self.entries.lock();
        entries.waiting.remove(uid_of(pod));
        let held = entries.held.remove(uid_of(pod));
        drop(entries);
        if held.is_some() {
            self.freed.send_replace(());
        }
    }

    /// Hears whenever something may have become free.
    pub(crate) fn freed(&self) -> watch::Receiver<()> {
        self.freed.subscribe()
    }
}

/// The plugin that comes after the ports.
pub(crate) const TAINTS: &str = "TaintToleration";

/// What all pods hold but this one.
fn others<'a>(held: &'a HashMap<String, Holding>, uid: &str) -> Vec<&'a Holding> {
    held.iter().filter(|(other, _)| *other != uid).map(|(_, one)| one).collect()
}

fn uid_of(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

/// The first resource of which there is not enough. Extended resources that the node does not have are the cluster's.
fn lacking(asked: &Amounts, others: &[&Holding], room: &Amounts) -> Option<Refusal> {
    let refusal = |name: &str, asked: i64, used: i64, room: i64| Refusal {
        reason: format!("OutOf{name}"),
        message: format!(
            "Node didn't have enough resource: {name}, requested: {asked}, used: {used}, capacity: {room}"
        ),
    };
    let count = i64::try_from(others.len()).unwrap_or(i64::MAX);
    if let Some(slots) = room.get("pods")
        && count >= *slots
    {
        return Some(refusal("pods", 1, count, *slots));
    }
    let first = ["cpu", "memory", "ephemeral-storage"];
    let rest = asked.keys().map(String::as_str).filter(|name| !first.contains(name));
    first.into_iter().chain(rest).find_map(|name| {
        let wanted = asked.get(name).copied().filter(|wanted| *wanted > 0)?;
        let has = match room.get(name) {
            Some(has) => *has,
            None if name.contains('/') => return None,
            None => 0,
        };
        let used =
            others.iter().filter_map(|other| other.asked.get(name)).fold(0, |sum: i64, one| sum.saturating_add(*one));
        (wanted > has.saturating_sub(used)).then(|| refusal(name, wanted, used, has))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn pod(uid: &str, requests: Value, port: i32) -> Pod {
        let container = json!({"name": "c", "resources": {"requests": requests},
            "ports": [{"containerPort": 80, "hostPort": port}]});
        serde_json::from_value(json!({"metadata": {"uid": uid}, "spec": {"containers": [container]}})).unwrap()
    }

    fn ledger() -> Ledger {
        let room = [("cpu", "2"), ("memory", "1Gi"), ("pods", "3")];
        Ledger::new(&room.map(|(name, amount)| (name.to_owned(), Quantity(amount.to_owned()))).into())
    }

    fn said(outcome: Result<(), Refusal>) -> (String, String) {
        outcome.map_err(|refusal| (refusal.reason, refusal.message)).unwrap_err()
    }

    #[test]
    fn who_finds_no_room_is_refused_in_kubelets_words() {
        let ledger = ledger();
        ledger.admit(&pod("a", json!({"cpu": "1500m"}), 1), None).unwrap();
        let (reason, message) = said(ledger.admit(&pod("b", json!({"cpu": "600m"}), 2), None));
        assert_eq!(reason, "OutOfcpu");
        assert_eq!(message, "Node didn't have enough resource: cpu, requested: 600, used: 1500, capacity: 2000");
        let memory = said(ledger.admit(&pod("b", json!({"memory": "2Gi"}), 2), None));
        assert_eq!(memory.0, "OutOfmemory");
        let ports = said(ledger.admit(&pod("b", json!({}), 1), None));
        assert_eq!(ports.0, "NodePorts");
        let words = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports";
        assert_eq!(ports.1, words);
        // Resources of the cluster, not of the node.
        ledger.admit(&pod("b", json!({"example.com/foo": "1"}), 2), None).unwrap();
        ledger.admit(&pod("c", json!({"cpu": "500m"}), 3), None).unwrap();
        let many = said(ledger.admit(&pod("d", json!({}), 4), None));
        assert_eq!(many.1, "Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3");
        ledger.release(&pod("b", json!({}), 2));
        let selector = Refusal::predicate("NodeAffinity", "x");
        assert_eq!(ledger.admit(&pod("d", json!({}), 1), Some(selector.clone())), Err(selector));
        let taint = Refusal::predicate(TAINTS, "x");
        assert_eq!(said(ledger.admit(&pod("d", json!({}), 1), Some(taint))).0, "NodePorts");
    }

    #[test]
    fn a_resize_waits_for_what_others_give_back() {
        let ledger = ledger();
        let mut freed = ledger.freed();
        ledger.admit(&pod("a", json!({"cpu": "1"}), 1), None).unwrap();
        ledger.admit(&pod("b", json!({"cpu": "1"}), 2), None).unwrap();
        assert_eq!(said(ledger.resize(&pod("a", json!({"cpu": "1500m"}), 1))).0, "OutOfcpu");
        freed.borrow_and_update();
        ledger.resize(&pod("b", json!({"cpu": "500m"}), 2)).unwrap();
        assert!(freed.has_changed().unwrap());
        ledger.resize(&pod("a", json!({"cpu": "1500m"}), 1)).unwrap();
        assert_eq!(said(ledger.resize(&pod("b", json!({"cpu": "501m"}), 2))).0, "OutOfcpu");
    }

    /// "pod-resize-retry-deferred-test-2": who comes first when room appears.
    #[test]
    fn those_who_wait_come_by_rank() {
        let of = |uid: &str, cpu: &str, priority: i32, class: &str| {
            let mut one = pod(uid, json!({"cpu": cpu}), 0);
            one.spec.as_mut().unwrap().priority = Some(priority);
            one.status = serde_json::from_value(json!({"qosClass": class})).unwrap();
            one
        };
        let large = |uid: &str| match uid {
            "high" => of(uid, "1", 9, "Burstable"),
            "good" => of(uid, "1", 0, "Guaranteed"),
            uid => of(uid, "1", 0, "Burstable"),
        };
        let small = Ledger::new(&[("cpu".to_owned(), Quantity("1500m".to_owned()))].into());
        small.admit(&of("filler", "1", 0, "Burstable"), None).unwrap();
        let all = ["first", "second", "good", "high"];
        for uid in all {
            small.admit(&of(uid, "100m", 0, "Burstable"), None).unwrap();
            assert_eq!(said(small.resize(&large(uid))).0, "OutOfcpu");
        }
        small.release(&of("filler", "1", 0, ""));
        for uid in ["first", "second", "good"] {
            assert_eq!(said(small.resize(&large(uid))).0, "OutOfcpu", "{uid}");
        }
        for (uid, waits) in [("high", &all[..3]), ("good", &all[..2]), ("first", &all[1..2]), ("second", &[])] {
            small.resize(&large(uid)).unwrap();
            assert!(waits.iter().all(|other| small.resize(&large(other)).is_err()), "{uid}");
            small.release(&large(uid));
        }
        assert!(small.entries.lock().waiting.is_empty());
    }
}
