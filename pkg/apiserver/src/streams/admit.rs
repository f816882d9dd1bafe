//! Admission of connections: their options as an object, which policies and webhooks may refuse or change. Must not connect.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use minisvc_api::registry::Subresource;
use minisvc_api::status::Status;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::Connect;
use crate::admission::chain;
use crate::admission::subject::{Foreign, Subject};
use crate::call::Call;
use crate::http::negotiate::{Accept, Encoding, Shape};
use crate::http::query::Query;

/// Options that are yes or no.
const FLAGS: [&str; 4] = ["stdin", "stdout", "stderr", "tty"];

/// Asks about a connection. Options that somebody changes are what the connection is opened with.
pub(super) async fn admit(
    connect: &mut Connect,
    subresource: Subresource,
    notes: &Arc<Mutex<Vec<String>>>,
) -> Result<(), Status> {
    let Some(kind) = kind(connect, subresource) else { return Ok(()) };
    let given = options(kind, connect);
    let call = Call {
        server: connect.server.clone(),
        row: connect.row.stored(),
        view: connect.row,
        subresource: Some(subresource),
        info: connect.info.clone(),
        query: connect.query.clone(),
        headers: connect.headers.clone(),
        identity: connect.identity.clone(),
        accept: Accept { shape: Shape::Plain, encoding: Encoding::Json, pretty: false },
        body: Bytes::new(),
        notes: notes.clone(),
        conversions: Arc::default(),
    };
    let subject = Subject::foreign(&call, "CONNECT", kind);
    let mut wanted = given.clone();
    chain::mutate(&subject, &mut wanted, None, |_| Ok(())).await?;
    chain::validate(&subject, Some(&wanted), None).await?;
    if wanted != given && subresource != Subresource::Proxy {
        let query = query(&wanted);
        let uri = format!("{}?{query}", connect.uri.path());
        connect.uri = uri.parse().map_err(|cause| Status::internal(format!("{uri}: {cause}")))?;
        connect.query = Query::parse(&query);
    }
    Ok(())
}

/// The kind of a connection's options; logs have none, they are read.
fn kind(connect: &Connect, subresource: Subresource) -> Option<Foreign> {
    Some(match subresource {
        Subresource::Exec => Foreign::EXEC,
        Subresource::Attach => Foreign::ATTACH,
        Subresource::PortForward => Foreign::PORT_FORWARD,
        Subresource::Proxy => match connect.row.kind {
            "Pod" => Foreign::POD_PROXY,
            "Service" => Foreign::SERVICE_PROXY,
            _ => Foreign::NODE_PROXY,
        },
        _ => return None,
    })
}

/// What the request's path and query say, as an object.
fn options(kind: Foreign, connect: &Connect) -> Value {
    let mut options = Map::new();
    options.insert("kind".to_owned(), json!(kind.kind));
    options.insert("apiVersion".to_owned(), json!("v1"));
    let query = &connect.query;
    if kind.kind.ends_with("ProxyOptions") {
        let path = connect.uri.path().split_once("/proxy").map_or("", |(_, rest)| rest);
        if !path.is_empty() {
            options.insert("path".to_owned(), json!(path));
        }
        return Value::Object(options);
    }
    if kind.kind == Foreign::PORT_FORWARD.kind {
        let ports: Vec<i64> =
            query.all("ports").flat_map(|text| text.split(',')).filter_map(|n| n.parse().ok()).collect();
        if !ports.is_empty() {
            options.insert("ports".to_owned(), json!(ports));
        }
        return Value::Object(options);
    }
    for key in FLAGS {
        if query.flag(key) {
            options.insert(key.to_owned(), json!(true));
        }
    }
    if !query.get("container").is_empty() {
        options.insert("container".to_owned(), json!(query.get("container")));
    }
    if kind.kind == Foreign::EXEC.kind {
        options.insert("command".to_owned(), json!(query.all("command").collect::<Vec<_>>()));
    }
    Value::Object(options)
}

/// The query that says what an object of options says.
fn query(options: &Value) -> String {
    let mut pairs = Vec::new();
    for (key, value) in options.as_object().into_iter().flatten() {
        let values = match value {
            _ if ["kind", "apiVersion"].contains(&key.as_str()) => continue,
            Value::Array(values) => values.clone(),
            one => vec![one.clone()],
        };
        for value in values {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            pairs.push(format!("{key}={}", utf8_percent_encode(&text, NON_ALPHANUMERIC)));
        }
    }
    pairs.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_become_a_query_again() {
        let options = json!({
            "kind": "PodExecOptions", "apiVersion": "v1", "stdin": true, "container": "c", "command": ["sh", "-c", "a b"],
        });
        assert_eq!(query(&options), "stdin=true&container=c&command=sh&command=%2Dc&command=a%20b");
    }
}
