//! Reading a container's log from its end on: what is there after the options, then what is written later, across
//! rotation. Must not wait; whoever follows does.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use jiff::Timestamp;

use crate::logs::{LogOptions, parse, select};

/// The most that one look takes.
const LOOK: u64 = 256 * 1024;

/// A log being read.
#[derive(Debug)]
pub(crate) struct LogReader {
    path: PathBuf,
    file: File,
    position: u64,
    timestamps: bool,
    since: Option<Timestamp>,
    /// Bytes that may still be given.
    left: Option<usize>,
    /// Whether the last line given goes on.
    open: bool,
}

impl LogReader {
    /// Opens a run's log; answers also what it holds, after the options.
    ///
    /// # Errors
    /// `NotFound` where there is no such file, or what reading gives.
    pub(crate) fn open(path: PathBuf, options: &LogOptions) -> io::Result<(LogReader, Vec<u8>)> {
        let older = fs::read(crate::logs::rotated(&path)).unwrap_or_default();
        let mut file = File::open(&path)?;
        let mut newer = Vec::new();
        file.read_to_end(&mut newer)?;
        newer.truncate(whole_lines(&newer));
        let (text, open) = select(&[&older, &newer], options);
        let left = options.limit_bytes.map(|limit| limit - text.len().min(limit));
        let position = newer.len() as u64;
        let (timestamps, since) = (options.timestamps, options.since);
        Ok((LogReader { path, file, position, timestamps, since, left, open }, text))
    }

    /// Whether all bytes that were asked for are given.
    pub(crate) fn is_full(&self) -> bool {
        self.left == Some(0)
    }

    /// What has been written since; empty where that is nothing.
    ///
    /// # Errors
    /// What reading gives.
    pub(crate) fn more(&mut self) -> io::Result<Vec<u8>> {
        let mut raw = self.read()?;
        if raw.is_empty() {
            // Rotated: what comes now is in a new file.
            let now = match fs::metadata(&self.path) {
                Ok(now) => now,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                Err(error) => return Err(error),
            };
            if now.ino() == self.file.metadata()?.ino() {
                return Ok(Vec::new());
            }
            self.file = File::open(&self.path)?;
            self.position = 0;
            raw = self.read()?;
        }
        let mut text = Vec::new();
        for line in raw.split_inclusive(|byte| *byte == b'\n') {
            let Some((time, partial, words)) = parse(line.strip_suffix(b"\n").unwrap_or(line)) else { continue };
            if self.since.is_some_and(|since| time.parse::<Timestamp>().is_ok_and(|time| time < since)) {
                continue;
            }
            if self.timestamps && !self.open {
                text.extend_from_slice(time.as_bytes());
                text.push(b' ');
            }
            text.extend_from_slice(words);
            if !partial {
                text.push(b'\n');
            }
            self.open = partial;
        }
        if let Some(left) = &mut self.left {
            text.truncate(*left);
            *left -= text.len();
        }
        Ok(text)
    }

    fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut raw = Vec::new();
        self.file.seek(SeekFrom::Start(self.position))?;
        (&self.file).take(LOOK).read_to_end(&mut raw)?;
        raw.truncate(whole_lines(&raw));
        self.position += raw.len() as u64;
        Ok(raw)
    }
}

fn whole_lines(text: &[u8]) -> usize {
    text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn what_comes_later_is_given_once_across_rotation() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.log");
        let line = |text: &str| format!("2026-11-23T15:00:00.000000000Z stdout F {text}\n");
        let mut file = File::create(&path).unwrap();
        file.write_all(format!("{}{}2026-11-23T15:00", line("a"), line("b")).as_bytes()).unwrap();
        let options = LogOptions { tail: Some(1), limit_bytes: Some(8), ..Default::default() };
        let (mut reader, first) = LogReader::open(path.clone(), &options).unwrap();
        assert_eq!(first, b"b\n");
        assert_eq!(reader.more().unwrap(), b"");
        file.write_all(b":00.000000000Z stdout F c\n").unwrap();
        assert_eq!(reader.more().unwrap(), b"c\n");
        file.write_all(line("d").as_bytes()).unwrap();
        fs::rename(&path, folder.path().join("0.log.1")).unwrap();
        fs::write(&path, line("efgh")).unwrap();
        assert_eq!(reader.more().unwrap(), b"d\n");
        assert!(!reader.is_full());
        assert_eq!(reader.more().unwrap(), b"ef");
        assert!(reader.is_full());
    }
}
