//! `sysctl`, to read: `[-n] [-e] NAME...`, `-a`. Settings of the kernel are a pod's spec to change.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::flags::{Flag, Flags};

const FLAGS: &[Flag] =
    &[Flag::bool("values", "false").or('n'), Flag::bool("ignore", "false").or('e'), Flag::bool("all", "false").or('a')];

/// Runs as `sysctl`.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let flags = match Flags::parse(FLAGS, arguments) {
        Ok(flags) => flags,
        Err(reason) => {
            eprintln!("sysctl: {reason}");
            return ExitCode::FAILURE;
        }
    };
    let root = Path::new("/proc/sys");
    let names = if flags.bool("all") { all(root, root) } else { flags.words.clone() };
    let mut failed = false;
    for name in names {
        match said(root, &name, flags.bool("values")) {
            Ok(text) => println!("{text}"),
            // What may not be read is passed over among all.
            Err(_) if flags.bool("ignore") || flags.bool("all") => {}
            Err(reason) => {
                eprintln!("sysctl: {reason}");
                failed = true;
            }
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// One setting as a line; only its value where asked for.
fn said(root: &Path, name: &str, only_value: bool) -> Result<String, String> {
    if name.contains('=') {
        return Err(format!("error setting key '{name}': Read-only file system"));
    }
    let plain = !name.split(['.', '/']).any(str::is_empty);
    let path: PathBuf = root.join(if name.contains('/') { name.to_owned() } else { name.replace('.', "/") });
    let value = plain.then(|| std::fs::read_to_string(&path)).and_then(Result::ok);
    let value = value.ok_or_else(|| format!("error: '{name}' is an unknown key"))?;
    let value = value.trim_end();
    Ok(if only_value { value.to_owned() } else { format!("{} = {value}", name.replace('/', ".")) })
}

fn all(root: &Path, folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => names.extend(all(root, &path)),
            Ok(kind) if kind.is_file() => {
                let inside = path.strip_prefix(root).unwrap_or(&path);
                names.push(inside.to_string_lossy().replace('/', "."));
            }
            _ => {}
        }
    }
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir(root.join("kernel")).unwrap();
        std::fs::write(root.join("kernel/shm_rmid_forced"), "1\n").unwrap();
        assert_eq!(said(root, "kernel.shm_rmid_forced", false).unwrap(), "kernel.shm_rmid_forced = 1");
        assert_eq!(said(root, "kernel/shm_rmid_forced", true).unwrap(), "1");
        assert_eq!(said(root, "kernel.none", false).unwrap_err(), "error: 'kernel.none' is an unknown key");
        assert_eq!(said(root, "../kernel", false).unwrap_err(), "error: '../kernel' is an unknown key");
        assert_eq!(all(root, root), ["kernel.shm_rmid_forced"]);
    }
}
