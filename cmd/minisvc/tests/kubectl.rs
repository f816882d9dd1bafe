//! kubectl 1.20 and 1.33 to 1.37: what they print for objects, compared with the goldens of `testdata/kubectl`. Run
//! through `cargo xtask test`; `UPDATE_GOLDENS=1` writes the goldens anew, to be reviewed.

mod lab;
mod matrix;

use lab::Lab;
use matrix::script::compare;

#[test]
fn reading_objects() {
    minisvc_testkit::isolated(|| compare(&Lab::started("1.37"), &["get"]));
}
