//! Volumes in real containers: memory, groups, sub-paths, live updates, the node's own places, and those that are not.

use super::security::says;
use super::*;

/// sig-storage "EmptyDir volumes ..." and "HostPath ...".
pub(crate) async fn folders(lab: &Lab) {
    let mount = |more: Value| {
        let mut mount = json!({"name": "v", "mountPath": "/v"});
        mount.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"volumeMounts": [mount]})
    };
    let volume = |source: Value| json!({"volumes": [{"name": "v", "emptyDir": source}]});
    let look = "stat -f -c %T /v; stat -c '%a %g' /v; echo hi > /v/f && stat -c '%g' /v/f";
    let memory = json!({"medium": "Memory", "sizeLimit": "1Mi"});
    let filling = format!("{look}; head -c 2000000 /dev/zero 2>/dev/null > /v/big || echo full");
    let (_, log) = says(lab, "memory", volume(memory), mount(json!({})), &filling).await;
    assert!(log.starts_with("tmpfs\n777 0\n0\n") && log.ends_with("full\n"), "{log}");
    let mut grouped = volume(json!({}));
    grouped["securityContext"] = json!({"fsGroup": 1234, "runAsUser": 1000});
    let (_, log) = says(lab, "grouped", grouped, mount(json!({})), look).await;
    assert!(log.ends_with("2777 1234\n1234\n"), "{log}");
    // A sub-path is a part of the volume, made as it is asked for.
    let both = json!({"env": [{"name": "POD", "value": "p"}], "volumeMounts": [{"name": "v", "mountPath": "/all"},
        {"name": "v", "mountPath": "/part", "subPathExpr": "a/$(POD)"}]});
    let (_, log) = says(lab, "parts", volume(json!({})), both, "echo x > /part/f; cat /all/a/p/f").await;
    assert_eq!(log, "x\n");
    let host = |path: &str| json!({"volumes": [{"name": "v", "hostPath": {"path": path}}]});
    let (_, log) = says(lab, "own", host("/mnt/minisvc-test"), mount(json!({})), "echo kept > /v/f; cat /v/f").await;
    assert_eq!(log, "kept\n");
    assert!(!Path::new("/mnt/minisvc-test").exists(), "the machine was changed");
    let (_, log) = says(lab, "own-again", host("/mnt/minisvc-test"), mount(json!({})), "cat /v/f").await;
    assert_eq!(log, "kept\n");
    let (_, log) =
        says(lab, "machine", host("/etc"), mount(json!({})), "(echo x > /v/minisvc-test) 2>/dev/null || echo sealed")
            .await;
    assert_eq!(log, "sealed\n");
}

/// sig-storage "Downward API volume should update annotations on modification"; modes and owners of files.
pub(crate) async fn files(lab: &Lab) {
    let spec = json!({"securityContext": {"runAsUser": 1000, "fsGroup": 1001}, "terminationGracePeriodSeconds": 1,
        "volumes": [{"name": "v", "projected": {"defaultMode": 0o440, "sources": [
            {"configMap": {"name": "conf"}},
            {"serviceAccountToken": {"path": "token", "audience": "vault", "expirationSeconds": 600}},
            {"downwardAPI": {"items": [{"path": "app", "fieldRef": {"fieldPath": "metadata.labels['app']"}}]}}]}}],
        "containers": [{"name": "c", "image": "busybox", "volumeMounts": [{"name": "v", "mountPath": "/v"}],
            "command": ["sh", "-c", "stat -L -c '%a %u %g' /v/key /v/token; cat /v/token | cut -d. -f2; \
                while true; do cat /v/app; echo; sleep 0.1; done"]}]});
    let pod = lab.create("files", spec).await;
    lab.until("files", "Ready", ready).await;
    let lines = async || lab.log(&pod, "c").await.lines().map(str::to_owned).collect::<Vec<_>>();
    until("it reads", async || lines().await.len() > 3).await;
    assert_eq!(lines().await[..2], ["440 0 1001", "640 1000 1001"]);
    let claims = base64_text(&lines().await[2]);
    assert!(claims.contains("\"aud\":[\"vault\"]"), "{claims}");
    let patch = Patch::Merge(json!({"metadata": {"labels": {"app": "renamed"}}}));
    lab.pods.patch("files", &PatchParams::default(), &patch).await.unwrap();
    until("it sees its new label", async || lines().await.last().is_some_and(|line| line == "renamed")).await;
    lab.remove("files").await;
}

/// The text of unpadded URL-safe base64.
fn base64_text(text: &str) -> String {
    use base64::Engine as _;
    String::from_utf8(base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
}

pub(crate) async fn what_there_is_not(lab: &Lab) {
    let spec = json!({"volumes": [{"name": "v", "nfs": {"server": "s", "path": "/"}}],
        "containers": [{"name": "c", "image": "busybox", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]});
    lab.create("nfs", spec).await;
    let events: Api<Event> = Api::namespaced(lab.client.clone(), "default");
    until("an event tells", async || {
        let all = events.list(&ListParams::default()).await.unwrap();
        all.iter().any(|event| {
            event.reason.as_deref() == Some("FailedMount")
                && event.message.as_deref().unwrap_or_default().contains("no volume plugin matched")
        })
    })
    .await;
    assert_eq!(lab.status("nfs").await["phase"], "Pending");
    lab.remove("nfs").await;
    // sig-node "should fail substituting values in a volume subpath with backticks".
    let spec = json!({"volumes": [{"name": "v", "emptyDir": {}}], "containers": [{"name": "c", "image": "busybox",
        "env": [{"name": "UP", "value": ".."}], "volumeMounts": [{"name": "v", "mountPath": "/v", "subPathExpr": "$(UP)"}]}]});
    lab.create("up", spec).await;
    lab.until("up", "refused", |status| {
        status["containerStatuses"][0]["state"]["waiting"]["reason"] == "CreateContainerConfigError"
    })
    .await;
    lab.remove("up").await;
    let spec = json!({"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "100Ki"}}], "containers": [{"name": "c",
        "image": "busybox", "command": ["sh", "-c", "head -c 300000 /dev/zero > /v/big; exec sleep 1000"],
        "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]});
    lab.create("fat", spec).await;
    let status = lab.until("fat", "evicted", |status| status["phase"] == "Failed").await;
    assert_eq!(status["reason"], "Evicted");
    assert_eq!(status["message"], "Usage of EmptyDir volume \"v\" exceeds the limit \"100Ki\". ");
    lab.remove("fat").await;
}
