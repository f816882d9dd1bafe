//! ClusterRoles that gather the rules of others by label (`aggregationRule`): `admin`, `edit`, `view` and what users make
//! (upstream's clusterrole-aggregation-controller).

use minisvc_api::meta;
use minisvc_api::selector::LabelSelector;
use minisvc_store::Write;
use serde_json::Value;

use crate::server::Inner;

pub(super) const RESOURCE: &str = "clusterroles.rbac.authorization.k8s.io";

/// Roles gather from roles that gather: after so many rounds at the latest nothing new comes.
const ROUNDS: usize = 4;

impl Inner {
    /// Brings the rules of every gathering role up to date.
    pub(super) async fn gather_rules(&self) {
        for _ in 0..ROUNDS {
            let mut changed = false;
            let all = self.store.list(RESOURCE, None).items;
            for role in &all {
                let Some(selectors) = role.value["aggregationRule"]["clusterRoleSelectors"].as_array() else {
                    continue;
                };
                let others = all.iter().filter(|other| other.key != role.key).map(|other| &*other.value);
                let rules = gathered(selectors, others);
                if role.value["rules"].as_array().map_or(&[][..], Vec::as_slice) == rules {
                    continue;
                }
                let mut value = (*role.value).clone();
                value["rules"] = rules.into();
                changed = true;
                self.settle(Write::Update { key: role.key.clone(), expected: Some(role.revision), value }).await;
            }
            if !changed {
                return;
            }
        }
    }
}

/// The rules of the selected roles, each once, role by role in the order of their names.
fn gathered<'a>(selectors: &[Value], roles: impl Iterator<Item = &'a Value>) -> Vec<Value> {
    let selectors: Vec<LabelSelector> = selectors.iter().filter_map(|s| LabelSelector::from_object(s).ok()).collect();
    let mut chosen: Vec<&Value> =
        roles.filter(|role| selectors.iter().any(|selector| selector.matches(&role["metadata"]["labels"]))).collect();
    chosen.sort_by_key(|role| meta::name(role));
    let mut rules: Vec<Value> = Vec::new();
    for rule in chosen.iter().flat_map(|role| role["rules"].as_array().into_iter().flatten()) {
        if !rules.contains(rule) {
            rules.push(rule.clone());
        }
    }
    rules
}
