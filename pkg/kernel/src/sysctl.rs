//! Kernel settings of one network or ipc namespace, through `/proc/sys`. Must not be used for settings of the whole machine.

use crate::{
    error::{Error, Result},
    namespace::Netns,
};

/// Writes `value` to the setting `key` ("net.ipv4.ip_forward"; with slashes instead of dots where a link's name holds
/// a dot) inside `ns`.
///
/// # Errors
/// `NotFound` when this kernel has no such setting, `InvalidInput` when it refuses the value.
pub fn set_sysctl(ns: &Netns, key: &str, value: &str) -> Result<()> {
    set_sysctls(ns, &[(key, value)])
}

/// Writes several settings in one visit to the namespace; stops at the first that fails.
///
/// # Errors
/// As [`set_sysctl`].
pub fn set_sysctls(ns: &Netns, settings: &[(&str, &str)]) -> Result<()> {
    ns.run(|| {
        settings.iter().try_for_each(|(key, value)| {
            let path = path(key)?;
            std::fs::write(&path, value).map_err(|error| Error::new("set", format!("{key} to {value}"), error))
        })
    })?
}

/// Reads the setting `key` inside `ns`, without the line's end.
///
/// # Errors
/// `NotFound` when this kernel has no such setting.
pub fn get_sysctl(ns: &Netns, key: &str) -> Result<String> {
    ns.run(|| {
        let text = std::fs::read_to_string(path(key)?).map_err(|error| Error::new("read", key, error))?;
        Ok(text.trim_end_matches('\n').to_owned())
    })?
}

fn path(key: &str) -> Result<String> {
    within(key, &["net/"])
}

/// The file of a setting of ipc namespaces (ipc_namespaces(7)).
pub(crate) fn ipc_path(key: &str) -> Result<String> {
    within(key, &["kernel/shm", "kernel/msg", "kernel/sem", "fs/mqueue/"])
}

fn within(key: &str, starts: &[&str]) -> Result<String> {
    let relative = if key.contains('/') { key.to_owned() } else { key.replace('.', "/") };
    let known = starts.iter().any(|start| relative.starts_with(start))
        && !relative.split('/').any(|part| part == ".." || part.is_empty());
    if !known {
        return Err(Error::new("name setting", key, std::io::Error::from(std::io::ErrorKind::InvalidInput)));
    }
    Ok(format!("/proc/sys/{relative}"))
}
