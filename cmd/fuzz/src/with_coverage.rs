//! libFuzzer as driver: takes the target's name from `MINISVC_FUZZ_TARGET`. Started by `cargo xtask fuzz`.
#![no_main]

use std::sync::LazyLock;

use minisvc_fuzz::Target;

static TARGET: LazyLock<&'static Target> = LazyLock::new(|| {
    let name = std::env::var("MINISVC_FUZZ_TARGET").expect("MINISVC_FUZZ_TARGET names the target");
    minisvc_fuzz::target(&name).unwrap_or_else(|| panic!("no target {name}"))
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (TARGET.run)(bytes));
