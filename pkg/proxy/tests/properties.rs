//! Whatever happens to services and endpoints, in any order: planning step by step leads to the rules of planning
//! everything at once, the deltas lead there too, and the kernel agrees.

use std::collections::BTreeMap;

use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use minisvc_kernel::{
    Netns,
    nft::{Connection, Table, Transaction},
};
use minisvc_proxy::{Config, Name, NodeView, Planner, plan};
use minisvc_testkit::isolated;
use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::json;

fn config() -> Config {
    Config {
        node: "node1".into(),
        addresses: vec!["172.30.0.11".parse().unwrap()],
        cluster_cidr: "10.244.0.0/16".parse().unwrap(),
        service_cidr: "10.96.0.0/12".parse().unwrap(),
    }
}

/// A service as few numbers say it; several may claim the same addresses.
fn service(id: u8) -> impl Strategy<Value = Service> {
    let kind = prop_oneof![Just("ClusterIP"), Just("NodePort"), Just("LoadBalancer"), Just("None")];
    let policies = (any::<bool>(), any::<bool>(), any::<bool>());
    (kind, policies, 0..3_u8, any::<bool>()).prop_map(move |(kind, (external, internal, sticky), extra, udp)| {
        let local = |yes: bool| if yes { "Local" } else { "Cluster" };
        let outside = matches!(kind, "NodePort" | "LoadBalancer");
        let mut ports = vec![json!({"name": "a", "port": 80, "protocol": "TCP"})];
        if udp {
            ports.push(json!({"name": "b", "port": 80, "protocol": "UDP"}));
        }
        if outside {
            ports[0]["nodePort"] = json!(30_000 + u32::from(id));
        }
        let address = if kind == "None" { "None".to_owned() } else { format!("10.96.0.{}", 10 + id) };
        let external_ips: Vec<String> = (0..extra).map(|n| format!("203.0.113.{}", 70 + n)).collect();
        let ingress = if kind == "LoadBalancer" { json!([{"ip": format!("203.0.113.{id}")}]) } else { json!([]) };
        serde_json::from_value(json!({
            "metadata": {"name": format!("s{id}"), "namespace": "default"},
            "spec": {
                "type": if kind == "None" { "ClusterIP" } else { kind },
                "clusterIP": address, "clusterIPs": [address], "ports": ports, "externalIPs": external_ips,
                "externalTrafficPolicy": if outside || extra > 0 { json!(local(external)) } else { json!(null) },
                "internalTrafficPolicy": local(internal),
                "sessionAffinity": if sticky { "ClientIP" } else { "None" },
                "loadBalancerSourceRanges": if kind == "LoadBalancer" && udp { json!(["10.0.0.0/8", "10.1.0.0/16"]) } else { json!(null) },
            },
            "status": {"loadBalancer": {"ingress": ingress}},
        }))
        .unwrap()
    })
}

fn slice(id: u8) -> impl Strategy<Value = EndpointSlice> {
    let endpoint = (1..4_u8, 1..6_u8, any::<bool>(), any::<bool>());
    proptest::collection::vec(endpoint, 0..5).prop_map(move |list| {
        let endpoints: Vec<_> = list
            .iter()
            .map(|(node, host, ready, terminating)| {
                json!({
                    "addresses": [format!("10.244.{node}.{host}")], "nodeName": format!("node{node}"),
                    "conditions": {"ready": ready, "serving": true, "terminating": !ready && *terminating},
                })
            })
            .collect();
        let labels = json!({"kubernetes.io/service-name": format!("s{id}")});
        serde_json::from_value(json!({
            "metadata": {"name": format!("s{id}-x"), "namespace": "default", "labels": labels},
            "addressType": "IPv4", "endpoints": endpoints,
            "ports": [{"name": "a", "port": 8080, "protocol": "TCP"}, {"name": "b", "port": 5353, "protocol": "UDP"}],
        }))
        .unwrap()
    })
}

/// One step: a service or its slice comes, changes or goes.
#[derive(Clone, Debug)]
enum Step {
    Service(u8, Option<Box<Service>>),
    Slice(u8, Option<Box<EndpointSlice>>),
}

fn step() -> impl Strategy<Value = Step> {
    (0..5_u8).prop_flat_map(|id| {
        prop_oneof![
            3 => service(id).prop_map(move |service| Step::Service(id, Some(Box::new(service)))),
            4 => slice(id).prop_map(move |slice| Step::Slice(id, Some(Box::new(slice)))),
            1 => Just(Step::Service(id, None)),
            1 => Just(Step::Slice(id, None)),
        ]
    })
}

/// The objects as they stand, and the planner that followed them.
struct World {
    services: BTreeMap<u8, Service>,
    slices: BTreeMap<u8, EndpointSlice>,
    planner: Planner,
}

impl World {
    fn new() -> Self {
        let config = config();
        let planner = Planner::new(&config, NodeView::new(&config, None));
        Self { services: BTreeMap::new(), slices: BTreeMap::new(), planner }
    }

    fn take(&mut self, step: &Step) -> Transaction {
        let id = match step {
            Step::Service(id, Some(service)) => {
                self.services.insert(*id, (**service).clone());
                *id
            }
            Step::Service(id, None) => {
                self.services.remove(id);
                *id
            }
            Step::Slice(id, Some(slice)) => {
                self.slices.insert(*id, (**slice).clone());
                *id
            }
            Step::Slice(id, None) => {
                self.slices.remove(id);
                *id
            }
        };
        let name: Name = ("default".into(), format!("s{id}"));
        self.planner.set_service(&name, self.services.get(&id), self.slices.get(&id));
        self.planner.take_change()
    }

    fn whole(&self) -> Table {
        let config = config();
        let node = NodeView::new(&config, None);
        plan(self.services.values(), self.slices.values(), &node, &config).table().clone()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn step_by_step_is_all_at_once(steps in proptest::collection::vec(step(), 1..25)) {
        let mut world = World::new();
        let mut followed = world.planner.ruleset().table().clone();
        for step in &steps {
            let before = followed.clone();
            let change = world.take(step);
            followed.apply(&change);
            let whole = world.whole();
            prop_assert_eq!(world.planner.ruleset().table(), &whole);
            prop_assert_eq!(&followed, &whole);
            let mut compared = before.clone();
            compared.apply(&Transaction::between(&before, &whole));
            prop_assert_eq!(&compared, &whole);
            prop_assert!(Transaction::between(&whole, &followed).is_empty());
            let none = world.planner.take_change();
            prop_assert!(none.is_empty(), "{:?}", none);
        }
    }
}

#[test]
fn the_kernel_follows_the_deltas() {
    isolated(|| {
        let mut runner =
            TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(25) });
        let steps = proptest::collection::vec(step(), 1..12);
        let outcome = runner.run(&steps, |steps| {
            let mut connection = Connection::open(&Netns::current().unwrap()).unwrap();
            let mut world = World::new();
            connection.commit(&Transaction::replace(world.planner.ruleset().table())).unwrap();
            for step in &steps {
                let change = world.take(step);
                connection.commit(&change).map_err(|error| TestCaseError::fail(format!("{error}: {change:?}")))?;
                let table = world.planner.ruleset().table();
                let listing = connection.read(table.family, &table.name).unwrap().unwrap();
                prop_assert_eq!(listing.differences(table), Vec::<String>::new());
            }
            Ok(())
        });
        outcome.unwrap();
    });
}
