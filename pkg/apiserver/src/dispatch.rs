//! From a request to its handler: identity, rights, then what the path names. Must not contain any handler's rules.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ::http::Request;
use ::http::request::Parts;
use axum::body::Body;
use axum::response::Response;
use futures::FutureExt as _;
use hyper::upgrade::OnUpgrade;
use minisvc_api::discovery;
use minisvc_api::meta::Part;
use minisvc_api::registry::{Row, Subresource};
use minisvc_api::status::Status;

use crate::aggregation::{self, Forward};
use crate::authn::{authenticate, subprotocol};
use crate::authz::{self, Attributes};
use crate::call::Call;
use crate::flows::Flow;
use crate::handlers::{create, delete, get, list, patch, subresource, update, watch};
use crate::http::body;
use crate::http::negotiate::{Accept, Encoding, PRODUCED, Shape};
use crate::http::path::RequestInfo;
use crate::http::query::Query;
use crate::http::respond;
use crate::identity::{Identity, Peer};
use crate::server::Inner;
use crate::streams::{self, Connect, websocket};
use crate::{dashboard, definitions, policies, reviews, standing};

/// What authenticated clients of Endpoints hear from Kubernetes 1.33 on.
const ENDPOINTS_WARNING: &str = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice";
/// What clients of ComponentStatus hear.
const COMPONENTS_WARNING: &str = "v1 ComponentStatus is deprecated in v1.19+";

/// Answers any request.
pub(crate) async fn dispatch(server: Arc<Inner>, request: Request<Body>) -> Response {
    let (mut parts, body) = request.into_parts();
    let peer = parts.extensions.get::<Peer>().cloned().unwrap_or(Peer::Unknown);
    let path = parts.uri.path().to_owned();
    if let Some(file) = dashboard::file(&parts.method, &path, &peer) {
        return file;
    }
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let info = RequestInfo::parse(&parts.method, &path, &query);
    let pretty = query.has("pretty").then(|| query.flag("pretty"));
    let upgrade = parts.extensions.remove::<OnUpgrade>();
    let token = subprotocol::take_token(&mut parts.headers);
    let time = match token.and_then(|()| server.config.limits.time_for(&info, &query)) {
        Ok(time) => time,
        Err(status) => return respond::failure(&status, Accept::of(&parts.headers, pretty).ok()),
    };
    // A panic costs its own request and nobody else's on the same connection.
    let flow = OnceLock::new();
    let answer = AssertUnwindSafe(answer(server, &parts, upgrade, &peer, info, query, body, &flow)).catch_unwind();
    let outcome = match time {
        Some(time) => tokio::time::timeout(time, answer).await,
        None => Ok(answer.await),
    };
    let outcome = match outcome {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_panic)) => Err(Status::internal(format!("{} {path}: the handler panicked", parts.method))),
        Err(_late) => Err(Status::timeout("request did not complete within the allotted timeout", 0)),
    };
    let mut response = match outcome {
        Ok(response) => response,
        Err(status) => respond::failure(&status, Accept::of(&parts.headers, pretty).ok()),
    };
    if let Some(flow) = flow.get() {
        flow.tell(&mut response);
    }
    response
}

async fn answer(
    server: Arc<Inner>,
    parts: &Parts,
    upgrade: Option<OnUpgrade>,
    peer: &Peer,
    info: RequestInfo,
    query: Query,
    body: Body,
    flow: &OnceLock<Flow>,
) -> Result<Response, Status> {
    let (method, headers) = (&parts.method, &parts.headers);
    let identity = authenticate(&server, peer, headers)?;
    let _ = flow.set(Flow::of(&server, &identity, &info));
    let Ok(_place) = server.gate.enter(&identity, &info) else { return Ok(respond::busy()) };
    authorize(&server, &identity, &info, &query)?;
    if let Some(known) = server.aggregated(&info) {
        let forward = Forward { server, known, parts, identity: &identity, body, upgrade };
        return Ok(aggregation::forward(forward).await);
    }
    if !info.resource_request {
        return standing::answer(&server, method, headers, &info, &query).await;
    }
    let catalog = server.catalog();
    if discovery::api_resource_list(catalog.rows(), &info.group, &info.version).is_none() {
        return Ok(standing::not_found());
    }
    // What is behind a proxy may know methods that this server does not.
    if info.verb.is_empty() && info.subresource != "proxy" {
        return Err(Status::method_not_allowed());
    }
    let row = catalog.find(&info.group, &info.version, &info.resource);
    let pretty = query.has("pretty").then(|| query.flag("pretty"));
    let accept = Accept::of(headers, pretty);
    let call = |row: &'static Row, subresource, accept, body| Call {
        server: server.clone(),
        row: row.stored(),
        view: row,
        subresource,
        info: info.clone(),
        query: query.clone(),
        headers: headers.clone(),
        identity: identity.clone(),
        accept,
        body,
        notes: Arc::default(),
        conversions: Arc::default(),
    };
    let Some(row) = row else {
        let pods = catalog.find("", "v1", "pods");
        return match (reviews::find(&info), pods) {
            (Some(kind), Some(pods)) if kind.kind == "Binding" && info.verb == "create" => {
                let call = call(pods, None, accept?, body::read(body).await?);
                subresource::bind_collection(&call).await
            }
            (Some(kind), _) if info.verb == "create" => {
                let accept = accept?;
                // A review has no metadata to show and no Table.
                if accept.shape != Shape::Plain {
                    return Err(Status::not_acceptable(&PRODUCED));
                }
                query.write_options("CreateOptions")?;
                let body = body::read(body).await?;
                reviews::answer(&server, &identity, kind, &info.namespace, headers, &body, accept)
            }
            (Some(_), _) => Err(Status::method_not_allowed()),
            _ => Err(Status::unknown_resource()),
        };
    };
    let subresource = match info.subresource.as_str() {
        "" => None,
        name => Some(subresource_of(row, name)?),
    };
    fits(row, &info)?;
    if let Some(subresource) = subresource.filter(|subresource| streams::connects(*subresource)) {
        let (uri, method, headers) = (parts.uri.clone(), method.clone(), headers.clone());
        let connect = Connect { server, row, info, query, uri, method, headers, identity, body, upgrade };
        let notes = Arc::default();
        return warned(streams::answer(connect, subresource, &notes).await, accept.ok(), &notes);
    }
    let accept = accept?;
    if row.custom.is_some() && (accept.shape, accept.encoding) == (Shape::Plain, Encoding::Protobuf) {
        // Custom objects have no messages; their metadata has.
        return Err(Status::not_acceptable(&PRODUCED[..2]));
    }
    let call = call(row, subresource, accept, body::read(body).await?);
    definitions::admit(&call)?;
    let mut response = match route(&call).await {
        Ok(watch) if call.info.verb == "watch" && websocket::is_asked_for(&call.headers) => {
            if call.accept.encoding == Encoding::Protobuf {
                // Its frames would need messages of bytes, which no client asks for.
                return Err(Status::not_acceptable(&PRODUCED[..1]));
            }
            websocket::lines(&call.headers, upgrade, watch.into_body(), &server.shutdown)?
        }
        Ok(response) => response,
        refused => return warned(refused, Some(call.accept), &call.notes),
    };
    if definitions::concerns(&call) {
        definitions::settle(&call.server).await?;
        // Most writes of custom objects change nothing of what is served.
        if !Arc::ptr_eq(&catalog, &call.server.catalog()) {
            call.server.register(false).await;
        }
    }
    if policies::concerns(&call) {
        policies::settle(&call.server).await?;
    }
    respond::warn(&mut response, &definitions::warnings(&call));
    respond::warn(&mut response, &call.noted());
    if server.config.endpoints_warning && call.resource() == "endpoints" {
        respond::warn(&mut response, &[ENDPOINTS_WARNING.into()]);
    }
    if call.resource() == "componentstatuses" {
        respond::warn(&mut response, &[COMPONENTS_WARNING.into()]);
    }
    Ok(response)
}

/// An answer, or a refusal, with what was noted on the way.
fn warned(
    answer: Result<Response, Status>,
    accept: Option<Accept>,
    notes: &Mutex<Vec<String>>,
) -> Result<Response, Status> {
    let notes = std::mem::take(&mut *notes.lock().unwrap_or_else(PoisonError::into_inner));
    if notes.is_empty() {
        return answer;
    }
    let mut response = answer.unwrap_or_else(|status| respond::failure(&status, accept));
    respond::warn(&mut response, &notes);
    Ok(response)
}

fn authorize(server: &Inner, identity: &Identity, info: &RequestInfo, query: &Query) -> Result<(), Status> {
    let name = match info.verb.as_str() {
        // A list or watch of one object by name may be allowed where the whole is not.
        "list" | "watch" if info.name.is_empty() => named(query.get("fieldSelector")),
        // A Namespace's own path names it as namespace and as object.
        "create" if info.subresource.is_empty() => "",
        _ => info.name.as_str(),
    };
    let question = Attributes {
        verb: &info.verb,
        group: &info.group,
        resource: &info.resource,
        subresource: &info.subresource,
        namespace: &info.namespace,
        name,
        path: (!info.resource_request).then_some(info.path.as_str()),
        ..Attributes::of(identity)
    };
    authz::require(server, &question)
}

/// The name in a field selector that is nothing but `metadata.name=x`.
fn named(selector: &str) -> &str {
    let name = selector.strip_prefix("metadata.name=").unwrap_or_default().trim_start_matches('=');
    if name.contains([',', '=']) { "" } else { name }
}

/// 404 for a namespaced kind outside a namespace, where only collections may be read, and for a cluster-scoped kind
/// inside one.
fn fits(row: &Row, info: &RequestInfo) -> Result<(), Status> {
    let own_path = row.kind == "Namespace";
    if !row.namespaced && !info.namespace.is_empty() && !own_path {
        return Err(Status::unknown_resource());
    }
    if row.namespaced && info.namespace.is_empty() {
        return match info.verb.as_str() {
            "list" | "watch" if info.name.is_empty() => Ok(()),
            "create" | "deletecollection" => Err(Status::method_not_allowed()),
            _ => Err(Status::unknown_resource()),
        };
    }
    Ok(())
}

fn subresource_of(row: &Row, name: &str) -> Result<Subresource, Status> {
    let known = [
        ("status", Subresource::Status),
        ("approval", Subresource::Approval),
        ("scale", Subresource::Scale),
        ("binding", Subresource::Binding),
        ("eviction", Subresource::Eviction),
        ("ephemeralcontainers", Subresource::EphemeralContainers),
        ("resize", Subresource::Resize),
        ("token", Subresource::Token),
        ("finalize", Subresource::Finalize),
        ("log", Subresource::Log),
        ("exec", Subresource::Exec),
        ("attach", Subresource::Attach),
        ("portforward", Subresource::PortForward),
        ("proxy", Subresource::Proxy),
    ];
    let found = known.iter().find(|(known, subresource)| *known == name && row.has(*subresource));
    found.map(|(_, subresource)| *subresource).ok_or_else(Status::unknown_resource)
}

async fn route(call: &Call) -> Result<Response, Status> {
    if let Some(subresource) = call.subresource {
        return subresource::route(call, subresource).await;
    }
    let verb = call.info.verb.as_str();
    if !call.view.verbs.contains(&verb) {
        return Err(Status::method_not_allowed());
    }
    let named = !call.info.name.is_empty();
    match verb {
        "get" => get::get(call).await,
        "list" => list::list(call).await,
        "watch" => watch::watch(call).await,
        "create" if !named => create::create(call).await,
        "update" if named => update::update(call, Part::Main).await,
        "patch" if named => patch::patch(call, Part::Main).await,
        "delete" => delete::delete(call).await,
        "deletecollection" => delete::delete_collection(call).await,
        _ => Err(Status::method_not_allowed()),
    }
}
