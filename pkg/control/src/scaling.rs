//! The scale of any kind that has the subresource, by apiVersion, kind and name. It decides nothing.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::core::Status;
use serde_json::json;

use crate::disruption::Scale as Size;
use crate::podset::text;
use crate::world::{World, is_not_found};

/// A scale that was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Scale {
    pub(crate) uid: String,
    /// What is asked for, and what there is.
    pub(crate) asked: i32,
    pub(crate) there: i32,
    /// Which pods, as a selector in its text form; empty when the kind tells none.
    pub(crate) selector: String,
}

/// The API of a kind, in whichever version its group serves it; `Err` says in Kubernetes' words why there is none.
async fn api(world: &World, namespace: &str, version: &str, kind: &str) -> Result<Api<DynamicObject>, kube::Error> {
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let gvk = GroupVersionKind::gvk(group, version, kind);
    let plural = match (group, kind) {
        ("apps", "Deployment") => "deployments",
        ("apps", "ReplicaSet") => "replicasets",
        ("apps", "StatefulSet") => "statefulsets",
        ("", "ReplicationController") => "replicationcontrollers",
        _ => {
            let served = match kube::discovery::group(&world.client, group).await {
                Ok(served) => served,
                Err(kube::Error::Discovery(_)) => return Err(unmatched(group, kind)),
                Err(error) => return Err(error),
            };
            let known = served.versioned_resources(version).into_iter().find(|(r, _)| r.kind == kind);
            let (resource, _) =
                known.or_else(|| served.recommended_kind(kind)).ok_or_else(|| unmatched(group, kind))?;
            return Ok(Api::namespaced_with(world.client.clone(), namespace, &resource));
        }
    };
    let resource = ApiResource::from_gvk_with_plural(&gvk, plural);
    Ok(Api::namespaced_with(world.client.clone(), namespace, &resource))
}

/// `NoKindMatchError` of Kubernetes' REST mapper.
fn unmatched(group: &str, kind: &str) -> kube::Error {
    let message = format!("no matches for kind \"{kind}\" in group \"{group}\"");
    kube::Error::Api(Box::new(Status::failure(&message, "NoMatch")))
}

/// Reads a scale.
pub(crate) async fn get(
    world: &World,
    namespace: &str,
    version: &str,
    kind: &str,
    name: &str,
) -> Result<Scale, kube::Error> {
    let scale = api(world, namespace, version, kind).await?.get_scale(name).await?;
    let status = scale.status.unwrap_or_default();
    Ok(Scale {
        uid: scale.metadata.uid.unwrap_or_default(),
        asked: scale.spec.and_then(|s| s.replicas).unwrap_or(0),
        there: status.replicas,
        selector: status.selector.unwrap_or_default(),
    })
}

/// Asks for another size.
pub(crate) async fn put(
    world: &World,
    namespace: &str,
    version: &str,
    kind: &str,
    name: &str,
    size: i32,
) -> Result<(), kube::Error> {
    let patch = Patch::Merge(json!({ "spec": { "replicas": size } }));
    api(world, namespace, version, kind).await?.patch_scale(name, &PatchParams::default(), &patch).await?;
    Ok(())
}

/// How many pods the owner of a pod asks for, when it has a scale.
pub(crate) async fn of_owner(world: &World, namespace: &str, owner: &OwnerReference) -> Result<Size, kube::Error> {
    let outcome = get(world, namespace, &owner.api_version, &owner.kind, &owner.name).await;
    match outcome {
        Ok(scale) if scale.uid == owner.uid => Ok(Size::Of(scale.uid, scale.asked)),
        Ok(_) => Ok(Size::NoController),
        Err(error) if is_not_found(&error) => {
            let plural = plural(world, owner).await;
            Ok(Size::Unknown(format!("{plural} does not implement the scale subresource")))
        }
        Err(error) => match error {
            kube::Error::Api(_) => Ok(Size::Unknown(text(&error))),
            other => Err(other),
        },
    }
}

/// `jobs.batch`, as far as it can be told.
async fn plural(world: &World, owner: &OwnerReference) -> String {
    let (group, version) = owner.api_version.split_once('/').unwrap_or(("", &owner.api_version));
    let gvk = GroupVersionKind::gvk(group, version, &owner.kind);
    let plural = match kube::discovery::pinned_kind(&world.client, &gvk).await {
        Ok((resource, _)) => resource.plural,
        Err(_) => owner.kind.to_lowercase(),
    };
    if group.is_empty() { plural } else { format!("{plural}.{group}") }
}
