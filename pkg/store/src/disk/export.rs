//! The export: all objects as lines of JSON between a head and a checksum, readable by people and by [`read`]. The
//! source of a restore.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::codec::FORMAT;
use super::files::{Layout, sync_dir};
use crate::types::{Key, Stored};

/// A read and verified export.
#[derive(Debug)]
pub(crate) struct Export {
    pub(crate) path: PathBuf,
    pub(crate) revision: u64,
    pub(crate) objects: Vec<Arc<Stored>>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    #[serde(rename = "minisvcExport")]
    format: u32,
    revision: u64,
}

#[derive(Serialize, Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    resource: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    namespace: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    revision: u64,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Serialize, Deserialize)]
struct Tail {
    objects: u64,
    sha256: String,
}

/// Writes the newest export; the one before it is kept. Durable when it returns.
pub(crate) fn write(layout: &Layout, revision: u64, objects: &[Arc<Stored>]) -> io::Result<()> {
    let _alone = layout.exporting.lock();
    let [newest, previous] = layout.exports();
    let draft = newest.with_extension("draft");
    let mut output = BufWriter::new(File::create(&draft)?);
    let mut digest = Sha256::new();
    let mut line = |output: &mut BufWriter<File>, mut bytes: Vec<u8>| {
        bytes.push(b'\n');
        digest.update(&bytes);
        output.write_all(&bytes)
    };
    line(&mut output, serde_json::to_vec(&Head { format: FORMAT, revision })?)?;
    for object in objects {
        // Not `json()`: the export must not fill memory with a second copy of what nobody asked for.
        let json = match object.json.get() {
            Some(bytes) => bytes.clone(),
            None => serde_json::to_vec(&*object.value)?.into(),
        };
        let exported = Line {
            resource: (&*object.key.resource).into(),
            namespace: (&*object.key.namespace).into(),
            name: (&*object.key.name).into(),
            revision: object.revision,
            object: serde_json::from_slice(&json)?,
        };
        line(&mut output, serde_json::to_vec(&exported)?)?;
    }
    let sha256 = hex(&digest.finalize());
    serde_json::to_writer(&mut output, &Tail { objects: objects.len() as u64, sha256 })?;
    output.write_all(b"\n")?;
    output.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    match fs::rename(&newest, &previous) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::rename(&draft, &newest)?;
    sync_dir(layout.dir())
}

/// The best export that can be read and whose checksum holds.
pub(crate) fn best(layout: &Layout) -> Option<Export> {
    let mut found: Vec<Export> = Vec::new();
    for path in layout.exports() {
        match read(&path) {
            Ok(export) => found.extend(export),
            Err(cause) => tracing::warn!(path = %path.display(), cause, "this export cannot be used"),
        }
    }
    found.into_iter().max_by_key(|export| export.revision)
}

/// The revision of the newest export whose head can be read, without reading the rest.
pub(crate) fn newest_revision(layout: &Layout) -> u64 {
    let head = |path: PathBuf| -> Option<u64> {
        let mut line = String::new();
        BufReader::new(File::open(path).ok()?).read_line(&mut line).ok()?;
        Some(serde_json::from_str::<Head>(&line).ok()?.revision)
    };
    layout.exports().into_iter().filter_map(head).max().unwrap_or(0)
}

fn read(path: &Path) -> Result<Option<Export>, String> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|error| error.to_string())?,
    };
    let body = bytes.strip_suffix(b"\n").ok_or("it has no last line")?;
    let tail = body.iter().rposition(|&byte| byte == b'\n').ok_or("it has one line only")? + 1;
    let (body, tail) = (&bytes[..tail], &body[tail..]);
    let tail: Tail = serde_json::from_slice(tail).map_err(|error| format!("last line: {error}"))?;
    if hex(&Sha256::digest(body)) != tail.sha256 {
        return Err("its checksum does not hold".into());
    }
    let mut lines = body[..body.len() - 1].split(|&byte| byte == b'\n');
    let head: Head =
        serde_json::from_slice(lines.next().unwrap_or_default()).map_err(|error| format!("head: {error}"))?;
    if head.format != FORMAT {
        return Err(format!("its format is {}", head.format));
    }
    let objects = lines.map(object).collect::<Result<Vec<_>, String>>()?;
    if objects.len() as u64 != tail.objects {
        return Err(format!("{} objects instead of {}", objects.len(), tail.objects));
    }
    Ok(Some(Export { path: path.into(), revision: head.revision, objects }))
}

fn object(line: &[u8]) -> Result<Arc<Stored>, String> {
    let line: Line<'_> = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let value: Value = serde_json::from_str(line.object.get()).map_err(|error| error.to_string())?;
    let key = Key::new(&*line.resource, &*line.namespace, &*line.name);
    Ok(Arc::new(Stored { key, revision: line.revision, value: Arc::new(value), json: OnceLock::new() }))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
