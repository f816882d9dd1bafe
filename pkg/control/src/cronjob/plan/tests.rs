//! CronJob plans on values.

use super::*;
use crate::fixtures::object;
use serde_json::{Value, json};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn cron(spec: Value, status: Value) -> CronJob {
    let mut all = json!({ "schedule": "*/5 * * * *", "jobTemplate": { "metadata": { "labels": { "a": "b" } }, "spec": {
        "template": {} } }, "successfulJobsHistoryLimit": 3, "failedJobsHistoryLimit": 1, "concurrencyPolicy": "Allow" });
    all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    object(json!({ "metadata": { "name": "tick", "namespace": "default", "uid": "cron",
        "creationTimestamp": "2026-03-01T10:01:00Z" }, "spec": all, "status": status }))
}

fn job(name: &str, end: Option<&str>) -> Arc<Job> {
    let conditions = end.map(|e| json!([{ "type": e, "status": "True" }]));
    Arc::new(object(json!({ "metadata": { "name": name, "uid": name }, "status": {
        "conditions": conditions, "startTime": "2026-03-01T10:00:00Z", "completionTime": "2026-03-01T10:00:30Z" } })))
}

fn started(plan: &Plan) -> Option<String> {
    plan.start.as_ref().map(|(job, _)| job.name_any())
}

fn reasons(plan: &Plan) -> Vec<&str> {
    plan.told.iter().map(|(_, reason, _)| *reason).collect()
}

#[test]
fn a_job_for_every_time() {
    let idle = cron(json!({}), json!({}));
    let before = plan(&idle, &[], |_| false, at("2026-03-01T10:04:00Z"));
    assert_eq!((started(&before), before.again), (None, Some(Duration::from_millis(60_100))));
    let due = plan(&idle, &[], |_| false, at("2026-03-01T10:05:00Z"));
    let (job, when) = due.start.unwrap();
    assert_eq!(when, at("2026-03-01T10:05:00Z"));
    assert_eq!(job.name_any(), format!("tick-{}", when.as_second() / 60));
    assert_eq!((&job.labels()["a"][..], &job.annotations()[DUE][..]), ("b", "2026-03-01T10:05:00Z"));
    assert_eq!(due.again, Some(Duration::from_millis(300_100)));
    // Served already.
    let served = cron(json!({}), json!({ "lastScheduleTime": "2026-03-01T10:05:00Z" }));
    assert_eq!(started(&plan(&served, &[], |_| false, at("2026-03-01T10:05:30Z"))), None);
}

#[test]
fn the_zone_counts() {
    let tokyo = cron(json!({ "schedule": "0 3 * * *", "timeZone": "Asia/Tokyo" }), json!({}));
    let (job, _) = plan(&tokyo, &[], |_| false, at("2026-03-01T18:00:10Z")).start.unwrap();
    assert_eq!(job.annotations()[DUE], "2026-03-02T03:00:00+09:00");
    let wrong = plan(&cron(json!({ "timeZone": "No/Where" }), json!({})), &[], |_| false, at("2026-03-01T18:00:00Z"));
    assert_eq!((started(&wrong), reasons(&wrong)), (None, vec!["UnknownTimeZone"]));
}

#[test]
fn suspended_and_late_jobs_do_not_start() {
    let now = at("2026-03-01T10:05:20Z");
    assert_eq!(started(&plan(&cron(json!({ "suspend": true }), json!({})), &[], |_| false, now)), None);
    assert_eq!(started(&plan(&cron(json!({ "startingDeadlineSeconds": 10 }), json!({})), &[], |_| false, now)), None);
    assert!(started(&plan(&cron(json!({ "startingDeadlineSeconds": 30 }), json!({})), &[], |_| false, now)).is_some());
    let late = plan(&cron(json!({}), json!({})), &[], |_| false, at("2026-03-03T10:05:20Z"));
    assert_eq!(reasons(&late), ["TooManyMissedTimes"]);
    assert!(started(&late).is_some());
}

#[test]
fn concurrency() {
    let now = at("2026-03-01T10:10:00Z");
    let active = json!({ "active": [{ "name": "old", "uid": "old" }], "lastScheduleTime": "2026-03-01T10:05:00Z" });
    let jobs = [job("old", None)];
    let of = |policy: &str| plan(&cron(json!({ "concurrencyPolicy": policy }), active.clone()), &jobs, |_| true, now);
    let (allow, forbid, replace) = (of("Allow"), of("Forbid"), of("Replace"));
    assert!(started(&allow).is_some() && allow.remove.is_empty());
    assert_eq!((started(&forbid), reasons(&forbid)), (None, vec!["JobAlreadyActive"]));
    assert!(started(&replace).is_some() && replace.remove[0].name_any() == "old");
}

#[test]
fn what_became_of_active_jobs_is_told() {
    let now = at("2026-03-01T10:06:00Z");
    let active = json!({ "active": [{ "name": "a", "uid": "a" }, { "name": "gone", "uid": "gone" }],
                         "lastScheduleTime": "2026-03-01T10:05:00Z" });
    let seen = plan(&cron(json!({}), active), &[job("a", Some("Complete")), job("b", None)], |_| false, now);
    assert_eq!(reasons(&seen), ["SawCompletedJob", "UnexpectedJob", "MissingJob"]);
    assert_eq!(seen.told[0].2, "Saw completed job: a, condition: Complete");
    assert_eq!(seen.status.active, None);
    assert_eq!(seen.status.last_successful_time.unwrap().0, at("2026-03-01T10:00:30Z"));
}

#[test]
fn history_has_limits() {
    let jobs: Vec<_> = (0..5).map(|n| job(&format!("ok{n}"), Some("Complete"))).collect();
    let jobs: Vec<_> = jobs.into_iter().chain((0..3).map(|n| job(&format!("bad{n}"), Some("Failed")))).collect();
    let plan = plan(&cron(json!({ "suspend": true }), json!({})), &jobs, |_| true, at("2026-03-01T10:06:00Z"));
    let gone: Vec<_> = plan.remove.iter().map(|j| j.name_any()).collect();
    assert_eq!(gone, ["ok0", "ok1", "bad0", "bad1"]);
}
