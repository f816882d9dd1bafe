//! Strategic merge patches against what Kubernetes' own `strategicpatch` package makes of them: `cases.jsonl` has a patch
//! and the members that it changes (`"gone"`: removed), or the refusal, of one of the objects in `targets.jsonl`.

use std::collections::HashMap;

use super::*;
use crate::messages::message;
use crate::registry::rows;

const TARGETS: &str = include_str!("../../../testdata/strategic/targets.jsonl");
const CASES: &str = include_str!("../../../testdata/strategic/cases.jsonl");

fn lines(text: &str) -> impl Iterator<Item = Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON"))
}

/// `target` with the members of `changed` (`spec.nodeSelector`) put in or taken out.
fn changed(target: &Value, changed: &Value) -> Value {
    let mut new = target.clone();
    for (path, value) in changed.as_object().expect("members") {
        let (parent, member) = match path.split_once('.') {
            Some((parent, member)) => (new[parent].as_object_mut(), member),
            None => (new.as_object_mut(), path.as_str()),
        };
        let parent = parent.expect("an object");
        match value.as_str() {
            Some("gone") => parent.shift_remove(member),
            _ => parent.insert(member.to_owned(), value.clone()),
        };
    }
    new
}

#[test]
fn as_upstream_merges() {
    let targets: HashMap<String, Value> =
        lines(TARGETS).map(|line| (line["name"].as_str().expect("name").to_owned(), line["object"].clone())).collect();
    let mut wrong = Vec::new();
    for case in lines(CASES) {
        let name = case["target"].as_str().expect("target");
        let (group, plural) = match name {
            "Deployment" => ("apps", "deployments"),
            "Service" => ("", "services"),
            "Node" => ("", "nodes"),
            "ServiceAccount" => ("", "serviceaccounts"),
            _ => ("", "pods"),
        };
        let given = strategic(group, plural, targets[name].clone(), case["patch"].clone());
        let given = given.map_err(|status| {
            let form = status.message.starts_with("invalid patch format");
            assert_eq!(status.code, if form { 400 } else { 500 }, "{case}");
            status.message
        });
        let wanted = match case["error"].as_str() {
            // Where upstream falls over, any refusal will do.
            Some(text) if text.starts_with("PANIC") => Err(given.clone().err().unwrap_or_default()),
            Some(text) => Err(text.to_owned()),
            None => Ok(changed(&targets[name], &case["changed"])),
        };
        if given != wanted {
            wrong.push(format!("{}: {}\n  given  {given:?}\n  wanted {wanted:?}", case["name"], case["patch"]));
        }
    }
    assert!(lines(CASES).count() > 190 && wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_kind_has_a_shape_to_merge_by() {
    for row in rows() {
        assert!(message(row.schema).is_some(), "{}", row.schema);
    }
}
