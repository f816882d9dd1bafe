//! Whether the lab is Ready: every node, and cluster DNS answering at its service address. Only looks.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ListParams};

use crate::settings::Settings;

/// What is still missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// Nothing.
    Ready,
    /// The API server does not answer; the reason.
    Api(String),
    /// These nodes are not Ready.
    Nodes(Vec<String>),
    /// DNS does not answer.
    Dns,
}

/// Looks once.
pub async fn look(client: &kube::Client, settings: &Settings) -> Readiness {
    let nodes: Api<Node> = Api::all(client.clone());
    let list = match tokio::time::timeout(Duration::from_secs(2), nodes.list(&ListParams::default())).await {
        Ok(Ok(list)) => list,
        Ok(Err(error)) => return Readiness::Api(error.to_string()),
        Err(_) => return Readiness::Api("no answer within 2 s".to_owned()),
    };
    let ready: BTreeSet<String> =
        list.items.iter().filter(|node| is_ready(node)).filter_map(|n| n.metadata.name.clone()).collect();
    let missing: Vec<String> = settings.node_names().into_iter().filter(|name| !ready.contains(name)).collect();
    if !missing.is_empty() {
        return Readiness::Nodes(missing);
    }
    if dns_answers(settings.dns_ip(), &settings.cluster_domain).await { Readiness::Ready } else { Readiness::Dns }
}

/// Whether the node's Ready condition is True.
pub fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|list| list.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
}

/// Asks the cluster's DNS for `kubernetes.default.svc.DOMAIN` (RFC 1035: one question, type A) and wants one answer.
async fn dns_answers(server: Ipv4Addr, domain: &str) -> bool {
    let attempt = async {
        let socket = tokio::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.ok()?;
        socket.connect(SocketAddr::from((server, 53))).await.ok()?;
        let mut query = vec![0x4d, 0x53, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in format!("kubernetes.default.svc.{domain}").split('.').filter(|label| !label.is_empty()) {
            query.push(u8::try_from(label.len()).ok()?);
            query.extend_from_slice(label.as_bytes());
        }
        query.extend_from_slice(&[0, 0, 1, 0, 1]);
        socket.send(&query).await.ok()?;
        let mut answer = [0; 512];
        let length = socket.recv(&mut answer).await.ok()?;
        let ok = length > 12 && answer[..2] == query[..2] && answer[3] & 0x0f == 0 && answer[7] > 0;
        ok.then_some(())
    };
    matches!(tokio::time::timeout(Duration::from_millis(100), attempt).await, Ok(Some(())))
}

// === impl Readiness ===

impl std::fmt::Display for Readiness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Readiness::Ready => write!(f, "everything is Ready"),
            Readiness::Api(reason) => write!(f, "waiting for the API server ({reason})"),
            Readiness::Nodes(names) => write!(f, "waiting for {}", names.join(", ")),
            Readiness::Dns => write!(f, "waiting for cluster DNS"),
        }
    }
}
