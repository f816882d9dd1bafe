//! Targets that reach the API server's parsers the way strangers do: as requests, in process. Invariants: no panic (the
//! server makes 500 of it), a refusal changes nothing, what is answered can be sent back unchanged, a patch never
//! changes what an object is.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use http_body_util::BodyExt as _;
use kube::client::Body;
use minisvc_apiserver::pki::{Pki, ServingNames};
use minisvc_apiserver::{ApiServer, Config};
use minisvc_store::{Options, SledStore, Store as _};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde_json::{Value, json};

/// Where objects of many shapes are made, and under which name the patches find one.
pub(crate) const PLACES: &[(&str, &str)] = &[
    ("/api/v1/namespaces/default/services", "subject"),
    ("/apis/apps/v1/namespaces/default/deployments", "subject"),
    ("/api/v1/namespaces/default/pods", "subject"),
    ("/api/v1/namespaces/default/configmaps", "subject"),
    ("/api/v1/namespaces/default/endpoints", "subject"),
    ("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", "subject"),
    ("/apis/networking.k8s.io/v1/namespaces/default/ingresses", "subject"),
    ("/apis/apps/v1/namespaces/default/daemonsets", "subject"),
    ("/api/v1/namespaces/default/secrets", "subject"),
    ("/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles", "subject"),
];

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) body: Vec<u8>,
}

/// A server of this process with one object in every place.
pub(crate) struct Bed {
    runtime: tokio::runtime::Runtime,
    pub(crate) server: ApiServer,
    pub(crate) store: Arc<SledStore>,
    admin: kube::Client,
    _folder: tempfile::TempDir,
}

/// Where files of a run lie: memory, where there is such a place.
pub(crate) fn scratch() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

pub(crate) static BED: LazyLock<Bed> = LazyLock::new(Bed::new);

impl Bed {
    fn new() -> Bed {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("tokio");
        let folder = tempfile::tempdir_in(scratch()).expect("a folder");
        let options = Options { seed: Some(1), ..Options::default() };
        let store = Arc::new(SledStore::open(&folder.path().join("store"), options).expect("a store"));
        let names = ServingNames::standard([172, 30, 0, 2].into(), [10, 96, 0, 1].into(), "cluster.local", &[]);
        let pki = Arc::new(Pki::load_or_create(&folder.path().join("pki"), &names).expect("keys"));
        let server = ApiServer::new(Config::new(pki), store.clone());
        let admin = {
            let _inside = runtime.enter();
            server.client("admin", ["system:masters"])
        };
        let bed = Bed { runtime, server, store, admin, _folder: folder };
        bed.runtime.block_on(bed.server.bootstrap()).expect("bootstrap");
        bed.furnish();
        bed
    }

    /// One object in every place, each of its kind's own shape.
    fn furnish(&self) {
        self.must("POST", "/api/v1/namespaces/default/serviceaccounts", &json!({"metadata": {"name": "default"}}));
        let container = json!({"name": "c", "image": "nginx", "ports": [{"name": "web", "containerPort": 80}], "env": [{"name": "A", "value": "1"}]});
        let template = json!({"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [container]}});
        let selector = json!({"matchLabels": {"app": "a"}});
        let objects = [
            json!({"spec": {"selector": {"app": "a"}, "type": "NodePort", "ports": [{"name": "web", "port": 80}, {"name": "alt", "port": 81, "protocol": "UDP"}]}}),
            json!({"spec": {"replicas": 2, "selector": selector, "template": template}}),
            json!({"spec": {"containers": [container], "tolerations": [{"key": "k", "operator": "Exists"}]}}),
            json!({"data": {"a": "1", "b": "2"}, "binaryData": {"c": "AAEC"}}),
            json!({"subsets": [{"addresses": [{"ip": "10.1.1.1"}, {"ip": "10.1.1.2"}], "ports": [{"name": "web", "port": 80}]}]}),
            json!({"addressType": "IPv4", "endpoints": [{"addresses": ["10.1.1.1"]}], "ports": [{"name": "web", "port": 80}]}),
            json!({"spec": {"rules": [{"host": "a.b", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "s", "port": {"number": 80}}}}]}}]}}),
            json!({"spec": {"selector": selector, "template": template}}),
            json!({"type": "Opaque", "data": {"a": "AAEC"}}),
            json!({"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}),
        ];
        assert_eq!(objects.len(), PLACES.len());
        for (mut object, (place, name)) in objects.into_iter().zip(PLACES) {
            object["metadata"] = json!({"name": name, "labels": {"app": "a", "tier": "x"}, "annotations": {"note": "n"}, "finalizers": ["x.y/z"]});
            self.must("POST", place, &object);
        }
    }

    fn must(&self, method: &str, uri: &str, body: &Value) {
        let answer = self.ask(method, uri, "application/json", body.to_string().into_bytes());
        assert!(answer.code < 300, "{method} {uri}: {} {}", answer.code, String::from_utf8_lossy(&answer.body));
    }

    /// A request by the administrator.
    pub(crate) fn ask(&self, method: &str, uri: &str, media: &str, body: Vec<u8>) -> Answer {
        let request = http::Request::builder().method(method).uri(uri).header("content-type", media);
        self.send(&self.admin, request.body(Body::from(body)).expect("a request"))
    }

    /// A request by anybody.
    pub(crate) fn send(&self, client: &kube::Client, request: http::Request<Body>) -> Answer {
        self.runtime.block_on(async {
            let response = client.send(request).await.expect("in process nothing gets lost");
            let code = response.status().as_u16();
            let collected = response.into_body().collect().await.expect("a body");
            Answer { code, body: collected.to_bytes().to_vec() }
        })
    }

    /// A client of this server.
    pub(crate) fn client(&self, user: &str, groups: &[&str]) -> kube::Client {
        let _inside = self.runtime.enter();
        self.server.client(user, groups.iter().copied())
    }
}

/// How the refusals of strategic merge patches begin for which upstream has no code but 500.
const UNMERGED: &[&str] = &[
    "unknown patch type: ",
    "map: map[",
    "merging lists cannot yet be specified in the patch",
    "merging an object in json but data type is not struct",
    "list element types are not identical: ",
    "The order in patch list:",
    "expected a ",
    "expected slice or array type",
    "unable to find api field in struct ",
    "no elements in any of the given slices",
    "cannot merge lists without merge key",
    "runtime error: comparing uncomparable type",
];

impl Answer {
    /// The body, which must be JSON; 500 is an answer of two kinds only.
    fn json(&self) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|cause| panic!("{} {cause}: {text}", self.code));
        // Apply answers so where a patch does not fit the schema, as kube-apiserver does.
        let unfit = text.contains("failed to create typed patch object") && !text.contains("panicked");
        // So does a strategic merge patch, without a reason, which a panic has; nothing else may.
        let message = value["message"].as_str().unwrap_or_default();
        let unmerged = value.get("reason").is_none() && UNMERGED.iter().any(|start| message.starts_with(start));
        assert!(self.code != 500 || unfit || unmerged, "{text}");
        if self.code >= 400 {
            assert_eq!((&value["kind"], &value["code"]), (&json!("Status"), &json!(self.code)), "{value}");
            assert!(value["message"].as_str().is_some_and(|message| !message.is_empty()), "{value}");
        }
        value
    }
}

/// The first byte chooses, the others are the input.
fn choice(bytes: &[u8]) -> Option<(usize, &[u8])> {
    bytes.split_first().map(|(first, rest)| (usize::from(*first), rest))
}

/// Creates what the bytes say, gets it, sends it back, and removes it.
fn body(bytes: &[u8], media: &str) {
    let Some((number, input)) = choice(bytes) else { return };
    let bed = &*BED;
    let (place, _) = PLACES[number % PLACES.len()];
    let before = bed.store.revision();
    let made = bed.ask("POST", place, media, input.to_vec());
    let value = made.json();
    if made.code >= 400 {
        assert_eq!(bed.store.revision(), before, "refused, and yet something changed: {value}");
        return;
    }
    let name = value["metadata"]["name"].as_str().expect("a name").to_owned();
    // Names of some kinds may hold almost anything.
    let uri = format!("{place}/{}", percent_encoding::utf8_percent_encode(&name, percent_encoding::NON_ALPHANUMERIC));
    let got = bed.ask("GET", &uri, media, Vec::new()).json();
    assert_eq!(got, value, "what was created is not what is there");
    let before = bed.store.revision();
    let again = bed.ask("PUT", &uri, "application/json", got.to_string().into_bytes());
    assert_eq!((again.code, again.json()), (200, got.clone()), "what the server wrote it must take back as it is");
    assert_eq!(bed.store.revision(), before, "and nothing changes by that");
    // Out of the way again, whatever its finalizers and grace.
    if got["metadata"]["finalizers"].is_array() {
        let free = br#"{"metadata":{"finalizers":null}}"#.to_vec();
        assert!(bed.ask("PATCH", &uri, "application/merge-patch+json", free).code < 500);
    }
    let gone = bed.ask("DELETE", &format!("{uri}?gracePeriodSeconds=0"), media, Vec::new());
    assert!(gone.code < 300, "{}: {}", gone.code, String::from_utf8_lossy(&gone.body));
}

pub(crate) fn body_json(bytes: &[u8]) {
    body(bytes, "application/json");
}

pub(crate) fn body_yaml(bytes: &[u8]) {
    body(bytes, "application/yaml");
}

pub(crate) fn body_protobuf(bytes: &[u8]) {
    body(bytes, "application/vnd.kubernetes.protobuf");
}

/// Patches an object without keeping the outcome.
fn patch(bytes: &[u8], media: &str, query: &str) {
    let Some((number, input)) = choice(bytes) else { return };
    let bed = &*BED;
    let (place, name) = PLACES[number % PLACES.len()];
    let uri = format!("{place}/{name}");
    let old = bed.ask("GET", &uri, "", Vec::new()).json();
    let before = bed.store.revision();
    let outcome = bed.ask("PATCH", &format!("{uri}?dryRun=All{query}"), media, input.to_vec());
    let new = outcome.json();
    assert_eq!(bed.store.revision(), before, "a dry run writes nothing");
    if outcome.code < 300 {
        for field in [
            "/kind",
            "/apiVersion",
            "/metadata/name",
            "/metadata/namespace",
            "/metadata/uid",
            "/metadata/creationTimestamp",
        ] {
            assert_eq!(new.pointer(field), old.pointer(field), "{field} changed: {new}");
        }
    }
    assert_eq!(bed.ask("GET", &uri, "", Vec::new()).json(), old);
}

pub(crate) fn patch_json(bytes: &[u8]) {
    patch(bytes, "application/json-patch+json", "");
}

pub(crate) fn patch_merge(bytes: &[u8]) {
    patch(bytes, "application/merge-patch+json", "");
}

pub(crate) fn patch_strategic(bytes: &[u8]) {
    patch(bytes, "application/strategic-merge-patch+json", "");
}

pub(crate) fn patch_apply(bytes: &[u8]) {
    patch(bytes, "application/apply-patch+yaml", "&fieldManager=fuzz&force=true");
}

/// Lists with a parameter; answers are the list, or a refusal with one of `refusals`.
fn list(bytes: &[u8], parameter: &str, refusals: &[u16]) {
    let Some((number, input)) = choice(bytes) else { return };
    let bed = &*BED;
    let (place, _) = PLACES[number % PLACES.len()];
    let all = bed.ask("GET", place, "", Vec::new()).json();
    let uri = format!("{place}?{parameter}={}", percent_encode(input, NON_ALPHANUMERIC));
    let answer = bed.ask("GET", &uri, "", Vec::new());
    let some = answer.json();
    if answer.code >= 400 {
        assert!(refusals.contains(&answer.code), "{uri}: {some}");
        return;
    }
    let all = all["items"].as_array().expect("items");
    for item in some["items"].as_array().expect("items") {
        assert!(all.contains(item), "{uri} gives what the whole list does not hold: {item}");
    }
}

pub(crate) fn selector_label(bytes: &[u8]) {
    list(bytes, "labelSelector", &[400]);
}

pub(crate) fn selector_field(bytes: &[u8]) {
    list(bytes, "fieldSelector", &[400]);
}

/// Raw, and as the base64 of a token.
pub(crate) fn continue_token(bytes: &[u8]) {
    list(bytes, "limit=1&continue", &[400, 410]);
    if let Some((first, rest)) = bytes.split_first() {
        let mut token = vec![*first];
        token.extend(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(rest).into_bytes());
        list(&token, "limit=1&continue", &[400, 410]);
    }
}
