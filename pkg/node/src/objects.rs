//! What the node reads from the API for a pod: ConfigMaps, Secrets, tokens.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::certificates::v1::ClusterTrustBundle;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, ServiceAccount};
use kube::api::{Api, ListParams, PostParams};
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
