//! Every target on its seeds and on a few seconds of changed ones: what CI runs. `MINISVC_FUZZ_SECONDS` makes it longer,
//! `MINISVC_FUZZ_SEED` other. A panic's input is written to a file that is named.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use minisvc_fuzz::{TARGETS, mutate, seeds};

static ALONE: Mutex<()> = Mutex::new(());

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn highest_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").trim().parse().expect("a number")
}

fn check(name: &str) {
    let target = minisvc_fuzz::target(name).expect("a target");
    let seeds = seeds::of(name);
    let _alone = target.alone.then(|| ALONE.lock().unwrap_or_else(PoisonError::into_inner));
    let run = |input: &[u8]| {
        if catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_err() {
            let folder: PathBuf = std::env::temp_dir();
            let path = folder.join(format!("minisvc-fuzz-{name}-{}", std::process::id()));
            std::fs::write(&path, input).expect("write the input");
            panic!("{name}: the input is in {}: {:?}", path.display(), String::from_utf8_lossy(input));
        }
    };
    for seed in &seeds {
        run(seed);
    }
    let memory = highest_memory();
    let mut rng = fastrand::Rng::with_seed(number("MINISVC_FUZZ_SEED", 1));
    let (begun, time) = (Instant::now(), Duration::from_secs(number("MINISVC_FUZZ_SECONDS", 4)));
    let (mut count, mut slowest) = (0_u64, Duration::ZERO);
    while begun.elapsed() < time || count < 50 {
        let input = mutate::mutated(&seeds, &mut rng);
        let begun = Instant::now();
        run(&input);
        let took = begun.elapsed();
        slowest = slowest.max(took);
        assert!(took < Duration::from_secs(120), "{name}: {took:?} for {:?}", String::from_utf8_lossy(&input));
        count += 1;
    }
    // Other targets run beside this one: a coarse bound, yet one that a bomb would break.
    let grown = highest_memory().saturating_sub(memory) >> 10;
    assert!(grown < 1024, "{name}: memory grew by {grown} MiB");
    println!("{name}: {count} inputs, the slowest {slowest:?}");
}

macro_rules! targets {
    ($($test:ident $name:literal),* $(,)?) => {
        $(#[test] fn $test() { check($name); })*

        #[test]
        fn none_is_forgotten() {
            let tested = [$($name),*];
            assert_eq!(TARGETS.iter().map(|target| target.name).collect::<Vec<_>>(), tested);
        }
    };
}

targets! {
    body_json "body-json",
    body_yaml "body-yaml",
    body_protobuf "body-protobuf",
    patch_json "patch-json",
    patch_merge "patch-merge",
    patch_strategic "patch-strategic",
    patch_apply "patch-apply",
    selector_label "selector-label",
    selector_field "selector-field",
    continue_token "continue-token",
    request "request",
    websocket "websocket",
    spdy "spdy",
    spdy_headers "spdy-headers",
    dns "dns",
    kubeconfig "kubeconfig",
}
