//! Claims and volumes: the default class of claims that name none (plugin `DefaultStorageClass`), finalizers that keep what
//! is in use (`StorageObjectInUseProtection`), which claims may grow (`PersistentVolumeClaimResize`), and since when a
//! volume is in its phase.

use std::cmp::Reverse;
use std::sync::Arc;

use jiff::Timestamp;
use minisvc_api::meta;
use minisvc_api::quantity;
use minisvc_api::status::Status;
use minisvc_api::volumes::{CLAIM_FINALIZER, DEFAULT_CLASS, OLD_CLASS, OLD_DEFAULT_CLASS, VOLUME_FINALIZER};
use minisvc_store::Stored;
use serde_json::{Value, json};

use crate::call::Call;

/// When a volume came into its phase.
const SINCE: &str = "lastPhaseTransitionTime";
const CLASSES: &str = "storageclasses.storage.k8s.io";

fn classes(call: &Call) -> Vec<Arc<Stored>> {
    call.server.store.list(CLASSES, None).items
}

/// Adds what keeps a new claim while pods use it, and its class.
pub(super) fn prepare_claim(call: &Call, claim: &mut Value) {
    keep(claim, CLAIM_FINALIZER);
    if claim["spec"]["storageClassName"].is_string() || claim["metadata"]["annotations"][OLD_CLASS].is_string() {
        return;
    }
    let classes = classes(call);
    let said = |class: &&Arc<Stored>| {
        let annotations = &class.value["metadata"]["annotations"];
        annotations[DEFAULT_CLASS] == "true" || annotations[OLD_DEFAULT_CLASS] == "true"
    };
    // Of several the youngest; their times are written so that they compare as texts.
    let youngest = classes.iter().filter(said).min_by_key(|class| {
        let made = class.value["metadata"]["creationTimestamp"].as_str().unwrap_or_default();
        (Reverse(made.to_owned()), class.key.name.clone())
    });
    if let Some(class) = youngest {
        claim["spec"]["storageClassName"] = json!(&*class.key.name);
    }
}

/// Adds what keeps a new volume while it belongs to a claim, and since when it is Pending.
pub(super) fn prepare_volume(volume: &mut Value) {
    keep(volume, VOLUME_FINALIZER);
    if volume["status"][SINCE].is_null() {
        volume["status"][SINCE] = now();
    }
}

fn now() -> Value {
    minisvc_api::time::format(Timestamp::now()).into()
}

/// Notes since when a volume is in its phase, unless whoever wrote the phase said so (`persistentvolume/strategy.go`).
pub(super) fn note_phase(new: &mut Value, old: &Value) {
    let same = new["status"]["phase"] == old["status"]["phase"];
    let (said, before) = (new["status"][SINCE].clone(), &old["status"][SINCE]);
    if same && said.is_null() && !before.is_null() {
        new["status"][SINCE] = before.clone();
    } else if !same && (said.is_null() || said == *before) {
        new["status"][SINCE] = now();
    }
}

fn keep(object: &mut Value, finalizer: &str) {
    let metadata = meta::metadata_mut(object);
    let all = metadata.entry("finalizers").or_insert_with(|| json!([]));
    if let Some(all) = all.as_array_mut().filter(|all| !all.iter().any(|one| one == finalizer)) {
        all.push(finalizer.into());
    }
}

fn size(claim: &Value) -> f64 {
    let asked = claim["spec"]["resources"]["requests"]["storage"].as_str().unwrap_or_default();
    quantity::parse(asked).unwrap_or(0.0)
}

/// Whether a bound claim may ask for more.
pub(super) fn allow_resize(call: &Call, new: &Value, old: &Value) -> Result<(), Status> {
    if size(new) <= size(old) {
        return Ok(());
    }
    let forbidden = |why: &str| Err(Status::forbidden_object("persistentvolumeclaims", meta::name(old), why));
    if old["status"]["phase"] != "Bound" {
        return forbidden("Only bound persistent volume claims can be expanded");
    }
    let class = |claim: &Value| {
        let said = claim["metadata"]["annotations"][OLD_CLASS].as_str();
        said.or_else(|| claim["spec"]["storageClassName"].as_str()).unwrap_or_default().to_owned()
    };
    let (name, classes) = (class(old), classes(call));
    if name == class(new)
        && classes.iter().any(|class| *class.key.name == name && class.value["allowVolumeExpansion"] == true)
    {
        return Ok(());
    }
    forbidden(
        "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
    )
}
