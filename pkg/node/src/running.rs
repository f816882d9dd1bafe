//! A container that runs: starting its process, entering it for probes and hooks, ending it.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, LifecycleHandler};
use minisvc_kernel::{
    Cgroup, Child, Exit, NamespaceKind, Namespaces, Netns, RootFs, Spawn, Stdio, kill_session, open_namespace,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt as _};
use tokio::net::unix::pipe;
use tokio::time::Instant;

use crate::attach::Output;
use crate::context::PodContext;
use crate::logs::{Log, LogKey};
use crate::names::namespace;
use crate::plumbing::{Ours, Theirs};
use crate::probe::check;
use crate::probe::http::{self, Asker};
use crate::process::Rights;
use crate::terminal::Terminal;

const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;

/// As much of a command's output as is kept for a message.
const OUTPUT_BYTES: u64 = 10 * 1024;

/// A container's process and what is needed to enter it.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) id: String,
    /// How many runs came before this one.
    pub(crate) run: i32,
    pub(crate) since: Timestamp,
    pub(crate) began: Instant,
    env: Vec<(String, String)>,
    rights: Rights,
    folder: PathBuf,
    netns: Option<Netns>,
    /// Kept open so that a shell waits for an attach instead of ending.
    stdin: tokio::sync::Mutex<Option<pipe::Sender>>,
    /// The container's own terminal, where it asked for one.
    pub(crate) terminal: Option<Arc<Terminal>>,
    /// What it says, for those who attach.
    pub(crate) output: Arc<Output>,
    alone: bool,
    /// Whether its process numbers are not its own, so that its children outlive it.
    shares_processes: bool,
    termination: Option<PathBuf>,
    /// The control group of its processes.
    pub(crate) cgroup: Option<Cgroup>,
}

/// Everything needed to start one.
pub(crate) struct Start {
    pub(crate) command: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) rights: Rights,
    pub(crate) folder: PathBuf,
    pub(crate) mounts: Vec<minisvc_kernel::Mount>,
    pub(crate) stdin: bool,
    pub(crate) tty: bool,
    /// Whether the image holds nothing but its own program.
    pub(crate) alone: bool,
    pub(crate) run: i32,
    pub(crate) id: String,
    pub(crate) cgroup: Option<Cgroup>,
    pub(crate) termination: Option<PathBuf>,
    /// Namespaces of others to enter: the sandbox's, a target's.
    pub(crate) join: Vec<OwnedFd>,
    /// Whether process numbers are among them, or the node's.
    pub(crate) shares_processes: bool,
}

impl Running {
    /// Starts the container; the answer comes once its program is executing.
    pub(crate) async fn start(context: &PodContext, container: &Container, start: Start) -> Result<Running, String> {
        let pod = context.pod();
        let node = &context.node;
        let key = LogKey {
            namespace: namespace(&pod),
            pod: pod.metadata.name.as_deref().unwrap_or_default(),
            uid: pod.metadata.uid.as_deref().unwrap_or_default(),
            container: &container.name,
        };
        let plumbing = |error: std::io::Error| format!("prepare a container's streams: {error}");
        let log = Log::create(&node.config.log_dir, &key, start.run, node.config.log_bytes).map_err(plumbing)?;
        let interactive = start.stdin || start.tty;
        let mut mounts = start.mounts;
        let (ours, theirs) = if start.tty {
            let ends = Ours::terminal(Path::new("/dev/ptmx"), Some(start.rights.user)).map_err(plumbing)?;
            mounts.extend(ends.1.as_console().map_err(plumbing)?);
            ends
        } else {
            Ours::pipes(start.stdin).map_err(plumbing)?
        };
        let name = start.command.first().cloned().unwrap_or_default();
        if name.is_empty() {
            return Err("no command specified".into());
        }
        let spawn = Spawn {
            cwd: Some(start.folder.clone()),
            cgroups: doors(start.cgroup.as_ref()),
            env: start.env.clone(),
            // The sandbox has the ipc namespace, or the node.
            new: Namespaces { pid: !start.shares_processes, ipc: false, ..Namespaces::CONTAINER },
            join: start.join,
            join_net: context.sandbox.netns.clone(),
            hostname: Some(context.names.hostname.clone()),
            root: Some(RootFs { read_only: start.rights.read_only_root, ..RootFs::empty(mounts) }),
            stdin: theirs.stdin,
            stdout: theirs.stdout,
            stderr: theirs.stderr,
            new_session: true,
            controlling_terminal: start.tty,
            ..with_rights(Spawn::new(&name), &start.rights)
        }
        .args(&start.command[1..]);
        let child = {
            let _permit = node.hands.acquire().await;
            tokio::task::spawn_blocking(move || spawn.spawn()).await.map_err(|error| error.to_string())?
        }
        .map_err(|error| not_started(&name, &error))?;
        let output = Arc::new(Output::new(ours.sources.len(), interactive));
        for (tap, source) in ours.sources {
            tokio::spawn(log.clone().copy(tap, source, output.clone()));
        }
        Ok(Running {
            child,
            id: start.id,
            cgroup: start.cgroup,
            run: start.run,
            since: Timestamp::now(),
            began: Instant::now(),
            env: start.env,
            rights: start.rights,
            folder: start.folder,
            netns: context.sandbox.netns.clone(),
            stdin: tokio::sync::Mutex::new(ours.stdin),
            terminal: ours.terminal,
            output,
            alone: start.alone,
            shares_processes: start.shares_processes,
            termination: start.termination,
        })
    }

    /// Starts a command inside the container with these as its standard descriptors; with `tty` they are its
    /// controlling terminal.
    pub(crate) async fn enter(&self, command: &[String], theirs: Theirs, tty: bool) -> Result<Child, String> {
        let name = command.first().cloned().unwrap_or_default();
        let kinds = [NamespaceKind::Ipc, NamespaceKind::Uts, NamespaceKind::Pid, NamespaceKind::Mount];
        let join = kinds.map(|kind| open_namespace(self.child.pid, kind));
        let join = join.into_iter().collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return Err("the container is not running".into());
        }
        let mut env = self.env.clone();
        if tty && !env.iter().any(|(name, _)| name == "TERM") {
            env.push(("TERM".into(), "xterm".into()));
        }
        let spawn = Spawn {
            cwd: Some(self.folder.clone()),
            cgroups: doors(self.cgroup.as_ref()),
            env,
            join_net: self.netns.clone(),
            join,
            stdin: theirs.stdin,
            stdout: theirs.stdout,
            stderr: theirs.stderr,
            new_session: true,
            controlling_terminal: tty,
            ..with_rights(Spawn::new(&name), &self.rights)
        }
        .args(command.iter().skip(1));
        let spawned = tokio::task::spawn_blocking(move || spawn.spawn()).await.map_err(|error| error.to_string())?;
        spawned.map_err(|error| {
            let mut text = not_started(&name, &error);
            if self.alone && error.kind() == std::io::ErrorKind::NotFound {
                text.push_str(" (this image holds nothing but its own program: no shell, no tools)");
            }
            text
        })
    }

    /// A terminal that the container's processes can name; answers our end and theirs.
    pub(crate) fn new_terminal(&self) -> std::io::Result<(Ours, Theirs)> {
        let multiplexer = PathBuf::from(format!("/proc/{}/root/dev/pts/ptmx", self.child.pid));
        Ours::terminal(&multiplexer, Some(self.rights.user))
    }

    /// Types into the container's standard input.
    pub(crate) async fn type_in(&self, bytes: &[u8]) -> std::io::Result<()> {
        match (&self.terminal, self.stdin.lock().await.as_mut()) {
            (Some(terminal), _) => terminal.write_all(bytes).await,
            (None, Some(stdin)) => stdin.write_all(bytes).await,
            (None, None) => Err(std::io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Whether its process numbers are others' too.
    pub(crate) fn shares_processes(&self) -> bool {
        self.shares_processes
    }

    /// Whether something typed now would reach the container.
    pub(crate) async fn takes_input(&self) -> bool {
        self.terminal.is_some() || self.stdin.lock().await.is_some()
    }

    /// Ends the container's standard input for good. A terminal stays.
    pub(crate) async fn close_stdin(&self) {
        self.stdin.lock().await.take();
    }

    /// Runs a command inside the container to its end. `Err` carries what it said, or why it did not run.
    pub(crate) async fn exec(&self, command: &[String]) -> Result<(), String> {
        let (read, write) = std::io::pipe().map_err(|error| error.to_string())?;
        let second = write.try_clone().map_err(|error| error.to_string())?;
        let theirs = Theirs { stdin: Stdio::Null, stdout: Stdio::Fd(write.into()), stderr: Stdio::Fd(second.into()) };
        let child = KilledOnDrop(self.enter(command, theirs, false).await?);
        let pipe = pipe::Receiver::from_owned_fd(read.into()).map_err(|error| error.to_string())?;
        let mut output = Vec::new();
        let mut limited = pipe.take(OUTPUT_BYTES);
        let exit = tokio::select! {
            // Something that the command left behind may hold the pipe open.
            exit = child.0.wait() => exit,
            _ = limited.read_to_end(&mut output) => child.0.wait().await,
        };
        let _ = tokio::time::timeout(Duration::from_millis(20), limited.read_to_end(&mut output)).await;
        match exit {
            Ok(Exit::Code(0)) => Ok(()),
            Ok(_) => Err(String::from_utf8_lossy(&output).trim_end().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Runs a lifecycle hook.
    pub(crate) async fn hook(
        &self,
        context: &PodContext,
        container: &Container,
        hook: &LifecycleHandler,
    ) -> Result<(), String> {
        let address = context.sandbox.ip.into();
        if let Some(exec) = &hook.exec {
            self.exec(exec.command.as_deref().unwrap_or_default()).await
        } else if let Some(action) = &hook.http_get {
            http::get(address, container, action, Asker::Lifecycle).await.map(drop)
        } else if let Some(sleep) = &hook.sleep {
            tokio::time::sleep(Duration::from_secs(sleep.seconds.max(0) as u64)).await;
            Ok(())
        } else if let Some(action) = &hook.tcp_socket {
            check::tcp(address, check::port(container, &action.port)?).await
        } else {
            Ok(())
        }
    }

    /// Asks the process to end, waits until `deadline` gives the time, then kills it. Answers how it ended.
    pub(crate) async fn end(&self, stop_signal: i32, deadline: impl Future<Output = ()>) -> Result<Exit, String> {
        let _ = self.child.signal(stop_signal);
        tokio::select! {
            exit = self.child.wait() => exit,
            () = deadline => {
                let _ = self.child.signal(SIGKILL);
                self.child.wait().await
            }
        }
        .map_err(|error| error.to_string())
    }

    /// Kills what the container's own process left behind.
    pub(crate) fn clear(&self) {
        if self.shares_processes {
            kill_session(self.child.pid);
        }
    }

    /// Whether the kernel killed one of its processes for want of memory.
    pub(crate) fn ran_out_of_memory(&self) -> bool {
        self.cgroup.as_ref().is_some_and(|group| group.out_of_memory_kills() > 0)
    }

    /// Removes its control group, once nothing of it runs; one that is still in use goes with the pod's.
    pub(crate) fn leave_cgroup(&self) {
        if let Some(Err(error)) = self.cgroup.as_ref().map(Cgroup::remove) {
            tracing::debug!(%error, "a container's control group stays");
        }
    }

    /// What the container wrote to its termination message file: its last 4096 bytes.
    pub(crate) fn termination_message(&self) -> Option<String> {
        let text = std::fs::read(self.termination.as_ref()?).ok()?;
        let text = String::from_utf8_lossy(&text[text.len().saturating_sub(4096)..]).into_owned();
        Some(text).filter(|text| !text.is_empty())
    }
}

/// Why a program did not start, as container runtimes say it.
fn not_started(name: &str, error: &minisvc_kernel::Error) -> String {
    match error.kind() {
        _ if error.operation() != "execute" => error.to_string(),
        std::io::ErrorKind::NotFound if !name.contains('/') => {
            format!("exec: \"{name}\": executable file not found in $PATH")
        }
        std::io::ErrorKind::NotFound => format!("exec: \"{name}\": stat {name}: no such file or directory"),
        std::io::ErrorKind::PermissionDenied => format!("exec: \"{name}\": permission denied"),
        _ => error.to_string(),
    }
}

/// The signal that asks a container to end: its own choice by name, else SIGTERM.
pub(crate) fn stop_signal(container: &Container) -> i32 {
    let name = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.stop_signal.as_deref()).unwrap_or_default();
    match name {
        "SIGHUP" => 1,
        "SIGINT" => 2,
        "SIGQUIT" => 3,
        "SIGKILL" => 9,
        "SIGUSR1" => 10,
        "SIGUSR2" => 12,
        _ => SIGTERM,
    }
}

fn doors(group: Option<&Cgroup>) -> Vec<PathBuf> {
    group.map(Cgroup::doors).unwrap_or_default()
}

fn with_rights(spawn: Spawn, rights: &Rights) -> Spawn {
    Spawn {
        capabilities: rights.capabilities.clone(),
        no_new_privileges: rights.no_new_privileges,
        seccomp: rights.seccomp,
        user: Some(rights.user),
        groups: rights.groups.clone(),
        ..spawn
    }
}

/// A command that nobody waits for any more (a probe's timeout) is killed.
struct KilledOnDrop(Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = self.0.signal(SIGKILL);
        }
    }
}

/// A task that ends with its owner.
pub(crate) struct Aborted(pub(crate) tokio::task::JoinHandle<()>);

impl Drop for Aborted {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Shared by the container's loop and its probes.
pub(crate) type SharedRunning = Arc<Running>;
