//! Fetches the programs that tests need, by package name, into a cache outside the repository: `host`, `dig`, `nft`,
//! BusyBox and kubectl 1.20 (Debian packages), and the clients of the matrix (`clients`). Installs nothing on the machine. Fails
//! loudly; must never skip.

mod clients;
mod e2e;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

pub(crate) use e2e::e2e_test;

/// Debian packages whose programs the tests call. Unpacked into the cache, not installed.
const DEBIAN: &[&str] = &["kubernetes-client", "bind9-host", "bind9-dnsutils", "nftables", "busybox-static"];
/// Debian packages that only benchmarks call.
const BENCH_DEBIAN: &[&str] = &["wrk", "dnsperf", "etcd-server"];
/// CoreDNS, pinned: the peer of cluster DNS.
const COREDNS: &str = "github.com/coredns/coredns@v1.12.4";
/// kube-apiserver, pinned: the peer of our API. Its module names its parts by folder; outside its repository they are
/// modules of their own, of this version.
const KUBERNETES: (&str, &str) = ("v1.37.1", "v0.37.1");
/// Those parts.
const STAGING: &str = "api apiextensions-apiserver apimachinery apiserver cli-runtime client-go cloud-provider \
    cluster-bootstrap code-generator component-base component-helpers controller-manager cri-api cri-client cri-streaming \
    csi-translation-lib dynamic-resource-allocation endpointslice externaljwt kms kube-aggregator \
    kube-controller-manager kube-proxy kube-scheduler kubectl kubelet metrics mount-utils pod-security-admission \
    sample-apiserver sample-cli-plugin sample-controller streaming";
/// Programs that must stand in the tools' `bin` folder at the end: name here, path in the unpacked packages.
const PROGRAMS: &[(&str, &str)] = &[
    ("kubectl-1.20", "root/usr/bin/kubectl"),
    ("host", "root/usr/bin/host"),
    ("dig", "root/usr/bin/dig"),
    ("nft", "root/usr/sbin/nft"),
];

/// The folder with the tools (its `bin` holds the programs), fetched now unless it is complete already.
///
/// # Errors
/// When a package manager is missing or refuses; the message names the package.
pub(crate) fn tools() -> Result<PathBuf> {
    let folder = cache_folder()?;
    std::fs::create_dir_all(folder.join("bin")).with_context(|| format!("make {}", folder.display()))?;
    once(
        &folder,
        "complete",
        &format!("{DEBIAN:?}\n"),
        || all_start(&folder),
        || {
            fetch_debian(&folder, DEBIAN)?;
            PROGRAMS.iter().try_for_each(|(name, path)| write_wrapper(&folder, name, path))?;
            link_busybox(&folder)
        },
    )?;
    clients::fetch(&folder)?;
    Ok(folder)
}

/// Runs `fetch` unless the file `marker` already says that just this was fetched and it `works`. The marker is written
/// last, so what was interrupted is done anew.
fn once(
    folder: &Path,
    marker: &str,
    wanted: &str,
    works: impl Fn() -> bool,
    fetch: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let marker = folder.join(marker);
    if std::fs::read_to_string(&marker).is_ok_and(|text| text == wanted) && works() {
        return Ok(());
    }
    fetch()?;
    ensure!(
        works(),
        "what {} stands for was fetched but does not start: look into {}",
        marker.display(),
        folder.display()
    );
    std::fs::write(&marker, wanted).with_context(|| format!("write {}", marker.display()))
}

/// Whether the program of this name in the tools' `bin` folder starts and ends well.
fn starts(folder: &Path, name: &str, arguments: &[&str]) -> bool {
    let output = Command::new(folder.join("bin").join(name)).args(arguments).output();
    output.is_ok_and(|output| output.status.success())
}

/// Whether each program starts: a library that the machine had when they were fetched may be gone by now.
fn all_start(folder: &Path) -> bool {
    starts(folder, "busybox", &["true"])
        && PROGRAMS.iter().all(|(name, _)| {
            let version: &[&str] = match *name {
                "nft" => &["--version"],
                "host" => &["-V"],
                "dig" => &["-v"],
                _ => &["version", "--client"],
            };
            starts(folder, name, version)
        })
}

/// The tools of the tests, and what only benchmarks use: wrk, dnsperf and etcd (Debian), CoreDNS and kube-apiserver (Go
/// programs; the latter builds for a quarter of an hour).
///
/// # Errors
/// As [`tools`].
pub(crate) fn bench_tools() -> Result<PathBuf> {
    let folder = tools()?;
    let done = folder.join("bench-complete");
    let wanted = format!("{BENCH_DEBIAN:?} {COREDNS} {KUBERNETES:?}\n");
    if std::fs::read_to_string(&done).is_ok_and(|text| text == wanted) {
        return Ok(folder);
    }
    fetch_debian(&folder, BENCH_DEBIAN)?;
    eprintln!("building {COREDNS}");
    run(
        Command::new("go").args(["install", COREDNS]).env("GOBIN", folder.join("go")).env("GOFLAGS", "-mod=mod"),
        "go install",
    )?;
    if !folder.join("go/kube-apiserver").exists() {
        build_kube_apiserver(&folder)?;
    }
    for (name, path) in [
        ("wrk", "root/usr/bin/wrk"),
        ("dnsperf", "root/usr/bin/dnsperf"),
        ("coredns", "go/coredns"),
        ("etcd", "root/usr/bin/etcd"),
        ("kube-apiserver", "go/kube-apiserver"),
    ] {
        write_wrapper(&folder, name, path)?;
    }
    std::fs::write(&done, wanted)?;
    Ok(folder)
}

/// Builds it in a module of our own, which replaces the parts.
fn build_kube_apiserver(folder: &Path) -> Result<()> {
    let (version, parts) = KUBERNETES;
    let module = folder.join("kube-apiserver");
    std::fs::create_dir_all(&module)?;
    let mut text = format!("module peer\n\ngo 1.26.0\n\nrequire k8s.io/kubernetes {version}\n\n");
    for part in STAGING.split_whitespace() {
        text.push_str(&format!("replace k8s.io/{part} => k8s.io/{part} {parts}\n"));
    }
    std::fs::write(module.join("go.mod"), text)?;
    eprintln!("building kube-apiserver {version}: this takes a while");
    let output = folder.join("go/kube-apiserver.part");
    run(
        Command::new("go")
            .args(["build", "-trimpath", "-o"])
            .arg(&output)
            .args([
                "-ldflags",
                &format!("-s -w -X k8s.io/component-base/version.gitVersion={version}"),
                "k8s.io/kubernetes/cmd/kube-apiserver",
            ])
            .current_dir(&module)
            .env("GOFLAGS", "-mod=mod")
            .env("CGO_ENABLED", "0"),
        "go build",
    )?;
    std::fs::rename(output, folder.join("go/kube-apiserver"))?;
    Ok(())
}

fn cache_folder() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("MINISVC_TEST_TOOLS") {
        return Ok(folder.into());
    }
    let base = match (std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME")) {
        (Some(cache), _) => PathBuf::from(cache),
        (None, Some(home)) => Path::new(&home).join(".cache"),
        (None, None) => bail!("neither XDG_CACHE_HOME nor HOME is set: nowhere to keep the test tools"),
    };
    Ok(base.join("minisvc-test-tools"))
}

fn fetch_debian(folder: &Path, packages: &[&str]) -> Result<()> {
    let archives = folder.join("archives");
    std::fs::create_dir_all(archives.join("partial"))?;
    eprintln!("fetching Debian packages {}", packages.join(", "));
    run(Command::new("apt-get").args(["update", "-qq"]), "apt-get update")?;
    run(
        Command::new("apt-get")
            .args(["install", "--yes", "--quiet", "--download-only", "--reinstall", "--no-install-recommends"])
            .arg("-o")
            .arg(format!("Dir::Cache::archives={}", archives.display()))
            .args(packages),
        "apt-get install --download-only",
    )?;
    for entry in std::fs::read_dir(&archives)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            run(Command::new("dpkg-deb").arg("-x").arg(&path).arg(folder.join("root")), "dpkg-deb -x")?;
        }
    }
    Ok(())
}

/// BusyBox itself, not a script that calls it: nodes show the file to containers.
fn link_busybox(folder: &Path) -> Result<()> {
    let program = ["root/usr/bin/busybox", "root/bin/busybox"].map(|path| folder.join(path));
    let program = program.into_iter().find(|path| path.exists()).context("the packages brought no busybox")?;
    let part = folder.join("bin/.busybox.part");
    let _ = std::fs::remove_file(&part);
    std::os::unix::fs::symlink(program, &part)?;
    Ok(std::fs::rename(&part, folder.join("bin/busybox"))?)
}

fn write_wrapper(folder: &Path, name: &str, path: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let program = folder.join(path);
    ensure!(program.exists(), "the packages brought no {path}");
    let triple = format!("{}-linux-gnu", std::env::consts::ARCH);
    let libraries = format!("{0}/root/usr/lib/{triple}:{0}/root/lib/{triple}", folder.display());
    let text = format!(
        "#!/bin/sh\nexport LD_LIBRARY_PATH={}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}\nexec {} \"$@\"\n",
        libraries,
        program.display()
    );
    // Whole at once: tests that run meanwhile keep the old one until then.
    let part = folder.join("bin").join(format!(".{name}.part"));
    std::fs::write(&part, text)?;
    std::fs::set_permissions(&part, std::fs::Permissions::from_mode(0o755))?;
    Ok(std::fs::rename(&part, folder.join("bin").join(name))?)
}

fn run(command: &mut Command, what: &str) -> Result<()> {
    let status =
        command.stdin(std::process::Stdio::null()).status().with_context(|| format!("{what}: cannot start"))?;
    ensure!(status.success(), "{what} ended with {status}");
    Ok(())
}
