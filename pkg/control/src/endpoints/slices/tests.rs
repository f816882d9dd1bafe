//! Golden values of Endpoints and slices, and the promise to touch few slices.

use serde_json::{Value, json};

use super::*;
use crate::endpoints::backends::backends;
use crate::endpoints::{mirroring, subsets};
use crate::fixtures::{PodBuilder, object, pod, service};
use k8s_openapi::api::core::v1::{Endpoints, Pod};

fn ready(n: usize) -> PodBuilder {
    let (name, ip) = (format!("p{n:04}"), format!("10.244.{}.{}", n / 250 + 1, n % 250 + 1));
    pod(&name).label("app", "blue").on("node1").ready(0).ip(&ip)
}

fn of(service: &Service, pods: &[Arc<Pod>]) -> (Vec<Backend>, Wanted) {
    let backends = backends(service, pods, |_| None);
    let wanted = wanted(service, &backends);
    (backends, wanted)
}

/// Applies a plan as the API server would.
fn applied(existing: &[Arc<EndpointSlice>], plan: Plan) -> Vec<Arc<EndpointSlice>> {
    let name = |s: &EndpointSlice| s.metadata.name.clone().unwrap_or_default();
    let gone: Vec<_> = plan.delete.iter().chain(&[]).map(|s| name(s)).collect();
    let mut all: Vec<_> = existing.iter().filter(|s| !gone.contains(&name(s))).cloned().collect();
    for update in plan.update {
        let place = all.iter().position(|s| name(s) == name(&update)).expect("updates what is there");
        all[place] = Arc::new(update);
    }
    for mut create in plan.create {
        create.metadata.name = Some(format!("blue-{:05}", fastrand::u32(..)));
        all.push(Arc::new(create));
    }
    all
}

fn addresses(slices: &[Arc<EndpointSlice>]) -> Vec<String> {
    let all = slices.iter().flat_map(|s| s.endpoints.iter().flatten());
    let mut all: Vec<_> = all.map(|e| e.addresses[0].clone()).collect();
    all.sort();
    all
}

#[test]
fn golden_slice_and_endpoints() {
    let mut blue = service("blue");
    blue.metadata.labels = Some([("app".to_owned(), "blue".to_owned())].into());
    let pods = [ready(0).build(), ready(1).unready().build(), ready(2).deleted().build()];
    let (backends, wanted) = of(&blue, &pods);
    let plan = reconcile(&wanted, &[]);
    let endpoint = |n: usize, ready: bool, serving: bool, terminating: bool| {
        json!({ "addresses": [format!("10.244.1.{}", n + 1)], "nodeName": "node1",
                "conditions": { "ready": ready, "serving": serving, "terminating": terminating },
                "targetRef": { "kind": "Pod", "name": format!("p000{n}"), "namespace": "default", "uid": format!("uid-p000{n}") } })
    };
    let slice: Value = serde_json::to_value(&plan.create[0]).unwrap();
    assert_eq!(
        slice,
        json!({ "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": { "generateName": "blue-", "namespace": "default",
                "labels": { "app": "blue", "kubernetes.io/service-name": "blue",
                            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io" },
                "ownerReferences": [{ "apiVersion": "v1", "kind": "Service", "name": "blue", "uid": "uid-blue",
                                      "controller": true, "blockOwnerDeletion": true }] },
            "ports": [{ "name": "", "port": 80, "protocol": "TCP" }],
            "endpoints": [endpoint(0, true, true, false), endpoint(1, false, false, false), endpoint(2, false, true, true)] })
    );
    let endpoints = serde_json::to_value(subsets::plan(&blue, &backends, None).unwrap()).unwrap();
    let address = |n: usize| {
        json!({ "ip": format!("10.244.1.{}", n + 1), "nodeName": "node1",
                "targetRef": { "kind": "Pod", "name": format!("p000{n}"), "namespace": "default", "uid": format!("uid-p000{n}") } })
    };
    assert_eq!(
        endpoints,
        json!({ "apiVersion": "v1", "kind": "Endpoints",
            "metadata": { "name": "blue", "namespace": "default",
                "labels": { "app": "blue", "endpoints.kubernetes.io/managed-by": "endpoint-controller" } },
            "subsets": [{ "addresses": [address(0)], "notReadyAddresses": [address(1)],
                          "ports": [{ "port": 80, "protocol": "TCP" }] }] })
    );
}

#[test]
fn a_plan_applied_is_a_fixpoint_and_touches_few_slices() {
    let blue = service("blue");
    let mut pods: Vec<_> = (0..250).map(|n| ready(n).build()).collect();
    let mut slices = applied(&[], reconcile(&of(&blue, &pods).1, &[]));
    assert_eq!(slices.iter().map(|s| s.endpoints.as_ref().unwrap().len()).collect::<Vec<_>>(), [100, 100, 50]);
    assert!(reconcile(&of(&blue, &pods).1, &slices).is_empty());
    // One pod changes, one goes, one comes: each costs one write.
    pods[7] = ready(7).unready().build();
    let plan = reconcile(&of(&blue, &pods).1, &slices);
    assert_eq!((plan.create.len(), plan.update.len(), plan.delete.len()), (0, 1, 0));
    slices = applied(&slices, plan);
    pods.remove(120);
    pods.push(ready(300).build());
    let plan = reconcile(&of(&blue, &pods).1, &slices);
    assert_eq!((plan.create.len(), plan.update.len(), plan.delete.len()), (0, 1, 0));
    slices = applied(&slices, plan);
    assert_eq!(addresses(&slices).len(), 250);
    // All gone: one empty slice stays.
    let plan = reconcile(&of(&blue, &[]).1, &slices);
    assert_eq!((plan.create.len(), plan.update.len(), plan.delete.len()), (0, 1, 2));
    slices = applied(&slices, plan);
    assert_eq!(slices[0].endpoints.as_deref(), Some([].as_slice()));
    assert!(reconcile(&of(&blue, &[]).1, &slices).is_empty());
    // And becomes the first of the next life.
    let plan = reconcile(&of(&blue, &pods[..1]).1, &slices);
    assert_eq!((plan.create.len(), plan.update.len(), plan.delete.len()), (0, 1, 0));
}

#[test]
fn random_histories_end_with_exactly_the_wanted_addresses() {
    let blue = service("blue");
    let mut random = fastrand::Rng::with_seed(7);
    let mut slices = Vec::new();
    for _ in 0..60 {
        let pods: Vec<_> = (0..400).filter(|_| random.bool()).map(|n| ready(n).build()).collect();
        let wanted = of(&blue, &pods).1;
        slices = applied(&slices, reconcile(&wanted, &slices));
        let mut expected: Vec<_> = pods.iter().map(|p| p.status.as_ref().unwrap().pod_ip.clone().unwrap()).collect();
        expected.sort();
        assert_eq!(addresses(&slices), expected);
        assert!(slices.iter().all(|s| s.endpoints.as_ref().unwrap().len() <= CAPACITY));
        assert!(reconcile(&wanted, &slices).is_empty());
    }
}

#[test]
fn endpoints_that_come_in_batches_leave_at_most_one_slice_half_empty() {
    let blue = service("blue");
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..20 {
        let (mut slices, mut pods) = (Vec::new(), Vec::new());
        while pods.len() < 1000 {
            let batch = random.usize(1..=180).min(1000 - pods.len());
            pods.extend((pods.len()..pods.len() + batch).map(|n| ready(n).build()));
            slices = applied(&slices, reconcile(&of(&blue, &pods).1, &slices));
        }
        let mut lengths: Vec<_> = slices.iter().map(|s| s.endpoints.as_ref().unwrap().len()).collect();
        lengths.sort_unstable();
        assert_eq!(lengths.iter().sum::<usize>(), 1000);
        assert!(lengths[0] + lengths[1] > CAPACITY, "{lengths:?}");
    }
}

#[test]
fn named_ports_that_differ_by_pod_make_several_groups() {
    let mut blue = service("blue");
    blue.spec.as_mut().unwrap().ports = Some(vec![object(json!({ "name": "web", "port": 80, "targetPort": "http" }))]);
    let with = |n: usize, port: i32| {
        let ports = json!([{ "name": "http", "containerPort": port }]);
        ready(n).spec(json!({ "nodeName": "node1", "containers": [{ "name": "c", "ports": ports }] })).build()
    };
    let pods = [with(0, 80), with(1, 8080), with(2, 80), ready(3).build()];
    let (backends, wanted) = of(&blue, &pods);
    let ports = |g: &Group| g.ports.iter().map(|p| p.port).collect::<Vec<_>>();
    assert_eq!(wanted.groups.iter().map(ports).collect::<Vec<_>>(), [vec![Some(80)], vec![Some(8080)], vec![]]);
    let subsets = subsets::plan(&blue, &backends, None).unwrap().subsets.unwrap();
    let shape: Vec<_> =
        subsets.iter().map(|s| (s.ports.as_ref().unwrap()[0].port, s.addresses.as_ref().unwrap().len())).collect();
    assert_eq!(shape, [(80, 2), (8080, 1)]);
    assert_eq!(subsets[0].ports.as_ref().unwrap()[0].name.as_deref(), Some("web"));
}

#[test]
fn headless_without_ports_hostnames_and_unready_published() {
    let mut db = service("blue");
    let spec = db.spec.as_mut().unwrap();
    (spec.cluster_ip, spec.ports, spec.publish_not_ready_addresses) = (Some("None".into()), None, Some(true));
    let named = json!({ "containers": [], "hostname": "db-0", "subdomain": "blue", "nodeName": "node1" });
    let pods = [ready(0).spec(named).unready().build(), ready(1).deleted().build()];
    let (backends, wanted) = of(&db, &pods);
    assert_eq!(wanted.labels[HEADLESS], "");
    assert!(wanted.groups[0].ports.is_empty());
    assert_eq!(wanted.groups[0].endpoints[0].hostname.as_deref(), Some("db-0"));
    let conditions: Vec<_> = wanted.groups[0].endpoints.iter().map(|e| e.conditions.clone().unwrap().ready).collect();
    assert_eq!(conditions, [Some(true), Some(true)]);
    let endpoints = subsets::plan(&db, &backends, None).unwrap();
    assert_eq!(endpoints.metadata.labels.as_ref().unwrap()[HEADLESS], "");
    let subset = &endpoints.subsets.as_ref().unwrap()[0];
    assert_eq!((subset.addresses.as_ref().unwrap().len(), subset.ports.as_ref()), (2, None));
    assert_eq!(subsets::plan(&db, &backends, Some(&endpoints)), None);
}

#[test]
fn thousands_are_truncated_in_endpoints_only() {
    let blue = service("blue");
    let pods: Vec<_> = (0..1005).map(|n| if n == 0 { ready(n).unready() } else { ready(n) }.build()).collect();
    let (backends, wanted) = of(&blue, &pods);
    let endpoints = subsets::plan(&blue, &backends, None).unwrap();
    assert_eq!(endpoints.metadata.annotations.unwrap()["endpoints.kubernetes.io/over-capacity"], "truncated");
    let subset = &endpoints.subsets.unwrap()[0];
    assert_eq!((subset.addresses.as_ref().unwrap().len(), subset.not_ready_addresses.as_ref()), (1000, None));
    assert_eq!(wanted.groups[0].endpoints.len(), 1005);
}

#[test]
fn hand_made_endpoints_are_mirrored() {
    let mut by_hand: Endpoints = object(json!({
        "metadata": { "name": "certbot", "namespace": "default", "uid": "e", "labels": { "app": "x" } },
        "subsets": [{ "addresses": [{ "ip": "192.0.2.1" }, { "ip": "192.0.2.1" }], "notReadyAddresses": [{ "ip": "192.0.2.2" }],
                      "ports": [{ "name": "http", "port": 8000, "protocol": "TCP" }] }],
    }));
    let wanted = mirroring::wanted(&by_hand).unwrap().0;
    let slices = applied(&[], reconcile(&wanted, &[]));
    let slice = &slices[0];
    assert_eq!(slice.metadata.labels.as_ref().unwrap()[MANAGED_BY], "endpointslicemirroring-controller.k8s.io");
    assert_eq!(slice.metadata.owner_references.as_ref().unwrap()[0].kind, "Endpoints");
    assert_eq!(addresses(&slices), ["192.0.2.1", "192.0.2.2"]);
    let ready: Vec<_> =
        slice.endpoints.iter().flatten().map(|e| e.conditions.as_ref().unwrap().ready.unwrap()).collect();
    assert_eq!(ready, [true, false]);
    assert!(reconcile(&wanted, &slices).is_empty());
    by_hand.subsets = None;
    let plan = reconcile(&mirroring::wanted(&by_hand).unwrap().0, &slices);
    assert_eq!((plan.create.len(), plan.update.len(), plan.delete.len()), (0, 0, 1));
    by_hand.metadata.labels = Some([("endpointslice.kubernetes.io/skip-mirror".to_owned(), "true".to_owned())].into());
    assert!(mirroring::wanted(&by_hand).is_none());
}
