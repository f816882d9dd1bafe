//! Containers' logs: files in the container runtime interface's format (`TIME STREAM F|P TEXT`), written and read here.
//! Rotation by size; the file of the run before is kept.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use parking_lot::Mutex;

use crate::attach::{Output, Source};
use crate::plumbing::Tap;

/// Longer lines are split, as CRI runtimes do.
const LINE_BYTES: usize = 16 * 1024;

/// Folder of one pod's logs.
pub(crate) fn pod_folder(log_dir: &Path, namespace: &str, pod: &str, uid: &str) -> PathBuf {
    log_dir.join(folder_name(namespace, pod, uid))
}

/// Its name among the others.
pub(crate) fn folder_name(namespace: &str, pod: &str, uid: &str) -> String {
    format!("{namespace}_{pod}_{uid}")
}

fn file_of(log_dir: &Path, key: &LogKey<'_>, run: i32) -> PathBuf {
    pod_folder(log_dir, key.namespace, key.pod, key.uid).join(key.container).join(format!("{run}.log"))
}

/// Which container's log.
#[derive(Debug, Clone, Copy)]
pub struct LogKey<'a> {
    /// The pod's namespace.
    pub namespace: &'a str,
    /// The pod's name.
    pub pod: &'a str,
    /// The pod's uid.
    pub uid: &'a str,
    /// The container's name.
    pub container: &'a str,
}

/// What to read of a log, after `kubectl logs`' options.
#[derive(Debug, Clone, Default)]
pub struct LogOptions {
    /// Only the last so many lines.
    pub tail: Option<usize>,
    /// Put each line's time before it.
    pub timestamps: bool,
    /// Only lines from this time on.
    pub since: Option<Timestamp>,
    /// Stop after so many bytes.
    pub limit_bytes: Option<usize>,
}

/// Reads run number `run` (the container's restartCount; one less for `--previous`) of a container's log: what the
/// container wrote, without the format's own words.
///
/// # Errors
/// `NotFound` where there is no such run, or what reading the file gives.
pub fn read_logs(log_dir: &Path, key: &LogKey<'_>, run: i32, options: &LogOptions) -> io::Result<Vec<u8>> {
    let path = file_of(log_dir, key, run);
    let older = fs::read(rotated(&path)).unwrap_or_default();
    let newer = fs::read(&path)?;
    Ok(select(&[&older, &newer], options).0)
}

/// The lines of these files, one after another, after the options; and whether the last line goes on.
pub(crate) fn select(files: &[&[u8]], options: &LogOptions) -> (Vec<u8>, bool) {
    let mut kept: std::collections::VecDeque<Vec<u8>> = Default::default();
    let mut open = false;
    for line in files.iter().flat_map(|file| file.split(|byte| *byte == b'\n')) {
        let Some((time, partial, text)) = parse(line) else { continue };
        if options.since.is_some_and(|since| time.parse::<Timestamp>().is_ok_and(|time| time < since)) {
            continue;
        }
        if !open {
            kept.push_back(Vec::new());
            if options.timestamps
                && let Some(last) = kept.back_mut()
            {
                last.extend_from_slice(time.as_bytes());
                last.push(b' ');
            }
        }
        if let Some(last) = kept.back_mut() {
            last.extend_from_slice(text);
            if !partial {
                last.push(b'\n');
            }
        }
        open = partial;
        if options.tail.is_some_and(|tail| kept.len() > tail.max(usize::from(open))) {
            kept.pop_front();
        }
    }
    let mut out: Vec<u8> = kept.into_iter().flatten().collect();
    if let Some(limit) = options.limit_bytes {
        out.truncate(limit);
    }
    (out, open)
}

/// Takes one line of the format apart: time, whether it goes on, text.
pub(crate) fn parse(line: &[u8]) -> Option<(&str, bool, &[u8])> {
    let mut parts = line.splitn(4, |byte| *byte == b' ');
    let time = std::str::from_utf8(parts.next()?).ok()?;
    let _stream = parts.next()?;
    let tag = parts.next()?;
    Some((time, tag.first() == Some(&b'P'), parts.next().unwrap_or_default()))
}

/// The newest log of a pod's container, found by the pod's name; of its first container where none is named.
///
/// # Errors
/// `NotFound` where no such pod or container has left a log, or what reading the folders gives.
pub fn find(log_dir: &Path, namespace: &str, pod: &str, container: Option<&str>) -> io::Result<PathBuf> {
    let prefix = format!("{namespace}_{pod}_");
    let entries = |folder: &Path| -> io::Result<Vec<PathBuf>> {
        let mut all: Vec<PathBuf> = fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect();
        all.sort();
        Ok(all)
    };
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let pods = entries(log_dir)?.into_iter().filter(|path| name(path).starts_with(&prefix));
    // A name may come again with another uid.
    let newest = pods.max_by_key(|path| path.metadata().and_then(|found| found.modified()).ok());
    let missing = || io::Error::new(io::ErrorKind::NotFound, format!("no log of {namespace}/{pod}"));
    let folder = match container {
        Some(container) => newest.ok_or_else(missing)?.join(container),
        None => entries(&newest.ok_or_else(missing)?)?.into_iter().next().ok_or_else(missing)?,
    };
    let run = |path: &PathBuf| name(path).strip_suffix(".log").and_then(|run| run.parse::<i32>().ok());
    entries(&folder)?.into_iter().filter(|path| run(path).is_some()).max_by_key(run).ok_or_else(missing)
}

/// Prints a log file from byte `position` on, without the format's own words; answers where it ended. A file that
/// became shorter was rotated and is read from its start.
///
/// # Errors
/// What reading or writing gives.
pub fn print(log: &Path, position: u64, out: &mut impl Write) -> io::Result<u64> {
    let mut file = File::open(log)?;
    let mut at = if file.metadata()?.len() < position { 0 } else { position };
    file.seek(io::SeekFrom::Start(at))?;
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
        at += line.len() as u64;
        if let Some((_, partial, text)) = parse(&line[..line.len() - 1]) {
            out.write_all(text)?;
            if !partial {
                out.write_all(b"\n")?;
            }
        }
        line.clear();
    }
    out.flush()?;
    Ok(at)
}

/// The path of the file being written, for followers.
pub fn log_path(log_dir: &Path, key: &LogKey<'_>, run: i32) -> PathBuf {
    file_of(log_dir, key, run)
}

pub(crate) fn rotated(path: &Path) -> PathBuf {
    path.with_extension("log.1")
}

/// One container run's log being written.
#[derive(Debug, Clone)]
pub(crate) struct Log(Arc<Mutex<Writer>>);

#[derive(Debug)]
struct Writer {
    path: PathBuf,
    file: File,
    bytes: u64,
    most: u64,
}

impl Log {
    /// Starts run `run`'s file and drops the file of the run before the last.
    pub(crate) fn create(log_dir: &Path, key: &LogKey<'_>, run: i32, most: u64) -> io::Result<Log> {
        let path = file_of(log_dir, key, run);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        if run >= 2 {
            let old = file_of(log_dir, key, run - 2);
            let _ = fs::remove_file(rotated(&old));
            let _ = fs::remove_file(old);
        }
        let file = fs::OpenOptions::new().create(true).append(true).open(&path)?;
        let bytes = file.metadata()?.len();
        Ok(Log(Arc::new(Mutex::new(Writer { path, file, bytes, most }))))
    }

    /// Writes formatted lines, all in one call.
    fn write(&self, lines: &[u8]) -> io::Result<()> {
        let mut writer = self.0.lock();
        if writer.bytes + lines.len() as u64 > writer.most && writer.bytes > 0 {
            fs::rename(&writer.path, rotated(&writer.path))?;
            writer.file = fs::OpenOptions::new().create(true).append(true).open(&writer.path)?;
            writer.bytes = 0;
        }
        writer.file.write_all(lines)?;
        writer.bytes += lines.len() as u64;
        Ok(())
    }

    /// Copies a container's output to the log, and to whoever attached, until its last writer is gone.
    pub(crate) async fn copy(self, from: Tap, source: Source, output: Arc<Output>) {
        let stream = match source {
            Source::Stdout => "stdout",
            Source::Stderr => "stderr",
        };
        let mut pending: Vec<u8> = Vec::new();
        while let Some(heard) = from.read_into(&mut pending).await {
            let chunk =
                (output.is_heard() && heard > 0).then(|| Bytes::copy_from_slice(&pending[pending.len() - heard..]));
            let lines = format_lines(&mut pending, stream, Timestamp::now());
            if !lines.is_empty()
                && let Err(error) = self.write(&lines)
            {
                tracing::warn!(%error, "cannot write a container's log");
            }
            if let Some(chunk) = chunk {
                output.say(source, chunk).await;
            }
        }
        if let Some(line) = format_rest(&pending, stream, Timestamp::now())
            && let Err(error) = self.write(&line)
        {
            tracing::warn!(%error, "cannot write a container's log");
        }
        output.end();
    }
}

/// Takes whole lines (and the start of overlong ones) out of `pending` and gives them in the format.
fn format_lines(pending: &mut Vec<u8>, stream: &str, now: Timestamp) -> Vec<u8> {
    let mut out = Vec::new();
    let mut start = 0;
    let mut line = |text: &[u8], tag: char| {
        let _ = write!(out, "{now:.9} {stream} {tag} ");
        out.extend_from_slice(text);
        out.push(b'\n');
    };
    while let Some(end) = pending[start..].iter().position(|byte| *byte == b'\n').map(|at| start + at) {
        while end - start > LINE_BYTES {
            line(&pending[start..start + LINE_BYTES], 'P');
            start += LINE_BYTES;
        }
        line(&pending[start..end], 'F');
        start = end + 1;
    }
    while pending.len() - start > LINE_BYTES {
        line(&pending[start..start + LINE_BYTES], 'P');
        start += LINE_BYTES;
    }
    pending.drain(..start);
    // A burst leaves no large buffer behind.
    if pending.is_empty() {
        *pending = Vec::new();
    }
    out
}

/// The last line, where the container ended without ending it: a line that goes on, so that readers add no newline.
fn format_rest(pending: &[u8], stream: &str, now: Timestamp) -> Option<Vec<u8>> {
    if pending.is_empty() {
        return None;
    }
    Some([format!("{now:.9} {stream} P ").as_bytes(), pending, b"\n"].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: LogKey<'_> = LogKey { namespace: "default", pod: "blue", uid: "u", container: "color" };

    fn text(dir: &Path, run: i32, options: &LogOptions) -> String {
        String::from_utf8(read_logs(dir, &KEY, run, options).unwrap()).unwrap()
    }

    #[test]
    fn lines_are_formatted_and_overlong_ones_split() {
        let now: Timestamp = "2026-11-23T15:00:00.5Z".parse().unwrap();
        let mut pending = b"one\ntwo\nthr".to_vec();
        let lines = String::from_utf8(format_lines(&mut pending, "stdout", now)).unwrap();
        assert_eq!(lines, "2026-11-23T15:00:00.500000000Z stdout F one\n2026-11-23T15:00:00.500000000Z stdout F two\n");
        assert_eq!(pending, b"thr");
        let mut long = vec![b'x'; LINE_BYTES + 3];
        let first = format_lines(&mut long, "stderr", now);
        assert!(first.starts_with(b"2026-11-23T15:00:00.500000000Z stderr P xxx"));
        long.push(b'\n');
        assert_eq!(format_lines(&mut long, "stderr", now), b"2026-11-23T15:00:00.500000000Z stderr F xxx\n");
    }

    /// "should report termination message from log output if TerminationMessagePolicy FallbackToLogsOnError is set":
    /// `DONE` without a newline is read back as it was written.
    #[test]
    fn a_last_line_without_an_end_is_read_back_without_one() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::create(dir.path(), &KEY, 0, 1 << 20).unwrap();
        let now: Timestamp = "2026-11-23T15:00:00Z".parse().unwrap();
        assert_eq!(format_rest(b"", "stdout", now), None);
        log.write(&format_lines(&mut b"one\n".to_vec(), "stdout", now)).unwrap();
        log.write(&format_rest(b"DONE", "stdout", now).unwrap()).unwrap();
        assert_eq!(text(dir.path(), 0, &LogOptions::default()), "one\nDONE");
        assert_eq!(text(dir.path(), 0, &LogOptions { tail: Some(1), ..Default::default() }), "DONE");
    }

    #[test]
    fn logs_are_read_back_with_tail_times_and_limit() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::create(dir.path(), &KEY, 0, 1 << 20).unwrap();
        let now: Timestamp = "2026-11-23T15:00:00Z".parse().unwrap();
        log.write(&format_lines(&mut b"a\nb b\n\nc\n".to_vec(), "stdout", now)).unwrap();
        assert_eq!(text(dir.path(), 0, &LogOptions::default()), "a\nb b\n\nc\n");
        assert_eq!(text(dir.path(), 0, &LogOptions { tail: Some(2), ..Default::default() }), "\nc\n");
        assert_eq!(text(dir.path(), 0, &LogOptions { tail: Some(0), ..Default::default() }), "");
        let timed = LogOptions { timestamps: true, tail: Some(1), ..Default::default() };
        assert_eq!(text(dir.path(), 0, &timed), "2026-11-23T15:00:00.000000000Z c\n");
        assert_eq!(text(dir.path(), 0, &LogOptions { limit_bytes: Some(3), ..Default::default() }), "a\nb");
        assert_eq!(read_logs(dir.path(), &KEY, 1, &LogOptions::default()).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_log_is_found_by_the_pods_name_and_followed() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::create(dir.path(), &KEY, 0, 1 << 20).unwrap();
        let now = Timestamp::UNIX_EPOCH;
        log.write(&format_lines(&mut b"a\n".to_vec(), "stdout", now)).unwrap();
        let found = find(dir.path(), "default", "blue", None).unwrap();
        assert_eq!(found, log_path(dir.path(), &KEY, 0));
        let mut out = Vec::new();
        let position = print(&found, 0, &mut out).unwrap();
        log.write(&format_lines(&mut b"b\n".to_vec(), "stdout", now)).unwrap();
        print(&found, position, &mut out).unwrap();
        assert_eq!(out, b"a\nb\n");
        Log::create(dir.path(), &KEY, 1, 1 << 20).unwrap();
        assert_eq!(find(dir.path(), "default", "blue", Some("color")).unwrap(), log_path(dir.path(), &KEY, 1));
        assert_eq!(find(dir.path(), "default", "gone", None).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn files_rotate_and_only_the_last_two_runs_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let now = Timestamp::UNIX_EPOCH;
        let log = Log::create(dir.path(), &KEY, 0, 100).unwrap();
        for word in ["one\n", "two\n", "three\n", "four\n"] {
            log.write(&format_lines(&mut word.as_bytes().to_vec(), "stdout", now)).unwrap();
        }
        assert_eq!(text(dir.path(), 0, &LogOptions::default()), "one\ntwo\nthree\nfour\n");
        assert!(rotated(&file_of(dir.path(), &KEY, 0)).exists());
        Log::create(dir.path(), &KEY, 1, 100).unwrap();
        Log::create(dir.path(), &KEY, 2, 100).unwrap();
        assert!(!file_of(dir.path(), &KEY, 0).exists() && file_of(dir.path(), &KEY, 1).exists());
    }
}
