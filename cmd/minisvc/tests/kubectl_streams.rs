//! kubectl's streams, by each version's own way, and by 1.33 and 1.37 told to speak SPDY, compared with the goldens of `testdata/kubectl`.
//! Run through `cargo xtask test`.

mod lab;
mod matrix;

use lab::Lab;
use matrix::KUBECTL;
use matrix::script::compare;

#[test]
fn streams() {
    minisvc_testkit::isolated(|| compare(&Lab::started("1.37"), &KUBECTL, &["streams"]));
}

#[test]
fn streams_over_spdy() {
    minisvc_testkit::isolated(|| compare(&Lab::started("1.37"), &KUBECTL, &["spdy"]));
}
