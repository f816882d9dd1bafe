//! Quantities and what a pod asks for. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// CPU in thousandths, memory in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Amount {
    pub(super) cpu: i64,
    pub(super) memory: i64,
}

impl Amount {
    pub(super) fn add(&mut self, other: Self) {
        self.cpu += other.cpu;
        self.memory += other.memory;
    }

    fn max(self, other: Self) -> Self {
        Self { cpu: self.cpu.max(other.cpu), memory: self.memory.max(other.memory) }
    }

    /// Reads cpu and memory out of a resource list.
    pub(super) fn of(list: Option<&BTreeMap<String, Quantity>>) -> Self {
        let get = |name: &str| list.and_then(|l| l.get(name)).map_or(0.0, |q| value(&q.0));
        #[expect(clippy::cast_possible_truncation, reason = "rounded up to whole units")]
        Self { cpu: (get("cpu") * 1000.0).ceil() as i64, memory: get("memory").ceil() as i64 }
    }
}

/// A quantity as a number; 0 when it does not parse (validation keeps such out).
pub(super) fn value(text: &str) -> f64 {
    let digits = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-'))).unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let Ok(number) = number.parse::<f64>() else { return 0.0 };
    let factor = match suffix {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1024.0_f64.powi(2),
        "Gi" => 1024.0_f64.powi(3),
        "Ti" => 1024.0_f64.powi(4),
        "Pi" => 1024.0_f64.powi(5),
        "Ei" => 1024.0_f64.powi(6),
        exponent => match exponent.get(1..).and_then(|e| e.parse().ok()) {
            Some(e) if exponent.starts_with(['e', 'E']) => 10.0_f64.powi(e),
            _ => 0.0,
        },
    };
    number * factor
}

/// What a pod asks for: the sum of its containers, or its largest init container (sidecars count as containers).
pub(super) fn requests(pod: &Pod) -> Amount {
    let Some(spec) = &pod.spec else { return Amount::default() };
    let of = |c: &Container| Amount::of(c.resources.as_ref().and_then(|r| r.requests.as_ref()));
    let mut sum = Amount::default();
    spec.containers.iter().for_each(|c| sum.add(of(c)));
    let mut largest = Amount::default();
    for init in spec.init_containers.iter().flatten() {
        if init.restart_policy.as_deref() == Some("Always") {
            sum.add(of(init));
        } else {
            largest = largest.max(of(init));
        }
    }
    sum.max(largest)
}

#[cfg(test)]
mod tests {
    use super::value;

    #[test]
    fn quantities() {
        for (text, number) in [("2", 2.0), ("250m", 0.25), ("1.5Gi", 1_610_612_736.0), ("1e3", 1000.0), ("x", 0.0)] {
            assert!((value(text) - number).abs() < 1e-9, "{text}");
        }
    }
}
