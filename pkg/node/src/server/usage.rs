//! What processes use, for metrics servers: `/metrics/resource` with the kubelet's names
//! (pkg/kubelet/metrics/collectors/resource_metrics.go). Counted from `/proc`, so that containers without control groups
//! have figures too: processor time of whatever lives and of what it has waited for, resident memory as the working set.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use jiff::Timestamp;

/// Ticks of processor times in `/proc` a second: the kernel's `USER_HZ`, the same on every machine.
const TICKS: f64 = 100.0;

/// One process, as this node's process numbers have it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Process {
    pid: i32,
    parent: i32,
    /// Its namespace of process numbers, as `/proc` names it.
    namespace: String,
    ticks: u64,
    bytes: u64,
}

/// A container that runs.
#[derive(Debug, Clone)]
pub(crate) struct Occupant {
    pub(crate) namespace: String,
    pub(crate) pod: String,
    pub(crate) container: String,
    pub(crate) since: Timestamp,
    /// Its first process.
    pub(crate) pid: i32,
    /// Whether others share its process numbers, so that only descendants are its own.
    pub(crate) shares: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct Usage {
    ticks: u64,
    bytes: u64,
}

impl Usage {
    fn of<'a>(processes: impl Iterator<Item = &'a Process>) -> Usage {
        processes
            .fold(Usage::default(), |sum, one| Usage { ticks: sum.ticks + one.ticks, bytes: sum.bytes + one.bytes })
    }
}

/// All processes of this node and its containers. Blocks on files of `/proc`.
pub(super) fn processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    // A process may end while it is looked at.
    pids.filter_map(|pid| {
        let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).ok();
        let namespace = fs::read_link(format!("/proc/{pid}/ns/pid")).ok()?.display().to_string();
        process(pid, namespace, &read("stat")?, &read("status")?)
    })
    .collect()
}

/// One process of what `stat` and `status` say (proc(5)).
fn process(pid: i32, namespace: String, stat: &str, status: &str) -> Option<Process> {
    // The name in parentheses may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |field: usize| fields.get(field).and_then(|text| text.parse::<u64>().ok());
    let ticks = (11..15).map(|field| number(field).unwrap_or_default()).sum();
    let resident =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<u64>().ok());
    Some(Process {
        pid,
        parent: i32::try_from(number(1)?).ok()?,
        namespace,
        ticks,
        bytes: resident.unwrap_or_default() * 1024,
    })
}

/// The processes of a container.
fn own<'a>(all: &'a [Process], occupant: &Occupant) -> Vec<&'a Process> {
    let first = all.iter().find(|process| process.pid == occupant.pid);
    let Some(first) = first else { return Vec::new() };
    if !occupant.shares {
        return all.iter().filter(|process| process.namespace == first.namespace).collect();
    }
    let mut family = BTreeSet::from([first.pid]);
    loop {
        let before = family.len();
        family.extend(
            all.iter()
                .filter(|process| family.contains(&process.parent))
                .map(|process| process.pid)
                .collect::<Vec<_>>(),
        );
        if family.len() == before {
            return all.iter().filter(|process| family.contains(&process.pid)).collect();
        }
    }
}

/// The page of these processes and containers.
pub(super) fn page(all: &[Process], occupants: &[Occupant]) -> String {
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, samples: Vec<(String, f64)>| {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    };
    let seconds = |usage: Usage| usage.ticks as f64 / TICKS;
    let bytes = |usage: Usage| usage.bytes as f64;
    let used: Vec<(String, Usage)> =
        occupants.iter().map(|one| (labels(one), Usage::of(own(all, one).into_iter()))).collect();
    let started = occupants.iter().map(|one| (labels(one), one.since.as_millisecond() as f64 / 1000.0)).collect();
    let mut pods: Vec<(String, Usage)> = Vec::new();
    for (one, (_, usage)) in occupants.iter().zip(&used) {
        let labels = format!("{{namespace=\"{}\",pod=\"{}\"}}", one.namespace, one.pod);
        match pods.iter_mut().find(|(known, _)| *known == labels) {
            Some((_, sum)) => *sum = Usage { ticks: sum.ticks + usage.ticks, bytes: sum.bytes + usage.bytes },
            None => pods.push((labels, *usage)),
        }
    }
    let each = |of: &[(String, Usage)], value: &dyn Fn(Usage) -> f64| {
        of.iter().map(|(labels, usage)| (labels.clone(), value(*usage))).collect::<Vec<_>>()
    };
    let node = [(String::new(), Usage::of(all.iter()))];
    let cpu = "Processor time that it has used, seconds of one core.";
    let memory = "Memory that it uses now, bytes.";
    family("container_cpu_usage_seconds_total", "counter", cpu, each(&used, &seconds));
    family("container_memory_working_set_bytes", "gauge", memory, each(&used, &bytes));
    family("container_start_time_seconds", "gauge", "When it began, seconds since 1970.", started);
    family("node_cpu_usage_seconds_total", "counter", cpu, each(&node, &seconds));
    family("node_memory_working_set_bytes", "gauge", memory, each(&node, &bytes));
    family("pod_cpu_usage_seconds_total", "counter", cpu, each(&pods, &seconds));
    family("pod_memory_working_set_bytes", "gauge", memory, each(&pods, &bytes));
    let failed = f64::from(u8::from(all.is_empty()));
    family("resource_scrape_error", "gauge", "1 when the figures could not be had.", vec![(String::new(), failed)]);
    text
}

fn labels(one: &Occupant) -> String {
    format!("{{container=\"{}\",namespace=\"{}\",pod=\"{}\"}}", one.container, one.namespace, one.pod)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(pid: i32, parent: i32, namespace: &str, ticks: u64) -> Process {
        let stat = format!("{pid} (a) b (c)) S {parent} 1 1 0 -1 0 0 0 0 0 {ticks} 0 0 0 20 0 1 0 5 4096 3");
        process(pid, namespace.to_owned(), &stat, "Name:\ta\nVmRSS:\t      4 kB\n").unwrap()
    }

    fn occupant(container: &str, pid: i32, shares: bool) -> Occupant {
        let since = Timestamp::from_second(1_000).unwrap();
        Occupant { namespace: "n".into(), pod: "p".into(), container: container.into(), since, pid, shares }
    }

    #[test]
    fn processes_are_their_containers() {
        let all = [
            made(1, 0, "node", 100),
            made(10, 1, "a", 200),
            made(11, 10, "a", 50),
            // Somebody's exec: a child of the node in the container's namespace.
            made(12, 1, "a", 25),
            made(20, 1, "node", 300),
            made(21, 20, "node", 100),
        ];
        let page = page(&all, &[occupant("own", 10, false), occupant("shared", 20, true), occupant("gone", 99, false)]);
        for line in [
            "container_cpu_usage_seconds_total{container=\"own\",namespace=\"n\",pod=\"p\"} 2.75",
            "container_cpu_usage_seconds_total{container=\"shared\",namespace=\"n\",pod=\"p\"} 4",
            "container_cpu_usage_seconds_total{container=\"gone\",namespace=\"n\",pod=\"p\"} 0",
            "container_memory_working_set_bytes{container=\"own\",namespace=\"n\",pod=\"p\"} 12288",
            "container_start_time_seconds{container=\"own\",namespace=\"n\",pod=\"p\"} 1000",
            "pod_cpu_usage_seconds_total{namespace=\"n\",pod=\"p\"} 6.75",
            "node_cpu_usage_seconds_total 7.75",
            "node_memory_working_set_bytes 24576",
            "resource_scrape_error 0",
        ] {
            assert!(page.lines().any(|each| each == line), "{line}:\n{page}");
        }
    }

    #[test]
    fn this_process_is_among_them() {
        let own = i32::try_from(std::process::id()).unwrap();
        let found = processes().into_iter().find(|process| process.pid == own).unwrap();
        assert!(found.bytes > 0 && found.namespace.starts_with("pid:["), "{found:?}");
        assert!(process(1, String::new(), "nonsense", "").is_none());
    }
}
