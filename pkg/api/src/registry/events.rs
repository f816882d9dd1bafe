//! Events: field selectors of core/v1 Event, and events.k8s.io/v1 Event as another view of it (events `conversion.go`).

use serde_json::{Map, Value};

use super::{Alias, Row, base, by_path};
use crate::{shape, table, validate};

/// Field selectors of events.
pub(super) const FIELD_LABELS: &[&str] = &[
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
];

/// The view; the stored row is core/v1's.
pub(super) const ROWS: &[&Row] = &[&EVENT];

/// `source` is the component, of the older field or else of the newer one.
pub(super) fn field(object: &Value, path: &str) -> String {
    match path {
        "source" => {
            let component = by_path(object, "source.component");
            if component.is_empty() { by_path(object, "reportingComponent") } else { component }
        }
        other => by_path(object, other),
    }
}

static EVENT: Row = Row {
    group: "events.k8s.io",
    kind: "Event",
    list_kind: "EventList",
    plural: "events",
    singular: "event",
    short_names: &["ev"],
    create_on_update: true,
    schema: "io.k8s.api.events.v1.Event",
    prune: |o| shape::prune("io.k8s.api.events.v1.Event", o),
    validate: |new, old| validate::event(&to_stored(new), old.map(to_stored).as_ref()),
    field_labels: &[
        "regarding.kind",
        "regarding.namespace",
        "regarding.name",
        "regarding.uid",
        "regarding.apiVersion",
        "regarding.resourceVersion",
        "regarding.fieldPath",
        "reason",
        "reportingController",
        "type",
    ],
    field: |stored, label| {
        let (first, rest) = label.split_once('.').map_or((label, None), |(first, rest)| (first, Some(rest)));
        let first = NAMES.iter().find(|(new, _)| *new == first).map_or(first, |(_, old)| *old);
        field(stored, &rest.map_or_else(|| first.to_owned(), |rest| format!("{first}.{rest}")))
    },
    columns: table::EVENT,
    cells: |object, now| table::event(&to_stored(object), now),
    alias: Some(Alias { group: "", version: "v1", to_stored, from_stored }),
    ..base()
};

/// `(events.k8s.io/v1, core/v1)` names of the same field.
const NAMES: &[(&str, &str)] = &[
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
    ("reportingController", "reportingComponent"),
];

fn rename(object: &Value, version: &str, name: impl Fn(&str) -> Option<&'static str>) -> Value {
    let mut out = Map::new();
    for (key, value) in object.as_object().into_iter().flatten() {
        let value = if key == "apiVersion" { version.into() } else { value.clone() };
        out.insert(name(key).map_or_else(|| key.clone(), str::to_owned), value);
    }
    Value::Object(out)
}

fn to_stored(object: &Value) -> Value {
    rename(object, "v1", |key| NAMES.iter().find(|(new, _)| *new == key).map(|(_, old)| *old))
}

fn from_stored(object: &Value) -> Value {
    rename(object, "events.k8s.io/v1", |key| NAMES.iter().find(|(_, old)| *old == key).map(|(new, _)| *new))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_views_show_the_same_event() {
        let stored = json!({"apiVersion": "v1", "kind": "Event", "involvedObject": {"kind": "Pod"}, "message": "m",
            "reason": "r", "count": 2, "reportingComponent": "kubelet", "source": {"component": "kubelet"}});
        let view = from_stored(&stored);
        assert_eq!(view["apiVersion"], "events.k8s.io/v1");
        assert_eq!((&view["note"], &view["regarding"]["kind"]), (&json!("m"), &json!("Pod")));
        assert_eq!(to_stored(&view), stored);
        assert_eq!(field(&stored, "source"), "kubelet");
        // Selectors of the view look at what is stored.
        assert_eq!((EVENT.field)(&stored, "reportingController"), "kubelet");
        assert_eq!((EVENT.field)(&stored, "regarding.kind"), "Pod");
        assert_eq!((EVENT.field)(&stored, "reason"), "r");
    }
}
