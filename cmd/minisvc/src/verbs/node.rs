//! `minisvc node NAME`: one machine of the lab, put together: kubelet and service proxy. PID 1 of its namespaces.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use minisvc_images::BusyBox;
use minisvc_kernel::{Links, Netns, connect_tcp};
use minisvc_lab::access;
use minisvc_lab::places::Places;
use minisvc_lab::settings::Settings;
use minisvc_node::Config;

pub(super) fn run(places: &Places, name: &str) -> Result<ExitCode> {
    crate::logging::start();
    let settings = Settings::load(places)?.context("a node is started by `minisvc up`")?;
    // Before this process collects all children, its own among them.
    let busybox = busybox();
    super::on_one_thread(node(places, &settings, name, busybox))?;
    Ok(ExitCode::SUCCESS)
}

async fn node(places: &Places, settings: &Settings, name: &str, busybox: Option<BusyBox>) -> Result<()> {
    let number = (1..)
        .zip(settings.node_names())
        .find_map(|(number, known)| (known == name).then_some(number))
        .with_context(|| format!("{name} is not a node of this lab"))?;
    minisvc_kernel::reap_orphans().context("reap orphans")?;
    let here = Netns::current()?;
    Links::open(&here).await?.set_up("lo").await?;
    until_api_answers(&here, settings).await?;
    let client = access::client(&places.kubeconfig_of(name)).await?;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let until_stopped = |mut stopped: tokio::sync::watch::Receiver<bool>| async move {
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    let kubelet = minisvc_node::run(
        Config { busybox, ..node_config(places, settings, name, number)? },
        client.clone(),
        until_stopped(stopped.clone()),
    );
    let proxy = minisvc_proxy::run(proxy_config(settings, name, number), here, client, until_stopped(stopped));
    let outcome = tokio::select! {
        ended = kubelet => ended.and_then(|()| bail!("the kubelet ended by itself")),
        ended = proxy => ended.and_then(|()| bail!("the service proxy ended by itself")),
        asked = super::asked_to_stop() => asked,
    };
    let _ = stop.send(true);
    outcome
}

/// The machine's copy of BusyBox along PATH, and what it can be called by.
fn busybox() -> Option<BusyBox> {
    let path = std::env::var_os("PATH")?;
    let program = std::env::split_paths(&path).find_map(|folder| folder.join("busybox").canonicalize().ok())?;
    let output = std::process::Command::new(&program).arg("--list").output().ok()?;
    let applets: Vec<String> = String::from_utf8(output.stdout).ok()?.lines().map(str::to_owned).collect();
    (output.status.success() && !applets.is_empty()).then_some(BusyBox { program, applets })
}

/// The wires are laid while this process starts: nothing is worth asking before the API server's address answers.
async fn until_api_answers(here: &Netns, settings: &Settings) -> Result<()> {
    let address = settings.fabric_api();
    loop {
        let namespace = here.clone();
        let attempt = move || connect_tcp(&namespace, address, Duration::from_millis(500));
        if tokio::task::spawn_blocking(attempt).await?.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn node_config(places: &Places, settings: &Settings, name: &str, number: u8) -> Result<Config> {
    let [certificate_pem, key_pem, client_ca_pem] = access::node_server(places, name)?;
    let client_name = minisvc_apiserver::pki::NODE_CLIENT.to_owned();
    Ok(Config {
        server: Some(minisvc_node::ServerKeys { certificate_pem, key_pem, client_ca_pem, client_name }),
        dns_ip: settings.dns_ip(),
        cluster_domain: settings.cluster_domain.clone(),
        log_dir: places.pod_logs(),
        image_map: Some(places.image_map()),
        volumes: places.volumes(),
        cgroup: Some(places.cgroup().join(name)),
        // Each renewal is a durable write: a third of what the idle lab does. The control plane waits for 12 s.
        lease_renewal: Duration::from_secs(5),
        run_dir: places.run.join("nodes").join(name),
        ..Config::new(name, settings.node_ip(number), settings.node_pods(number))
    })
}

fn proxy_config(settings: &Settings, name: &str, number: u8) -> minisvc_proxy::Config {
    minisvc_proxy::Config {
        node: name.to_owned(),
        addresses: vec![settings.node_ip(number)],
        cluster_cidr: settings.pod_cidr,
        service_cidr: settings.service_cidr,
    }
}
