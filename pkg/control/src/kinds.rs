//! Which kinds the server has, by discovery: what namespaces clear and the garbage collector watches.

use kube::Client;
use kube::core::ApiResource;
use kube::core::discovery::v2::{APIGroupDiscovery, APIResourceDiscovery};

/// One kind in its preferred version.
#[derive(Debug, Clone)]
pub(crate) struct Kind {
    pub(crate) resource: ApiResource,
    pub(crate) namespaced: bool,
    pub(crate) deletable: bool,
    /// Can be listed and watched.
    pub(crate) watchable: bool,
    /// Its objects may be listed and written.
    pub(crate) rewritable: bool,
}

/// What discovery found.
#[derive(Debug, Default)]
pub(crate) struct Kinds {
    pub(crate) all: Vec<Kind>,
    /// Groups and versions (`metrics.k8s.io/v1beta1`) of API services that do not answer: what they hold is not known.
    pub(crate) stale: Vec<String>,
}

/// Asks the server.
pub(crate) async fn discover(client: &Client) -> Result<Kinds, kube::Error> {
    let mut groups = client.list_core_api_versions_aggregated().await?.items;
    groups.extend(client.list_api_groups_aggregated().await?.items);
    let mut found = Kinds::default();
    groups.into_iter().for_each(|group| found.add(group));
    Ok(found)
}

impl Kinds {
    /// Takes a group's preferred version, and notes which of its versions are not up to date.
    fn add(&mut self, group: APIGroupDiscovery) {
        let name = group.metadata.and_then(|meta| meta.name).unwrap_or_default();
        let api_version =
            |version: &str| if name.is_empty() { version.to_owned() } else { format!("{name}/{version}") };
        for (at, version) in group.versions.into_iter().enumerate() {
            let number = version.version.unwrap_or_default();
            if version.freshness.as_deref() == Some("Stale") {
                self.stale.push(api_version(&number));
            }
            if at == 0 {
                let kinds = version.resources.into_iter().map(|one| kind(&name, &number, api_version(&number), one));
                self.all.extend(kinds);
            }
        }
    }
}

fn kind(group: &str, version: &str, api_version: String, found: APIResourceDiscovery) -> Kind {
    let can = |verb: &str| found.verbs.iter().any(|known| known == verb);
    Kind {
        namespaced: found.scope.as_deref() == Some("Namespaced"),
        deletable: can("delete"),
        watchable: can("list") && can("watch"),
        rewritable: can("list") && can("update") && can("patch"),
        resource: ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version,
            kind: found.response_kind.and_then(|kind| kind.kind).unwrap_or_default(),
            plural: found.resource.unwrap_or_default(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferred_versions_are_taken_and_stale_ones_noted() {
        let group = |value: serde_json::Value| serde_json::from_value::<APIGroupDiscovery>(value).expect("a group");
        let mut found = Kinds::default();
        let pods = serde_json::json!({"resource": "pods", "scope": "Namespaced", "verbs": ["list", "watch", "delete"],
            "responseKind": {"group": "", "version": "v1", "kind": "Pod"}});
        found.add(group(serde_json::json!({"metadata": {}, "versions": [
            {"version": "v1", "freshness": "Current", "resources": [pods]}]})));
        found.add(group(serde_json::json!({"metadata": {"name": "g"}, "versions": [
            {"version": "v2", "freshness": "Current", "resources": []}, {"version": "v1", "freshness": "Stale", "resources": [pods]}]})));
        let [kind] = &found.all[..] else { panic!("{found:?}") };
        assert_eq!((kind.resource.kind.as_str(), kind.resource.api_version.as_str()), ("Pod", "v1"));
        assert!(kind.namespaced && kind.deletable && kind.watchable);
        assert_eq!(found.stale, ["g/v1"]);
    }
}
