//! Sizes during a rolling update and while scaling: how far the new set may grow and the old ones shrink. Pure; follows
//! Kubernetes' `rolling.go` and the proportional scaling of `sync.go`.

use super::history;
use super::plan::{Sized, Step};

/// The size the new set may have now, given its present one (`NewRSNewReplicas`).
pub(super) fn new_size(step: &Step<'_>, present: i32) -> i32 {
    if !step.is_rolling() {
        return step.desired;
    }
    let room = step.desired + step.surge - step.total();
    if room <= 0 { present } else { present + room.min(step.desired - present) }
}

/// Brings the new set closer to the desired size; true when it changes.
pub(super) fn grow_new(step: &mut Step<'_>) -> bool {
    let Some(new) = step.new.clone() else { return false };
    let to = if new.size >= step.desired { step.desired } else { new_size(step, new.size) };
    new.size != to && step.scale(&new, to)
}

/// Takes pods from old sets as far as availability allows, unhealthy ones first; true when something changes.
pub(super) fn shrink_old(step: &mut Step<'_>) -> bool {
    if step.old.iter().all(|s| s.size == 0) {
        return false;
    }
    let least = step.desired - step.unavailable;
    let missing = step.new.as_ref().map_or(0, |n| n.size - n.available());
    let most = step.total() - least - missing;
    if most <= 0 {
        return false;
    }
    let mut changed = false;
    let mut taken = 0;
    for set in step.old.clone() {
        let unhealthy = set.size - set.available();
        if set.size > 0 && unhealthy > 0 && taken < most {
            let less = unhealthy.min(most - taken);
            taken += less;
            changed |= step.scale(&set, set.size - less);
        }
    }
    let mut spare = step.available() - least;
    for set in step.old.clone() {
        if spare > 0 && set.size > 0 {
            let less = set.size.min(spare);
            spare -= less;
            changed |= step.scale(&set, set.size - less);
        }
    }
    changed
}

/// Follows a change of the deployment's size outside of a rollout step (`scale`).
pub(super) fn scale(step: &mut Step<'_>) {
    let active: Vec<Sized> = step.all().filter(|s| s.size > 0).cloned().collect();
    let single = match active.as_slice() {
        [] => step.new.clone().or_else(|| step.old.last().cloned()),
        [one] => Some(one.clone()),
        _ => None,
    };
    if let Some(one) = single {
        step.scale(&one, step.desired);
        return;
    }
    if step.new.as_ref().is_some_and(|new| saturated(step, new)) {
        for old in step.old.clone().iter().filter(|s| s.size > 0) {
            step.scale(old, 0);
        }
        return;
    }
    if step.is_rolling() {
        proportional(step, active);
    }
}

fn saturated(step: &Step<'_>, new: &Sized) -> bool {
    let noted: Option<i32> = history::annotation(&new.set, history::DESIRED).and_then(|d| d.parse().ok());
    new.size == step.desired && noted == Some(step.desired) && new.available() == step.desired
}

/// Shares the difference between the active sets by their sizes; what rounding leaves goes to the largest.
fn proportional(step: &mut Step<'_>, mut active: Vec<Sized>) {
    let allowed = if step.desired > 0 { step.desired + step.surge } else { 0 };
    let to_add = allowed - step.total();
    // The largest first; among equals the newest when growing, the oldest when shrinking.
    if to_add > 0 {
        active.reverse();
    }
    active.sort_by_key(|s| std::cmp::Reverse(s.size));
    let mut added = 0;
    let mut sizes: Vec<i32> = Vec::new();
    for set in &active {
        let share = proportion(step, set, to_add, added);
        sizes.push(set.size + share);
        added += share;
    }
    if let Some(first) = sizes.first_mut() {
        *first = (*first + to_add - added).max(0);
    }
    for (set, size) in active.iter().zip(sizes) {
        step.scale(set, size);
    }
}

fn proportion(step: &Step<'_>, set: &Sized, to_add: i32, added: i32) -> i32 {
    if to_add == 0 || added == to_add {
        return 0;
    }
    let fraction = if step.desired == 0 {
        -set.size
    } else {
        let noted = history::annotation(&set.set, history::MAXIMUM).and_then(|m| m.parse().ok());
        let present = step.deployment.status.as_ref().and_then(|s| s.replicas).unwrap_or(0);
        let before = f64::from(noted.filter(|n: &i32| *n > 0).unwrap_or(present).max(1));
        let size = f64::from(set.size) * f64::from(step.desired + step.surge) / before;
        #[expect(clippy::cast_possible_truncation, reason = "a count of pods")]
        let size = size.round() as i32;
        size - set.size
    };
    let left = to_add - added;
    if to_add > 0 { fraction.min(left) } else { fraction.max(left) }
}
