//! The proxy subresources of pods, services and nodes: any method, any path behind them (apimachinery
//! `proxy/upgradeaware.go` and `transport.go`). Redirects and the links of pages stay behind the proxy.

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures::StreamExt as _;
use http::{HeaderValue, Method, StatusCode, header};
use hyper::client::conn::http1::SendRequest;
use minisvc_api::status::Status;
use minisvc_store::Key;
use serde_json::Value;

use super::location::{self, Location, Target};
use super::{Connect, backend, links, node, relay};
use crate::http::respond;
use crate::server::Inner;

/// Endpoints of a service that are tried, each after the other's refusal.
const TRIES: usize = 3;

/// Every method.
pub(super) async fn answer(mut connect: Connect) -> Result<Response, Status> {
    let path = connect.uri.path().to_owned();
    // `/api/v1/namespaces/NS/pods/NAME/proxy/REST`, and two parts less outside namespaces.
    let parts = if connect.row.namespaced { 7 } else { 5 };
    let (before, rest) = split(&path, parts).ok_or_else(Status::unknown_resource)?;
    if rest.is_empty() && matches!(connect.method, Method::GET | Method::HEAD) {
        let query = connect.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let mut response = respond::text(StatusCode::MOVED_PERMANENTLY, "");
        if let Ok(to) = HeaderValue::from_str(&format!("{path}/{query}")) {
            response.headers_mut().insert(header::LOCATION, to);
        }
        return Ok(response);
    }
    let places = places(&connect)?;
    let backend = reach(&connect.server, places).await?;
    let query = connect.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let rest = if rest.is_empty() { "/" } else { rest };
    let upgrades = relay::wants_upgrade(&connect.headers);
    let mode = if upgrades { relay::Headers::WithUpgrade } else { relay::Headers::Plain };
    let mut request = connect.request(&format!("{rest}{query}"), mode)?;
    if let Ok(uri) = HeaderValue::from_str(&path) {
        request.headers_mut().insert("x-forwarded-uri", uri);
    }
    if let Some(host) = request.headers().get(header::HOST).cloned() {
        request.headers_mut().insert("x-forwarded-host", host);
    }
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned();
    let client = connect.upgrade.take().filter(|_| upgrades);
    let sent = relay::send(backend, request, client, &connect.server.shutdown).await;
    let mut response = sent.map_err(unreachable)?;
    let to = response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
    if let Some(to) = to.and_then(|to| rewritten(to, &host, before)).and_then(|to| HeaderValue::from_str(&to).ok()) {
        response.headers_mut().insert(header::LOCATION, to);
    }
    match connect.method != Method::HEAD && is_page(&response) {
        true => with_links(response, &host, before).await,
        false => Ok(response),
    }
}

/// HTML that is not compressed.
fn is_page(response: &Response) -> bool {
    let header = |name| response.headers().get(name).map(HeaderValue::as_bytes).unwrap_or_default();
    header(header::CONTENT_TYPE).starts_with(b"text/html") && header(header::CONTENT_ENCODING).is_empty()
}

/// The page with its links led through the proxy; as it is where it is too large or not text.
async fn with_links(response: Response, host: &str, before: &str) -> Result<Response, Status> {
    let (mut head, body) = response.into_parts();
    let mut rest = body.into_data_stream();
    let mut page = Vec::new();
    while let Some(chunk) = rest.next().await {
        page.extend_from_slice(&chunk.map_err(unreachable)?);
        if page.len() > links::LIMIT {
            let start = futures::stream::iter([Ok(Bytes::from(page))]);
            return Ok(Response::from_parts(head, Body::from_stream(start.chain(rest))));
        }
    }
    if let Ok(text) = std::str::from_utf8(&page) {
        page = links::rewrite(text, |link| rewritten(link, host, before)).into_bytes();
        head.headers.insert(header::CONTENT_LENGTH, page.len().into());
    }
    Ok(Response::from_parts(head, Body::from(page)))
}

fn unreachable(cause: impl std::fmt::Display) -> Status {
    Status::service_unavailable(format!("error trying to reach service: {cause}"))
}

/// The path up to its `parts`th part, and what follows.
fn split(path: &str, parts: usize) -> Option<(&str, &str)> {
    // One slash before each part.
    let ends = path.match_indices('/').map(|(at, _)| at).nth(parts);
    match ends {
        Some(at) => path.split_at_checked(at),
        None => Some((path, "")),
    }
}

/// Where a request may go.
enum Place {
    At(Location),
    /// The own server of the node of that name.
    Node(String),
}

/// Every place behind the object, in the order to try them.
fn places(connect: &Connect) -> Result<Vec<Place>, Status> {
    let named = &connect.info.name;
    let namespace = &connect.info.namespace;
    let target = Target::parse(named)
        .ok_or_else(|| Status::bad_request(format!("invalid {} request {named:?}", connect.row.singular)))?;
    match connect.row.kind {
        "Pod" => {
            let pod = connect.object("pods", namespace, target.name)?;
            Ok(vec![Place::At(location::of_pod(&pod.value, target)?)])
        }
        "Service" => {
            let service = connect.object("services", namespace, target.name)?;
            let slices = location::slices(&*connect.server.store, namespace, target.name);
            let pod = |name: &str| {
                connect.server.store.get(&Key::new("pods", namespace.as_str(), name)).map(|pod| pod.value.clone())
            };
            let slices: Vec<Value> =
                slices.iter().map(|slice| location::of_pods(&slice.value, namespace, pod)).collect();
            let slices: Vec<&Value> = slices.iter().collect();
            let mut places = location::of_service(&service.value, &slices, target)?;
            fastrand::shuffle(&mut places);
            Ok(places.into_iter().take(TRIES).map(Place::At).collect())
        }
        "Node" => {
            let node = connect.object("nodes", "", target.name)?;
            let (address, own) = location::of_node(&node.value)
                .ok_or_else(|| Status::bad_request(format!("node {} says no address", target.name)))?;
            Ok(vec![match target.port.parse::<u16>() {
                Ok(port) if port != own => Place::At(Location { tls: target.tls, address, port }),
                Err(_) if !target.port.is_empty() => {
                    return Err(Status::bad_request(format!("invalid node request {named:?}")));
                }
                _ => Place::Node(target.name.to_owned()),
            }])
        }
        _ => Err(Status::unknown_resource()),
    }
}

async fn reach(server: &Inner, places: Vec<Place>) -> Result<SendRequest<Body>, Status> {
    let mut last = Status::service_unavailable("no place to go to");
    for place in places {
        let reached = match place {
            Place::At(at) => {
                let tls = at.tls.then(backend::any_certificate);
                backend::connect(at.address, at.port, tls).await.map_err(unreachable)
            }
            Place::Node(name) => node::connect(server, &name).await,
        };
        match reached {
            Ok(backend) => return Ok(backend),
            Err(status) => last = status,
        }
    }
    Err(last)
}

/// A redirect's target as seen from outside; nothing where it can stay.
fn rewritten(to: &str, host: &str, before: &str) -> Option<String> {
    let path = match to.split_once("://") {
        Some((_, rest)) => {
            let (of, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            if of != host {
                return None;
            }
            if path.is_empty() { "/" } else { path }
        }
        None => to,
    };
    // Relative targets stay relative.
    if !path.starts_with('/') || path.starts_with("//") || path.starts_with(&format!("{before}/")) {
        return None;
    }
    Some(format!("{before}{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_the_proxy() {
        let pod = "/api/v1/namespaces/n/pods/p/proxy";
        assert_eq!(split(pod, 7), Some((pod, "")));
        assert_eq!(split(&format!("{pod}/"), 7), Some((pod, "/")));
        assert_eq!(split(&format!("{pod}/a%2Fb/c/"), 7), Some((pod, "/a%2Fb/c/")));
        assert_eq!(split("/api/v1/nodes/n/proxy/logs/", 5), Some(("/api/v1/nodes/n/proxy", "/logs/")));
    }

    #[test]
    fn redirects_stay_behind_the_proxy() {
        let to = |to: &str| rewritten(to, "10.0.0.1:6443", "/x/proxy");
        assert_eq!(to("/a/").as_deref(), Some("/x/proxy/a/"));
        assert_eq!(to("http://10.0.0.1:6443/a?b").as_deref(), Some("/x/proxy/a?b"));
        assert_eq!((to("a"), to("/x/proxy/a"), to("http://other/a"), to("//other/a")), (None, None, None, None));
    }
}
