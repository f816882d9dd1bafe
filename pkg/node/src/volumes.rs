//! A pod's volumes as folders of the node, to be bound into containers: configMap, secret, projected, downwardAPI,
//! emptyDir, hostPath, image, and the volumes of claims. The service-account mount is one of them (the API server adds it
//! to the pod). What is in them is said here; `files.rs` writes it, `host.rs` finds places of the node, `place.rs` puts volumes into containers.

mod claims;
mod files;
pub(crate) mod host;
pub(crate) mod image;
mod place;
mod trust;

use std::collections::BTreeMap;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::{DownwardAPIVolumeFile, KeyToPath, Pod, Volume, VolumeProjection};
use minisvc_api::volumes::claim_of;

pub(crate) use self::files::{File, Files, give_to_group, write};
pub(crate) use self::place::placed;
pub(crate) use self::trust::Credential;
use crate::environment::{Facts, Sources, field};
use crate::quantity;

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
    /// An empty folder of the pod's own, in memory if so wanted, with a limit in bytes.
    Empty { memory: bool, limit: Option<u64> },
    /// A path of the node, what it must be, and whether it is shown read-only whatever it is.
    Host { path: PathBuf, kind: String, read_only: bool },
    /// The files of an image, by its name.
    Image { reference: String },
}

/// Names of the ConfigMaps and Secrets that volumes show, and the tokens they hold.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Wishes {
    pub(crate) config_maps: Vec<String>,
    pub(crate) secrets: Vec<String>,
    pub(crate) tokens: Vec<TokenWish>,
    /// Names of the claims whose volumes are shown, and whether they must be the pod's own.
    pub(crate) claims: Vec<(String, bool)>,
    /// Whether ClusterTrustBundles are shown.
    pub(crate) trust: bool,
}

/// What the volumes of a pod need from the API.
pub(crate) fn wishes(pod: &str, volumes: &[Volume]) -> Wishes {
    let mut all = Wishes::default();
    for volume in volumes {
        all.claims.extend(claim_of(pod, volume));
        all.config_maps.extend(volume.config_map.iter().map(|source| source.name.clone()));
        all.secrets.extend(volume.secret.iter().filter_map(|source| source.secret_name.clone()));
        for source in projections(volume) {
            all.config_maps.extend(source.config_map.iter().map(|source| source.name.clone()));
            all.secrets.extend(source.secret.iter().map(|source| source.name.clone()));
            all.trust |= source.cluster_trust_bundle.is_some();
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
    if let Some(source) = &volume.empty_dir {
        let memory = match source.medium.as_deref().unwrap_or_default() {
            "" => false,
            "Memory" => true,
            other => return Err(fail(format!("unknown storage medium {other:?}; there are the default and Memory"))),
        };
        return Ok(Content::Empty {
            memory,
            limit: source.size_limit.as_ref().and_then(|size| quantity::bytes(&size.0)),
        });
    }
    if let Some(host) = &volume.host_path {
        let kind = host.type_.clone().unwrap_or_default();
        return Ok(Content::Host { path: host.path.clone().into(), kind, read_only: false });
    }
    if let Some((claim, _)) = claim_of(pod.metadata.name.as_deref().unwrap_or_default(), volume) {
        let source = volume.persistent_volume_claim.as_ref();
        let read_only = source.and_then(|source| source.read_only).unwrap_or(false);
        return claims::content(&claim, sources.claims.get(&claim), read_only).map_err(fail);
    }
    if let Some(image) = &volume.image {
        return Ok(Content::Image { reference: image.reference.clone().unwrap_or_default() });
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
        for (index, source) in projections(volume).enumerate() {
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
            let owner = one_user(pod);
            let shared = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref()?.fs_group).is_some();
            // Nobody else may read it where its reader is known (projected.go).
            let secret = |content: String, named: Option<i64>| {
                let owner = named.or(projected.default_user).map_or(owner, |user| u32::try_from(user).ok());
                let mode = if owner.is_some() || shared { 0o600 } else { mode as u32 };
                File { content: content.into_bytes(), mode, owner }
            };
            if let (Some(source), Some(tokens)) = (&source.service_account_token, tokens) {
                let token = tokens.get(&token_wish(source)).ok_or_else(|| fail("the token is not there yet".into()))?;
                files.insert(source.path.clone(), secret(token.clone(), source.user));
            }
            if let Some(source) = &source.cluster_trust_bundle {
                let anchors = trust::anchors(source, &sources.trust_bundles).map_err(fail)?;
                files.insert(source.path.clone(), secret(anchors, source.user));
            }
            if let Some(source) = &source.pod_certificate {
                let place = (volume.name.clone(), index);
                let credential = sources.credentials.get(&place).cloned();
                let credential = credential.unwrap_or_else(|| Err("credential bundle is not issued yet".into()));
                let all = trust::credential_files(source, &credential.map_err(fail)?);
                files.extend(all.into_iter().map(|(path, content)| (path, secret(content, source.user))));
            }
        }
    } else {
        return Err(fail(format!(
            "no volume plugin matched: minisvc's nodes have none for {}; there are configMap, secret, projected, \
             downwardAPI, emptyDir, hostPath, persistentVolumeClaim, ephemeral, image",
            kind_of(volume)
        )));
    }
    Ok(Content::Files(files))
}

/// The field that says what kind of volume it is.
fn kind_of(volume: &Volume) -> String {
    let fields = serde_json::to_value(volume).unwrap_or_default();
    let named = fields.as_object().into_iter().flatten().map(|(field, _)| field.clone()).find(|field| field != "name");
    named.unwrap_or_else(|| "this kind".to_owned())
}

/// The user of all of the pod's containers, where they have but one (kubelet's `FsUserFrom`).
fn one_user(pod: &Pod) -> Option<u32> {
    let spec = pod.spec.as_ref()?;
    let of_pod = spec.security_context.as_ref().and_then(|context| context.run_as_user);
    let all = spec.init_containers.iter().flatten().chain(&spec.containers);
    let mut users =
        all.map(|container| container.security_context.as_ref().and_then(|context| context.run_as_user).or(of_pod));
    let first = users.next()??;
    users.all(|user| user == Some(first)).then(|| u32::try_from(first).ok())?
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
        None => files.extend(all.into_iter().map(|(key, value)| (key.to_owned(), File::new(value, mode)))),
        Some(items) => {
            for item in items {
                match all.get(item.key.as_str()) {
                    Some(value) => {
                        files.insert(item.path.clone(), File::new(value.clone(), item.mode.unwrap_or(mode)));
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
            let mut containers =
                pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers));
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
        files.insert(item.path.clone(), File::new(value.into_bytes(), item.mode.unwrap_or(mode)));
    }
    Ok(())
}

#[cfg(test)]
#[path = "volumes_tests.rs"]
mod tests;
