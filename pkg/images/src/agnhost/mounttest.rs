//! `agnhost mounttest`: makes files and tells types, owners, modes and contents, in the words that tests of volumes look
//! for.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::Mode;
use crate::flags::{Flag, Flags};
use crate::go;

pub(super) const MODE: Mode = Mode {
    name: "mounttest",
    about: "Creates files with given permissions and outputs FS type, owner, mode, permissions, contents of files",
    flags: &[
        Flag::text("fs-type", ""),
        Flag::text("file-mode", ""),
        Flag::text("file-perm", ""),
        Flag::text("file-owner", ""),
        Flag::text("new-file-0644", ""),
        Flag::text("new-file-0666", ""),
        Flag::text("new-file-0660", ""),
        Flag::text("new-file-0777", ""),
        Flag::text("file-content", ""),
        Flag::text("file-content-in-loop", ""),
        Flag::int("retry-time", "180"),
        Flag::bool("break-on-expected-content", "true"),
    ],
    words: Some(0),
    run,
};

const CONTENT: &str = "mount-tester new file\n";

fn run(flags: Flags) -> ExitCode {
    let mut good = true;
    let mut step = |flag: &str, step: &dyn Fn(&str) -> bool| match flags.text(flag) {
        "" => {}
        path => good &= step(path),
    };
    // Files are made before they are looked at, whatever the order of the flags.
    step("fs-type", &fs_type);
    for (flag, mode) in
        [("new-file-0644", 0o644), ("new-file-0666", 0o666), ("new-file-0660", 0o660), ("new-file-0777", 0o777)]
    {
        step(flag, &|path| new_file(path, mode));
    }
    step("file-mode", &|path| stat(path, |found| println!("mode of file {}: {}", go::quote(path), mode(found))));
    step("file-perm", &|path| {
        stat(path, |found| println!("perms of file {}: -{}", go::quote(path), letters(found.mode())))
    });
    step("file-owner", &|path| {
        stat(path, |found| {
            println!("owner UID of {}: {}", go::quote(path), found.uid());
            println!("owner GID of {}: {}", go::quote(path), found.gid());
        })
    });
    step("file-content", &content);
    step("file-content-in-loop", &|path| {
        content_in_loop(path, flags.int("retry-time"), flags.bool("break-on-expected-content"))
    });
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn fs_type(path: &str) -> bool {
    let kind = std::fs::canonicalize(path).and_then(|place| {
        let table = std::fs::read_to_string("/proc/self/mountinfo")?;
        mounted(&table, &place).ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound))
    });
    match kind {
        Ok(kind) => {
            // As the original, which knows these by their numbers.
            let name = if kind.starts_with("ext") { "ext2/ext3" } else { &kind };
            println!("mount type of {}: {name}", go::quote(path));
            true
        }
        Err(error) => {
            println!("error from statfs({}): {}", go::quote(path), go::errno(&error));
            false
        }
    }
}

/// The type of the file system that holds `place`: the last mount among those nearest above it (proc(5), mountinfo).
fn mounted(table: &str, place: &Path) -> Option<String> {
    let mut best: Option<(usize, &str)> = None;
    for line in table.lines() {
        let Some((mount, kind)) = line.split_once(" - ") else { continue };
        let point = mount.split(' ').nth(4).unwrap_or_default().replace("\\040", " ");
        let depth = Path::new(&point).components().count();
        if place.starts_with(&point) && best.is_none_or(|(known, _)| known <= depth) {
            best = Some((depth, kind.split(' ').next().unwrap_or_default()));
        }
    }
    best.map(|(_, kind)| kind.to_owned())
}

fn stat(path: &str, tell: impl Fn(&std::fs::Metadata)) -> bool {
    match std::fs::metadata(path) {
        Ok(found) => {
            tell(&found);
            true
        }
        Err(error) => {
            println!("error from Lstat({}): {path}: {}", go::quote(path), go::errno(&error));
            false
        }
    }
}

/// A mode as Go prints it: type letters first, then nine letters of permissions.
fn mode(found: &std::fs::Metadata) -> String {
    let bits = found.permissions().mode();
    let mut kinds = String::new();
    if found.is_dir() {
        kinds.push('d');
    }
    for (bit, letter) in [(0o4000, 'u'), (0o2000, 'g'), (0o1000, 't')] {
        if bits & bit != 0 {
            kinds.push(letter);
        }
    }
    if kinds.is_empty() {
        kinds.push('-');
    }
    kinds + &letters(bits)
}

fn letters(bits: u32) -> String {
    let letter = |place: u32| {
        let letter = ['x', 'w', 'r'][(place % 3) as usize];
        if bits & (1 << place) != 0 { letter } else { '-' }
    };
    (0..9).rev().map(letter).collect()
}

fn new_file(path: &str, mode: u32) -> bool {
    let new = !Path::new(path).exists();
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| std::io::Write::write_all(&mut file, CONTENT.as_bytes()))
        // Whatever the umask takes away is given back.
        .and_then(|()| if new { std::fs::set_permissions(path, Permissions::from_mode(mode)) } else { Ok(()) });
    match written {
        Ok(()) => content(path),
        Err(error) => {
            println!("error writing new file {}: open {path}: {}", go::quote(path), go::errno(&error));
            false
        }
    }
}

fn content(path: &str) -> bool {
    match std::fs::read(path) {
        Ok(content) => {
            println!("content of file {}: {}", go::quote(path), String::from_utf8_lossy(&content));
            true
        }
        Err(error) => {
            println!("error reading file content for {}: open {path}: {}", go::quote(path), go::errno(&error));
            false
        }
    }
}

fn content_in_loop(path: &str, seconds: i64, stop_when_expected: bool) -> bool {
    let started = Instant::now();
    let limit = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    let mut good = true;
    while started.elapsed() < limit {
        match std::fs::read(path) {
            Ok(content) => {
                good = true;
                let content = String::from_utf8_lossy(&content);
                println!("content of file {}: {content}", go::quote(path));
                if stop_when_expected && content == CONTENT {
                    break;
                }
                if stop_when_expected {
                    println!("Unexpected content. Expected: {CONTENT}. Retrying");
                }
            }
            Err(error) => {
                good = false;
                println!("Error reading file {path}: open {path}: {}, retrying", go::errno(&error));
            }
        }
        std::thread::sleep(Duration::from_secs(2));
    }
    good
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_mount_counts() {
        let table = "22 1 0:5 / / rw - tmpfs tmpfs rw\n23 22 8:1 / /a rw,x shared:1 - ext4 /dev/vda rw\n24 23 0:9 / /a/b rw - tmpfs t rw\n";
        let of = |place: &str| mounted(table, Path::new(place)).unwrap();
        assert_eq!(
            (of("/x"), of("/a/x"), of("/a/b/c"), of("/ab")),
            ("tmpfs".into(), "ext4".into(), "tmpfs".into(), "tmpfs".into())
        );
        assert!(fs_type("/proc") && !fs_type("/no/such/place"));
    }

    #[test]
    fn modes_are_printed_as_go_does() {
        let folder = tempfile::tempdir().unwrap();
        let set = |bits| {
            std::fs::set_permissions(folder.path(), Permissions::from_mode(bits)).unwrap();
            mode(&std::fs::metadata(folder.path()).unwrap())
        };
        assert_eq!(set(0o1777), "dtrwxrwxrwx");
        assert_eq!(set(0o2750), "dgrwxr-x---");
        let file = folder.path().join("f");
        assert!(new_file(file.to_str().unwrap(), 0o600));
        assert_eq!(mode(&std::fs::metadata(&file).unwrap()), "-rw-------");
        assert!(!content("/no/such/file"));
    }
}
