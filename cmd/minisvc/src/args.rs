//! The command line, as clap reads it. Words and defaults only.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use ipnet::Ipv4Net;

/// A Kubernetes networking lab on one Linux machine.
#[derive(Debug, Parser)]
#[command(name = "minisvc", version, about, max_term_width = 100)]
pub(crate) struct Args {
    /// Where the store, keys and logs are.
    #[arg(long, global = true, env = "MINISVC_STATE_DIR", default_value = minisvc_lab::places::DEFAULT_STATE)]
    pub(crate) state_dir: PathBuf,
    /// Where sockets and the running lab's settings are.
    #[arg(long, global = true, env = "MINISVC_RUN_DIR", default_value = minisvc_lab::places::DEFAULT_RUN)]
    pub(crate) run_dir: PathBuf,
    /// How answers are printed.
    #[arg(long, short, global = true, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// How answers are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// For scripts: one JSON document on standard output.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Start the lab, or repair what of it does not run. Needs root.
    Up(UpArgs),
    /// Stop the lab and leave the machine as it was.
    Down {
        /// Keep the store, so that the next `up` finds the same objects.
        #[arg(long)]
        keep_state: bool,
    },
    /// Back to the lesson's start: no objects but the lab's own, same keys, same kubeconfig.
    Reset,
    /// What runs, and where to reach it. Exit code 0: all Ready; 3: something is not; 4: no lab runs.
    Status,
    /// What this machine lacks, with the remedy for each.
    Doctor,
    /// A shell, or a command, on a node.
    Shell {
        /// `node1`, `edge`, ...
        place: String,
        /// The command; your shell when left out.
        #[arg(last = true)]
        command: Vec<OsString>,
    },
    /// A shell, or a command, outside the cluster: no route to pods or ClusterIPs.
    Outside {
        /// The command; your shell when left out.
        #[arg(last = true)]
        command: Vec<OsString>,
    },
    /// The cloud that gives LoadBalancer services their address.
    Cloud {
        /// Switch it on or off; left out, tell which it is.
        state: Option<Switch>,
    },
    /// Print the lab's kubeconfig.
    Kubeconfig,
    /// Print a process' log (`serve`, `edge`, `node1`), or that of a pod's container (NAMESPACE/POD[/CONTAINER]).
    Logs {
        /// Which; all processes when left out.
        what: Option<String>,
        /// Go on printing what comes.
        #[arg(long, short)]
        follow: bool,
    },
    /// (started by `up`) The control plane.
    #[command(hide = true)]
    Serve {
        /// As for `up`.
        #[arg(long)]
        restore_export: bool,
    },
    /// (started by `up`) Router, switch and cloud.
    #[command(hide = true)]
    Edge,
    /// (started by `up`) One node.
    #[command(hide = true)]
    Node {
        /// Its name.
        name: String,
    },
    /// (started by a node) A built-in program of a pod.
    #[command(hide = true)]
    Image {
        /// Its name.
        program: String,
        /// Its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    /// It gives addresses.
    On,
    /// Services stay pending.
    Off,
}

/// Every setting is optional here: what is left out is the running lab's, or the default.
#[derive(Debug, Clone, Default, ClapArgs)]
pub(crate) struct UpArgs {
    /// How many nodes [default: 3]
    #[arg(long)]
    pub(crate) nodes: Option<u8>,
    /// Addresses of nodes [default: 172.30.0.0/24, or the next free]
    #[arg(long)]
    pub(crate) node_cidr: Option<Ipv4Net>,
    /// Addresses of pods, a /24 for each node [default: 10.244.0.0/16]
    #[arg(long)]
    pub(crate) pod_cidr: Option<Ipv4Net>,
    /// ClusterIPs [default: 10.96.0.0/12]
    #[arg(long)]
    pub(crate) service_cidr: Option<Ipv4Net>,
    /// Node ports, FIRST-LAST [default: 30000-32767]
    #[arg(long, value_parser = port_range)]
    pub(crate) node_port_range: Option<(u16, u16)>,
    /// Addresses of load balancers [default: 203.0.113.0/24]
    #[arg(long)]
    pub(crate) lb_cidr: Option<Ipv4Net>,
    /// The network outside [default: 198.51.100.0/24, or the next free]
    #[arg(long)]
    pub(crate) outside_cidr: Option<Ipv4Net>,
    /// The link between this machine and the lab, a /30 [default: 172.30.255.0/30, or the next free]
    #[arg(long)]
    pub(crate) link_cidr: Option<Ipv4Net>,
    /// Name of that link on this machine [default: lab0]
    #[arg(long)]
    pub(crate) link: Option<String>,
    /// DNS domain of the cluster [default: cluster.local]
    #[arg(long)]
    pub(crate) cluster_domain: Option<String>,
    /// How long a load balancer stays pending, such as 2s or 500ms [default: 2s]
    #[arg(long, value_parser = duration_ms)]
    pub(crate) lb_delay: Option<u64>,
    /// Where the API server listens [default: 127.0.0.1:6443]
    #[arg(long)]
    pub(crate) api: Option<SocketAddr>,
    /// Where the live page listens [default: 127.0.0.1:6480]
    #[arg(long)]
    pub(crate) page: Option<SocketAddr>,
    /// Name of the kubeconfig context [default: minisvc]
    #[arg(long)]
    pub(crate) context: Option<String>,
    /// Resolver for names outside the cluster; may be repeated [default: those of /etc/resolv.conf]
    #[arg(long)]
    pub(crate) upstream: Vec<IpAddr>,
    /// Answer Endpoints requests with today's deprecation warning
    #[arg(long)]
    pub(crate) deprecation_warnings: bool,
    /// Replace a damaged store by its last export, losing what came after it
    #[arg(long)]
    pub(crate) restore_export: bool,
    /// Leave ~/.kube/config alone
    #[arg(long)]
    pub(crate) no_kubeconfig: bool,
}

fn port_range(text: &str) -> Result<(u16, u16), String> {
    let (first, last) = text.split_once('-').ok_or("must be FIRST-LAST")?;
    let port = |part: &str| part.trim().parse::<u16>().map_err(|error| format!("{part}: {error}"));
    Ok((port(first)?, port(last)?))
}

fn duration_ms(text: &str) -> Result<u64, String> {
    let (digits, factor) = match text {
        _ if text.ends_with("ms") => (&text[..text.len() - 2], 1),
        _ if text.ends_with('s') => (&text[..text.len() - 1], 1000),
        _ if text.ends_with('m') => (&text[..text.len() - 1], 60_000),
        _ => return Err("must end in ms, s or m".to_owned()),
    };
    digits.trim().parse::<u64>().map(|number| number * factor).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn places_are_taken_after_any_verb() {
        let args = Args::try_parse_from(["minisvc", "down", "--run-dir", "/r", "--state-dir", "/s"]).unwrap();
        assert_eq!((args.run_dir, args.state_dir), ("/r".into(), "/s".into()));
    }

    #[test]
    fn commands_follow_two_dashes() {
        let args = Args::try_parse_from(["minisvc", "outside", "--", "curl", "-m1", "http://x/"]).unwrap();
        assert!(matches!(args.verb, Verb::Outside { command } if command == ["curl", "-m1", "http://x/"]));
    }

    #[test]
    fn ranges_and_durations_are_read() {
        assert_eq!(port_range("30000-32767"), Ok((30000, 32767)));
        assert!(port_range("30000").is_err() && port_range("1-99999").is_err());
        assert_eq!((duration_ms("2s"), duration_ms("500ms"), duration_ms("1m")), (Ok(2000), Ok(500), Ok(60_000)));
        assert!(duration_ms("2").is_err() && duration_ms("xs").is_err());
    }
}
