//! Which kinds the server has, by discovery: what namespaces clear and the garbage collector watches.

use kube::Client;
use kube::core::ApiResource;
use kube::discovery::{Discovery, Scope, verbs};

/// One kind in its preferred version.
#[derive(Debug, Clone)]
pub(crate) struct Kind {
    pub(crate) resource: ApiResource,
    pub(crate) namespaced: bool,
    pub(crate) deletable: bool,
    /// Can be listed and watched.
    pub(crate) watchable: bool,
}

/// Asks the server.
pub(crate) async fn discover(client: &Client) -> Result<Vec<Kind>, kube::Error> {
    let discovery = Discovery::new(client.clone()).run().await?;
    let mut kinds = Vec::new();
    for group in discovery.groups() {
        for (resource, capabilities) in group.recommended_resources() {
            kinds.push(Kind {
                namespaced: capabilities.scope == Scope::Namespaced,
                deletable: capabilities.supports_operation(verbs::DELETE),
                watchable: capabilities.supports_operation(verbs::LIST)
                    && capabilities.supports_operation(verbs::WATCH),
                resource,
            });
        }
    }
    Ok(kinds)
}
