//! Why a service has no backends, in a sentence for `kubectl describe service`. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::backends::declared;
use crate::labels::Labels;
use crate::pods;

/// Something that is probably wrong.
#[derive(Debug, PartialEq)]
pub(super) struct Warning {
    pub(super) reason: &'static str,
    pub(super) message: String,
    /// How long it must stand before anybody is told.
    pub(super) patience: Duration,
}

impl Warning {
    fn new(reason: &'static str, message: String, seconds: u64) -> Option<Self> {
        Some(Self { reason, message, patience: Duration::from_secs(seconds) })
    }
}

/// The most important thing to say. `others` are all pods of the namespace, asked for only when none matches.
pub(super) fn warning(
    service: &Service,
    selector: &Labels,
    matching: &[Arc<Pod>],
    others: impl FnOnce() -> Vec<Arc<Pod>>,
) -> Option<Warning> {
    let text = written(selector);
    let alive: Vec<_> = matching.iter().filter(|p| pods::active(p)).collect();
    if alive.is_empty() {
        let hint = meant(selector, &others()).map(|m| format!("; did you mean {m}?")).unwrap_or_default();
        return Warning::new("NoMatchingPods", format!("no pod matches selector {text}{hint}"), 5);
    }
    for port in service.spec.iter().flat_map(|s| s.ports.iter().flatten()) {
        let all: BTreeSet<_> = alive.iter().flat_map(|p| declared(p)).map(|c| c.container_port).collect();
        let names: BTreeSet<_> = alive.iter().flat_map(|p| declared(p)).filter_map(|c| c.name.clone()).collect();
        match &port.target_port {
            Some(IntOrString::String(name)) if !name.is_empty() && !names.contains(name) => {
                let known = if names.is_empty() {
                    "; their containers name no ports".to_owned()
                } else {
                    format!("; the names there are: {}", names.into_iter().collect::<Vec<_>>().join(", "))
                };
                let message = format!("no pod that matches selector {text} has a port named \"{name}\"{known}");
                return Warning::new("UnknownTargetPort", message, 5);
            }
            Some(IntOrString::String(_)) => {}
            other => {
                let number = match other {
                    Some(IntOrString::Int(n)) if *n > 0 => *n,
                    _ => port.port,
                };
                if !all.is_empty() && !all.contains(&number) {
                    let known: Vec<_> = all.iter().map(i32::to_string).collect();
                    let message = format!(
                        "targetPort {number} is declared by no container of the pods that match selector {text} \
                         (declared: {}); connections are refused unless something listens there",
                        known.join(", ")
                    );
                    return Warning::new("UndeclaredTargetPort", message, 5);
                }
            }
        }
    }
    let ready = alive.iter().filter(|p| pods::ready(p)).count();
    let publish = service.spec.as_ref().and_then(|s| s.publish_not_ready_addresses) == Some(true);
    if ready == 0 && !publish {
        let message = match alive.len() {
            1 => format!("the only pod that matches selector {text} is not ready"),
            many => format!("none of the {many} pods that match selector {text} is ready"),
        };
        return Warning::new("NoReadyPods", message, 15);
    }
    None
}

fn written(selector: &Labels) -> String {
    selector.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(",")
}

/// Labels of some pod that come close to the selector: all its pairs but for a slip in one key or value.
fn meant(selector: &Labels, others: &[Arc<Pod>]) -> Option<String> {
    let mut best: Option<(usize, String)> = None;
    for pod in others.iter().filter(|p| pods::active(p)) {
        let Some(labels) = &pod.metadata.labels else { continue };
        let wrong: Vec<_> = selector.iter().filter(|(k, v)| labels.get(*k) != Some(v)).collect();
        let [(key, value)] = wrong.as_slice() else { continue };
        for (k, v) in labels {
            let far = distance(k, key) + distance(v, value);
            // A third of what was written may be a slip.
            let slip = far <= 1 + (key.len() + value.len()) / 4;
            if (k == *key || v == *value || slip) && best.as_ref().is_none_or(|(b, _)| far < *b) {
                let close = k == *key && far > 1 + value.len() / 2;
                if !close {
                    best = Some((far, format!("{k}={v}")));
                }
            }
        }
    }
    best.map(|(_, text)| text)
}

/// Edit distance with neighbours swapped as one step.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<_>, Vec<_>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let change = usize::from(a[i - 1] != b[j - 1]);
            let mut least = (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + change);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixtures::{object, pod, service};

    fn said(service: &Service, matching: &[Arc<Pod>], others: &[Arc<Pod>]) -> Option<String> {
        let selector = service.spec.as_ref().unwrap().selector.clone().unwrap();
        warning(service, &selector, matching, || others.to_vec()).map(|w| w.message)
    }

    #[test]
    fn slips_are_seen() {
        let others = [pod("a").label("app", "blue").label("pod-template-hash", "x").build()];
        let text = said(&service("bleu"), &[], &others);
        assert_eq!(text.as_deref(), Some("no pod matches selector app=bleu; did you mean app=blue?"));
        let text = said(&service("database"), &[], &others);
        assert_eq!(text.as_deref(), Some("no pod matches selector app=database"));
        let run = [pod("a").label("run", "web").build()];
        assert_eq!(
            said(&service("web"), &[], &run).as_deref(),
            Some("no pod matches selector app=web; did you mean run=web?")
        );
    }

    #[test]
    fn ports_and_readiness() {
        let declaring = |port: i32| {
            let spec = json!({ "containers": [{ "name": "c", "ports": [{ "name": "web", "containerPort": port }] }] });
            pod("a").label("app", "blue").spec(spec).ready(0).build()
        };
        let mut named = service("blue");
        named.spec.as_mut().unwrap().ports = Some(vec![object(json!({ "port": 80, "targetPort": "http" }))]);
        let text = said(&named, &[declaring(80)], &[]).unwrap();
        assert_eq!(text, "no pod that matches selector app=blue has a port named \"http\"; the names there are: web");
        assert!(
            said(&service("blue"), &[declaring(8080)], &[]).unwrap().starts_with("targetPort 80 is declared by no")
        );
        assert_eq!(said(&service("blue"), &[declaring(80)], &[]), None);
        let unready = pod("a").label("app", "blue").unready().build();
        let text = said(&service("blue"), &[unready], &[]);
        assert_eq!(text.as_deref(), Some("the only pod that matches selector app=blue is not ready"));
    }
}
