//! The objects of a fresh cluster as values. Names and labels are those of kubeadm clusters, because lessons and
//! clients look for them. Pure.

use base64::Engine as _;
use serde_json::{Value, json};

use super::Existing;
use crate::pki::FRONT_PROXY_CLIENT;
use crate::server::Config;

/// The namespaces that everything else lives in.
pub(super) fn namespaces() -> Vec<Value> {
    let names = ["default", "kube-system", "kube-public", "kube-node-lease"];
    names.map(|name| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})).into()
}

/// All that follows them, in any order.
pub(super) fn all(config: &Config) -> Vec<(Existing, Value)> {
    let mut objects = Vec::new();
    objects.extend(priority_classes().into_iter().map(|object| (Existing::Keep, object)));
    objects.push((Existing::Keep, service_range(config)));
    objects.push((Existing::Keep, standard_class()));
    objects.extend(super::roles::all().into_iter().map(|object| (Existing::Keep, object)));
    objects.extend(rbac().into_iter().map(|object| (Existing::Keep, object)));
    objects.extend(kubernetes_service(config));
    objects.extend(cluster_dns(config).into_iter().map(|object| (Existing::Keep, object)));
    objects.push((Existing::Refresh, cluster_info(config)));
    objects.push((Existing::Refresh, proxy_trust(config)));
    objects
}

/// The two classes that the system's own pods name.
fn priority_classes() -> Vec<Value> {
    let classes = minisvc_api::validate::SYSTEM_PRIORITIES.iter();
    classes
        .map(|(name, value, description)| {
            json!({
                "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name},
                "value": value, "description": description,
            })
        })
        .collect()
}

/// The class of claims that name none, as kind's and minikube's clusters have one.
fn standard_class() -> Value {
    use minisvc_api::volumes::{DEFAULT_CLASS, PROVISIONER, STANDARD_CLASS};
    json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
        "metadata": {"name": STANDARD_CLASS, "annotations": {DEFAULT_CLASS: "true"}},
        "provisioner": PROVISIONER, "reclaimPolicy": "Delete", "volumeBindingMode": "Immediate",
    })
}

/// Name of the ServiceCIDR of the start.
pub(crate) const RANGE: &str = "kubernetes";

/// The range that ClusterIPs are taken from at first, as an object.
pub(crate) fn service_range(config: &Config) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
        "metadata": {"name": RANGE, "finalizers": ["networking.k8s.io/service-cidr-finalizer"]},
        "spec": {"cidrs": [config.service_cidr.to_string()]},
    })
}

/// What the parts of this one-process control plane are called where users look for them. They live and die with the
/// server that answers: who reads this finds them healthy.
pub(super) fn components() -> Vec<Value> {
    ["controller-manager", "scheduler", "etcd-0"]
        .map(|name| {
            json!({
                "apiVersion": "v1", "kind": "ComponentStatus", "metadata": {"name": name},
                "conditions": [{"type": "Healthy", "status": "True", "message": "ok"}],
            })
        })
        .into()
}

/// Service `default/kubernetes` and, because it has no selector, its endpoints in both forms.
fn kubernetes_service(config: &Config) -> Vec<(Existing, Value)> {
    let (address, port) = (config.fabric.ip(), config.fabric.port());
    let labels = json!({"component": "apiserver", "provider": "kubernetes"});
    vec![
        (
            Existing::Keep,
            json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": {"name": "kubernetes", "namespace": "default", "labels": labels},
                "spec": {
                    "clusterIP": config.kubernetes_service.to_string(),
                    "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}],
                    "sessionAffinity": "None", "type": "ClusterIP",
                },
            }),
        ),
        (
            Existing::Refresh,
            json!({
                "apiVersion": "v1", "kind": "Endpoints",
                "metadata": {
                    "name": "kubernetes", "namespace": "default",
                    "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
                },
                "subsets": [{
                    "addresses": [{"ip": address}], "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
                }],
            }),
        ),
        (
            Existing::Refresh,
            json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "metadata": {
                    "name": "kubernetes", "namespace": "default",
                    "labels": {"kubernetes.io/service-name": "kubernetes"},
                },
                "addressType": "IPv4",
                "endpoints": [{"addresses": [address], "conditions": {"ready": true}}],
                "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
            }),
        ),
    ]
}

/// Service `kube-system/kube-dns` and the Deployment behind it.
fn cluster_dns(config: &Config) -> Vec<Value> {
    let selector = json!({"k8s-app": "kube-dns"});
    let labels = json!({
        "k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS",
    });
    vec![
        json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": "coredns", "namespace": "kube-system"},
        }),
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {
                "name": "kube-dns", "namespace": "kube-system", "labels": labels,
                "annotations": {"prometheus.io/port": "9153", "prometheus.io/scrape": "true"},
            },
            "spec": {
                "clusterIP": config.dns_service.to_string(), "selector": selector, "type": "ClusterIP",
                "ports": [
                    {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
                    {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
                    {"name": "metrics", "port": 9153, "protocol": "TCP", "targetPort": 9153},
                ],
            },
        }),
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "coredns", "namespace": "kube-system", "labels": selector},
            "spec": {
                "replicas": 2,
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
                "selector": {"matchLabels": selector},
                "template": {
                    "metadata": {"labels": selector},
                    "spec": {
                        "serviceAccountName": "coredns", "priorityClassName": "system-cluster-critical",
                        "dnsPolicy": "Default",
                        "tolerations": [
                            {"key": "CriticalAddonsOnly", "operator": "Exists"},
                            {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"},
                        ],
                        "containers": [{
                            "name": "coredns", "image": "minisvc/coredns:1", "imagePullPolicy": "IfNotPresent",
                            "args": dns_arguments(config),
                            "ports": [
                                {"containerPort": 53, "name": "dns", "protocol": "UDP"},
                                {"containerPort": 53, "name": "dns-tcp", "protocol": "TCP"},
                                {"containerPort": 9153, "name": "metrics", "protocol": "TCP"},
                            ],
                            "readinessProbe": {
                                "httpGet": {"path": "/ready", "port": 8181, "scheme": "HTTP"},
                            },
                        }],
                    },
                },
            },
        }),
    ]
}

/// What a joining machine may read without credentials: where the API is and whom to trust (kubeadm's cluster-info).
fn cluster_info(config: &Config) -> Value {
    let ca = base64::engine::general_purpose::STANDARD.encode(config.pki.ca_pem());
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "preferences": {}, "users": [], "contexts": [], "current-context": "",
        "clusters": [{"name": "", "cluster": {
            "certificate-authority-data": ca, "server": format!("https://{}", config.fabric),
        }}],
    });
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cluster-info", "namespace": "kube-public"},
        "data": {"kubeconfig": format!("{kubeconfig:#}\n")},
    })
}

/// By what an API service tells this server, and users with certificates, from strangers (apiserver
/// `clusterauthenticationtrust`).
fn proxy_trust(config: &Config) -> Value {
    let list = |name: &str| json!([name]).to_string();
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
        "data": {
            "client-ca-file": config.pki.ca_pem(),
            "requestheader-allowed-names": list(FRONT_PROXY_CLIENT),
            "requestheader-client-ca-file": config.pki.front_proxy_ca_pem(),
            "requestheader-extra-headers-prefix": list("X-Remote-Extra-"),
            "requestheader-group-headers": list("X-Remote-Group"),
            "requestheader-uid-headers": list("X-Remote-Uid"),
            "requestheader-username-headers": list("X-Remote-User"),
        },
    })
}

/// Rights of the lab's own cluster DNS, and of machines that join.
fn rbac() -> Vec<Value> {
    const GROUP: &str = "rbac.authorization.k8s.io";
    let rule = |group: &str, resources: Value| json!({"apiGroups": [group], "resources": resources, "verbs": ["list", "watch"]});
    let labels = json!({"kubernetes.io/bootstrapping": "rbac-defaults"});
    let reader = json!({
        "name": "extension-apiserver-authentication-reader", "namespace": "kube-system", "labels": labels,
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
    });
    let signer = json!({"name": "kubeadm:bootstrap-signer-clusterinfo", "namespace": "kube-public"});
    vec![
        json!({
            "apiVersion": format!("{GROUP}/v1"), "kind": "ClusterRole",
            "metadata": {"name": "system:coredns", "labels": labels},
            "rules": [
                rule("", json!(["endpoints", "services", "pods", "namespaces"])),
                rule("discovery.k8s.io", json!(["endpointslices"])),
            ],
        }),
        json!({
            "apiVersion": format!("{GROUP}/v1"), "kind": "ClusterRoleBinding",
            "metadata": {"name": "system:coredns", "labels": labels},
            "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": "system:coredns"},
            "subjects": [{"kind": "ServiceAccount", "name": "coredns", "namespace": "kube-system"}],
        }),
        json!({
            "apiVersion": format!("{GROUP}/v1"), "kind": "Role", "metadata": reader,
            "rules": [{
                "apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch"],
                "resourceNames": ["extension-apiserver-authentication"],
            }],
        }),
        json!({
            "apiVersion": format!("{GROUP}/v1"), "kind": "Role", "metadata": signer,
            "rules": [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["cluster-info"], "verbs": ["get"]}],
        }),
        json!({
            "apiVersion": format!("{GROUP}/v1"), "kind": "RoleBinding", "metadata": signer,
            "roleRef": {"apiGroup": GROUP, "kind": "Role", "name": "kubeadm:bootstrap-signer-clusterinfo"},
            "subjects": [{"apiGroup": GROUP, "kind": "User", "name": "system:anonymous"}],
        }),
    ]
}

/// What the DNS program is told: the domain, and where names outside the cluster are asked for.
fn dns_arguments(config: &Config) -> Vec<String> {
    let mut arguments = vec!["--domain".to_owned(), config.cluster_domain.clone()];
    for upstream in &config.dns_upstreams {
        arguments.extend(["--upstream".to_owned(), upstream.to_string()]);
    }
    arguments
}
