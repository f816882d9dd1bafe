//! Every scenario's rules and packet table: planned and compared with the goldens, traced through the value, and run
//! with real packets through real namespaces.

#[allow(dead_code)] // what other tests use of it
mod lab;
mod scenario;

use std::collections::{BTreeMap, BTreeSet};

use lab::{Lab, NODES};
use minisvc_kernel::nft::{Protocol, Transaction};
use minisvc_proxy::{Ruleset, TABLE};
use minisvc_testkit::{assert_golden, isolated};
use scenario::Scenario;

/// How often a row with several endpoints is tried at most: with three endpoints, one is missed with p < 1e-10.
const TRIES: usize = 60;

fn rules(scenario: &Scenario) -> BTreeMap<u8, Ruleset> {
    (1..=NODES).map(|node| (node, scenario.planner(node).ruleset().clone())).collect()
}

fn plan_and_trace(name: &str) {
    let scenario = Scenario::read(name);
    let rules = rules(&scenario);
    for (node, ruleset) in &rules {
        assert_golden(scenario.path.join(format!("rules-node{node}.nft")), &ruleset.to_string());
    }
    for row in &scenario.rows {
        assert_eq!(scenario.traced(row, &rules), row.expected, "{name}, traced: {}", row.text);
    }
}

fn run_for_real(name: &str) {
    let scenario = Scenario::read(name);
    let rules = rules(&scenario);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("runtime");
    let lab = runtime.block_on(Lab::new(&scenario.places)).expect("the lab stands");
    for (node, ruleset) in &rules {
        let mut connection = lab.rules(*node).expect("a way to the node's rules");
        connection.commit(&Transaction::replace(ruleset.table())).expect("the rules are taken");
        let table = ruleset.table();
        let listing = connection.read(table.family, &table.name).expect("readable").expect("there");
        assert_eq!(listing.differences(table), Vec::<String>::new(), "{name}, node{node}");
    }
    lab.serve(&scenario.endpoints).expect("endpoints listen");
    for row in scenario.rows.iter().filter(|row| row.protocol != Protocol::SCTP) {
        let mut met = BTreeSet::new();
        let failing = row.expected.iter().all(|answer| !matches!(answer, lab::Answer::Endpoint(..)));
        for _ in 0..if failing { 1 } else { TRIES } {
            met.insert(lab.ask(row.from, row.protocol, row.to.into()));
            // Once all are met, a few more tries look for those who should not be.
            if met.len() > row.expected.len() {
                break;
            }
        }
        assert_eq!(met, row.expected, "{name}, for real: {}", row.text);
    }
}

macro_rules! scenarios {
    ($($test:ident: $name:literal,)*) => {
        mod planned {
            $(#[test] fn $test() { super::plan_and_trace($name); })*
        }
        mod real {
            $(#[test] fn $test() { super::isolated(|| super::run_for_real($name)); })*
        }
        /// The scenarios that have tests.
        const NAMES: &[&str] = &[$($name),*];
    };
}

scenarios! {
    clusterip: "clusterip",
    headless: "headless",
    externalname: "externalname",
    nodeport: "nodeport",
    nodeport_local: "nodeport-local",
    externalip: "externalip",
    loadbalancer: "loadbalancer",
    loadbalancer_local: "loadbalancer-local",
    loadbalancer_source_ranges: "loadbalancer-source-ranges",
    no_endpoints: "no-endpoints",
    internal_local: "internal-local",
    affinity: "affinity",
    udp: "udp",
    multiport_named: "multiport-named",
    terminating_fallback: "terminating-fallback",
    selectorless: "selectorless",
    host_network: "host-network",
    hostport: "hostport",
    topology_hints: "topology-hints",
    other_proxy: "other-proxy",
}

#[test]
fn every_folder_has_a_test() {
    let folders = std::fs::read_dir(scenario::folder()).expect("the scenarios' folder");
    let found: BTreeSet<String> =
        folders.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    let tested: BTreeSet<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(found, tested);
}

/// A student reads the rules with `nft list ruleset`: nft must take our goldens, print what we commit, and take that.
#[test]
fn nft_reads_and_prints_every_nodes_rules() {
    isolated(|| {
        let nft = |arguments: &[&str]| {
            let output =
                std::process::Command::new("nft").args(arguments).output().expect("run nft from the package nftables");
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "nft {arguments:?}: {errors}");
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let here = minisvc_kernel::Netns::current().expect("current");
        let mut connection = minisvc_kernel::nft::Connection::open(&here).expect("a way in");
        for name in NAMES {
            let scenario = Scenario::read(name);
            for (node, ruleset) in rules(&scenario) {
                let golden = scenario.path.join(format!("rules-node{node}.nft"));
                nft(&["-c", "-f", golden.to_str().expect("a path")]);
                connection.commit(&Transaction::replace(ruleset.table())).expect("taken");
                let listed = nft(&["list", "ruleset"]);
                for (frontend, plan) in ruleset.frontends() {
                    let words = format!("{} . {} . {}", frontend.address, frontend.protocol, frontend.port);
                    assert!(listed.contains(&words), "{words} ({}) is not in\n{listed}", plan.owner);
                }
                let copy = std::env::temp_dir().join(format!("minisvc-nft-{}-{name}-{node}", std::process::id()));
                std::fs::write(&copy, &listed).expect("written");
                // nft 1.0.6 mixes up `typeof` maps when it checks a table that is there already, also its own.
                connection.commit(&Transaction::remove(ruleset.table().family, TABLE)).expect("removed");
                nft(&["-c", "-f", copy.to_str().expect("a path")]);
                std::fs::remove_file(&copy).expect("removed");
            }
        }
    });
}
