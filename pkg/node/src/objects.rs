//! What the node reads from the API for a pod: ConfigMaps, Secrets, tokens, the certificate authority.

use std::collections::BTreeMap;

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, ServiceAccount};
use kube::api::{Api, PostParams};

use crate::environment::Sources;
use crate::names::namespace;
use crate::node::Node;
use crate::volumes::TokenWish;

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
        for name in config_maps {
            if !all.config_maps.contains_key(&name) {
                let found = api.get_opt(&name).await?;
                all.config_maps.insert(name, found);
            }
        }
    }
    if !secrets.is_empty() {
        let api: Api<Secret> = Api::namespaced(node.client.clone(), namespace);
        for name in secrets {
            if !all.secrets.contains_key(&name) {
                let found = api.get_opt(&name).await?;
                all.secrets.insert(name, found);
            }
        }
    }
    Ok(all)
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

/// All tokens of `wishes`.
pub(crate) async fn tokens(node: &Node, pod: &Pod, wishes: &[TokenWish]) -> kube::Result<BTreeMap<TokenWish, String>> {
    let mut all = BTreeMap::new();
    for wish in wishes {
        all.insert(wish.clone(), token(node, pod, wish).await?);
    }
    Ok(all)
}

/// The API's certificate authority: as configured, else from the namespace's ConfigMap.
pub(crate) async fn authority(node: &Node, namespace: &str) -> kube::Result<String> {
    if let Some(ca) = &node.config.api_ca {
        return Ok(ca.clone());
    }
    let api: Api<ConfigMap> = Api::namespaced(node.client.clone(), namespace);
    let map = api.get("kube-root-ca.crt").await?;
    Ok(map.data.and_then(|mut data| data.remove("ca.crt")).unwrap_or_default())
}

/// The pod's service account.
pub(crate) fn account_name(pod: &Pod) -> &str {
    let name = pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref());
    name.filter(|name| !name.is_empty()).unwrap_or("default")
}
