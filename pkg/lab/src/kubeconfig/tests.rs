//! Merging into files of many kinds, and out of them again.

use super::*;

fn access() -> Access {
    Access {
        context: "minisvc".into(),
        server: "https://127.0.0.1:6443".into(),
        ca: "Q0E=".into(),
        certificate: "Q0VSVA==".into(),
        key: "S0VZ".into(),
    }
}

fn owner(folder: &Path) -> Owner {
    Owner { path: folder.join("home/.kube/config"), ids: None }
}

#[test]
fn a_file_made_is_a_file_removed() {
    let scratch = tempfile::tempdir().unwrap();
    let merged = merge(&owner(scratch.path()), &access()).unwrap();
    let text = std::fs::read_to_string(&merged.path).unwrap();
    assert!(text.contains("current-context: minisvc"), "{text}");
    assert_eq!(std::fs::metadata(&merged.path).unwrap().permissions().mode() & 0o777, 0o600);
    unmerge(&merged).unwrap();
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0, "folders made were not removed");
}

#[test]
fn an_untouched_file_comes_back_byte_for_byte() {
    let scratch = tempfile::tempdir().unwrap();
    let owner = owner(scratch.path());
    std::fs::create_dir_all(owner.path.parent().unwrap()).unwrap();
    let old = "# mine\napiVersion: v1\nkind: Config\ncurrent-context: work\nclusters: [{name: work, cluster: {server: 'https://w'}}]\n";
    std::fs::write(&owner.path, old).unwrap();
    let merged = merge(&owner, &access()).unwrap();
    let config = parse(&std::fs::read_to_string(&owner.path).unwrap(), &owner.path).unwrap();
    assert_eq!(config["clusters"].as_array().unwrap().len(), 2);
    assert_eq!(config["current-context"], "minisvc");
    unmerge(&merged).unwrap();
    assert_eq!(std::fs::read_to_string(&owner.path).unwrap(), old);
}

#[test]
fn a_file_changed_meanwhile_loses_only_our_entries() {
    let scratch = tempfile::tempdir().unwrap();
    let owner = owner(scratch.path());
    let merged = merge(&owner, &access()).unwrap();
    let mut config = parse(&merged.after, &owner.path).unwrap();
    push(&mut config, "contexts", json!({"name": "new", "context": {}}));
    std::fs::write(&owner.path, render(&Value::Object(config))).unwrap();
    unmerge(&merged).unwrap();
    let config = parse(&std::fs::read_to_string(&owner.path).unwrap(), &owner.path).unwrap();
    assert_eq!(config["contexts"], json!([{"name": "new", "context": {}}]));
    assert_eq!(config["clusters"], json!([]));
    assert_eq!(config["current-context"], "");
}

#[test]
fn merging_twice_leaves_one_entry() {
    let scratch = tempfile::tempdir().unwrap();
    merge(&owner(scratch.path()), &access()).unwrap();
    let merged = merge(&owner(scratch.path()), &access()).unwrap();
    assert_eq!(merged.after.matches("name: minisvc").count(), 3, "{}", merged.after);
}

#[test]
fn a_file_that_is_no_kubeconfig_is_left_alone() {
    let scratch = tempfile::tempdir().unwrap();
    let owner = owner(scratch.path());
    std::fs::create_dir_all(owner.path.parent().unwrap()).unwrap();
    std::fs::write(&owner.path, "- a list\n").unwrap();
    assert!(merge(&owner, &access()).unwrap_err().to_string().contains("not a kubeconfig"));
    assert_eq!(std::fs::read_to_string(&owner.path).unwrap(), "- a list\n");
}

#[test]
fn the_person_behind_sudo_is_found() {
    let passwd = "root:x:0:0:root:/root:/bin/bash\nann:x:1000:1000::/home/ann:/bin/sh\n";
    let sudo = |name: &str| match name {
        "SUDO_UID" => Some("1000".to_owned()),
        "SUDO_GID" => Some("1000".to_owned()),
        "HOME" => Some("/root".to_owned()),
        _ => None,
    };
    let found = locate(sudo, passwd, |_| false).unwrap();
    assert_eq!(found, Owner { path: "/home/ann/.kube/config".into(), ids: Some((1000, 1000)) });
    let root = locate(|name| (name == "HOME").then(|| "/root".to_owned()), passwd, |_| false).unwrap();
    assert_eq!(root, Owner { path: "/root/.kube/config".into(), ids: None });
    let told = |there: &'static str| {
        let list = |name: &str| (name == "KUBECONFIG").then(|| ":/tmp/k:/tmp/j:/tmp/l".to_owned());
        locate(list, passwd, |path| path == Path::new(there)).unwrap().path
    };
    assert_eq!(told("/tmp/j"), PathBuf::from("/tmp/j"), "the first that is there");
    assert_eq!(told("nothing"), PathBuf::from("/tmp/l"), "else the last, as kubectl does");
}

/// What kubectl writes, with a person's comments.
const THEIRS: &str = "\
# the work cluster
apiVersion: v1
clusters:
- cluster:
    server: https://w   # behind the VPN
  name: work
contexts:
- context:
    cluster: work
    user: me
  name: work
current-context: work
kind: Config
users:
- name: me
  user:
    token: 'abc'
";

#[test]
fn what_others_wrote_stays_as_it_is() {
    let scratch = tempfile::tempdir().unwrap();
    let owner = Owner { path: scratch.path().join("config"), ids: None };
    std::fs::write(&owner.path, THEIRS).unwrap();
    let merged = merge(&owner, &access()).unwrap();
    let mut theirs = merged.after.lines();
    for line in THEIRS.lines().filter(|line| !line.starts_with("current-context")) {
        assert!(theirs.any(|found| found == line), "{line:?} is not where it was:\n{}", merged.after);
    }
    let config = parse(&merged.after, &owner.path).unwrap();
    assert_eq!(config["current-context"], "minisvc");
    assert_eq!(config["users"].as_array().unwrap().len(), 2);
    // Somebody adds a context of their own before the lab goes.
    let changed = merged.after.replace("kind: Config\n", "kind: Config\n# mine\n");
    std::fs::write(&owner.path, &changed).unwrap();
    unmerge(&merged).unwrap();
    let expected = THEIRS.replace("kind: Config\n", "kind: Config\n# mine\n");
    let left = std::fs::read_to_string(&owner.path).unwrap();
    assert_eq!(left.replace("preferences: {}\n", ""), expected);
}

#[test]
fn a_context_chosen_meanwhile_stays_chosen() {
    let scratch = tempfile::tempdir().unwrap();
    let owner = Owner { path: scratch.path().join("config"), ids: None };
    std::fs::write(&owner.path, THEIRS).unwrap();
    let merged = merge(&owner, &access()).unwrap();
    std::fs::write(&owner.path, merged.after.replace("current-context: minisvc", "current-context: other")).unwrap();
    unmerge(&merged).unwrap();
    let left = std::fs::read_to_string(&owner.path).unwrap();
    assert!(left.contains("current-context: other") && !left.contains("minisvc"), "{left}");
}

#[test]
fn links_modes_and_files_laid_in_the_way() {
    use std::os::unix::fs::symlink;
    let scratch = tempfile::tempdir().unwrap();
    let real = scratch.path().join("real");
    std::fs::write(&real, THEIRS).unwrap();
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o640)).unwrap();
    let owner = Owner { path: scratch.path().join("config"), ids: None };
    symlink(&real, &owner.path).unwrap();
    let merged = merge(&owner, &access()).unwrap();
    assert!(std::fs::symlink_metadata(&owner.path).unwrap().is_symlink());
    assert_eq!(std::fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
    unmerge(&merged).unwrap();
    assert_eq!(std::fs::read_to_string(&real).unwrap(), THEIRS);
    // A file of another, reached by a link under the name that we write to first.
    let other = scratch.path().join("other");
    std::fs::write(&other, "precious").unwrap();
    symlink(&other, scratch.path().join(format!("real.minisvc-{}", std::process::id()))).unwrap();
    assert!(merge(&owner, &access()).is_err());
    assert_eq!(std::fs::read_to_string(&other).unwrap(), "precious");
    assert_eq!(std::fs::read_to_string(&real).unwrap(), THEIRS);
}

#[test]
fn who_is_ended_in_between_leaves_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let owner = Owner { path: scratch.path().join(".kube/config"), ids: None };
    // Noted down, nothing written; then with the folder and a draft of a process that is gone.
    let merged = plan(&owner, &access()).unwrap();
    unmerge(&merged).unwrap();
    std::fs::create_dir(scratch.path().join(".kube")).unwrap();
    let draft = |number: u32| scratch.path().join(format!(".kube/config.minisvc-{number}"));
    std::fs::write(draft(u32::MAX), "half").unwrap();
    unmerge(&merged).unwrap();
    assert!(!scratch.path().join(".kube").exists());
    // Beside a file of the person's own; what is no draft stays.
    std::fs::create_dir(scratch.path().join(".kube")).unwrap();
    std::fs::write(&owner.path, THEIRS).unwrap();
    let merged = plan(&owner, &access()).unwrap();
    std::fs::write(draft(u32::MAX), "half").unwrap();
    let other = scratch.path().join(".kube/config.minisvc-x");
    std::fs::write(&other, "").unwrap();
    unmerge(&merged).unwrap();
    assert_eq!(std::fs::read_to_string(&owner.path).unwrap(), THEIRS);
    assert!(!draft(u32::MAX).exists() && other.exists());
}
