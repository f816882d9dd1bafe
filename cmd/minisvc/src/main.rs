//! The minisvc binary.
fn main() {}
