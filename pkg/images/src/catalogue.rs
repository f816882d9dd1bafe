//! The catalogue: which image name is played by what. Pure data and look-up; the node shows and runs it.

use std::collections::BTreeMap;
use std::path::PathBuf;

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
}

impl Image {
    /// What `kubectl describe` says plays the image: `minisvc built-in program color`, `this machine's own programs`.
    pub fn describe(&self) -> String {
        match self {
            Image::Builtin(builtin) => format!("minisvc's built-in program {}", builtin.program),
            Image::Userland(Userland { root: None, .. }) => "this machine's own programs".to_owned(),
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
    /// Finds what plays `image`; tag and digest do not matter.
    pub fn resolve(&self, image: &str) -> Result<(Reference, &Image), Unknown> {
        let reference = Reference::parse(image)?;
        match self.images.get(&reference.name) {
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
    for (name, shell) in USERLAND {
        all.insert(*name, userland(&[], &[shell]));
    }
    for name in ["curlimages/curl", "quay.io/curl/curl"] {
        all.insert(name, userland(&["/bin/sh", "-c", CURL_ENTRYPOINT, "curl"], &["curl"]));
    }
    all
}

/// Distributions, played by the VM's own programs: name and the shell that the image starts.
const USERLAND: &[(&str, &str)] = &[
    ("alpine", "/bin/sh"),
    ("almalinux", "/bin/bash"),
    ("amazonlinux", "/bin/bash"),
    ("archlinux", "/usr/bin/bash"),
    ("bash", "bash"),
    ("busybox", "sh"),
    ("centos", "/bin/bash"),
    ("debian", "bash"),
    ("fedora", "/bin/bash"),
    ("jpetazzo/shpod", "/bin/bash"),
    ("nicolaka/netshoot", "bash"),
    ("quay.io/centos/centos", "/bin/bash"),
    ("registry.k8s.io/e2e-test-images/busybox", "sh"),
    ("registry.k8s.io/e2e-test-images/jessie-dnsutils", "/bin/bash"),
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
        userland,
    })
}

fn userland(entrypoint: &[&str], command: &[&str]) -> Image {
    Image::Userland(Userland {
        entrypoint: strings(entrypoint),
        command: strings(command),
        env: Vec::new(),
        root: None,
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
        for image in ["jpetazzo/color", "ghcr.io/jpetazzo/color:latest", "nginx:1.27-alpine", "docker.io/library/httpd"]
        {
            let (_, found) = all.resolve(image).expect(image);
            assert!(matches!(found, Image::Builtin(_)), "{image} is {found:?}");
        }
        for image in ["alpine", "busybox:1.36", "archlinux", "centos", "ubuntu:24.04", "debian", "curlimages/curl"] {
            let (_, found) = all.resolve(image).expect(image);
            assert!(matches!(found, Image::Userland(_)), "{image} is {found:?}");
        }
    }

    #[test]
    fn an_unknown_image_names_the_known_ones_and_the_way_to_add_it() {
        let text = catalogue().resolve("redis:7").unwrap_err().to_string();
        assert!(text.contains("\"redis:7\""), "{text}");
        assert!(text.contains("jpetazzo/color") && text.contains("busybox"), "{text}");
        assert!(text.contains("redis = /path/of/program-or-directory"), "{text}");
    }

    #[test]
    fn a_name_that_is_none_is_told_apart() {
        assert!(matches!(catalogue().resolve("No Such"), Err(Unknown::Invalid(_))));
    }
}
