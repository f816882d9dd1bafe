//! A pod's name files: resolv.conf, hosts and host name. Pure (kubelet's `network/dns` and `kubelet_pods.go`).

use std::net::{IpAddr, Ipv4Addr};

use k8s_openapi::api::core::v1::{HostAlias, Pod, PodDNSConfigOption, PodSpec};

/// The content of a pod's resolv.conf, per its dnsPolicy and dnsConfig. `host` is the node's own file.
pub(crate) fn resolv_conf(pod: &Pod, dns: IpAddr, domain: &str, host: &str) -> String {
    let none = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&none);
    let host_network = spec.host_network == Some(true);
    let mut file = match spec.dns_policy.as_deref() {
        Some("None") => ResolvConf::default(),
        Some("Default") => ResolvConf::parse(host),
        Some("ClusterFirstWithHostNet") => ResolvConf::cluster(namespace(pod), dns, domain),
        _ if host_network => ResolvConf::parse(host),
        _ => ResolvConf::cluster(namespace(pod), dns, domain),
    };
    if let Some(config) = &spec.dns_config {
        extend(&mut file.nameservers, config.nameservers.iter().flatten());
        extend(&mut file.searches, config.searches.iter().flatten());
        for option in config.options.iter().flatten() {
            file.set(option);
        }
    }
    file.to_string()
}

#[derive(Default)]
struct ResolvConf {
    nameservers: Vec<String>,
    searches: Vec<String>,
    options: Vec<String>,
}

impl ResolvConf {
    fn cluster(namespace: &str, dns: IpAddr, domain: &str) -> ResolvConf {
        ResolvConf {
            nameservers: vec![dns.to_string()],
            searches: vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.to_owned()],
            options: vec!["ndots:5".into()],
        }
    }

    fn parse(text: &str) -> ResolvConf {
        let mut file = ResolvConf::default();
        for line in text.lines() {
            let mut words = line.split_whitespace().map(str::to_owned);
            match words.next().as_deref() {
                Some("nameserver") => file.nameservers.extend(words.next()),
                Some("search" | "domain") => file.searches = words.collect(),
                Some("options") => file.options = words.collect(),
                _ => {}
            }
        }
        file
    }

    /// Options of dnsConfig replace those of the same name.
    fn set(&mut self, option: &PodDNSConfigOption) {
        let Some(name) = &option.name else { return };
        self.options.retain(|old| old.split(':').next() != Some(name));
        self.options.push(match &option.value {
            Some(value) => format!("{name}:{value}"),
            None => name.clone(),
        });
    }
}

impl std::fmt::Display for ResolvConf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.searches.is_empty() {
            writeln!(f, "search {}", self.searches.join(" "))?;
        }
        for nameserver in &self.nameservers {
            writeln!(f, "nameserver {nameserver}")?;
        }
        if !self.options.is_empty() {
            writeln!(f, "options {}", self.options.join(" "))?;
        }
        Ok(())
    }
}

fn extend<'a>(list: &mut Vec<String>, more: impl Iterator<Item = &'a String>) {
    for item in more {
        if !list.contains(item) {
            list.push(item.clone());
        }
    }
}

/// The pod's host name: `spec.hostname`, else its own name, cut to what a label may hold; the node's where the pod
/// uses the node's network.
pub(crate) fn hostname(pod: &Pod, node: &str) -> String {
    let spec = pod.spec.as_ref();
    if spec.and_then(|spec| spec.host_network) == Some(true) {
        return node.to_owned();
    }
    let chosen = spec.and_then(|spec| spec.hostname_override.as_deref().or(spec.hostname.as_deref()));
    let chosen = chosen.filter(|name| !name.is_empty());
    let name = chosen.or(pod.metadata.name.as_deref()).unwrap_or_default();
    name.get(..63).unwrap_or(name).trim_end_matches(['-', '.']).to_owned()
}

/// The domain below which the pod's host name stands; none where `hostnameOverride` says all of the name.
fn subdomain(pod: &Pod) -> Option<&str> {
    let spec = pod.spec.as_ref().filter(|spec| spec.hostname_override.is_none())?;
    spec.subdomain.as_deref().filter(|subdomain| !subdomain.is_empty())
}

/// What programs see as the host name: with `setHostnameAsFQDN` and a subdomain all of it, else the label alone.
///
/// # Errors
/// In kubelet's words when it is longer than the kernel takes.
pub(crate) fn full_hostname(pod: &Pod, node: &str, domain: &str) -> Result<String, String> {
    /// sethostname(2).
    const MOST: usize = 64;
    let hostname = hostname(pod, node);
    let wanted = pod.spec.as_ref().and_then(|spec| spec.set_hostname_as_fqdn) == Some(true);
    let (Some(subdomain), true) = (subdomain(pod), wanted) else { return Ok(hostname) };
    let full = format!("{hostname}.{subdomain}.{}.svc.{domain}", namespace(pod));
    if full.len() > MOST {
        return Err(format!(
            "failed to construct FQDN from pod hostname and cluster domain, FQDN {full} is too long ({MOST} characters \
             is the max, {} characters requested)",
            full.len()
        ));
    }
    Ok(full)
}

/// The content of a pod's hosts file. `host` is the node's own file, used on the node's network.
pub(crate) fn hosts(pod: &Pod, address: Ipv4Addr, hostname: &str, domain: &str, host: &str) -> String {
    let spec = pod.spec.as_ref();
    let mut text = if spec.and_then(|spec| spec.host_network) == Some(true) {
        format!("# Kubernetes-managed hosts file (host network).\n{host}")
    } else {
        let full = subdomain(pod)
            .map(|subdomain| format!("{hostname}.{subdomain}.{}.svc.{domain}\t", namespace(pod)))
            .unwrap_or_default();
        format!(
            "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
             fe00::\tip6-localnet\nfe00::\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n\
             {address}\t{full}{hostname}\n"
        )
    };
    let aliases: &[HostAlias] = spec.and_then(|spec| spec.host_aliases.as_deref()).unwrap_or_default();
    if !aliases.is_empty() {
        text.push_str("\n# Entries added by HostAliases.\n");
        for alias in aliases {
            let names = alias.hostnames.as_deref().unwrap_or_default().join("\t");
            text.push_str(&format!("{}\t{names}\n", alias.ip));
        }
    }
    text
}

pub(crate) fn namespace(pod: &Pod) -> &str {
    pod.metadata.namespace.as_deref().unwrap_or("default")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(spec: serde_json::Value) -> Pod {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "blue-1", "namespace": "shop"}, "spec": spec
        }))
        .unwrap()
    }

    fn resolv(spec: serde_json::Value) -> String {
        let host = "# by hand\nnameserver 192.0.2.1\nsearch example.com lan\noptions edns0\n";
        resolv_conf(&pod(spec), IpAddr::from([10, 96, 0, 10]), "cluster.local", host)
    }

    #[test]
    fn resolv_conf_follows_the_policy() {
        let cluster =
            "search shop.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n";
        let host = "search example.com lan\nnameserver 192.0.2.1\noptions edns0\n";
        assert_eq!(resolv(serde_json::json!({"containers": []})), cluster);
        assert_eq!(resolv(serde_json::json!({"containers": [], "dnsPolicy": "ClusterFirst"})), cluster);
        assert_eq!(resolv(serde_json::json!({"containers": [], "dnsPolicy": "Default"})), host);
        assert_eq!(resolv(serde_json::json!({"containers": [], "hostNetwork": true})), host);
        assert_eq!(
            resolv(serde_json::json!({"containers": [], "hostNetwork": true, "dnsPolicy": "ClusterFirstWithHostNet"})),
            cluster
        );
    }

    #[test]
    fn dns_config_is_merged() {
        let config = serde_json::json!({"nameservers": ["1.1.1.1"], "searches": ["svc.cluster.local", "my.dns"],
            "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]});
        assert_eq!(
            resolv(serde_json::json!({"containers": [], "dnsPolicy": "None", "dnsConfig": config})),
            "search svc.cluster.local my.dns\nnameserver 1.1.1.1\noptions ndots:2 edns0\n"
        );
        assert_eq!(
            resolv(serde_json::json!({"containers": [], "dnsConfig": config})),
            "search shop.svc.cluster.local svc.cluster.local cluster.local my.dns\nnameserver 10.96.0.10\nnameserver 1.1.1.1\noptions ndots:2 edns0\n"
        );
    }

    #[test]
    fn hosts_hold_the_pods_line_and_aliases() {
        let pod = pod(serde_json::json!({"containers": [], "hostname": "web", "subdomain": "sub",
            "hostAliases": [{"ip": "123.45.67.89", "hostnames": ["foo", "bar"]}]}));
        let text = hosts(&pod, Ipv4Addr::new(10, 244, 1, 7), &hostname(&pod, "node1"), "cluster.local", "");
        assert!(text.starts_with("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n"), "{text}");
        assert!(text.contains("\n10.244.1.7\tweb.sub.shop.svc.cluster.local\tweb\n"), "{text}");
        assert!(text.ends_with("\n# Entries added by HostAliases.\n123.45.67.89\tfoo\tbar\n"), "{text}");
    }

    #[test]
    fn full_host_names_have_the_subdomain_and_a_limit() {
        let full = |spec: serde_json::Value| full_hostname(&pod(spec), "node1", "cluster.local");
        let wish = |name: &str| serde_json::json!({"containers": [], "hostname": name, "subdomain": "sub", "setHostnameAsFQDN": true});
        assert_eq!(full(wish("web")).unwrap(), "web.sub.shop.svc.cluster.local");
        assert!(full(wish(&"a".repeat(50))).unwrap_err().contains("is too long (64 characters is the max, "));
        assert_eq!(full(serde_json::json!({"containers": [], "setHostnameAsFQDN": true})).unwrap(), "blue-1");
        let own = serde_json::json!({"containers": [], "hostnameOverride": "my.own.name", "hostname": "x"});
        assert_eq!(full(own).unwrap(), "my.own.name");
        let beside = pod(serde_json::json!({"containers": [], "hostnameOverride": "mine", "subdomain": "sub"}));
        assert!(hosts(&beside, [10, 244, 1, 2].into(), "mine", "cluster.local", "").ends_with("\n10.244.1.2\tmine\n"));
    }

    #[test]
    fn host_names_are_labels() {
        let mut pod = pod(serde_json::json!({"containers": []}));
        assert_eq!(hostname(&pod, "node1"), "blue-1");
        pod.metadata.name = Some(format!("{}-x", "a".repeat(62)));
        assert_eq!(hostname(&pod, "node1"), "a".repeat(62));
        pod.spec.as_mut().unwrap().host_network = Some(true);
        assert_eq!(hostname(&pod, "node1"), "node1");
    }
}
