//! `Accept`: which shape and encoding the client wants. Must not render anything.

use http::HeaderMap;
use minisvc_api::protobuf;
use minisvc_api::status::Status;

/// What 406 offers.
pub(crate) const PRODUCED: [&str; 3] = ["application/json", "application/yaml", protobuf::CONTENT_TYPE];

/// What an answer looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Shape {
    /// The object or list itself.
    Plain,
    /// `meta.k8s.io Table` in this version.
    Table(&'static str),
    /// `PartialObjectMetadata` in this version.
    Partial(&'static str),
}

/// How it is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Encoding {
    /// `application/json`.
    Json,
    /// `application/yaml`.
    Yaml,
    /// `application/vnd.kubernetes.protobuf`.
    Protobuf,
}

/// The outcome of negotiation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Accept {
    pub(crate) shape: Shape,
    pub(crate) encoding: Encoding,
    pub(crate) pretty: bool,
}

/// One clause of an `Accept` header.
pub(crate) struct Clause<'a> {
    /// `application/json`.
    pub(crate) media: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Clause<'a> {
    /// The value of a parameter, or the empty string.
    pub(crate) fn parameter(&self, name: &str) -> &'a str {
        self.parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }
}

/// The clauses, best first (stable among equal `q`).
pub(crate) fn clauses(header: &str) -> Vec<Clause<'_>> {
    let mut clauses: Vec<(f32, Clause<'_>)> = header
        .split(',')
        .filter(|clause| !clause.trim().is_empty())
        .map(|clause| {
            let mut parts = clause.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            let parameters: Vec<(&str, &str)> =
                parts.filter_map(|part| part.split_once('=')).map(|(k, v)| (k.trim(), v.trim())).collect();
            let quality = parameters.iter().find(|(key, _)| *key == "q").and_then(|(_, q)| q.parse().ok());
            (quality.unwrap_or(1.0), Clause { media, parameters })
        })
        .collect();
    clauses.sort_by(|a, b| b.0.total_cmp(&a.0));
    clauses.into_iter().map(|(_, clause)| clause).collect()
}

/// All `Accept` headers joined.
pub(crate) fn accept_header(headers: &HeaderMap) -> String {
    let all: Vec<&str> = headers.get_all(http::header::ACCEPT).iter().filter_map(|v| v.to_str().ok()).collect();
    all.join(",")
}

impl Accept {
    /// Negotiates; 406 when nothing on offer will do.
    ///
    /// Whole objects are written as protobuf only for clients that take nothing else, because an object's JSON is made
    /// once for everybody; metadata alone is written in whichever of the two the client names first. There are no Tables
    /// in protobuf.
    pub(crate) fn of(headers: &HeaderMap, pretty: Option<bool>) -> Result<Accept, Status> {
        let pretty = pretty.unwrap_or_else(|| {
            let agent = headers.get(http::header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default();
            ["curl", "Wget", "Mozilla/5.0"].iter().any(|reader| agent.starts_with(reader))
        });
        let header = accept_header(headers);
        let plain = Accept { shape: Shape::Plain, encoding: Encoding::Json, pretty };
        if header.trim().is_empty() {
            return Ok(plain);
        }
        let mut last = None;
        for clause in clauses(&header) {
            let encoding = match clause.media {
                "application/json" | "*/*" | "application/*" => Encoding::Json,
                "application/yaml" => Encoding::Yaml,
                protobuf::CONTENT_TYPE => Encoding::Protobuf,
                _ => continue,
            };
            match (shape_of(&clause), encoding) {
                (None | Some(Shape::Table(_)), Encoding::Protobuf) | (None, _) => {}
                (Some(shape @ Shape::Plain), Encoding::Protobuf) => last = Some(Accept { shape, encoding, pretty }),
                (Some(shape), _) => return Ok(Accept { shape, encoding, pretty }),
            }
        }
        last.ok_or_else(|| Status::not_acceptable(&PRODUCED))
    }
}

fn shape_of(clause: &Clause<'_>) -> Option<Shape> {
    let version = match clause.parameter("v") {
        "v1beta1" => "v1beta1",
        "v1" => "v1",
        "" if clause.parameter("as").is_empty() => return Some(Shape::Plain),
        _ => return None,
    };
    if clause.parameter("g") != "meta.k8s.io" {
        return clause.parameter("as").is_empty().then_some(Shape::Plain);
    }
    match clause.parameter("as") {
        "" => Some(Shape::Plain),
        "Table" => Some(Shape::Table(version)),
        "PartialObjectMetadata" | "PartialObjectMetadataList" => Some(Shape::Partial(version)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(accept: &str, expected: Option<(Shape, Encoding)>) {
        let mut headers = HeaderMap::new();
        headers.insert("accept", accept.parse().unwrap());
        assert_eq!(Accept::of(&headers, None).ok().map(|a| (a.shape, a.encoding)), expected, "{accept}");
    }

    #[test]
    fn what_clients_send() {
        use Encoding::{Json, Protobuf, Yaml};
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        check(table, Some((Shape::Table("v1"), Json)));
        check("application/vnd.kubernetes.protobuf,application/json", Some((Shape::Plain, Json)));
        check("application/vnd.kubernetes.protobuf, */*", Some((Shape::Plain, Json)));
        check("application/yaml", Some((Shape::Plain, Yaml)));
        check("application/json;q=0.5,application/yaml;q=0.9", Some((Shape::Plain, Yaml)));
        check("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", Some((Shape::Partial("v1"), Json)));
        check("application/vnd.kubernetes.protobuf", Some((Shape::Plain, Protobuf)));
        let metadata = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
        check(metadata, Some((Shape::Partial("v1"), Protobuf)));
        check("application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1", None);
        check("text/html", None);
        check("application/json;as=BackendTable;v=v1;g=meta.k8s.io", None);
    }
}
