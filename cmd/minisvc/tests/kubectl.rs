//! kubectl 1.20 and 1.33 to 1.37: what they print for objects, compared with the goldens of `testdata/kubectl`. Run
//! through `cargo xtask test`; `UPDATE_GOLDENS=1` writes the goldens anew, to be reviewed.

mod lab;
mod matrix;

use lab::Lab;
use matrix::KUBECTL;
use matrix::script::{compare, compare_in_turn};

fn all(names: &[&str]) {
    minisvc_testkit::isolated(|| compare(&Lab::started("1.37"), &KUBECTL, names));
}

#[test]
fn reading_objects() {
    all(&["get", "describe"]);
}

#[test]
fn making_objects() {
    all(&["create", "run", "kinds"]);
}

#[test]
fn changing_objects() {
    all(&["change", "subresource", "edit"]);
}

#[test]
fn applying_objects() {
    all(&["apply", "apply-server"]);
}

#[test]
fn waiting_and_deleting() {
    all(&["waiting", "delete"]);
}

#[test]
fn debugging() {
    all(&["debug"]);
}

#[test]
fn emptying_nodes() {
    minisvc_testkit::isolated(|| compare_in_turn(&Lab::started("1.37"), &KUBECTL, &["nodes"]));
}

#[test]
fn rolling_out() {
    all(&["rollout"]);
}

#[test]
fn asking_who_may_and_what_there_is() {
    all(&["auth", "auth-new", "about", "apis", "events"]);
}
