//! `agnhost logs-generator`: a number of log lines, evenly over a time.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::Mode;
use crate::flags::{Flag, Flags};
use crate::go;

pub(super) const MODE: Mode = Mode {
    name: "logs-generator",
    about: "Outputs lines of logs to stdout uniformly",
    flags: &[Flag::int("log-lines-total", "0").or('t'), Flag::duration("run-duration", "0s").or('d')],
    words: Some(0),
    run: generate,
};

fn generate(flags: Flags) -> ExitCode {
    let (total, duration) = (flags.int("log-lines-total"), flags.duration("run-duration"));
    let Some(total) = u32::try_from(total).ok().filter(|total| *total > 0) else {
        log('F', &format!("Invalid total number of lines: {total}"));
        return ExitCode::from(255);
    };
    if duration.is_zero() {
        log('F', &format!("Invalid duration: {}", go::duration(duration)));
        return ExitCode::from(255);
    }
    let started = Instant::now();
    for id in 0..total {
        log('I', &line(id));
        let next = duration.mul_f64(f64::from(id + 1) / f64::from(total));
        std::thread::sleep(next.checked_sub(started.elapsed()).unwrap_or(Duration::ZERO));
    }
    ExitCode::SUCCESS
}

/// A line as Kubernetes' logger prints it, to standard error.
fn log(level: char, text: &str) {
    let now = jiff::Timestamp::now().strftime("%m%d %H:%M:%S.%6f");
    eprintln!("{level}{now} {:>7} logs_generator.go:76] {text}", std::process::id());
}

/// As an API server might log; the numbers are drawn from `id`, so that no two lines are equal.
fn line(id: u32) -> String {
    let draw = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), id);
    let pick = |words: [&'static str; 3], shift: u32| words[((draw >> shift) % 3) as usize];
    let name = format!("{:04x}", draw & 0xffff);
    let status = 200 + (draw >> 32) % 400;
    format!(
        "{id} {} /api/v1/namespaces/{}/pods/{} {status}",
        pick(["GET", "POST", "PUT"], 16),
        pick(["kube-system", "default", "ns"], 20),
        &name[..3 + (draw >> 40) as usize % 2]
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines_are_numbered() {
        let line = super::line(7);
        assert!(line.starts_with("7 ") && line.contains("/api/v1/namespaces/"), "{line}");
    }
}
