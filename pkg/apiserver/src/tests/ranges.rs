//! ServiceCIDRs and IPAddresses: who is kept, who gives addresses, who comes back.

use serde_json::json;

use super::lab::Lab;
use super::quotas::until;

/// service_cidrs.go "should support ServiceCIDR API operations" and "should support IPAddress API operations".
#[tokio::test]
async fn service_cidr_and_ip_address_api() {
    let lab = Lab::new().await;
    let (ranges, addresses) = ("/apis/networking.k8s.io/v1/servicecidrs", "/apis/networking.k8s.io/v1/ipaddresses");
    let own = lab.get(&format!("{ranges}/kubernetes")).await.json();
    assert_eq!(own["metadata"]["finalizers"], json!(["networking.k8s.io/service-cidr-finalizer"]));
    let ready = &own["status"]["conditions"][0];
    assert_eq!((&ready["type"], &ready["status"]), (&json!("Ready"), &json!("True")));
    let status = lab.get(&format!("{ranges}/kubernetes/status")).await.json();
    assert_eq!(status["metadata"]["uid"], own["metadata"]["uid"]);
    let known = lab.get(&format!("{addresses}/10.96.0.1")).await.json();
    assert_eq!(
        known["spec"]["parentRef"],
        json!({"resource": "services", "namespace": "default", "name": "kubernetes", "group": ""})
    );
    assert_eq!(
        known["metadata"]["labels"],
        json!({"ipaddress.kubernetes.io/ip-family": "IPv4", "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"})
    );
    let services = "/api/v1/namespaces/default/services";
    let made = lab.post(services, &json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}})).await.json();
    let ip = made["spec"]["clusterIP"].as_str().expect("an address").to_owned();
    assert_eq!(lab.get(&format!("{addresses}/{ip}")).await.json()["spec"]["parentRef"]["name"], "s");
    assert_eq!(lab.delete(&format!("{services}/s")).await.code, 200);
    assert_eq!(lab.get(&format!("{addresses}/{ip}")).await.code, 404);
    let parent = json!({"group": "mygroup", "resource": "myresources", "namespace": "foo", "name": "bar"});
    for (name, kind) in [("255.255.255.255", "broadcast"), ("fe80::42:1dff:fe84:f9e2", "link-local")] {
        let body = json!({"metadata": {"name": name, "labels": {"type": kind}}, "spec": {"parentRef": parent}});
        let made = lab.post(addresses, &body).await;
        assert_eq!(made.code, 201, "{made:?}");
    }
    let one = format!("{addresses}/255.255.255.255");
    let patched = lab.merge(&one, &json!({"metadata": {"annotations": {"patched": "true"}}})).await.json();
    assert_eq!(patched["metadata"]["annotations"]["patched"], "true");
    let moved = lab.merge(&one, &json!({"spec": {"parentRef": {"name": "other"}}})).await;
    assert_eq!(moved.code, 422, "{moved:?}");
    assert_eq!(lab.delete(&one).await.code, 200);
    assert_eq!(lab.delete(&format!("{addresses}?labelSelector=type=link-local")).await.code, 200);
    assert_eq!(lab.get(&format!("{addresses}?labelSelector=type=link-local")).await.json()["items"], json!([]));
    let wrong = lab.post(addresses, &json!({"metadata": {"name": "010.0.0.1"}, "spec": {"parentRef": parent}})).await;
    assert_eq!(wrong.code, 422);
    // The range of live services stays, marked; one that nobody needs goes.
    assert_eq!(lab.delete(&format!("{ranges}/kubernetes")).await.code, 200);
    let kept =
        until(&lab, &format!("{ranges}/kubernetes"), |r| r["status"]["conditions"][0]["status"] == "False").await;
    assert_eq!(kept["status"]["conditions"][0]["reason"], "Terminating");
    let extra = json!({"metadata": {"name": "extra"}, "spec": {"cidrs": ["10.200.0.0/24"]}});
    assert_eq!(lab.post(ranges, &extra).await.code, 201);
    let extra = lab.get(&format!("{ranges}/extra")).await.json();
    assert_eq!(extra["status"]["conditions"][0]["status"], "True");
    // The first one leaves and gives nothing any more; what a service has in the other keeps that.
    let made = lab.post(services, &json!({"metadata": {"name": "t"}, "spec": {"ports": [{"port": 80}]}})).await.json();
    let ip = made["spec"]["clusterIP"].as_str().expect("an address");
    assert!(ip.starts_with("10.200.0."), "{ip}");
    let asking = json!({"metadata": {"name": "u"}, "spec": {"clusterIP": "10.96.7.7", "ports": [{"port": 80}]}});
    let refused = lab.post(services, &asking).await;
    assert_eq!(refused.code, 422);
    let text = "the provided IP (10.96.7.7) is not in the valid range. The range of valid IPs is 10.200.0.0/24";
    assert!(refused.json()["message"].as_str().expect("words").contains(text), "{refused:?}");
    assert_eq!(lab.delete(&format!("{ranges}/extra")).await.code, 200);
    let kept = lab.get(&format!("{ranges}/extra")).await.json();
    assert_eq!(kept["status"]["conditions"][0]["reason"], "Terminating");
    assert_eq!(lab.delete(&format!("{services}/t")).await.code, 200);
    assert_eq!(lab.get(&format!("{ranges}/extra")).await.code, 404);
}
