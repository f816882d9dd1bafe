//! The volumes of one pod: made before its containers, tokens behind its back where nobody reads them at once, brought up
//! to date while the pod lives. What is in a volume is `crate::volumes`' to say.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod, Volume};
use minisvc_images::{Image, PROGRAMS};
use minisvc_kernel::{is_mount_point, mount_tmpfs, unmount};
use tokio::sync::watch;

use crate::backoff::Backoff;
use crate::context::{PodContext, Shared, StopSignal, facts, pause};
use crate::credentials;
use crate::events::reference;
use crate::names::namespace;
use crate::node::Node;
use crate::objects;
use crate::volumes::{self, Content};

/// How often volumes made of objects are looked at again.
const REFRESH: Duration = Duration::from_secs(60);
/// How often folders with a limit are measured (kubelet's eviction monitoring).
const MEASURE: Duration = Duration::from_secs(10);
/// How often the service-account mount is renewed; its token lives for an hour.
const TOKEN_REFRESH: Duration = Duration::from_secs(40 * 60);

/// Folder and whether it is read-only, by volume name.
pub(super) type Folders = BTreeMap<String, (PathBuf, bool)>;

/// Makes the pod's volumes, and tries again until they stand or the order to end comes.
pub(super) async fn make_volumes(
    node: &Arc<Node>,
    pods: &watch::Receiver<Arc<Pod>>,
    shared: &Arc<Shared>,
    folder: &Path,
    ip: Ipv4Addr,
    stop: &mut StopSignal,
) -> Option<Folders> {
    let mut backoff = Backoff::setup();
    loop {
        let pod = pods.borrow().clone();
        let tokens = if token_can_follow(node, &pod) { Tokens::Later } else { Tokens::Now };
        match try_volumes(node, &pod, shared, folder, ip, tokens).await {
            Ok(folders) => {
                if tokens == Tokens::Later {
                    tokens_follow(node, &pod, shared, folder, ip);
                }
                return Some(folders);
            }
            Err(text) => {
                node.recorder.warning(&reference(&pod, None), "FailedMount", text);
                if pause(stop, backoff.after(Duration::ZERO)).await {
                    return None;
                }
            }
        }
    }
}

async fn try_volumes(
    node: &Arc<Node>,
    pod: &Pod,
    shared: &Shared,
    folder: &Path,
    ip: Ipv4Addr,
    tokens: Tokens,
) -> Result<Folders, String> {
    let mut folders = BTreeMap::new();
    let volumes: &[_] = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or_default();
    if volumes.is_empty() {
        return Ok(folders);
    }
    let wishes = volumes::wishes(pod.metadata.name.as_deref().unwrap_or_default(), volumes);
    let text = |error: kube::Error| format!("MountVolume.SetUp failed: {error}");
    let mut sources = objects::sources(node, namespace(pod), wishes.config_maps, wishes.secrets).await.map_err(text)?;
    if wishes.trust {
        sources.trust_bundles = objects::trust_bundles(node).await.map_err(text)?;
    }
    sources.claims = objects::claims(node, pod, wishes.claims).await.map_err(text)?;
    sources.credentials = credentials::of_pod(node, pod, &shared.credentials).await;
    let tokens = match tokens {
        Tokens::Now => Some(objects::tokens(node, pod, &wishes.tokens, &shared.tokens).await.map_err(text)?),
        Tokens::Later => None,
    };
    let group = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref()?.fs_group);
    let group = group.and_then(|group| u32::try_from(group).ok());
    for volume in volumes {
        let home = folder.join("volumes").join(&volume.name);
        let content = volumes::content(pod, volume, &sources, tokens.as_ref(), &facts(node, Some(ip)))?;
        let made = make(node, &home, content, group);
        let made = made.map_err(|why| format!("MountVolume.SetUp failed for volume \"{}\" : {why}", volume.name))?;
        folders.insert(volume.name.clone(), made);
    }
    Ok(folders)
}

/// Makes one volume in `home`, or brings it up to date; answers its folder and whether it is read-only.
fn make(node: &Node, home: &Path, content: Content, group: Option<u32>) -> Result<(PathBuf, bool), String> {
    let io = |error: std::io::Error| error.to_string();
    match content {
        Content::Files(files) => {
            volumes::write(home, &files, group).map_err(io)?;
            Ok((home.to_owned(), true))
        }
        Content::Empty { memory, limit } => {
            let mut fresh = !home.exists();
            std::fs::create_dir_all(home).map_err(io)?;
            // An earlier life of this node took its mounts along.
            if memory && !is_mount_point(home).map_err(|error| error.to_string())? {
                mount_tmpfs(home, limit, 0o777).map_err(|error| error.to_string())?;
                fresh = true;
            }
            if fresh {
                // Any user of the container may write there, as kubelet has it.
                std::fs::set_permissions(home, std::os::unix::fs::PermissionsExt::from_mode(0o777)).map_err(io)?;
                if let Some(group) = group {
                    volumes::give_to_group(home, group, false).map_err(io)?;
                }
            }
            Ok((home.to_owned(), false))
        }
        Content::Image { reference } => volumes::image::make(&node.catalogue(), &reference, home),
        Content::Host { path, kind, read_only } => {
            let own = node.config.run_dir.join("host");
            let (real, fixed) = volumes::host::find(&own, &node.config.volumes, &path, &kind)?;
            Ok((real, fixed || read_only))
        }
    }
}

/// Takes away what is mounted in a pod's folder, so that the folder can go.
pub(super) fn unmount_all(folder: &Path) {
    for entry in std::fs::read_dir(folder.join("volumes")).into_iter().flatten().flatten() {
        if let Err(error) = unmount(&entry.path()) {
            tracing::warn!(%error, "a volume in memory stays");
        }
    }
}

/// Fetches the tokens of a pod's volumes behind its back and writes the volumes again with them.
fn tokens_follow(node: &Arc<Node>, pod: &Pod, shared: &Arc<Shared>, folder: &Path, ip: Ipv4Addr) {
    let (node, pod, shared, folder) = (node.clone(), pod.clone(), shared.clone(), folder.to_owned());
    tokio::spawn(async move {
        let Ok(_permit) = node.later.acquire().await else { return };
        // A pod that is gone meanwhile needs none.
        if folder.exists()
            && let Err(text) = try_volumes(&node, &pod, &shared, &folder, ip, Tokens::Now).await
        {
            tracing::debug!(text, pod = pod.metadata.name, "no token");
        }
    });
}

/// Watches the folders with a limit (`emptyDir.sizeLimit`) for ever; answers the message of an eviction.
pub(super) async fn overfull(folder: PathBuf, pod: Arc<Pod>) -> String {
    let limits: Vec<(String, String, u64)> = pod
        .spec
        .iter()
        .flat_map(|spec| spec.volumes.iter().flatten())
        .filter_map(|volume| {
            let limit = volume.empty_dir.as_ref()?.size_limit.as_ref()?;
            Some((volume.name.clone(), limit.0.clone(), crate::quantity::bytes(&limit.0)?))
        })
        .filter(|(.., bytes)| *bytes > 0)
        .collect();
    if limits.is_empty() {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(MEASURE).await;
        for (name, limit, bytes) in &limits {
            let home = folder.join("volumes").join(name);
            let used = tokio::task::spawn_blocking(move || used_bytes(&home, 64)).await.unwrap_or_default();
            if used > *bytes {
                return format!("Usage of EmptyDir volume \"{name}\" exceeds the limit \"{limit}\". ");
            }
        }
    }
}

/// What the files below a folder take on the disk.
fn used_bytes(folder: &Path, depth: usize) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() && depth > 0 => used_bytes(&entry.path(), depth - 1),
            Ok(found) => std::os::unix::fs::MetadataExt::blocks(&found) * 512,
            Err(_) => 0,
        })
        .sum()
}

/// Whether volumes are made with their tokens, or without them for the time being.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tokens {
    Now,
    Later,
}

/// Whether none of the pod's programs reads its token at its start: then the pod is not kept waiting for it.
fn token_can_follow(node: &Node, pod: &Pod) -> bool {
    let catalogue = node.catalogue();
    let silent = |container: &Container| {
        let image = catalogue.resolve(container.image.as_deref().unwrap_or_default());
        matches!(image, Ok((_, Image::Builtin(builtin))) if PROGRAMS.contains(&builtin.program.as_str()))
            && container.command.is_none()
    };
    let spec = pod.spec.iter();
    spec.flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers)).all(silent)
}

/// Brings volumes made of objects up to date, about once a minute, as kubelet does. Tokens are renewed with them.
pub(super) async fn refresh(context: Arc<PodContext>) {
    let Some(interval) = refresh_interval(&context.pod()) else { return };
    let mut pods = context.pod.clone();
    let shown = |pod: &Pod| (pod.metadata.labels.clone(), pod.metadata.annotations.clone());
    let mut last = shown(&context.pod());
    loop {
        // The pod's own labels and annotations are seen at once.
        let changed = async {
            while pods.changed().await.is_ok() {
                let now = shown(&pods.borrow_and_update());
                if std::mem::replace(&mut last, now.clone()) != now {
                    return;
                }
            }
            std::future::pending().await
        };
        tokio::select! {
            () = tokio::time::sleep(interval.mul_f64(0.9 + fastrand::f64() * 0.2)) => {}
            () = changed => {}
        }
        let (pod, shared) = (context.pod(), &context.shared);
        let made = try_volumes(&context.node, &pod, shared, &context.folder, context.sandbox.ip, Tokens::Now).await;
        if let Err(text) = made {
            tracing::warn!(text, pod = pod.metadata.name, "volumes not brought up to date");
        }
    }
}

/// How often a pod's volumes are made again: never, rarely for the service-account mount alone, else once a minute.
fn refresh_interval(pod: &Pod) -> Option<Duration> {
    let of_objects = |volume: &Volume| {
        volume.config_map.is_some()
            || volume.secret.is_some()
            || volume.projected.is_some()
            || volume.downward_api.is_some()
    };
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or_default();
    let mut interval = None;
    for volume in volumes {
        if of_objects(volume) {
            let account = volume.name.starts_with("kube-api-access-");
            let wanted = if account { TOKEN_REFRESH } else { REFRESH };
            interval = Some(interval.map_or(wanted, |interval: Duration| interval.min(wanted)));
        }
    }
    interval
}
