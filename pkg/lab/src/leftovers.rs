//! What killed labs left on this machine: control groups, the one thing that stays when all processes of a lab have ended.
//! Must not touch what belongs to a lab that runs.

use std::collections::BTreeSet;
use std::path::Path;

use minisvc_kernel::Cgroups;

use crate::places;
use crate::processes;

/// Names of the control groups of labs of which no process lives, sorted.
///
/// # Errors
/// When the process table cannot be read.
pub fn groups() -> std::io::Result<Vec<String>> {
    let Some(groups) = Cgroups::of_machine() else { return Ok(Vec::new()) };
    let living = processes::run_dirs()?;
    Ok(of_the_dead(groups.named(places::GROUP), living.iter().map(|run| places::group(run)).collect()))
}

fn of_the_dead(found: Vec<String>, living: BTreeSet<String>) -> Vec<String> {
    let mut left: Vec<String> = found.into_iter().filter(|name| !living.contains(name)).collect();
    left.sort_unstable();
    left
}

/// Removes them; answers those that are gone. One that still holds processes stays.
///
/// # Errors
/// When the process table cannot be read.
pub fn clear() -> std::io::Result<Vec<String>> {
    let Some(machine) = Cgroups::of_machine() else { return Ok(Vec::new()) };
    let left = groups()?;
    Ok(left.into_iter().filter(|name| machine.group(Path::new(name)).remove().is_ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_living_labs_are_kept() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let found = names(&["minisvc-tmp-b", "minisvc-run-minisvc", "minisvc-tmp-a"]);
        let living = BTreeSet::from([places::group(Path::new("/run/minisvc"))]);
        assert_eq!(of_the_dead(found, living), names(&["minisvc-tmp-a", "minisvc-tmp-b"]));
    }
}
