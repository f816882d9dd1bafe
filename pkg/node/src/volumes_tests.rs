//! Volumes on values and in temporary folders.

use serde_json::json;

use super::*;

fn sources() -> Sources {
    let mut sources = Sources::default();
    let map = json!({"metadata": {"name": "conf"}, "data": {"a": "1", "b": "2"}, "binaryData": {"c": "AAE="}});
    sources.config_maps.insert("conf".into(), serde_json::from_value(map).unwrap());
    let secret = json!({"metadata": {"name": "hush"}, "data": {"key": "c2VjcmV0"}});
    sources.secrets.insert("hush".into(), serde_json::from_value(secret).unwrap());
    sources
}

fn made(volume: serde_json::Value) -> Result<Content, String> {
    let pod: Pod =
        serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "shop", "labels": {"x": "y"}}})).unwrap();
    let mut tokens = BTreeMap::new();
    tokens.insert(TokenWish { audience: None, seconds: 3607 }, "tok".to_owned());
    content(&pod, &serde_json::from_value(volume).unwrap(), &sources(), Some(&tokens), &Facts::default())
}

fn files(volume: serde_json::Value) -> BTreeMap<String, String> {
    match made(volume).unwrap() {
        Content::Files(files) => files
            .into_iter()
            .map(|(path, (content, _))| (path, String::from_utf8_lossy(&content).into_owned()))
            .collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn objects_become_files() {
    let map = files(json!({"name": "v", "configMap": {"name": "conf"}}));
    assert_eq!(map.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
    let picked = files(json!({"name": "v", "configMap": {"name": "conf", "items": [{"key": "b", "path": "deep/er"}]}}));
    assert_eq!(picked, BTreeMap::from([("deep/er".to_owned(), "2".to_owned())]));
    assert_eq!(files(json!({"name": "v", "secret": {"secretName": "hush"}}))["key"], "secret");
    let all = files(json!({"name": "v", "projected": {"sources": [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
        {"configMap": {"name": "conf", "items": [{"key": "a", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}}]}}));
    assert_eq!((all["token"].as_str(), all["ca.crt"].as_str(), all["namespace"].as_str()), ("tok", "1", "shop"));
}

#[test]
fn what_is_missing_is_named() {
    let text = made(json!({"name": "v", "configMap": {"name": "nope"}})).unwrap_err();
    assert_eq!(text, "MountVolume.SetUp failed for volume \"v\" : configmap \"nope\" not found");
    assert!(files(json!({"name": "v", "configMap": {"name": "nope", "optional": true}})).is_empty());
    let text =
        made(json!({"name": "v", "configMap": {"name": "conf", "items": [{"key": "z", "path": "z"}]}})).unwrap_err();
    assert!(text.contains("non-existent config key: z"), "{text}");
    assert!(made(json!({"name": "v", "nfs": {"server": "s", "path": "/"}})).unwrap_err().contains("no such kind"));
    assert!(made(json!({"name": "v", "hostPath": {"path": "/nope", "type": "File"}})).is_err());
}

#[test]
fn writing_swaps_all_at_once_and_removes_what_went() {
    let folder = tempfile::tempdir().unwrap();
    let at = |text: &str, names: &[&str]| -> Files {
        names.iter().map(|name| (name.to_string(), (text.as_bytes().to_vec(), 0o600))).collect()
    };
    write(folder.path(), &at("one", &["a", "sub/b"])).unwrap();
    assert_eq!(fs::read_to_string(folder.path().join("sub/b")).unwrap(), "one");
    assert_eq!(fs::metadata(folder.path().join("a")).unwrap().permissions().mode() & 0o777, 0o600);
    let version = fs::read_link(folder.path().join("..data")).unwrap();
    write(folder.path(), &at("one", &["a", "sub/b"])).unwrap();
    assert_eq!(fs::read_link(folder.path().join("..data")).unwrap(), version, "an equal write changed something");
    write(folder.path(), &at("two", &["a"])).unwrap();
    assert_eq!(fs::read_to_string(folder.path().join("a")).unwrap(), "two");
    assert!(!folder.path().join("sub").exists() && !folder.path().join(version).exists());
    assert!(write(folder.path(), &at("x", &["../out"])).is_err());
}

#[test]
fn mounts_find_their_folders() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &BTreeMap::from([("a".to_owned(), (b"1".to_vec(), 0o644))])).unwrap();
    let folders = BTreeMap::from([("v".to_owned(), (folder.path().to_owned(), true))]);
    let container = |mount: serde_json::Value| -> Container {
        serde_json::from_value(json!({"name": "c", "volumeMounts": [mount]})).unwrap()
    };
    let one = placed(&container(json!({"name": "v", "mountPath": "/etc/conf"})), &folders, str::to_owned).unwrap();
    assert_eq!((one[0].target.as_path(), one[0].read_only), (Path::new("/etc/conf"), true));
    let file =
        placed(&container(json!({"name": "v", "mountPath": "/f", "subPath": "a"})), &folders, str::to_owned).unwrap();
    assert_eq!(fs::read_to_string(&file[0].source).unwrap(), "1");
    let wrong = placed(&container(json!({"name": "w", "mountPath": "/f"})), &folders, str::to_owned);
    assert_eq!(wrong.unwrap_err(), "volume \"w\" not found");
}
