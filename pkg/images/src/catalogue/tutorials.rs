//! The images of tutorials that are not of Kubernetes' own tests: which names they have and what plays them.

use super::{Catalogue, Extras, Image, builtin, userland};
use crate::busybox::Bin;

/// Adds all of them.
pub(super) fn add(all: &mut Catalogue) {
    for (name, version) in VERSIONS {
        let (repository, _) = name.rsplit_once(':').unwrap_or((name, ""));
        let program = if repository.ends_with("hello-app") { "hello-app" } else { "kubernetes-bootcamp" };
        let mut image = builtin(program, &[8080], &[program], program == "kubernetes-bootcamp");
        if let Image::Builtin(image) = &mut image {
            image.args.push((*version).to_owned());
            if image.userland {
                image.files.push(("/server.js".to_owned(), SERVER_JS.to_owned()));
            }
        }
        all.insert(*name, image);
    }
    for (name, program, port, userland) in PROGRAMS {
        all.insert(*name, builtin(program, &[*port], &[program], *userland));
    }
    for (name, form) in [("nginxdemos/hello", "html"), ("nginxdemos/hello:plain-text", "text")] {
        let mut image = builtin("nginx-hello", &[80], &["nginx"], true);
        if let Image::Builtin(image) = &mut image {
            image.args.push(form.to_owned());
        }
        all.insert(name, image);
    }
    for (name, command) in USERLAND {
        all.insert(*name, userland(&[], command));
    }
    for name in BUSYBOX {
        let mut image = userland(&[], &["sh"]);
        if let Image::Userland(image) = &mut image {
            image.extras = Extras { bin: Bin::BusyBox { copy: None, every_variable: false }, ..Extras::default() };
        }
        all.insert(*name, image);
    }
}

/// Images whose tag tells them apart, and the version each says it has. Another tag of these is not there: the lesson
/// "Performing a Rolling Update" rolls out one that must fail, and rolls it back.
const VERSIONS: &[(&str, &str)] = &[
    ("gcr.io/google-samples/hello-app:1.0", "1.0.0"),
    ("gcr.io/google-samples/hello-app:2.0", "2.0.0"),
    ("us-docker.pkg.dev/google-samples/containers/gke/hello-app:1.0", "1.0.0"),
    ("us-docker.pkg.dev/google-samples/containers/gke/hello-app:2.0", "2.0.0"),
    ("gcr.io/google-samples/kubernetes-bootcamp:v1", "1"),
    ("gcr.io/google-samples/kubernetes-bootcamp:v2", "2"),
    ("gcr.io/k8s-minikube/kubernetes-bootcamp:v1", "1"),
    ("gcr.io/k8s-minikube/kubernetes-bootcamp:v2", "2"),
    ("jocatalin/kubernetes-bootcamp:v1", "1"),
    ("jocatalin/kubernetes-bootcamp:v2", "2"),
];

/// What `cat server.js` of "Viewing Pods and Nodes" finds.
const SERVER_JS: &str = "// This image is played by minisvc's built-in program kubernetes-bootcamp: it answers every\n\
                         // request on port 8080 with a greeting, the pod's name and its version.\n";

/// Name, program, port, and whether there is a shell beside it.
const PROGRAMS: &[(&str, &str, u16, bool)] = &[
    ("gcr.io/google-samples/node-hello", "node-hello", 8080, true),
    ("gcr.io/google-samples/hello-go-gke", "hello-backend", 80, true),
    ("gcr.io/google-samples/hello-frontend", "hello-frontend", 80, true),
    ("registry.k8s.io/hpa-example", "hpa-example", 80, true),
    ("k8s.gcr.io/hpa-example", "hpa-example", 80, true),
    ("hashicorp/http-echo", "http-echo", 5678, false),
    ("containous/whoami", "whoami", 80, false),
    ("traefik/whoami", "whoami", 80, false),
    ("ghcr.io/traefik/whoami", "whoami", 80, false),
    ("jmalloc/echo-server", "echo-server", 8080, false),
    ("kicbase/echo-server", "echo-server", 8080, false),
    ("registry.k8s.io/nginx-slim", "nginx", 80, true),
    ("k8s.gcr.io/nginx-slim", "nginx", 80, true),
    ("gcr.io/google_containers/nginx-slim", "nginx", 80, true),
];

/// Distributions, languages and tool boxes, played by the machine's own programs: name and what runs by default.
const USERLAND: &[(&str, &[&str])] = &[
    ("buildpack-deps", &["bash"]),
    ("infoblox/dnstools", &["/bin/sh"]),
    ("kalilinux/kali-rolling", &["bash"]),
    ("opensuse/leap", &["/bin/bash"]),
    ("opensuse/tumbleweed", &["/bin/bash"]),
    ("oraclelinux", &["/bin/bash"]),
    ("perl", &["perl", "-de0"]),
    ("praqma/network-multitool", &["/bin/sh"]),
    ("python", &["python3"]),
    ("quay.io/fedora/fedora", &["/bin/bash"]),
    ("redhat/ubi8", &["/bin/bash"]),
    ("redhat/ubi9", &["/bin/bash"]),
    ("registry.access.redhat.com/ubi8/ubi", &["/bin/bash"]),
    ("registry.access.redhat.com/ubi9/ubi", &["/bin/bash"]),
    ("tutum/dnsutils", &["bash"]),
    ("wbitt/network-multitool", &["/bin/sh"]),
];

/// Further names of BusyBox, some with curl.
const BUSYBOX: &[&str] = &[
    "gcr.io/google_containers/busybox",
    "k8s.gcr.io/busybox",
    "radial/busyboxplus",
    "registry.k8s.io/busybox",
    "yauritux/busybox-curl",
];

#[cfg(test)]
mod tests {
    use crate::catalogue::{Image, Unknown, catalogue};

    #[test]
    fn versions_are_told_apart_and_others_are_not_there() {
        let all = catalogue();
        let version = |image: &str| match all.resolve(image).expect(image).1 {
            Image::Builtin(image) => (image.program.clone(), image.args.join(" ")),
            Image::Userland(_) => panic!("{image} is a program"),
        };
        assert_eq!(version("gcr.io/google-samples/hello-app:2.0"), ("hello-app".to_owned(), "2.0.0".to_owned()));
        assert_eq!(version("docker.io/jocatalin/kubernetes-bootcamp:v2").1, "2");
        assert_eq!(version("registry.k8s.io/nginx-slim:0.24").0, "nginx");
        let missing = all.resolve("gcr.io/google-samples/kubernetes-bootcamp:v10").unwrap_err();
        assert!(matches!(missing, Unknown::Missing { .. }), "{missing}");
        assert!(missing.to_string().contains("gcr.io/google-samples/kubernetes-bootcamp:v2"), "{missing}");
    }

    #[test]
    fn every_program_is_one_of_this_binary() {
        for (name, program, ..) in super::PROGRAMS {
            assert!(crate::PROGRAMS.contains(program), "{name}: {program}");
        }
    }
}
