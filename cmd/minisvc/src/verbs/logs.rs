//! `minisvc logs`: the lab's own processes, or a pod's container, from the files under the state directory.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use minisvc_lab::places::Places;

pub(super) fn run(places: &Places, what: Option<&str>, follow: bool) -> Result<ExitCode> {
    if let Some(pod) = what.filter(|what| what.contains('/')) {
        return pod_log(places, pod, follow);
    }
    let files: Vec<PathBuf> = match what {
        Some(process) => vec![places.log_of(process)],
        None => {
            let mut files: Vec<PathBuf> = std::fs::read_dir(places.logs())
                .with_context(|| format!("read {}", places.logs().display()))?
                .filter_map(|entry| entry.ok().map(|entry| entry.path()))
                .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
                .collect();
            files.sort();
            files
        }
    };
    let mut positions = vec![0; files.len()];
    loop {
        for (file, position) in files.iter().zip(&mut positions) {
            let prefix = match files.len() {
                1 => String::new(),
                _ => format!("{:>6} | ", file.file_stem().unwrap_or_default().to_string_lossy()),
            };
            *position = print_from(file, *position, &prefix)?;
        }
        if !follow {
            return Ok(ExitCode::SUCCESS);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Prints a file from a position on; answers where it ended. A file that became shorter is read anew.
fn print_from(path: &PathBuf, position: u64, prefix: &str) -> Result<u64> {
    let mut file = std::fs::File::open(path).with_context(|| format!("read {}", path.display()))?;
    let length = file.metadata()?.len();
    let start = if length < position { 0 } else { position };
    file.seek(SeekFrom::Start(start))?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    let mut out = std::io::stdout().lock();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        out.write_all(prefix.as_bytes())?;
        out.write_all(line)?;
    }
    out.flush()?;
    Ok(start + text.len() as u64)
}

fn pod_log(places: &Places, pod: &str, follow: bool) -> Result<ExitCode> {
    let mut parts = pod.split('/');
    let (Some(namespace), Some(name)) = (parts.next(), parts.next()) else { bail!("{pod}: must be NAMESPACE/POD") };
    let logs = minisvc_node::logs::find(&places.pod_logs(), namespace, name, parts.next())
        .with_context(|| format!("no log of pod {namespace}/{name}"))?;
    let mut position = 0;
    loop {
        position = minisvc_node::logs::print(&logs, position, &mut std::io::stdout().lock())?;
        if !follow {
            return Ok(ExitCode::SUCCESS);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
