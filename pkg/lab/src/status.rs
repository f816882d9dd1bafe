//! `status`: what runs and what is Ready, from the process table and the API. Changes nothing.

use anyhow::Result;
use serde::Serialize;

use crate::access;
use crate::places::Places;
use crate::processes::{self, Role};
use crate::ready::{self, Readiness};
use crate::settings::Settings;

/// One process of the lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// `serve`, `edge`, `node1`, ...
    pub name: String,
    /// Its pid, when it runs.
    pub pid: Option<i32>,
}

/// The lab as it is now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// Every part the lab should have.
    pub parts: Vec<Part>,
    /// Whether all run and are Ready.
    pub ready: bool,
    /// What is waited for, or that everything is Ready.
    pub message: String,
    /// The settings in force.
    pub settings: Settings,
    /// Address of the live page, with its token.
    pub page: Option<String>,
}

/// Looks; `None` when there is no lab here.
///
/// # Errors
/// When the process table or the settings cannot be read.
pub async fn status(places: &Places) -> Result<Option<Status>> {
    let Some(settings) = Settings::load(places)? else { return Ok(None) };
    let found = processes::find(&places.run)?;
    let mut roles = vec![Role::Serve, Role::Edge];
    roles.extend(settings.node_names().into_iter().map(Role::Node));
    let parts: Vec<Part> = roles
        .iter()
        .map(|role| Part { name: role.to_string(), pid: found.iter().find(|p| p.role == *role).map(|p| p.pid) })
        .collect();
    let stopped: Vec<&str> = parts.iter().filter(|part| part.pid.is_none()).map(|part| part.name.as_str()).collect();
    let (ready, message) = if stopped.is_empty() {
        let client = access::client(&places.kubeconfig_of("admin")).await?;
        let readiness = ready::look(&client, &settings).await;
        (readiness == Readiness::Ready, readiness.to_string())
    } else {
        (false, format!("{} not running: `minisvc up` starts what is missing", stopped.join(", ")))
    };
    let page = std::fs::read_to_string(places.page_token())
        .ok()
        .map(|token| format!("http://{}/#token={}", settings.page, token.trim()));
    Ok(Some(Status { parts, ready, message, settings, page }))
}
