//! OpenAPI of API services: version 3 as they publish it, version 2 joined with this server's own document
//! (kube-aggregator `controllers/openapi`, `openapiv3`).

use bytes::Bytes;
use minisvc_api::openapi::Document;
use serde_json::{Map, Value, json};

use super::Known;
use crate::server::Inner;

/// What a service publishes of its group and version.
#[derive(Debug, Clone, Default)]
pub(crate) struct Specs {
    /// The document of version 3, and the address it came from, which names its hash.
    pub(crate) v3: Option<Document>,
    source: String,
    /// Paths and definitions of version 2.
    pub(crate) v2: Option<Value>,
}

/// Asks for what is new since `before`. A service that publishes nothing has none.
pub(super) async fn fetch(server: &Inner, known: &Known, before: Specs) -> Specs {
    let path = known.remote.path().trim_start_matches('/').to_owned();
    let source = match document(server, known, "/openapi/v3").await {
        Some(index) => index["paths"][&path]["serverRelativeURL"].as_str().unwrap_or_default().to_owned(),
        None => String::new(),
    };
    if !source.is_empty() && source == before.source {
        return before;
    }
    let v3 = match source.starts_with('/') {
        true => bytes(server, known, &source).await.map(|body| Document::new(body.to_vec())),
        false => None,
    };
    let v2 = document(server, known, "/openapi/v2").await.map(|whole| own_part(&whole, &known.remote.path()));
    Specs { v3, source, v2 }
}

async fn bytes(server: &Inner, known: &Known, path: &str) -> Option<Bytes> {
    let answer = known.get(server, path, "application/json").await.ok()?;
    (answer.code == 200).then_some(answer.body)
}

async fn document(server: &Inner, known: &Known, path: &str) -> Option<Value> {
    serde_json::from_slice(&bytes(server, known, path).await?).ok()
}

/// Of a whole document the paths below `prefix`, and the definitions that they reach.
fn own_part(whole: &Value, prefix: &str) -> Value {
    let of = |part: &str| whole[part].as_object().cloned().unwrap_or_default();
    let below = |path: &String| path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let paths: Map<String, Value> = of("paths").into_iter().filter(|(path, _)| below(path)).collect();
    let all = of("definitions");
    let mut kept: Map<String, Value> = Map::new();
    let mut open = Vec::new();
    references(&Value::Object(paths.clone()), &mut open);
    while let Some(name) = open.pop() {
        if kept.contains_key(&name) {
            continue;
        }
        if let Some(schema) = all.get(&name) {
            references(schema, &mut open);
            kept.insert(name, schema.clone());
        }
    }
    json!({"paths": paths, "definitions": kept})
}

fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Object(map) => {
            if let Some(name) = map.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix("#/definitions/"))
            {
                found.push(name.to_owned());
            }
            map.values().for_each(|inner| references(inner, found));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_services_part_is_cut_out() {
        let whole = json!({
            "paths": {"/apis/w/v1/": {"get": {"schema": {"$ref": "#/definitions/A"}}}, "/apis/w/v10/": {}, "/version": {}},
            "definitions": {"A": {"properties": {"b": {"$ref": "#/definitions/B"}}}, "B": {"items": {"$ref": "#/definitions/A"}}, "C": {}},
        });
        let part = own_part(&whole, "/apis/w/v1");
        let keys =
            |part: &Value| part.as_object().map(|map| map.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
        assert_eq!(keys(&part["paths"]), ["/apis/w/v1/"]);
        let mut kept = keys(&part["definitions"]);
        kept.sort();
        assert_eq!(kept, ["A", "B"]);
    }
}
