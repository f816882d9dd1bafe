//! Namespaces: what each one gets (service account, root certificate), and how one ends: its pods first, then the
//! rest, then its name (KEP-5080).

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, NamespaceCondition, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{DeleteParams, ListParams};
use kube::core::DynamicObject;
use kube::{Api, ResourceExt};

use crate::kinds::{self, Kind, Kinds};
use crate::queue::{Queue, drive};
use crate::world::{ROOT_CA, World, code, is_conflict, is_not_found, now, or_gone};

/// While things still go, look again after this.
const POLL: Duration = Duration::from_millis(100);
/// While nothing that is known is left, but some groups cannot be asked.
const BLIND: Duration = Duration::from_secs(2);

/// Runs the controller for ever.
pub(crate) async fn run(world: Arc<World>) {
    let queue: Arc<Queue<String>> = Queue::new();
    let q = queue.clone();
    world.namespaces.hook(move |_, new| {
        if let Some(new) = new {
            q.add(new.name_any());
        }
    });
    let q = queue.clone();
    world.accounts.hook(move |old, new| {
        if let (Some(old), None) = (old, new) {
            q.add(old.namespace().unwrap_or_default());
        }
    });
    let q = queue.clone();
    world.root_cas.hook(move |old, new| {
        if let Some(object) = new.or(old) {
            q.add(object.namespace().unwrap_or_default());
        }
    });
    // The last pod gone is what an ending namespace waits for.
    let (q, w) = (queue.clone(), Arc::downgrade(&world));
    world.pods.hook(move |old, new| {
        if let (Some(old), None) = (old, new) {
            let namespace = old.namespace().unwrap_or_default();
            if w.upgrade().is_some_and(|w| !w.namespace_lives(&namespace) && w.pods.list(&namespace).is_empty()) {
                q.add(namespace);
            }
        }
    });
    drive("namespaces", queue, 8, |name| sync(&world, name)).await;
}

async fn sync(world: &World, name: String) -> Result<Option<Duration>, kube::Error> {
    let Some(namespace) = world.namespaces.get("", &name) else { return Ok(None) };
    if namespace.metadata.deletion_timestamp.is_some() {
        // Definitions add kinds at any time: each end asks anew what there is to clear.
        let found = kinds::discover(&world.client).await?;
        return end(world, &found, &namespace, &name).await;
    }
    if world.accounts.get(&name, "default").is_none() {
        let mut account = ServiceAccount::default();
        account.metadata.namespace = Some(name.clone());
        account.metadata.name = Some("default".into());
        unless_ended(world, &name, world.create(&account).await)?;
    }
    let data: Option<std::collections::BTreeMap<String, String>> =
        Some([("ca.crt".to_owned(), world.config.root_ca.clone())].into());
    match world.root_cas.get(&name, ROOT_CA) {
        Some(there) if there.data == data => {}
        Some(there) => {
            let mut changed = (*there).clone();
            changed.data = data;
            unless_ended(world, &name, world.replace(&changed).await)?;
        }
        None => {
            let mut map = ConfigMap { data, ..ConfigMap::default() };
            map.metadata.namespace = Some(name.clone());
            map.metadata.name = Some(ROOT_CA.into());
            map.metadata.annotations = Some(
                [(
                    "kubernetes.io/description".to_owned(),
                    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints \
                     such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across \
                     distributions of Kubernetes clusters."
                        .to_owned(),
                )]
                .into(),
            );
            unless_ended(world, &name, world.create(&map).await)?;
        }
    }
    Ok(None)
}

/// An object that is there already is fine, and so is any failure in a namespace that ends.
fn unless_ended<T>(world: &World, namespace: &str, outcome: Result<T, kube::Error>) -> Result<(), kube::Error> {
    match outcome {
        Err(error) if !is_conflict(&error) && world.namespace_lives(namespace) => Err(error),
        _ => Ok(()),
    }
}

/// What of a kind is left in a namespace.
struct Rest {
    resource: String,
    count: usize,
    finalizers: Vec<String>,
}

async fn end(world: &World, found: &Kinds, namespace: &Namespace, name: &str) -> Result<Option<Duration>, kube::Error> {
    let ours = namespace
        .spec
        .as_ref()
        .and_then(|s| s.finalizers.as_ref())
        .is_some_and(|f| f.iter().any(|f| f == "kubernetes"));
    if !ours {
        return Ok(None);
    }
    let deletable = || found.all.iter().filter(|k| k.namespaced && k.deletable);
    let (pods, others): (Vec<_>, Vec<_>) =
        deletable().partition(|k| k.resource.plural == "pods" && k.resource.group.is_empty());
    let mut rest = clear(world, &pods, name).await?;
    if rest.is_empty() {
        rest = clear(world, &others, name).await?;
    }
    if rest.is_empty() && found.stale.is_empty() {
        let mut last = namespace.clone();
        if let Some(finalizers) = last.spec.as_mut().and_then(|s| s.finalizers.as_mut()) {
            finalizers.retain(|f| f != "kubernetes");
        }
        let api: Api<Namespace> = Api::all(world.client.clone());
        // Removing the last finalizer removes the namespace.
        let outcome = api.replace_subresource("finalize", name, &Default::default(), &last).await;
        return or_gone(outcome.map(drop)).map(|()| None);
    }
    report(world, name, &rest, &found.stale).await?;
    Ok(Some(if rest.is_empty() { BLIND } else { POLL }))
}

/// Deletes everything of some kinds in a namespace and says what is still there.
async fn clear(world: &World, kinds: &[&Kind], namespace: &str) -> Result<Vec<Rest>, kube::Error> {
    let mut rest = Vec::new();
    for outcome in join_all(kinds.iter().map(|kind| clear_kind(world, kind, namespace))).await {
        rest.extend(outcome?);
    }
    Ok(rest)
}

async fn clear_kind(world: &World, kind: &Kind, namespace: &str) -> Result<Option<Rest>, kube::Error> {
    let api: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), namespace, &kind.resource);
    let left = async || match api.list_metadata(&ListParams::default()).await {
        Ok(list) => Ok(list.items),
        // A kind that cannot be listed holds nothing.
        Err(error) if matches!(code(&error), Some(404 | 405)) => Ok(Vec::new()),
        Err(error) => Err(error),
    };
    let items = left().await?;
    let going = |o: &kube::core::PartialObjectMeta<DynamicObject>| o.metadata.deletion_timestamp.is_some();
    if items.is_empty() {
        return Ok(None);
    }
    if !items.iter().all(going) {
        let params = DeleteParams::background();
        match api.delete_collection(&params, &ListParams::default()).await {
            Ok(_) => {}
            Err(error) if code(&error) == Some(405) => {
                for item in items.iter().filter(|o| !going(o)) {
                    or_gone(api.delete(&item.name_any(), &params).await)?;
                }
            }
            Err(error) if is_not_found(&error) => {}
            Err(error) => return Err(error),
        }
    }
    let items = left().await?;
    let mut finalizers: Vec<_> = items.iter().flat_map(|o| o.metadata.finalizers.iter().flatten().cloned()).collect();
    finalizers.sort();
    let resource = match kind.resource.group.as_str() {
        "" => kind.resource.plural.clone(),
        group => format!("{}.{group}", kind.resource.plural),
    };
    Ok((!items.is_empty()).then_some(Rest { resource, count: items.len(), finalizers }))
}

/// Says in the namespace's status what it waits for, in Kubernetes' words.
async fn report(world: &World, name: &str, rest: &[Rest], stale: &[String]) -> Result<(), kube::Error> {
    let Some(namespace) = world.namespaces.get("", name) else { return Ok(()) };
    let wanted = conditions(rest, stale);
    let have = namespace.status.as_ref().and_then(|s| s.conditions.clone()).unwrap_or_default();
    let mut all = have.clone();
    for next in wanted {
        let same =
            |c: &NamespaceCondition| c.type_ == next.type_ && c.status == next.status && c.message == next.message;
        if !have.iter().any(same) {
            all.retain(|c| c.type_ != next.type_);
            all.push(next);
        }
    }
    if all == have {
        return Ok(());
    }
    let mut changed = (*namespace).clone();
    changed.status.get_or_insert_default().conditions = Some(all);
    or_gone(world.replace_status(&changed).await)
}

fn conditions(rest: &[Rest], stale: &[String]) -> Vec<NamespaceCondition> {
    let content: Vec<_> = rest.iter().map(|r| format!("{} has {} resource instances", r.resource, r.count)).collect();
    let mut held: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
    for finalizer in rest.iter().flat_map(|r| &r.finalizers) {
        *held.entry(finalizer).or_default() += 1;
    }
    let held: Vec<_> = held.into_iter().map(|(f, n)| format!("{f} in {n} resource instances")).collect();
    let condition = |kind: &str, bad: bool, reasons: (&str, &str), message: String| NamespaceCondition {
        type_: kind.into(),
        status: if bad { "True" } else { "False" }.into(),
        reason: Some(if bad { reasons.0 } else { reasons.1 }.into()),
        message: Some(message),
        last_transition_time: Some(Time(now())),
    };
    let discovered = match stale {
        [] => "All resources successfully discovered".to_owned(),
        stale => {
            let each: Vec<_> = stale.iter().map(|gv| format!("{gv}: stale GroupVersion discovery: {gv}")).collect();
            format!(
                "Discovery failed for some groups, {} failing: unable to retrieve the complete list of server APIs: {}",
                stale.len(),
                each.join(", ")
            )
        }
    };
    let parsed = "All legacy kube types successfully parsed";
    let deleted = "All content successfully deleted, may be waiting on finalization";
    vec![
        condition(
            "NamespaceDeletionDiscoveryFailure",
            !stale.is_empty(),
            ("DiscoveryFailed", "ResourcesDiscovered"),
            discovered,
        ),
        condition("NamespaceDeletionGroupVersionParsingFailure", false, ("", "ParsedGroupVersions"), parsed.into()),
        condition("NamespaceDeletionContentFailure", false, ("", "ContentDeleted"), deleted.into()),
        condition(
            "NamespaceContentRemaining",
            !content.is_empty(),
            ("SomeResourcesRemain", "ContentRemoved"),
            match content.is_empty() {
                true => "All content successfully removed".into(),
                false => format!("Some resources are remaining: {}", content.join(", ")),
            },
        ),
        condition(
            "NamespaceFinalizersRemaining",
            !held.is_empty(),
            ("SomeFinalizersRemain", "ContentHasNoFinalizers"),
            match held.is_empty() {
                true => "All content-preserving finalizers finished".into(),
                false => format!("Some content in the namespace has finalizers remaining: {}", held.join(", ")),
            },
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_told_in_words() {
        let rest = [Rest { resource: "pods".into(), count: 3, finalizers: vec!["x/y".into(), "x/y".into()] }];
        let all = conditions(&rest, &["g/v1".into()]);
        let message = |kind: &str| all.iter().find(|c| c.type_ == kind).unwrap().message.clone().unwrap();
        assert_eq!(message("NamespaceContentRemaining"), "Some resources are remaining: pods has 3 resource instances");
        assert_eq!(
            message("NamespaceFinalizersRemaining"),
            "Some content in the namespace has finalizers remaining: x/y in 2 resource instances"
        );
        assert_eq!(
            message("NamespaceDeletionDiscoveryFailure"),
            "Discovery failed for some groups, 1 failing: unable to retrieve the complete list of server APIs: g/v1: stale \
             GroupVersion discovery: g/v1"
        );
        assert!(conditions(&[], &[]).iter().all(|c| c.status == "False"));
    }
}
