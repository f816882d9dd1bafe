//! Answers: values and statuses to responses. Must not decide anything but bytes and headers.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use minisvc_api::protobuf;
use minisvc_api::status::Status;
use serde::Serialize as _;
use serde_json::Value;

use super::negotiate::{Accept, Encoding};

/// A JSON document that needs no negotiation.
pub(crate) fn json(code: StatusCode, value: &Value) -> Response {
    bytes(code, "application/json", Bytes::from(value.to_string()))
}

/// Plain text.
pub(crate) fn text(code: StatusCode, text: impl Into<String>) -> Response {
    bytes(code, "text/plain; charset=utf-8", Bytes::from(text.into()))
}

/// Any bytes.
pub(crate) fn bytes(code: StatusCode, media: &'static str, bytes: Bytes) -> Response {
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

/// A value in the encoding the client asked for.
pub(crate) fn value(code: StatusCode, value: &Value, accept: Accept) -> Response {
    match accept.encoding {
        Encoding::Yaml => match serde_saphyr::to_string(value) {
            Ok(text) => bytes(code, "application/yaml", Bytes::from(text)),
            Err(cause) => status(&Status::internal(format!("cannot write YAML: {cause}"))),
        },
        Encoding::Protobuf => match protobuf::encode(value) {
            Ok(body) => bytes(code, protobuf::CONTENT_TYPE, Bytes::from(body)),
            Err(cause) => status(&Status::internal(format!("cannot write protobuf: {cause}"))),
        },
        Encoding::Json if accept.pretty => bytes(code, "application/json", pretty(value)),
        Encoding::Json => json(code, value),
    }
}

/// A failure; 504 and 429 carry `Retry-After` when their details do.
pub(crate) fn status(status: &Status) -> Response {
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    retry(json(code, &status.to_value()), status)
}

/// A failure in the encoding that was negotiated, where that went well.
pub(crate) fn failure(status: &Status, accept: Option<Accept>) -> Response {
    let Some(accept) = accept else { return self::status(status) };
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    retry(value(code, &status.to_value(), accept), status)
}

/// 429 as apiserver's filters write it: plain text, try again in a second.
pub(crate) fn busy() -> Response {
    let mut response = text(StatusCode::TOO_MANY_REQUESTS, "Too many requests, please try again later.\n");
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(1));
    response
}

/// An indented JSON document, as `/version` and the list of paths always are.
pub(crate) fn indented(value: &Value) -> Response {
    bytes(StatusCode::OK, "application/json", pretty(value))
}

fn retry(mut response: Response, status: &Status) -> Response {
    if let Some(seconds) = status.details["retryAfterSeconds"].as_u64() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Adds `Warning: 299 - "text"` headers (RFC 7234 section 5.5, as kubectl prints them).
pub(crate) fn warn(response: &mut Response, warnings: &[String]) {
    for warning in warnings {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
}

fn pretty(value: &Value) -> Bytes {
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"  ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
    value.serialize(&mut serializer).expect("JSON values serialise");
    out.push(b'\n');
    Bytes::from(out)
}
