//! What a container runs: its command line and its rights, from the image and the pod. Pure.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use minisvc_images::{Bin, Builtin, Extras, Image, Userland};
use minisvc_kernel::{CONTAINER_DEFAULT, Capability, capability, every_capability};

use crate::root::{APPLET_FOLDER, BINARY};

/// The image's PATH where it does not say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A container's command line: the image's unless the pod says otherwise (`command` replaces ENTRYPOINT and CMD,
/// `args` replaces CMD).
pub(crate) fn command(image: &Image, container: &Container, expand: impl Fn(&str) -> String) -> Vec<String> {
    let words = |words: &Option<Vec<String>>| {
        words
            .as_ref()
            .filter(|words| !words.is_empty())
            .map(|words| words.iter().map(|word| expand(word)).collect::<Vec<_>>())
    };
    let (command, args) = (words(&container.command), words(&container.args));
    match image {
        Image::Userland(Userland { entrypoint, command: default, .. }) => match command {
            Some(command) => [command, args.unwrap_or_default()].concat(),
            None => [entrypoint.clone(), args.unwrap_or_else(|| default.clone())].concat(),
        },
        Image::Builtin(builtin) => {
            let rest = match command {
                None => args.unwrap_or_else(|| builtin.args.clone()),
                Some(command) => {
                    let name = Path::new(&command[0]).file_name().map(|name| name.to_string_lossy().into_owned());
                    let rest = [command[1..].to_vec(), args.unwrap_or_default()].concat();
                    if !name.is_some_and(|name| builtin.called.contains(&name)) {
                        return [vec![command[0].clone()], rest].concat();
                    }
                    rest
                }
            };
            [vec![BINARY.to_owned(), "image".to_owned(), builtin.program.clone()], rest].concat()
        }
    }
}

/// The container's whole environment: PATH, HOSTNAME and HOME, the image's variables, then Kubernetes'.
pub(crate) fn environment(
    image: &Image,
    hostname: &str,
    tty: bool,
    variables: Vec<(String, String)>,
) -> Vec<(String, String)> {
    let machine =
        matches!(image, Image::Userland(Userland { root: None, .. }) | Image::Builtin(Builtin { userland: true, .. }));
    let path = match image {
        // BusyBox' programs before the machine's own.
        Image::Userland(Userland { root: None, extras: Extras { bin: Bin::BusyBox { .. }, .. }, .. }) => {
            format!("{APPLET_FOLDER}:/bin:{PATH}")
        }
        _ if machine => format!("{APPLET_FOLDER}:{PATH}"),
        _ => PATH.to_owned(),
    };
    let mut all: Vec<(String, String)> = vec![("PATH".into(), path), ("HOSTNAME".into(), hostname.into())];
    if tty {
        all.push(("TERM".into(), "xterm".into()));
    }
    let of_image = match image {
        Image::Builtin(builtin) => &builtin.env,
        Image::Userland(userland) => &userland.env,
    };
    for (name, value) in of_image.iter().cloned().chain(variables) {
        match all.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => all.push((name, value)),
        }
    }
    if !all.iter().any(|(name, _)| name == "HOME") {
        all.push(("HOME".into(), "/root".into()));
    }
    all
}

/// What a container's processes may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rights {
    /// `None`: all of the node's.
    pub(crate) capabilities: Option<Vec<Capability>>,
    pub(crate) no_new_privileges: bool,
    pub(crate) seccomp: bool,
    /// User and group.
    pub(crate) user: (u32, u32),
    pub(crate) groups: Vec<u32>,
    pub(crate) read_only_root: bool,
}

/// The rights of a container, from its security context and the pod's.
pub(crate) fn rights(pod: &PodSpec, container: &Container) -> Result<Rights, String> {
    let of_pod = pod.security_context.as_ref();
    let own = container.security_context.as_ref();
    let number = |value: i64| u32::try_from(value).map_err(|_| format!("{value} is not a user or group number"));
    let user = own.and_then(|own| own.run_as_user).or(of_pod.and_then(|pod| pod.run_as_user));
    let group = own.and_then(|own| own.run_as_group).or(of_pod.and_then(|pod| pod.run_as_group));
    let must_not_be_root = own.and_then(|own| own.run_as_non_root).or(of_pod.and_then(|pod| pod.run_as_non_root));
    if must_not_be_root == Some(true) && user.unwrap_or(0) == 0 {
        let name = &container.name;
        return Err(if user.is_some() {
            format!("container's runAsUser breaks non-root policy (container: {name})")
        } else {
            format!("container has runAsNonRoot and image will run as root (container: {name})")
        });
    }
    let user = (number(user.unwrap_or(0))?, number(group.unwrap_or(0))?);
    let groups = of_pod.iter().flat_map(|pod| pod.supplemental_groups.iter().flatten().copied().chain(pod.fs_group));
    let groups = groups.map(number).collect::<Result<Vec<u32>, _>>()?;
    let privileged = own.and_then(|own| own.privileged) == Some(true);
    let capabilities = if privileged { None } else { Some(capabilities(container)?) };
    let profile =
        own.and_then(|own| own.seccomp_profile.as_ref()).or(of_pod.and_then(|pod| pod.seccomp_profile.as_ref()));
    let filtered = match profile.map(|profile| profile.type_.as_str()) {
        Some("Unconfined") => false,
        Some("Localhost") => {
            let file = profile.and_then(|profile| profile.localhost_profile.clone()).unwrap_or_default();
            return Err(format!(
                "failed to generate seccomp spec opts: cannot load seccomp profile {file:?}: minisvc's nodes have none of \
                 their own; there are RuntimeDefault and Unconfined"
            ));
        }
        // As with kubelet's --seccomp-default.
        _ => !privileged,
    };
    Ok(Rights {
        capabilities,
        // Kubernetes lets set-user-id programs work unless told otherwise.
        no_new_privileges: !privileged && own.and_then(|own| own.allow_privilege_escalation) == Some(false),
        seccomp: filtered,
        user,
        groups,
        read_only_root: own.and_then(|own| own.read_only_root_filesystem) == Some(true),
    })
}

fn capabilities(container: &Container) -> Result<Vec<Capability>, String> {
    let wanted = container.security_context.as_ref().and_then(|own| own.capabilities.as_ref());
    let named = |names: &Option<Vec<String>>| -> Result<Vec<Capability>, String> {
        let mut all = Vec::new();
        for name in names.iter().flatten() {
            if name.eq_ignore_ascii_case("ALL") {
                all.extend(every_capability());
            } else {
                all.push(capability(name).ok_or_else(|| format!("unknown capability to add or drop: {name}"))?);
            }
        }
        Ok(all)
    };
    let Some(wanted) = wanted else { return Ok(CONTAINER_DEFAULT.to_vec()) };
    let dropped = named(&wanted.drop)?;
    let mut kept: Vec<Capability> = CONTAINER_DEFAULT.into_iter().filter(|one| !dropped.contains(one)).collect();
    for one in named(&wanted.add)? {
        if !kept.contains(&one) {
            kept.push(one);
        }
    }
    Ok(kept)
}

/// The folder that the container starts in.
pub(crate) fn folder(container: &Container) -> PathBuf {
    container.working_dir.as_deref().filter(|folder| !folder.is_empty()).unwrap_or("/").into()
}

/// The pod's containers' grace: its deletion's, else the spec's, else 30 s.
pub(crate) fn grace_seconds(pod: &Pod) -> i64 {
    let spec = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
    pod.metadata.deletion_grace_period_seconds.or(spec).unwrap_or(30).max(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(image: &str, container: serde_json::Value) -> String {
        let catalogue = minisvc_images::catalogue();
        let (_, image) = catalogue.resolve(image).unwrap();
        command(image, &serde_json::from_value(container).unwrap(), |word| word.replace("$(A)", "x")).join(" ")
    }

    #[test]
    fn command_and_args_follow_the_table_of_kubernetes() {
        assert_eq!(line("alpine", json!({"name": "c"})), "/bin/sh");
        assert_eq!(line("alpine", json!({"name": "c", "args": ["ping", "$(A)"]})), "ping x");
        assert_eq!(line("alpine", json!({"name": "c", "command": ["a"]})), "a");
        assert_eq!(line("alpine", json!({"name": "c", "command": ["a"], "args": ["b"]})), "a b");
        assert_eq!(line("nginx", json!({"name": "c"})), "/.minisvc/minisvc image nginx");
        assert_eq!(
            line("nginx", json!({"name": "c", "command": ["/usr/sbin/nginx", "-g"]})),
            "/.minisvc/minisvc image nginx -g"
        );
        assert_eq!(line("nginx", json!({"name": "c", "command": ["sleep"], "args": ["5"]})), "sleep 5");
        assert_eq!(
            line("registry.k8s.io/pause:3.9", json!({"name": "c", "command": ["/pause"]})),
            "/.minisvc/minisvc image pause"
        );
        assert!(
            line("curlimages/curl", json!({"name": "c", "args": ["-s", "http://blue"]}))
                .ends_with(" curl -s http://blue")
        );
    }

    #[test]
    fn the_pods_variables_win_over_the_images() {
        let catalogue = minisvc_images::catalogue();
        let (_, image) = catalogue.resolve("jpetazzo/webcolor").unwrap();
        let all = environment(image, "blue-1", false, vec![("PORT".into(), "99".into()), ("X".into(), "y".into())]);
        let get = |name: &str| {
            all.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect::<Vec<_>>()
        };
        assert_eq!((get("PORT"), get("HOSTNAME"), get("HOME")), (vec!["99"], vec!["blue-1"], vec!["/root"]));
    }

    #[test]
    fn rights_follow_the_security_context() {
        let of = |pod: serde_json::Value, container: serde_json::Value| {
            let pod: PodSpec = serde_json::from_value(json!({"containers": [], "securityContext": pod})).unwrap();
            let container: Container =
                serde_json::from_value(json!({"name": "c", "securityContext": container})).unwrap();
            rights(&pod, &container)
        };
        let plain = of(json!({}), json!({})).unwrap();
        assert!(!plain.no_new_privileges && plain.seccomp && plain.user == (0, 0));
        assert!(of(json!({}), json!({"allowPrivilegeEscalation": false})).unwrap().no_new_privileges);
        assert_eq!(of(json!({"runAsUser": 5}), json!({"runAsGroup": 6})).unwrap().user, (5, 6));
        assert_eq!(of(json!({"runAsUser": 5}), json!({"runAsUser": 7})).unwrap().user, (7, 0));
        let groups = of(json!({"supplementalGroups": [11, 12], "fsGroup": 13}), json!({})).unwrap().groups;
        assert_eq!(groups, [11, 12, 13]);
        let profile = |kind: &str| json!({"seccompProfile": {"type": kind, "localhostProfile": "x.json"}});
        assert!(!of(json!({}), profile("Unconfined")).unwrap().seccomp);
        assert!(of(profile("Unconfined"), profile("RuntimeDefault")).unwrap().seccomp);
        assert!(of(json!({}), profile("Localhost")).unwrap_err().contains("\"x.json\""));
        assert_eq!(of(json!({}), json!({"privileged": true})).unwrap().capabilities, None);
        let few = of(json!({}), json!({"capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}})).unwrap();
        assert_eq!(few.capabilities, Some(vec![Capability::CAP_NET_ADMIN]));
        assert!(of(json!({"runAsNonRoot": true}), json!({})).unwrap_err().contains("runAsNonRoot"));
    }
}
