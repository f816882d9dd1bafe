//! What a HorizontalPodAutoscaler does with a scale when nothing measures pods: it keeps the size between its limits and
//! says what it cannot know. Pure; follows Kubernetes' `horizontal.go`, reasons and texts included.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{
    HorizontalPodAutoscaler, HorizontalPodAutoscalerCondition, HorizontalPodAutoscalerStatus, MetricSpec, MetricStatus,
};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use minisvc_api::selector::LabelSelector;
use serde_json::json;

use crate::mirror::Key;
use crate::scaling::Scale;

/// A step.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) status: HorizontalPodAutoscalerStatus,
    /// The size to ask for, and why.
    pub(super) rescale: Option<(i32, &'static str)>,
    /// Warnings: reasons and messages.
    pub(super) told: Vec<(&'static str, String)>,
}

/// The scalers that count the pods of the target, when they are more than one; `Err` when the target's own selector does
/// not parse. `selectors` are those of all targets.
pub(super) fn rivals(own: &Key, selectors: &HashMap<Key, String>, pods: &[Arc<Pod>]) -> Result<Vec<Key>, String> {
    let Some(text) = selectors.get(own).filter(|s| !s.is_empty()) else { return Ok(Vec::new()) };
    let mine = LabelSelector::parse(text)?;
    let labels: Vec<_> = pods.iter().map(|p| json!(p.metadata.labels)).filter(|l| mine.matches(l)).collect();
    let near = selectors.iter().filter(|(key, text)| key.0 == own.0 && *key != own && !text.is_empty());
    let counts = |text: &str| LabelSelector::parse(text).is_ok_and(|s| labels.iter().any(|l| s.matches(l)));
    let mut others: Vec<_> = near.filter(|(_, text)| counts(text)).map(|(key, _)| key.clone()).collect();
    others.sort();
    Ok(if others.is_empty() { others } else { [vec![own.clone()], others].concat() })
}

/// Plans a step for the target's scale, or for why it could not be read.
pub(super) fn plan(
    scaler: &HorizontalPodAutoscaler,
    scale: Result<Scale, String>,
    rivals: Result<Vec<Key>, String>,
    now: Timestamp,
) -> Plan {
    let mut plan = Plan { status: scaler.status.clone().unwrap_or_default(), ..Plan::default() };
    plan.status.observed_generation = scaler.metadata.generation;
    let scale = match scale {
        Ok(scale) => scale,
        Err(error) => {
            let message = format!("the HPA controller was unable to get the target's current scale: {error}");
            plan.told.push(("FailedGetScale", error));
            plan.condition("AbleToScale", "False", "FailedGetScale", message, now);
            return plan;
        }
    };
    let message = "the HPA controller was able to get the target's current scale".to_owned();
    plan.condition("AbleToScale", "True", "SucceededGetScale", message, now);
    plan.status.current_replicas = Some(scale.asked).filter(|n| *n > 0);
    let least = scaler.spec.min_replicas.unwrap_or(1);
    if scale.asked == 0 {
        let message = "scaling is disabled since the replica count of the target is zero".to_owned();
        plan.condition("ScalingActive", "False", "ScalingDisabled", message, now);
        plan.status.desired_replicas = 0;
    } else if scale.asked > scaler.spec.max_replicas {
        plan.rescale = Some((scaler.spec.max_replicas, "Current number of replicas above Spec.MaxReplicas"));
    } else if scale.asked < least {
        plan.rescale = Some((least, "Current number of replicas below Spec.MinReplicas"));
    } else {
        plan.measure(scaler, &scale, rivals, now);
    }
    plan
}

impl Plan {
    fn condition(&mut self, kind: &str, truth: &str, reason: &str, message: String, now: Timestamp) {
        condition(&mut self.status, kind, truth, reason, message, now);
    }

    /// No metric can be had: says so for each.
    fn measure(
        &mut self,
        scaler: &HorizontalPodAutoscaler,
        scale: &Scale,
        rivals: Result<Vec<Key>, String>,
        now: Timestamp,
    ) {
        let computing;
        if scale.selector.is_empty() {
            self.told.push(("SelectorRequired", "selector is required".to_owned()));
            let message = "the HPA target's scale is missing a selector".to_owned();
            self.condition("ScalingActive", "False", "InvalidSelector", message, now);
            computing = "selector is required".to_owned();
        } else if let Some((reason, message)) = unclear(&scale.selector, rivals) {
            self.told.push((reason, message.clone()));
            self.condition("ScalingActive", "False", reason, message.clone(), now);
            computing = message;
        } else {
            let metrics = scaler.spec.metrics.as_deref().unwrap_or_default();
            // What could not be read is in the status as a metric without a name, as Kubernetes leaves it.
            self.status.current_metrics = Some(vec![MetricStatus::default(); metrics.len()]).filter(|m| !m.is_empty());
            let failures: Vec<_> = metrics.iter().map(|m| unmeasured(m, scaler)).collect();
            let Some((reason, error, context)) = failures.first() else { return };
            let message = format!("the HPA was unable to compute the replica count: {error}");
            self.condition("ScalingActive", "False", reason, message, now);
            let all = failures.len();
            computing = format!("invalid metrics ({all} invalid out of {all}), first error is: {context}: {error}");
            self.told.extend(failures.into_iter().map(|(reason, error, _)| (reason, error)));
        }
        self.told.push(("FailedComputeMetricsReplicas", computing));
    }
}

/// Reason and message, when a selector does not say clearly which pods are the target's.
fn unclear(selector: &str, rivals: Result<Vec<Key>, String>) -> Option<(&'static str, String)> {
    match rivals {
        Err(error) => {
            let start = "couldn't convert selector into a corresponding internal selector object";
            Some(("InvalidSelector", format!("{start}: {error}")))
        }
        Ok(rivals) if rivals.len() > 1 => {
            let named: Vec<_> = rivals.iter().take(2).map(|(ns, name)| format!("{{{name} {ns}}}")).collect();
            let message =
                format!("pods by selector {selector} are controlled by more than one HPA (e.g. [{}])", named.join(" "));
            Some(("AmbiguousSelector", message))
        }
        Ok(_) => None,
    }
}

/// Reason, error, and what was tried, of a metric that nothing serves.
fn unmeasured(metric: &MetricSpec, scaler: &HorizontalPodAutoscaler) -> (&'static str, String, String) {
    let missing = |what: &str| format!("the server could not find the requested resource (get {what})");
    let resource = |name: &str, utilization: bool| {
        let how = if utilization { "utilization" } else { "usage" };
        format!(
            "failed to get {name} {how}: unable to get metrics for resource {name}: unable to fetch metrics from resource \
             metrics API: {}",
            missing("pods.metrics.k8s.io")
        )
    };
    let namespace = scaler.metadata.namespace.as_deref().unwrap_or_default();
    let custom = |name: &str, of: &str, on: &str| {
        format!(
            "unable to get metric {name}{on}: unable to fetch metrics from custom metrics API: {}",
            missing(&format!("{of}.custom.metrics.k8s.io"))
        )
    };
    if let Some(source) = &metric.resource {
        let error = resource(&source.name, source.target.average_value.is_none());
        ("FailedGetResourceMetric", error, format!("failed to get {} resource metric value", source.name))
    } else if let Some(source) = &metric.container_resource {
        let error = resource(&source.name, source.target.average_value.is_none());
        let context = format!("failed to get {} container metric value", source.container);
        ("FailedGetContainerResourceMetric", error, context)
    } else if let Some(source) = &metric.pods {
        let error = custom(&source.metric.name, "pods", "");
        ("FailedGetPodsMetric", error, "failed to get pods metric value".to_owned())
    } else if let Some(source) = &metric.object {
        let on = &source.described_object;
        let place = format!(" on {} {namespace}/{}", on.kind, on.name);
        let error = custom(&source.metric.name, &on.kind.to_lowercase(), &place);
        ("FailedGetObjectMetric", error, "failed to get object metric value".to_owned())
    } else if let Some(source) = &metric.external {
        let name = &source.metric.name;
        let error = format!(
            "unable to get external metric {namespace}/{name}: unable to fetch metrics from external metrics API: {}",
            missing(&format!("{name}.external.metrics.k8s.io"))
        );
        ("FailedGetExternalMetric", error, format!("failed to get {name} external metric value"))
    } else {
        let error = format!("unknown metric source type \"{}\"", metric.type_);
        ("InvalidMetricSourceType", error.clone(), error)
    }
}

/// The status after the target took a new size, or refused it.
pub(super) fn rescaled(status: &mut HorizontalPodAutoscalerStatus, size: i32, refused: Option<&str>, now: Timestamp) {
    match refused {
        None => {
            let message = format!("the HPA controller was able to update the target scale to {size}");
            condition(status, "AbleToScale", "True", "SucceededRescale", message, now);
            // Nothing is scaled to zero here, since no metric asks for it (HPAScaleToZero).
            let message = "the HPA controller did not scale the workload to zero".to_owned();
            condition(status, "ScaledToZero", "False", "NotScaledToZero", message, now);
            status.desired_replicas = size;
            status.last_scale_time = Some(Time(now));
        }
        Some(error) => {
            let message = format!("the HPA controller was unable to update the target scale: {error}");
            condition(status, "AbleToScale", "False", "FailedUpdateScale", message, now);
        }
    }
}

fn condition(
    status: &mut HorizontalPodAutoscalerStatus,
    kind: &str,
    truth: &str,
    reason: &str,
    message: String,
    now: Timestamp,
) {
    let all = status.conditions.get_or_insert_default();
    let before = all.iter().position(|c| c.type_ == kind);
    let since = before.map(|at| &all[at]).filter(|c| c.status == truth).and_then(|c| c.last_transition_time.clone());
    let next = HorizontalPodAutoscalerCondition {
        type_: kind.to_owned(),
        status: truth.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_transition_time: Some(since.unwrap_or(Time(now))),
        observed_generation: None,
    };
    match before {
        Some(at) => all[at] = next,
        None => all.push(next),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{at, object};
    use serde_json::json;

    fn scaler() -> HorizontalPodAutoscaler {
        object(json!({ "metadata": { "name": "web", "namespace": "default" }, "spec": {
            "minReplicas": 2, "maxReplicas": 5, "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" },
            "metrics": [{ "type": "Resource", "resource": { "name": "cpu",
                          "target": { "type": "Utilization", "averageUtilization": 50 } } }] } }))
    }

    fn of(size: i32) -> Plan {
        let scale = Scale { asked: size, there: size, selector: "app=web".into(), uid: "u".into() };
        plan(&scaler(), Ok(scale), Ok(Vec::new()), at(5))
    }

    fn find<'a>(plan: &'a Plan, kind: &str) -> (&'a str, &'a str, &'a str) {
        let all = plan.status.conditions.as_ref().unwrap();
        let found = all.iter().find(|c| c.type_ == kind).unwrap();
        (&found.status, found.reason.as_deref().unwrap(), found.message.as_deref().unwrap())
    }

    #[test]
    fn the_size_stays_between_its_limits() {
        assert_eq!(of(1).rescale.map(|r| r.0), Some(2));
        assert_eq!(of(9).rescale.map(|r| r.0), Some(5));
        assert_eq!((of(3).rescale, of(0).rescale), (None, None));
        assert_eq!(find(&of(0), "ScalingActive").1, "ScalingDisabled");
    }

    #[test]
    fn what_cannot_be_measured_is_told() {
        let plan = of(3);
        let error = "failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from \
                     resource metrics API: the server could not find the requested resource (get pods.metrics.k8s.io)";
        let (truth, reason, message) = find(&plan, "ScalingActive");
        assert_eq!((truth, reason), ("False", "FailedGetResourceMetric"));
        assert_eq!(message, format!("the HPA was unable to compute the replica count: {error}"));
        assert_eq!(plan.told[0], ("FailedGetResourceMetric", error.to_owned()));
        assert_eq!(plan.told[1].0, "FailedComputeMetricsReplicas");
        assert!(plan.told[1].1.starts_with("invalid metrics (1 invalid out of 1), first error is: failed to get cpu"));
    }

    #[test]
    fn a_target_that_is_not_there() {
        let plan = plan(&scaler(), Err("deployments.apps \"web\" not found".into()), Ok(Vec::new()), at(5));
        assert_eq!(find(&plan, "AbleToScale").1, "FailedGetScale");
        assert_eq!(plan.told.len(), 1);
    }

    #[test]
    fn a_plan_applied_is_a_fixpoint() {
        let (mut scaler, scale) = (scaler(), Scale { asked: 3, selector: "app=web".into(), ..Scale::default() });
        let first = plan(&scaler, Ok(scale.clone()), Ok(Vec::new()), at(5)).status;
        scaler.status = Some(first.clone());
        assert_eq!(plan(&scaler, Ok(scale), Ok(Vec::new()), at(500)).status, first);
    }

    #[test]
    fn pods_of_two_scalers_are_left_alone() {
        let pods = [crate::fixtures::pod("p").label("app", "web").label("tier", "front").build()];
        let key = |ns: &str, name: &str| (ns.to_owned(), name.to_owned());
        let own = key("default", "web");
        let with = |other: (Key, &str)| {
            let all = [(own.clone(), "app=web".to_owned()), (other.0, other.1.to_owned())].into();
            rivals(&own, &all, &pods).unwrap()
        };
        assert!(with((key("default", "x"), "app=other")).is_empty());
        assert!(with((key("team", "x"), "tier=front")).is_empty());
        let both = with((key("default", "x"), "tier in (front)"));
        assert_eq!(both, [own.clone(), key("default", "x")]);
        let scale = Scale { asked: 3, selector: "app=web".into(), ..Scale::default() };
        let plan = plan(&scaler(), Ok(scale), Ok(both), at(5));
        let message = "pods by selector app=web are controlled by more than one HPA (e.g. [{web default} {x default}])";
        assert_eq!(find(&plan, "ScalingActive"), ("False", "AmbiguousSelector", message));
        assert!(rivals(&own, &[(own.clone(), "a in".to_owned())].into(), &pods).is_err());
    }
}
