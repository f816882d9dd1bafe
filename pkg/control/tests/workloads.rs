//! The workload controllers beyond Deployments against the real API server, in process: sets with names, jobs,
//! schedules, budgets, autoscalers.

#[allow(dead_code, reason = "each test program uses its share of the lab")]
mod lab;

use std::time::Duration;

use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, ReplicationController, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;
use kube::api::{DeleteParams, EvictParams, Patch, PatchParams, PostParams};
use lab::{Lab, deployment, is_ready, object};
use serde_json::{Value, json};

const LONG: Duration = Duration::from_secs(3600);

async fn create<K>(lab: &Lab, value: Value) -> K
where
    K: lab::Object + kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
{
    lab.api::<K>().create(&PostParams::default(), &object(value)).await.unwrap()
}

async fn patch<K>(lab: &Lab, name: &str, value: Value)
where
    K: lab::Object + kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
{
    lab.api::<K>().patch(name, &PatchParams::default(), &Patch::Strategic(value)).await.unwrap();
}

fn image(image: &str) -> Value {
    json!({ "spec": { "template": { "spec": { "containers": [{ "name": "c", "image": image }] } } } })
}

fn names(pods: &[Pod]) -> Vec<String> {
    pods.iter().map(ResourceExt::name_any).collect()
}

fn images(pods: &[Pod]) -> Vec<String> {
    pods.iter().map(|p| p.spec.as_ref().unwrap().containers[0].image.clone().unwrap()).collect()
}

fn stateful_set(replicas: i32) -> Value {
    json!({ "metadata": { "name": "web" }, "spec": { "replicas": replicas, "serviceName": "web",
        "selector": { "matchLabels": { "app": "web" } },
        "template": { "metadata": { "labels": { "app": "web" } }, "spec": { "containers": [{ "name": "c", "image": "one" }] } },
        "volumeClaimTemplates": [{ "metadata": { "name": "data" }, "spec": { "accessModes": ["ReadWriteOnce"],
            "resources": { "requests": { "storage": "1Mi" } } } }] } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stateful_set_from_birth_over_two_rollouts_to_its_end() {
    let lab = Lab::new(LONG).await;
    lab.nodes(2).await;
    let _kubelets = lab.kubelets();
    create::<StatefulSet>(&lab, stateful_set(3)).await;
    let done = |sets: &[StatefulSet], wanted: i32| {
        sets.iter().any(|s| {
            let status = s.status.clone().unwrap_or_default();
            status.observed_generation == s.metadata.generation
                && status.ready_replicas == Some(wanted)
                && status.updated_replicas == Some(wanted)
                && status.replicas == wanted
                && status.current_revision == status.update_revision
        })
    };
    lab.until(lab.api::<StatefulSet>(), "three are ready", |s| done(s, 3)).await;
    let mut pods = lab.api::<Pod>().list(&Default::default()).await.unwrap().items;
    assert_eq!(names(&pods), ["web-0", "web-1", "web-2"]);
    pods.sort_by_key(|p| p.metadata.resource_version.clone());
    let claims = lab.api::<PersistentVolumeClaim>().list(&Default::default()).await.unwrap();
    let claims: Vec<_> = claims.items.iter().map(ResourceExt::name_any).collect();
    assert_eq!(claims, ["data-web-0", "data-web-1", "data-web-2"]);

    // Another image, then back: the first revision gets a new number.
    patch::<StatefulSet>(&lab, "web", image("two")).await;
    lab.until(lab.api::<Pod>(), "all are new", |p| images(p) == ["two"; 3] && p.iter().all(is_ready)).await;
    lab.until(lab.api::<StatefulSet>(), "the rollout is over", |s| done(s, 3)).await;
    let revisions = lab.api::<ControllerRevision>().list(&Default::default()).await.unwrap().items;
    let mut numbers: Vec<_> = revisions.iter().map(|r| r.revision.unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2]);
    let first = revisions.iter().find(|r| r.revision == Some(1)).unwrap();
    let back = first.data.0.clone();
    patch::<StatefulSet>(&lab, "web", back).await;
    lab.until(lab.api::<Pod>(), "all are as before", |p| images(p) == ["one"; 3] && p.iter().all(is_ready)).await;
    lab.until(lab.api::<ControllerRevision>(), "the first is the third", |r| {
        let number = |name: &str| r.iter().find(|r| r.name_any() == name).and_then(|r| r.revision);
        r.len() == 2 && number(&first.name_any()) == Some(3)
    })
    .await;

    // A pod that goes comes back under its name; fewer pods keep the lowest.
    lab.until(lab.api::<StatefulSet>(), "the rollout is over", |s| done(s, 3)).await;
    let uid = lab.api::<Pod>().get("web-1").await.unwrap().uid();
    lab.api::<Pod>().delete("web-1", &DeleteParams::default()).await.unwrap();
    lab.until(lab.api::<Pod>(), "web-1 is another", |p| {
        p.len() == 3 && p.iter().all(is_ready) && p.iter().all(|p| p.name_any() != "web-1" || p.uid() != uid)
    })
    .await;
    patch::<StatefulSet>(&lab, "web", json!({ "spec": { "replicas": 1 } })).await;
    lab.until(lab.api::<Pod>(), "one is left", |p| names(p) == ["web-0"]).await;
    lab.api::<StatefulSet>().delete("web", &DeleteParams::background()).await.unwrap();
    lab.until(lab.api::<Pod>(), "no pods", <[_]>::is_empty).await;
    lab.until(lab.api::<ControllerRevision>(), "no revisions", <[_]>::is_empty).await;
    assert_eq!(lab.api::<PersistentVolumeClaim>().list(&Default::default()).await.unwrap().items.len(), 3);
}

fn job(name: &str, more: Value) -> Value {
    let image = more["image"].as_str().unwrap_or("ends").to_owned();
    let mut spec = json!({ "template": { "spec": { "restartPolicy": "Never",
        "containers": [{ "name": "c", "image": image }] } } });
    let more = more.as_object().unwrap().clone();
    spec.as_object_mut().unwrap().extend(more.into_iter().filter(|(k, _)| k != "image"));
    json!({ "metadata": { "name": name }, "spec": spec })
}

fn ended(jobs: &[Job], name: &str, how: &str) -> bool {
    jobs.iter().any(|j| {
        let conditions = j.status.iter().flat_map(|s| s.conditions.iter().flatten());
        j.name_any() == name && conditions.into_iter().any(|c| c.type_ == how && c.status == "True")
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_end_well_or_badly_and_let_go_of_their_pods() {
    let lab = Lab::new(LONG).await;
    lab.nodes(2).await;
    let _kubelets = lab.kubelets();
    create::<Job>(&lab, job("good", json!({ "completions": 5, "parallelism": 2 }))).await;
    create::<Job>(&lab, job("indexed", json!({ "completions": 3, "parallelism": 3, "completionMode": "Indexed" })))
        .await;
    create::<Job>(&lab, job("bad", json!({ "backoffLimit": 0, "image": "fails" }))).await;
    create::<Job>(&lab, job("brief", json!({ "ttlSecondsAfterFinished": 0 }))).await;
    let jobs = lab
        .until(lab.api::<Job>(), "all have ended", |jobs| {
            ended(jobs, "good", "Complete") && ended(jobs, "indexed", "Complete") && ended(jobs, "bad", "Failed")
        })
        .await;
    let status = |name: &str| jobs.iter().find(|j| j.name_any() == name).unwrap().status.clone().unwrap();
    assert_eq!((status("good").succeeded, status("good").active), (Some(5), None));
    assert_eq!(status("indexed").completed_indexes.as_deref(), Some("0-2"));
    assert_eq!(status("bad").failed, Some(1));
    lab.until(lab.api::<Job>(), "the brief one is gone", |j| !j.iter().any(|j| j.name_any() == "brief")).await;
    let pods =
        lab.until(lab.api::<Pod>(), "nobody is tracked", |p| p.iter().all(|p| p.metadata.finalizers.is_none())).await;
    assert_eq!(pods.len(), 9);

    // A job that runs for ever is deleted: its pods go, finalizers or not.
    for name in ["good", "indexed", "bad"] {
        lab.api::<Job>().delete(name, &DeleteParams::background()).await.unwrap();
    }
    create::<Job>(&lab, job("long", json!({ "image": "runs", "parallelism": 2, "completions": 2 }))).await;
    lab.until(lab.api::<Pod>(), "two run", |p| p.iter().filter(|p| is_ready(p)).count() == 2).await;
    patch::<Job>(&lab, "long", json!({ "spec": { "suspend": true } })).await;
    lab.until(lab.api::<Pod>(), "none run", <[_]>::is_empty).await;
    patch::<Job>(&lab, "long", json!({ "spec": { "suspend": false } })).await;
    lab.until(lab.api::<Pod>(), "two run again", |p| p.iter().filter(|p| is_ready(p)).count() == 2).await;
    lab.api::<Job>().delete("long", &DeleteParams::background()).await.unwrap();
    lab.until(lab.api::<Pod>(), "no pods", <[_]>::is_empty).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cron_job_starts_jobs_and_takes_them_along() {
    let lab = Lab::new(LONG).await;
    lab.nodes(1).await;
    let _kubelets = lab.kubelets();
    let template = job("x", json!({ "image": "runs" }))["spec"].clone();
    create::<CronJob>(
        &lab,
        json!({ "metadata": { "name": "tick" }, "spec": { "schedule": "@every 1s", "concurrencyPolicy": "Forbid",
            "jobTemplate": { "spec": template } } }),
    )
    .await;
    let jobs = lab.until(lab.api::<Job>(), "a job", |j| !j.is_empty()).await;
    assert!(jobs[0].name_any().starts_with("tick-"));
    assert!(jobs[0].annotations().contains_key("batch.kubernetes.io/cronjob-scheduled-timestamp"));
    let crons = lab
        .until(lab.api::<CronJob>(), "it is active", |c| {
            c.iter().any(|c| c.status.as_ref().is_some_and(|s| s.active.as_ref().is_some_and(|a| a.len() == 1)))
        })
        .await;
    assert!(crons[0].status.as_ref().unwrap().last_schedule_time.is_some());
    lab.api::<CronJob>().delete("tick", &DeleteParams::background()).await.unwrap();
    lab.until(lab.api::<Job>(), "no jobs", <[_]>::is_empty).await;
    lab.until(lab.api::<Pod>(), "no pods", <[_]>::is_empty).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replication_controller_adopts_and_releases() {
    let lab = Lab::new(LONG).await;
    lab.nodes(1).await;
    let _kubelets = lab.kubelets();
    lab.until(lab.api::<ServiceAccount>(), "pods have an account", |a| !a.is_empty()).await;
    let pod = json!({ "metadata": { "name": "alone", "labels": { "app": "old" } },
                      "spec": { "containers": [{ "name": "c", "image": "one" }] } });
    create::<Pod>(&lab, pod).await;
    create::<ReplicationController>(
        &lab,
        json!({ "metadata": { "name": "old" }, "spec": { "replicas": 2, "selector": { "app": "old" }, "template": {
            "metadata": { "labels": { "app": "old" } }, "spec": { "containers": [{ "name": "c", "image": "one" }] } } } }),
    )
    .await;
    let ready = |all: &[ReplicationController]| {
        all.iter().any(|c| c.status.as_ref().is_some_and(|s| s.available_replicas == Some(2) && s.replicas == 2))
    };
    lab.until(lab.api::<ReplicationController>(), "two are there", ready).await;
    let owner = |pod: &Pod| pod.owner_references().first().map(|o| (o.kind.clone(), o.controller));
    let alone = lab.api::<Pod>().get("alone").await.unwrap();
    assert_eq!(owner(&alone), Some(("ReplicationController".into(), Some(true))));
    patch::<Pod>(&lab, "alone", json!({ "metadata": { "labels": { "app": "new" } } })).await;
    let pods = lab.until(lab.api::<Pod>(), "another instead", |p| p.len() == 3 && p.iter().all(is_ready)).await;
    assert_eq!(owner(pods.iter().find(|p| p.name_any() == "alone").unwrap()), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_holds_evictions_back() {
    let lab = Lab::new(LONG).await;
    lab.nodes(2).await;
    let kubelets = lab.kubelets();
    lab.api::<Deployment>().create(&PostParams::default(), &deployment("blue", 3, "one")).await.unwrap();
    create::<PodDisruptionBudget>(
        &lab,
        json!({ "metadata": { "name": "blue" }, "spec": { "minAvailable": 2, "selector": { "matchLabels": { "app": "blue" } } } }),
    )
    .await;
    let allowed = |budgets: &[PodDisruptionBudget], wanted: i32| {
        budgets.iter().any(|b| b.status.as_ref().is_some_and(|s| s.disruptions_allowed == Some(wanted)))
    };
    lab.until(lab.api::<PodDisruptionBudget>(), "one may go", |b| allowed(b, 1)).await;
    // Nodes fall silent: what is evicted stays on its way out and nothing replaces it.
    kubelets.abort();
    let pods = lab.api::<Pod>().list(&Default::default()).await.unwrap().items;
    lab.api::<Pod>().evict(&pods[0].name_any(), &EvictParams::default()).await.unwrap();
    let refused = lab.api::<Pod>().evict(&pods[1].name_any(), &EvictParams::default()).await.unwrap_err();
    let kube::Error::Api(status) = refused else { panic!("{refused}") };
    assert_eq!((status.code, &status.reason[..]), (429, "TooManyRequests"));
    assert_eq!(status.message, "Cannot evict pod as it would violate the pod's disruption budget.");
    let cause = &status.details.unwrap().causes[0];
    assert_eq!(cause.reason, "DisruptionBudget");
    lab.until(lab.api::<PodDisruptionBudget>(), "none may go", |b| allowed(b, 0)).await;
    // Back at work, and the next may go.
    let _kubelets = lab.kubelets();
    lab.until(lab.api::<PodDisruptionBudget>(), "one may go again", |b| allowed(b, 1)).await;
    let gone = lab.api::<Pod>().get_opt(&pods[0].name_any()).await.unwrap();
    assert!(gone.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_autoscaler_keeps_the_limits_and_says_what_it_misses() {
    let lab = Lab::new(LONG).await;
    lab.nodes(1).await;
    let _kubelets = lab.kubelets();
    lab.api::<Deployment>().create(&PostParams::default(), &deployment("blue", 1, "one")).await.unwrap();
    create::<HorizontalPodAutoscaler>(
        &lab,
        json!({ "metadata": { "name": "blue" }, "spec": { "minReplicas": 2, "maxReplicas": 4,
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "blue" },
            "metrics": [{ "type": "Resource", "resource": { "name": "cpu",
                "target": { "type": "Utilization", "averageUtilization": 50 } } }] } }),
    )
    .await;
    lab.until(lab.api::<Deployment>(), "two are asked for", |d| d.iter().any(|d| d.spec.replicas == Some(2))).await;
    lab.until(lab.api::<HorizontalPodAutoscaler>(), "it says what it misses", |all| {
        let conditions = all.iter().filter_map(|h| h.status.as_ref()).flat_map(|s| s.conditions.iter().flatten());
        conditions
            .into_iter()
            .any(|c| c.type_ == "ScalingActive" && c.reason.as_deref() == Some("FailedGetResourceMetric"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_set_remembers_its_templates() {
    let lab = Lab::new(LONG).await;
    lab.nodes(2).await;
    let _kubelets = lab.kubelets();
    create::<DaemonSet>(
        &lab,
        json!({ "metadata": { "name": "rng" }, "spec": { "selector": { "matchLabels": { "app": "rng" } }, "template": {
            "metadata": { "labels": { "app": "rng" } }, "spec": { "containers": [{ "name": "c", "image": "one" }] } } } }),
    )
    .await;
    lab.until(lab.api::<Pod>(), "two run", |p| p.len() == 2 && p.iter().all(is_ready)).await;
    patch::<DaemonSet>(&lab, "rng", image("two")).await;
    let pods = lab.until(lab.api::<Pod>(), "both are new", |p| images(p) == ["two"; 2] && p.iter().all(is_ready)).await;
    let revisions = lab.api::<ControllerRevision>().list(&Default::default()).await.unwrap().items;
    let newest = revisions.iter().max_by_key(|r| r.revision).unwrap();
    assert_eq!((revisions.len(), newest.revision), (2, Some(2)));
    let label = "controller-revision-hash";
    assert!(pods.iter().all(|p| p.labels()[label] == newest.labels()[label]));
    // A revision that someone deletes is made again.
    lab.api::<ControllerRevision>().delete(&newest.name_any(), &DeleteParams::default()).await.unwrap();
    let uid = newest.uid();
    lab.until(lab.api::<ControllerRevision>(), "it is back", |r| {
        r.len() == 2 && r.iter().any(|r| r.name_any() == newest.name_any() && r.uid() != uid)
    })
    .await;
}
