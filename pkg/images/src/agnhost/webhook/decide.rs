//! What each path of `agnhost webhook` answers to an admission request. Pure: from the request to the response, whose uid
//! the server fills in.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// The paths that take reviews.
pub(super) const PATHS: [&str; 12] = [
    "/always-allow-delay-5s",
    "/always-deny",
    "/add-label",
    "/pods",
    "/pods/attach",
    "/mutating-pods",
    "/mutating-pods-sidecar",
    "/configmaps",
    "/mutating-configmaps",
    "/custom-resource",
    "/mutating-custom-resource",
    "/crd",
];

/// The key by which tests mark what is to be refused.
const MARK: &str = "webhook-e2e-test";
const UNWANTED: &str = "webhook-disallow";

/// How long an answer takes: at once, after a while, or (`Some(None)`) never.
pub(super) fn delay(path: &str, request: &Value) -> Option<Option<Duration>> {
    match path {
        "/always-allow-delay-5s" => Some(Some(super::SLOW)),
        "/pods" if request["object"]["metadata"]["labels"][MARK] == "wait-forever" => Some(None),
        _ => None,
    }
}

/// The response; `None` where such a request is none that the path understands and has no words for.
pub(super) fn answer(path: &str, request: &Value, sidecar: &str) -> Option<Value> {
    let (object, of) = (&request["object"], |resource: &str| is_core(request, resource));
    Some(match path {
        "/always-allow-delay-5s" => json!({"allowed": true, "status": told("this webhook allows all requests")}),
        "/always-deny" => denied("this webhook denies all requests"),
        "/add-label" => add_label(object),
        "/pods" if of("pods") => pods(object),
        "/pods" => denied("expect resource to be {\"\" \"v1\" \"pods\"}"),
        "/pods/attach" => attach(request),
        "/mutating-pods" if of("pods") => {
            let named = object["metadata"]["name"] == "webhook-to-be-mutated";
            let container =
                json!({"image": "webhook-added-image", "name": "webhook-added-init-container", "resources": {}});
            let patch = json!([{"op": "add", "path": "/spec/initContainers", "value": [container]}]);
            let there = has(&object["spec"]["initContainers"], "webhook-added-init-container");
            if named && !there { patched(&patch) } else { allowed() }
        }
        "/mutating-pods-sidecar" if sidecar.is_empty() => json!({"allowed": false, "status": {
            "metadata": {}, "status": "Failure", "message": "No image specified by the sidecar-image parameter", "code": 500,
        }}),
        "/mutating-pods-sidecar" if of("pods") => {
            let container = json!({"image": sidecar, "name": "webhook-added-sidecar", "resources": {}});
            let patch = json!([{"op": "add", "path": "/spec/containers/-", "value": container}]);
            if has(&object["spec"]["containers"], "webhook-added-sidecar") { allowed() } else { patched(&patch) }
        }
        "/configmaps" if of("configmaps") => data(
            request,
            "the configmap contains unwanted key and value",
            "the configmap cannot be deleted because it contains unwanted key and value",
        ),
        "/custom-resource" => data(
            request,
            "the custom resource contains unwanted data",
            "the custom resource cannot be deleted because it contains unwanted key and value",
        ),
        "/mutating-configmaps" if of("configmaps") => stages(object),
        "/mutating-custom-resource" => stages(object),
        "/crd" => definition(request),
        _ => return None,
    })
}

fn is_core(request: &Value, resource: &str) -> bool {
    let asked = &request["resource"];
    asked["group"] == "" && asked["version"] == "v1" && asked["resource"] == resource
}

fn told(message: &str) -> Value {
    json!({"metadata": {}, "message": message})
}

fn allowed() -> Value {
    json!({"allowed": true})
}

fn denied(message: &str) -> Value {
    json!({"allowed": false, "status": told(message)})
}

fn patched(patch: &Value) -> Value {
    json!({"allowed": true, "patch": STANDARD.encode(patch.to_string()), "patchType": "JSONPatch"})
}

fn has(containers: &Value, name: &str) -> bool {
    containers.as_array().into_iter().flatten().any(|container| container["name"] == name)
}

fn add_label(object: &Value) -> Value {
    let labels = &object["metadata"]["labels"];
    let at = "/metadata/labels/added-label";
    match (labels.as_object().is_none_or(serde_json::Map::is_empty), labels["added-label"].as_str()) {
        (true, _) => patched(&json!([{"op": "add", "path": "/metadata/labels", "value": {"added-label": "yes"}}])),
        (false, None) => patched(&json!([{"op": "add", "path": at, "value": "yes"}])),
        (false, Some("yes")) => allowed(),
        (false, Some(_)) => patched(&json!([{"op": "replace", "path": at, "value": "yes"}])),
    }
}

fn pods(pod: &Value) -> Value {
    let mut why = Vec::new();
    if pod["metadata"]["labels"][MARK] == UNWANTED {
        why.push("the pod contains unwanted label;");
    }
    for container in pod["spec"]["containers"].as_array().into_iter().flatten() {
        if container["name"].as_str().is_some_and(|name| name.contains(UNWANTED)) {
            why.push("the pod contains unwanted container name;");
        }
    }
    if why.is_empty() { allowed() } else { denied(&why.join(" ")) }
}

fn attach(request: &Value) -> Value {
    if request["name"] != "to-be-attached-pod" {
        return allowed();
    }
    if !is_core(request, "pods") {
        return denied("expect resource to be {\"\" \"v1\" \"pods\"}");
    }
    if request["subResource"] != "attach" {
        let found = request["subResource"].as_str().unwrap_or_default();
        return denied(&format!("expect subresource to be attach, got {found}"));
    }
    let options = &request["object"];
    match options["stdin"] == true && options["container"] == "container1" {
        true => denied("attaching to pod 'to-be-attached-pod' is not allowed"),
        false => allowed(),
    }
}

/// Refuses marked data, on deletes that of the object as it was.
fn data(request: &Value, unwanted: &str, kept: &str) -> Value {
    let deletes = request["operation"] == "DELETE";
    let object = if deletes { &request["oldObject"] } else { &request["object"] };
    let writes = request["operation"] == "CREATE" || request["operation"] == "UPDATE";
    let refused = |reason: &str| json!({"allowed": false, "status": {"metadata": {}, "reason": reason}});
    match object["data"][MARK].as_str() {
        Some(UNWANTED) if writes => refused(unwanted),
        Some("webhook-nondeletable") if deletes => refused(kept),
        _ => allowed(),
    }
}

/// Adds the next stage to data that has one.
fn stages(object: &Value) -> Value {
    let add =
        |stage: u8| patched(&json!([{"op": "add", "path": format!("/data/mutation-stage-{stage}"), "value": "yes"}]));
    let data = &object["data"];
    match (data["mutation-start"] == "yes", data["mutation-stage-1"] == "yes") {
        (_, true) => add(2),
        (true, false) => add(1),
        (false, false) => allowed(),
    }
}

fn definition(request: &Value) -> Value {
    let asked = &request["resource"];
    let known = asked["group"] == "apiextensions.k8s.io" && asked["resource"] == "customresourcedefinitions";
    if !known || !(asked["version"] == "v1" || asked["version"] == "v1beta1") {
        return denied(&format!(
            "expect resource to be customresourcedefinitions of apiextensions.k8s.io but got {asked}"
        ));
    }
    match request["object"]["metadata"]["labels"][MARK] == UNWANTED {
        true => denied("the crd contains unwanted label"),
        false => allowed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(resource: &str, operation: &str, object: Value) -> Value {
        json!({"operation": operation, "resource": {"group": "", "version": "v1", "resource": resource}, "object": object})
    }

    fn allows(path: &str, request: &Value) -> bool {
        answer(path, request, "").unwrap()["allowed"] == true
    }

    #[test]
    fn marked_objects_are_refused() {
        let marked = json!({"data": {"webhook-e2e-test": "webhook-disallow"}});
        assert!(!allows("/configmaps", &request("configmaps", "CREATE", marked.clone())));
        assert!(allows("/configmaps", &request("configmaps", "CREATE", json!({"data": {"a": "b"}}))));
        assert!(!allows("/custom-resource", &request("foos", "UPDATE", marked)));
        let mut delete = request("configmaps", "DELETE", Value::Null);
        delete["oldObject"] = json!({"data": {"webhook-e2e-test": "webhook-nondeletable"}});
        assert!(!allows("/configmaps", &delete));
        let pod = json!({"metadata": {"labels": {"webhook-e2e-test": "webhook-disallow"}}, "spec": {"containers": [{"name": "webhook-disallow"}]}});
        let said = answer("/pods", &request("pods", "CREATE", pod), "").unwrap();
        assert_eq!(
            said["status"]["message"],
            "the pod contains unwanted label; the pod contains unwanted container name;"
        );
        assert!(answer("/configmaps", &request("pods", "CREATE", json!({})), "").is_none());
    }

    #[test]
    fn stages_follow_each_other() {
        let patch = |data: Value| {
            answer("/mutating-configmaps", &request("configmaps", "CREATE", json!({"data": data})), "").unwrap()
        };
        let stage = |n: u8| {
            STANDARD
                .encode(json!([{"op": "add", "path": format!("/data/mutation-stage-{n}"), "value": "yes"}]).to_string())
        };
        assert_eq!(patch(json!({"mutation-start": "yes"}))["patch"], stage(1));
        assert_eq!(patch(json!({"mutation-start": "yes", "mutation-stage-1": "yes"}))["patch"], stage(2));
        assert!(patch(json!({})).get("patch").is_none());
    }

    #[test]
    fn only_one_attachment_is_refused() {
        let mut request = request("pods", "CONNECT", json!({"stdin": true, "container": "container1"}));
        request["name"] = json!("to-be-attached-pod");
        request["subResource"] = json!("attach");
        assert!(!allows("/pods/attach", &request));
        request["object"]["stdin"] = json!(false);
        assert!(allows("/pods/attach", &request));
    }

    #[test]
    fn labels_and_containers_are_added_once() {
        let label =
            |labels: Value| answer("/add-label", &json!({"object": {"metadata": {"labels": labels}}}), "").unwrap();
        assert!(
            label(Value::Null).get("patch").is_some() && label(json!({"added-label": "yes"})).get("patch").is_none()
        );
        let pod = json!({"metadata": {"name": "webhook-to-be-mutated"}, "spec": {"containers": []}});
        assert!(answer("/mutating-pods", &request("pods", "CREATE", pod.clone()), "").unwrap().get("patch").is_some());
        assert_eq!(
            answer("/mutating-pods-sidecar", &request("pods", "CREATE", pod), "").unwrap()["status"]["code"],
            500
        );
    }
}
