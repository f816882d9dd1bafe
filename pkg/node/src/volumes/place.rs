//! Volumes at their places in a container: sub-paths, and what is read-only. Must not let a sub-path lead out of its
//! volume.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, VolumeMount};

use crate::root::Placed;

/// A container's volume mounts over the folders of the pod's volumes.
pub(crate) fn placed(
    container: &Container,
    folders: &BTreeMap<String, (PathBuf, bool)>,
    expand: impl Fn(&str) -> Result<String, String>,
) -> Result<Vec<Placed>, String> {
    let mounts = container.volume_mounts.iter().flatten();
    mounts.map(|mount| place(&container.name, mount, folders, &expand)).collect()
}

fn place(
    container: &str,
    mount: &VolumeMount,
    folders: &BTreeMap<String, (PathBuf, bool)>,
    expand: &impl Fn(&str) -> Result<String, String>,
) -> Result<Placed, String> {
    let (folder, fixed) = folders.get(&mount.name).ok_or_else(|| format!("volume \"{}\" not found", mount.name))?;
    let sub = match (&mount.sub_path_expr, &mount.sub_path) {
        (Some(text), _) if !text.is_empty() => expand(text)?,
        (_, Some(path)) => path.clone(),
        _ => String::new(),
    };
    let mut source = folder.clone();
    if !sub.is_empty() {
        source = sub_path(folder, &sub, *fixed).map_err(|why| {
            format!("failed to prepare subPath for volumeMount \"{}\" of container \"{container}\": {why}", mount.name)
        })?;
    }
    Ok(Placed { source, target: PathBuf::from(&mount.mount_path), read_only: *fixed || mount.read_only == Some(true) })
}

/// The real path of `sub` in the volume, made as a folder where it is missing and may be made.
fn sub_path(folder: &Path, sub: &str, fixed: bool) -> Result<PathBuf, String> {
    if sub.starts_with('/') {
        return Err(format!("error SubPath `{sub}` must not be an absolute path"));
    }
    if sub.split('/').any(|part| part == "..") {
        return Err(format!("unable to provision SubPath `{sub}`: must not contain '..'"));
    }
    let text = |error: std::io::Error| error.to_string();
    let base = folder.canonicalize().map_err(text)?;
    let leads_out = || Err(format!("subpath \"{sub}\" leads out of the volume"));
    let mut at = base.clone();
    // One part after another: a link on the way may have been laid by the pod itself.
    for part in sub.split('/').filter(|part| !matches!(*part, "" | ".")) {
        let next = at.join(part);
        if fs::symlink_metadata(&next).is_err() {
            if fixed {
                return Err(format!("stat {sub}: no such file or directory"));
            }
            fs::create_dir(&next).map_err(text)?;
            let mode = fs::metadata(&at).map_err(text)?.permissions().mode();
            fs::set_permissions(&next, fs::Permissions::from_mode(mode & 0o7777)).map_err(text)?;
        }
        at = next.canonicalize().map_err(text)?;
        if !at.starts_with(&base) {
            return leads_out();
        }
    }
    Ok(at)
}
