//! `pods/log`: options checked here, text from the pod's node; the node's refusals become Status.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use minisvc_api::field::FieldError;
use minisvc_api::status::Status;

use super::{Connect, location, node, relay, websocket};
use crate::http::body;
use crate::http::query::Query;

/// `GET`.
pub(super) async fn answer(mut connect: Connect) -> Result<Response, Status> {
    let pod = connect.current()?;
    check(&connect.query)?;
    let container = location::container(&pod.value, connect.query.get("container"))?.to_owned();
    let node = pod.value["spec"]["nodeName"].as_str().unwrap_or_default();
    if node.is_empty() {
        return connect.tell(Body::empty());
    }
    let (namespace, name) = (&connect.info.namespace, &connect.info.name);
    let query = connect.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let path = format!("/containerLogs/{namespace}/{name}/{container}{query}");
    let backend = node::connect(&connect.server, node).await?;
    let request = connect.request(&path, relay::Headers::Plain)?;
    let sent = relay::send(backend, request, None, &connect.server.shutdown).await;
    let response = sent.map_err(|cause| Status::internal(format!("error dialing backend: {cause}")))?;
    if response.status() == StatusCode::OK {
        return connect.tell(response.into_body());
    }
    let code = response.status();
    let message = String::from_utf8_lossy(&body::read(response.into_body()).await?).trim().to_owned();
    Err(match code {
        StatusCode::BAD_REQUEST => Status::bad_request(message),
        StatusCode::NOT_FOUND => Status::new(404, "NotFound", message),
        _ => Status::internal(message),
    })
}

impl Connect {
    /// The text, in messages where the client asked for them.
    fn tell(&mut self, body: Body) -> Result<Response, Status> {
        match websocket::is_asked_for(&self.headers) {
            true => websocket::bytes(&self.headers, self.upgrade.take(), body, &self.server.shutdown),
            false => Ok(text(body)),
        }
    }
}

fn text(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

/// `PodLogOptions` (core validation `ValidatePodLogOptions`).
fn check(query: &Query) -> Result<(), Status> {
    let mut errors = Vec::new();
    for (name, least, words) in [
        ("tailLines", 0, "must be greater than or equal to 0"),
        ("limitBytes", 1, "must be greater than 0"),
        ("sinceSeconds", 1, "must be greater than 0"),
    ] {
        match query.get(name) {
            "" => {}
            text => match text.parse::<i64>() {
                Ok(number) if number >= least => {}
                Ok(number) => errors.push(FieldError::invalid(name, number, words)),
                Err(_) => {
                    return Err(Status::bad_request(format!("strconv.ParseInt: parsing \"{text}\": invalid syntax")));
                }
            },
        }
    }
    let since_time = query.get("sinceTime");
    if !since_time.is_empty() {
        if since_time.parse::<jiff::Timestamp>().is_err() {
            return Err(Status::bad_request(format!("sinceTime: not a time: \"{since_time}\"")));
        }
        if !query.get("sinceSeconds").is_empty() {
            errors.push(FieldError::forbidden("", "at most one of `sinceTime` or `sinceSeconds` may be specified"));
        }
    }
    match errors.is_empty() {
        true => Ok(()),
        false => Err(Status::invalid("PodLogOptions", "", "", errors)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_checked() {
        let code = |query: &str| check(&Query::parse(query)).map_err(|status| status.code);
        assert_eq!(code("tailLines=0&limitBytes=1&sinceSeconds=1&follow=true"), Ok(()));
        assert_eq!(
            (code("tailLines=-1"), code("limitBytes=0"), code("sinceSeconds=0")),
            (Err(422), Err(422), Err(422))
        );
        assert_eq!(code("sinceTime=2026-11-23T15:00:00Z"), Ok(()));
        assert_eq!(code("sinceTime=2026-11-23T15:00:00Z&sinceSeconds=5"), Err(422));
        assert_eq!((code("tailLines=x"), code("sinceTime=x")), (Err(400), Err(400)));
    }
}
