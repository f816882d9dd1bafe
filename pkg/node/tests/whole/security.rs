//! Users, groups, process numbers, shared memory and settings: what a pod's security context does to real processes.

use super::*;

/// Runs one pod of busybox to its end and gives its log; `spec` may name all but the containers.
pub(crate) async fn says(
    lab: &Lab,
    name: &str,
    mut spec: Value,
    mut container: Value,
    script: &str,
) -> (Value, String) {
    container["name"] = json!("c");
    container["image"] = json!("busybox");
    container["command"] = json!(["sh", "-c", script]);
    spec["restartPolicy"] = json!("Never");
    spec["containers"] = json!([container]);
    let pod = lab.create(name, spec).await;
    let over = |status: &Value| matches!(status["phase"].as_str(), Some("Succeeded" | "Failed"));
    let status = lab.until(name, "over", over).await;
    let log = lab.log(&pod, "c").await;
    lab.remove(name).await;
    (status, log)
}

pub(crate) async fn security_contexts(lab: &Lab) {
    let look = "id -u; id -g; id -G; grep -E 'NoNewPrivs|Seccomp:|CapBnd' /proc/self/status";
    let pod = json!({"securityContext": {"runAsUser": 1000, "runAsGroup": 2000, "supplementalGroups": [3000], "fsGroup": 4000}});
    let (_, log) = says(lab, "users", pod, json!({"securityContext": {"runAsUser": 1001}}), look).await;
    assert!(log.starts_with("1001\n2000\n2000 3000 4000\nCapBnd:"), "{log}");
    assert!(log.contains("NoNewPrivs:\t0") && log.contains("Seccomp:\t2"), "{log}");
    let tight = json!({"securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
        "seccompProfile": {"type": "Unconfined"}, "capabilities": {"drop": ["ALL"]}}});
    let (_, log) =
        says(lab, "tight", json!({}), tight, &format!("{look}; (echo x > /file) 2>/dev/null || echo sealed")).await;
    assert!(log.starts_with("0\n0\n0\n") && log.contains("CapBnd:\t0000000000000000"), "{log}");
    assert!(log.contains("NoNewPrivs:\t1") && log.contains("Seccomp:\t0") && log.contains("sealed"), "{log}");

    // sig-node "should support sysctls", and kubelet's refusal of others.
    let safe = json!({"securityContext": {"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"},
        {"name": "net.ipv4.tcp_syncookies", "value": "0"}]}});
    let read = "cat /proc/sys/kernel/shm_rmid_forced /proc/sys/net/ipv4/tcp_syncookies";
    assert_eq!(says(lab, "sysctls", safe, json!({}), read).await.1, "1\n0\n");
    let unsafe_one = json!({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]},
        "containers": [{"name": "c", "image": "busybox"}]});
    lab.create("forbidden", unsafe_one).await;
    let status = lab.until("forbidden", "Failed", |status| status["phase"] == "Failed").await;
    assert_eq!(status["reason"], "SysctlForbidden");
    assert_eq!(status["message"], "Pod was rejected: forbidden sysctl: \"kernel.msgmax\" not allowlisted");
    lab.remove("forbidden").await;
}

pub(crate) async fn containers_share_what_the_pod_says(lab: &Lab) {
    let spec = |share: bool| {
        json!({"restartPolicy": "Never", "shareProcessNamespace": share, "hostname": "me", "subdomain": "sub",
            "setHostnameAsFQDN": true, "containers": [
            {"name": "a", "image": "busybox", "command": ["sh", "-c", "echo mine > /dev/shm/a; exec sleep 1000"]},
            {"name": "b", "image": "busybox", "command": ["sh", "-c",
                "until test -e /dev/shm/a; do sleep 0.05; done; sleep 0.3; cat /dev/shm/a; hostname; cat /proc/1/cmdline | tr '\\0' ' '; echo; \
                 grep -l '^sleep$' /proc/[0-9]*/comm | wc -l"]}]})
    };
    for share in [true, false] {
        let name = if share { "shared" } else { "apart" };
        let pod = lab.create(name, spec(share)).await;
        lab.until(name, "b is done", |status| status["containerStatuses"][1]["state"]["terminated"].is_object()).await;
        let log = lab.log(&pod, "b").await;
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(lines[..2], ["mine", "me.sub.default.svc.cluster.local"], "{log}");
        assert_eq!(lines[2].contains("image pause"), share, "{log}");
        assert_eq!(lines[3], if share { "1" } else { "0" }, "{log}");
        lab.pods.delete(name, &DeleteParams::default().grace_period(0)).await.unwrap();
        until("the pod is gone", async || lab.pods.get_opt(name).await.unwrap().is_none()).await;
    }
}

/// sig-node "Ephemeral Containers will start an ephemeral container in an existing pod", with a target.
pub(crate) async fn ephemeral_containers(lab: &Lab) {
    let web = json!({"containers": [{"name": "web", "image": "busybox", "command": ["sleep", "1000"]}]});
    let pod = lab.create("visited", web).await;
    lab.until("visited", "Ready", ready).await;
    let added = json!({"spec": {"ephemeralContainers": [{"name": "look", "image": "busybox", "targetContainerName": "web",
        "command": ["sh", "-c", "cat /proc/1/cmdline | tr '\\0' ' '; echo; exec sleep 1000"]}]}});
    let patch = Patch::Strategic(&added);
    let patched = lab.pods.patch_subresource("ephemeralcontainers", "visited", &PatchParams::default(), &patch).await;
    assert_eq!(patched.unwrap().metadata.generation, Some(2));
    let running = |status: &Value| status["ephemeralContainerStatuses"][0]["state"]["running"].is_object();
    let status = lab.until("visited", "it runs", running).await;
    assert_eq!(status["phase"], "Running");
    until("it sees its target", async || lab.log(&pod, "look").await == "sleep 1000 \n").await;
    lab.until("visited", "the generation is seen", |status| status["observedGeneration"] == 2).await;
    let gone = Patch::Merge(json!({"spec": {"ephemeralContainers": []}}));
    let refused = lab.pods.patch_subresource("ephemeralcontainers", "visited", &PatchParams::default(), &gone).await;
    assert!(refused.unwrap_err().to_string().contains("may not be removed"));
    lab.pods.delete("visited", &DeleteParams::default().grace_period(1)).await.unwrap();
    until("the pod is gone", async || lab.pods.get_opt("visited").await.unwrap().is_none()).await;
}
