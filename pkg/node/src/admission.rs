//! What a node refuses to run though the API took it: such a pod fails at once, with the reason in its status. Pure
//! (kubelet's `sysctl` and `lifecycle` handlers).

use k8s_openapi::api::core::v1::Pod;

/// Settings of a pod's own namespaces that harm nobody else (kubelet's `safe_sysctls.go`).
const SAFE: [&str; 14] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_notsent_lowat",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_slow_start_after_idle",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];

/// A setting's name with dots, which may also be written with slashes.
pub(crate) fn dotted(name: &str) -> String {
    match name.find(['.', '/']) {
        // A slash first: dots belong to the names between slashes.
        Some(at) if name.as_bytes()[at] == b'/' => name
            .chars()
            .map(|c| {
                if c == '/' {
                    '.'
                } else if c == '.' {
                    '/'
                } else {
                    c
                }
            })
            .collect(),
        _ => name.to_owned(),
    }
}

/// Reason and message of the refusal; none where the pod may run.
pub(crate) fn refusal(pod: &Pod) -> Option<(&'static str, String)> {
    let spec = pod.spec.as_ref()?;
    let context = spec.security_context.as_ref();
    for sysctl in context.iter().flat_map(|context| context.sysctls.iter().flatten()) {
        let name = dotted(&sysctl.name);
        let (host, kind) = match name.starts_with("net.") {
            true => (spec.host_network == Some(true), "net"),
            false => (spec.host_ipc == Some(true), "ipc"),
        };
        if !SAFE.contains(&name.as_str()) {
            return Some(("SysctlForbidden", format!("forbidden sysctl: {name:?} not allowlisted")));
        }
        if host {
            return Some((
                "SysctlForbidden",
                format!("forbidden sysctl: {name:?} not allowed with host {kind} enabled"),
            ));
        }
    }
    if spec.host_users == Some(false) {
        let text = "Pod requires user namespaces (hostUsers: false), which minisvc's nodes do not have";
        return Some(("UnexpectedAdmissionError", text.to_owned()));
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(spec: serde_json::Value) -> Option<(&'static str, String)> {
        refusal(&serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap())
    }

    fn with(name: &str, more: serde_json::Value) -> Option<(&'static str, String)> {
        let mut spec = json!({"containers": [], "securityContext": {"sysctls": [{"name": name, "value": "1"}]}});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        refused(spec)
    }

    #[test]
    fn safe_sysctls_pass_and_others_are_forbidden() {
        assert_eq!(with("kernel.shm_rmid_forced", json!({})), None);
        assert_eq!(with("net/ipv4/tcp_syncookies", json!({})), None);
        let text = "forbidden sysctl: \"kernel.msgmax\" not allowlisted".to_owned();
        assert_eq!(with("kernel.msgmax", json!({})), Some(("SysctlForbidden", text)));
        let text = "forbidden sysctl: \"net.ipv4.tcp_syncookies\" not allowed with host net enabled".to_owned();
        assert_eq!(with("net.ipv4.tcp_syncookies", json!({"hostNetwork": true})), Some(("SysctlForbidden", text)));
    }

    #[test]
    fn user_namespaces_are_refused_in_words() {
        assert!(refused(json!({"containers": [], "hostUsers": false})).unwrap().1.contains("hostUsers"));
        assert_eq!(refused(json!({"containers": [], "hostUsers": true})), None);
    }
}
