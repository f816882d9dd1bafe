//! Finds the lab's processes. The process table is the only truth: no pid files that could lie after a crash. A process
//! belongs to a lab when its command line is `minisvc serve|edge|node ... --run-dir DIR` with this lab's directory.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use minisvc_kernel as kernel;

/// What a process of the lab does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The control plane.
    Serve,
    /// Router, switch and cloud.
    Edge,
    /// The node of this name.
    Node(String),
}

/// One process of the lab, with its start time so that a reused pid is not mistaken for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// What it does.
    pub role: Role,
    /// Its pid in the VM's pid namespace.
    pub pid: i32,
    /// Start time in clock ticks since boot.
    pub start_time: u64,
}

/// Every living process of the lab with this run directory, sorted by role.
///
/// # Errors
/// When /proc cannot be read.
pub fn find(run_dir: &Path) -> std::io::Result<Vec<Process>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|text| text.parse::<i32>().ok()) else { continue };
        // A process may end between the listing and the reading: it is then no process of the lab.
        let Ok(command_line) = std::fs::read(format!("/proc/{pid}/cmdline")) else { continue };
        let Some(role) = role_of(&command_line, run_dir) else { continue };
        let Some(start_time) = kernel::start_time(pid) else { continue };
        found.push(Process { role, pid, start_time });
    }
    found.sort_by(|a, b| a.role.cmp(&b.role).then(a.pid.cmp(&b.pid)));
    Ok(found)
}

/// The run directories of all labs of which a process lives.
///
/// # Errors
/// When /proc cannot be read.
pub(crate) fn run_dirs() -> std::io::Result<BTreeSet<PathBuf>> {
    let mut dirs = BTreeSet::new();
    for entry in std::fs::read_dir("/proc")? {
        // What ended meanwhile holds nothing.
        let command_line = std::fs::read(entry?.path().join("cmdline")).unwrap_or_default();
        let words = words(&command_line);
        let named = words.windows(2).filter(|pair| pair[0] == "--run-dir").map(|pair| Path::new(pair[1]));
        dirs.extend(named.filter(|run| role_of(&command_line, run).is_some()).map(Path::to_owned));
    }
    Ok(dirs)
}

fn words(command_line: &[u8]) -> Vec<&str> {
    command_line.split(|byte| *byte == 0).map(|w| std::str::from_utf8(w).unwrap_or("")).collect()
}

/// Reads a command line (NUL-separated) as one of this lab's processes.
fn role_of(command_line: &[u8], run_dir: &Path) -> Option<Role> {
    let words = words(command_line);
    if Path::new(words.first()?).file_name()? != "minisvc" {
        return None;
    }
    let ours = words.windows(2).any(|pair| pair[0] == "--run-dir" && Path::new(pair[1]) == run_dir);
    if !ours {
        return None;
    }
    match *words.get(1)? {
        "serve" => Some(Role::Serve),
        "edge" => Some(Role::Edge),
        "node" => Some(Role::Node((*words.get(2)?).to_owned())),
        _ => None,
    }
}

// === impl Role ===

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Role::Serve => write!(f, "serve"),
            Role::Edge => write!(f, "edge"),
            Role::Node(name) => write!(f, "{name}"),
        }
    }
}

// === impl Process ===

impl Process {
    /// Whether this very process still lives (not another with its pid).
    pub fn alive(&self) -> bool {
        kernel::alive(self.pid, self.start_time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(words: &[&str]) -> Option<Role> {
        role_of(words.join("\0").as_bytes(), Path::new("/run/minisvc"))
    }

    #[test]
    fn command_lines_tell_roles() {
        assert_eq!(role(&["/usr/bin/minisvc", "serve", "--run-dir", "/run/minisvc"]), Some(Role::Serve));
        assert_eq!(
            role(&["minisvc", "node", "node2", "--run-dir", "/run/minisvc"]),
            Some(Role::Node("node2".to_owned()))
        );
    }

    #[test]
    fn strangers_are_left_alone() {
        assert_eq!(role(&["minisvc", "serve", "--run-dir", "/run/other"]), None);
        assert_eq!(role(&["sudo", "minisvc", "serve", "--run-dir", "/run/minisvc"]), None);
        assert_eq!(role(&["minisvc", "up", "--run-dir", "/run/minisvc"]), None);
        assert_eq!(role(&["vi", "serve", "--run-dir", "/run/minisvc"]), None);
        assert_eq!(role(&[""]), None);
    }
}
