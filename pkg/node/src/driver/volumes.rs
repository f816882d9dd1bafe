//! The volumes of one pod: made before its containers, tokens behind its back where nobody reads them at once, brought up
//! to date while the pod lives. What is in a volume is `crate::volumes`' to say.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod, Volume};
use minisvc_images::{Image, PROGRAMS};
use tokio::sync::watch;

use crate::backoff::Backoff;
use crate::context::{PodContext, StopSignal, facts, pause};
use crate::events::reference;
use crate::names::namespace;
use crate::node::Node;
use crate::objects;
use crate::volumes::{self, Content};

/// How often volumes made of objects are looked at again.
const REFRESH: Duration = Duration::from_secs(60);
/// How often the service-account mount is renewed; its token lives for an hour.
const TOKEN_REFRESH: Duration = Duration::from_secs(40 * 60);

/// Folder and whether it is read-only, by volume name.
pub(super) type Folders = BTreeMap<String, (PathBuf, bool)>;

/// Makes the pod's volumes, and tries again until they stand or the order to end comes.
pub(super) async fn make_volumes(
    node: &Arc<Node>,
    pods: &watch::Receiver<Arc<Pod>>,
    folder: &Path,
    ip: Ipv4Addr,
    stop: &mut StopSignal,
) -> Option<Folders> {
    let mut backoff = Backoff::setup();
    loop {
        let pod = pods.borrow().clone();
        let tokens = if token_can_follow(node, &pod) { Tokens::Later } else { Tokens::Now };
        match try_volumes(node, &pod, folder, ip, tokens).await {
            Ok(folders) => {
                if tokens == Tokens::Later {
                    tokens_follow(node, &pod, folder, ip);
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
    folder: &Path,
    ip: Ipv4Addr,
    tokens: Tokens,
) -> Result<Folders, String> {
    let mut folders = BTreeMap::new();
    let volumes: &[_] = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or_default();
    if !volumes.is_empty() {
        let wishes = volumes::wishes(volumes);
        let text = |error: kube::Error| format!("MountVolume.SetUp failed: {error}");
        let sources = objects::sources(node, namespace(pod), wishes.config_maps, wishes.secrets).await.map_err(text)?;
        let tokens = match tokens {
            Tokens::Now => Some(objects::tokens(node, pod, &wishes.tokens).await.map_err(text)?),
            Tokens::Later => None,
        };
        for volume in volumes {
            let home = folder.join("volumes").join(&volume.name);
            let io =
                |error: std::io::Error| format!("MountVolume.SetUp failed for volume \"{}\" : {error}", volume.name);
            let made = match volumes::content(pod, volume, &sources, tokens.as_ref(), &facts(node, Some(ip)))? {
                Content::Files(files) => {
                    volumes::write(&home, &files).map_err(io)?;
                    (home, true)
                }
                Content::Empty => {
                    std::fs::create_dir_all(&home).map_err(io)?;
                    // Any user of the container may write there, as kubelet has it.
                    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
                    std::fs::set_permissions(&home, mode).map_err(io)?;
                    (home, false)
                }
                Content::Host(path) => (path, false),
            };
            folders.insert(volume.name.clone(), made);
        }
    }
    Ok(folders)
}

/// Fetches the tokens of a pod's volumes behind its back and writes the volumes again with them.
fn tokens_follow(node: &Arc<Node>, pod: &Pod, folder: &Path, ip: Ipv4Addr) {
    let (node, pod, folder) = (node.clone(), pod.clone(), folder.to_owned());
    tokio::spawn(async move {
        let Ok(_permit) = node.later.acquire().await else { return };
        // A pod that is gone meanwhile needs none.
        if folder.exists()
            && let Err(text) = try_volumes(&node, &pod, &folder, ip, Tokens::Now).await
        {
            tracing::debug!(text, pod = pod.metadata.name, "no token");
        }
    });
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
    loop {
        tokio::time::sleep(interval.mul_f64(0.9 + fastrand::f64() * 0.2)).await;
        let pod = context.pod();
        if let Err(text) = try_volumes(&context.node, &pod, &context.folder, context.sandbox.ip, Tokens::Now).await {
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
