//! Fuzz targets: each takes any bytes and panics when an invariant of the parser behind it breaks. Drivers give the bytes:
//! `tests/bounded.rs` (mutated seeds, no feedback, a few seconds) and `with_coverage.rs` (libFuzzer). Holds no product
//! code.

mod api;
mod kubeconfig;
pub mod mutate;
mod reach;
pub mod seeds;

/// One target.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, and that of its folder of seeds below `testdata/fuzz`.
    pub name: &'static str,
    /// Takes any bytes; panics when an invariant breaks.
    pub run: fn(&[u8]),
    /// Looks at the one store of this process before and after: no other such target may run beside it.
    pub alone: bool,
}

const fn free(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run, alone: false }
}

const fn alone(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run, alone: true }
}

/// Every target.
pub const TARGETS: &[Target] = &[
    alone("body-json", api::body_json),
    alone("body-yaml", api::body_yaml),
    alone("body-protobuf", api::body_protobuf),
    alone("patch-json", api::patch_json),
    alone("patch-merge", api::patch_merge),
    alone("patch-strategic", api::patch_strategic),
    alone("patch-apply", api::patch_apply),
    alone("selector-label", api::selector_label),
    alone("selector-field", api::selector_field),
    alone("continue-token", api::continue_token),
    alone("request", reach::request),
    free("websocket", minisvc_node::strangers::websocket),
    free("spdy", minisvc_node::strangers::spdy),
    free("spdy-headers", minisvc_node::strangers::spdy_headers),
    free("dns", minisvc_dns::strangers::message),
    free("kubeconfig", kubeconfig::merge),
];

/// The target of that name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
