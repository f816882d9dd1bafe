//! Target: a stranger's kubeconfig, into which the lab's entries are merged and from which they are taken again.

use minisvc_lab::kubeconfig::{Access, Owner, merge as merge_into, unmerge};

/// A file that cannot be merged into stays as it is; any other comes back byte for byte.
pub(crate) fn merge(bytes: &[u8]) {
    let folder = tempfile::tempdir_in(super::api::scratch()).expect("a folder");
    let owner = Owner { path: folder.path().join("config"), ids: None };
    std::fs::write(&owner.path, bytes).expect("write");
    let access = Access {
        context: "minisvc".into(),
        server: "https://127.0.0.1:6443".into(),
        ca: "Q0E=".into(),
        certificate: "Q0VSVA==".into(),
        key: "S0VZ".into(),
    };
    match merge_into(&owner, &access) {
        Ok(merged) => {
            let text = std::fs::read_to_string(&owner.path).expect("read");
            assert!(text.contains("127.0.0.1:6443"), "it was not merged: {text}");
            let again = merge_into(&owner, &access).expect("what was written can be read");
            assert_eq!(again.after, merged.after, "merging twice is merging once");
            unmerge(&merged).expect("unmerge");
            assert_eq!(std::fs::read(&owner.path).expect("read"), bytes);
        }
        Err(_) => assert_eq!(std::fs::read(&owner.path).expect("read"), bytes),
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("list").count(), 1, "something was left behind");
}
