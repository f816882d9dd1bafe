//! How containers begin, end and say so: last words, deadlines, hooks, sidecars.

use super::security::says;
use super::*;

fn message(status: &Value) -> &Value {
    &status["containerStatuses"][0]["state"]["terminated"]["message"]
}

/// sig-node "Container Runtime ... should report termination message ...".
pub(crate) async fn last_words(lab: &Lab) {
    let custom =
        json!({"terminationMessagePath": "/dev/termination-custom-log", "securityContext": {"runAsUser": 1000}});
    let (status, _) = says(lab, "custom", json!({}), custom, "printf DONE > /dev/termination-custom-log").await;
    assert_eq!((&status["phase"], message(&status)), (&json!("Succeeded"), &json!("DONE")));
    let fall_back = || json!({"terminationMessagePolicy": "FallbackToLogsOnError"});
    let (status, _) = says(lab, "fallback", json!({}), fall_back(), "printf DONE; exit 1").await;
    assert!(message(&status).as_str().unwrap().starts_with("DONE"), "{status}");
    let (status, _) = says(lab, "silent", json!({}), fall_back(), "printf DONE; exit 0").await;
    assert_eq!(message(&status), &Value::Null);
    let (status, _) =
        says(lab, "file", json!({}), fall_back(), "printf OK > /dev/termination-log; printf no; exit 0").await;
    assert_eq!(message(&status), "OK");
}

/// sig-node "Pods should allow activeDeadlineSeconds to be updated".
pub(crate) async fn deadlines(lab: &Lab) {
    let spec = json!({"activeDeadlineSeconds": 600, "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "c", "image": "busybox", "command": ["sleep", "1000"]}]});
    lab.create("late", spec).await;
    lab.until("late", "Ready", ready).await;
    let patch = Patch::Merge(json!({"spec": {"activeDeadlineSeconds": 1}}));
    lab.pods.patch("late", &PatchParams::default(), &patch).await.unwrap();
    let status = lab.until("late", "Failed", |status| status["phase"] == "Failed").await;
    assert_eq!(status["reason"], "DeadlineExceeded");
    lab.remove("late").await;
}

/// KEP-753: sidecars start in order before all else and end in the opposite order after all else.
pub(crate) async fn sidecars(lab: &Lab) {
    let say = |name: &str, rest: &str| {
        let script = format!("echo {name} starts >> /v/log; trap 'echo {name} ends >> /v/log; exit 0' TERM; {rest}");
        json!({"name": name, "image": "busybox", "command": ["sh", "-c", script],
            "volumeMounts": [{"name": "v", "mountPath": "/v"}]})
    };
    let forever = "while true; do sleep 0.05; done";
    let sidecar = |name: &str| {
        let mut container = say(name, forever);
        container["restartPolicy"] = json!("Always");
        container["startupProbe"] = json!({"exec": {"command": ["grep", "-q", name, "/v/log"]}});
        container
    };
    // The last line is written by nobody: whoever reads the volume is the first sidecar's preStop hook.
    let mut first = sidecar("s1");
    first["command"] = json!([
        "sh",
        "-c",
        format!(
            "echo s1 starts >> /v/log; \
        trap 'cat /v/log; echo s1 ends; exit 0' TERM; {forever}"
        )
    ]);
    let spec = json!({"restartPolicy": "Never", "terminationGracePeriodSeconds": 20, "volumes": [{"name": "v", "emptyDir": {}}],
        "initContainers": [first, say("i", "true"), sidecar("s2")], "containers": [say("app", "sleep 0.3")]});
    let pod = lab.create("sides", spec).await;
    let status = lab.until("sides", "Succeeded", |status| status["phase"] == "Succeeded").await;
    let log = lab.log(&pod, "s1").await;
    assert_eq!(log, "s1 starts\ni starts\ns2 starts\napp starts\ns2 ends\ns1 ends\n", "{status:#}");
    lab.remove("sides").await;
}

/// sig-node "Container Lifecycle Hook": a failed postStart ends its container, and the event keeps its words secret.
pub(crate) async fn hooks(lab: &Lab) {
    let fails = json!({"lifecycle": {"postStart": {"exec": {"command": ["sh", "-c", "echo secret; exit 1"]}}}});
    let (status, _) = says(lab, "hook", json!({"terminationGracePeriodSeconds": 1}), fails, "exec sleep 1000").await;
    assert_eq!(status["phase"], "Failed");
    let events: Api<Event> = Api::namespaced(lab.client.clone(), "default");
    until("an event tells", async || {
        let all = events.list(&ListParams::default()).await.unwrap();
        all.iter().any(|event| event.message.as_deref() == Some("PostStartHook failed"))
    })
    .await;
    // Longer than anything here is waited for: who goes has not been killed at its end.
    let hooked = json!({"terminationGracePeriodSeconds": 600, "containers": [{"name": "c", "image": "busybox",
        "command": ["sh", "-c", "trap 'exit 0' TERM; while true; do sleep 0.05; done"],
        "lifecycle": {"postStart": {"sleep": {"seconds": 1}}, "preStop": {"sleep": {"seconds": 1}}}}]});
    let began = std::time::Instant::now();
    lab.create("sleepy", hooked).await;
    lab.until("sleepy", "Ready", ready).await;
    assert!(began.elapsed() >= Duration::from_secs(1), "postStart was not waited for");
    let began = std::time::Instant::now();
    lab.remove("sleepy").await;
    assert!(began.elapsed() >= Duration::from_secs(1), "preStop was not waited for");
}
