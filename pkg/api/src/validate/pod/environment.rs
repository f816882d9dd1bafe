//! Rules of containers' environment and of references to a pod's own fields (`ValidateEnv`, `ValidateEnvFrom`,
//! `validateObjectFieldSelector`, `validateContainerResourceFieldSelector` of upstream's pod validation).

use serde_json::Value;

use super::super::{invalid, list, text};
use crate::field::FieldError;
use crate::names;
use crate::quantity::Amount;

/// What a variable may be taken from, in the order in which upstream looks.
const SOURCES: &[&str] = &["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"];

/// Fields of the pod that a variable may show.
const OF_VARIABLES: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// Fields of the pod that a file of a volume may show.
pub(super) const OF_FILES: &[&str] =
    &["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];

/// Fields that can be told apart from unknown ones, though neither variables nor files show them.
const OTHERS: &[&str] = &["spec.restartPolicy", "spec.schedulerName", "status.phase"];

const RESOURCES: &[&str] = &[
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

/// The variables of a container at `path`.
pub(super) fn environment(path: &str, container: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (i, variable) in list(container, "env").iter().enumerate() {
        let at = format!("{path}.env[{i}]");
        let name = text(variable, "name");
        if name.is_empty() {
            errors.push(FieldError::required(format!("{at}.name"), ""));
        } else {
            errors.extend(invalid(&format!("{at}.name"), name, names::env_name(name)));
        }
        if variable["valueFrom"].is_object() {
            errors.extend(value_from(&format!("{at}.valueFrom"), variable));
        }
    }
    let all = format!("{path}.envFrom");
    for (i, source) in list(container, "envFrom").iter().enumerate() {
        let at = format!("{all}[{i}]");
        let prefix = text(source, "prefix");
        if !prefix.is_empty() {
            errors.extend(invalid(&format!("{at}.prefix"), prefix, names::env_name(prefix)));
        }
        let kinds: Vec<&str> =
            ["configMapRef", "secretRef"].into_iter().filter(|kind| source[kind].is_object()).collect();
        for kind in &kinds {
            let (at, name) = (format!("{at}.{kind}.name"), text(&source[kind], "name"));
            match name {
                "" => errors.push(FieldError::required(at, "")),
                _ => errors.extend(invalid(&at, name, names::subdomain(name))),
            }
        }
        match kinds.len() {
            0 => errors.push(FieldError::invalid(&all, "", "must specify one of: `configMapRef` or `secretRef`")),
            1 => {}
            _ => errors.push(FieldError::invalid(&all, "", "may not have more than one field specified at a time")),
        }
    }
    errors
}

fn value_from(at: &str, variable: &Value) -> Vec<FieldError> {
    let from = &variable["valueFrom"];
    let mut errors = Vec::new();
    let sources: Vec<&&str> = SOURCES.iter().filter(|source| from[**source].is_object()).collect();
    for kind in &sources {
        let (at, source) = (format!("{at}.{kind}"), &from[**kind]);
        errors.extend(match **kind {
            "fieldRef" => field(&at, source, OF_VARIABLES),
            "resourceFieldRef" => resource(&at, source, false),
            "fileKeyRef" => file_key(&at, source),
            _ => key(&at, source),
        });
    }
    let words = if sources.is_empty() {
        "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
    } else if !text(variable, "value").is_empty() {
        "may not be specified when `value` is not empty"
    } else if sources.len() > 1 {
        "may not have more than one field specified at a time"
    } else {
        return errors;
    };
    errors.push(FieldError::invalid(at, "", words));
    errors
}

/// A key of a ConfigMap or Secret.
fn key(at: &str, source: &Value) -> Vec<FieldError> {
    let (name, key) = (text(source, "name"), text(source, "key"));
    let mut errors = invalid(&format!("{at}.name"), name, names::subdomain(name));
    match key {
        "" => errors.push(FieldError::required(format!("{at}.key"), "")),
        _ => errors.extend(invalid(&format!("{at}.key"), key, names::config_key(key))),
    }
    errors
}

/// A line of a file in a volume.
fn file_key(at: &str, source: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let said = |field: &str| text(source, field);
    let rules = [
        ("key", names::env_name(said("key"))),
        ("volumeName", names::label(said("volumeName"))),
        ("path", names::no_backsteps(said("path"))),
    ];
    for (field, complaints) in rules {
        let at = format!("{at}.{field}");
        match said(field) {
            "" => errors.push(FieldError::required(at, "")),
            value => errors.extend(invalid(&at, value, complaints)),
        }
    }
    errors
}

/// A field of the pod, one of `known`.
pub(super) fn field(at: &str, reference: &Value, known: &[&str]) -> Vec<FieldError> {
    let (version, path) = (text(reference, "apiVersion"), text(reference, "fieldPath"));
    for (field, said) in [("apiVersion", version), ("fieldPath", path)] {
        if said.is_empty() {
            return vec![FieldError::required(format!("{at}.{field}"), "")];
        }
    }
    let at_path = format!("{at}.fieldPath");
    let unknown =
        |words: String| vec![FieldError::invalid(&at_path, path, format!("error converting fieldPath: {words}"))];
    if version != "v1" {
        return unknown(format!("unsupported pod version: {version}"));
    }
    let subscripted = path.strip_suffix("']").and_then(|path| path.split_once("['")).filter(|(of, _)| !of.is_empty());
    match subscripted {
        Some(("metadata.annotations", name)) => invalid(at, name, names::qualified_name(&name.to_lowercase())),
        Some(("metadata.labels", name)) => invalid(at, name, names::qualified_name(name)),
        Some(_) => unknown(format!("field label does not support subscript: {path}")),
        None => {
            // What old clients say.
            let path = if path == "spec.host" { "spec.nodeName" } else { path };
            match [OF_FILES, OF_VARIABLES, OTHERS].concat().contains(&path) {
                false => unknown(format!("field label not supported: {path}")),
                true if known.contains(&path) => Vec::new(),
                true => vec![FieldError::not_supported(&at_path, path, known)],
            }
        }
    }
}

/// A resource of a container; a volume has none of its own and must name one.
pub(super) fn resource(at: &str, reference: &Value, in_volume: bool) -> Vec<FieldError> {
    let asked = text(reference, "resource");
    if in_volume && text(reference, "containerName").is_empty() {
        let missing = FieldError::required(format!("{at}.containerName"), "");
        return std::iter::once(missing)
            .chain(divisor(&format!("{at}.divisor"), asked, &reference["divisor"]))
            .collect();
    }
    let at_resource = format!("{at}.resource");
    let pages = ["requests.hugepages-", "limits.hugepages-"].iter().any(|prefix| asked.starts_with(prefix));
    let mut errors = match asked {
        "" => vec![FieldError::required(at_resource, "")],
        _ if pages || RESOURCES.contains(&asked) => Vec::new(),
        _ => vec![FieldError::not_supported(at_resource, asked, RESOURCES)],
    };
    errors.extend(divisor(&format!("{at}.divisor"), asked, &reference["divisor"]));
    errors
}

/// What a resource may be told in. Upstream shows the resource, not the divisor.
fn divisor(at: &str, resource: &str, divisor: &Value) -> Option<FieldError> {
    const OF_BYTES: &[&str] = &["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];
    let said = Amount::parse(divisor.as_str()?).ok().filter(|amount| *amount != Amount::ZERO)?.to_string();
    let (supported, name): (&[&str], &str) = match resource.split_once('.')?.1 {
        "cpu" => {
            let words = "only divisor's values 1m and 1 are supported with the cpu resource";
            return (!["1m", "1"].contains(&&*said)).then(|| FieldError::invalid(at, resource, words));
        }
        "memory" => (OF_BYTES, "memory"),
        "ephemeral-storage" => (OF_BYTES, "local ephemeral storage"),
        pages if pages.starts_with("hugepages-") => (OF_BYTES, "hugepages"),
        _ => return None,
    };
    let words = format!("only divisor's values {} are supported with the {name} resource", supported.join(", "));
    (!supported.contains(&&*said)).then(|| FieldError::invalid(at, resource, words))
}

/// Variables from files stand in volumes of the pod's own, and in nothing else.
pub(super) fn file_volumes(path: &str, spec: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for field in ["initContainers", "containers", "ephemeralContainers"] {
        for (i, container) in list(spec, field).iter().enumerate() {
            for (j, variable) in list(container, "env").iter().enumerate() {
                let Some(name) = variable["valueFrom"]["fileKeyRef"]["volumeName"].as_str() else { continue };
                let at = format!("{path}.{field}[{i}].env[{j}].valueFrom.fileKeyRef.volumeName");
                match list(spec, "volumes").iter().find(|volume| volume["name"] == name) {
                    None => errors.push(FieldError::not_found(at, name)),
                    Some(volume) if volume["emptyDir"].is_null() => {
                        errors.push(FieldError::invalid(at, name, "referenced volume must be of type emptyDir"));
                    }
                    Some(_) => {}
                }
            }
        }
    }
    errors
}
