//! The order in which a write is admitted: the built-in steps, mutating policies, mutating webhooks, and those who ask for it
//! once more where somebody changed the object after them; later, when the object is known to be right, validating
//! policies and validating webhooks (apiserver `admission/reinvocation.go`, kube-apiserver's order of plugins).

use minisvc_api::status::Status;
use serde_json::Value;

use super::subject::Subject;
use crate::policies;
use crate::webhooks::{self, Rounds};

/// Lets all who may change the object do so; answers whether somebody but the built-in steps has.
pub(crate) async fn mutate(
    subject: &Subject<'_>,
    object: &mut Value,
    old: Option<&Value>,
    builtin: impl Fn(&mut Value) -> Result<(), Status>,
) -> Result<bool, Status> {
    builtin(object)?;
    if subject.call.identity.is_server {
        return Ok(false);
    }
    let mut changed = policies::mutate(subject, object, old)?;
    let hooks = webhooks::mutating(subject);
    let mut rounds = Rounds::default();
    if let Some(hooks) = &hooks {
        changed |= webhooks::mutate(subject, hooks, &mut rounds, Some(object), old).await?;
    }
    if !changed {
        return Ok(false);
    }
    let before = object.clone();
    builtin(object)?;
    policies::mutate_again(subject, object, old)?;
    if let Some(hooks) = &hooks {
        rounds.second(*object != before);
        webhooks::mutate(subject, hooks, &mut rounds, Some(object), old).await?;
    }
    Ok(true)
}

/// Denies what validating policies and webhooks deny. `object` is none on deletes, which mutating webhooks may refuse too.
pub(crate) async fn validate(subject: &Subject<'_>, object: Option<&Value>, old: Option<&Value>) -> Result<(), Status> {
    if subject.call.identity.is_server {
        return Ok(());
    }
    if object.is_none()
        && let Some(hooks) = webhooks::mutating(subject)
    {
        webhooks::mutate(subject, &hooks, &mut Rounds::default(), None, old).await?;
    }
    policies::validate(subject, object, old)?;
    webhooks::validate(subject, object, old).await
}
