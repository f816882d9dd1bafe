//! Lists: selectors, revisions, pages. Every page of one list shows the state of the first.

use std::sync::Arc;

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use minisvc_api::status::Status;
use minisvc_api::table::IncludeObject;
use minisvc_store::{Listing, Stored};
use serde_json::{Value, json};

use crate::call::{Call, Filter};
use crate::conversion;
use crate::http::negotiate::{Encoding, Shape};
use crate::http::query::{At, ListOptions};
use crate::http::respond;
use crate::render;

/// Where the next page starts: the opaque `continue` text is base64url JSON of this.
struct Token {
    /// The revision of the first page; -1 in a token that goes on inconsistently after compaction.
    revision: i64,
    /// Namespace and name of the last object handed out.
    after: (String, String),
}

/// `GET` of a collection.
pub(crate) async fn list(call: &Call) -> Result<Response, Status> {
    let options = call.query.list_options(false)?;
    let filter = call.filter(&options.label_selector, &options.field_selector)?;
    let token = match options.continue_token.as_str() {
        "" => None,
        text => Some(
            Token::decode(text)
                .ok_or_else(|| Status::bad_request("continue key is not valid: invalid continue token"))?,
        ),
    };
    let listing = match snapshot(call, &filter, &options, token.as_ref())? {
        Ok(listing) => listing,
        Err(expired) => return Ok(expired),
    };
    let revision = listing.revision;
    let mut items: Vec<Arc<Stored>> = listing.items;
    if let Some(token) = &token {
        let after = (token.after.0.as_str(), token.after.1.as_str());
        items.retain(|item| (&*item.key.namespace, &*item.key.name) > after);
    }
    let everything = filter.is_everything() && filter.name.is_empty();
    if !everything {
        // Selectors look at objects as they are shown.
        items = conversion::read(&call.server, call.view, items).await?;
        items.retain(|item| filter.matches(item));
    }
    let mut metadata = json!({"resourceVersion": revision.to_string()});
    if options.limit > 0 && items.len() > options.limit {
        let remaining = items.len() - options.limit;
        items.truncate(options.limit);
        if let Some(last) = items.last() {
            let after = (last.key.namespace.to_string(), last.key.name.to_string());
            let revision = i64::try_from(revision).unwrap_or(i64::MAX);
            metadata["continue"] = json!(Token { revision, after }.encode());
        }
        if filter.is_everything() {
            metadata["remainingItemCount"] = json!(remaining);
        }
    }
    if everything {
        items = conversion::read(&call.server, call.view, items).await?;
    }
    Ok(answer(call, &items, metadata))
}

fn answer(call: &Call, items: &[Arc<Stored>], metadata: Value) -> Response {
    let accept = call.accept;
    let plain = call.view.alias.is_none() && call.view.custom.is_none();
    if plain && accept.shape == Shape::Plain && accept.encoding == Encoding::Json && !accept.pretty {
        return respond::bytes(StatusCode::OK, "application/json", render::list_bytes(call.row, items, &metadata));
    }
    let include = IncludeObject::parse(call.query.get("includeObject")).unwrap_or_default();
    let value = render::list(call.view, accept.shape, items, metadata, include);
    respond::value(StatusCode::OK, &value, accept)
}

/// The state to list from. The inner error is a ready answer: an expired token's 410 carries a new token.
fn snapshot(
    call: &Call,
    filter: &Filter,
    options: &ListOptions,
    token: Option<&Token>,
) -> Result<Result<Listing, Response>, Status> {
    let store = &call.server.store;
    let resource = call.resource();
    let newest = || store.list(&resource, filter.place());
    if let Some(token) = token {
        let Ok(revision) = u64::try_from(token.revision) else { return Ok(Ok(newest())) };
        return Ok(store.list_at(&resource, filter.place(), revision).map_err(|_| expired(token)));
    }
    match options.at {
        At::Newest => Ok(Ok(newest())),
        At::NotOlderThan(revision) => {
            let listing = newest();
            if revision > listing.revision {
                return Err(Status::too_large_resource_version(revision, listing.revision));
            }
            Ok(Ok(listing))
        }
        At::Exact(revision) => {
            if revision > store.revision() {
                return Err(Status::too_large_resource_version(revision, store.revision()));
            }
            let listing = store.list_at(&resource, filter.place(), revision);
            listing.map(Ok).map_err(|_| Status::expired("The resourceVersion for the provided list is too old."))
        }
    }
}

/// 410 with a token that goes on from the same key in the newest state (apiserver etcd3 `errors.go`).
fn expired(token: &Token) -> Response {
    let mut value = Status::expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list \
         without the continue parameter, or use the continue token in this response to retrieve the remainder of the \
         results. Continuing with the provided token results in an inconsistent list - objects that were created, \
         modified, or deleted between the time the first chunk was returned and now may show up in the list.",
    )
    .to_value();
    value["metadata"]["continue"] = json!(Token { revision: -1, after: token.after.clone() }.encode());
    respond::json(StatusCode::GONE, &value)
}

impl Token {
    fn encode(&self) -> String {
        let start = format!("{}/{}", self.after.0, self.after.1);
        URL_SAFE_NO_PAD.encode(json!({"v": "meta.k8s.io/v1", "rv": self.revision, "start": start}).to_string())
    }

    fn decode(text: &str) -> Option<Token> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let value: Value = serde_json::from_slice(&bytes).ok()?;
        let (namespace, name) = value["start"].as_str()?.split_once('/')?;
        let known = value["v"] == "meta.k8s.io/v1";
        known.then_some(Token { revision: value["rv"].as_i64()?, after: (namespace.into(), name.into()) })
    }
}
