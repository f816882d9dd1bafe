//! `up`: brings the lab to the state where everything runs and is Ready, from whatever state it is in: nothing there,
//! half killed, or all well. What still runs is adopted, what is missing is started, wires are laid anew.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use minisvc_kernel::{Child, Netns};
use tokio::time::{Instant, sleep};

use crate::edge_note::EdgeNote;
use crate::footprint::Footprint;
use crate::kubeconfig::{self, Owner};
use crate::lock::Lock;
use crate::places::Places;
use crate::private;
use crate::processes::{self, Process, Role};
use crate::ready::{self, Readiness};
use crate::settings::Settings;
use crate::{access, start, wires};

/// Where names for `ip netns` live.
const NETNS_NAMES: &str = "/run/netns";
/// How often `up` looks anew when processes end under its eyes.
const DYING: usize = 5;
/// How long everything may take to be Ready before `up` gives up and says what is missing.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the user asks for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The settings, flags applied.
    pub settings: Settings,
    /// Flags that were given: their ranges are not moved out of the way.
    pub explicit: Vec<&'static str>,
    /// Whether a damaged store may be replaced by its last export, losing what came after.
    pub restore_export: bool,
    /// The user's kubeconfig, unless it is to be left alone.
    pub kubeconfig: Option<Owner>,
}

/// What `up` did.
#[derive(Debug, Clone)]
pub struct Up {
    /// The settings in force.
    pub settings: Settings,
    /// Remarks the user should see: ranges that were moved, and so on.
    pub remarks: Vec<String>,
    /// Processes started now; the others ran already.
    pub started: Vec<String>,
    /// The kubeconfig that was merged into.
    pub kubeconfig: Option<std::path::PathBuf>,
    /// Address of the live page, with its token.
    pub page: String,
}

/// Brings the lab up; `tell` gets a line for each step of progress.
///
/// # Errors
/// Names what is missing (privilege, kernel feature, a clash of addresses or ports, a process that ended) and the
/// next step. What was started before stays for the next `up` or `down`.
pub async fn up(places: &Places, request: Request, tell: &mut dyn FnMut(&str)) -> Result<Up> {
    let running = processes::find(&places.run)?;
    if running.is_empty() {
        check_privilege()?;
    }
    let lock = Lock::take(places)?;
    let mut outcome = locked(places, request.clone(), tell).await;
    for _ in 0..DYING {
        match &outcome {
            // A process that was being killed while we looked is no process to adopt: look again.
            Err(error) if error.is::<Vanished>() => {
                tell("a process of the lab has just ended; starting it anew");
                outcome = locked(places, request.clone(), tell).await;
            }
            _ => break,
        }
    }
    lock.remove();
    outcome
}

/// A process that ran when we looked, and does no more.
#[derive(Debug, thiserror::Error)]
#[error("{0} has ended while the lab was brought up; see `minisvc logs {0}`")]
struct Vanished(String);

async fn locked(places: &Places, mut request: Request, tell: &mut dyn FnMut(&str)) -> Result<Up> {
    let running = processes::find(&places.run)?;
    let mut remarks = match Settings::load(places)? {
        Some(old) if !running.is_empty() => {
            ensure_same(&old, &mut request)?;
            Vec::new()
        }
        _ => {
            ensure!(
                running.is_empty(),
                "processes of a lab run but {} is gone: run `minisvc down` first",
                places.settings().display()
            );
            request.settings.check()?;
            let remarks = wires::avoid_clashes(&mut request.settings, &request.explicit).await?;
            check_ports(&request.settings)?;
            remarks
        }
    };
    let settings = request.settings;
    let mut footprint = Footprint::load(places)?;
    prepare_places(places, &mut footprint)?;
    footprint.save(places)?;
    settings.save(places)?;
    let pki = access::prepare(places, &settings)?;
    ensure_page_token(places)?;

    let mut children = start_missing(places, &settings, request.restore_export, &running, tell)?;
    let edge = wait_for_edge(places, &mut children).await?;
    tell("wires");
    let now = all_parts(running, &children);
    if let Err(error) = lay_wires(&settings, &edge, &now).await {
        check_children(places, &mut children)?;
        return Err(vanished(&now).map_or(error, Into::into));
    }
    name_namespaces(&settings, &edge, &now, &mut footprint);
    footprint.save(places)?;

    if let Some(owner) = &request.kubeconfig {
        let access = access::administrator(&pki, &settings)?;
        if let Some(merged) = footprint.kubeconfig.take().filter(|merged| merged.path != owner.path) {
            kubeconfig::unmerge(&merged)?;
        }
        let before = Footprint::load(places)?.kubeconfig;
        // The lab itself needs no kubeconfig: a file that cannot be written is no reason to have none.
        if let Err(error) = hand_out(places, owner, &access, before.clone(), &mut footprint) {
            let remark = format!("your kubeconfig stays as it is: {error:#}; `minisvc kubeconfig` prints one");
            remarks.push(remark);
            footprint.kubeconfig = before.filter(|first| first.path == owner.path);
            footprint.save(places)?;
        }
    }
    wait_until_ready(places, &settings, &now, &mut children, tell).await?;
    let token = std::fs::read_to_string(places.page_token()).context("read the page's token")?;
    Ok(Up {
        page: format!("http://{}/#token={}", settings.page, token.trim()),
        remarks,
        started: children.iter().map(|(role, _)| role.to_string()).collect(),
        kubeconfig: footprint.kubeconfig.map(|merged| merged.path),
        settings,
    })
}

/// Writes the access into the owner's kubeconfig, noted down before, so that `down` finds it whatever ends this process.
fn hand_out(
    places: &Places,
    owner: &kubeconfig::Owner,
    access: &kubeconfig::Access,
    before: Option<kubeconfig::Merged>,
    footprint: &mut Footprint,
) -> Result<()> {
    let mut merged = kubeconfig::plan(owner, access)?;
    // A second `up` finds its own entries: what stood there before the first one is what `down` restores.
    if let Some(first) = before.filter(|first| first.path == merged.path) {
        merged.before = first.before;
        merged.folders = first.folders;
    }
    footprint.kubeconfig = Some(merged.clone());
    footprint.save(places)?;
    kubeconfig::apply(owner, &merged)
}

fn check_privilege() -> Result<()> {
    let missing = minisvc_kernel::missing();
    if missing.is_empty() {
        return Ok(());
    }
    let list: Vec<String> =
        missing.iter().map(|item| format!("  missing: {}\n    remedy: {}", item.what, item.remedy)).collect();
    bail!("this machine cannot run the lab yet:\n{}", list.join("\n"))
}

/// A running lab keeps its settings; flags that say otherwise are refused rather than ignored.
fn ensure_same(old: &Settings, request: &mut Request) -> Result<()> {
    let wanted =
        Settings { version: old.version.clone(), upstreams: old.upstreams.clone(), ..request.settings.clone() };
    ensure!(
        request.explicit.is_empty() || wanted == *old,
        "a lab with other settings runs already; `minisvc down` first (or leave --{} out)",
        request.explicit.join(", --")
    );
    request.settings = old.clone();
    Ok(())
}

/// The listeners' addresses must be free before anything is started.
fn check_ports(settings: &Settings) -> Result<()> {
    for (flag, address) in [("api", settings.api), ("page", settings.page)] {
        TcpListener::bind(address).with_context(|| {
            format!("{address} is taken by another program; choose another with --{flag} ADDRESS:PORT")
        })?;
    }
    Ok(())
}

fn prepare_places(places: &Places, footprint: &mut Footprint) -> Result<()> {
    for folder in [&places.run, &places.state] {
        let new = !folder.exists();
        footprint.make_folder(folder)?;
        // A directory that was there before is somebody's own: only what the lab puts into it is shut.
        if new {
            private::folder(folder).with_context(|| format!("protect {}", folder.display()))?;
        }
    }
    footprint.make_folder(Path::new(NETNS_NAMES))?;
    for folder in [places.store(), places.logs(), places.run.join("nodes")] {
        private::folder(&folder).with_context(|| format!("make {}", folder.display()))?;
    }
    Ok(())
}

fn ensure_page_token(places: &Places) -> Result<()> {
    use std::io::{Read as _, Write as _};
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = places.page_token();
    if path.exists() {
        return Ok(());
    }
    let mut random = [0u8; 16];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut random))
        .context("read /dev/urandom")?;
    let text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let file = std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).with_context(|| format!("write {}", path.display()))
}

type Started = Vec<(Role, Child)>;

fn start_missing(
    places: &Places,
    settings: &Settings,
    restore_export: bool,
    running: &[Process],
    tell: &mut dyn FnMut(&str),
) -> Result<Started> {
    let mut wanted = vec![Role::Edge, Role::Serve];
    wanted.extend(settings.node_names().into_iter().map(Role::Node));
    let mut started = Vec::new();
    for role in wanted {
        if running.iter().any(|process| process.role == role) {
            continue;
        }
        tell(&format!("start {role}"));
        if role == Role::Edge {
            // The note of a dead edge must not be taken for the new one's.
            let _ = std::fs::remove_file(places.edge());
        }
        let further: &[&str] = if role == Role::Serve && restore_export { &["--restore-export"] } else { &[] };
        let child = start::start(places, &role, further)?;
        started.push((role, child));
    }
    Ok(started)
}

/// What runs now: adopted, and started by us. A process just started may not show its command line yet, so the table
/// of processes is not asked again.
fn all_parts(mut running: Vec<Process>, started: &Started) -> Vec<Process> {
    for (role, child) in started {
        let start_time = minisvc_kernel::start_time(child.pid).unwrap_or_default();
        running.push(Process { role: role.clone(), pid: child.pid, start_time });
    }
    running
}

async fn wait_for_edge(places: &Places, children: &mut Started) -> Result<EdgeNote> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(note) = EdgeNote::of_living(places) {
            return Ok(note);
        }
        check_children(places, children)?;
        ensure!(Instant::now() < deadline, "the edge does not come up: see {}", places.log_of("edge").display());
        sleep(Duration::from_millis(2)).await;
    }
}

fn vanished(parts: &[Process]) -> Option<Vanished> {
    parts.iter().find(|process| !process.alive()).map(|process| Vanished(process.role.to_string()))
}

async fn lay_wires(settings: &Settings, edge: &EdgeNote, running: &[Process]) -> Result<()> {
    let edge_ns = Netns::of_process(edge.pid)?;
    let mut nodes = Vec::new();
    for (number, name) in (1..).zip(settings.node_names()) {
        let role = Role::Node(name.clone());
        let process =
            running.iter().find(|process| process.role == role).with_context(|| format!("{name} has ended"))?;
        nodes.push((number, Netns::of_process(process.pid)?));
    }
    wires::lay(settings, &edge_ns, &nodes).await
}

/// Names are a convenience: one that is taken by others is left alone, with a line in the log.
fn name_namespaces(settings: &Settings, edge: &EdgeNote, running: &[Process], footprint: &mut Footprint) {
    let folder = Path::new(NETNS_NAMES);
    let prefix = if settings.context == "minisvc" { String::new() } else { format!("{}-", settings.context) };
    let mut names = vec![("edge".to_owned(), format!("/proc/{}/ns/net", edge.pid).into())];
    names.push(("outside".to_owned(), edge.outside.clone()));
    for process in running {
        if let Role::Node(name) = &process.role {
            names.push((name.clone(), format!("/proc/{}/ns/net", process.pid).into()));
        }
    }
    for (name, target) in names {
        let path = folder.join(format!("{prefix}{name}"));
        if let Err(error) = footprint.name_namespace(&path, &target) {
            tracing::warn!("no name for {name}: {error:#}");
        }
    }
}

async fn wait_until_ready(
    places: &Places,
    settings: &Settings,
    parts: &[Process],
    children: &mut Started,
    tell: &mut dyn FnMut(&str),
) -> Result<()> {
    let client = access::client(&places.kubeconfig_of("admin")).await?;
    let deadline = Instant::now() + PATIENCE;
    let mut told = String::new();
    loop {
        let readiness = ready::look(&client, settings).await;
        if let Readiness::Ready = readiness {
            return Ok(());
        }
        let waiting = readiness.to_string();
        if waiting != told {
            tell(&waiting);
            told.clone_from(&waiting);
        }
        check_children(places, children)?;
        if let Some(vanished) = vanished(parts) {
            return Err(vanished.into());
        }
        ensure!(
            Instant::now() < deadline,
            "not Ready within {} s: {waiting}; see `minisvc logs`, then `minisvc up` again or `minisvc down`",
            PATIENCE.as_secs()
        );
        sleep(Duration::from_millis(10)).await;
    }
}

/// A process that ended ends `up`, with the last lines of its log.
fn check_children(places: &Places, children: &mut Started) -> Result<()> {
    for (role, child) in children {
        if let Some(exit) = child.try_wait()? {
            let log = std::fs::read_to_string(places.log_of(&role.to_string())).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(8)..].join("\n  ");
            bail!("{role} ended ({exit:?}); the last lines of its log:\n  {tail}");
        }
    }
    Ok(())
}
