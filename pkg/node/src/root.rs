//! What a container sees as its root directory: the plan as mounts. Looks at the machine's folders, changes nothing.

mod busybox;

use std::fs;
use std::path::{Path, PathBuf};

use minisvc_images::{APPLETS, Builtin, Extras, Image, Userland};
use minisvc_kernel::{Cgroup, Mount};

/// Where built-in programs find this binary.
pub(crate) const BINARY: &str = "/.minisvc/minisvc";

/// Where a container finds small programs of this binary that the machine lacks; first in PATH.
pub(crate) const APPLET_FOLDER: &str = "/.minisvc/bin";

/// The machine's folders that make its userland.
const USERLAND: [&str; 8] = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "opt"];

/// Without the machine's programs, what a dynamically linked binary needs.
const LIBRARIES: [&str; 4] = ["usr/lib", "usr/lib64", "lib", "lib64"];

/// Files and folders of the machine's /etc that programs need to work at all.
const ETC: [&str; 20] = [
    "alternatives",
    "bash.bashrc",
    "ca-certificates",
    "ca-certificates.conf",
    "crypto-policies",
    "inputrc",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "os-release",
    "pki",
    "profile",
    "profile.d",
    "protocols",
    "services",
    "shells",
    "ssl",
    "terminfo",
];

/// A pod's own files under /etc.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    pub(crate) hostname: String,
    pub(crate) hosts: String,
    pub(crate) resolv_conf: String,
}

/// A volume at its place in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) source: PathBuf,
    pub(crate) target: PathBuf,
    pub(crate) read_only: bool,
}

/// The mounts of a container playing `image`, in order. `binary` is this program's own file.
pub(crate) fn mounts(image: &Image, binary: &Path, names: &Names, volumes: &[Placed]) -> Vec<Mount> {
    let volumes: Vec<Placed> =
        volumes.iter().map(|volume| Placed { target: real(&volume.target), ..volume.clone() }).collect();
    let targets: Vec<&Path> = volumes.iter().map(|volume| volume.target.as_path()).collect();
    let mut all = Vec::new();
    let own_bin = busybox::links(image);
    let file = |path: &str, content: &str| Mount::File { target: path.into(), content: content.into(), mode: 0o644 };
    let own_root = match image {
        Image::Userland(Userland { root: Some(root), .. }) => Some(root.as_path()),
        _ => None,
    };
    let machine =
        matches!(image, Image::Userland(Userland { root: None, .. }) | Image::Builtin(Builtin { userland: true, .. }));
    if let Some(root) = own_root {
        for entry in children(root) {
            let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !["proc", "sys", "dev", "tmp", "run", "etc", "var", "root", "home"].contains(&name.as_str()) {
                show(&entry, &Path::new("/").join(&name), &targets, &mut all);
            }
        }
        for entry in children(&root.join("etc")) {
            let inside = Path::new("/etc").join(entry.file_name().unwrap_or_default());
            if !["hostname", "hosts", "resolv.conf"].iter().any(|own| inside.ends_with(own)) {
                show(&entry, &inside, &targets, &mut all);
            }
        }
    } else if machine {
        for name in USERLAND.iter().filter(|name| own_bin.is_none() || **name != "bin") {
            show(&Path::new("/").join(name), &Path::new("/").join(name), &targets, &mut all);
        }
        for name in ETC {
            show(&Path::new("/etc").join(name), &Path::new("/etc").join(name), &targets, &mut all);
        }
    } else if dynamically_linked() {
        for name in LIBRARIES {
            show(&Path::new("/").join(name), &Path::new("/").join(name), &targets, &mut all);
        }
    }
    if let Image::Builtin(builtin) = image {
        let own = builtin.files.iter().filter(|(path, _)| !path.starts_with("/etc/"));
        all.extend(own.map(|(path, content)| file(path, content)));
    }
    if machine || matches!(image, Image::Builtin(_)) {
        all.push(Mount::Bind { source: binary.to_owned(), target: BINARY.into(), read_only: true, recursive: false });
    }
    if machine {
        let none = Extras::default();
        let extras = match image {
            Image::Userland(userland) => &userland.extras,
            Image::Builtin(_) => &none,
        };
        // The images' own wget, BusyBox', tries once; GNU's would try twenty times.
        all.push(file("/etc/wgetrc", "tries = 1\n"));
        let link = |target: PathBuf| Mount::Symlink { target, to: BINARY.into() };
        let wanted = |name: &&&str| !machine_has(name) || extras.preferred.iter().any(|preferred| preferred == **name);
        all.extend(extras.programs.iter().map(|path| link(path.into())));
        all.extend(APPLETS.iter().filter(wanted).map(|name| link(Path::new(APPLET_FOLDER).join(name))));
        all.extend(extras.folders.iter().map(|folder| Mount::Dir { target: folder.into(), mode: 0o777 }));
        all.extend(own_bin.into_iter().flatten());
        if extras.certificate {
            match minisvc_images::localhost_pair() {
                Ok(pair) => {
                    all.push(file("/localhost.crt", &pair.certificate));
                    all.push(file("/localhost.key", &pair.key));
                }
                Err(error) => tracing::warn!(error, "an image goes without its certificate"),
            }
        }
    }
    if own_root.is_none_or(|root| !root.join("etc/passwd").exists()) {
        all.push(file("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"));
        all.push(file("/etc/group", "root:x:0:\nnogroup:x:65534:\n"));
        all.push(file(
            "/etc/nsswitch.conf",
            "passwd: files\ngroup: files\nhosts: files dns\nnetworks: files\nservices: files\nprotocols: files\n",
        ));
    }
    all.push(file("/etc/hostname", &format!("{}\n", names.hostname)));
    all.push(file("/etc/hosts", &names.hosts));
    all.push(file("/etc/resolv.conf", &names.resolv_conf));
    for (path, mode) in [
        ("/tmp", 0o1777),
        ("/var/tmp", 0o1777),
        ("/var/log", 0o755),
        ("/run", 0o755),
        ("/root", 0o700),
        ("/home", 0o755),
    ] {
        all.push(Mount::Dir { target: path.into(), mode });
    }
    all.push(Mount::Symlink { target: "/var/run".into(), to: "/run".into() });
    all.push(Mount::Proc { target: "/proc".into(), restricted: true });
    all.push(Mount::Sysfs { target: "/sys".into(), read_only: true });
    all.push(Mount::DevMinimal { target: "/dev".into() });
    let mut volumes = volumes;
    // A volume inside another one's folder comes after it.
    volumes.sort_by_key(|volume| volume.target.components().count());
    all.extend(volumes.into_iter().map(|volume| Mount::Bind {
        source: volume.source,
        target: volume.target,
        read_only: volume.read_only,
        recursive: true,
    }));
    all
}

/// Shows a container its own control group at `/sys/fs/cgroup`, after `/sys` and before volumes.
pub(crate) fn show_group(mounts: &mut Vec<Mount>, group: Option<&Cgroup>) {
    let Some(group) = group else { return };
    let sys = |mount: &Mount| matches!(mount, Mount::Sysfs { .. });
    let after = mounts.iter().position(sys).map_or(mounts.len(), |at| at + 1);
    mounts.splice(after..after, group.shown());
}

/// /var/run is a link to /run.
fn real(target: &Path) -> PathBuf {
    match target.strip_prefix("/var/run") {
        Ok(rest) => Path::new("/run").join(rest),
        Err(_) => target.to_owned(),
    }
}

/// Shows `host` read-only as `inside`; links stay links. Where a volume needs a place that is not there, the folder is
/// rebuilt with its entries one by one, so that the place can be made.
fn show(host: &Path, inside: &Path, targets: &[&Path], all: &mut Vec<Mount>) {
    let Ok(found) = fs::symlink_metadata(host) else { return };
    if found.is_symlink() {
        if let Ok(to) = fs::read_link(host) {
            all.push(Mount::Symlink { target: inside.to_owned(), to });
        }
        return;
    }
    let missing = |target: &&&Path| {
        target
            .strip_prefix(inside)
            .is_ok_and(|rest| !rest.as_os_str().is_empty() && fs::metadata(host.join(rest)).is_err())
    };
    if found.is_dir() && targets.iter().any(|target| missing(&target)) {
        all.push(Mount::Dir { target: inside.to_owned(), mode: 0o755 });
        for entry in children(host) {
            let name = entry.file_name().unwrap_or_default();
            show(&entry, &inside.join(name), targets, all);
        }
        return;
    }
    if found.is_dir() || found.is_file() {
        all.push(Mount::Bind {
            source: host.to_owned(),
            target: inside.to_owned(),
            read_only: true,
            recursive: found.is_dir(),
        });
    }
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    all.sort();
    all
}

/// Whether the machine has a program of this name where containers look for programs.
fn machine_has(name: &str) -> bool {
    ["/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .iter()
        .any(|folder| Path::new(folder).join(name).exists())
}

/// Whether this program itself runs with shared libraries, which built-in programs then need too.
fn dynamically_linked() -> bool {
    static ANSWER: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *ANSWER.get_or_init(|| fs::read_to_string("/proc/self/maps").is_ok_and(|maps| maps.contains(".so")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(name: &str) -> Image {
        minisvc_images::catalogue().resolve(name).unwrap().1.clone()
    }

    fn targets(mounts: &[Mount]) -> Vec<String> {
        mounts
            .iter()
            .map(|mount| match mount {
                Mount::Bind { target, .. }
                | Mount::File { target, .. }
                | Mount::Dir { target, .. }
                | Mount::Symlink { target, .. }
                | Mount::Proc { target, .. }
                | Mount::Sysfs { target, .. }
                | Mount::DevMinimal { target }
                | Mount::Tmpfs { target, .. } => target.display().to_string(),
            })
            .collect()
    }

    #[test]
    fn color_sees_no_programs_and_alpine_does() {
        let color = targets(&mounts(&image("jpetazzo/color"), Path::new("/bin/true"), &Names::default(), &[]));
        assert!(color.contains(&BINARY.to_owned()) && !color.contains(&"/usr".to_owned()), "{color:?}");
        let alpine = targets(&mounts(&image("alpine"), Path::new("/bin/true"), &Names::default(), &[]));
        assert!(alpine.contains(&"/usr".to_owned()) && !alpine.contains(&"/agnhost".to_owned()), "{alpine:?}");
        let applet = |name: &str| format!("{APPLET_FOLDER}/{name}");
        assert!(APPLETS.iter().all(|name| alpine.contains(&applet(name)) != machine_has(name)), "{alpine:?}");
        assert!(!color.iter().any(|target| target.starts_with(APPLET_FOLDER)), "{color:?}");
        let agnhost = image("registry.k8s.io/e2e-test-images/agnhost:2.66.1");
        let agnhost = targets(&mounts(&agnhost, Path::new("/bin/true"), &Names::default(), &[]));
        for own in ["/agnhost", "/agnhost-2", "/coredns", "/uploads", "/localhost.crt", "/localhost.key", &applet("nc")]
        {
            assert!(agnhost.contains(&own.to_owned()), "{own} is not in {agnhost:?}");
        }
        let wgetrc = "/etc/wgetrc".to_owned();
        assert!(alpine.contains(&wgetrc) && !color.contains(&wgetrc), "wget tries once");
        for own in ["/etc/resolv.conf", "/etc/hosts", "/etc/hostname", "/proc", "/dev", "/tmp"] {
            assert!(color.contains(&own.to_owned()) && alpine.contains(&own.to_owned()), "{own}");
        }
    }

    #[test]
    fn a_volume_finds_its_place_in_a_folder_of_the_machine() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for sub in ["usr/share/doc", "usr/bin"] {
            fs::create_dir_all(root.join(sub)).unwrap();
        }
        let mut all = Vec::new();
        show(&root.join("usr"), Path::new("/usr"), &[Path::new("/usr/share/nginx/html")], &mut all);
        assert_eq!(targets(&all), ["/usr", "/usr/bin", "/usr/share", "/usr/share/doc"]);
        assert!(matches!(all[0], Mount::Dir { .. }) && matches!(all[1], Mount::Bind { read_only: true, .. }));
        let mut all = Vec::new();
        show(&root.join("usr"), Path::new("/usr"), &[Path::new("/usr/share/doc"), Path::new("/data")], &mut all);
        assert_eq!(targets(&all), ["/usr"]);
    }

    #[test]
    fn the_service_account_is_mounted_behind_the_link() {
        let volume = Placed {
            source: "/x".into(),
            target: "/var/run/secrets/kubernetes.io/serviceaccount".into(),
            read_only: true,
        };
        let all = targets(&mounts(&image("alpine"), Path::new("/bin/true"), &Names::default(), &[volume]));
        assert_eq!(all.last().unwrap(), "/run/secrets/kubernetes.io/serviceaccount");
    }
}
