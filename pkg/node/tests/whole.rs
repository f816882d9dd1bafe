//! A whole node against the real API server, in a private namespace: pods with real sandboxes and processes.
//!
//! Without the test harness: this program is also what plays built-in images inside its pods (`image PROGRAM`).

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Event, Node, Pod, ServiceAccount};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use minisvc_apiserver::pki::{Pki, ServingNames};
use minisvc_apiserver::{ApiServer, Config as ApiConfig};
use minisvc_kernel::{Links, Netns, Scope};
use minisvc_node::logs::{self, LogOptions};
use minisvc_store::{Options, SledStore};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[path = "whole/lifecycle.rs"]
mod lifecycle;
#[path = "whole/limits.rs"]
mod limits;
#[path = "whole/security.rs"]
mod security;
#[path = "whole/volumes.rs"]
mod volumes;

const NAME: &str = "whole_node";
const NODE_IP: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 11);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [image, program, rest @ ..] = args.as_slice()
        && image == "image"
    {
        return minisvc_images::run(program, rest);
    }
    if args.iter().any(|arg| arg == "--list") {
        println!("{NAME}: test");
        return ExitCode::SUCCESS;
    }
    let test = std::thread::Builder::new().name(NAME.into()).spawn(|| {
        minisvc_testkit::isolated(|| {
            let log = std::env::var("RUST_LOG").unwrap_or_else(|_| "warn".into());
            tracing_subscriber::fmt().with_env_filter(log).with_writer(std::io::stderr).init();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(whole_node());
        });
    });
    match test.unwrap().join() {
        Ok(()) => {
            println!("1 passed");
            ExitCode::SUCCESS
        }
        Err(_) => ExitCode::FAILURE,
    }
}

struct Lab {
    client: kube::Client,
    pods: Api<Pod>,
    logs: std::path::PathBuf,
}

async fn whole_node() {
    let folder = tempfile::tempdir().unwrap();
    let client = api_server(folder.path()).await;
    let links = Links::open(&Netns::current().unwrap()).await.unwrap();
    links.add_address("lo", format!("{NODE_IP}/32").parse().unwrap(), Scope::Universe).await.unwrap();
    let mut config = minisvc_node::Config::new("node1", NODE_IP, "10.244.1.0/24".parse().unwrap());
    config.log_dir = folder.path().join("logs");
    config.run_dir = folder.path().join("run");
    config.cgroup = Some(limits::group().join("node1"));
    let lab =
        Lab { pods: Api::namespaced(client.clone(), "default"), client: client.clone(), logs: config.log_dir.clone() };
    let node = tokio::spawn(minisvc_node::run(config, client, std::future::pending()));
    tokio::select! {
        ended = node => panic!("the node ended: {ended:?}"),
        () = async {
            registers(&lab).await;
            color_serves_and_goes(&lab, &links).await;
            a_program_sees_its_pod(&lab).await;
            unknown_images_are_explained(&lab).await;
            failing_containers_back_off(&lab).await;
            probes_and_init_containers(&lab).await;
            stubborn_containers_are_killed(&lab).await;
            lifecycle::last_words(&lab).await;
            lifecycle::deadlines(&lab).await;
            lifecycle::hooks(&lab).await;
            lifecycle::sidecars(&lab).await;
            security::security_contexts(&lab).await;
            security::containers_share_what_the_pod_says(&lab).await;
            security::ephemeral_containers(&lab).await;
            limits::limits(&lab).await;
            volumes::folders(&lab).await;
            volumes::files(&lab).await;
            volumes::what_there_is_not(&lab).await;
        } => {}
    }
    // Whatever still runs ends with its pod, before the folders go.
    let _ = lab.pods.delete_collection(&DeleteParams::default().grace_period(0), &ListParams::default()).await;
    until("all pods are gone", async || lab.pods.list(&ListParams::default()).await.unwrap().items.is_empty()).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    if let Some(groups) = minisvc_kernel::Cgroups::of_machine() {
        groups.group(limits::group()).remove().unwrap();
    }
}

async fn api_server(folder: &Path) -> kube::Client {
    let store = SledStore::open(&folder.join("store"), Options::default()).unwrap();
    let names = ServingNames::standard([172, 30, 0, 2].into(), [10, 96, 0, 1].into(), "cluster.local", &[]);
    let pki = Arc::new(Pki::load_or_create(&folder.join("pki"), &names).unwrap());
    let server = ApiServer::new(ApiConfig::new(pki), Arc::new(store));
    server.bootstrap().await.unwrap();
    let client = server.client("admin", ["system:masters"]);
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
    let account = serde_json::from_value(json!({"metadata": {"name": "default"}})).unwrap();
    accounts.create(&PostParams::default(), &account).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    for (name, data) in [("kube-root-ca.crt", json!({"ca.crt": "CERT"})), ("conf", json!({"key": "value"}))] {
        let map = serde_json::from_value(json!({"metadata": {"name": name}, "data": data})).unwrap();
        maps.create(&PostParams::default(), &map).await.unwrap();
    }
    client
}

/// Waits for a condition; a minute without it is a failure, whatever the machine's load.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..6000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

impl Lab {
    async fn create(&self, name: &str, mut spec: Value) -> Pod {
        spec["nodeName"] = json!("node1");
        let pod = json!({"metadata": {"name": name, "labels": {"app": name}}, "spec": spec});
        self.pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap()
    }

    async fn status(&self, name: &str) -> Value {
        serde_json::to_value(self.pods.get(name).await.unwrap().status).unwrap()
    }

    async fn until(&self, name: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..6000 {
            let status = self.status(name).await;
            if holds(&status) {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("pod {name} never: {what}; its status is {:#}", self.status(name).await);
    }

    async fn log(&self, pod: &Pod, container: &str) -> String {
        let name = pod.metadata.name.as_deref().unwrap();
        let file = logs::find(&self.logs, "default", name, Some(container)).unwrap();
        let mut text = Vec::new();
        logs::print(&file, 0, &mut text).unwrap();
        let key =
            logs::LogKey { namespace: "default", pod: name, uid: pod.metadata.uid.as_deref().unwrap(), container };
        let run = file.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        assert_eq!(logs::read_logs(&self.logs, &key, run, &LogOptions::default()).unwrap(), text);
        String::from_utf8(text).unwrap()
    }

    async fn remove(&self, name: &str) {
        self.pods.delete(name, &DeleteParams::default()).await.unwrap();
        until("the pod is gone", async || self.pods.get_opt(name).await.unwrap().is_none()).await;
    }
}

fn ready(status: &Value) -> bool {
    let conditions = status["conditions"].as_array().into_iter().flatten();
    conditions.filter(|condition| condition["type"] == "Ready").any(|condition| condition["status"] == "True")
}

async fn get(address: &str, port: u16) -> std::io::Result<String> {
    let mut stream = tokio::net::TcpStream::connect((address, port)).await?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

async fn registers(lab: &Lab) {
    let nodes: Api<Node> = Api::all(lab.client.clone());
    until("the node is Ready", async || {
        let node = nodes.get_opt("node1").await.unwrap();
        let conditions = node.and_then(|node| node.status).and_then(|status| status.conditions).unwrap_or_default();
        conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
    })
    .await;
    let node = nodes.get("node1").await.unwrap();
    assert_eq!(node.metadata.labels.unwrap()["kubernetes.io/hostname"], "node1");
    assert_eq!(node.spec.unwrap().pod_cidr.as_deref(), Some("10.244.1.0/24"));
    let leases: Api<k8s_openapi::api::coordination::v1::Lease> = Api::namespaced(lab.client.clone(), "kube-node-lease");
    until("the lease is held", async || leases.get_opt("node1").await.unwrap().is_some()).await;
}

async fn color_serves_and_goes(lab: &Lab, links: &Links) {
    lab.create("blue-1", json!({"containers": [{"name": "color", "image": "jpetazzo/color"}]})).await;
    let status = lab.until("blue-1", "Ready", ready).await;
    let ip = status["podIP"].as_str().unwrap().to_owned();
    assert_eq!((status["phase"].as_str(), status["hostIP"].as_str()), (Some("Running"), Some("172.30.0.11")));
    let container = &status["containerStatuses"][0];
    assert!(container["containerID"].as_str().unwrap().starts_with("minisvc://"), "{container}");
    assert_eq!(container["restartCount"], 0);
    let mut answer = String::new();
    until("color answers", async || match get(&ip, 80).await {
        Ok(text) => {
            answer = text;
            true
        }
        Err(_) => false,
    })
    .await;
    assert!(answer.contains("🔵This is pod default/blue-1 on linux/"), "{answer}");
    assert!(answer.contains("serving / for 172.30.0.11:"), "the node is not the peer: {answer}");
    let veths = async || links.links().await.unwrap().iter().filter(|link| link.name.starts_with("veth")).count();
    assert_eq!(veths().await, 1);
    lab.remove("blue-1").await;
    assert_eq!(veths().await, 0);
    lab.create("blue-1", json!({"containers": [{"name": "color", "image": "jpetazzo/color"}]})).await;
    let status = lab.until("blue-1", "Ready", ready).await;
    assert_ne!(status["podIP"], ip.as_str(), "the replacement has its predecessor's address");
    lab.remove("blue-1").await;
}

async fn a_program_sees_its_pod(lab: &Lab) {
    let script = "hostname; cat /etc/hostname; cat /etc/resolv.conf; cat /etc/hosts; echo P=$P I=$I K=$K $(X); \
                  cat /conf/key; echo; cat /var/run/secrets/kubernetes.io/serviceaccount/namespace; echo; \
                  cat /var/run/secrets/kubernetes.io/serviceaccount/ca.crt; echo; \
                  test -s /var/run/secrets/kubernetes.io/serviceaccount/token && echo token; \
                  echo $$$$ pid; pwd; id -u; touch /tmp/x /root/x && echo writable; touch /usr/x || echo sealed; \
                  echo last > /dev/termination-log; exit 7";
    let pod = lab
        .create(
            "look",
            json!({"restartPolicy": "Never", "hostname": "me", "subdomain": "sub",
                "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["foo"]}],
                "volumes": [{"name": "conf", "configMap": {"name": "conf"}}],
                "containers": [{"name": "c", "image": "busybox", "command": ["sh", "-c", script], "workingDir": "/home",
                    "volumeMounts": [{"name": "conf", "mountPath": "/conf"}],
                    "env": [{"name": "P", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                        {"name": "I", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                        {"name": "K", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "key"}}},
                        {"name": "X", "value": "x-$(P)"}]}]}),
        )
        .await;
    let status = lab.until("look", "Failed", |status| status["phase"] == "Failed").await;
    let ip = status["podIP"].as_str().unwrap();
    let end = &status["containerStatuses"][0]["state"]["terminated"];
    assert_eq!((&end["exitCode"], &end["reason"], &end["message"]), (&json!(7), &json!("Error"), &json!("last\n")));
    let mut log = String::new();
    until("the log is whole", async || {
        log = lab.log(&pod, "c").await;
        log.contains("sealed")
    })
    .await;
    assert!(log.starts_with("me\nme\nsearch default.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n"), "{log}");
    for line in [
        &format!("{ip}\tme.sub.default.svc.cluster.local\tme"),
        "1.2.3.4\tfoo",
        &format!("P=look I={ip} K=value x-look"),
        "value",
        "default",
        "CERT",
        "token",
        "1 pid",
        "/home",
        "0",
        "writable",
        "sealed",
    ] {
        assert!(log.lines().any(|found| found == line), "no line {line:?} in {log}");
    }
    lab.remove("look").await;
}

async fn unknown_images_are_explained(lab: &Lab) {
    lab.create("mysql", json!({"containers": [{"name": "r", "image": "mysql"}]})).await;
    let waiting =
        |status: &Value| status["containerStatuses"][0]["state"]["waiting"]["reason"].as_str().map(str::to_owned);
    lab.until("mysql", "ErrImagePull", |status| waiting(status).as_deref() == Some("ErrImagePull")).await;
    let status = lab.until("mysql", "back-off", |status| waiting(status).as_deref() == Some("ImagePullBackOff")).await;
    assert_eq!(status["phase"], "Pending");
    let events: Api<Event> = Api::namespaced(lab.client.clone(), "default");
    until("an event explains", async || {
        let all = events.list(&ListParams::default()).await.unwrap();
        all.iter().any(|event| {
            event.reason.as_deref() == Some("Failed")
                && event.message.as_deref().unwrap_or_default().contains("jpetazzo/color")
        })
    })
    .await;
    lab.remove("mysql").await;
}

async fn failing_containers_back_off(lab: &Lab) {
    lab.create("crash", json!({"containers": [{"name": "c", "image": "busybox", "command": ["sh", "-c", "exit 3"]}]}))
        .await;
    let status = lab
        .until("crash", "CrashLoopBackOff", |status| {
            status["containerStatuses"][0]["state"]["waiting"]["reason"] == "CrashLoopBackOff"
        })
        .await;
    let container = &status["containerStatuses"][0];
    assert_eq!((&container["restartCount"], &container["lastState"]["terminated"]["exitCode"]), (&json!(1), &json!(3)));
    assert_eq!(status["phase"], "Running");
    lab.remove("crash").await;
    lab.create(
        "nocmd",
        json!({"restartPolicy": "Never", "containers": [{"name": "c", "image": "alpine", "command": ["no-such"]}]}),
    )
    .await;
    let status = lab.until("nocmd", "Failed", |status| status["phase"] == "Failed").await;
    let end = &status["containerStatuses"][0]["state"]["terminated"];
    assert_eq!(end["reason"], "StartError", "{end}");
    assert!(end["message"].as_str().unwrap().contains("executable file not found in $PATH"), "{end}");
    lab.remove("nocmd").await;
}

async fn probes_and_init_containers(lab: &Lab) {
    let pod = lab
        .create(
            "probed",
            json!({"volumes": [{"name": "v", "emptyDir": {}}],
                "initContainers": [{"name": "first", "image": "alpine", "volumeMounts": [{"name": "v", "mountPath": "/v"}],
                    "command": ["sh", "-c", "echo mine > /v/index.html"]}],
                "containers": [{"name": "web", "image": "nginx", "volumeMounts": [{"name": "v", "mountPath": "/usr/share/nginx/html"}],
                    "ports": [{"name": "http", "containerPort": 80}],
                    "startupProbe": {"exec": {"command": ["cat", "/usr/share/nginx/html/index.html"]}},
                    "livenessProbe": {"tcpSocket": {"port": "http"}, "periodSeconds": 1},
                    "readinessProbe": {"httpGet": {"path": "/index.html", "port": "http"}}}]}),
        )
        .await;
    let status = lab.until("probed", "Ready", ready).await;
    assert_eq!(status["initContainerStatuses"][0]["state"]["terminated"]["reason"], "Completed");
    assert_eq!(
        (&status["containerStatuses"][0]["started"], &status["containerStatuses"][0]["ready"]),
        (&json!(true), &json!(true))
    );
    let answer = get(status["podIP"].as_str().unwrap(), 80).await.unwrap();
    assert!(answer.ends_with("mine\n"), "{answer}");
    until("the probe is in the log", async || lab.log(&pod, "web").await.contains("kube-probe/")).await;
    lab.remove("probed").await;
    lab.create(
        "sick",
        json!({"terminationGracePeriodSeconds": 1, "containers": [{"name": "c", "image": "alpine", "command": ["sleep", "1000"],
            "livenessProbe": {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1}}]}),
    )
    .await;
    let status = lab
        .until("sick", "restarted", |status| status["containerStatuses"][0]["restartCount"].as_i64() >= Some(1))
        .await;
    assert_eq!(status["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 137, "{status}");
    lab.remove("sick").await;
}

async fn stubborn_containers_are_killed(lab: &Lab) {
    let spec = json!({"terminationGracePeriodSeconds": 2, "containers": [{"name": "c", "image": "alpine",
        "command": ["sh", "-c", "trap 'echo asked' TERM; echo up; while true; do sleep 0.1; done"],
        "lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", "echo stopping > /proc/1/fd/1"]}}}}]});
    let pod = lab.create("stubborn", spec).await;
    lab.until("stubborn", "Ready", ready).await;
    until("the trap is set", async || lab.log(&pod, "c").await.contains("up")).await;
    lab.pods.delete("stubborn", &DeleteParams::default()).await.unwrap();
    until("it was asked, after its hook", async || {
        let log =
            logs::find(&lab.logs, "default", "stubborn", None).ok().and_then(|log| std::fs::read_to_string(log).ok());
        log.is_none_or(|log| log.find("stopping").is_some_and(|hook| log[hook..].contains("asked")))
    })
    .await;
    until("the pod is gone", async || lab.pods.get_opt("stubborn").await.unwrap().is_none()).await;
}
