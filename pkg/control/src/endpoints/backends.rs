//! From a Service and its pods to backends: addresses, conditions and the ports each pod offers. Pure; follows
//! Kubernetes' `endpointslice/utils.go`.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{ContainerPort, ObjectReference, Pod, Service, ServicePort};
use k8s_openapi::api::discovery::v1::EndpointPort;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::pods;

/// One pod behind a service, in one address family.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Backend {
    pub(super) ip: String,
    /// `IPv4` or `IPv6`.
    pub(super) family: &'static str,
    pub(super) ready: bool,
    pub(super) serving: bool,
    pub(super) terminating: bool,
    /// Terminating, and so no more in Endpoints unless unready addresses are published.
    pub(super) leaving: bool,
    pub(super) hostname: Option<String>,
    pub(super) node: Option<String>,
    pub(super) zone: Option<String>,
    pub(super) target: ObjectReference,
    pub(super) ports: Vec<EndpointPort>,
}

/// Whether a service has no address of its own.
pub(super) fn headless(service: &Service) -> bool {
    service.spec.as_ref().and_then(|s| s.cluster_ip.as_deref()) == Some("None")
}

/// Address families of a service, IPv4 when it does not say.
pub(super) fn families(service: &Service) -> Vec<&'static str> {
    let families = service.spec.as_ref().and_then(|s| s.ip_families.as_deref()).unwrap_or_default();
    if families.is_empty() {
        return vec!["IPv4"];
    }
    families.iter().map(|f| if f == "IPv6" { "IPv6" } else { "IPv4" }).collect()
}

/// The family of an address by its look.
pub(super) fn family(ip: &str) -> &'static str {
    if ip.contains(':') { "IPv6" } else { "IPv4" }
}

/// All backends of a service, in the order of the pods.
pub(super) fn backends(service: &Service, pods: &[Arc<Pod>], zone: impl Fn(&str) -> Option<String>) -> Vec<Backend> {
    let families = families(service);
    let publish = service.spec.as_ref().and_then(|s| s.publish_not_ready_addresses) == Some(true);
    let mut backends = Vec::new();
    for pod in pods.iter().filter(|p| !pods::terminal(p)) {
        for ip in addresses(pod) {
            let family = family(&ip);
            if !families.contains(&family) {
                continue;
            }
            let (serving, terminating) = (pods::ready(pod), pods::terminating(pod));
            let node = pods::node(pod).map(str::to_owned);
            backends.push(Backend {
                ip,
                family,
                ready: publish || serving && !terminating,
                serving,
                terminating,
                leaving: terminating && !publish,
                hostname: hostname(pod, service),
                zone: node.as_deref().and_then(&zone),
                node,
                target: ObjectReference {
                    kind: Some("Pod".into()),
                    namespace: pod.metadata.namespace.clone(),
                    name: pod.metadata.name.clone(),
                    uid: pod.metadata.uid.clone(),
                    ..ObjectReference::default()
                },
                ports: ports(service, pod),
            });
        }
    }
    backends
}

fn addresses(pod: &Pod) -> Vec<String> {
    let Some(status) = &pod.status else { return Vec::new() };
    let many: Vec<_> = status.pod_ips.iter().flatten().map(|p| p.ip.clone()).filter(|ip| !ip.is_empty()).collect();
    if many.is_empty() { status.pod_ip.iter().filter(|ip| !ip.is_empty()).cloned().collect() } else { many }
}

/// The hostname by which DNS finds the pod under its service.
fn hostname(pod: &Pod, service: &Service) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let hostname = spec.hostname.clone().filter(|h| !h.is_empty())?;
    (spec.subdomain == service.metadata.name).then_some(hostname)
}

/// The ports of a service as a pod offers them; a name that the pod does not have is left out.
fn ports(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let ports = service.spec.iter().flat_map(|s| s.ports.iter().flatten());
    ports
        .filter_map(|p| {
            let number = target(p, pod)?;
            Some(EndpointPort {
                name: Some(p.name.clone().unwrap_or_default()),
                port: Some(number),
                protocol: Some(protocol(p.protocol.as_deref()).to_owned()),
                app_protocol: p.app_protocol.clone(),
            })
        })
        .collect()
}

fn protocol(protocol: Option<&str>) -> &str {
    protocol.filter(|p| !p.is_empty()).unwrap_or("TCP")
}

/// The port number on a pod (`podutil.FindPort`).
fn target(port: &ServicePort, pod: &Pod) -> Option<i32> {
    match &port.target_port {
        None | Some(IntOrString::Int(0)) => Some(port.port),
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(name)) if name.is_empty() => Some(port.port),
        Some(IntOrString::String(name)) => declared(pod)
            .find(|c| {
                c.name.as_ref() == Some(name) && protocol(c.protocol.as_deref()) == protocol(port.protocol.as_deref())
            })
            .map(|c| c.container_port),
    }
}

/// Ports that a pod's containers declare, sidecars included.
pub(super) fn declared(pod: &Pod) -> impl Iterator<Item = &ContainerPort> {
    let spec = pod.spec.iter();
    let sidecars =
        |s: &'static str| move |c: &&k8s_openapi::api::core::v1::Container| c.restart_policy.as_deref() == Some(s);
    spec.flat_map(move |s| s.containers.iter().chain(s.init_containers.iter().flatten().filter(sidecars("Always"))))
        .flat_map(|c| c.ports.iter().flatten())
}
