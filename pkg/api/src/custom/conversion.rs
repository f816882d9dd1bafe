//! Conversion of custom objects between versions by a webhook: the ConversionReview that it is sent, and what its answer
//! says (apiextensions `apiserver/conversion/webhook_converter.go`). Whoever has a network makes the call.

use serde_json::{Map, Value, json};

use crate::field::FieldError;
use crate::meta;
use crate::names;
use crate::pem;
use crate::webhook::{Remote, check_client};

const GROUP: &str = "apiextensions.k8s.io";
const REVIEWS: [&str; 2] = ["v1", "v1beta1"];

/// Seconds that a conversion may take.
pub const SECONDS: u64 = 30;

/// How a definition's webhook is asked.
#[derive(Debug)]
pub struct Conversion {
    /// Where it is, or why nobody knows.
    pub remote: Result<Remote, String>,
    review: Option<&'static str>,
}

impl Conversion {
    /// What a definition says of its webhook; `None` for one without.
    pub(super) fn read(definition: &Value) -> Option<Self> {
        let conversion = &definition["spec"]["conversion"];
        if conversion["strategy"] != "Webhook" {
            return None;
        }
        let webhook = &conversion["webhook"];
        let given = webhook["conversionReviewVersions"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let review = given.filter_map(|version| REVIEWS.into_iter().find(|known| *known == version)).next();
        Some(Self { remote: Remote::read(&webhook["clientConfig"]), review })
    }

    /// The ConversionReview that asks for these objects in another version.
    ///
    /// # Errors
    /// The webhook and this server have no version of reviews in common.
    pub fn review(&self, uid: &str, objects: &[&Value], wanted: &str) -> Result<Value, String> {
        let version = self.review.ok_or("no supported conversion review versions")?;
        Ok(json!({
            "kind": "ConversionReview", "apiVersion": format!("{GROUP}/{version}"),
            "request": {"uid": uid, "desiredAPIVersion": wanted, "objects": objects},
        }))
    }

    /// The objects of the answer to the review `uid`, each with the metadata that it had but for labels and annotations.
    ///
    /// # Errors
    /// It is no answer, tells of a failure, or its objects are not those that were sent: a whole sentence.
    pub fn converted(&self, answer: &Value, uid: &str, objects: &[&Value], wanted: &str) -> Result<Vec<Value>, String> {
        let first = objects.first().copied().unwrap_or(&Value::Null);
        let new = self.answered(answer, uid).map_err(|why| failed(first, &why))?;
        if new.len() != objects.len() {
            let (kind, given, expected) = (type_words(first), new.len(), objects.len());
            return Err(format!("conversion webhook for {kind} returned {given} objects, expected {expected}"));
        }
        let pairs = objects.iter().zip(new).enumerate();
        pairs.map(|(index, (old, new))| restored(old, new, wanted, (objects.len() > 1).then_some(index))).collect()
    }

    fn answered<'a>(&self, answer: &'a Value, uid: &str) -> Result<&'a [Value], String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let response = &answer["response"];
        if self.review == Some("v1") {
            let version = format!("{GROUP}/v1");
            if answer["apiVersion"] != *version || answer["kind"] != "ConversionReview" {
                let given = match text(&answer["apiVersion"]).as_str() {
                    "" => "/".to_owned(),
                    given => given.to_owned(),
                };
                let kind = text(&answer["kind"]);
                return Err(format!(
                    "expected webhook response of {version}, Kind=ConversionReview, got {given}, Kind={kind}"
                ));
            }
            if response.is_object() && response["uid"] != uid {
                return Err(format!("expected response.uid={uid:?}, got {:?}", text(&response["uid"])));
            }
        }
        if !response.is_object() {
            return Err("no response provided".to_owned());
        }
        let result = &response["result"];
        if result["status"] != "Success" {
            return Err(match text(&result["message"]) {
                message if !message.is_empty() => message,
                _ => format!("response.result.status was '{}', not 'Success'", text(&result["status"])),
            });
        }
        Ok(response["convertedObjects"].as_array().map(Vec::as_slice).unwrap_or_default())
    }
}

/// Why an object could not be converted, as a whole sentence.
pub fn failed(object: &Value, why: &str) -> String {
    format!("conversion webhook for {} failed: {why}", type_words(object))
}

/// `group/version, Kind=kind`.
fn type_words(object: &Value) -> String {
    let text = |key: &str| object[key].as_str().unwrap_or_default();
    format!("{}, Kind={}", text("apiVersion"), text("kind"))
}

/// A converted object with the metadata that it had; `index`: its place among several.
fn restored(old: &Value, new: &Value, wanted: &str, index: Option<usize>) -> Result<Value, String> {
    let kind = type_words(old);
    let at = index.map(|index| format!(" at index {index}")).unwrap_or_default();
    let what = if index.is_some() { "converted object" } else { "object" };
    let text = |object: &Value, key: &str| object[key].as_str().unwrap_or_default().to_owned();
    let versions = (wanted.to_owned(), text(new, "apiVersion"));
    let kinds = (text(old, "kind"), text(new, "kind"));
    for (name, (expected, received)) in [("groupVersion", versions), ("kind", kinds)] {
        if expected != received {
            // Of a single object Kubernetes tells the place for these two alone.
            let at = index.unwrap_or(0);
            return Err(format!(
                "conversion webhook for {kind} returned invalid {what} at index {at}: invalid {name} (expected {expected}, \
                 received {received})"
            ));
        }
    }
    let same = [
        ("name", meta::name(old), meta::name(new)),
        ("namespace", meta::namespace(old), meta::namespace(new)),
        ("UID", meta::uid(old), meta::uid(new)),
    ];
    if let Some((name, had, has)) = same.iter().find(|(_, had, has)| had != has) {
        return Err(format!(
            "conversion webhook for {kind} returned invalid {what}{at}: must have the same {name}: {had} != {has}"
        ));
    }
    let metadata = metadata(old, new).map_err(|why| match index {
        Some(index) => {
            format!("conversion webhook for {kind} returned invalid metadata in object at index {index}: {why}")
        }
        None => format!("conversion webhook for {kind} returned invalid metadata: {why}"),
    })?;
    let mut whole = Map::new();
    for key in ["apiVersion", "kind"] {
        whole.insert(key.to_owned(), new[key].clone());
    }
    whole.insert("metadata".to_owned(), metadata);
    let rest = new.as_object().into_iter().flatten();
    whole.extend(
        rest.filter(|(key, _)| !["apiVersion", "kind", "metadata"].contains(&key.as_str()))
            .map(|(k, v)| (k.clone(), v.clone())),
    );
    Ok(Value::Object(whole))
}

/// The metadata as it was, with the labels and annotations of the converted object.
fn metadata(old: &Value, new: &Value) -> Result<Value, String> {
    let given = match new.get("metadata") {
        Some(given) if given.is_object() => given,
        Some(_) => return Err("invalid metadata in converted object".to_owned()),
        None => return Err("missing metadata in converted object".to_owned()),
    };
    let mut metadata = old["metadata"].as_object().cloned().unwrap_or_default();
    for key in ["labels", "annotations"] {
        let Some(values) = given[key].as_object() else {
            if !given[key].is_null() {
                return Err(format!("invalid metadata.{key} in converted object"));
            }
            metadata.shift_remove(key);
            continue;
        };
        if let Some((name, _)) = values.iter().find(|(_, value)| !value.is_string()) {
            return Err(format!("metadata.{key}[{name}] must be a string"));
        }
        if metadata.get(key) != Some(&given[key]) {
            let path = format!("metadata.{key}");
            let wrong =
                if key == "labels" { meta::labels(&path, &given[key]) } else { meta::annotations(&path, &given[key]) };
            let wrong: Vec<String> = wrong.iter().map(ToString::to_string).collect();
            match wrong.as_slice() {
                [] => {}
                [only] => return Err(only.clone()),
                many => return Err(format!("[{}]", many.join(", "))),
            }
        }
        metadata.insert(key.to_owned(), given[key].clone());
    }
    Ok(Value::Object(metadata))
}

/// Fills in the port of the webhook's service.
pub(super) fn default(conversion: &mut Value) {
    let config = conversion.get_mut("webhook").and_then(|webhook| webhook.get_mut("clientConfig"));
    let service = config.and_then(|config| config.get_mut("service")).filter(|service| service.is_object());
    if let Some(service) = service.filter(|service| service["port"].is_null()) {
        service["port"] = json!(443);
    }
}

/// Everything wrong with `spec.conversion`; `settled`: the definition is established, and its authorities were good.
pub(super) fn check(conversion: &Value, settled: bool, errors: &mut Vec<FieldError>) {
    let webhook = &conversion["webhook"];
    let (config, reviews) = (&webhook["clientConfig"], &webhook["conversionReviewVersions"]);
    let at = |field: &str| format!("spec.conversion.{field}");
    let versions = reviews.as_array().map(Vec::as_slice).unwrap_or_default();
    match conversion["strategy"].as_str().unwrap_or_default() {
        "Webhook" => {}
        strategy => {
            if !["", "None"].contains(&strategy) {
                errors.push(FieldError::not_supported(at("strategy"), strategy, &["None", "Webhook"]));
            }
            let detail = "should not be set when strategy is not set to Webhook";
            if !config.is_null() {
                errors.push(FieldError::forbidden(at("webhookClientConfig"), detail));
            }
            if !versions.is_empty() {
                errors.push(FieldError::forbidden(at("conversionReviewVersions"), detail));
            }
            return;
        }
    }
    if config.is_null() {
        errors.push(FieldError::required(at("webhookClientConfig"), "required when strategy is set to Webhook"));
    } else {
        errors.extend(check_client(config, &at("webhookClientConfig")));
        let authorities = Remote::read(config).map(|remote| remote.authorities).unwrap_or_default();
        let readable =
            pem::blocks(&String::from_utf8_lossy(&authorities)).iter().any(|block| block.label == "CERTIFICATE");
        if settled && !authorities.is_empty() && !readable {
            let detail = "unable to load root certificates: unable to parse bytes as PEM block";
            errors.push(FieldError::invalid(at("webhookClientConfig.caBundle"), config["caBundle"].clone(), detail));
        }
    }
    let path = at("conversionReviewVersions");
    if versions.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    for (index, version) in versions.iter().enumerate() {
        let place = format!("{path}[{index}]");
        if versions[..index].contains(version) {
            errors.push(FieldError::invalid(place, version.clone(), "duplicate version"));
            continue;
        }
        for complaint in names::label_1035(version.as_str().unwrap_or_default()) {
            errors.push(FieldError::invalid(place.clone(), version.clone(), complaint));
        }
    }
    if !versions.iter().any(|version| REVIEWS.contains(&version.as_str().unwrap_or_default())) {
        let detail = format!("must include at least one of {}", REVIEWS.join(", "));
        errors.push(FieldError::invalid(path, reviews.clone(), detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(change: Value) -> Value {
        let mut conversion = json!({"strategy": "Webhook", "webhook": {
            "clientConfig": {"url": "https://x/y"}, "conversionReviewVersions": ["v1"],
        }});
        for (key, value) in change.as_object().into_iter().flatten() {
            conversion[key] = value.clone();
        }
        json!({"spec": {"conversion": conversion}})
    }

    fn complaints(change: Value) -> Vec<String> {
        let mut errors = Vec::new();
        check(&definition(change)["spec"]["conversion"], true, &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_wrong_with_a_conversion() {
        assert!(complaints(json!({})).is_empty());
        let told = |change: Value| complaints(change).join("; ");
        assert_eq!(
            told(json!({"strategy": "None"})),
            "spec.conversion.webhookClientConfig: Forbidden: should not be set when strategy is not set to Webhook; \
             spec.conversion.conversionReviewVersions: Forbidden: should not be set when strategy is not set to Webhook"
        );
        assert_eq!(
            told(json!({"webhook": {"clientConfig": {}, "conversionReviewVersions": ["v2"]}})),
            "spec.conversion.webhookClientConfig: Required value: exactly one of url or service is required; \
             spec.conversion.conversionReviewVersions: Invalid value: [\"v2\"]: must include at least one of v1, v1beta1"
        );
        let odd = json!({"webhook": {"clientConfig": {"url": "https://x", "caBundle": "eA=="}, "conversionReviewVersions": ["v1"]}});
        assert!(told(odd).contains("caBundle: Invalid value: \"eA==\": unable to load root certificates"));
        let mut conversion = json!({"webhook": {"clientConfig": {"service": {"name": "s"}}}});
        default(&mut conversion);
        assert_eq!(conversion["webhook"]["clientConfig"]["service"]["port"], 443);
    }

    #[test]
    fn answers_are_looked_at() {
        let conversion = Conversion::read(&definition(json!({}))).unwrap();
        let object = json!({
            "apiVersion": "a.b/v1", "kind": "K", "metadata": {"name": "x", "uid": "u", "labels": {"a": "b"}}, "old": 1,
        });
        let review = conversion.review("r", &[&object], "a.b/v2").unwrap();
        assert_eq!(
            (&review["request"]["desiredAPIVersion"], &review["request"]["objects"][0]),
            (&json!("a.b/v2"), &object)
        );
        let new = |change: Value| {
            let mut new = json!({"apiVersion": "a.b/v2", "kind": "K", "metadata": {"name": "x", "uid": "u"}, "new": 1});
            for (key, value) in change.as_object().into_iter().flatten() {
                new[key] = value.clone();
            }
            let response = json!({"uid": "r", "result": {"status": "Success"}, "convertedObjects": [new]});
            let answer =
                json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview", "response": response});
            conversion.converted(&answer, "r", &[&object], "a.b/v2").map(|mut all| all.remove(0))
        };
        // Labels are the webhook's to change, the rest of the metadata is not.
        let good =
            new(json!({"metadata": {"name": "x", "uid": "u", "annotations": {"c": "d"}, "generation": 9}})).unwrap();
        let metadata = json!({"name": "x", "uid": "u", "annotations": {"c": "d"}});
        assert_eq!(good, json!({"apiVersion": "a.b/v2", "kind": "K", "metadata": metadata, "new": 1}));
        let start = "conversion webhook for a.b/v1, Kind=K returned invalid object";
        let wrong = |change: Value| new(change).unwrap_err();
        assert_eq!(
            wrong(json!({"apiVersion": "a.b/v3"})),
            format!("{start} at index 0: invalid groupVersion (expected a.b/v2, received a.b/v3)")
        );
        assert_eq!(
            wrong(json!({"metadata": {"name": "y", "uid": "u"}})),
            format!("{start}: must have the same name: x != y")
        );
        let failure = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview",
            "response": {"uid": "r", "result": {"status": "Failure", "message": "cannot"}}});
        let told = conversion.converted(&failure, "r", &[&object], "a.b/v2").unwrap_err();
        assert_eq!(told, "conversion webhook for a.b/v1, Kind=K failed: cannot");
        assert!(
            conversion
                .converted(&failure, "q", &[&object], "a.b/v2")
                .unwrap_err()
                .contains("expected response.uid=\"q\", got \"r\"")
        );
    }
}
