//! Kinds beyond the lesson's, over HTTP: made, listed, changed through their subresources, shown in both versions.

use serde_json::json;

use super::lab::Lab;

fn template(policy: &str) -> serde_json::Value {
    json!({"metadata": {"labels": {"app": "x"}},
           "spec": {"restartPolicy": policy, "containers": [{"name": "c", "image": "nginx"}]}})
}

#[tokio::test]
async fn a_statefulset_scales_and_keeps_its_selector() {
    let lab = Lab::new().await;
    let collection = "/apis/apps/v1/namespaces/default/statefulsets";
    let claim = json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1024Mi"}}}});
    let made = lab
        .post(collection, &json!({"metadata": {"name": "web"}, "spec": {"serviceName": "web", "replicas": 2,
            "selector": {"matchLabels": {"app": "x"}}, "template": template("Always"), "volumeClaimTemplates": [claim]}}))
        .await;
    assert_eq!(made.code, 201, "{made:?}");
    let made = made.json();
    assert_eq!(made["spec"]["updateStrategy"], json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}));
    assert_eq!(made["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"], "1Gi");
    assert_eq!(made["metadata"]["generation"], 1);
    let scaled = lab.merge(&format!("{collection}/web/scale"), &json!({"spec": {"replicas": 5}})).await;
    assert_eq!((scaled.code, &scaled.json()["status"]["selector"]), (200, &json!("app=x")));
    let now = lab.get(&format!("{collection}/web")).await.json();
    assert_eq!((&now["spec"]["replicas"], &now["metadata"]["generation"]), (&json!(5), &json!(2)));
    let moved = lab.merge(&format!("{collection}/web"), &json!({"spec": {"serviceName": "other"}})).await;
    assert_eq!(moved.code, 422);
    assert_eq!(
        moved.json()["message"],
        "StatefulSet.apps \"web\" is invalid: spec.serviceName: Invalid value: \"other\": field is immutable"
    );
}

#[tokio::test]
async fn a_job_gets_its_own_selector_and_labels() {
    let lab = Lab::new().await;
    let collection = "/apis/batch/v1/namespaces/default/jobs";
    let made = lab.post(collection, &json!({"metadata": {"name": "j"}, "spec": {"template": template("Never")}})).await;
    assert_eq!(made.code, 201, "{made:?}");
    let job = made.json();
    let uid = &job["metadata"]["uid"];
    assert_eq!(job["spec"]["selector"]["matchLabels"], json!({"batch.kubernetes.io/controller-uid": uid}));
    assert_eq!(&job["spec"]["template"]["metadata"]["labels"]["controller-uid"], uid);
    assert_eq!(job["metadata"]["labels"]["batch.kubernetes.io/job-name"], "j");
    assert_eq!((&job["spec"]["backoffLimit"], &job["spec"]["completions"]), (&json!(6), &json!(1)));
    let wrong =
        lab.post(collection, &json!({"metadata": {"name": "k"}, "spec": {"template": template("Always")}})).await;
    assert_eq!(wrong.code, 422);
    let words = "spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\"";
    assert!(wrong.json()["message"].as_str().is_some_and(|m| m.contains(words)), "{wrong:?}");
    let status = json!({"status": {"succeeded": 1}});
    assert_eq!(lab.merge(&format!("{collection}/j/status"), &status).await.code, 200);
    let found = lab.get(&format!("{collection}?fieldSelector=status.successful=1")).await.json();
    assert_eq!(found["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn an_autoscaler_is_one_object_in_two_versions() {
    let lab = Lab::new().await;
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"});
    let (v1, v2) = (
        "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers",
        "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers",
    );
    let made = lab
        .post(
            v1,
            &json!({"metadata": {"name": "h"}, "spec": {"maxReplicas": 3, "scaleTargetRef": target,
            "targetCPUUtilizationPercentage": 60}}),
        )
        .await;
    assert_eq!((made.code, &made.json()["apiVersion"]), (201, &json!("autoscaling/v1")));
    let seen = lab.get(&format!("{v2}/h")).await.json();
    assert_eq!(seen["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 60);
    assert_eq!((&seen["apiVersion"], &seen["spec"]["minReplicas"]), (&json!("autoscaling/v2"), &json!(1)));
    let changed = lab.merge(&format!("{v1}/h"), &json!({"spec": {"targetCPUUtilizationPercentage": 70}})).await;
    assert_eq!(changed.code, 200, "{changed:?}");
    let seen = lab.get(&format!("{v2}/h")).await.json();
    assert_eq!(seen["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 70);
    assert_eq!(lab.get(v1).await.json()["kind"], "HorizontalPodAutoscalerList");
}

#[tokio::test]
async fn the_system_brings_its_classes_its_range_and_its_components() {
    let lab = Lab::new().await;
    let classes = lab.get("/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical").await.json();
    assert_eq!(classes["value"], 2_000_001_000);
    let range = lab.get("/apis/networking.k8s.io/v1/servicecidrs/kubernetes").await.json();
    assert_eq!(range["spec"]["cidrs"], json!(["10.96.0.0/12"]));
    let components = lab.get("/api/v1/componentstatuses").await.json();
    assert_eq!(components["items"].as_array().map(Vec::len), Some(3));
    assert_eq!(lab.post("/api/v1/componentstatuses", &json!({"metadata": {"name": "x"}})).await.code, 405);
    let own = json!({"metadata": {"name": "system-mine"}, "value": 1});
    let refused = lab.post("/apis/scheduling.k8s.io/v1/priorityclasses", &own).await;
    assert_eq!(refused.code, 422);
    assert_eq!(
        refused.json()["message"],
        "PriorityClass.scheduling.k8s.io \"system-mine\" is invalid: metadata.name: Forbidden: priority class names with \
         'system-' prefix are reserved for system use only. error: system-mine is not a known system priority class"
    );
}
