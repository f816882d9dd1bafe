//! Selectors against labels. Pure.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// Labels of an object.
pub(crate) type Labels = BTreeMap<String, String>;

/// Whether a map selector (Service, nodeSelector) matches.
pub(crate) fn map_matches(selector: &Labels, labels: Option<&Labels>) -> bool {
    selector.iter().all(|(k, v)| labels.and_then(|l| l.get(k)) == Some(v))
}

/// Whether a label selector matches. An empty selector matches all; unknown operators match nothing.
pub(crate) fn selects(selector: &LabelSelector, labels: Option<&Labels>) -> bool {
    selector.match_labels.as_ref().is_none_or(|m| map_matches(m, labels))
        && selector.match_expressions.iter().flatten().all(|e| {
            requirement(&e.operator, labels.and_then(|l| l.get(&e.key)), e.values.as_deref().unwrap_or_default())
        })
}

/// Whether a label selector has no requirement at all.
pub(crate) fn is_empty(selector: &LabelSelector) -> bool {
    selector.match_labels.as_ref().is_none_or(BTreeMap::is_empty)
        && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
}

/// One requirement of a label or node selector on the value of its key.
pub(crate) fn requirement(operator: &str, value: Option<&String>, values: &[String]) -> bool {
    match operator {
        "In" => value.is_some_and(|v| values.contains(v)),
        "NotIn" => value.is_none_or(|v| !values.contains(v)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" | "Lt" => {
            let number = |s: &String| s.parse::<i64>().ok();
            match (value.and_then(number), values.first().and_then(number)) {
                (Some(a), Some(b)) if operator == "Gt" => a > b,
                (Some(a), Some(b)) => a < b,
                _ => false,
            }
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements() {
        let value = "5".to_owned();
        let list = ["5".to_owned()];
        for (operator, present, absent) in [
            ("In", true, false),
            ("NotIn", false, true),
            ("Exists", true, false),
            ("DoesNotExist", false, true),
            ("Gt", false, false),
            ("Lt", false, false),
            ("Like", false, false),
        ] {
            assert_eq!(requirement(operator, Some(&value), &list), present, "{operator}");
            assert_eq!(requirement(operator, None, &list), absent, "{operator}");
        }
        assert!(requirement("Gt", Some(&"6".to_owned()), &list));
        assert!(requirement("Lt", Some(&"4".to_owned()), &list));
    }
}
