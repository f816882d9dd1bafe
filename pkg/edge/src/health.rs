//! Asking nodes for their health: what to ask, what the answers mean, and the loop that asks. Must not decide what
//! follows from an answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use minisvc_kernel::until_beat;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{mpsc, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_millis(900);
/// How often in a row a healthy one must fail to be unhealthy; one success heals.
const FAILURES: u32 = 2;
/// Where a node's service proxy tells whether it is well.
const PROXY: u16 = 10256;
/// A port where nobody listens: the refusal is the sign of life, and no server is woken for it.
const DISCARD: u16 = 9;

/// A question to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Probe {
    /// Does this node port accept connections? If not, the fault may be the endpoint's that the node's die chose, so
    /// then: does the node's service proxy say that it is well (port 10256, as kube-proxy's)?
    NodePort {
        /// The node.
        address: Ipv4Addr,
        /// Its node port.
        port: u16,
    },
    /// Does `GET /healthz` answer 200: has the node an endpoint of its own (policy Local)?
    Healthz {
        /// The node.
        address: Ipv4Addr,
        /// The service's `healthCheckNodePort`.
        port: u16,
    },
    /// Is the node there at all?
    Alive {
        /// The node.
        address: Ipv4Addr,
    },
}

impl Probe {
    /// Asks once.
    pub async fn ask(self) -> bool {
        timeout(PATIENCE, async {
            match self {
                Self::NodePort { address, port } => {
                    let accepted = timeout(PATIENCE / 2, connect(address, port)).await;
                    matches!(accepted, Ok(Ok(_))) || healthz(address, PROXY).await.unwrap_or(false)
                }
                Self::Alive { address } => match connect(address, DISCARD).await {
                    Ok(_) => true,
                    Err(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
                },
                Self::Healthz { address, port } => healthz(address, port).await.unwrap_or(false),
            }
        })
        .await
        .unwrap_or(false)
    }
}

async fn connect(address: Ipv4Addr, port: u16) -> std::io::Result<TcpStream> {
    TcpStream::connect(SocketAddr::from((address, port))).await
}

async fn healthz(address: Ipv4Addr, port: u16) -> std::io::Result<bool> {
    let mut stream = connect(address, port).await?;
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {address}:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut start = [0; 12];
    stream.read_exact(&mut start).await?;
    Ok(start.starts_with(b"HTTP/1.") && start.ends_with(b" 200"))
}

/// What the answers so far mean. Pure.
#[derive(Debug, Default)]
pub struct Health {
    failures: BTreeMap<Probe, u32>,
    healthy: BTreeSet<Probe>,
}

impl Health {
    /// Notes an answer; tells whether it changed anything. The first answer counts at once.
    pub fn note(&mut self, probe: Probe, answer: bool) -> bool {
        if answer {
            self.failures.insert(probe, 0);
            return self.healthy.insert(probe);
        }
        let failures = self.failures.entry(probe).or_insert(0);
        *failures += 1;
        *failures >= FAILURES && self.healthy.remove(&probe)
    }

    /// Those that are well.
    pub fn healthy(&self) -> &BTreeSet<Probe> {
        &self.healthy
    }

    /// Whether it was asked often enough in vain.
    pub fn failed(&self, probe: &Probe) -> bool {
        self.failures.get(probe).is_some_and(|failures| *failures >= FAILURES)
    }

    /// Forgets all that are no longer asked.
    pub fn keep(&mut self, wanted: &BTreeSet<Probe>) {
        self.failures.retain(|probe, _| wanted.contains(probe));
        self.healthy.retain(|probe| wanted.contains(probe));
    }
}

/// How much more seldom nodes are asked while all that is asked is whether they live: no load balancer's traffic hangs
/// on the answer.
const SELDOM: u32 = 2;

/// Asks all wanted probes on the beat of `every` ([`until_beat`]), and new ones at once, until the receiver is gone.
/// Nothing is asked while nothing is wanted, and questions for mere life are asked half as often.
pub(crate) async fn ask_forever(
    every: Duration,
    mut wanted: watch::Receiver<BTreeSet<Probe>>,
    answers: mpsc::UnboundedSender<(Probe, bool)>,
) {
    let mut asked: BTreeSet<Probe> = BTreeSet::new();
    loop {
        let seldom = asked.iter().all(|probe| matches!(probe, Probe::Alive { .. }));
        let beat = if seldom { every * SELDOM } else { every };
        let all = tokio::select! {
            () = sleep(until_beat(beat)), if !asked.is_empty() => true,
            changed = wanted.changed() => match changed {
                Ok(()) => false,
                Err(_) => return,
            },
        };
        let now = wanted.borrow_and_update().clone();
        let mut asking = JoinSet::new();
        for probe in now.iter().filter(|probe| all || !asked.contains(*probe)).copied() {
            asking.spawn(async move { (probe, probe.ask().await) });
        }
        asked = now;
        while let Some(answer) = asking.join_next().await {
            if answer.is_ok_and(|answer| answers.send(answer).is_err()) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
