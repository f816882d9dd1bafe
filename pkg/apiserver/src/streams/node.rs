//! The way to a node's own server: its address from the Node object, TLS with this server's client certificate.

use std::sync::Arc;

use axum::body::Body;
use hyper::client::conn::http1::SendRequest;
use minisvc_api::status::Status;
use minisvc_store::Key;
use parking_lot::Mutex;
use rustls::ClientConfig;

use super::{backend, location};
use crate::pki::{Pki, PkiError};
use crate::server::Inner;

/// This server as a client of nodes; its keys are made at first use, by one request while others wait.
#[derive(Default)]
pub(crate) struct NodeClient(Mutex<Option<Arc<ClientConfig>>>);

impl NodeClient {
    pub(super) fn tls(&self, pki: &Pki) -> Result<Arc<ClientConfig>, PkiError> {
        let mut made = self.0.lock();
        if let Some(config) = &*made {
            return Ok(config.clone());
        }
        let config = pki.node_client_config()?;
        *made = Some(config.clone());
        Ok(config)
    }
}

/// A connection to the server of the node of that name.
pub(super) async fn connect(server: &Inner, name: &str) -> Result<SendRequest<Body>, Status> {
    let key = Key { resource: "nodes".into(), namespace: "".into(), name: name.into() };
    let node = server.store.get(&key).ok_or_else(|| Status::not_found("nodes", name))?;
    let Some((address, port)) = location::of_node(&node.value) else {
        return Err(Status::internal(format!("node {name} says no address and port for its server")));
    };
    let tls = server.node_client.tls(&server.config.pki).map_err(Status::internal)?;
    let connected = backend::connect(address, port, Some(tls)).await;
    connected.map_err(|cause| Status::internal(format!("error dialing backend: {cause}")))
}
