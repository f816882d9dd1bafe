//! Selectors against labels. Pure.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
pub(crate) use minisvc_api::node_fit::{map_matches, requirement};

/// Labels of an object.
pub(crate) type Labels = BTreeMap<String, String>;

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
