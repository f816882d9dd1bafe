//! The health checks, as probes, scripts and kube-apiserver's own tests ask for them.

use super::lab::Lab;

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).into_owned()
}

#[tokio::test]
async fn every_check_can_be_seen_left_out_and_asked_alone() {
    let lab = Lab::new().await;
    let seen = text(&lab.get("/healthz?verbose=1").await.body);
    for line in ["ping", "log", "etcd", "poststarthook/rbac/bootstrap-roles", "autoregister-completion"] {
        assert!(seen.contains(&format!("[+]{line} ok\n")), "{line} in {seen}");
    }
    assert!(seen.ends_with("healthz check passed\n") && !seen.contains("shutdown"), "{seen}");
    let ready = text(&lab.get("/readyz?verbose&exclude=etcd&exclude=own").await.body);
    assert!(ready.contains("[+]etcd excluded: ok\n[+]etcd-readiness ok\n"), "{ready}");
    let warning = "warn: some health checks cannot be excluded: no matches for \"own\"\nreadyz check passed\n";
    assert!(ready.ends_with(warning), "{ready}");
    for (path, code, words) in [
        ("/livez", 200, "ok"),
        ("/livez/etcd", 200, "ok"),
        ("/readyz/poststarthook/storage-readiness", 200, "ok"),
        ("/livez/shutdown", 404, "404 page not found\n"),
        ("/readyz/own", 404, "404 page not found\n"),
    ] {
        let answer = lab.get(path).await;
        assert_eq!((answer.code, text(&answer.body).as_str()), (code, words), "{path}");
    }
    let listed = lab.get("/").await.ok();
    let listed = listed["paths"].as_array().unwrap();
    assert!(listed.is_sorted_by_key(|path| path.as_str()), "{listed:?}");
    for path in ["/livez", "/livez/etcd", "/metrics/slis", "/readyz/shutdown"] {
        assert!(listed.contains(&path.into()), "{path} in {listed:?}");
    }
}

#[tokio::test]
async fn a_server_that_ends_is_alive_but_not_ready() {
    let lab = Lab::new().await;
    lab.server.shutdown();
    assert_eq!(lab.get("/livez").await.code, 200);
    let ready = lab.get("/readyz").await;
    let said = text(&ready.body);
    assert!(said.ends_with("[-]shutdown failed: reason withheld\nreadyz check failed\n"), "{said}");
    assert_eq!(ready.code, 500);
    let alone = lab.get("/readyz/shutdown").await;
    assert_eq!(text(&alone.body), "internal server error: process is shutting down\n");
    let counted = text(&lab.get("/metrics/slis").await.body);
    for line in [
        "kubernetes_healthcheck{name=\"etcd\",type=\"livez\"} 1\n",
        "kubernetes_healthcheck{name=\"shutdown\",type=\"readyz\"} 0\n",
        // The start has looked once.
        "kubernetes_healthchecks_total{name=\"etcd\",status=\"success\",type=\"livez\"} 2\n",
        "kubernetes_healthchecks_total{name=\"shutdown\",status=\"error\",type=\"readyz\"} 1\n",
        "kubernetes_healthchecks_total{name=\"shutdown\",status=\"success\",type=\"readyz\"} 1\n",
    ] {
        assert!(counted.contains(line), "{line} in {counted}");
    }
}
