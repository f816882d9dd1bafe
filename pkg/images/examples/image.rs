//! Runs one built-in program outside a lab: `cargo run -p minisvc-images --example image -- color`.

fn main() -> std::process::ExitCode {
    let mut args = std::env::args().skip(1);
    let program = args.next().unwrap_or_default();
    minisvc_images::run(&program, &args.collect::<Vec<_>>())
}
