//! Random writes against a model: the store answers as the model does, a list and the watch after it replay to the
//! final state, older lists are what was, allocations are unique, and all of it survives reopening.

mod lab;

use std::collections::{BTreeMap, BTreeSet};

use lab::Lab;
use minisvc_store::{EventKind, Key, Options, SledStore, Store, StoreError, Write};
use proptest::prelude::*;
use serde_json::{Value, json};

const RESOURCES: [&str; 2] = ["services", "configmaps"];

#[derive(Debug, Clone)]
enum Step {
    Create(usize, usize, u8),
    Update(usize, usize, u8, bool),
    Delete(usize, usize, bool),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let place = || (0..2usize, 0..6usize);
    let step = prop_oneof![
        6 => (place(), any::<u8>()).prop_map(|((resource, name), shape)| Step::Create(resource, name, shape)),
        8 => (place(), any::<u8>(), any::<bool>()).prop_map(|((r, n), shape, fresh)| Step::Update(r, n, shape, fresh)),
        4 => (place(), any::<bool>()).prop_map(|((resource, name), fresh)| Step::Delete(resource, name, fresh)),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..60)
}

fn value(resource: usize, name: usize, shape: u8) -> Value {
    let mut spec = match (resource, shape % 8) {
        (0, 0) => json!({"type": "ExternalName"}),
        (0, 1) => json!({"clusterIP": "None"}),
        (0, 2) => json!({"type": "NodePort", "ports": [{"port": 80}, {"port": 80, "protocol": "UDP"}]}),
        (0, 3) => json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "ports": [{"port": 80}]}),
        (0, 4) => json!({"clusterIP": format!("10.0.0.{}", shape / 8)}),
        (0, 5) => json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30000 + i32::from(shape / 8)}]}),
        _ => json!({}),
    };
    spec["shape"] = json!(shape / 2);
    json!({"metadata": {"name": format!("n{name}")}, "spec": spec})
}

fn key(resource: usize, name: usize) -> Key {
    Key::new(RESOURCES[resource], if name.is_multiple_of(2) { "even" } else { "odd" }, format!("n{name}"))
}

type Model = BTreeMap<Key, (u64, Value)>;

fn options() -> Options {
    let (service_cidr, node_port_range) = ("10.0.0.0/26".parse().unwrap(), 30000..=30031);
    Options { service_cidr, node_port_range, seed: Some(7), ..Options::default() }
}

fn check_unique(model: &Model) {
    let (mut addresses, mut ports) = (BTreeSet::new(), BTreeSet::new());
    for (_, service) in model.iter().filter(|(key, _)| &*key.resource == "services").map(|(_, found)| found) {
        let spec = &service["spec"];
        let kind = spec["type"].as_str().unwrap_or("ClusterIP");
        let address = spec["clusterIP"].as_str().unwrap_or("");
        assert_eq!(address.is_empty(), kind == "ExternalName", "{service}");
        if !address.is_empty() && address != "None" {
            assert!(addresses.insert(address), "{address} twice");
        }
        let listed = spec["ports"].as_array().map_or(&[][..], Vec::as_slice);
        let mut mine: BTreeSet<u64> = listed.iter().filter_map(|port| port["nodePort"].as_u64()).collect();
        assert_eq!(mine.is_empty(), !matches!(kind, "NodePort" | "LoadBalancer"), "{service}");
        mine.extend(spec["healthCheckNodePort"].as_u64());
        for port in mine {
            assert!(ports.insert(port), "{port} twice");
        }
    }
}

fn of(model: &Model, resource: &str) -> Vec<(Key, u64, Value)> {
    let found = model.iter().filter(|(key, _)| &*key.resource == resource);
    found.map(|(key, (revision, value))| (key.clone(), *revision, value.clone())).collect()
}

fn listed(listing: &minisvc_store::Listing) -> Vec<(Key, u64, Value)> {
    listing.items.iter().map(|object| (object.key.clone(), object.revision, Value::clone(&object.value))).collect()
}

async fn apply(store: &SledStore, model: &mut Model, step: &Step) {
    let before = store.revision();
    let (write, key, exists, stale) = match *step {
        Step::Create(resource, name, shape) => {
            let key = key(resource, name);
            (Write::Create { key: key.clone(), value: value(resource, name, shape) }, key, false, false)
        }
        Step::Update(resource, name, shape, fresh) => {
            let key = key(resource, name);
            let expected = model.get(&key).map(|found| found.0 - u64::from(!fresh));
            (Write::Update { key: key.clone(), expected, value: value(resource, name, shape) }, key, true, !fresh)
        }
        Step::Delete(resource, name, fresh) => {
            let key = key(resource, name);
            let expected = model.get(&key).map(|found| found.0 - u64::from(!fresh));
            (Write::Delete { key: key.clone(), expected }, key, true, !fresh)
        }
        Step::Reopen => unreachable!("handled by the caller"),
    };
    let deletes = matches!(write, Write::Delete { .. });
    match store.commit(write, false).await {
        Ok(object) => {
            assert_eq!(model.contains_key(&key), exists);
            assert!(!(exists && stale));
            assert_eq!(object.value["metadata"]["resourceVersion"], object.revision.to_string());
            if store.revision() == before {
                assert_eq!(model[&key], (object.revision, Value::clone(&object.value)), "nothing changed");
            } else {
                assert_eq!((store.revision(), object.revision), (before + 1, before + 1));
                match deletes {
                    true => drop(model.remove(&key)),
                    false => drop(model.insert(key, (object.revision, Value::clone(&object.value)))),
                }
            }
        }
        Err(error) => {
            assert_eq!(store.revision(), before);
            match error {
                StoreError::NotFound(_) => assert!(exists && !model.contains_key(&key)),
                StoreError::AlreadyExists(_) => assert!(!exists && model.contains_key(&key)),
                StoreError::Conflict { current, .. } => assert!(stale && model[&key].0 == current),
                StoreError::Invalid(errors) => assert!(&*key.resource == "services" && !errors.is_empty()),
                StoreError::Broken(cause) => panic!("{cause}"),
            }
        }
    }
}

async fn run(steps: Vec<Step>) {
    let lab = Lab::new();
    let mut store = lab.open_with(options());
    let mut model = Model::new();
    let mut history: Vec<(u64, Model)> = vec![(1, Model::new())];
    for step in steps {
        if let Step::Reopen = step {
            drop(store);
            store = lab.open_with(options());
            assert_eq!(store.revision(), history.last().unwrap().0);
            continue;
        }
        apply(&store, &mut model, &step).await;
        check_unique(&model);
        if store.revision() != history.last().unwrap().0 {
            history.push((store.revision(), model.clone()));
        }
    }
    for resource in RESOURCES {
        assert_eq!(listed(&store.list(resource, None)), of(&model, resource));
        for (revision, then) in &history {
            let listing = store.list_at(resource, None, *revision).unwrap();
            assert_eq!(listed(&listing), of(then, resource), "{resource} at {revision}");
            let odd: Vec<_> = of(then, resource).into_iter().filter(|found| &*found.0.namespace == "odd").collect();
            assert_eq!(listed(&store.list_at(resource, Some("odd"), *revision).unwrap()), odd);
            let mut replayed: BTreeMap<Key, (u64, Value)> =
                listing.items.iter().map(|o| (o.key.clone(), (o.revision, Value::clone(&o.value)))).collect();
            let batch = store.watch(resource, *revision).unwrap().poll_now().unwrap();
            assert_eq!(batch.revision, store.revision());
            let mut last = *revision;
            for event in batch.events {
                assert!(event.revision > last);
                last = event.revision;
                let object = &event.object;
                let previous = event.previous.as_ref().map(|old| (old.revision, Value::clone(&old.value)));
                assert_eq!(replayed.get(&object.key), previous.as_ref());
                assert_eq!(event.kind == EventKind::Added, previous.is_none());
                match event.kind {
                    EventKind::Deleted => replayed.remove(&object.key),
                    _ => replayed.insert(object.key.clone(), (object.revision, Value::clone(&object.value))),
                };
            }
            let replayed: Vec<_> =
                replayed.into_iter().map(|(key, (revision, value))| (key, revision, value)).collect();
            assert_eq!(replayed, of(&model, resource), "{resource} replayed from {revision}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_store_does_as_the_model(steps in steps()) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run(steps));
    }
}
