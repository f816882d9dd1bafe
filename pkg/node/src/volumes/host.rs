//! Paths of the node that pods may see. The machine's files are shown read-only; what a pod may write lives in folders
//! of the node's own that go with it, so that no pod changes the machine that carries the lab.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

/// Places that every node has for itself, empty at its start.
const OWN: [&str; 8] = ["/tmp", "/var/tmp", "/mnt", "/media", "/srv", "/data", "/var/lib/kubelet", "/var/local"];

/// Finds the path of a hostPath volume (core/v1 `HostPathType`): where it really is, and whether it is read-only.
/// `own` is the folder of the node's own places, `volumes` that of provisioned volumes.
pub(crate) fn find(own: &Path, volumes: &Path, path: &Path, kind: &str) -> Result<(PathBuf, bool), String> {
    let plain = path.is_absolute() && !path.components().any(|part| part == Component::ParentDir);
    if !plain {
        return Err(format!("hostPath {} must be absolute and without '..'", path.display()));
    }
    if let Ok(rest) = path.strip_prefix(volumes) {
        return provisioned(volumes, rest, path, kind).map(|real| (real, false));
    }
    let private = own.join(path.strip_prefix("/").unwrap_or(path));
    let of_node = OWN.iter().any(|place| path.starts_with(place)) || fs::symlink_metadata(&private).is_ok();
    let (real, read_only) = match of_node || fs::metadata(path).is_err() {
        true => (private, false),
        false => (path.to_owned(), true),
    };
    if real.starts_with(own) {
        // The places themselves are there from the start.
        if let Some(place) = OWN.iter().find(|place| path == Path::new(place)) {
            fs::create_dir_all(&real).map_err(|error| format!("make {place}: {error}"))?;
        }
        let inside = real.ancestors().find_map(|folder| folder.canonicalize().ok()).unwrap_or_default();
        let own = own.canonicalize().unwrap_or_else(|_| own.to_owned());
        if own.exists() && !inside.starts_with(&own) && !own.starts_with(&inside) {
            return Err(format!("hostPath {} leads out of the node", path.display()));
        }
    }
    check(&real, path, kind)?;
    Ok((real, read_only))
}

/// A folder of a provisioned volume, or something in one. A new one is open to any user, as kubelet's own are.
fn provisioned(volumes: &Path, rest: &Path, path: &Path, kind: &str) -> Result<PathBuf, String> {
    let text = |error: std::io::Error| format!("{}: {error}", path.display());
    let Some(name) = rest.components().next() else {
        return Err(format!("hostPath {} holds all volumes of the lab; name one of them", path.display()));
    };
    let folder = volumes.join(name);
    if kind == "DirectoryOrCreate" && fs::symlink_metadata(&folder).is_err() {
        fs::create_dir_all(&folder).map_err(text)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).map_err(text)?;
    }
    // A pod may have laid a link in there: it must not lead anything out, nor make anything outside.
    let there = path.ancestors().find_map(|place| place.canonicalize().ok()).unwrap_or_default();
    if !there.starts_with(folder.canonicalize().map_err(text)?) {
        return Err(format!("hostPath {} leads out of the volume", path.display()));
    }
    check(path, path, kind)?;
    path.canonicalize().map_err(text)
}

/// Makes what the kind says to make, and looks whether it is what the kind says.
fn check(real: &Path, path: &Path, kind: &str) -> Result<(), String> {
    let text = |error: std::io::Error| format!("{}: {error}", path.display());
    if fs::metadata(real).is_err() {
        match kind {
            // Container runtimes make a missing untyped path as a folder.
            "" | "DirectoryOrCreate" => fs::create_dir_all(real).map_err(text)?,
            // Not through a link that leads to nothing.
            "FileOrCreate" => drop(fs::File::create_new(real).map_err(text)?),
            _ => {}
        }
    }
    let found = fs::metadata(real).ok();
    let is = |wanted: fn(&fs::FileType) -> bool| found.as_ref().is_some_and(|found| wanted(&found.file_type()));
    let (right, what) = match kind {
        "" => (true, ""),
        "Directory" | "DirectoryOrCreate" => (is(fs::FileType::is_dir), "a directory"),
        "File" | "FileOrCreate" => (is(fs::FileType::is_file), "a file"),
        "Socket" => (is(FileTypeExt::is_socket), "a socket file"),
        "CharDevice" => (is(FileTypeExt::is_char_device), "a character device"),
        "BlockDevice" => (is(FileTypeExt::is_block_device), "a block device"),
        other => return Err(format!("{other} is an invalid volume type")),
    };
    if right { Ok(()) } else { Err(format!("hostPath type check failed: {} is not {what}", path.display())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find_in(own: &Path, path: &str, kind: &str) -> Result<(PathBuf, bool), String> {
        find(own, Path::new("/no-volumes"), Path::new(path), kind)
    }

    #[test]
    fn the_machines_files_are_read_only_and_the_nodes_own_places_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path();
        assert_eq!(find_in(own, "/etc", "Directory").unwrap(), ("/etc".into(), true));
        assert_eq!(find_in(own, "/tmp/a/b", "DirectoryOrCreate").unwrap(), (own.join("tmp/a/b"), false));
        assert_eq!(find_in(own, "/tmp", "Directory").unwrap(), (own.join("tmp"), false));
        assert_eq!(find_in(own, "/no-such-place/x", "").unwrap(), (own.join("no-such-place/x"), false));
        assert!(!Path::new("/no-such-place").exists());
        assert!(find_in(own, "/tmp/../etc", "").is_err());
    }

    #[test]
    fn types_are_checked_in_kubelets_words() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path();
        let wrong = |path: &str, kind: &str| find_in(own, path, kind).unwrap_err();
        assert_eq!(wrong("/tmp/x", "File"), "hostPath type check failed: /tmp/x is not a file");
        assert_eq!(wrong("/tmp/x", "Directory"), "hostPath type check failed: /tmp/x is not a directory");
        assert_eq!(
            wrong("/etc/passwd", "DirectoryOrCreate"),
            "hostPath type check failed: /etc/passwd is not a directory"
        );
        assert_eq!(wrong("/etc/passwd", "Socket"), "hostPath type check failed: /etc/passwd is not a socket file");
        assert_eq!(wrong("/dev/null", "BlockDevice"), "hostPath type check failed: /dev/null is not a block device");
        assert!(find_in(own, "/dev/null", "CharDevice").is_ok());
        find_in(own, "/tmp", "").unwrap();
        assert!(find_in(own, "/tmp/f", "FileOrCreate").unwrap().0.is_file());
        assert!(find_in(own, "/tmp/none/f", "FileOrCreate").is_err(), "FileOrCreate makes no folders");
    }

    #[test]
    fn folders_of_provisioned_volumes_are_made_and_hold_what_is_in_them() {
        let folder = tempfile::tempdir().unwrap();
        let (own, volumes) = (folder.path().join("own"), folder.path().join("volumes"));
        let at = |path: &str, kind: &str| find(&own, &volumes, &volumes.join(path), kind);
        assert!(at("pvc-1", "Directory").is_err(), "nobody made it yet");
        let (made, read_only) = at("pvc-1", "DirectoryOrCreate").unwrap();
        assert_eq!((made.as_path(), read_only), (volumes.join("pvc-1").canonicalize().unwrap().as_path(), false));
        assert_eq!(fs::metadata(&made).unwrap().permissions().mode() & 0o777, 0o777);
        assert!(at("", "Directory").unwrap_err().contains("all volumes"));
        std::os::unix::fs::symlink(folder.path(), made.join("link")).unwrap();
        for kind in ["", "DirectoryOrCreate", "FileOrCreate"] {
            assert!(at("pvc-1/link/evil", kind).unwrap_err().contains("leads out"));
        }
        std::os::unix::fs::symlink(folder.path().join("evil"), made.join("dangling")).unwrap();
        for kind in ["", "DirectoryOrCreate", "FileOrCreate"] {
            assert!(at("pvc-1/dangling", kind).is_err());
        }
        assert!(!folder.path().join("evil").exists());
        assert_eq!(at("pvc-1/deep/er", "DirectoryOrCreate").unwrap().0, made.join("deep/er"));
    }

    #[test]
    fn a_link_does_not_lead_out_of_the_node() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("own");
        find_in(&own, "/tmp", "").unwrap();
        std::os::unix::fs::symlink("/etc", own.join("tmp/link")).unwrap();
        assert!(find_in(&own, "/tmp/link", "").unwrap_err().contains("leads out"));
    }
}
