//! The catalogue: which image name is played by what. Pure data and look-up; the node shows and runs it.

mod tutorials;

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::busybox::{Bin, BusyBox};
use crate::reference::{InvalidReference, Reference};

/// What plays an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Image {
    /// A program of this binary.
    Builtin(Builtin),
    /// The VM's own programs in a private root, or a directory used as root.
    Userland(Userland),
}

/// A program of this binary, run as `minisvc image PROGRAM ARGS...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Builtin {
    /// Name for [`crate::run`], or `coredns`.
    pub program: String,
    /// Arguments where the pod gives none (the image's CMD).
    pub args: Vec<String>,
    /// Exposed ports, TCP.
    pub ports: Vec<u16>,
    /// The image's environment beyond PATH.
    pub env: Vec<(String, String)>,
    /// File names by which a pod's `command` may call the program, such as `nginx` or `pause`.
    pub called: Vec<String>,
    /// Further files of the image, by absolute path. A container has them where the machine's own files do not stand; a
    /// volume made of the image has them all.
    pub files: Vec<(String, String)>,
    /// Whether the program is root's and set-user-id: whoever starts it has root's rights, unless the container may gain
    /// none.
    pub set_user_id: bool,
    /// Whether the VM's programs are shown beside it, so that `kubectl exec ... sh` works. The original images of
    /// color and pause hold nothing but their program, and so do these.
    pub userland: bool,
}

/// Programs of the VM, or of a directory, in a private root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Userland {
    /// The image's ENTRYPOINT; empty for most.
    pub entrypoint: Vec<String>,
    /// The image's CMD: what runs where the pod gives neither command nor args.
    pub command: Vec<String>,
    /// The image's environment beyond PATH.
    pub env: Vec<(String, String)>,
    /// `None`: the VM's usr, bin, lib, lib64, sbin. Else a directory that is the root.
    pub root: Option<PathBuf>,
    /// What this binary adds to the root.
    pub extras: Extras,
}

/// Programs of this binary beside the VM's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extras {
    /// Absolute paths that are this binary; what it plays there is said by the file's name ([`crate::PROGRAMS`]).
    pub programs: Vec<String>,
    /// Names among [`crate::APPLETS`] that win over the VM's program of that name, because its options must be the
    /// image's.
    pub preferred: Vec<String>,
    /// Empty folders that the image has.
    pub folders: Vec<String>,
    /// Whether `/localhost.crt` and `/localhost.key` stand in the root ([`crate::localhost_pair`]).
    pub certificate: bool,
    /// How `/bin` looks.
    pub bin: Bin,
}

impl Image {
    /// Asks for a shell that hands on variables of any name; see [`Bin`].
    pub fn hand_on_every_variable(&mut self) {
        if let Image::Userland(Userland { extras: Extras { bin: Bin::BusyBox { every_variable, .. }, .. }, .. }) = self
        {
            *every_variable = true;
        }
    }

    /// What `kubectl describe` says plays the image: `minisvc built-in program color`, `this machine's own programs`.
    pub fn describe(&self) -> String {
        match self {
            Image::Builtin(builtin) => format!("minisvc's built-in program {}", builtin.program),
            Image::Userland(Userland { root: None, extras, .. })
                if matches!(extras.bin, Bin::BusyBox { copy: Some(_), .. }) =>
            {
                "this machine's own busybox and programs".to_owned()
            }
            Image::Userland(Userland { root: None, extras, .. }) => match extras.programs.first() {
                None => "this machine's own programs".to_owned(),
                Some(program) => {
                    let program = program.trim_start_matches('/');
                    format!("this machine's own programs and minisvc's built-in program {program}")
                }
            },
            Image::Userland(Userland { root: Some(root), .. }) => format!("the directory {}", root.display()),
        }
    }
}

/// No such image here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// Not a reference.
    #[error(transparent)]
    Invalid(#[from] InvalidReference),
    /// A fine name that nothing plays.
    #[error(
        "failed to pull and unpack image \"{image}\": minisvc pulls nothing, and no image is called {name} here. \
         There are: {known}. To add one, put a line \"{name} = /path/of/program-or-directory\" into the image map file"
    )]
    Missing {
        /// As written in the pod.
        image: String,
        /// Without tag, digest and Docker Hub's prefixes.
        name: String,
        /// All names, comma-joined.
        known: String,
    },
}

/// Image names and what plays them.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    images: BTreeMap<String, Image>,
}

impl Catalogue {
    /// Finds what plays `image`. The digest does not matter, and the tag only where a name of the catalogue has one.
    pub fn resolve(&self, image: &str) -> Result<(Reference, &Image), Unknown> {
        let reference = Reference::parse(image)?;
        let tagged = reference.tag.as_ref().and_then(|tag| self.images.get(&format!("{}:{tag}", reference.name)));
        match tagged.or_else(|| self.images.get(&reference.name)) {
            Some(found) => Ok((reference, found)),
            None => {
                Err(Unknown::Missing { image: image.to_owned(), name: reference.name, known: self.names().join(", ") })
            }
        }
    }

    /// All names, sorted.
    pub fn names(&self) -> Vec<&str> {
        self.images.keys().map(String::as_str).collect()
    }

    /// Lets this copy of BusyBox play wherever an image is BusyBox.
    pub fn play_busybox(&mut self, own: &BusyBox) {
        for image in self.images.values_mut() {
            if let Image::Userland(Userland { extras: Extras { bin: Bin::BusyBox { copy, .. }, .. }, .. }) = image {
                *copy = Some(own.clone());
            }
        }
    }

    /// Adds a name, or replaces what plays it.
    pub fn insert(&mut self, name: impl Into<String>, image: Image) {
        self.images.insert(name.into(), image);
    }
}

/// The images that every lab has, offline.
pub fn catalogue() -> Catalogue {
    let mut all = Catalogue::default();
    for name in ["jpetazzo/color", "ghcr.io/jpetazzo/color"] {
        all.insert(name, builtin("color", &[80], &["color"], false));
    }
    let mut webcolor = builtin("color", &[8000], &["webcolor"], false);
    if let Image::Builtin(webcolor) = &mut webcolor {
        webcolor.env.push(("PORT".into(), "8000".into()));
    }
    all.insert("jpetazzo/webcolor", webcolor);
    for name in ["nginx", "nginxinc/nginx-unprivileged", "registry.k8s.io/e2e-test-images/nginx"] {
        let mut nginx = builtin("nginx", &[80], &["nginx", "docker-entrypoint.sh"], true);
        if let (Image::Builtin(nginx), true) = (&mut nginx, name.ends_with("unprivileged")) {
            nginx.ports = vec![8080];
            nginx.env.push(("PORT".into(), "8080".into()));
        }
        all.insert(name, nginx);
    }
    for name in ["httpd", "registry.k8s.io/e2e-test-images/httpd"] {
        all.insert(name, builtin("httpd", &[80], &["httpd", "httpd-foreground"], true));
    }
    for name in ["registry.k8s.io/pause", "k8s.gcr.io/pause", "gcr.io/google_containers/pause"] {
        all.insert(name, builtin("pause", &[], &["pause"], false));
    }
    for name in ["minisvc/coredns", "registry.k8s.io/coredns/coredns", "coredns/coredns"] {
        all.insert(name, builtin("coredns", &[53, 9153], &["coredns"], false));
    }
    for name in AGNHOST {
        all.insert(*name, agnhost());
    }
    for name in ECHOSERVER {
        all.insert(*name, builtin("echoserver", &[8080, 8443], &["echoserver"], true));
    }
    all.insert("redis", builtin("redis", &[6379], &["redis-server", "docker-entrypoint.sh"], true));
    for name in ["rng", "hasher", "webui"] {
        all.insert(format!("dockercoins/{name}"), builtin(name, &[80], &[name], true));
    }
    all.insert("dockercoins/worker", builtin("worker", &[], &["worker"], true));
    all.insert("jpetazzo/clock", userland(&[], &["/bin/sh", "-c", "while date; do sleep 1; done"]));
    for name in ["nautilus", "kitten"] {
        let mut image = builtin("update-demo", &[80], &["test-webserver"], true);
        if let Image::Builtin(image) = &mut image {
            image.args.push(name.to_owned());
            image.files = vec![
                ("/data.json".to_owned(), crate::update_demo_data(name)),
                ("/etc/os-release".to_owned(), OS_RELEASE.to_owned()),
            ];
        }
        all.insert(format!("registry.k8s.io/e2e-test-images/{name}"), image);
    }
    let mut nonewprivs = builtin("agnhost", &[], &["nnp"], true);
    if let Image::Builtin(image) = &mut nonewprivs {
        image.args.push("nonewprivs".to_owned());
        image.set_user_id = true;
    }
    all.insert("registry.k8s.io/e2e-test-images/nonewprivs", nonewprivs);
    for (name, shell) in USERLAND {
        all.insert(*name, userland(&[], &[shell]));
    }
    for (name, shell) in BUSYBOX {
        let mut image = userland(&[], &[shell]);
        if let Image::Userland(image) = &mut image {
            image.extras.bin = Bin::BusyBox { copy: None, every_variable: false };
        }
        all.insert(*name, image);
    }
    for name in ["alpine/curl", "appropriate/curl", "curlimages/curl", "quay.io/curl/curl"] {
        all.insert(name, userland(&["/bin/sh", "-c", CURL_ENTRYPOINT, "curl"], &["curl"]));
    }
    tutorials::add(&mut all);
    all
}

/// The names under which the program of Kubernetes' own tests is known.
const AGNHOST: &[&str] = &[
    "registry.k8s.io/e2e-test-images/agnhost",
    "k8s.gcr.io/e2e-test-images/agnhost",
    "us.gcr.io/k8s-artifacts-prod/e2e-test-images/agnhost",
    "gcr.io/kubernetes-e2e-test-images/agnhost",
];

/// The names of the server that repeats a request to whoever sent it.
const ECHOSERVER: &[&str] = &[
    "registry.k8s.io/echoserver",
    "registry.k8s.io/e2e-test-images/echoserver",
    "k8s.gcr.io/echoserver",
    "k8s.gcr.io/e2e-test-images/echoserver",
    "gcr.io/google_containers/echoserver",
];

/// What the update demo's images say of themselves.
const OS_RELEASE: &str =
    "NAME=\"minisvc\"\nID=minisvc\nID_LIKE=alpine\nPRETTY_NAME=\"minisvc, playing Alpine Linux\"\n";

/// Images that are BusyBox, or BusyBox and more: name and the shell that the image starts.
const BUSYBOX: &[(&str, &str)] = &[
    ("alpine", "/bin/sh"),
    ("busybox", "sh"),
    ("registry.k8s.io/e2e-test-images/busybox", "sh"),
    ("k8s.gcr.io/e2e-test-images/busybox", "sh"),
];

/// Distributions, played by the VM's own programs: name and the shell that the image starts.
const USERLAND: &[(&str, &str)] = &[
    ("almalinux", "/bin/bash"),
    ("amazonlinux", "/bin/bash"),
    ("archlinux", "/usr/bin/bash"),
    ("bash", "bash"),
    ("centos", "/bin/bash"),
    ("debian", "bash"),
    ("fedora", "/bin/bash"),
    ("jpetazzo/shpod", "/bin/bash"),
    ("nicolaka/netshoot", "bash"),
    ("quay.io/centos/centos", "/bin/bash"),
    ("registry.k8s.io/e2e-test-images/glibc-dns-testing", "bash"),
    ("registry.k8s.io/e2e-test-images/jessie-dnsutils", "/bin/bash"),
    ("k8s.gcr.io/e2e-test-images/jessie-dnsutils", "/bin/bash"),
    ("rockylinux", "/bin/bash"),
    ("ubuntu", "/bin/bash"),
];

/// curl's image runs what looks like a command and hands all else to curl.
const CURL_ENTRYPOINT: &str = r#"case "$1" in -*) set -- curl "$@";; esac
command -v -- "$1" >/dev/null 2>&1 || set -- curl "$@"
exec "$@""#;

fn builtin(program: &str, ports: &[u16], called: &[&str], userland: bool) -> Image {
    Image::Builtin(Builtin {
        program: program.to_owned(),
        args: Vec::new(),
        ports: ports.to_vec(),
        env: Vec::new(),
        called: strings(called),
        files: Vec::new(),
        set_user_id: false,
        userland,
    })
}

/// Alpine with agnhost and its certificate, CoreDNS, bind's tools, curl, OpenBSD's nc and iproute2.
fn agnhost() -> Image {
    Image::Userland(Userland {
        entrypoint: strings(&["/agnhost"]),
        command: strings(&["pause"]),
        env: Vec::new(),
        root: None,
        extras: Extras {
            programs: strings(&["/agnhost", "/agnhost-2", "/coredns"]),
            preferred: strings(&["nc"]),
            folders: strings(&["/uploads"]),
            certificate: true,
            bin: Bin::Machine,
        },
    })
}

fn userland(entrypoint: &[&str], command: &[&str]) -> Image {
    Image::Userland(Userland {
        entrypoint: strings(entrypoint),
        command: strings(command),
        env: Vec::new(),
        root: None,
        extras: Extras::default(),
    })
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lessons_images_are_there() {
        let all = catalogue();
        for image in [
            "redis:7",
            "dockercoins/rng:v0.1",
            "jpetazzo/color",
            "ghcr.io/jpetazzo/color:latest",
            "nginx:1.27-alpine",
            "docker.io/library/httpd",
        ] {
            let (_, found) = all.resolve(image).expect(image);
            assert!(matches!(found, Image::Builtin(_)), "{image} is {found:?}");
        }
        for tag in ["2.21", "2.66.1"] {
            let (_, found) = all.resolve(&format!("registry.k8s.io/e2e-test-images/agnhost:{tag}")).unwrap();
            assert_eq!(found.describe(), "this machine's own programs and minisvc's built-in program agnhost");
        }
        for image in ["alpine", "busybox:1.36", "archlinux", "centos", "ubuntu:24.04", "debian", "curlimages/curl"] {
            let (_, found) = all.resolve(image).expect(image);
            assert!(matches!(found, Image::Userland(_)), "{image} is {found:?}");
        }
    }

    #[test]
    fn an_unknown_image_names_the_known_ones_and_the_way_to_add_it() {
        let text = catalogue().resolve("mysql:9").unwrap_err().to_string();
        assert!(text.contains("\"mysql:9\""), "{text}");
        assert!(text.contains("jpetazzo/color") && text.contains("busybox"), "{text}");
        assert!(text.contains("mysql = /path/of/program-or-directory"), "{text}");
    }

    #[test]
    fn a_name_that_is_none_is_told_apart() {
        assert!(matches!(catalogue().resolve("No Such"), Err(Unknown::Invalid(_))));
    }
}
