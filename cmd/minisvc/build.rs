//! Links the binary at a fixed address. Every pod of a built-in image is a process of this one file: relocated at start
//! it would hold private copies of all its tables, linked in place they are shared by all pods.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Static C libraries (musl) bring their own start-up code and need no such help from here.
    if std::env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|env| env == "gnu") {
        println!("cargo:rustc-link-arg-bins=-no-pie");
    }
}
