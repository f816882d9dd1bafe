//! Ingresses at admission: the default class.

use serde_json::{Value, json};

use super::lab::Lab;

const CLASSES: &str = "/apis/networking.k8s.io/v1/ingressclasses";
const INGRESSES: &str = "/apis/networking.k8s.io/v1/namespaces/default/ingresses";

async fn class_of(lab: &Lab, class: Option<&str>, annotations: Value) -> Value {
    let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
    let made = lab
        .post(
            INGRESSES,
            &json!({"metadata": {"generateName": "web-", "annotations": annotations},
                    "spec": {"ingressClassName": class, "defaultBackend": backend}}),
        )
        .await;
    assert_eq!(made.code, 201, "{made:?}");
    made.json()["spec"]["ingressClassName"].clone()
}

#[tokio::test]
async fn ingresses_get_the_default_class_unless_they_say_otherwise() {
    let lab = Lab::new().await;
    let none = json!({});
    assert_eq!(class_of(&lab, None, none.clone()).await, Value::Null, "there is no class");
    let class = |name: &str, default: &str| {
        json!({"metadata": {"name": name, "annotations": {"ingressclass.kubernetes.io/is-default-class": default}},
               "spec": {"controller": "example.com/ingress"}})
    };
    assert_eq!(lab.post(CLASSES, &class("other", "false")).await.code, 201);
    assert_eq!(class_of(&lab, None, none.clone()).await, Value::Null, "none is the default");
    let b = lab.post(CLASSES, &class("b", "true")).await.json();
    assert_eq!(class_of(&lab, None, none.clone()).await, "b");
    assert_eq!(class_of(&lab, Some("other"), none.clone()).await, "other");
    assert_eq!(class_of(&lab, None, json!({"kubernetes.io/ingress.class": "old"})).await, Value::Null);
    // Of two the younger; made in the same second, the first by name.
    let a = lab.post(CLASSES, &class("a", "true")).await.json();
    let times = [&a, &b].map(|class| class["metadata"]["creationTimestamp"].as_str().unwrap().to_owned());
    assert!(times[0] >= times[1], "{times:?}");
    assert_eq!(class_of(&lab, None, none).await, "a");
}
