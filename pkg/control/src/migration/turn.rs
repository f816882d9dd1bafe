//! Whose turn it is, and what is told of it. Pure over migrations.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::storagemigration::v1::StorageVersionMigration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// What to do with a migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing: it is over, or another of its resource goes first.
    None,
    /// It may begin.
    Start,
    /// It goes on.
    Run,
    /// It has ended, which is not told yet.
    Finish,
}

fn holds(migration: &StorageVersionMigration, kind: &str) -> bool {
    let conditions = migration.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == kind && condition.status == "True")
}

fn is_over(migration: &StorageVersionMigration) -> bool {
    holds(migration, "Succeeded") || holds(migration, "Failed")
}

/// Whether a migration went well.
pub(super) fn succeeded(migration: &StorageVersionMigration) -> bool {
    holds(migration, "Succeeded")
}

/// What to do with `one` of `all`.
pub(super) fn of(one: &StorageVersionMigration, all: &[Arc<StorageVersionMigration>]) -> Turn {
    match (holds(one, "Running"), is_over(one)) {
        (true, true) => return Turn::Finish,
        (true, false) => return Turn::Run,
        (false, true) => return Turn::None,
        (false, false) => {}
    }
    let age = |migration: &StorageVersionMigration| {
        (migration.metadata.creation_timestamp.as_ref().map(|at| at.0), migration.metadata.name.clone())
    };
    let others = all.iter().filter(|other| other.spec == one.spec && other.metadata.name != one.metadata.name);
    let first =
        |other: &Arc<StorageVersionMigration>| holds(other, "Running") || (!is_over(other) && age(other) < age(one));
    if others.into_iter().any(first) { Turn::None } else { Turn::Start }
}

/// The message of the condition `Running`; `left`: how many of how many objects are still to be written.
pub(super) fn running(left: Option<(usize, usize)>, error: Option<&str>) -> String {
    let mut text = "The migration is running".to_owned();
    match left {
        Some((0, total)) if total > 0 => text += &format!(", {total} objects verified migrated"),
        Some((left, total)) if total > 0 => text += &format!(", {left}/{total} objects not yet migrated"),
        _ => {}
    }
    if let Some(error) = error {
        text += &format!("; transient error: {error}");
    }
    text
}

/// Sets a condition; its time moves when its status does. Whether anything changed.
pub(super) fn put(
    migration: &mut StorageVersionMigration,
    kind: &str,
    value: bool,
    reason: &str,
    message: String,
    now: Timestamp,
) -> bool {
    let conditions = migration.status.get_or_insert_default().conditions.get_or_insert_default();
    let mut new = Condition {
        type_: kind.to_owned(),
        status: if value { "True" } else { "False" }.to_owned(),
        reason: reason.to_owned(),
        message,
        last_transition_time: Time(now),
        observed_generation: None,
    };
    let Some(old) = conditions.iter_mut().find(|old| old.type_ == kind) else {
        conditions.push(new);
        return true;
    };
    if old.status == new.status {
        new.last_transition_time = old.last_transition_time.clone();
    }
    let changed = *old != new;
    *old = new;
    changed
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixtures::{at, object};

    fn migration(name: &str, resource: &str, made: i64, conditions: &[&str]) -> Arc<StorageVersionMigration> {
        let conditions: Vec<_> = conditions
            .iter()
            .map(|kind| json!({"type": kind, "status": "True", "reason": "X", "message": "", "lastTransitionTime": at(0).to_string()}))
            .collect();
        Arc::new(object(json!({
            "metadata": {"name": name, "creationTimestamp": at(made).to_string()},
            "spec": {"resource": {"group": "g", "resource": resource}}, "status": {"conditions": conditions},
        })))
    }

    #[test]
    fn one_migration_of_a_resource_at_a_time() {
        let all = [
            migration("b", "x", 1, &[]),
            migration("a", "x", 1, &[]),
            migration("old", "x", 0, &["Succeeded"]),
            migration("other", "y", 0, &["Running"]),
            migration("late", "y", 0, &[]),
            migration("done", "z", 0, &["Running", "Failed"]),
        ];
        let turns: Vec<Turn> = all.iter().map(|one| of(one, &all)).collect();
        assert_eq!(turns, [Turn::None, Turn::Start, Turn::None, Turn::Run, Turn::None, Turn::Finish]);
    }

    #[test]
    fn what_is_told() {
        assert_eq!(running(None, None), "The migration is running");
        assert_eq!(
            running(Some((2, 5)), Some("x")),
            "The migration is running, 2/5 objects not yet migrated; transient error: x"
        );
        assert_eq!(running(Some((0, 5)), None), "The migration is running, 5 objects verified migrated");
        let mut one = (*migration("a", "x", 0, &["Running"])).clone();
        assert!(put(&mut one, "Running", false, "Y", String::new(), at(9)));
        assert!(!put(&mut one, "Running", false, "Y", String::new(), at(10)));
        let condition = &one.status.unwrap().conditions.unwrap()[0];
        assert_eq!((condition.status.as_str(), condition.last_transition_time.0), ("False", at(9)));
    }
}
