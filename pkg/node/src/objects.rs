//! What the node reads from the API for a pod: ConfigMaps, Secrets, tokens.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::certificates::v1::ClusterTrustBundle;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolume, PersistentVolumeClaim, Pod, Secret, ServiceAccount};
use kube::api::{Api, ListParams, PostParams};
use minisvc_api::volumes::CLAIM_FINALIZER;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::environment::Sources;
use crate::names::namespace;
use crate::node::Node;
use crate::volumes::TokenWish;

/// The ConfigMap that every namespace has.
const AUTHORITY: &str = "kube-root-ca.crt";
/// How long it is kept.
const KEPT: Duration = Duration::from_secs(60);

/// Fetches the named ConfigMaps and Secrets of a namespace. One that does not exist is `None` in the answer; any other
/// failure is an error to try again after.
pub(crate) async fn sources(
    node: &Node,
    namespace: &str,
    config_maps: Vec<String>,
    secrets: Vec<String>,
) -> kube::Result<Sources> {
    let mut all = Sources::default();
    if !config_maps.is_empty() {
        let api: Api<ConfigMap> = Api::namespaced(node.client.clone(), namespace);
        for name in config_maps.into_iter().collect::<BTreeSet<_>>() {
            let found = config_map(node, &api, namespace, &name).await?;
            all.config_maps.insert(name, found);
        }
    }
    if !secrets.is_empty() {
        let api: Api<Secret> = Api::namespaced(node.client.clone(), namespace);
        for name in secrets.into_iter().collect::<BTreeSet<_>>() {
            let found = api.get_opt(&name).await?;
            all.secrets.insert(name, found);
        }
    }
    Ok(all)
}

/// The volumes of a pod's claims by the claims' names, or why a claim has none yet. With each name whether the claim must
/// be the pod's own.
pub(crate) async fn claims(
    node: &Node,
    pod: &Pod,
    names: Vec<(String, bool)>,
) -> kube::Result<BTreeMap<String, Result<PersistentVolume, String>>> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(node.client.clone(), namespace);
    let volumes: Api<PersistentVolume> = Api::all(node.client.clone());
    let mut all = BTreeMap::new();
    for (name, own) in names.into_iter().collect::<BTreeSet<_>>() {
        let claim = claims.get_opt(&name).await?;
        let found = match usable(&name, claim.as_ref(), own.then_some(pod)) {
            Err(why) => Err(why),
            Ok((volume, uid)) => match volumes.get_opt(&volume).await? {
                None => Err(format!("persistentvolume {volume:?} not found")),
                Some(found) if owner(&found) == Some(uid) => Ok(found),
                Some(_) => Err(format!("volume {volume:?} belongs to another claim")),
            },
        };
        all.insert(name, found);
    }
    Ok(all)
}

fn owner(volume: &PersistentVolume) -> Option<&str> {
    volume.spec.as_ref()?.claim_ref.as_ref()?.uid.as_deref()
}

/// Volume and uid of a claim that a pod may use (kubelet's `getPVCExtractPV`); `of` is the pod that must own it.
fn usable<'a>(
    name: &str,
    claim: Option<&'a PersistentVolumeClaim>,
    of: Option<&Pod>,
) -> Result<(String, &'a str), String> {
    let claim = claim.ok_or_else(|| format!("persistentvolumeclaim {name:?} not found"))?;
    // One that is protected stays until the pod is gone.
    let protected = claim.metadata.finalizers.iter().flatten().any(|one| one == CLAIM_FINALIZER);
    if claim.metadata.deletion_timestamp.is_some() && !protected {
        return Err("PVC is being deleted".to_owned());
    }
    let owns = |pod: &Pod| {
        let mut owners = claim.metadata.owner_references.iter().flatten();
        owners.any(|owner| owner.controller == Some(true) && Some(&owner.uid) == pod.metadata.uid.as_ref())
    };
    if let Some(pod) = of.filter(|pod| !owns(pod)) {
        let (space, pod) = (pod.metadata.namespace.as_deref(), pod.metadata.name.as_deref());
        let (space, pod) = (space.unwrap_or_default(), pod.unwrap_or_default());
        return Err(format!("PVC {space}/{name} was not created for pod {space}/{pod} (pod is not owner)"));
    }
    let bound = claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound");
    let volume = claim.spec.as_ref().and_then(|spec| spec.volume_name.clone()).filter(|volume| !volume.is_empty());
    match volume.filter(|_| bound) {
        Some(volume) => Ok((volume, claim.metadata.uid.as_deref().unwrap_or_default())),
        None => Err("PVC is not bound".to_owned()),
    }
}

/// All ClusterTrustBundles.
pub(crate) async fn trust_bundles(node: &Node) -> kube::Result<Vec<ClusterTrustBundle>> {
    Ok(Api::all(node.client.clone()).list(&ListParams::default()).await?.items)
}

/// A token of the pod's service account, bound to the pod.
pub(crate) async fn token(node: &Node, pod: &Pod, wish: &TokenWish) -> kube::Result<String> {
    let account = account_name(pod);
    let api: Api<ServiceAccount> = Api::namespaced(node.client.clone(), namespace(pod));
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            audiences: wish.audience.clone().map(|audience| vec![audience]),
            expiration_seconds: Some(wish.seconds),
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".into()),
                kind: Some("Pod".into()),
                name: pod.metadata.name.clone(),
                uid: pod.metadata.uid.clone(),
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    let answer = api.create_token_request(account, &PostParams::default(), &request).await?;
    Ok(answer.status.and_then(|status| status.token).unwrap_or_default())
}

/// Tokens that a pod has, and until when each is as good as new.
pub(crate) type Tokens = Mutex<BTreeMap<TokenWish, (String, Instant)>>;

/// All tokens of `wishes`: those at hand while they are fresh, as kubelet's token manager has it (a new one after
/// four fifths of its time, and after a day).
pub(crate) async fn tokens(
    node: &Node,
    pod: &Pod,
    wishes: &[TokenWish],
    kept: &Tokens,
) -> kube::Result<BTreeMap<TokenWish, String>> {
    let mut all = BTreeMap::new();
    for wish in wishes {
        let fresh = kept.lock().get(wish).filter(|(_, until)| Instant::now() < *until).map(|(token, _)| token.clone());
        let token = match fresh {
            Some(token) => token,
            None => {
                let token = token(node, pod, wish).await?;
                let lasts =
                    Duration::from_secs(wish.seconds.max(0) as u64).mul_f64(0.8).min(Duration::from_secs(86_400));
                kept.lock().insert(wish.clone(), (token.clone(), Instant::now() + lasts));
                token
            }
        };
        all.insert(wish.clone(), token);
    }
    Ok(all)
}

/// A ConfigMap; the one with the API's certificate authority, which every pod mounts and nobody changes, is kept.
async fn config_map(node: &Node, api: &Api<ConfigMap>, namespace: &str, name: &str) -> kube::Result<Option<ConfigMap>> {
    if name != AUTHORITY {
        return api.get_opt(name).await;
    }
    let kept =
        node.authorities.lock().get(namespace).filter(|(since, _)| since.elapsed() < KEPT).map(|(_, map)| map.clone());
    if kept.is_some() {
        return Ok(kept);
    }
    let found = api.get_opt(name).await?;
    if let Some(map) = &found {
        let mut authorities = node.authorities.lock();
        authorities.retain(|_, (since, _)| since.elapsed() < KEPT);
        authorities.insert(namespace.to_owned(), (Instant::now(), map.clone()));
    }
    Ok(found)
}

/// The pod's service account.
pub(crate) fn account_name(pod: &Pod) -> &str {
    let name = pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref());
    name.filter(|name| !name.is_empty()).unwrap_or("default")
}
