//! `pods/eviction` (policy/v1): a delete that PodDisruptionBudgets may refuse with 429. Follows Kubernetes'
//! `registry/core/pod/storage/eviction.go`: `budget` judges, this file writes.

use std::sync::Arc;

use axum::response::Response;
use http::StatusCode;
use jiff::Timestamp;
use minisvc_api::meta;
use minisvc_api::selector::LabelSelector;
use minisvc_api::status::Status;
use minisvc_store::{StoreError, Stored, Write};
use serde_json::Value;

use super::budget::{self, Verdict};
use crate::admission::chain;
use crate::admission::subject::{Foreign, Subject};
use crate::call::Call;
use crate::handlers::delete::{DeleteOptions, remove};
use crate::handlers::object::decode_as;
use crate::http::respond;

/// How often a write is tried again when its object changes in between.
const ATTEMPTS: usize = 64;
const BUDGETS: &str = "poddisruptionbudgets.policy";

/// `POST`.
pub(super) async fn evict(call: &Call) -> Result<Response, Status> {
    let dry_run = call.query.write_options("CreateOptions")?.dry_run;
    let version = if call.body.windows(14).any(|w| w == b"policy/v1beta1") { "policy/v1beta1" } else { "policy/v1" };
    let mut eviction = decode_as(&call.headers, &call.body, version, "Eviction")?.value;
    let name = call.info.name.as_str();
    match meta::name(&eviction) {
        "" => {}
        own if own != name => {
            return Err(Status::bad_request(format!("name in URL does not match name in Eviction object: {name}")));
        }
        _ => {}
    }
    let subject = Subject::foreign(call, "CREATE", Foreign::EVICTION);
    chain::mutate(&subject, &mut eviction, None, |_| Ok(())).await?;
    chain::validate(&subject, Some(&eviction), None).await?;
    let mut options = DeleteOptions::parse(&eviction["deleteOptions"], &call.query)?;
    options.admitted = true;
    options.dry_run |= dry_run;
    let pod = call.current()?;
    let mut guarded = None;
    if !budget::ignored(&pod.value) {
        guarded = permit(call, &pod.value, options.dry_run).await?;
    }
    if guarded.is_some() && options.revision.is_none() {
        options.revision = Some(pod.revision.to_string());
    }
    if !options.dry_run
        && let Some(marked) = announce(call, &options).await?
        && options.revision.is_some()
    {
        options.revision = Some(marked.revision.to_string());
    }
    match (remove(call, name, &options).await, guarded) {
        (Err(status), Some(budget)) if status.code == 409 => Err(budget::unsettled(&budget)),
        (Err(status), _) => Err(status),
        (Ok(_), _) => Ok(respond::value(StatusCode::CREATED, &Status::success().to_value(), call.accept)),
    }
}

/// Asks the budget over a pod, and takes one disruption from it. The budget's name when the pod may go only as it is
/// now.
async fn permit(call: &Call, pod: &Value, dry_run: bool) -> Result<Option<String>, Status> {
    for _ in 0..ATTEMPTS {
        let budgets = call.server.store.list(BUDGETS, Some(&call.info.namespace)).items;
        let over: Vec<_> = budgets.into_iter().filter(|b| covers(&b.value, pod)).collect();
        let one = match over.as_slice() {
            [] => return Ok(None),
            [one] => one,
            _ => {
                let message = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not \
                               support.";
                return Err(Status::new(500, "", message));
            }
        };
        let next = match budget::judge(&one.value, pod, Timestamp::now())? {
            Verdict::Unguarded => return Ok(Some(one.key.name.to_string())),
            Verdict::Taken(next) => next,
        };
        let write = Write::Update { key: one.key.clone(), expected: Some(one.revision), value: next };
        match call.server.store.commit(write, dry_run).await {
            Ok(_) => return Ok(None),
            Err(StoreError::Conflict { .. } | StoreError::NotFound(_)) => continue,
            Err(error) => return Err(call.refusal(error)),
        }
    }
    Err(Status::timeout("couldn't update PodDisruptionBudget due to conflicts", 10))
}

fn covers(budget: &Value, pod: &Value) -> bool {
    let selector = LabelSelector::from_object(&budget["spec"]["selector"]);
    selector.is_ok_and(|selector| selector.matches(&pod["metadata"]["labels"]))
}

/// Says in the pod's conditions why it goes; `None` when it says so already.
async fn announce(call: &Call, options: &DeleteOptions) -> Result<Option<Arc<Stored>>, Status> {
    let name = call.info.name.as_str();
    for _ in 0..ATTEMPTS {
        let old = call.find(name)?;
        let wrong_life = options.uid.as_deref().is_some_and(|uid| uid != meta::uid(&old.value));
        let wrong_state = options.revision.as_deref().is_some_and(|r| r != old.revision.to_string());
        if wrong_life || wrong_state {
            // The deletion that follows refuses in the right words.
            return Ok(None);
        }
        let Some(value) = budget::disrupted(&old.value, Timestamp::now()) else { return Ok(None) };
        let write = Write::Update { key: old.key.clone(), expected: Some(old.revision), value };
        match call.server.store.commit(write, false).await {
            Ok(stored) => return Ok(Some(stored)),
            Err(StoreError::Conflict { .. }) => continue,
            Err(error) => return Err(call.refusal(error)),
        }
    }
    Err(Status::conflict(&call.resource(), name))
}
