//! `/bin` of an image that is BusyBox: links to the machine's copy of it, or to the machine's programs of those names.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use minisvc_images::{APPLETS, BUSYBOX_NAMES, Bin, Extras, Image, Userland};
use minisvc_kernel::Mount;

use super::BINARY;

/// Where a container finds the machine's copy.
const COPY: &str = "/.minisvc/busybox";

/// Where the machine's programs are besides /bin.
const FOLDERS: [&str; 2] = ["/usr/bin", "/usr/sbin"];

/// What lays out `/bin`; none where it is the machine's: for other images, and where it is a folder of its own whose
/// programs would be missed.
pub(super) fn links(image: &Image) -> Option<Vec<Mount>> {
    let Image::Userland(Userland { root: None, extras: Extras { bin, .. }, .. }) = image else { return None };
    let Bin::BusyBox { copy, every_variable } = bin else { return None };
    if !fs::symlink_metadata("/bin").is_ok_and(|found| found.is_symlink()) {
        return None;
    }
    let mut all = vec![Mount::Dir { target: "/bin".into(), mode: 0o755 }];
    if let Some(copy) = copy {
        let source = copy.program.clone();
        all.push(Mount::Bind { source, target: COPY.into(), read_only: true, recursive: false });
    }
    let listed = copy.iter().flat_map(|copy| copy.applets.iter().map(String::as_str));
    let names: BTreeSet<&str> = BUSYBOX_NAMES.iter().copied().chain(listed).collect();
    let bash = machine("bash").filter(|_| *every_variable);
    for name in names {
        let shell = matches!(name, "sh" | "ash");
        let to = if let (true, Some(bash)) = (shell, &bash) {
            Some(bash.clone())
        } else if APPLETS.contains(&name) {
            // Those that speak DNS and HTTP need the machine's libraries, or are ours.
            Some(machine(name).unwrap_or_else(|| BINARY.into()))
        } else if copy.as_ref().is_some_and(|copy| copy.applets.iter().any(|applet| applet == name)) {
            Some(COPY.into())
        } else {
            machine(if shell { "sh" } else { name })
        };
        all.extend(to.map(|to| Mount::Symlink { target: Path::new("/bin").join(name), to }));
    }
    Some(all)
}

/// The machine's program of that name.
fn machine(name: &str) -> Option<PathBuf> {
    FOLDERS.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.exists())
}

#[cfg(test)]
mod tests {
    use minisvc_images::BusyBox;

    use super::*;

    fn to(name: &str, own: Option<&BusyBox>, every: bool) -> Option<PathBuf> {
        let mut catalogue = minisvc_images::catalogue();
        if let Some(own) = own {
            catalogue.play_busybox(own);
        }
        let mut image = catalogue.resolve("registry.k8s.io/e2e-test-images/busybox:1.37.0-2").unwrap().1.clone();
        if every {
            image.hand_on_every_variable();
        }
        let links = links(&image).expect("/bin is a link on this machine");
        links.iter().find_map(|mount| match mount {
            Mount::Symlink { target, to } if *target == Path::new("/bin").join(name) => Some(to.clone()),
            _ => None,
        })
    }

    #[test]
    fn bin_is_busyboxs_where_the_machine_has_a_copy() {
        let own = BusyBox { program: "/x/busybox".into(), applets: vec!["sh".into(), "ls".into(), "wget".into()] };
        assert_eq!(to("sh", Some(&own), false).unwrap(), Path::new(COPY));
        assert_eq!(to("ls", Some(&own), false).unwrap(), Path::new(COPY));
        assert_ne!(to("wget", Some(&own), false).unwrap(), Path::new(COPY));
        assert_eq!(to("sh", None, false), machine("sh"));
        assert!(to("sysctl", None, false).is_some(), "played by this binary where the machine has none");
        assert!(links(&minisvc_images::catalogue().resolve("debian").unwrap().1.clone()).is_none());
    }

    /// "should be consumable via the environment": `data-1` reaches the programs that the shell starts.
    #[test]
    fn the_shell_hands_on_variables_of_any_name() {
        assert_eq!(to("sh", None, true), machine("bash").or_else(|| machine("sh")));
    }
}
