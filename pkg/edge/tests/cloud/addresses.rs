//! Which address a service gets and keeps: the cloud's switch, wishes, classes, source ranges, a new start.

use std::{io::ErrorKind, net::Ipv4Addr, time::Duration};

use kube::api::{Patch, PatchParams};
use minisvc_testkit::isolated;
use serde_json::json;

use crate::lab::{Lab, VM, answers, hear, knock, test, until};

#[test]
fn while_the_cloud_is_off_services_stay_pending_and_say_why() {
    isolated(|| {
        test(async {
            let lab = Lab::new(1).await;
            lab.switch(false).await;
            let (_stop, _cloud) = lab.start(Duration::ZERO);
            lab.expose("blue", 31234, json!({})).await;
            until("it says why", async || !lab.events("blue").await.is_empty()).await;
            let events = lab.events("blue").await;
            assert_eq!(events[0].0, "CloudOff");
            assert!(
                events[0].1.contains("minisvc cloud on") && events[0].1.contains("172.30.0.11:31234"),
                "{events:?}"
            );
            assert_eq!(lab.address("blue").await, None);
            lab.switch(true).await;
            lab.address_in_the_end("blue").await;
        });
    });
}

#[test]
fn requests_classes_policies_and_ranges_are_honoured() {
    isolated(|| {
        test(async {
            let lab = Lab::new(2).await;
            let (stop, cloud) = lab.start(Duration::ZERO);
            let _servers = [lab.serve_at_node(1, 30080), lab.serve_at_node(2, 30080)];
            lab.expose("theirs", 30070, json!({ "loadBalancerClass": "example.com/lb" })).await;
            lab.expose("far", 30071, json!({ "loadBalancerIP": "8.8.8.8" })).await;
            lab.expose("wish", 30072, json!({ "loadBalancerIP": "203.0.113.77" })).await;
            lab.expose("narrow", 30080, json!({ "loadBalancerSourceRanges": ["172.30.255.0/30"] })).await;
            assert_eq!(lab.address_in_the_end("wish").await, Ipv4Addr::new(203, 0, 113, 77));
            let narrow = lab.address_in_the_end("narrow").await;
            assert_eq!(hear(&lab.vm, narrow, 80).await, answers([&format!("node1 {VM}"), &format!("node2 {VM}")]));
            assert_eq!(knock(&lab.outside, narrow, 80).await, Err(ErrorKind::TimedOut));
            until("far says why", async || {
                lab.events("far").await.iter().any(|(reason, text)| {
                    reason == "SyncLoadBalancerFailed" && text.contains("8.8.8.8 is not in the load balancers' range")
                })
            })
            .await;
            assert_eq!((lab.address("far").await, lab.address("theirs").await), (None, None));

            // No load balancer any more: the address is taken away.
            let change = json!({ "spec": { "type": "ClusterIP", "ports": [{ "port": 80, "nodePort": null }] } });
            lab.services().patch("wish", &PatchParams::default(), &Patch::Merge(&change)).await.expect("patch");
            until("it has no address", async || lab.address("wish").await.is_none()).await;

            // The cloud starts again: statuses are the truth.
            drop(stop);
            cloud.await.expect("ends");
            let (_stop, _cloud) = lab.start(Duration::ZERO);
            lab.expose("next", 30073, json!({})).await;
            let next = lab.address_in_the_end("next").await;
            assert_ne!(next, narrow);
            assert_eq!(lab.address("narrow").await, Some(narrow));
        });
    });
}
