//! Watches: starts, transitions, shapes, ends.

use ::http::Request;
use axum::body::Body;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::lab::{Lab, config_map, service};
use crate::identity::{Identity, MASTERS, Peer};

const NS: &str = "/api/v1/namespaces/default";

/// An open watch.
pub(super) struct Lines {
    body: Body,
    pending: Vec<u8>,
}

impl Lines {
    pub(super) async fn open(lab: &Lab, uri: &str, accept: &str) -> Lines {
        let request = Request::builder().uri(uri).header("accept", accept).body(Body::empty()).unwrap();
        let response = lab.server.answer(request, Peer::InProcess(Identity::new("admin", [MASTERS]))).await;
        assert_eq!(response.status(), 200, "{uri}");
        Lines { body: response.into_body(), pending: Vec::new() }
    }

    /// The next event, or `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame = self.body.frame().await?.unwrap();
            self.pending.extend_from_slice(&frame.into_data().unwrap());
        }
    }

    /// Type and name of the next event.
    pub(super) async fn brief(&mut self) -> (String, String) {
        let event = self.next().await.expect("an event");
        let name = event["object"]["metadata"]["name"].as_str().unwrap_or_default();
        (event["type"].as_str().unwrap().into(), name.into())
    }
}

fn pair(kind: &str, name: &str) -> (String, String) {
    (kind.into(), name.into())
}

#[tokio::test]
async fn starts_from_nothing_from_a_revision_and_from_the_past() {
    let lab = Lab::new().await;
    let uri = format!("{NS}/configmaps");
    let first = lab.post(&uri, &config_map("a")).await.ok();
    let rv = first["metadata"]["resourceVersion"].as_str().unwrap();
    let mut fresh = Lines::open(&lab, &format!("{uri}?watch=true"), "application/json").await;
    let mut zero = Lines::open(&lab, &format!("{uri}?watch=1&resourceVersion=0"), "application/json").await;
    let mut after = Lines::open(&lab, &format!("{uri}?watch=true&resourceVersion={rv}"), "application/json").await;
    let mut legacy = Lines::open(&lab, "/api/v1/watch/namespaces/default/configmaps/a", "application/json").await;
    assert_eq!(fresh.brief().await, pair("ADDED", "a"));
    assert_eq!(zero.brief().await, pair("ADDED", "a"));
    assert_eq!(legacy.brief().await, pair("ADDED", "a"));
    lab.post(&uri, &config_map("b")).await.ok();
    lab.merge(&format!("{uri}/a"), &json!({"data": {"a": "2"}})).await.ok();
    lab.delete(&format!("{uri}/a")).await.ok();
    for lines in [&mut fresh, &mut zero, &mut after] {
        assert_eq!(lines.brief().await, pair("ADDED", "b"));
        assert_eq!(lines.brief().await, pair("MODIFIED", "a"));
        assert_eq!(lines.brief().await, pair("DELETED", "a"));
    }
    assert_eq!(legacy.brief().await, pair("MODIFIED", "a"));
    assert_eq!(legacy.brief().await, pair("DELETED", "a"));
}

#[tokio::test]
async fn selectors_turn_changes_into_arrivals_and_departures() {
    let lab = Lab::new().await;
    let uri = format!("{NS}/configmaps");
    let mut lines = Lines::open(&lab, &format!("{uri}?watch=true&labelSelector=in%3Dyes"), "application/json").await;
    lab.post(&uri, &config_map("a")).await.ok();
    let one = format!("{uri}/a");
    lab.merge(&one, &json!({"metadata": {"labels": {"in": "yes"}}})).await.ok();
    lab.merge(&one, &json!({"data": {"a": "2"}})).await.ok();
    let left = lab.merge(&one, &json!({"metadata": {"labels": {"in": "no"}}})).await.ok();
    assert_eq!(lines.brief().await, pair("ADDED", "a"));
    assert_eq!(lines.brief().await, pair("MODIFIED", "a"));
    let gone = lines.next().await.unwrap();
    assert_eq!(gone["type"], "DELETED");
    assert_eq!(gone["object"]["metadata"]["resourceVersion"], left["metadata"]["resourceVersion"]);
}

#[tokio::test]
async fn initial_events_end_with_a_bookmark() {
    let lab = Lab::new().await;
    let uri = format!(
        "{NS}/services?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    );
    let mut lines = Lines::open(&lab, &uri, "application/json").await;
    assert_eq!(lines.brief().await, pair("ADDED", "kubernetes"));
    let mark = lines.next().await.unwrap();
    assert_eq!((&mark["type"], &mark["object"]["kind"]), (&json!("BOOKMARK"), &json!("Service")));
    assert_eq!(mark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    lab.post(&format!("{NS}/services"), &service("a")).await.ok();
    assert_eq!(lines.brief().await, pair("ADDED", "a"));
}

#[tokio::test]
async fn tables_carry_their_columns_once() {
    let lab = Lab::new().await;
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let mut lines = Lines::open(&lab, &format!("{NS}/services?watch=true"), accept).await;
    let first = lines.next().await.unwrap()["object"].clone();
    assert_eq!((&first["kind"], &first["rows"][0]["cells"][0]), (&json!("Table"), &json!("kubernetes")));
    assert!(first["columnDefinitions"].is_array());
    lab.post(&format!("{NS}/services"), &service("a")).await.ok();
    let second = lines.next().await.unwrap()["object"].clone();
    assert_eq!(
        (&second["columnDefinitions"], &second["rows"][0]["object"]["kind"]),
        (&Value::Null, &json!("PartialObjectMetadata"))
    );
}

#[tokio::test]
async fn timeouts_and_shutdown_end_cleanly() {
    let lab = Lab::new().await;
    // Not before: while the store's own thread works, a paused clock runs to the next timeout.
    tokio::time::pause();
    let mut timed = Lines::open(&lab, &format!("{NS}/pods?watch=true&timeoutSeconds=2"), "application/json").await;
    assert_eq!(timed.next().await, None);
    let bookmarked = format!("{NS}/pods?watch=true&allowWatchBookmarks=true");
    let mut endless = Lines::open(&lab, &bookmarked, "application/json").await;
    let mark = endless.next().await.unwrap();
    assert_eq!(mark["type"], "BOOKMARK");
    assert!(mark["object"]["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap() > 1);
    lab.server.shutdown();
    assert_eq!(endless.next().await, None);
}

#[tokio::test]
async fn reflectors_follow_with_and_without_streamed_lists() {
    use futures::StreamExt as _;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::runtime::watcher::{self, Event};
    let lab = Lab::new().await;
    let uri = format!("{NS}/configmaps");
    lab.post(&uri, &config_map("a")).await.ok();
    let api: kube::Api<ConfigMap> = kube::Api::namespaced(lab.server.client("admin", [MASTERS]), "default");
    for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        let mut events = kube::runtime::watcher(api.clone(), config).boxed();
        let mut seen = Vec::new();
        loop {
            match events.next().await.unwrap().unwrap() {
                Event::Init => seen.push("init".to_owned()),
                Event::InitApply(object) => seen.push(object.metadata.name.unwrap()),
                Event::InitDone => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(seen, ["init", "a"]);
        lab.merge(&format!("{uri}/a"), &json!({"data": {"n": "1"}})).await.ok();
        lab.merge(&format!("{uri}/a"), &json!({"data": {"n": null}})).await.ok();
        for _ in 0..2 {
            assert!(matches!(events.next().await.unwrap().unwrap(), Event::Apply(_)));
        }
    }
}

#[tokio::test]
async fn who_comes_back_gets_what_it_missed() {
    let lab = Lab::new().await;
    let uri = format!("{NS}/configmaps");
    let first = lab.post(&uri, &config_map("a")).await.ok();
    let from = first["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    for round in 0..5 {
        lab.merge(&format!("{uri}/a"), &json!({"data": {"a": round.to_string()}})).await.ok();
    }
    // A client that comes back gets what it missed, in its own shape; half of it again after another break.
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let mut seen = Vec::new();
    let mut rv = from.clone();
    for accept in ["application/json", table, "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"] {
        let mut lines = Lines::open(&lab, &format!("{uri}?watch=true&resourceVersion={rv}"), accept).await;
        for _ in 0..if seen.is_empty() { 2 } else { 1 } {
            let event = lines.next().await.unwrap();
            assert_eq!(event["type"], "MODIFIED");
            rv = event["object"]["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
            seen.push(rv.parse::<u64>().unwrap());
        }
    }
    assert_eq!(seen.len(), 4);
    assert!(seen.is_sorted_by(|one, two| one < two), "{seen:?}");
}

#[tokio::test]
async fn a_large_beginning_comes_in_pieces_and_whole() {
    let lab = Lab::new().await;
    let uri = format!("{NS}/configmaps");
    for number in 0..60 {
        let mut map = config_map(&format!("m{number:02}"));
        map["data"]["text"] = json!("x".repeat(4000));
        lab.post(&uri, &map).await.ok();
    }
    let mut lines = Lines::open(&lab, &format!("{uri}?watch=true"), "application/json").await;
    let mut largest = 0;
    let mut names = Vec::new();
    while names.len() < 60 {
        let frame = lines.body.frame().await.unwrap().unwrap().into_data().unwrap();
        largest = largest.max(frame.len());
        lines.pending.extend_from_slice(&frame);
        while let Some(end) = lines.pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = lines.pending.drain(..=end).collect();
            let event: Value = serde_json::from_slice(&line).unwrap();
            names.push(event["object"]["metadata"]["name"].as_str().unwrap().to_owned());
        }
    }
    assert!(names.is_sorted() && largest < 64 << 10, "{largest} bytes at once");
    lab.merge(&format!("{uri}/m07"), &json!({"data": {"a": "2"}})).await.ok();
    assert_eq!(lines.brief().await, pair("MODIFIED", "m07"));
}
