//! Starts the lab's processes: which program, which namespaces, which log. Waits for nothing.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context as _, Result};
use minisvc_kernel::{Child, Mount, Namespaces, RootFs, Spawn, Stdio};

use crate::places::Places;
use crate::processes::Role;

/// Starts one process of the lab, detached: it outlives the caller and keeps no descriptor of it. `further` are words at
/// the end of its command line.
///
/// # Errors
/// When its log cannot be opened or the kernel refuses.
pub(crate) fn start(places: &Places, role: &Role, further: &[&str]) -> Result<Child> {
    let mut words: Vec<&str> = match role {
        Role::Serve => vec!["serve"],
        Role::Edge => vec!["edge"],
        Role::Node(name) => vec!["node", name],
    };
    let (run, state) = (places.run.to_string_lossy(), places.state.to_string_lossy());
    words.extend(["--run-dir", &run, "--state-dir", &state]);
    words.extend(further);
    let mut spawn = Spawn::myself("minisvc").args(words);
    spawn.new = match role {
        Role::Serve => Namespaces::default(),
        Role::Edge => Namespaces { net: true, ..Namespaces::default() },
        Role::Node(_) => Namespaces::MACHINE,
    };
    if let Role::Node(name) = role {
        spawn.hostname = Some(name.clone());
        let mut mounts = vec![
            Mount::Proc { target: "/proc".into(), restricted: false },
            Mount::Sysfs { target: "/sys".into(), read_only: false },
        ];
        // The machine's control groups, which the new /sys would hide.
        let groups = Path::new("/sys/fs/cgroup");
        if groups.exists() {
            let (source, target) = (groups.to_owned(), groups.to_owned());
            mounts.push(Mount::Bind { source, target, read_only: false, recursive: true });
        }
        spawn.root = Some(RootFs::of_caller(mounts));
    }
    spawn.env = ["PATH", "MINISVC_LOG", "LANG", "RUST_BACKTRACE"]
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
        .collect();
    spawn.cwd = Some("/".into());
    spawn.new_session = true;
    let log = log(places, role)?;
    spawn.stdout = Stdio::Fd(log.try_clone().context("duplicate the log's descriptor")?);
    spawn.stderr = Stdio::Fd(log);
    spawn.spawn().with_context(|| format!("start {role}"))
}

/// Opens the process' log for appending; a log past 8 MiB is set aside once as `.1`.
fn log(places: &Places, role: &Role) -> Result<OwnedFd> {
    let path = places.log_of(&role.to_string());
    if std::fs::metadata(&path).is_ok_and(|data| data.len() > 8 << 20) {
        let _ = std::fs::rename(&path, path.with_extension("log.1"));
    }
    let file = File::options().create(true).append(true).open(&path);
    Ok(file.with_context(|| format!("open {}", path.display()))?.into())
}
