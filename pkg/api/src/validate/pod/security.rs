//! Rules of security contexts: names of sysctls, user and group numbers, what excludes what.

use serde_json::Value;

use super::mounts::descending;
use crate::field::FieldError;
use crate::validate::internal_form::internal;
use crate::validate::{list, text};

/// The errors of the pod's own security context.
pub(super) fn pod(path: &str, spec: &Value) -> Vec<FieldError> {
    let context = &spec["securityContext"];
    let at = format!("{path}.securityContext");
    let mut errors = numbers(&at, context, &["fsGroup", "runAsUser", "runAsGroup"]);
    for (i, group) in list(context, "supplementalGroups").iter().enumerate() {
        errors.extend(number(&format!("{at}.supplementalGroups[{i}]"), group));
    }
    errors.extend(sysctls(&format!("{at}.sysctls"), spec));
    errors.extend(one_of(&at, context, "fsGroupChangePolicy", &["Always", "OnRootMismatch"]));
    errors.extend(seccomp(&format!("{at}.seccompProfile"), &context["seccompProfile"]));
    errors.extend(app_armor(&format!("{at}.appArmorProfile"), &context["appArmorProfile"]));
    errors.extend(one_of(&at, context, "supplementalGroupsPolicy", &["Merge", "Strict"]));
    errors.extend(one_of(&at, context, "seLinuxChangePolicy", &["MountOption", "Recursive"]));
    let (share, host) = (spec["shareProcessNamespace"] == true, spec["hostPID"] == true);
    if share && host {
        let words = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.push(FieldError::invalid(format!("{path}.shareProcessNamespace"), true, words));
    }
    errors
}

/// The errors of a container's security context; `own_users`: its pod has users of its own.
pub(super) fn of_container(at: &str, context: &Value, own_users: bool) -> Vec<FieldError> {
    let mut errors = numbers(at, context, &["runAsUser", "runAsGroup"]);
    errors.extend(one_of(at, context, "procMount", &["Default", "Unmasked"]));
    if context["procMount"] == "Unmasked" && !own_users {
        let words = "`hostUsers` must be false to use `Unmasked`";
        errors.push(FieldError::invalid(format!("{at}.procMount"), "Unmasked", words));
    }
    errors.extend(seccomp(&format!("{at}.seccompProfile"), &context["seccompProfile"]));
    if context["allowPrivilegeEscalation"] == false {
        if context["privileged"] == true {
            let words = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errors.push(FieldError::invalid(at, internal("core.v1.SecurityContext", context), words));
        }
        if list(&context["capabilities"], "add").iter().any(|name| name == "CAP_SYS_ADMIN") {
            let words = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.push(FieldError::invalid(at, internal("core.v1.SecurityContext", context), words));
        }
    }
    errors.extend(app_armor(&format!("{at}.appArmorProfile"), &context["appArmorProfile"]));
    errors
}

fn one_of(at: &str, context: &Value, field: &str, supported: &[&str]) -> Option<FieldError> {
    let said = context[field].as_str().filter(|said| !supported.contains(said))?;
    Some(FieldError::not_supported(format!("{at}.{field}"), said, supported))
}

/// What a pod with users of its own may share with its node. Upstream writes two of the names with a capital.
pub(super) fn users(path: &str, spec: &Value) -> Vec<FieldError> {
    const WORDS: &str = "when `hostUsers` is false";
    if spec["hostUsers"] != false {
        return Vec::new();
    }
    let shared = [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")];
    let shared = shared.into_iter().filter(|(field, _)| spec[*field] == true);
    let mut errors: Vec<_> = shared.map(|(_, shown)| FieldError::forbidden(format!("{path}.{shown}"), WORDS)).collect();
    for (at, container) in all_containers(path, spec) {
        if !list(container, "volumeDevices").is_empty() {
            errors.push(FieldError::forbidden(format!("{at}.volumeDevices"), WORDS));
        }
    }
    errors
}

fn all_containers<'a>(path: &'a str, spec: &'a Value) -> impl Iterator<Item = (String, &'a Value)> {
    ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(move |field| {
        list(spec, field).iter().enumerate().map(move |(i, container)| (format!("{path}.{field}[{i}]"), container))
    })
}

/// The operating system that a pod says it is for, and what does not belong to it.
pub(super) fn system(path: &str, spec: &Value) -> Vec<FieldError> {
    const NOT_WINDOWS: &str = "cannot be set for a windows pod";
    const OF_PODS: &[&str] = &[
        "appArmorProfile",
        "seLinuxOptions",
        "seccompProfile",
        "fsGroup",
        "fsGroupChangePolicy",
        "sysctls",
        "runAsUser",
        "runAsGroup",
        "supplementalGroups",
        "supplementalGroupsPolicy",
        "seLinuxChangePolicy",
    ];
    const OF_CONTAINERS: &[&str] = &[
        "appArmorProfile",
        "seLinuxOptions",
        "seccompProfile",
        "capabilities",
        "readOnlyRootFilesystem",
        "privileged",
        "allowPrivilegeEscalation",
        "procMount",
        "runAsUser",
        "runAsGroup",
    ];
    let system = &spec["os"];
    if !system.is_object() {
        return Vec::new();
    }
    let windows = match text(system, "name") {
        "" => return vec![FieldError::required(format!("{path}.os.name"), "")],
        "linux" => false,
        "windows" => true,
        other => return vec![FieldError::not_supported(format!("{path}.os"), other, &["linux", "windows"])],
    };
    let forbid = |at: &str, object: &Value, fields: &[&str], words: &str| -> Vec<FieldError> {
        let set = fields.iter().filter(|field| match &object[**field] {
            Value::Null => false,
            Value::Array(items) => **field != "sysctls" || !items.is_empty(),
            Value::Bool(false) => !matches!(**field, "hostPID" | "hostIPC"),
            _ => true,
        });
        set.map(|field| FieldError::forbidden(format!("{at}.{field}"), words)).collect()
    };
    let (of_pods, of_containers, words) = match windows {
        true => (OF_PODS, OF_CONTAINERS, NOT_WINDOWS),
        false => (&["windowsOptions"][..], &["windowsOptions"][..], "windows options cannot be set for a linux pod"),
    };
    let mut errors = forbid(&format!("{path}.securityContext"), &spec["securityContext"], of_pods, words);
    if windows {
        errors.extend(forbid(path, spec, &["hostUsers", "hostPID", "hostIPC", "shareProcessNamespace"], words));
    }
    for (at, container) in all_containers(path, spec) {
        errors.extend(forbid(&format!("{at}.securityContext"), &container["securityContext"], of_containers, words));
    }
    errors
}

fn numbers(at: &str, context: &Value, fields: &[&str]) -> Vec<FieldError> {
    fields.iter().flat_map(|field| number(&format!("{at}.{field}"), &context[*field])).collect()
}

/// A user or group number (apimachinery `IsValidUserID`).
fn number(at: &str, value: &Value) -> Option<FieldError> {
    let number = value.as_i64()?;
    let words = format!("must be between 0 and {}, inclusive", i32::MAX);
    (!(0..=i64::from(i32::MAX)).contains(&number)).then(|| FieldError::invalid(at, number, words))
}

fn seccomp(at: &str, profile: &Value) -> Vec<FieldError> {
    const SUPPORTED: &[&str] = &["Localhost", "RuntimeDefault", "Unconfined"];
    if !profile.is_object() {
        return Vec::new();
    }
    let mut errors = Vec::new();
    let (kind, file) = (text(profile, "type"), profile["localhostProfile"].as_str());
    match kind {
        "" => errors.push(FieldError::required(format!("{at}.type"), "type is required when seccompProfile is set")),
        known if SUPPORTED.contains(&known) => {}
        other => errors.push(FieldError::not_supported(format!("{at}.type"), other, SUPPORTED)),
    }
    let path = format!("{at}.localhostProfile");
    match (kind, file) {
        ("Localhost", None) => {
            errors.push(FieldError::required(path, "must be set when seccomp type is Localhost"));
        }
        ("Localhost", Some(file)) => errors.extend(descending(&path, file)),
        (_, Some(_)) => {
            let shown = internal("core.v1.SeccompProfile", profile);
            errors.push(FieldError::invalid(path, shown, "can only be set when seccomp type is Localhost"));
        }
        _ => {}
    }
    errors
}

fn app_armor(at: &str, profile: &Value) -> Vec<FieldError> {
    /// A path's length without its end.
    const MOST: usize = 4095;
    const MISSING: &str = "must be set when AppArmor type is Localhost";
    if !profile.is_object() {
        return Vec::new();
    }
    let path = format!("{at}.localhostProfile");
    match (text(profile, "type"), profile["localhostProfile"].as_str()) {
        ("Localhost", None | Some("")) => vec![FieldError::required(path, MISSING)],
        ("Localhost", Some(name)) if name.trim() != name => {
            vec![FieldError::invalid(path, name, "must not be padded with whitespace")]
        }
        ("Localhost", Some(name)) if name.len() > MOST => vec![FieldError::too_long(path, MOST)],
        ("RuntimeDefault" | "Unconfined", Some(name)) => {
            vec![FieldError::invalid(path, name, "can only be set when AppArmor type is Localhost")]
        }
        ("Localhost" | "RuntimeDefault" | "Unconfined", _) => Vec::new(),
        ("", _) => vec![FieldError::required(format!("{at}.type"), "type is required when appArmorProfile is set")],
        (other, _) => {
            vec![FieldError::not_supported(format!("{at}.type"), other, &["Localhost", "RuntimeDefault", "Unconfined"])]
        }
    }
}

/// Kernel settings of a namespace of inter-process communication.
const OF_PROCESSES: &[&str] = &[
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
    "kernel.shm",
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.msg",
];

fn sysctls(path: &str, spec: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let sysctls = list(&spec["securityContext"], "sysctls");
    for (i, sysctl) in sysctls.iter().enumerate() {
        let at = format!("{path}[{i}].name");
        let name = text(sysctl, "name");
        if name.is_empty() {
            errors.push(FieldError::required(&at, ""));
        } else if !is_sysctl(name) {
            let words = "must have at most 253 characters and match regex \
                         ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
            errors.push(FieldError::invalid(&at, name, words));
        } else if sysctls[..i].iter().any(|other| text(other, "name") == name) {
            errors.push(FieldError::duplicate(&at, name));
        }
        let plain = name.replace('/', ".");
        let network = plain.starts_with("net.");
        let processes = OF_PROCESSES.contains(&&*plain) || plain.starts_with("fs.mqueue.");
        for (field, of_it) in [("hostNetwork", network), ("hostIPC", processes)] {
            if of_it && spec[field] == true {
                let words = format!("may not be specified when '{field}' is true");
                errors.push(FieldError::invalid(&at, name, words));
            }
        }
    }
    errors
}

/// Parts of lower-case letters and digits, with dashes and underscores inside, joined by dots or slashes.
fn is_sysctl(name: &str) -> bool {
    let part = |part: &str| {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        part.starts_with(inner) && part.ends_with(inner) && part.chars().all(|c| inner(c) || matches!(c, '-' | '_'))
    };
    name.len() <= 253 && name.split(['.', '/']).all(part)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn words(spec: Value) -> Vec<String> {
        pod("spec", &spec).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn should_reject_invalid_sysctls() {
        let named: Vec<Value> = ["foo-", "kernel.shmmax", "safe-and-unsafe", "bar..", "net/ipv4/x"]
            .iter()
            .map(|name| json!({"name": name, "value": "1"}))
            .collect();
        let all = words(json!({"securityContext": {"sysctls": named}}));
        assert_eq!(all.len(), 2, "{all:#?}");
        assert!(all[0].contains("Invalid value: \"foo-\"") && all[1].contains("Invalid value: \"bar..\""), "{all:#?}");
        let twice = json!([{"name": "a.b", "value": "1"}, {"name": "a.b", "value": "2"}]);
        assert!(words(json!({"securityContext": {"sysctls": twice}}))[0].contains("Duplicate value"));
        let nodes =
            json!({"hostNetwork": true, "securityContext": {"sysctls": [{"name": "net.ipv4.x", "value": "1"}]}});
        assert!(words(nodes)[0].ends_with("may not be specified when 'hostNetwork' is true"));
    }

    #[test]
    fn numbers_profiles_and_contradictions() {
        assert!(words(json!({"securityContext": {"runAsUser": -1}}))[0].contains("must be between 0 and 2147483647"));
        let profile = |value: Value| words(json!({"securityContext": {"seccompProfile": value}}));
        assert!(profile(json!({"type": "RuntimeDefault"})).is_empty());
        assert!(profile(json!({"type": "Localhost"}))[0].contains("localhostProfile: Required value"));
        assert!(profile(json!({"type": "Other"}))[0].contains("Unsupported value: \"Other\""));
        assert!(words(json!({"shareProcessNamespace": true, "hostPID": true}))[0].contains("cannot both be enabled"));
        let both = json!({"allowPrivilegeEscalation": false, "privileged": true});
        assert!(of_container("c", &both, false)[0].to_string().contains("`privileged` to true"));
        let unmasked = json!({"procMount": "Unmasked"});
        assert_eq!(of_container("c", &unmasked, true), []);
        assert!(of_container("c", &unmasked, false)[0].to_string().contains("`hostUsers` must be false"));
        let armor = |value: Value| words(json!({"securityContext": {"appArmorProfile": value}}));
        assert!(armor(json!({"type": "Localhost", "localhostProfile": " a"}))[0].contains("padded with whitespace"));
        assert!(
            armor(json!({"type": "Unconfined", "localhostProfile": "a"}))[0].contains("can only be set when AppArmor")
        );
        assert!(words(json!({"securityContext": {"fsGroupChangePolicy": "Never"}}))[0].contains("\"OnRootMismatch\""));
    }

    #[test]
    fn a_pod_keeps_to_its_system_and_its_users() {
        let shown = |errors: Vec<FieldError>| -> Vec<String> { errors.iter().map(ToString::to_string).collect() };
        let spec = json!({"hostUsers": false, "hostPID": true, "os": {"name": "windows"},
            "containers": [{"securityContext": {"runAsUser": 1}, "volumeDevices": [{"name": "d"}]}]});
        let users = shown(users("spec", &spec));
        assert_eq!(users[0], "spec.HostPID: Forbidden: when `hostUsers` is false");
        assert_eq!(users[1], "spec.containers[0].volumeDevices: Forbidden: when `hostUsers` is false");
        let system_of = |os: &str, spec: &Value| {
            let mut spec = spec.clone();
            spec["os"]["name"] = os.into();
            shown(system("spec", &spec))
        };
        let windows = system_of("windows", &spec);
        assert!(
            windows.contains(&"spec.hostPID: Forbidden: cannot be set for a windows pod".to_owned()),
            "{windows:?}"
        );
        assert!(windows.iter().any(|why| why.starts_with("spec.containers[0].securityContext.runAsUser: Forbidden")));
        assert_eq!(system_of("linux", &spec), [""; 0]);
        assert!(system_of("plan9", &spec)[0].starts_with("spec.os: Unsupported value: \"plan9\""));
    }
}
