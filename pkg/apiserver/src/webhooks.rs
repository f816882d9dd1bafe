//! Admission webhooks in the store, asked about every write and connection that they are for: mutating ones one after the
//! other, validating ones at once. What they are asked and what their answers mean is the API room's; the calls are
//! `client`'s. Configurations are compiled once for as long as none of them changes. Must not write.

pub(crate) mod client;
mod trust;

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use minisvc_api::patch;
use minisvc_api::policy::{self, Conditions, Outcome};
use minisvc_api::registry::Row;
use minisvc_api::status::Status;
use minisvc_api::webhook::{self, Remote, Verdict};
use minisvc_store::{Store, Stored};
use serde_json::{Value, json};

use crate::admission::subject::{Request, Subject};
use crate::conversion;
use crate::handlers::object;
use crate::http::body::Decoded;
use crate::http::query::FieldValidation;

pub(crate) use trust::Trust;

const VALIDATING: &str = "validatingwebhookconfigurations.admissionregistration.k8s.io";
const MUTATING: &str = "mutatingwebhookconfigurations.admissionregistration.k8s.io";

/// The webhooks of both kinds as they were last seen.
#[derive(Default)]
pub(crate) struct Webhooks {
    validating: RwLock<Option<Arc<Hooks>>>,
    mutating: RwLock<Option<Arc<Hooks>>>,
}

/// The webhooks of one kind: sorted by their configurations' names, and within one as it lists them.
pub(crate) struct Hooks {
    revisions: Vec<u64>,
    all: Vec<Hook>,
}

struct Hook {
    configuration: Arc<Stored>,
    index: usize,
    conditions: Conditions,
    remote: Result<Remote, String>,
}

impl Hook {
    fn spec(&self) -> &Value {
        &self.configuration.value["webhooks"][self.index]
    }

    fn name(&self) -> &str {
        self.spec()["name"].as_str().unwrap_or_default()
    }

    /// Whether a webhook that cannot be asked refuses the request.
    fn is_closed(&self) -> bool {
        self.spec()["failurePolicy"] != "Ignore"
    }
}

fn seen(cell: &RwLock<Option<Arc<Hooks>>>, store: &dyn Store, resource: &str) -> Option<Arc<Hooks>> {
    let configurations = store.list(resource, None).items;
    if configurations.is_empty() {
        return None;
    }
    let revisions: Vec<u64> = configurations.iter().map(|one| one.revision).collect();
    if let Some(hooks) = &*cell.read().unwrap_or_else(PoisonError::into_inner)
        && hooks.revisions == revisions
    {
        return Some(hooks.clone());
    }
    let each = configurations.iter().flat_map(|configuration| {
        let webhooks = configuration.value["webhooks"].as_array().map(Vec::as_slice).unwrap_or_default();
        webhooks.iter().enumerate().map(|(index, webhook)| Hook {
            configuration: configuration.clone(),
            index,
            conditions: Conditions::compile(&webhook["matchConditions"]),
            remote: Remote::read(&webhook["clientConfig"]),
        })
    });
    let hooks = Arc::new(Hooks { all: each.collect(), revisions });
    *cell.write().unwrap_or_else(PoisonError::into_inner) = Some(hooks.clone());
    Some(hooks)
}

/// What configures admission is no business of webhooks: a wrong one could not be taken back.
fn exempt(subject: &Subject<'_>) -> bool {
    subject.call.view.group == policy::GROUP
}

/// The mutating webhooks that there are for a subject; `None` for none.
pub(crate) fn mutating(subject: &Subject<'_>) -> Option<Arc<Hooks>> {
    let server = &subject.call.server;
    let hooks = seen(&server.webhooks.mutating, &*server.store, MUTATING);
    hooks.filter(|_| !exempt(subject))
}

/// Which webhooks were asked, and which are to be asked again (apiserver `mutating/reinvocationcontext.go`).
#[derive(Default)]
pub(crate) struct Rounds {
    is_second: bool,
    willing: HashSet<usize>,
    again: HashSet<usize>,
}

impl Rounds {
    /// Begins the second round; `changed`: others have changed the object since the first.
    pub(crate) fn second(&mut self, changed: bool) {
        self.is_second = true;
        if changed {
            self.changed();
        }
    }

    fn changed(&mut self) {
        self.again.extend(self.willing.drain());
    }
}

/// Why a webhook's answer does not let a request through.
enum Trouble {
    /// It could not be asked, or gave no answer.
    Calling(String),
    /// It said no.
    Refused(Status),
}

impl Trouble {
    /// The refusal of the request; `None` where the webhook may fail.
    fn refusal(self, hook: &Hook) -> Option<Status> {
        match self {
            Self::Refused(status) => Some(status),
            Self::Calling(why) => {
                let why = format!("failed calling webhook {:?}: {why}", hook.name());
                tracing::warn!(configuration = %hook.configuration.key.name, closed = hook.is_closed(), "{why}");
                hook.is_closed().then(|| Status::internal(why))
            }
        }
    }
}

/// A webhook that is to be asked, with the objects in the version that it wants.
struct Question<'a> {
    hook: &'a Hook,
    row: &'static Row,
    object: Option<Value>,
    old: Option<Value>,
}

/// Lets webhooks change the object one after the other; answers whether one did. Without an object they may only refuse.
pub(crate) async fn mutate(
    subject: &Subject<'_>,
    hooks: &Hooks,
    rounds: &mut Rounds,
    object: Option<&mut Value>,
    old: Option<&Value>,
) -> Result<bool, Status> {
    let request = Request::new(*subject);
    let old = old.map(|old| subject.shown(old));
    let mut shown = object.as_deref().map(|object| subject.shown(object));
    if let Some(shown) = &mut shown
        && subject.operation == "CREATE"
    {
        // The server gives these only after everybody has had a look.
        let unnamed = subject.unnamed.then_some("name");
        for key in ["uid", "creationTimestamp", "generation"].into_iter().chain(unnamed) {
            if let Some(metadata) = shown["metadata"].as_object_mut() {
                metadata.shift_remove(key);
            }
        }
    }
    let mut changed = false;
    for (index, hook) in hooks.all.iter().enumerate() {
        let Some(question) = question(&request, hook, shown.as_ref(), old.as_ref()).await? else { continue };
        if rounds.is_second && !rounds.again.contains(&index) {
            continue;
        }
        let outcome = match ask(&request, &question, true).await {
            Ok(verdict) => change(&request, &question, &verdict).await,
            Err(trouble) => Err(trouble),
        };
        match outcome {
            Ok(Some(new)) if shown.as_ref() != Some(&new) => {
                shown = Some(new);
                changed = true;
                rounds.changed();
            }
            Ok(_) => {}
            Err(trouble) => trouble.refusal(hook).map_or(Ok(()), Err)?,
        }
        if hook.spec()["reinvocationPolicy"] == "IfNeeded" {
            rounds.willing.insert(index);
        }
    }
    if changed && let (Some(object), Some(shown)) = (object, shown) {
        let mut new = subject.typed(shown)?;
        subject.keep(object, &mut new);
        *object = new;
    }
    Ok(changed)
}

/// Asks validating webhooks, all at once. The first refusal in their order counts.
pub(crate) async fn validate(subject: &Subject<'_>, object: Option<&Value>, old: Option<&Value>) -> Result<(), Status> {
    let server = &subject.call.server;
    let hooks = seen(&server.webhooks.validating, &*server.store, VALIDATING);
    let Some(hooks) = hooks.filter(|_| !exempt(subject)) else { return Ok(()) };
    let request = Request::new(*subject);
    let (object, old) = (object.map(|object| subject.shown(object)), old.map(|old| subject.shown(old)));
    let mut questions = Vec::new();
    for hook in &hooks.all {
        questions.extend(question(&request, hook, object.as_ref(), old.as_ref()).await?);
    }
    let answers = questions.iter().map(|question| ask(&request, question, false));
    let answers = futures::future::join_all(answers).await;
    let refused =
        answers.into_iter().zip(&questions).find_map(|(answer, question)| answer.err()?.refusal(question.hook));
    refused.map_or(Ok(()), Err)
}

/// What to ask a webhook about a request; `None` where it is not for it.
async fn question<'h>(
    request: &Request<'_>,
    hook: &'h Hook,
    object: Option<&Value>,
    old: Option<&Value>,
) -> Result<Option<Question<'h>>, Status> {
    let attributes = request.attributes(object, old);
    let Some(place) = policy::invoked(hook.spec(), &attributes).map_err(Status::internal)? else { return Ok(None) };
    let row = request.row(place);
    let question = Question {
        hook,
        row,
        object: in_version(request, row, object).await?,
        old: in_version(request, row, old).await?,
    };
    let attributes = request.attributes(question.object.as_ref(), question.old.as_ref());
    match hook.conditions.hold(&attributes) {
        Outcome::Matches => Ok(Some(question)),
        Outcome::Error(why) if hook.is_closed() => {
            Err(Status::forbidden_object(&request.subject.call.resource(), attributes.name, &why))
        }
        Outcome::Not | Outcome::Error(_) => Ok(None),
    }
}

/// An object as the client sees it, as `row` shows it.
async fn in_version(request: &Request<'_>, row: &'static Row, object: Option<&Value>) -> Result<Option<Value>, Status> {
    let view = request.subject.call.view;
    match object {
        Some(object) if request.subject.foreign.is_none() && !std::ptr::eq(row, view) => match view.conversion() {
            Some(_) => Ok(conversion::convert(&request.subject.call.server, &[object], row).await?.pop()),
            None => Ok(Some(row.shown(&view.kept(object)))),
        },
        other => Ok(other.cloned()),
    }
}

/// Asks one webhook.
async fn ask(request: &Request<'_>, question: &Question<'_>, mutating: bool) -> Result<Verdict, Trouble> {
    let (hook, call) = (question.hook, request.subject.call);
    let (spec, name) = (hook.spec(), hook.name());
    if request.is_dry() && !webhook::is_harmless(spec) {
        let why = format!("admission webhook {name:?} does not support dry run");
        return Err(Trouble::Refused(Status::bad_request(why)));
    }
    let calling = |what: &str, why: String| Trouble::Calling(format!("{what}: {why}"));
    let version = webhook::review_version(spec).map_err(|why| calling("could not create admission objects", why))?;
    let remote = hook.remote.as_ref().map_err(|why| calling("could not get REST client", why.clone()))?;
    let uid = uuid::Uuid::new_v4().to_string();
    let mut attributes = request.attributes(question.object.as_ref(), question.old.as_ref());
    let (asked, own) = ((attributes.group, attributes.version), request.kind(call.view));
    let (group, kind_version, kind) = request.kind(question.row);
    (attributes.group, attributes.version) = (question.row.group, question.row.version);
    (attributes.kind, attributes.kind_place) = (kind, (group, kind_version));
    let own = json!({"group": own.0, "version": own.1, "kind": own.2});
    let review = webhook::review(version, &uid, &attributes, asked, &own);
    let seconds = spec["timeoutSeconds"].as_u64().unwrap_or(webhook::SECONDS);
    let answer = client::post(&call.server, remote, &review, Duration::from_secs(seconds)).await;
    let answer = answer.map_err(|why| calling("failed to call webhook", why))?;
    let verdict = webhook::verdict(&answer, version, &uid, mutating);
    let verdict = verdict.map_err(|why| calling("received invalid webhook response", why))?;
    verdict.warnings.iter().for_each(|warning| call.note(warning.clone()));
    if !verdict.allowed {
        return Err(Trouble::Refused(webhook::denial(name, &verdict.status)));
    }
    Ok(verdict)
}

/// The object after the patch of an answer, as the client sees it; `None` where there is none.
async fn change(request: &Request<'_>, question: &Question<'_>, verdict: &Verdict) -> Result<Option<Value>, Trouble> {
    if verdict.patch.is_empty() {
        return Ok(None);
    }
    let undecodable = |why: String| Trouble::Calling(format!("received undecodable patch in webhook response: {why}"));
    let patch: Value = serde_json::from_slice(&verdict.patch).map_err(|cause| undecodable(cause.to_string()))?;
    match &patch {
        Value::Array(operations) if operations.is_empty() => return Ok(None),
        Value::Array(_) => {}
        _ => return Err(undecodable("it is no list of operations".to_owned())),
    }
    let broken = |why: String| Trouble::Refused(Status::internal(why));
    let Some(object) = &question.object else {
        let name = question.hook.name();
        let why = format!(
            "admission webhook {name:?} attempted to modify the object, which is not supported for this operation"
        );
        return Err(broken(why));
    };
    let patched = match patch::json_patch(object, &patch) {
        Err(patch::JsonPatchError::Malformed(why)) => return Err(undecodable(why)),
        patched => patched.map_err(|cause| broken(cause.to_string()))?,
    };
    let subject = &request.subject;
    let typed = match subject.foreign {
        Some(_) => subject.typed(patched),
        None => settled(subject, question.row, patched).await,
    };
    typed.map(Some).map_err(|status| broken(status.message))
}

/// An object in the form of `row`, typed and filled in, as the client sees it.
async fn settled(subject: &Subject<'_>, row: &'static Row, patched: Value) -> Result<Value, Status> {
    let call = subject.call;
    let mut value = object::clean(row, Decoded::of(patched), FieldValidation::Ignore)?.value;
    if row.conversion().is_some() {
        row.fill_defaults(&mut value, None);
        let mut converted = conversion::convert(&call.server, &[&value], call.view).await?;
        return Ok(converted.pop().unwrap_or_default());
    }
    call.rules().fill_defaults(&mut value, None);
    Ok(call.view.shown(&value))
}
