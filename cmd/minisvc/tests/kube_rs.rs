//! The Rust client `kube` as its users use it: watcher, reflector, Controller, exec, attach, port-forward, log stream.
//! Run through `cargo xtask test`.

mod lab;
mod matrix;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::{AsyncBufReadExt as _, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, AttachParams, DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::{WatchStreamExt as _, reflector, wait, watcher};
use kube::{Client, Config, ResourceExt as _};
use lab::Lab;
use matrix::passed;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

const ROW: &str = "kube-rs 5";
const NAMESPACE: &str = "work";
const PATIENCE: Duration = Duration::from_secs(30);

/// Starts a lab with namespace `work`, pods `shell` and `web`, and runs the check with a client made from the kubeconfig.
fn with<F: Future<Output = ()>>(check: &str, body: impl FnOnce(Client) -> F) {
    minisvc_testkit::isolated(|| {
        let lab = Lab::started("1.37");
        lab.ok("kubectl create namespace work && kubectl config set-context --current --namespace work");
        lab.ok("kubectl run shell --image=archlinux -- sleep 1000 && kubectl run web --image=jpetazzo/color");
        lab.ok("kubectl wait --for=condition=Ready pod/shell pod/web --timeout=90s");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let file = Kubeconfig::read_from(lab.folder().join("home/.kube/config")).expect("the kubeconfig");
            let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.expect("a config");
            assert_eq!(config.default_namespace, NAMESPACE);
            let client = Client::try_from(config).expect("a client");
            timeout(Duration::from_secs(90), body(client)).await.expect("the check ends in time");
        });
        passed(ROW, check, 1);
    });
}

fn map(name: &str) -> ConfigMap {
    serde_json::from_value(serde_json::json!({"metadata": {"name": name, "labels": {"set": "s"}}, "data": {"n": "0"}}))
        .expect("a ConfigMap")
}

#[test]
fn watchers_and_reflectors() {
    with("watcher, reflector", |client| async move {
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        maps.create(&PostParams::default(), &map("early")).await.expect("create");
        for settings in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
            let (reader, writer) = reflector::store();
            let watch = watcher(maps.clone(), settings.labels("set=s").page_size(1)).default_backoff();
            let mut touched = Box::pin(reflector(writer, watch).touched_objects());
            let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
            let task = tokio::spawn(async move {
                while let Some(object) = touched.try_next().await.expect("an event") {
                    tell.send(object).expect("a listener");
                }
            });
            let mut told = async || timeout(PATIENCE, told.recv()).await.expect("in time").expect("more");
            assert_eq!(told().await.name_any(), "early");
            reader.wait_until_ready().await.expect("the reflector fills");
            maps.create(&PostParams::default(), &map("late")).await.expect("create");
            assert_eq!(told().await.name_any(), "late");
            let patch = serde_json::json!({"data": {"n": "1"}});
            maps.patch("late", &PatchParams::default(), &Patch::Merge(patch)).await.expect("patch");
            assert_eq!(told().await.data, Some(BTreeMap::from([("n".to_owned(), "1".to_owned())])));
            maps.delete("late", &DeleteParams::default()).await.expect("delete");
            assert_eq!(told().await.name_any(), "late");
            let names: Vec<String> = reader.state().iter().map(|object| object.name_any()).collect();
            assert_eq!(names, ["early"]);
            task.abort();
        }
    });
}

/// A controller that keeps a copy of each ConfigMap labelled `copy=yes`, owned by it.
#[test]
fn a_controller_keeps_what_it_owns() {
    with("Controller", |client| async move {
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        let runs = Arc::new(AtomicUsize::new(0));
        let reconcile = {
            let maps = maps.clone();
            move |object: Arc<ConfigMap>, runs: Arc<AtomicUsize>| {
                let maps = maps.clone();
                async move {
                    runs.fetch_add(1, Ordering::SeqCst);
                    let mut copy = map(&format!("{}-copy", object.name_any()));
                    copy.metadata.labels = None;
                    copy.data.clone_from(&object.data);
                    copy.metadata.owner_references =
                        Some(vec![kube::Resource::controller_owner_ref(&*object, &()).expect("an owner")]);
                    match maps.create(&PostParams::default(), &copy).await {
                        Err(kube::Error::Api(status)) if status.code == 409 => {
                            let patch = serde_json::json!({"data": object.data});
                            maps.patch(&copy.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await?;
                        }
                        other => drop(other?),
                    }
                    Ok::<_, kube::Error>(Action::await_change())
                }
            }
        };
        let controller = Controller::new(maps.clone(), watcher::Config::default().labels("copy=yes"))
            .owns(maps.clone(), watcher::Config::default())
            .run(reconcile, |_, _, _| Action::requeue(Duration::from_secs(1)), runs.clone())
            .for_each(|_| async {});
        let running = tokio::spawn(controller);
        let mut original = map("one");
        original.metadata.labels = Some(BTreeMap::from([("copy".to_owned(), "yes".to_owned())]));
        maps.create(&PostParams::default(), &original).await.expect("create");
        let copied = |value: &'static str| {
            wait::await_condition(maps.clone(), "one-copy", move |object: Option<&ConfigMap>| {
                object.and_then(|o| o.data.as_ref()).is_some_and(|data| data["n"] == value)
            })
        };
        timeout(PATIENCE, copied("0")).await.expect("in time").expect("copied");
        let patch = serde_json::json!({"data": {"n": "1"}});
        maps.patch("one", &PatchParams::default(), &Patch::Merge(patch)).await.expect("patch");
        timeout(PATIENCE, copied("1")).await.expect("in time").expect("copied anew");
        // A copy that goes comes back; with its owner it goes for good.
        maps.delete("one-copy", &DeleteParams::default()).await.expect("delete");
        timeout(PATIENCE, copied("1")).await.expect("in time").expect("copied again");
        assert!(runs.load(Ordering::SeqCst) >= 3);
        let uid = maps.get("one-copy").await.expect("the copy").uid().expect("a uid");
        maps.delete("one", &DeleteParams::default()).await.expect("delete");
        let gone = wait::await_condition(maps.clone(), "one-copy", wait::conditions::is_deleted(&uid));
        timeout(PATIENCE, gone).await.expect("in time").expect("collected with its owner");
        running.abort();
    });
}

#[test]
fn streams_to_pods() {
    with("exec, attach, port-forward, logs", |client| async move {
        let pods: Api<Pod> = Api::default_namespaced(client);
        let mut ran = pods
            .exec("shell", ["sh", "-c", "echo out; echo err >&2; exit 3"], &AttachParams::default())
            .await
            .expect("exec");
        let status = ran.take_status().expect("a status to come");
        let (mut out, mut problems) = (String::new(), String::new());
        ran.stdout().expect("stdout").read_to_string(&mut out).await.expect("read");
        ran.stderr().expect("stderr").read_to_string(&mut problems).await.expect("read");
        let status = status.await.expect("a status");
        assert_eq!((out.as_str(), problems.as_str()), ("out\n", "err\n"));
        assert_eq!((status.status.as_deref(), status.reason.as_deref()), (Some("Failure"), Some("NonZeroExitCode")));
        ran.join().await.expect("the end");

        let asked = AttachParams::default().stdin(true).stderr(false);
        let mut talk = pods.exec("shell", ["head", "-c", "300000"], &asked).await.expect("exec");
        let (mut give, mut take) = (talk.stdin().expect("stdin"), talk.stdout().expect("stdout"));
        let sent: Vec<u8> = (0..300_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let mut back = Vec::new();
        let (given, taken) = tokio::join!(give.write_all(&sent), take.read_to_end(&mut back));
        given.expect("write");
        taken.expect("read");
        assert!(back == sent, "{} of {} bytes came back", back.len(), sent.len());
        talk.join().await.expect("the end");

        let mut forward = pods.portforward("web", &[80]).await.expect("portforward");
        let mut port = forward.take_stream(80).expect("the port");
        port.write_all(b"GET /here HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n").await.expect("write");
        let mut page = String::new();
        port.read_to_string(&mut page).await.expect("read");
        assert!(page.contains("serving /here "), "{page}");
        forward.abort();

        let speaker: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "speaker"},
            "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "alpine", "stdin": true, "command":
                ["sh", "-c", "echo ready; read word; echo got $word; sleep 1"]}]},
        }))
        .expect("a pod");
        pods.create(&PostParams::default(), &speaker).await.expect("create");
        let running = wait::await_condition(pods.clone(), "speaker", wait::conditions::is_pod_running());
        timeout(PATIENCE, running).await.expect("in time").expect("it runs");
        let mut attached =
            pods.attach("speaker", &AttachParams::default().stdin(true).stderr(false)).await.expect("attach");
        let log = pods.log_stream("speaker", &LogParams { follow: true, ..LogParams::default() }).await.expect("log");
        attached.stdin().expect("stdin").write_all(b"words\n").await.expect("write");
        let lines: Vec<String> = log.lines().try_collect().await.expect("the whole log");
        assert_eq!(lines, ["ready", "got words"]);
    });
}

#[test]
fn objects_and_discovery() {
    with("typed, discovery, server-side apply", |client| async move {
        let found = kube::discovery::Discovery::new(client.clone()).run().await.expect("discovery");
        let apps = found.get("apps").expect("apps");
        let (resource, abilities) = apps.recommended_kind("Deployment").expect("Deployment");
        assert!(resource.plural == "deployments" && abilities.supports_operation("watch"));
        let version = client.apiserver_version().await.expect("version");
        assert_eq!(version.major, "1");
        let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
        for number in 0..5 {
            maps.create(&PostParams::default(), &map(&format!("m{number}"))).await.expect("create");
        }
        let first = maps.list(&ListParams::default().labels("set=s").limit(3)).await.expect("list");
        let token = first.metadata.continue_.clone().expect("more to come");
        let second =
            maps.list(&ListParams::default().labels("set=s").limit(3).continue_token(&token)).await.expect("list");
        let names: Vec<String> = first.iter().chain(second.iter()).map(|object| object.name_any()).collect();
        assert_eq!(names, ["m0", "m1", "m2", "m3", "m4"]);
        let deployments: Api<Deployment> = Api::default_namespaced(client);
        let deployment: Deployment = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "d"},
            "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template":
                {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}},
        }))
        .expect("a Deployment");
        deployments.create(&PostParams::default(), &deployment).await.expect("create");
        let complete = wait::await_condition(deployments.clone(), "d", wait::conditions::is_deployment_completed());
        timeout(PATIENCE, complete).await.expect("in time").expect("rolled out");
        let patch = Patch::Merge(serde_json::json!({"spec": {"replicas": 0}}));
        let scale = deployments.patch_scale("d", &PatchParams::default(), &patch).await.expect("scale");
        // Go leaves a zero out.
        assert_eq!(scale.spec.and_then(|spec| spec.replicas).unwrap_or(0), 0);
        deployments.restart("d").await.expect("restart");
        let applied = |value: &str| {
            Patch::Apply(
                serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"a": value}}),
            )
        };
        let (one, two) = (PatchParams::apply("one"), PatchParams::apply("two"));
        maps.patch("applied", &one, &applied("1")).await.expect("apply");
        let conflict = maps.patch("applied", &two, &applied("2")).await.expect_err("another's field");
        assert!(conflict.to_string().contains("conflict"), "{conflict}");
        let forced = maps.patch("applied", &two.force(), &applied("2")).await.expect("force");
        assert_eq!(forced.managed_fields().len(), 1, "{forced:?}");
        let missing = maps.get_opt("nosuch").await.expect("no error");
        assert!(missing.is_none());
    });
}
