//! The way to a node's own server: its address from the Node object, TLS with this server's client certificate.

use std::sync::{Arc, OnceLock};

use axum::body::Body;
use hyper::client::conn::http1::SendRequest;
use minisvc_api::status::Status;
use minisvc_store::Key;
use rustls::ClientConfig;

use super::{backend, location};
use crate::pki::{Pki, PkiError};
use crate::server::Inner;

/// This server as a client of nodes; its keys are made at first use.
#[derive(Default)]
pub(crate) struct NodeClient(OnceLock<Arc<ClientConfig>>);

impl NodeClient {
    pub(super) fn tls(&self, pki: &Pki) -> Result<Arc<ClientConfig>, PkiError> {
        if let Some(config) = self.0.get() {
            return Ok(config.clone());
        }
        let config = pki.node_client_config()?;
        Ok(self.0.get_or_init(|| config).clone())
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
