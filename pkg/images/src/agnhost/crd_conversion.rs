//! `agnhost crd-conversion-webhook`: an HTTPS server that converts the objects of one example kind between `v1`, which has
//! `hostPort`, and `v2`, which has `host` and `port`.

use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};

use super::Mode;
use super::webhook::{json_answer, refused, serve_tls};
use crate::flags::Flag;
use crate::serve::Answer;
use crate::web::{self, Asked};

pub(super) const MODE: Mode = Mode {
    name: "crd-conversion-webhook",
    about: "Starts an HTTPS server that converts custom objects, at /crdconvert",
    flags: &[Flag::text("tls-cert-file", ""), Flag::text("tls-private-key-file", ""), Flag::int("port", "443")],
    words: Some(0),
    run: |flags| super::block_on(async move { serve_tls(&flags, |asked| std::future::ready(answer(&asked))).await }),
};

const V1: &str = "stable.example.com/v1";
const V2: &str = "stable.example.com/v2";

fn answer(asked: &Asked) -> Answer {
    match asked.path() {
        "/readyz" => return web::ok("ok"),
        "/crdconvert" => {}
        _ => return web::not_found(),
    }
    let kind = asked.headers.get(CONTENT_TYPE).and_then(|kind: &HeaderValue| kind.to_str().ok()).unwrap_or_default();
    if kind != "application/json" {
        return refused(&format!("invalid Content-Type header `{kind}`"));
    }
    let review: Value = match serde_json::from_slice(&asked.body) {
        Ok(review) => review,
        Err(cause) => return refused(&format!("failed to deserialize body with error {cause}")),
    };
    let version = review["apiVersion"].as_str().unwrap_or_default();
    let known = ["apiextensions.k8s.io/v1", "apiextensions.k8s.io/v1beta1"].contains(&version);
    if review["kind"] != "ConversionReview" || !known {
        let kind = review["kind"].as_str().unwrap_or_default();
        return refused(&format!("Unsupported group version kind: {version}, Kind={kind}"));
    }
    let request = &review["request"];
    let wanted = request["desiredAPIVersion"].as_str().unwrap_or_default();
    let objects = request["objects"].as_array().map(Vec::as_slice).unwrap_or_default();
    let converted: Result<Vec<Value>, String> = objects.iter().map(|object| convert(object, wanted)).collect();
    let mut response = match converted {
        Ok(objects) => json!({"convertedObjects": objects, "result": {"metadata": {}, "status": "Success"}}),
        Err(why) => json!({"convertedObjects": [], "result": {"metadata": {}, "status": "Failure", "message": why}}),
    };
    response["uid"] = request["uid"].clone();
    json_answer(&json!({"kind": "ConversionReview", "apiVersion": version, "response": response}))
}

/// The object in the version that is wanted, or why not.
fn convert(object: &Value, wanted: &str) -> Result<Value, String> {
    let from = object["apiVersion"].as_str().unwrap_or_default();
    if from == wanted {
        return Err(format!("conversion from a version to itself should not call the webhook: {wanted}"));
    }
    let mut new = object.clone();
    let Value::Object(fields) = &mut new else { return Err("an object that is none".to_owned()) };
    match (from, wanted) {
        (V1, V2) => {
            if let Some(both) = fields.remove("hostPort") {
                let both = both.as_str().unwrap_or_default();
                let parts: Vec<&str> = both.split(':').collect();
                let [host, port] = parts[..] else { return Err(format!("invalid hostPort value `{both}`")) };
                fields.insert("host".to_owned(), json!(host));
                fields.insert("port".to_owned(), json!(port));
            }
        }
        (V2, V1) => {
            if ["host", "port"].iter().any(|key| fields.contains_key(*key)) {
                let mut take = |key: &str| {
                    let taken = fields.remove(key);
                    taken.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
                };
                let both = format!("{}:{}", take("host"), take("port"));
                fields.insert("hostPort".to_owned(), json!(both));
            }
        }
        (V1 | V2, other) | (other, _) => return Err(format!("unexpected conversion version {other:?}")),
    }
    new["apiVersion"] = json!(wanted);
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_converted_there_and_back() {
        let first = json!({"apiVersion": V1, "kind": "E", "metadata": {"name": "x"}, "hostPort": "localhost:8080"});
        let second = convert(&first, V2).unwrap();
        assert_eq!(
            (&second["host"], &second["port"], second.get("hostPort")),
            (&json!("localhost"), &json!("8080"), None)
        );
        assert_eq!(convert(&second, V1).unwrap(), first);
        let bare = json!({"apiVersion": V2, "kind": "E"});
        assert_eq!(convert(&bare, V1).unwrap(), json!({"apiVersion": V1, "kind": "E"}));
    }

    #[test]
    fn what_cannot_be_converted_is_told() {
        let of = |version: &str, wanted: &str| {
            convert(&json!({"apiVersion": version, "hostPort": "a"}), wanted).unwrap_err()
        };
        assert_eq!(of(V1, V1), format!("conversion from a version to itself should not call the webhook: {V1}"));
        assert_eq!(of(V1, V2), "invalid hostPort value `a`");
        assert_eq!(of(V1, "x/v3"), "unexpected conversion version \"x/v3\"");
        assert_eq!(of("x/v3", V1), "unexpected conversion version \"x/v3\"");
    }
}
