//! TLS to webhooks: whose certificates are believed is what a configuration names, else what the machine does.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::ClientConfig;

use crate::belief::Belief;

/// Sets of authorities that are kept.
const KEPT: usize = 64;

/// TLS configurations by the authorities that they believe, made once each.
#[derive(Default)]
pub(crate) struct Trust(Mutex<HashMap<Vec<u8>, Arc<ClientConfig>>>);

impl Trust {
    /// The configuration that believes these authorities (PEM); the machine's where there are none.
    pub(super) fn config(&self, authorities: &[u8]) -> Result<Arc<ClientConfig>, String> {
        if let Some(config) = self.0.lock().get(authorities) {
            return Ok(config.clone());
        }
        let config = Arc::new(build(authorities)?);
        let mut kept = self.0.lock();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(authorities.to_vec(), config.clone());
        Ok(config)
    }
}

fn build(authorities: &[u8]) -> Result<ClientConfig, String> {
    let mut config = Belief::of(authorities)?.client()?.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
