//! Revisions on values.

use super::*;
use crate::fixtures::{object, stateful_set};

fn templates() -> (PodTemplateSpec, PodTemplateSpec) {
    let one = stateful_set("web", 3).spec.template;
    let mut two = one.clone();
    two.spec.as_mut().unwrap().containers[0].image = Some("nginx".into());
    (one, two)
}

fn made(template: &PodTemplateSpec, number: i64) -> Arc<ControllerRevision> {
    Arc::new(new(&stateful_set("web", 3), template, number, 0))
}

#[test]
fn a_revision_gives_its_template_back() {
    let (one, two) = templates();
    let (first, second) = (made(&one, 1), made(&two, 2));
    assert_eq!(template(&first), Some(one));
    assert_eq!(template(&second), Some(two));
    assert_eq!(first.data.0["spec"]["template"]["$patch"], "replace");
    assert_ne!(first.metadata.name, second.metadata.name);
    assert_eq!(first.metadata.name, Some(format!("web-{}", hash(&first))));
}

#[test]
fn collisions_give_another_name() {
    let (one, _) = templates();
    let set = stateful_set("web", 3);
    assert_ne!(new(&set, &one, 1, 0).metadata.name, new(&set, &one, 1, 1).metadata.name);
}

#[test]
fn the_present_template_gets_the_newest_number() {
    let (one, two) = templates();
    assert_eq!(judge(&[], &one), Step::Create(1));
    let first = made(&one, 1);
    assert_eq!(judge(std::slice::from_ref(&first), &one), Step::Stands(first.clone()));
    assert_eq!(judge(std::slice::from_ref(&first), &two), Step::Create(2));
    let both = [first.clone(), made(&two, 2)];
    assert_eq!(judge(&both, &one), Step::Renumber(first, 3));
}

#[test]
fn history_beyond_the_limit_goes_oldest_first() {
    let (one, two) = templates();
    let mut all = vec![made(&two, 3), made(&one, 1), made(&one, 2), made(&two, 4)];
    sort(&mut all);
    let numbers = |limit| -> Vec<i64> {
        let gone = surplus(&all, |r| r.revision == Some(4), limit);
        gone.iter().filter_map(|r| r.revision).collect()
    };
    assert_eq!(numbers(0), [1, 2, 3]);
    assert_eq!(numbers(2), [1]);
    assert!(numbers(10).is_empty());
}

#[test]
fn data_is_written_as_go_writes_it() {
    let template: PodTemplateSpec = object(json!({ "metadata": { "labels": { "b": "1", "a": "2" } },
        "spec": { "restartPolicy": "Always", "containers": [{ "resources": {}, "name": "c", "image": "i" }] } }));
    let text = r#"{"spec":{"template":{"$patch":"replace","metadata":{"labels":{"a":"2","b":"1"}},"spec":{"containers":[{"image":"i","name":"c","resources":{}}],"restartPolicy":"Always"}}}}"#;
    assert_eq!(data(&template).to_string(), text);
}
