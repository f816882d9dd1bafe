//! The class of Ingresses that name none (plugin `DefaultIngressClass`).

use std::cmp::Reverse;

use serde_json::{Value, json};

use crate::call::Call;

const CLASSES: &str = "ingressclasses.networking.k8s.io";
/// The older way to name a class.
const OLD_CLASS: &str = "kubernetes.io/ingress.class";
const DEFAULT_CLASS: &str = "ingressclass.kubernetes.io/is-default-class";

/// Names the default class in a new Ingress that names none; of several the youngest, of equally old ones the first by
/// name.
pub(super) fn prepare(call: &Call, ingress: &mut Value) {
    if ingress["spec"]["ingressClassName"].is_string() || ingress["metadata"]["annotations"][OLD_CLASS].is_string() {
        return;
    }
    let classes = call.server.store.list(CLASSES, None).items;
    let defaults = classes.iter().filter(|class| class.value["metadata"]["annotations"][DEFAULT_CLASS] == "true");
    // Their times are written so that they compare as texts.
    let youngest = defaults.min_by_key(|class| {
        let made = class.value["metadata"]["creationTimestamp"].as_str().unwrap_or_default();
        (Reverse(made.to_owned()), class.key.name.clone())
    });
    if let Some(class) = youngest {
        ingress["spec"]["ingressClassName"] = json!(&*class.key.name);
    }
}
