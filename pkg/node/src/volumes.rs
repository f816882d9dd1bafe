//! A pod's volumes as folders of the node, to be bound into containers: configMap, secret, projected, downwardAPI,
//! emptyDir, hostPath. The service-account mount is one of them (the API server adds it to the pod). Files are swapped as kubelet's AtomicWriter does it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{
    Container, DownwardAPIVolumeFile, KeyToPath, Pod, Volume, VolumeMount, VolumeProjection,
};

use crate::environment::{Facts, Sources, field};
use crate::quantity;
use crate::root::Placed;

/// Files of a volume: path below its folder, content, mode.
pub(crate) type Files = BTreeMap<String, (Vec<u8>, u32)>;

/// A token that a volume holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TokenWish {
    pub(crate) audience: Option<String>,
    pub(crate) seconds: i64,
}

/// What a volume is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Files made from objects, rewritten when these change.
    Files(Files),
    /// An empty folder of the pod's own.
    Empty,
    /// A path of the machine.
    Host(PathBuf),
}

/// Names of the ConfigMaps and Secrets that volumes show, and the tokens they hold.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Wishes {
    pub(crate) config_maps: Vec<String>,
    pub(crate) secrets: Vec<String>,
    pub(crate) tokens: Vec<TokenWish>,
}

/// What the volumes of a pod need from the API.
pub(crate) fn wishes(volumes: &[Volume]) -> Wishes {
    let mut all = Wishes::default();
    for volume in volumes {
        all.config_maps.extend(volume.config_map.iter().map(|source| source.name.clone()));
        all.secrets.extend(volume.secret.iter().filter_map(|source| source.secret_name.clone()));
        for source in projections(volume) {
            all.config_maps.extend(source.config_map.iter().map(|source| source.name.clone()));
            all.secrets.extend(source.secret.iter().map(|source| source.name.clone()));
            all.tokens.extend(source.service_account_token.iter().map(token_wish));
        }
    }
    all
}

fn projections(volume: &Volume) -> impl Iterator<Item = &VolumeProjection> {
    volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten())
}

fn token_wish(source: &k8s_openapi::api::core::v1::ServiceAccountTokenProjection) -> TokenWish {
    TokenWish {
        audience: source.audience.clone().filter(|audience| !audience.is_empty()),
        seconds: source.expiration_seconds.unwrap_or(3600),
    }
}

/// What one volume shows; without `tokens` at all, those files are left out for now. `Err` is the text of a FailedMount event.
pub(crate) fn content(
    pod: &Pod,
    volume: &Volume,
    sources: &Sources,
    tokens: Option<&BTreeMap<TokenWish, String>>,
    facts: &Facts,
) -> Result<Content, String> {
    let fail = |text: String| format!("MountVolume.SetUp failed for volume \"{}\" : {text}", volume.name);
    if volume.empty_dir.is_some() {
        return Ok(Content::Empty);
    }
    if let Some(host) = &volume.host_path {
        return host_path(Path::new(&host.path), host.type_.as_deref().unwrap_or_default())
            .map(Content::Host)
            .map_err(fail);
    }
    let mut files = Files::new();
    if let Some(source) = &volume.config_map {
        let mode = source.default_mode.unwrap_or(0o644);
        config_map(&source.name, source.items.as_deref(), source.optional, mode, sources, &mut files).map_err(fail)?;
    } else if let Some(source) = &volume.secret {
        let mode = source.default_mode.unwrap_or(0o644);
        let name = source.secret_name.as_deref().unwrap_or_default();
        secret(name, source.items.as_deref(), source.optional, mode, sources, &mut files).map_err(fail)?;
    } else if let Some(source) = &volume.downward_api {
        let mode = source.default_mode.unwrap_or(0o644);
        downward(pod, source.items.as_deref().unwrap_or_default(), mode, facts, &mut files).map_err(fail)?;
    } else if let Some(projected) = &volume.projected {
        let mode = projected.default_mode.unwrap_or(0o644);
        for source in projections(volume) {
            if let Some(source) = &source.config_map {
                config_map(&source.name, source.items.as_deref(), source.optional, mode, sources, &mut files)
                    .map_err(fail)?;
            }
            if let Some(source) = &source.secret {
                secret(&source.name, source.items.as_deref(), source.optional, mode, sources, &mut files)
                    .map_err(fail)?;
            }
            if let Some(source) = &source.downward_api {
                downward(pod, source.items.as_deref().unwrap_or_default(), mode, facts, &mut files).map_err(fail)?;
            }
            if let (Some(source), Some(tokens)) = (&source.service_account_token, tokens) {
                let token = tokens.get(&token_wish(source)).ok_or_else(|| fail("the token is not there yet".into()))?;
                files.insert(source.path.clone(), (token.clone().into_bytes(), mode as u32));
            }
        }
    } else {
        return Err(fail("minisvc has no such kind of volume; there are configMap, secret, projected, downwardAPI, emptyDir, hostPath".into()));
    }
    Ok(Content::Files(files))
}

fn config_map(
    name: &str,
    items: Option<&[KeyToPath]>,
    optional: Option<bool>,
    mode: i32,
    sources: &Sources,
    files: &mut Files,
) -> Result<(), String> {
    let Some(map) = sources.config_map(name) else {
        return if optional == Some(true) { Ok(()) } else { Err(format!("configmap \"{name}\" not found")) };
    };
    let mut all: BTreeMap<&str, Vec<u8>> =
        map.data.iter().flatten().map(|(key, value)| (key.as_str(), value.clone().into_bytes())).collect();
    all.extend(map.binary_data.iter().flatten().map(|(key, value)| (key.as_str(), value.0.clone())));
    pick(all, items, optional, mode, files)
        .map_err(|key| format!("configmap references non-existent config key: {key}"))
}

fn secret(
    name: &str,
    items: Option<&[KeyToPath]>,
    optional: Option<bool>,
    mode: i32,
    sources: &Sources,
    files: &mut Files,
) -> Result<(), String> {
    let Some(secret) = sources.secret(name) else {
        return if optional == Some(true) { Ok(()) } else { Err(format!("secret \"{name}\" not found")) };
    };
    let all = secret.data.iter().flatten().map(|(key, value)| (key.as_str(), value.0.clone())).collect();
    pick(all, items, optional, mode, files).map_err(|key| format!("references non-existent secret key: {key}"))
}

/// All keys, or those that `items` names, at its paths and modes. `Err` is the key that is missing.
fn pick(
    all: BTreeMap<&str, Vec<u8>>,
    items: Option<&[KeyToPath]>,
    optional: Option<bool>,
    mode: i32,
    files: &mut Files,
) -> Result<(), String> {
    match items.filter(|items| !items.is_empty()) {
        None => files.extend(all.into_iter().map(|(key, value)| (key.to_owned(), (value, mode as u32)))),
        Some(items) => {
            for item in items {
                match all.get(item.key.as_str()) {
                    Some(value) => {
                        files.insert(item.path.clone(), (value.clone(), item.mode.unwrap_or(mode) as u32));
                    }
                    None if optional == Some(true) => {}
                    None => return Err(item.key.clone()),
                }
            }
        }
    }
    Ok(())
}

fn downward(
    pod: &Pod,
    items: &[DownwardAPIVolumeFile],
    mode: i32,
    facts: &Facts,
    files: &mut Files,
) -> Result<(), String> {
    for item in items {
        let value = if let Some(selector) = &item.field_ref {
            field(pod, selector, facts)?
        } else if let Some(selector) = &item.resource_field_ref {
            let name = selector.container_name.as_deref().unwrap_or_default();
            let mut containers = pod.spec.iter().flat_map(|spec| &spec.containers);
            let container = containers
                .find(|container| container.name == name)
                .ok_or_else(|| format!("container {name} not found"))?;
            quantity::resource(
                container,
                &selector.resource,
                selector.divisor.as_ref().map(|divisor| divisor.0.as_str()),
            )?
        } else {
            String::new()
        };
        files.insert(item.path.clone(), (value.into_bytes(), item.mode.unwrap_or(mode) as u32));
    }
    Ok(())
}

fn host_path(path: &Path, kind: &str) -> Result<PathBuf, String> {
    let found = fs::metadata(path);
    let wrong = |what: &str| Err(format!("hostPath type check failed: {} is not {what}", path.display()));
    match (kind, &found) {
        ("DirectoryOrCreate", Err(_)) => fs::create_dir_all(path).map_err(|error| error.to_string())?,
        ("FileOrCreate", Err(_)) => fs::write(path, "").map_err(|error| error.to_string())?,
        // Docker's old habit, which kubelet keeps for untyped paths.
        ("", Err(_)) => fs::create_dir_all(path).map_err(|error| error.to_string())?,
        ("Directory" | "DirectoryOrCreate", Ok(found)) if !found.is_dir() => return wrong("a directory"),
        ("Directory", Err(_)) => return wrong("a directory"),
        ("File" | "FileOrCreate", Ok(found)) if !found.is_file() => return wrong("a file"),
        ("File", Err(_)) => return wrong("a file"),
        _ => {}
    }
    Ok(path.to_owned())
}

/// Writes `files` into `folder` so that a reader sees all of the old or all of the new: `..data` is a link that is
/// swapped. Does nothing where nothing changed.
pub(crate) fn write(folder: &Path, files: &Files) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let data = folder.join("..data");
    let unchanged = files.iter().all(|(path, (content, _))| fs::read(data.join(path)).is_ok_and(|old| old == *content))
        && data.exists()
        && visible(folder)? == tops(files);
    if unchanged {
        return Ok(());
    }
    let version = format!("..{:016x}", fastrand::u64(..));
    let home = folder.join(&version);
    fs::create_dir(&home)?;
    for (path, (content, mode)) in files {
        let file = inside(&home, path)?;
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&file, content)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(*mode))?;
    }
    let old = fs::read_link(&data).ok();
    let next = folder.join("..data_tmp");
    symlink(&version, &next)?;
    fs::rename(&next, &data)?;
    let wanted = tops(files);
    for name in &wanted {
        let link = folder.join(name);
        if fs::symlink_metadata(&link).is_err() {
            symlink(Path::new("..data").join(name), link)?;
        }
    }
    for name in visible(folder)?.into_iter().filter(|name| !wanted.contains(name)) {
        fs::remove_file(folder.join(name))?;
    }
    match old {
        Some(old) => fs::remove_dir_all(folder.join(old)),
        None => Ok(()),
    }
}

/// The first parts of the files' paths.
fn tops(files: &Files) -> Vec<String> {
    let mut all: Vec<String> = files.keys().filter_map(|path| path.split('/').next()).map(str::to_owned).collect();
    all.dedup();
    all
}

fn visible(folder: &Path) -> io::Result<Vec<String>> {
    let mut all: Vec<String> = fs::read_dir(folder)?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with(".."))
        .collect();
    all.sort();
    Ok(all)
}

fn inside(folder: &Path, path: &str) -> io::Result<PathBuf> {
    if path.starts_with('/') || path.split('/').any(|part| part == "..") {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("path {path} leaves the volume")));
    }
    Ok(folder.join(path))
}

/// A container's volume mounts over the folders of the pod's volumes.
pub(crate) fn placed(
    container: &Container,
    folders: &BTreeMap<String, (PathBuf, bool)>,
    expand: impl Fn(&str) -> String,
) -> Result<Vec<Placed>, String> {
    let mounts = container.volume_mounts.iter().flatten();
    mounts.map(|mount| place(mount, folders, &expand)).collect()
}

fn place(
    mount: &VolumeMount,
    folders: &BTreeMap<String, (PathBuf, bool)>,
    expand: &impl Fn(&str) -> String,
) -> Result<Placed, String> {
    let (folder, fixed) = folders.get(&mount.name).ok_or_else(|| format!("volume \"{}\" not found", mount.name))?;
    let sub = match (&mount.sub_path_expr, &mount.sub_path) {
        (Some(text), _) if !text.is_empty() => expand(text),
        (_, Some(path)) => path.clone(),
        _ => String::new(),
    };
    let mut source = folder.clone();
    if !sub.is_empty() {
        source = inside(folder, &sub).map_err(|error| error.to_string())?;
        if !*fixed && !source.exists() {
            fs::create_dir_all(&source).map_err(|error| format!("{}: {error}", source.display()))?;
        }
        source = source
            .canonicalize()
            .map_err(|error| format!("failed to prepare subPath for volumeMount \"{}\": {error}", mount.name))?;
    }
    Ok(Placed { source, target: PathBuf::from(&mount.mount_path), read_only: *fixed || mount.read_only == Some(true) })
}

#[cfg(test)]
#[path = "volumes_tests.rs"]
mod tests;
