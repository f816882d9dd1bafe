//! What must exist before the first request: namespaces, the services `kubernetes` and `kube-dns`, cluster DNS, RBAC.
//! Goes through the API like any client; what is there already is left alone, but what names this server's own
//! addresses is brought up to date.

pub(crate) mod objects;
mod roles;

use futures::future::try_join_all;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client};
use minisvc_api::registry;
use minisvc_store::{Key, StoreError, Write};
use serde_json::Value;

use crate::http::query::Query;
use crate::server::ApiServer;

/// Which object could not be made.
#[derive(Debug, thiserror::Error)]
#[error("bootstrap: create {object}: {cause}")]
pub struct BootstrapError {
    /// `Service kube-system/kube-dns`.
    pub object: String,
    /// What the API said.
    pub cause: Box<kube::Error>,
}

/// What happens to an object that exists.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Existing {
    /// A student may have changed it: leave it.
    Keep,
    /// It describes this very server: bring it up to date.
    Refresh,
}

impl ApiServer {
    /// Creates what a fresh cluster holds. May be called at every start.
    pub async fn bootstrap(&self) -> Result<(), BootstrapError> {
        // What is there already must not depend on pods that wait for this server.
        let client = self.own_client();
        // Namespaces first, the rest together: many writes share one commit.
        for object in objects::namespaces() {
            set_up(&client, object, Existing::Keep).await?;
        }
        let rest = objects::all(&self.inner.config).into_iter();
        try_join_all(rest.map(|(existing, object)| set_up(&client, object, existing))).await?;
        self.set_up_components().await?;
        self.inner.catch_up().await;
        // What a crash left undone.
        crate::definitions::settle(&self.inner).await.map_err(|status| BootstrapError {
            object: "CustomResourceDefinitions".into(),
            cause: Box::new(kube::Error::Service(status.message.into())),
        })?;
        tokio::spawn(self.inner.clone().keep_quotas());
        tokio::spawn(self.inner.clone().keep_flows());
        self.inner.register(true).await;
        tokio::spawn(self.inner.clone().keep_services());
        self.inner.health.started();
        for place in crate::health::PLACES {
            // The first look, so that there is one to tell of.
            crate::health::all(&self.inner, place, &Query::parse("")).await;
        }
        Ok(())
    }

    /// ComponentStatuses can only be read over the API: they go into the store directly.
    async fn set_up_components(&self) -> Result<(), BootstrapError> {
        for value in objects::components() {
            let name = value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            let key = Key::new("componentstatuses", "", name.as_str());
            match self.inner.store.commit(Write::Create { key, value }, false).await {
                Ok(_) | Err(StoreError::AlreadyExists(_)) => {}
                Err(cause) => {
                    let cause = Box::new(kube::Error::Service(cause.into()));
                    return Err(BootstrapError { object: format!("ComponentStatus {name}"), cause });
                }
            }
        }
        Ok(())
    }
}

async fn set_up(client: &Client, object: Value, existing: Existing) -> Result<(), BootstrapError> {
    ensure(client, &object, existing).await.map_err(|cause| BootstrapError {
        object: format!(
            "{} {}/{}",
            object["kind"].as_str().unwrap_or_default(),
            object["metadata"]["namespace"].as_str().unwrap_or_default(),
            object["metadata"]["name"].as_str().unwrap_or_default()
        ),
        cause: Box::new(cause),
    })
}

async fn ensure(client: &Client, object: &Value, existing: Existing) -> kube::Result<()> {
    let object: DynamicObject = serde_json::from_value(object.clone()).map_err(kube::Error::SerdeError)?;
    let types = object.types.clone().unwrap_or_default();
    let (group, version) = types.api_version.rsplit_once('/').unwrap_or(("", &types.api_version));
    // A kind that this build does not serve is nothing to set up.
    let Some(row) = registry::by_kind(group, version, &types.kind) else { return Ok(()) };
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, &types.kind), row.plural);
    let api: Api<DynamicObject> = match &object.metadata.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let name = object.metadata.name.clone().unwrap_or_default();
    match api.create(&PostParams::default(), &object).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 409 && existing == Existing::Keep => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 409 => {
            api.patch(&name, &PatchParams::default(), &Patch::Merge(&object)).await.map(drop)
        }
        Err(cause) => Err(cause),
    }
}
