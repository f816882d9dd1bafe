//! Subresources that connect to what is behind an object: a pod's logs, exec, attach, port-forward, and the proxies of
//! pods, services and nodes. Here the request is checked and the place found; bytes then pass as they are. Must not
//! speak any stream protocol: the node does. Logs and watches alone, which have none, are put into WebSocket messages
//! here.

mod admit;
pub(crate) mod backend;
mod links;
pub(crate) mod location;
mod logs;
mod node;
mod proxy;
pub(crate) mod relay;
pub(crate) mod websocket;

use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, Method, Request, Uri};
use hyper::upgrade::OnUpgrade;
use minisvc_api::registry::{Row, Subresource};
use minisvc_api::status::Status;
use minisvc_store::{Key, Stored};

use crate::authz::{self, Attributes};
use crate::http::path::RequestInfo;
use crate::http::query::Query;
use crate::identity::Identity;
use crate::server::Inner;

pub(crate) use node::NodeClient;

/// A request for such a subresource, authorized, with its body unread.
pub(crate) struct Connect {
    pub(crate) server: Arc<Inner>,
    pub(crate) row: &'static Row,
    pub(crate) info: RequestInfo,
    pub(crate) query: Query,
    pub(crate) uri: Uri,
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    pub(crate) identity: Identity,
    pub(crate) body: Body,
    /// The client's connection, where it asked for another protocol.
    pub(crate) upgrade: Option<OnUpgrade>,
}

/// Marks answers that somebody may read as slowly as they like: a pager in front of logs, a paused terminal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lasting;

/// Whether a subresource is answered here.
pub(crate) fn connects(subresource: Subresource) -> bool {
    use Subresource::{Attach, Exec, Log, PortForward, Proxy};
    matches!(subresource, Log | Exec | Attach | PortForward | Proxy)
}

/// Answers; what admission warns of is in `notes`, whatever the answer is.
pub(crate) async fn answer(
    mut connect: Connect,
    subresource: Subresource,
    notes: &Arc<Mutex<Vec<String>>>,
) -> Result<Response, Status> {
    permit(&connect, subresource)?;
    admit::admit(&mut connect, subresource, notes).await?;
    let mut response = open(connect, subresource).await?;
    response.extensions_mut().insert(Lasting);
    Ok(response)
}

/// Whether the client may open such a stream.
fn permit(connect: &Connect, subresource: Subresource) -> Result<(), Status> {
    if !matches!(subresource, Subresource::Exec | Subresource::Attach | Subresource::PortForward) {
        return Ok(());
    }
    // A GET is WebSocket's way to ask for what POST asks for over SPDY: the same right is needed
    // (AuthorizePodWebsocketUpgradeCreatePermission).
    let question = Attributes {
        verb: "create",
        resource: "pods",
        subresource: &connect.info.subresource,
        namespace: &connect.info.namespace,
        name: &connect.info.name,
        ..Attributes::of(&connect.identity)
    };
    authz::require(&connect.server, &question)
}

async fn open(connect: Connect, subresource: Subresource) -> Result<Response, Status> {
    match subresource {
        Subresource::Proxy => proxy::answer(connect).await,
        Subresource::Log if connect.info.verb == "get" => logs::answer(connect).await,
        Subresource::Exec | Subresource::Attach | Subresource::PortForward
            if matches!(connect.info.verb.as_str(), "get" | "create") =>
        {
            stream(connect, subresource).await
        }
        _ => Err(Status::method_not_allowed()),
    }
}

/// exec, attach, port-forward: the upgrade is handed to the pod's node.
async fn stream(mut connect: Connect, subresource: Subresource) -> Result<Response, Status> {
    let pod = connect.current()?;
    let (namespace, name) = (&connect.info.namespace, &connect.info.name);
    let path = match subresource {
        Subresource::PortForward => format!("/portForward/{namespace}/{name}"),
        _ => {
            let container = location::container(&pod.value, connect.query.get("container"))?;
            let verb = if subresource == Subresource::Exec { "exec" } else { "attach" };
            format!("/{verb}/{namespace}/{name}/{container}")
        }
    };
    let node = pod.value["spec"]["nodeName"].as_str().unwrap_or_default();
    if node.is_empty() {
        return Err(Status::bad_request(format!("pod {name} does not have a host assigned")));
    }
    let backend = node::connect(&connect.server, node).await?;
    let query = connect.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let request = connect.request(&format!("{path}{query}"), relay::Headers::WithUpgrade)?;
    relay::send(backend, request, connect.upgrade.take(), &connect.server.shutdown)
        .await
        .map_err(|cause| Status::internal(format!("error dialing backend: {cause}")))
}

impl Connect {
    /// The object that the path names, or 404.
    fn current(&self) -> Result<Arc<Stored>, Status> {
        self.object(&self.row.resource(), &self.info.namespace, &self.info.name)
    }

    /// Any object by name, or 404.
    fn object(&self, resource: &str, namespace: &str, name: &str) -> Result<Arc<Stored>, Status> {
        let key = Key { resource: resource.into(), namespace: namespace.into(), name: name.into() };
        self.server.store.get(&key).ok_or_else(|| Status::not_found(resource, name))
    }

    /// The request for the place behind: method, headers that travel, body.
    fn request(&mut self, path_and_query: &str, headers: relay::Headers) -> Result<Request<Body>, Status> {
        let body = std::mem::replace(&mut self.body, Body::empty());
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = path_and_query
            .parse()
            .map_err(|cause| Status::bad_request(format!("not a path: {path_and_query:?}: {cause}")))?;
        *request.headers_mut() = relay::travelling(&self.headers, headers);
        if !request.headers().contains_key(http::header::HOST)
            && let Some(host) = self.uri.authority().and_then(|host| host.as_str().parse().ok())
        {
            request.headers_mut().insert(http::header::HOST, host);
        }
        Ok(request)
    }
}
