//! `minisvc up`.

use std::io::IsTerminal as _;
use std::net::IpAddr;
use std::process::ExitCode;

use anyhow::Result;
use minisvc_lab::kubeconfig;
use minisvc_lab::places::Places;
use minisvc_lab::settings::Settings;
use minisvc_lab::up::{Request, Up, up};

use crate::args::{Output, UpArgs};

pub(super) fn run(places: &Places, wanted: UpArgs, output: Output) -> Result<ExitCode> {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let owner = kubeconfig::locate(|name| std::env::var(name).ok(), &passwd, |path| path.exists());
    let owner = owner.filter(|_| !wanted.no_kubeconfig);
    let base = match Settings::load(places)? {
        Some(running) => running,
        None => Settings::kept(places)?.unwrap_or_default(),
    };
    let restore_export = wanted.restore_export;
    let (settings, explicit) = apply(base, wanted);
    let progress = output == Output::Text && std::io::stderr().is_terminal();
    let mut tell = |line: &str| {
        if progress {
            eprint!("\r\x1b[K{line} …");
        }
    };
    let done =
        super::on_one_thread(up(places, Request { settings, explicit, restore_export, kubeconfig: owner }, &mut tell));
    if progress {
        eprint!("\r\x1b[K");
    }
    let done = done?;
    match output {
        Output::Json => println!("{}", document(&done)),
        Output::Text => print_next_steps(&done),
    }
    Ok(ExitCode::SUCCESS)
}

/// Lays the flags over the settings; answers which flags were given.
fn apply(mut settings: Settings, wanted: UpArgs) -> (Settings, Vec<&'static str>) {
    let mut explicit = Vec::new();
    macro_rules! set {
        ($($flag:literal $field:ident <- $value:expr;)*) => {
            $(if let Some(value) = $value { settings.$field = value; explicit.push($flag); })*
        };
    }
    set! {
        "nodes" nodes <- wanted.nodes;
        "node-cidr" node_cidr <- wanted.node_cidr.map(|range| range.trunc());
        "pod-cidr" pod_cidr <- wanted.pod_cidr.map(|range| range.trunc());
        "service-cidr" service_cidr <- wanted.service_cidr.map(|range| range.trunc());
        "node-port-range" node_ports <- wanted.node_port_range;
        "lb-cidr" lb_cidr <- wanted.lb_cidr.map(|range| range.trunc());
        "outside-cidr" outside_cidr <- wanted.outside_cidr.map(|range| range.trunc());
        "link-cidr" link_cidr <- wanted.link_cidr.map(|range| range.trunc());
        "link" link <- wanted.link;
        "cluster-domain" cluster_domain <- wanted.cluster_domain;
        "lb-delay" lb_delay_ms <- wanted.lb_delay;
        "api" api <- wanted.api;
        "page" page <- wanted.page;
        "context" context <- wanted.context;
        "deprecation-warnings" deprecation_warnings <- wanted.deprecation_warnings.then_some(true);
        "upstream" upstreams <- (!wanted.upstream.is_empty()).then(|| wanted.upstream.clone());
    }
    if settings.upstreams.is_empty() {
        settings.upstreams = resolvers(&std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default());
    }
    (settings, explicit)
}

/// The name servers of a resolv.conf(5).
fn resolvers(text: &str) -> Vec<IpAddr> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            (words.next()? == "nameserver").then(|| words.next()?.parse().ok()).flatten()
        })
        .collect()
}

fn document(done: &Up) -> serde_json::Value {
    serde_json::json!({
        "server": format!("https://{}", done.settings.api),
        "context": done.settings.context,
        "kubeconfig": done.kubeconfig,
        "page": done.page,
        "started": done.started,
        "remarks": done.remarks,
        "settings": done.settings,
    })
}

fn print_next_steps(done: &Up) {
    let Up { settings, remarks, started, kubeconfig, page } = done;
    for remark in remarks {
        println!("note: {remark}");
    }
    let verb = if started.is_empty() { "was up already" } else { "is up" };
    println!("The lab {verb}: {} nodes Ready, cluster DNS at {}.", settings.nodes, settings.dns_ip());
    println!("  API       https://{}", settings.api);
    match kubeconfig {
        Some(path) => println!("  kubectl   context {} in {}", settings.context, path.display()),
        None => println!("  kubectl   minisvc kubeconfig > FILE; export KUBECONFIG=FILE"),
    }
    println!("  page      {page}");
    println!("Try:");
    println!("  kubectl create deployment blue --image=jpetazzo/color");
    println!("  kubectl expose deployment blue --port=80");
    println!("  curl http://$(kubectl get svc blue -o jsonpath={{.spec.clusterIP}})/");
    println!("Outside the cluster: minisvc outside -- curl …    On a node: minisvc shell node1    Stop: minisvc down");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_lie_over_what_was() {
        let base = Settings { nodes: 2, ..Settings::default() };
        let wanted =
            UpArgs { lb_delay: Some(10), pod_cidr: Some("10.50.3.0/16".parse().unwrap()), ..UpArgs::default() };
        let (settings, explicit) = apply(base, wanted);
        assert_eq!(explicit, ["pod-cidr", "lb-delay"]);
        assert_eq!((settings.nodes, settings.lb_delay_ms), (2, 10));
        assert_eq!(settings.pod_cidr.to_string(), "10.50.0.0/16");
    }

    #[test]
    fn resolvers_are_read() {
        let text = "# c\nsearch x\nnameserver 10.0.2.3\nnameserver ::1\noptions edns0\n";
        assert_eq!(resolvers(text), ["10.0.2.3".parse::<IpAddr>().unwrap(), "::1".parse().unwrap()]);
    }
}
