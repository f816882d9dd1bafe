//! The checks of the level `baseline`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Check, Failure, about, called, containers, name, plural, quoted, setters, those};

/// What `restricted` checks as well, in the order of their names.
pub(super) const SHARED: &[Check] =
    &[app_armor, host_namespaces, host_ports, host_probes, privileged, proc_mount, selinux, sysctls, host_process];

/// What `restricted` has a stricter check for.
pub(super) const ALONE: &[Check] = &[capabilities, host_path, seccomp];

const CAPABILITIES: &[&str] = &[
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
const SYSCTLS: &[&str] = &[
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
    "net.ipv4.tcp_slow_start_after_idle",
    "net.ipv4.tcp_notsent_lowat",
];
const SELINUX_TYPES: &[&str] = &["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];

fn failure(reason: &str, detail: String) -> Failure {
    Failure { reason: reason.into(), detail }
}

fn app_armor(pod: &Value) -> Option<Failure> {
    let bad = |context: &Value| {
        let kind = context["appArmorProfile"]["type"].as_str()?;
        (!matches!(kind, "RuntimeDefault" | "Localhost")).then(|| kind.to_owned())
    };
    let (who, values) = setters(pod, bad)?;
    let reason = plural("forbidden AppArmor profile", "forbidden AppArmor profiles", values.len());
    Some(failure(reason, format!("{who} must not set AppArmor profile type to {}", quoted(values))))
}

fn host_namespaces(pod: &Value) -> Option<Failure> {
    let used: Vec<String> = ["hostNetwork", "hostPID", "hostIPC"]
        .iter()
        .filter(|field| pod["spec"][**field] == true)
        .map(|field| format!("{field}=true"))
        .collect();
    (!used.is_empty()).then(|| failure("host namespaces", used.join(", ")))
}

fn host_path(pod: &Value) -> Option<Failure> {
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    let used: Vec<String> = volumes.filter(|volume| volume["hostPath"].is_object()).map(name).collect();
    let volumes = plural("volume", "volumes", used.len());
    (!used.is_empty()).then(|| failure("hostPath volumes", format!("{volumes} {}", quoted(&used))))
}

fn host_ports(pod: &Value) -> Option<Failure> {
    let ports = |container: &Value| -> Vec<String> {
        let all = container["ports"].as_array().into_iter().flatten();
        all.filter_map(|port| port["hostPort"].as_i64())
            .filter(|port| *port != 0)
            .map(|port| port.to_string())
            .collect()
    };
    let used: BTreeSet<String> = containers(pod).flat_map(ports).collect();
    let who = those(pod, |container| !ports(container).is_empty());
    let rest = format!(
        "{} {} {}",
        plural("uses", "use", who.len()),
        plural("hostPort", "hostPorts", used.len()),
        used.into_iter().collect::<Vec<_>>().join(", ")
    );
    about("hostPort", &who, &rest)
}

/// Probes and hooks that call another host than the pod.
fn host_probes(pod: &Value) -> Option<Failure> {
    let hosts = |container: &Value| -> Vec<String> {
        let probes = ["livenessProbe", "readinessProbe", "startupProbe"].map(|probe| &container[probe]);
        let hooks = ["postStart", "preStop"].map(|hook| &container["lifecycle"][hook]);
        let actions = probes.into_iter().chain(hooks).flat_map(|h| [&h["httpGet"]["host"], &h["tcpSocket"]["host"]]);
        actions
            .filter_map(Value::as_str)
            .filter(|host| !matches!(*host, "" | "127.0.0.1" | "::1"))
            .map(str::to_owned)
            .collect()
    };
    let used: BTreeSet<String> = containers(pod).flat_map(hosts).collect();
    let who = those(pod, |container| !hosts(container).is_empty());
    let rest = format!(
        "{} {} {}",
        plural("uses", "use", who.len()),
        plural("probe or lifecycle host", "probe or lifecycle hosts", used.len()),
        quoted(used)
    );
    about("probe or lifecycle host", &who, &rest)
}

fn privileged(pod: &Value) -> Option<Failure> {
    let who = those(pod, |container| container["securityContext"]["privileged"] == true);
    about("privileged", &who, "must not set securityContext.privileged=true")
}

fn proc_mount(pod: &Value) -> Option<Failure> {
    let kind = |container: &Value| {
        container["securityContext"]["procMount"].as_str().filter(|kind| *kind != "Default").map(str::to_owned)
    };
    let used: BTreeSet<String> = containers(pod).filter_map(kind).collect();
    let who = those(pod, |container| kind(container).is_some());
    about("procMount", &who, &format!("must not set securityContext.procMount to {}", quoted(used)))
}

fn selinux(pod: &Value) -> Option<Failure> {
    let text = |context: &Value, field: &str| context["seLinuxOptions"][field].as_str().unwrap_or("").to_owned();
    let bad = |context: &Value| {
        let kind = text(context, "type");
        let wrong = !SELINUX_TYPES.contains(&kind.as_str());
        (wrong || !text(context, "user").is_empty() || !text(context, "role").is_empty()).then_some(kind)
    };
    let (who, types) = setters(pod, bad)?;
    let types: Vec<String> = types.into_iter().filter(|kind| !SELINUX_TYPES.contains(&kind.as_str())).collect();
    let contexts =
        || std::iter::once(&pod["spec"]["securityContext"]).chain(containers(pod).map(|c| &c["securityContext"]));
    let mut data = Vec::new();
    if !types.is_empty() {
        data.push(format!("{} {}", plural("type", "types", types.len()), quoted(&types)));
    }
    for field in ["user", "role"] {
        if contexts().any(|context| !text(context, field).is_empty()) {
            data.push(format!("{field} may not be set"));
        }
    }
    let detail = format!("{who} set forbidden securityContext.seLinuxOptions: {}", data.join("; "));
    Some(failure("seLinuxOptions", detail))
}

fn sysctls(pod: &Value) -> Option<Failure> {
    let all = pod["spec"]["securityContext"]["sysctls"].as_array().into_iter().flatten();
    let bad: Vec<String> = all.map(name).filter(|name| !SYSCTLS.contains(&name.as_str())).collect();
    (!bad.is_empty()).then(|| failure("forbidden sysctls", bad.join(", ")))
}

fn host_process(pod: &Value) -> Option<Failure> {
    let bad = |context: &Value| (context["windowsOptions"]["hostProcess"] == true).then(String::new);
    let (who, _) = setters(pod, bad)?;
    Some(failure("hostProcess", format!("{who} must not set securityContext.windowsOptions.hostProcess=true")))
}

fn capabilities(pod: &Value) -> Option<Failure> {
    let added = |container: &Value| -> Vec<String> {
        let all = container["securityContext"]["capabilities"]["add"].as_array().into_iter().flatten();
        all.filter_map(Value::as_str).filter(|c| !CAPABILITIES.contains(c)).map(str::to_owned).collect()
    };
    let used: BTreeSet<String> = containers(pod).flat_map(added).collect();
    let who = those(pod, |container| !added(container).is_empty());
    let rest = format!("must not include {} in securityContext.capabilities.add", quoted(used));
    about("non-default capabilities", &who, &rest)
}

/// A profile of the security context that leaves the container unconfined.
pub(super) fn seccomp(pod: &Value) -> Option<Failure> {
    let bad = |context: &Value| {
        let kind = context["seccompProfile"]["type"].as_str()?;
        (!matches!(kind, "RuntimeDefault" | "Localhost")).then(|| kind.to_owned())
    };
    let (who, values) = setters(pod, bad)?;
    let detail = format!("{who} must not set securityContext.seccompProfile.type to {}", quoted(values));
    Some(failure("seccompProfile", detail))
}

/// `pod or container "a" must set REST`, of containers for which neither they nor the pod say so.
pub(super) fn unset(reason: &str, names: &[String], rest: &str) -> Option<Failure> {
    (!names.is_empty()).then(|| failure(reason, format!("pod or {} must set {rest}", called(names))))
}
