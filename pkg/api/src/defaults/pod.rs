//! Defaults of pods and pod templates (core/v1 `defaults.go`).

use serde_json::{Map, Value, json};

use super::{each_mut, fill, fill_number, object_mut};

/// Pod: everything of its spec, requests from limits, service links, host ports, the service account, and on create the
/// status Pending with its quality-of-service class.
pub fn pod(new: &mut Value, old: Option<&Value>) {
    pod_spec(&mut new["spec"]);
    let host_network = new["spec"]["hostNetwork"] == true;
    for list in ["initContainers", "containers"] {
        for container in each_mut(&mut new["spec"], list) {
            requests_from_limits(container);
            if host_network {
                for port in container.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
                    let own = port["containerPort"].as_i64().unwrap_or(0);
                    if let Value::Object(port) = port {
                        fill_number(port, "hostPort", own);
                    }
                }
            }
        }
    }
    let spec = object_mut(new, "spec");
    fill(spec, "enableServiceLinks", true);
    if spec.get("terminationGracePeriodSeconds").and_then(Value::as_i64).is_some_and(|s| s < 0) {
        spec.insert("terminationGracePeriodSeconds".into(), 1.into());
    }
    // What the admission plugins ServiceAccount and DefaultTolerationSeconds do in a real server.
    match old {
        None => {
            fill(spec, "serviceAccountName", "default");
            fill(spec, "serviceAccount", "default");
        }
        Some(old) => {
            for field in ["preemptionPolicy", "priority"] {
                if let Some(value) = old["spec"].get(field) {
                    fill(spec, field, value.clone());
                }
            }
        }
    }
    default_tolerations(spec);
    let class = crate::qos::class(&new["spec"]);
    let status = object_mut(new, "status");
    fill(status, "phase", "Pending");
    fill(status, "qosClass", class);
    sync_addresses(status);
}

/// podIP and podIPs say the same; podIP wins.
fn sync_addresses(status: &mut Map<String, Value>) {
    let one = status.get("podIP").and_then(Value::as_str).unwrap_or("").to_owned();
    let first = status.get("podIPs").and_then(|l| l[0]["ip"].as_str()).unwrap_or("").to_owned();
    if one.is_empty() && !first.is_empty() {
        status.insert("podIP".into(), first.into());
    } else if !one.is_empty() && one != first {
        status.insert("podIPs".into(), json!([{"ip": one}]));
    }
}

/// Pods leave an unreachable or unready node after five minutes.
fn default_tolerations(spec: &mut Map<String, Value>) {
    let tolerations = spec.entry("tolerations").or_insert_with(|| json!([]));
    let Value::Array(list) = tolerations else { return };
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let tolerated = list.iter().any(|t| {
            let (own, effect) = (t["key"].as_str().unwrap_or(""), t["effect"].as_str().unwrap_or(""));
            (own == key || own.is_empty()) && matches!(effect, "" | "NoExecute")
        });
        if !tolerated {
            list.push(json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}));
        }
    }
}

fn requests_from_limits(container: &mut Map<String, Value>) {
    let Some(Value::Object(resources)) = container.get_mut("resources") else { return };
    let Some(Value::Object(limits)) = resources.get("limits").cloned() else { return };
    if limits.is_empty() {
        return;
    }
    let requests = resources.entry("requests").or_insert_with(|| json!({}));
    if let Value::Object(requests) = requests {
        for (name, value) in limits {
            requests.entry(name).or_insert(value);
        }
    }
}

/// A pod spec, in a pod or in a template.
pub(super) fn pod_spec(spec: &mut Value) {
    if !spec.is_object() {
        *spec = json!({});
    }
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in each_mut(spec, list) {
            default_container(container);
        }
    }
    for volume in each_mut(spec, "volumes") {
        default_volume(volume);
    }
    if let Value::Object(spec) = spec {
        let account = spec.get("serviceAccountName").and_then(Value::as_str).filter(|s| !s.is_empty());
        let account = account.or_else(|| spec.get("serviceAccount").and_then(Value::as_str)).unwrap_or("").to_owned();
        if !account.is_empty() {
            spec.insert("serviceAccountName".into(), account.clone().into());
            spec.insert("serviceAccount".into(), account.into());
        }
        fill(spec, "dnsPolicy", "ClusterFirst");
        fill(spec, "restartPolicy", "Always");
        fill(spec, "securityContext", json!({}));
        fill(spec, "terminationGracePeriodSeconds", 30);
        fill(spec, "schedulerName", "default-scheduler");
    }
}

/// `latest` and no tag at all are pulled always; a digest names one image.
fn is_latest(image: &str) -> bool {
    if image.contains('@') {
        return false;
    }
    let last = image.rsplit('/').next().unwrap_or(image);
    last.split_once(':').is_none_or(|(_, tag)| tag == "latest")
}

fn default_container(container: &mut Map<String, Value>) {
    let image = container.get("image").and_then(Value::as_str).unwrap_or("").to_owned();
    fill(container, "imagePullPolicy", if is_latest(&image) { "Always" } else { "IfNotPresent" });
    fill(container, "terminationMessagePath", "/dev/termination-log");
    fill(container, "terminationMessagePolicy", "File");
    fill(container, "resources", json!({}));
    for port in container.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Value::Object(port) = port {
            fill(port, "protocol", "TCP");
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(Value::Object(probe)) = container.get_mut(probe) {
            fill_number(probe, "timeoutSeconds", 1);
            fill_number(probe, "periodSeconds", 10);
            fill_number(probe, "successThreshold", 1);
            fill_number(probe, "failureThreshold", 3);
            default_http_get(probe);
            if let Some(Value::Object(grpc)) = probe.get_mut("grpc") {
                grpc.entry("service").or_insert_with(|| "".into());
            }
        }
    }
    if let Some(Value::Object(lifecycle)) = container.get_mut("lifecycle") {
        for hook in ["postStart", "preStop"] {
            if let Some(Value::Object(hook)) = lifecycle.get_mut(hook) {
                default_http_get(hook);
            }
        }
    }
    for variable in container.get_mut("env").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(Value::Object(reference)) = variable.pointer_mut("/valueFrom/fieldRef") {
            fill(reference, "apiVersion", "v1");
        }
    }
}

fn default_http_get(handler: &mut Map<String, Value>) {
    if let Some(Value::Object(get)) = handler.get_mut("httpGet") {
        fill(get, "path", "/");
        fill(get, "scheme", "HTTP");
    }
}

fn default_volume(volume: &mut Map<String, Value>) {
    if volume.keys().all(|k| k == "name") {
        volume.insert("emptyDir".into(), json!({}));
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(Value::Object(source)) = volume.get_mut(source) {
            fill(source, "defaultMode", 0o644);
        }
    }
    if let Some(Value::Object(image)) = volume.get_mut("image") {
        let reference = image.get("reference").and_then(Value::as_str).unwrap_or("").to_owned();
        fill(image, "pullPolicy", if is_latest(&reference) { "Always" } else { "IfNotPresent" });
    }
    if let Some(Value::Object(path)) = volume.get_mut("hostPath")
        && !path.contains_key("type")
    {
        path.insert("type".into(), "".into());
    }
    let field_references = |items: &mut Value| {
        for item in items.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(Value::Object(reference)) = item.get_mut("fieldRef") {
                fill(reference, "apiVersion", "v1");
            }
        }
    };
    let own = volume.get_mut("ephemeral").and_then(|own| own.get_mut("volumeClaimTemplate"));
    if let Some(Value::Object(claim)) = own.and_then(|template| template.get_mut("spec")) {
        fill(claim, "volumeMode", "Filesystem");
    }
    if let Some(downward) = volume.get_mut("downwardAPI") {
        field_references(downward);
    }
    let sources = volume.get_mut("projected").and_then(|p| p.get_mut("sources")).and_then(Value::as_array_mut);
    for source in sources.into_iter().flatten() {
        if let Some(downward) = source.get_mut("downwardAPI") {
            field_references(downward);
        }
        if let Some(Value::Object(token)) = source.get_mut("serviceAccountToken") {
            fill(token, "expirationSeconds", 3600);
        }
    }
}
