//! Whether a container that ended is started again: the pod's policy, the container's own, its rules for exit codes.
//! Pure (api/v1/pod `ContainerShouldRestart`, KEP-5307).

use k8s_openapi::api::core::v1::{Container, ContainerRestartRule, PodSpec};

use crate::status::Role;

/// What decides about one container's restarts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Restarts {
    policy: String,
    rules: Vec<ContainerRestartRule>,
    /// An init container that succeeded is done, whatever the policy.
    until_success: bool,
}

impl Restarts {
    /// The container's own policy where it has one, else the pod's. Ephemeral containers never come again.
    pub(crate) fn of(spec: &PodSpec, container: &Container, role: Role) -> Restarts {
        let of_pod = spec.restart_policy.as_deref().unwrap_or("Always");
        let own = container.restart_policy.as_deref().filter(|policy| !policy.is_empty());
        let policy = match role {
            Role::Ephemeral => "Never",
            Role::Sidecar => "Always",
            Role::Init | Role::App => own.unwrap_or(of_pod),
        };
        let rules = container.restart_policy_rules.iter().flatten().filter(|_| own.is_some()).cloned().collect();
        Restarts { policy: policy.to_owned(), rules, until_success: role == Role::Init }
    }

    /// Whether it comes again after ending with `code`.
    pub(crate) fn after(&self, code: i32) -> bool {
        if self.until_success && code == 0 {
            return false;
        }
        let matches = |rule: &ContainerRestartRule| {
            rule.exit_codes.as_ref().is_some_and(|codes| {
                let listed = codes.values.iter().flatten().any(|value| *value == code);
                if codes.operator == "NotIn" { !listed } else { listed }
            })
        };
        if self.rules.iter().any(matches) {
            return true;
        }
        match self.policy.as_str() {
            "Never" => false,
            "OnFailure" => code != 0,
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn after(policy: &str, container: serde_json::Value, role: Role, code: i32) -> bool {
        let spec = serde_json::from_value(json!({"containers": [], "restartPolicy": policy})).unwrap();
        Restarts::of(&spec, &serde_json::from_value(container).unwrap(), role).after(code)
    }

    #[test]
    fn the_pods_policy_decides_for_containers_without_their_own() {
        for (policy, role, code, expected) in [
            ("Always", Role::App, 0, true),
            ("OnFailure", Role::App, 0, false),
            ("OnFailure", Role::App, 3, true),
            ("Never", Role::App, 3, false),
            ("Always", Role::Init, 0, false),
            ("Always", Role::Init, 1, true),
            ("Never", Role::Init, 1, false),
            ("Never", Role::Sidecar, 0, true),
            ("Always", Role::Ephemeral, 1, false),
        ] {
            assert_eq!(after(policy, json!({"name": "c"}), role, code), expected, "{policy} {role:?} {code}");
        }
    }

    #[test]
    fn a_containers_own_policy_and_its_rules_win() {
        let own = json!({"name": "c", "restartPolicy": "Never", "restartPolicyRules": [
            {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]});
        assert!(after("Always", own.clone(), Role::App, 42) && !after("Always", own, Role::App, 1));
        let other = json!({"name": "c", "restartPolicy": "OnFailure", "restartPolicyRules": [
            {"action": "Restart", "exitCodes": {"operator": "NotIn", "values": [0, 1]}}]});
        assert!(after("Never", other.clone(), Role::App, 1) && !after("Never", other, Role::App, 0));
    }
}
