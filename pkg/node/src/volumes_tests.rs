//! Volumes on values and in temporary folders.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use k8s_openapi::api::core::v1::Container;
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
        Content::Files(files) => {
            files.into_iter().map(|(path, file)| (path, String::from_utf8_lossy(&file.content).into_owned())).collect()
        }
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
    let text = made(json!({"name": "v", "nfs": {"server": "s", "path": "/"}})).unwrap_err();
    assert!(text.contains("no volume plugin matched") && text.contains("none for nfs"), "{text}");
    let bundle = json!({"name": "v", "projected": {"sources": [{"clusterTrustBundle": {"name": "b", "path": "ca"}}]}});
    assert!(made(bundle).unwrap_err().contains("clustertrustbundle.certificates.k8s.io \"b\" not found"));
    let huge = made(json!({"name": "v", "emptyDir": {"medium": "HugePages-2Mi"}})).unwrap_err();
    assert!(huge.contains("unknown storage medium"), "{huge}");
}

#[test]
fn writing_swaps_all_at_once_and_removes_what_went() {
    let folder = tempfile::tempdir().unwrap();
    let at = |text: &str, names: &[&str]| -> Files {
        names.iter().map(|name| (name.to_string(), File::new(text.as_bytes().to_vec(), 0o600))).collect()
    };
    write(folder.path(), &at("one", &["a", "sub/b"]), None).unwrap();
    assert_eq!(fs::read_to_string(folder.path().join("sub/b")).unwrap(), "one");
    assert_eq!(fs::metadata(folder.path().join("a")).unwrap().permissions().mode() & 0o777, 0o600);
    let version = fs::read_link(folder.path().join("..data")).unwrap();
    write(folder.path(), &at("one", &["a", "sub/b"]), None).unwrap();
    assert_eq!(fs::read_link(folder.path().join("..data")).unwrap(), version, "an equal write changed something");
    write(folder.path(), &at("two", &["a"]), None).unwrap();
    assert_eq!(fs::read_to_string(folder.path().join("a")).unwrap(), "two");
    assert!(!folder.path().join("sub").exists() && !folder.path().join(version).exists());
    assert!(write(folder.path(), &at("x", &["../out"]), None).is_err());
}

#[test]
fn mounts_find_their_folders() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &BTreeMap::from([("a".to_owned(), File::new(b"1".to_vec(), 0o644))]), None).unwrap();
    let folders = BTreeMap::from([("v".to_owned(), (folder.path().to_owned(), true))]);
    let container = |mount: serde_json::Value| -> Container {
        serde_json::from_value(json!({"name": "c", "volumeMounts": [mount]})).unwrap()
    };
    let one = placed(&container(json!({"name": "v", "mountPath": "/etc/conf"})), &folders, |text| Ok(text.to_owned()))
        .unwrap();
    assert_eq!((one[0].target.as_path(), one[0].read_only), (Path::new("/etc/conf"), true));
    let file = placed(&container(json!({"name": "v", "mountPath": "/f", "subPath": "a"})), &folders, |text| {
        Ok(text.to_owned())
    })
    .unwrap();
    assert_eq!(fs::read_to_string(&file[0].source).unwrap(), "1");
    let wrong = placed(&container(json!({"name": "w", "mountPath": "/f"})), &folders, |text| Ok(text.to_owned()));
    assert_eq!(wrong.unwrap_err(), "volume \"w\" not found");
}

#[test]
fn empty_folders_have_a_medium_and_a_limit() {
    let wish = |source: serde_json::Value| made(json!({"name": "v", "emptyDir": source})).unwrap();
    assert_eq!(wish(json!({})), Content::Empty { memory: false, limit: None });
    let limited = Content::Empty { memory: true, limit: Some(64 << 20) };
    assert_eq!(wish(json!({"medium": "Memory", "sizeLimit": "64Mi"})), limited);
}

#[test]
fn tokens_belong_to_the_pods_one_user() {
    let token = |spec: serde_json::Value| {
        let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap();
        let volume = json!({"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3607}}]}});
        let tokens = BTreeMap::from([(TokenWish { audience: None, seconds: 3607 }, "tok".to_owned())]);
        let volume = serde_json::from_value(volume).unwrap();
        match content(&pod, &volume, &sources(), Some(&tokens), &Facts::default()).unwrap() {
            Content::Files(files) => (files["t"].mode, files["t"].owner),
            other => panic!("{other:?}"),
        }
    };
    let containers = json!([{"name": "a"}, {"name": "b", "securityContext": {"runAsUser": 7}}]);
    assert_eq!(token(json!({"containers": containers})), (0o644, None));
    assert_eq!(token(json!({"containers": containers, "securityContext": {"runAsUser": 7}})), (0o600, Some(7)));
    assert_eq!(token(json!({"containers": containers, "securityContext": {"fsGroup": 9}})), (0o600, None));
}

#[test]
fn a_group_gets_its_rights_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir(root.join("d")).unwrap();
    fs::write(root.join("d/f"), "").unwrap();
    let mode = |path: &str| fs::metadata(root.join(path)).unwrap().permissions().mode() & 0o7777;
    let own_group = std::os::unix::fs::MetadataExt::gid(&fs::metadata(root).unwrap());
    fs::set_permissions(root.join("d/f"), fs::Permissions::from_mode(0o400)).unwrap();
    give_to_group(root, own_group, true).unwrap();
    assert_eq!((mode("d/f"), mode("d") & 0o2550), (0o440, 0o2550));
    give_to_group(root, own_group, false).unwrap();
    assert_eq!((mode("d/f"), mode("d") & 0o2770), (0o660, 0o2770));
}

#[test]
fn sub_paths_are_made_and_do_not_lead_out() {
    let folder = tempfile::tempdir().unwrap();
    let folders = BTreeMap::from([("v".to_owned(), (folder.path().to_owned(), false))]);
    let place = |mount: serde_json::Value| {
        let container: Container = serde_json::from_value(json!({"name": "c", "volumeMounts": [mount]})).unwrap();
        placed(&container, &folders, |text| match text {
            "$(MISSING)" => Err("missing value for \"MISSING\"".to_owned()),
            text => Ok(text.replace("$(POD)", "p")),
        })
        .map(|placed| placed[0].source.clone())
    };
    let made = place(json!({"name": "v", "mountPath": "/m", "subPathExpr": "a/$(POD)"})).unwrap();
    assert!(made.ends_with("a/p") && made.is_dir());
    for wrong in ["../x", "/etc", "a/../../x"] {
        assert!(place(json!({"name": "v", "mountPath": "/m", "subPath": wrong})).is_err(), "{wrong}");
    }
    assert!(
        place(json!({"name": "v", "mountPath": "/m", "subPathExpr": "$(MISSING)"}))
            .unwrap_err()
            .contains("missing value")
    );
    std::os::unix::fs::symlink("/etc", folder.path().join("out")).unwrap();
    let text = place(json!({"name": "v", "mountPath": "/m", "subPath": "out/ssl"})).unwrap_err();
    assert!(text.contains("leads out of the volume"), "{text}");
}
