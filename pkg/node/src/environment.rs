//! A container's environment: variables of services, ConfigMaps, Secrets, fields, and `$(VAR)` expansion. Pure: the
//! objects it reads are fetched before (kubelet_pods.go `makeEnvironmentVariables`, envvars.go, expand.go).

use std::collections::BTreeMap;

use k8s_openapi::api::certificates::v1::ClusterTrustBundle;
use k8s_openapi::api::core::v1::{
    ConfigMap, Container, EnvVarSource, ObjectFieldSelector, PersistentVolume, Pod, Secret, Service,
};

use crate::credentials::Place;
use crate::quantity;
use crate::volumes::Credential;

/// ConfigMaps and Secrets of the pod's namespace by name; `None` where the API has none of that name.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    pub(crate) config_maps: BTreeMap<String, Option<ConfigMap>>,
    pub(crate) secrets: BTreeMap<String, Option<Secret>>,
    /// All trust bundles there are, where any is shown.
    pub(crate) trust_bundles: Vec<ClusterTrustBundle>,
    /// The volumes of the pod's claims by the claims' names, or why there is none.
    pub(crate) claims: BTreeMap<String, Result<PersistentVolume, String>>,
    /// What the pod's certificate sources show, or why nothing yet.
    pub(crate) credentials: BTreeMap<Place, Result<Credential, String>>,
}

impl Sources {
    pub(crate) fn config_map(&self, name: &str) -> Option<&ConfigMap> {
        self.config_maps.get(name).and_then(Option::as_ref)
    }

    pub(crate) fn secret(&self, name: &str) -> Option<&Secret> {
        self.secrets.get(name).and_then(Option::as_ref)
    }

    /// The value of one key of a ConfigMap as text.
    fn config_map_key(&self, name: &str, key: &str) -> Result<String, String> {
        let map = self.config_map(name).ok_or_else(|| format!("configmap \"{name}\" not found"))?;
        map.data.as_ref().and_then(|data| data.get(key)).cloned().ok_or_else(|| {
            format!(
                "couldn't find key {key} in ConfigMap {}/{name}",
                map.metadata.namespace.as_deref().unwrap_or_default()
            )
        })
    }

    fn secret_key(&self, name: &str, key: &str) -> Result<String, String> {
        let secret = self.secret(name).ok_or_else(|| format!("secret \"{name}\" not found"))?;
        secret
            .data
            .as_ref()
            .and_then(|data| data.get(key))
            .map(|value| String::from_utf8_lossy(&value.0).into_owned())
            .ok_or_else(|| {
                format!(
                    "couldn't find key {key} in Secret {}/{name}",
                    secret.metadata.namespace.as_deref().unwrap_or_default()
                )
            })
    }
}

/// Names of the ConfigMaps and Secrets that a container's environment reads.
pub(crate) fn references(container: &Container) -> (Vec<String>, Vec<String>) {
    let (mut config_maps, mut secrets) = (Vec::new(), Vec::new());
    for from in container.env_from.iter().flatten() {
        config_maps.extend(from.config_map_ref.iter().map(|found| found.name.clone()));
        secrets.extend(from.secret_ref.iter().map(|found| found.name.clone()));
    }
    for from in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
        config_maps.extend(from.config_map_key_ref.iter().map(|found| found.name.clone()));
        secrets.extend(from.secret_key_ref.iter().map(|found| found.name.clone()));
    }
    (config_maps, secrets)
}

/// What fields of a pod read that only the node knows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) pod_ip: String,
    pub(crate) host_ip: String,
    pub(crate) node_name: String,
}

/// All variables of a container that Kubernetes defines: the container's own, then those of services that it does not
/// define itself. `Err` is kubelet's CreateContainerConfigError text.
pub(crate) fn variables(
    pod: &Pod,
    container: &Container,
    services: Vec<(String, String)>,
    sources: &Sources,
    facts: &Facts,
) -> Result<Vec<(String, String)>, String> {
    let service_values: BTreeMap<&str, &str> = services.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let mut result: Vec<(String, String)> = Vec::new();
    let set = |name: &str, value: String, result: &mut Vec<(String, String)>| match result
        .iter_mut()
        .find(|(old, _)| old == name)
    {
        Some((_, old)) => *old = value,
        None => result.push((name.to_owned(), value)),
    };
    for from in container.env_from.iter().flatten() {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        if let Some(reference) = &from.config_map_ref {
            match sources.config_map(&reference.name) {
                Some(map) => {
                    for (key, value) in map.data.iter().flatten() {
                        set(&format!("{prefix}{key}"), value.clone(), &mut result);
                    }
                }
                None if reference.optional == Some(true) => {}
                None => return Err(format!("configmap \"{}\" not found", reference.name)),
            }
        }
        if let Some(reference) = &from.secret_ref {
            match sources.secret(&reference.name) {
                Some(secret) => {
                    for (key, value) in secret.data.iter().flatten() {
                        set(&format!("{prefix}{key}"), String::from_utf8_lossy(&value.0).into_owned(), &mut result);
                    }
                }
                None if reference.optional == Some(true) => {}
                None => return Err(format!("secret \"{}\" not found", reference.name)),
            }
        }
    }
    for variable in container.env.iter().flatten() {
        let value = match (&variable.value, &variable.value_from) {
            (Some(value), _) if !value.is_empty() => expand(value, |name| {
                let own = result.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
                own.or_else(|| service_values.get(name).map(|value| (*value).to_owned()))
            }),
            (_, Some(from)) => match from_source(pod, container, from, sources, facts)? {
                Some(value) => value,
                None => continue,
            },
            _ => String::new(),
        };
        set(&variable.name, value, &mut result);
    }
    for (name, value) in services {
        if !result.iter().any(|(known, _)| *known == name) {
            result.push((name, value));
        }
    }
    Ok(result)
}

/// `None`: optional and absent.
fn from_source(
    pod: &Pod,
    container: &Container,
    from: &EnvVarSource,
    sources: &Sources,
    facts: &Facts,
) -> Result<Option<String>, String> {
    let optional = |found: Result<String, String>, optional: Option<bool>| match found {
        Ok(value) => Ok(Some(value)),
        Err(_) if optional == Some(true) => Ok(None),
        Err(text) => Err(text),
    };
    if let Some(selector) = &from.config_map_key_ref {
        return optional(sources.config_map_key(&selector.name, &selector.key), selector.optional);
    }
    if let Some(selector) = &from.secret_key_ref {
        return optional(sources.secret_key(&selector.name, &selector.key), selector.optional);
    }
    if let Some(selector) = &from.field_ref {
        return field(pod, selector, facts).map(Some);
    }
    if let Some(selector) = &from.resource_field_ref {
        let divisor = selector.divisor.as_ref().map(|divisor| divisor.0.as_str());
        return quantity::resource(container, &selector.resource, divisor).map(Some);
    }
    Err("minisvc knows no such source of a variable; there are fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef".into())
}

/// The value of a downward API field.
pub(crate) fn field(pod: &Pod, selector: &ObjectFieldSelector, facts: &Facts) -> Result<String, String> {
    let meta = &pod.metadata;
    let spec = pod.spec.as_ref();
    let path = selector.field_path.as_str();
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    if let Some((map, key)) = path.strip_suffix("']").and_then(|path| path.split_once("['")) {
        let values = match map {
            "metadata.labels" => &meta.labels,
            "metadata.annotations" => &meta.annotations,
            _ => return Err(format!("unsupported fieldPath: {path}")),
        };
        return Ok(values.as_ref().and_then(|values| values.get(key)).cloned().unwrap_or_default());
    }
    let lines = |values: &Option<BTreeMap<String, String>>| {
        let lines = values.iter().flatten().map(|(key, value)| format!("{key}={value:?}"));
        lines.collect::<Vec<_>>().join("\n")
    };
    Ok(match path {
        "metadata.name" => text(&meta.name),
        "metadata.namespace" => text(&meta.namespace),
        "metadata.uid" => text(&meta.uid),
        "metadata.labels" => lines(&meta.labels),
        "metadata.annotations" => lines(&meta.annotations),
        "spec.nodeName" => facts.node_name.clone(),
        "spec.serviceAccountName" => {
            spec.and_then(|spec| spec.service_account_name.clone()).unwrap_or_else(|| "default".into())
        }
        "status.hostIP" | "status.hostIPs" => facts.host_ip.clone(),
        "status.podIP" | "status.podIPs" => facts.pod_ip.clone(),
        _ => return Err(format!("unsupported fieldPath: {path}")),
    })
}

/// Kubernetes' `$(VAR)`: unknown names stay as they are, `$$` is one dollar.
pub(crate) fn expand(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
            match value(name) {
                Some(value) => out.push_str(&value),
                None => out.push_str(&format!("$({name})")),
            }
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}

/// As [`expand`], but a name without a value is an error.
pub(crate) fn expand_all(text: &str, value: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let missing = std::cell::RefCell::new(None);
    let expanded = expand(text, |name| {
        let found = value(name);
        if found.is_none() {
            missing.borrow_mut().get_or_insert_with(|| name.to_owned());
        }
        found
    });
    match missing.into_inner() {
        Some(name) => Err(format!("missing value for {name:?}")),
        None => Ok(expanded),
    }
}

/// The part of a Service that variables are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServiceAddress {
    pub(crate) name: String,
    pub(crate) address: String,
    /// Name (may be empty), protocol, port.
    pub(crate) ports: Vec<(String, String, i32)>,
}

impl ServiceAddress {
    /// `None` for services without an address: headless, ExternalName.
    pub(crate) fn of(service: &Service) -> Option<ServiceAddress> {
        let spec = service.spec.as_ref()?;
        let address = spec.cluster_ip.clone().filter(|address| !address.is_empty() && address != "None")?;
        let ports = spec.ports.iter().flatten();
        Some(ServiceAddress {
            name: service.metadata.name.clone()?,
            address,
            ports: ports
                .map(|port| {
                    let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".into());
                    (port.name.clone().unwrap_or_default(), protocol, port.port)
                })
                .collect(),
        })
    }
}

/// The variables of services, Docker links style: `BLUE_SERVICE_HOST`, `BLUE_PORT_80_TCP_ADDR` and so on.
pub(crate) fn service_variables<'a>(services: impl Iterator<Item = &'a ServiceAddress>) -> Vec<(String, String)> {
    let upper = |name: &str| name.replace('-', "_").to_ascii_uppercase();
    let mut all = Vec::new();
    for service in services {
        let Some((_, first_protocol, first_port)) = service.ports.first() else { continue };
        let (name, address) = (upper(&service.name), &service.address);
        all.push((format!("{name}_SERVICE_HOST"), address.clone()));
        all.push((format!("{name}_SERVICE_PORT"), first_port.to_string()));
        for (port_name, _, port) in service.ports.iter().filter(|(port_name, ..)| !port_name.is_empty()) {
            all.push((format!("{name}_SERVICE_PORT_{}", upper(port_name)), port.to_string()));
        }
        all.push((format!("{name}_PORT"), format!("{}://{address}:{first_port}", first_protocol.to_ascii_lowercase())));
        for (_, protocol, port) in &service.ports {
            let lower = protocol.to_ascii_lowercase();
            let prefix = format!("{name}_PORT_{port}_{}", protocol.to_ascii_uppercase());
            all.push((prefix.clone(), format!("{lower}://{address}:{port}")));
            all.push((format!("{prefix}_PROTO"), lower));
            all.push((format!("{prefix}_PORT"), port.to_string()));
            all.push((format!("{prefix}_ADDR"), address.clone()));
        }
    }
    all
}

#[cfg(test)]
#[path = "environment_tests.rs"]
mod tests;
