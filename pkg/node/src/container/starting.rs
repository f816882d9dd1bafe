//! From a container's spec to its running process: image, environment, root, rights, postStart hook. Must not decide
//! what follows when one of them fails; the container's loop does.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use minisvc_images::{Image, Reference, Unknown};
use minisvc_kernel::{Cgroup, NamespaceKind, open_namespace};
use tokio::time::Instant;

use super::Life;
use crate::context::{Stop, StopSignal, stopped, target_of};
use crate::environment::{self, service_variables};
use crate::grant;
use crate::names::namespace;
use crate::objects;
use crate::process;
use crate::resources;
use crate::root::{self, Placed};
use crate::running::{Running, SharedRunning, Start};
use crate::status::{End, Role, State};
use crate::volumes;

/// Why a container did not start.
pub(super) enum NotStarted {
    /// Nothing plays its image.
    Image { reason: &'static str, text: String },
    /// The pod's spec asks for what is not there.
    Config(String),
    /// The process did not come up.
    Exec(String),
    /// It came up, and was ended because its postStart hook failed.
    Ended(Box<End>, Duration),
}

impl Life {
    /// Finds the image, builds the environment and the root, starts the process.
    pub(super) async fn start(
        &self,
        container: &Container,
        stop: &mut StopSignal,
    ) -> Result<SharedRunning, NotStarted> {
        let context = &self.context;
        let node = &context.node;
        let pod = context.pod();
        let image_name = container.image.clone().unwrap_or_default();
        let (reference, mut image) = self.image(container, &image_name)?;
        let (config_maps, secrets) = environment::references(container);
        let sources = objects::sources(node, namespace(&pod), config_maps, secrets).await;
        let sources = sources.map_err(|error| NotStarted::Config(error.to_string()))?;
        let variables =
            environment::variables(&pod, container, self.service_variables(&pod), &sources, &context.facts());
        let variables = variables.map_err(NotStarted::Config)?;
        let identifier = |name: &str| {
            name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                && !name.starts_with(|c: char| c.is_ascii_digit())
        };
        if !variables.iter().all(|(name, _)| identifier(name)) {
            image.hand_on_every_variable();
        }
        let value = |name: &str| variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        let command = process::command(&image, container, |text| environment::expand(text, value));
        let placed = volumes::placed(container, &context.volumes, |text| environment::expand_all(text, value));
        let mut placed = placed.map_err(NotStarted::Config)?;
        let spec = pod.spec.clone().unwrap_or_default();
        let mut rights = process::rights(&spec, container).map_err(NotStarted::Config)?;
        if matches!(&image, Image::Builtin(builtin) if builtin.set_user_id) && !rights.no_new_privileges {
            rights.user.0 = 0;
        }
        let env = process::environment(&image, &context.names.hostname, container.tty == Some(true), variables);
        let run = context.shared.update(|sheet| {
            let record = &sheet.records[self.index];
            record.restarts + i32::from(record.last.is_some() || matches!(record.state, State::Terminated(_)))
        });
        let termination = self.termination_file(&image, container, run, &mut placed);
        self.shared_memory(&spec, &mut placed).map_err(|error| NotStarted::Config(error.to_string()))?;
        let (join, shares_processes) = self.namespaces(&pod)?;
        let id: String = (0..4).map(|_| format!("{:016x}", fastrand::u64(..))).collect();
        let cgroup = self.group(container, &id);
        let mut mounts = root::mounts(&image, &node.config.executable, &context.names, &placed);
        root::show_group(&mut mounts, cgroup.as_ref());
        let folder = process::folder(container);
        let stdin = container.stdin == Some(true);
        let tty = container.tty == Some(true);
        let alone = matches!(&image, Image::Builtin(builtin) if !builtin.userland);
        let start = Start {
            command,
            env,
            rights,
            folder,
            mounts,
            stdin,
            tty,
            alone,
            run,
            id,
            cgroup,
            termination,
            join,
            shares_processes,
        };
        let running = Running::start(context, container, start).await;
        let running = Arc::new(running.map_err(|text| {
            self.context.shared.update(|sheet| sheet.records[self.index].restarts = run);
            NotStarted::Exec(text)
        })?);
        node.recorder.normal(&self.about, "Created", "Container created");
        node.recorder.normal(&self.about, "Started", "Container started");
        let post_start = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.post_start.as_ref());
        if let Some(hook) = post_start {
            let done = tokio::select! {
                done = running.hook(context, container, hook) => done,
                // Both are told by whoever waits for them next.
                _ = stopped(stop) => Ok(()),
                _ = running.child.wait() => Ok(()),
            };
            if let Err(text) = done {
                tracing::debug!(text, container = self.name, "postStart hook");
                node.recorder.warning(&self.about, "FailedPostStartHook", "PostStartHook failed");
                node.recorder.normal(&self.about, "Killing", "FailedPostStartHook");
                let grace = Duration::from_secs(process::grace_seconds(&pod) as u64);
                let exit = self.end(container, &running, Stop { deadline: Instant::now() + grace }, Some(stop)).await;
                self.context.shared.update(|sheet| {
                    let record = &mut sheet.records[self.index];
                    (record.restarts, record.id) = (run, Some(running.id.clone()));
                });
                let end = Box::new(self.ended(container, &running, exit));
                running.leave_cgroup();
                return Err(NotStarted::Ended(end, running.began.elapsed()));
            }
        }
        self.context.shared.update(|sheet| {
            let record = &mut sheet.records[self.index];
            if let State::Terminated(end) = &record.state {
                record.last = Some(end.clone());
            }
            record.restarts = run;
            record.id = Some(running.id.clone());
            record.image = image_name;
            record.image_id = format!("minisvc://{}", reference.name);
            record.state = State::Running { since: running.since };
            record.resources = Some(container.resources.clone().unwrap_or_default());
            record.started = container.startup_probe.is_none();
            record.ready = record.started && container.readiness_probe.is_none();
        });
        grant::done(context);
        Ok(running)
    }

    /// What plays the container's image, told as kubelet tells of pulls (`image_manager.go`).
    fn image(&self, container: &Container, name: &str) -> Result<(Reference, Image), NotStarted> {
        let node = &self.context.node;
        let policy = container.image_pull_policy.as_deref();
        let (pulls, never) = (policy == Some("Always"), policy == Some("Never"));
        let pulling = || node.recorder.normal(&self.about, "Pulling", format!("Pulling image \"{name}\""));
        let started = Instant::now();
        match node.catalogue().resolve(name) {
            Ok((reference, image)) => {
                let text = if pulls {
                    pulling();
                    let size = match image {
                        Image::Builtin(_) => std::fs::metadata(&node.config.executable).map_or(0, |file| file.len()),
                        // The machine's own files take no further room.
                        Image::Userland(_) => 0,
                    };
                    let took = format!("{}ms", started.elapsed().as_millis());
                    let took = if took == "0ms" { "0s" } else { &took };
                    format!(
                        "Successfully pulled image \"{name}\" in {took} ({took} including waiting). \
                         Image size: {size} bytes."
                    )
                } else {
                    format!("Container image \"{name}\" already present on machine and can be accessed by the pod")
                };
                node.recorder.normal(&self.about, "Pulled", text);
                tracing::debug!(name, by = image.describe(), "image");
                Ok((reference, image.clone()))
            }
            Err(error @ Unknown::Invalid(_)) => {
                let text = format!("Failed to apply default image tag \"{name}\": {error}");
                node.recorder.warning(&self.about, "InspectFailed", text.clone());
                Err(NotStarted::Image { reason: "InvalidImageName", text })
            }
            Err(_) if never => {
                let text = format!("Container image \"{name}\" is not present with pull policy of Never");
                node.recorder.warning(&self.about, "ErrImageNeverPull", text.clone());
                Err(NotStarted::Image { reason: "ErrImageNeverPull", text })
            }
            Err(error) => {
                let file = match &node.config.image_map {
                    Some(file) => format!(" {}; the pod finds it at its next try", file.display()),
                    None => String::new(),
                };
                let text = format!("{error}{file}");
                pulling();
                node.recorder.warning(&self.about, "Failed", format!("Failed to pull image \"{name}\": {text}"));
                Err(NotStarted::Image { reason: "ErrImagePull", text })
            }
        }
    }

    /// The control group of one run of the container, with what it may take; none where the pod asks for nothing.
    fn group(&self, container: &Container, id: &str) -> Option<Cgroup> {
        let of_pod = self.context.cgroup()?;
        let group = of_pod.child(id);
        let spec = self.context.granted();
        let share = resources::share(&container.resources.clone().unwrap_or_default(), spec.resources.as_ref());
        let made = group.make().and_then(|()| of_pod.share(&resources::pod_share(&spec)));
        match made.and_then(|()| group.share(&share)) {
            Ok(()) => Some(group),
            Err(error) => {
                tracing::warn!(%error, container = self.name, "a container runs without its limits");
                None
            }
        }
    }

    /// The namespaces that the container enters, and whether process numbers are not its own.
    fn namespaces(&self, pod: &Pod) -> Result<(Vec<OwnedFd>, bool), NotStarted> {
        let context = &self.context;
        let config = |error: minisvc_kernel::Error| NotStarted::Config(error.to_string());
        let mut join = context.sandbox.join().map_err(config)?;
        let host = pod.spec.as_ref().and_then(|spec| spec.host_pid) == Some(true);
        let mut shared = host || context.sandbox.shares_processes();
        if let Some(target) = target_of(pod, &self.name).filter(|_| self.role == Role::Ephemeral) {
            let running = context.shared.running.lock().get(&target).cloned();
            let missing = || NotStarted::Config(format!("unable to find target container {target:?}"));
            let running = running.ok_or_else(missing)?;
            if !shared {
                join.push(open_namespace(running.child.pid, NamespaceKind::Pid).map_err(config)?);
                shared = true;
            }
        }
        Ok((join, shared))
    }

    /// Memory that the pod's containers share by name; the node's where the pod uses its ipc namespace.
    fn shared_memory(&self, spec: &PodSpec, placed: &mut Vec<Placed>) -> std::io::Result<()> {
        let source = match spec.host_ipc == Some(true) {
            true => self.context.node.config.run_dir.join("shm"),
            false => self.context.folder.join("shm"),
        };
        if !source.exists() {
            std::fs::create_dir_all(&source)?;
            std::fs::set_permissions(&source, std::os::unix::fs::PermissionsExt::from_mode(0o1777))?;
        }
        let target = PathBuf::from("/dev/shm");
        if !placed.iter().any(|placed| placed.target == target) {
            placed.push(Placed { source, target, read_only: false });
        }
        Ok(())
    }

    /// A file that the container may write its last words to. Programs without a shell of their own have none.
    fn termination_file(
        &self,
        image: &Image,
        container: &Container,
        run: i32,
        placed: &mut Vec<Placed>,
    ) -> Option<PathBuf> {
        if matches!(image, Image::Builtin(builtin) if !builtin.userland) {
            return None;
        }
        let target = container.termination_message_path.clone().filter(|path| !path.is_empty());
        let folder = self.context.folder.join("termination");
        let file = folder.join(format!("{}-{run}", self.name));
        // Whatever user the container has writes there.
        let open = || std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let made = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&file, "")).and_then(|()| open());
        if let Err(error) = made {
            tracing::warn!(%error, "no termination message file");
            return None;
        }
        let target = target.unwrap_or_else(|| "/dev/termination-log".into());
        placed.push(Placed { source: file.clone(), target: target.into(), read_only: false });
        Some(file)
    }

    fn service_variables(&self, pod: &Pod) -> Vec<(String, String)> {
        let services = self.context.node.services.read();
        let links = pod.spec.as_ref().and_then(|spec| spec.enable_service_links) != Some(false);
        let master = ("default".to_owned(), "kubernetes".to_owned());
        let namespace = namespace(pod);
        let of_namespace = services
            .range((namespace.to_owned(), String::new())..)
            .take_while(|((of, _), _)| of == namespace)
            .filter(|(key, _)| links && **key != master);
        service_variables(services.get(&master).into_iter().chain(of_namespace.map(|(_, service)| service)))
    }
}
