//! Requests and limits: what a container sees of its control group, a resize while it runs, and the end of one that takes
//! more memory than it may.

use kube::api::{Patch, PatchParams};
use minisvc_kernel::Cgroups;

use super::security::says;
use super::*;

/// The group of this test's node, whatever else runs on the machine.
pub(crate) fn group() -> std::path::PathBuf {
    format!("minisvc-whole-{}", std::process::id()).into()
}

/// Memory's limit, in either version of control groups.
const LOOK: &str = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null";

/// "Pod InPlace Resize Container", "OOMKiller": the kernel holds what the spec says.
pub(crate) async fn limits(lab: &Lab) {
    // Without control groups a limit is a number in the spec, and the container finds none.
    let there = Cgroups::of_machine().is_some();
    let small = json!({"resources": {"limits": {"memory": "32Mi", "cpu": "500m"}}});
    let (_, log) = says(lab, "limited", json!({}), small.clone(), LOOK).await;
    assert_eq!(log, if there { "33554432\n" } else { "" });
    let (_, log) = says(lab, "unlimited", json!({}), json!({}), LOOK).await;
    assert_eq!(log, "", "a pod that asks for nothing has no group");
    if there {
        let (status, _) =
            says(lab, "greedy", json!({}), small, "head -c 200000000 /dev/zero | tail | wc -c; exit 137").await;
        assert_eq!(status["containerStatuses"][0]["state"]["terminated"]["reason"], "OOMKilled", "{status:#}");
    }

    let script = format!("until {LOOK} | grep -q 67108864; do sleep 0.05; done; echo grown; exec sleep 1000");
    let script = if there { script } else { "exec sleep 1000".to_owned() };
    let container = json!({"name": "c", "image": "busybox", "command": ["sh", "-c", script],
        "resources": {"requests": {"memory": "16Mi"}, "limits": {"memory": "32Mi"}}});
    let pod = lab.create("resized", json!({"containers": [container]})).await;
    lab.until("resized", "ready", ready).await;
    let patch = json!({"spec": {"containers": [{"name": "c", "resources": {"limits": {"memory": "64Mi"}}}]}});
    let changed =
        lab.pods.patch_subresource("resize", "resized", &PatchParams::default(), &Patch::Strategic(patch)).await;
    assert_eq!(changed.unwrap().metadata.generation, Some(2));
    let status = lab.until("resized", "resized", |status| {
        let container = &status["containerStatuses"][0];
        status["observedGeneration"] == 2 && container["resources"]["limits"]["memory"] == "64Mi"
    });
    assert_eq!(status.await["containerStatuses"][0]["restartCount"], 0);
    if there {
        for _ in 0..500 {
            if lab.log(&pod, "c").await.contains("grown") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(lab.log(&pod, "c").await, "grown\n");
    }
    lab.remove("resized").await;
}
