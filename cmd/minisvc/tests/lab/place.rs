//! A namespace of a lab that is up, and what a behaviour's test does in it: objects by kubectl, commands in pods.

use std::sync::Mutex;

use serde_json::{Value, json};

use super::{Lab, Said};

/// The image of Kubernetes' own tests, as they name it.
pub const AGNHOST: &str = "registry.k8s.io/e2e-test-images/agnhost:2.66.1";

/// One behaviour: the conformance test's name and what is done and looked at.
pub type Behaviour = (&'static str, fn(&Place<'_>));

/// Shows each behaviour in a namespace of its own, a few at a time; fails with the names of all that do not hold.
pub fn show(lab: &Lab, behaviours: &[Behaviour]) {
    let rest = Mutex::new(behaviours.iter().enumerate());
    let failed = Mutex::new(Vec::new());
    let wanted = std::env::var("BEHAVIOUR").unwrap_or_default();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let next = rest.lock().expect("rest").next();
                    let Some((number, (name, behaviour))) = next else { return };
                    if !name.contains(&wanted) {
                        continue;
                    }
                    let started = std::time::Instant::now();
                    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                        behaviour(&Place::new(lab, &format!("place-{number}")));
                    }));
                    let seconds = started.elapsed().as_secs_f32();
                    match outcome {
                        Ok(()) => eprintln!("ok {seconds:.1} s: {name}"),
                        Err(_) => {
                            eprintln!("FAILED {seconds:.1} s: {name}");
                            failed.lock().expect("failed").push(*name);
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("failed");
    assert!(failed.is_empty(), "these do not hold: {failed:#?}");
}

/// A namespace.
pub struct Place<'a> {
    pub lab: &'a Lab,
    pub name: String,
}

/// Text as one word of the shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

impl<'a> Place<'a> {
    fn new(lab: &'a Lab, name: &str) -> Place<'a> {
        lab.ok(&format!("kubectl create namespace {name}"));
        Place { lab, name: name.to_owned() }
    }

    /// kubectl in this namespace, which must succeed.
    pub fn kubectl(&self, words: &str) -> String {
        self.lab.ok(&format!("kubectl -n {} {words}", self.name))
    }

    /// Creates an object; answers it as the server has it.
    pub fn create(&self, object: Value) -> Value {
        let text = self.kubectl(&format!("create -o json -f - <<'END'\n{object}\nEND"));
        serde_json::from_str(&text).expect("JSON")
    }

    /// An object as the server has it.
    pub fn get(&self, what: &str) -> Value {
        serde_json::from_str(&self.kubectl(&format!("get {what} -o json"))).expect("JSON")
    }

    /// Reads an object, changes it, and writes the whole of it back, as clients with typed objects do.
    pub fn update(&self, what: &str, change: impl Fn(&mut Value)) -> Value {
        let mut object = self.get(what);
        change(&mut object);
        let text = self.kubectl(&format!("replace -o json -f - <<'END'\n{object}\nEND"));
        serde_json::from_str(&text).expect("JSON")
    }

    /// A script in a pod's first container, or the one that is named (`pod -c name`).
    pub fn exec(&self, pod: &str, script: &str) -> Said {
        self.lab.sh(&format!("kubectl -n {} exec {pod} -- /bin/sh -x -c {}", self.name, quoted(script)))
    }

    /// Repeats a script in a pod until it succeeds and its output is good.
    pub fn until(&self, pod: &str, script: &str, good: impl Fn(&str) -> bool) -> String {
        self.lab.eventually(&format!("{pod}: {script}"), || {
            let said = self.exec(pod, script);
            if said.code == 0 && good(&said.out) { Ok(said.out) } else { Err(format!("{}{}", said.out, said.err)) }
        })
    }

    /// What the API server answers at a path.
    pub fn raw(&self, path: &str) -> Said {
        self.lab.sh(&format!("kubectl get --raw {}", quoted(path)))
    }

    /// A pod of one agnhost container with these words as its arguments.
    pub fn agnhost(&self, name: &str, labels: Value, arguments: &[&str]) -> Value {
        self.pod(name, labels, json!({"containers": [{"name": "agnhost", "image": AGNHOST, "args": arguments}]}))
    }

    /// A pod.
    pub fn pod(&self, name: &str, labels: Value, spec: Value) -> Value {
        let mut spec = spec;
        // Pods that are deleted shall not hold up the test.
        if spec["terminationGracePeriodSeconds"].is_null() {
            spec["terminationGracePeriodSeconds"] = json!(0);
        }
        self.create(
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}),
        )
    }

    /// A pod to run commands in.
    pub fn exec_pod(&self) {
        self.agnhost("execpod", json!({}), &["pause"]);
        self.ready("execpod");
    }

    /// Waits until these pods are Ready.
    pub fn ready(&self, pods: &str) {
        let said =
            self.lab.sh(&format!("kubectl -n {} wait --for=condition=Ready --timeout=60s pod {pods}", self.name));
        if said.code != 0 {
            let state =
                self.lab.sh(&format!("kubectl -n {} get pods -o wide; kubectl -n {} get events", self.name, self.name));
            panic!("{pods} not Ready: {}{}", said.err, state.out);
        }
    }

    /// A service with these ports (`80:9376/TCP` as port, target and protocol) and more in its spec.
    pub fn service(&self, name: &str, app: &str, ports: &[(&str, u16, u16, &str)], more: Value) -> Value {
        let ports: Vec<Value> = ports
            .iter()
            .map(|(name, port, target, protocol)| {
                json!({"name": name, "port": port, "targetPort": target, "protocol": protocol})
            })
            .collect();
        let mut spec = json!({"selector": {"app": app}, "ports": ports});
        for (key, value) in more.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        self.create(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}))
    }

    /// Pods `NAME-0`... that serve their name, behind the label `app: NAME`.
    pub fn hostnames(&self, name: &str, count: usize, mode: &[&str]) -> Vec<String> {
        let pods: Vec<String> = (0..count).map(|number| format!("{name}-{number}")).collect();
        for pod in &pods {
            self.agnhost(pod, json!({"app": name}), mode);
        }
        self.ready(&pods.join(" "));
        pods
    }

    /// Waits until the service has so many ready addresses.
    pub fn endpoints(&self, service: &str, count: usize) {
        self.lab.eventually(&format!("{count} endpoints of {service}"), || {
            let slices = self.get(&format!("endpointslices -l kubernetes.io/service-name={service}"));
            let slices = slices["items"].as_array().cloned().unwrap_or_default();
            let ready = slices.iter().flat_map(|slice| slice["endpoints"].as_array().cloned().unwrap_or_default());
            let ready = ready.filter(|endpoint| endpoint["conditions"]["ready"] == true).count();
            if ready == count { Ok(()) } else { Err(format!("{slices:?}")) }
        });
    }

    /// The different lines that a request, made so many times in a pod, is answered with.
    pub fn answers(&self, pod: &str, url: &str, times: usize) -> Vec<String> {
        let script = format!("for i in $(seq {times}); do curl -q -s --connect-timeout 2 {url}; echo; done");
        let said = self.exec(pod, &script);
        let mut lines: Vec<String> = said.out.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
        lines.sort();
        lines.dedup();
        lines
    }

    /// What the tests' jig does: a word over TCP or UDP must be answered with anything.
    pub fn reachable(&self, address: &str, port: u64, protocol: &str) {
        let kind = if protocol == "UDP" { "-u" } else { "-t" };
        let script = format!("echo hostName | nc -v {kind} -w 2 {address} {port}");
        self.until("execpod", &script, |out| !out.trim().is_empty());
    }

    /// An address of each node.
    pub fn nodes(&self) -> Vec<String> {
        let jsonpath = "'{.items[*].status.addresses[?(@.type==\"InternalIP\")].address}'";
        self.lab.ok(&format!("kubectl get nodes -o jsonpath={jsonpath}")).split(' ').map(str::to_owned).collect()
    }
}
