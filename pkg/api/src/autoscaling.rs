//! HorizontalPodAutoscaler in its two versions: autoscaling/v2 is stored, autoscaling/v1 is another view of it
//! (autoscaling/v1 `conversion.go`). What v1 has no fields for travels in the annotations that upstream uses.

use serde_json::{Map, Value, json};

use crate::meta::metadata_mut;

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

/// `(Type, field)` of the metric sources.
const SOURCES: &[(&str, &str)] = &[
    ("Object", "object"),
    ("Pods", "pods"),
    ("Resource", "resource"),
    ("ContainerResource", "containerResource"),
    ("External", "external"),
];

/// The autoscaling/v2 form of an autoscaling/v1 object.
pub fn to_stored(object: &Value) -> Value {
    let mut out = object.clone();
    out["apiVersion"] = "autoscaling/v2".into();
    let mut kept: [Option<Value>; 4] = [None, None, None, None];
    if let Some(Value::Object(annotations)) = metadata_mut(&mut out).get_mut("annotations") {
        for (place, name) in kept.iter_mut().zip([METRICS, CURRENT, CONDITIONS, BEHAVIOR]) {
            let text = annotations.shift_remove(name);
            *place = text.and_then(|text| serde_json::from_str(text.as_str()?).ok());
        }
        if annotations.is_empty() {
            metadata_mut(&mut out).shift_remove("annotations");
        }
    }
    let [metrics, current, conditions, behavior] = kept;
    if let Some(Value::Object(spec)) = out.get_mut("spec") {
        let percent = spec.shift_remove("targetCPUUtilizationPercentage");
        let mut all: Vec<Value> = list(metrics).iter().map(metric_to_v2).collect();
        if let Some(percent) = percent.filter(Value::is_number) {
            let target = json!({"type": "Utilization", "averageUtilization": percent});
            all.insert(0, json!({"type": "Resource", "resource": {"name": "cpu", "target": target}}));
        }
        if !all.is_empty() {
            spec.insert("metrics".into(), all.into());
        }
        spec.extend(behavior.map(|behavior| ("behavior".to_owned(), behavior)));
    }
    if let Some(Value::Object(status)) = out.get_mut("status") {
        let percent = status.shift_remove("currentCPUUtilizationPercentage");
        let mut all: Vec<Value> = list(current).iter().map(status_to_v2).collect();
        let has_cpu = all.iter().any(|m| m["resource"]["name"] == "cpu");
        if let Some(percent) = percent.filter(|percent| percent.is_number() && !has_cpu) {
            let current = json!({"averageUtilization": percent});
            all.insert(0, json!({"type": "Resource", "resource": {"name": "cpu", "current": current}}));
        }
        if !all.is_empty() {
            status.insert("currentMetrics".into(), all.into());
        }
        status.extend(conditions.map(|conditions| ("conditions".to_owned(), conditions)));
    }
    out
}

/// The autoscaling/v1 form of an autoscaling/v2 object.
pub fn from_stored(object: &Value) -> Value {
    let mut out = object.clone();
    out["apiVersion"] = "autoscaling/v1".into();
    let mut annotations = Map::new();
    let mut keep = |name: &str, value: Value| {
        let empty = value.as_array().is_some_and(Vec::is_empty) || value.is_null();
        if !empty {
            annotations.insert(name.to_owned(), value.to_string().into());
        }
    };
    if let Some(Value::Object(spec)) = out.get_mut("spec") {
        let (cpu, others): (Vec<Value>, Vec<Value>) =
            list(spec.shift_remove("metrics")).into_iter().partition(is_cpu_utilization);
        if let Some(cpu) = cpu.first() {
            let percent = cpu["resource"]["target"]["averageUtilization"].clone();
            spec.insert("targetCPUUtilizationPercentage".into(), percent);
        }
        keep(METRICS, others.iter().map(metric_to_v1).collect());
        keep(BEHAVIOR, spec.shift_remove("behavior").unwrap_or_default());
    }
    if let Some(Value::Object(status)) = out.get_mut("status") {
        let current = list(status.shift_remove("currentMetrics"));
        let cpu = current.iter().find(|m| m["type"] == "Resource" && m["resource"]["name"] == "cpu");
        if let Some(percent) = cpu.map(|m| m["resource"]["current"]["averageUtilization"].clone())
            && percent.is_number()
        {
            status.insert("currentCPUUtilizationPercentage".into(), percent);
        }
        keep(CURRENT, current.iter().map(status_to_v1).collect());
        keep(CONDITIONS, status.shift_remove("conditions").unwrap_or_default());
    }
    if !annotations.is_empty() {
        let own = metadata_mut(&mut out).entry("annotations").or_insert_with(|| json!({}));
        if let Value::Object(own) = own {
            own.extend(annotations);
        }
    }
    out
}

fn list(value: Option<Value>) -> Vec<Value> {
    match value {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

fn is_cpu_utilization(metric: &Value) -> bool {
    let resource = &metric["resource"];
    metric["type"] == "Resource" && resource["name"] == "cpu" && resource["target"]["averageUtilization"].is_number()
}

/// An object of those entries whose value is there.
fn object(entries: &[(&str, &Value)]) -> Value {
    let there = entries.iter().filter(|(_, value)| !value.is_null());
    Value::Object(there.map(|(key, value)| ((*key).to_owned(), (*value).clone())).collect())
}

fn source(metric: &Value) -> Option<(&'static str, &'static str)> {
    SOURCES.iter().copied().find(|(kind, _)| metric["type"] == *kind)
}

fn wrap(kind: &str, field: &str, inner: Value) -> Value {
    Value::Object([("type".to_owned(), kind.into()), (field.to_owned(), inner)].into_iter().collect())
}

fn metric_to_v1(metric: &Value) -> Value {
    let Some((kind, field)) = source(metric) else { return metric.clone() };
    let from = &metric[field];
    let (target, id) = (&from["target"], &from["metric"]);
    let inner = match kind {
        "Object" => object(&[
            ("target", &from["describedObject"]),
            ("metricName", &id["name"]),
            ("targetValue", &target["value"]),
            ("selector", &id["selector"]),
            ("averageValue", &target["averageValue"]),
        ]),
        "Pods" => object(&[
            ("metricName", &id["name"]),
            ("targetAverageValue", &target["averageValue"]),
            ("selector", &id["selector"]),
        ]),
        "External" => object(&[
            ("metricName", &id["name"]),
            ("metricSelector", &id["selector"]),
            ("targetValue", &target["value"]),
            ("targetAverageValue", &target["averageValue"]),
        ]),
        _ => object(&[
            ("name", &from["name"]),
            ("targetAverageUtilization", &target["averageUtilization"]),
            ("targetAverageValue", &target["averageValue"]),
            ("container", &from["container"]),
        ]),
    };
    wrap(kind, field, inner)
}

fn metric_to_v2(metric: &Value) -> Value {
    let Some((kind, field)) = source(metric) else { return metric.clone() };
    let from = &metric[field];
    let target = |kind: &str, value: &Value, average: &Value, percent: &Value| {
        object(&[("type", &kind.into()), ("value", value), ("averageValue", average), ("averageUtilization", percent)])
    };
    let id = |selector: &str| object(&[("name", &from["metricName"]), ("selector", &from[selector])]);
    let none = &Value::Null;
    let by = |value: &Value| if value.is_null() { "AverageValue" } else { "Value" };
    let inner = match kind {
        "Object" => {
            let (value, average) = (&from["targetValue"], &from["averageValue"]);
            let kind = if average.is_null() { "Value" } else { "AverageValue" };
            object(&[
                ("describedObject", &from["target"]),
                ("target", &target(kind, value, average, none)),
                ("metric", &id("selector")),
            ])
        }
        "Pods" => object(&[
            ("metric", &id("selector")),
            ("target", &target("AverageValue", none, &from["targetAverageValue"], none)),
        ]),
        "External" => {
            let (value, average) = (&from["targetValue"], &from["targetAverageValue"]);
            object(&[("metric", &id("metricSelector")), ("target", &target(by(value), value, average, none))])
        }
        _ => {
            let (percent, average) = (&from["targetAverageUtilization"], &from["targetAverageValue"]);
            let kind = if percent.is_null() { "AverageValue" } else { "Utilization" };
            object(&[
                ("name", &from["name"]),
                ("target", &target(kind, none, average, percent)),
                ("container", &from["container"]),
            ])
        }
    };
    wrap(kind, field, inner)
}

fn status_to_v1(metric: &Value) -> Value {
    let Some((kind, field)) = source(metric) else { return metric.clone() };
    let from = &metric[field];
    let (current, id) = (&from["current"], &from["metric"]);
    let inner = match kind {
        "Object" => object(&[
            ("target", &from["describedObject"]),
            ("metricName", &id["name"]),
            ("currentValue", &current["value"]),
            ("selector", &id["selector"]),
            ("averageValue", &current["averageValue"]),
        ]),
        "Pods" => object(&[
            ("metricName", &id["name"]),
            ("currentAverageValue", &current["averageValue"]),
            ("selector", &id["selector"]),
        ]),
        "External" => object(&[
            ("metricName", &id["name"]),
            ("metricSelector", &id["selector"]),
            ("currentValue", &current["value"]),
            ("currentAverageValue", &current["averageValue"]),
        ]),
        _ => object(&[
            ("name", &from["name"]),
            ("currentAverageUtilization", &current["averageUtilization"]),
            ("currentAverageValue", &current["averageValue"]),
            ("container", &from["container"]),
        ]),
    };
    wrap(kind, field, inner)
}

fn status_to_v2(metric: &Value) -> Value {
    let Some((kind, field)) = source(metric) else { return metric.clone() };
    let from = &metric[field];
    let average = if kind == "Object" { "averageValue" } else { "currentAverageValue" };
    let selector = if kind == "External" { "metricSelector" } else { "selector" };
    let id = object(&[("name", &from["metricName"]), ("selector", &from[selector])]);
    let id = if from["metricName"].is_null() { Value::Null } else { id };
    let current = object(&[
        ("value", &from["currentValue"]),
        ("averageValue", &from[average]),
        ("averageUtilization", &from["currentAverageUtilization"]),
    ]);
    let inner = object(&[
        ("describedObject", &from["target"]),
        ("metric", &id),
        ("name", &from["name"]),
        ("container", &from["container"]),
        ("current", &current),
    ]);
    wrap(kind, field, inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_say_the_same() {
        let metric = |kind: &str, field: &str, inner: Value| wrap(kind, field, inner);
        let stored = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "h", "annotations": {"own": "1"}},
            "spec": {"minReplicas": 1, "maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "d"},
                "metrics": [
                    metric("Resource", "resource",
                        json!({"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}})),
                    metric("Resource", "resource",
                        json!({"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}})),
                    metric("Pods", "pods",
                        json!({"metric": {"name": "m"}, "target": {"type": "AverageValue", "averageValue": "3"}})),
                    metric("External", "external",
                        json!({"metric": {"name": "e"}, "target": {"type": "Value", "value": "9"}})),
                    metric("Object", "object", json!({"metric": {"name": "o"}, "target": {"type": "Value", "value": "2"},
                        "describedObject": {"kind": "Service", "name": "s"}})),
                ],
                "behavior": {"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 15}]}}},
            "status": {"desiredReplicas": 1, "conditions": [{"type": "AbleToScale", "status": "True"}],
                "currentMetrics": [{"type": "Resource", "resource": {"name": "cpu",
                    "current": {"averageUtilization": 12, "averageValue": "120m"}}}]}});
        let view = from_stored(&stored);
        assert_eq!(view["apiVersion"], "autoscaling/v1");
        assert_eq!(view["spec"]["targetCPUUtilizationPercentage"], 80);
        assert_eq!(view["status"]["currentCPUUtilizationPercentage"], 12);
        assert!(view["spec"].get("metrics").is_none() && view["spec"].get("behavior").is_none());
        assert_eq!(to_stored(&view), stored);
        let simple = json!({"apiVersion": "autoscaling/v1", "metadata": {"name": "h"}, "spec": {"maxReplicas": 2,
            "targetCPUUtilizationPercentage": 50, "scaleTargetRef": {"kind": "Deployment", "name": "d"}}});
        assert_eq!(from_stored(&to_stored(&simple)), simple);
    }
}
