//! Selectors as URLs and objects carry them.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::registry::find;

#[test]
fn label_selectors_match() {
    let labels = json!({"app": "blue", "tier": "web", "n": "5"});
    let cases = [
        ("", true),
        ("app=blue", true),
        ("app==blue", true),
        ("app=red", false),
        ("app!=red", true),
        ("x!=y", true),
        ("app in (red, blue)", true),
        ("app in (red)", false),
        ("app notin (red)", true),
        ("x notin (a)", true),
        ("app", true),
        ("x", false),
        ("!x", true),
        ("!app", false),
        ("app=blue,tier=web", true),
        ("app=blue,tier=db", false),
        ("n>4", true),
        ("n<5", false),
        ("app=", false),
        ("x=", false),
        ("app in (blue),!x, tier", true),
        ("x in ()", false),
        ("in=a", false),
    ];
    for (text, wanted) in cases {
        let selector = LabelSelector::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(selector.matches(&labels), wanted, "{text}");
    }
}

#[test]
fn label_selectors_that_do_not_parse() {
    let cases = [
        ("a===b", "unable to parse requirement: found '=', expected: identifier"),
        ("=b", "found '=', expected: !, identifier, or 'end of string'"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a=b,", "found '', expected: identifier after ','"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("-a=b", "unable to parse requirement: key: Invalid value: \"-a\": name part must consist"),
        ("a=b$", "unable to parse requirement: values[0][a]: Invalid value: \"b$\": a valid label"),
    ];
    for (text, wanted) in cases {
        let error = LabelSelector::parse(text).expect_err(text);
        assert!(error.starts_with(wanted), "{text}: {error}");
    }
}

#[test]
fn selector_objects() {
    let labels = json!({"app": "blue"});
    let select = |object| LabelSelector::from_object(&object).map(|s| s.matches(&labels));
    assert_eq!(select(json!(null)), Ok(false));
    assert_eq!(select(json!({})), Ok(true));
    assert_eq!(select(json!({"matchLabels": {"app": "blue"}})), Ok(true));
    assert_eq!(
        select(json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["blue"]}]})),
        Ok(false)
    );
    assert_eq!(select(json!({"matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]})), Ok(true));
    assert_eq!(
        select(json!({"matchExpressions": [{"key": "x", "operator": "Has"}]})),
        Err("\"Has\" is not a valid label selector operator".to_owned())
    );
    assert!(select(json!({"matchExpressions": [{"key": "x", "operator": "In"}]})).is_err());
    let text = LabelSelector::from_object(&json!({"matchLabels": {"b": "2", "a": "1"}})).expect("good").to_string();
    assert_eq!(text, "a=1,b=2");
    assert!(LabelSelector::from_map(&json!({"app": "blue"})).matches(&labels));
}

#[test]
fn field_selectors() {
    let pods = find("", "v1", "pods").expect("pods");
    let services = find("", "v1", "configmaps").expect("configmaps");
    let pod = json!({"metadata": {"name": "a", "namespace": "n"}, "spec": {"nodeName": "node1"}, "status": {"phase": "Running"}});
    let cases = [
        ("metadata.name=a", true),
        ("metadata.name!=a", false),
        ("spec.nodeName==node1,status.phase!=Failed", true),
        ("status.phase=Pending", false),
        ("spec.hostNetwork=false", true),
        ("status.nominatedNodeName=", true),
        ("", true),
    ];
    for (text, wanted) in cases {
        assert_eq!(FieldSelector::parse(text, pods).expect(text).matches(pods, &pod), wanted, "{text}");
    }
    assert_eq!(FieldSelector::parse("spec.foo=1", pods), Err("field label not supported: spec.foo".to_owned()));
    assert_eq!(
        FieldSelector::parse("foo=1", services),
        Err("\"foo\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"".to_owned())
    );
    assert_eq!(
        FieldSelector::parse("nonsense", pods),
        Err("invalid selector: 'nonsense'; can't understand 'nonsense'".to_owned())
    );
    assert_eq!(FieldSelector::parse("metadata.name=a", pods).expect("good").exact_name(), Some("a"));
}

proptest! {
    #[test]
    fn parsing_never_panics_and_printing_parses_again(text in "[a-c!=(), <>in.-]{0,24}") {
        if let Ok(selector) = LabelSelector::parse(&text) {
            let again = LabelSelector::parse(&selector.to_string());
            prop_assert_eq!(again.map(|s| s.to_string()), Ok(selector.to_string()));
        }
    }
}
